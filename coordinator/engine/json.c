/* How apps, machines, volumes, images and events look in the API. docs/openapi.yaml describes the same shapes. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"

static void
json_set_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, value == NULL || *value == '\0' ? json_null() : json_string(value));
}

static void
json_set_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t) value));
}

/* As a shell gives it: 0 to 255, 128 + signal; null when it is not known. */
static json_t *
exit_status_to_json(int status)
{
	if (status < 0)
		return json_null();
	if (WIFSIGNALED(status))
		return json_integer(128 + WTERMSIG(status));
	return json_integer(WEXITSTATUS(status));
}

/* What an app or a volume belongs to: "postgres/NAME", of its namespace. */
static void
json_set_owner(json_t *object, const EngineCluster *cluster)
{
	char owner[NAME_MAX_BYTES + 16] = "";

	if (cluster != NULL)
		snprintf(owner, sizeof(owner), "postgres/%s", cluster->spec.name);
	json_set_text(object, "owner", owner);
}

static json_t *
machine_memory_to_json(const Machine *machine)
{
	CgroupMemory memory = {0};
	json_t *object = json_object();

	/* A machine that is not there has no group, and takes no memory. */
	if (cgroup_read_memory(machine->engine->cgroups, machine->group, &memory, NULL) < 0)
		memory = (CgroupMemory){0};
	json_set_number(object, "resident-bytes", memory.resident_bytes);
	json_set_number(object, "swapped-bytes", memory.swapped_bytes);
	json_set_number(object, "kernel-bytes", memory.kernel_bytes);
	json_set_number(object, "limit-bytes", machine->spec.memory_mib << 20);
	return object;
}

/* How long it has been idle and when it will be suspended: only of one that is awake, quiet and may suspend. */
static void
machine_idle_to_json(const Machine *machine, const ActivityVerdict *verdict, json_t *object)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t since_ns =
		verdict->idle_since_ns > machine->awake_since_ns ? verdict->idle_since_ns : machine->awake_since_ns;
	uint64_t idle_ms = since_ns < now_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
	uint64_t timeout_ms = machine_idle_timeout_ms(machine);

	json_set_number(object, "idle-for-ms", idle_ms);
	json_set_number(object, "suspend-in-ms", idle_ms < timeout_ms ? timeout_ms - idle_ms : 0);
}

json_t *
machine_to_json(Machine *machine)
{
	const MachineRecord *record = &machine->record;
	json_t *object = json_object();
	char address[16];
	char address6[46];
	char image[MACHINE_IMAGE_BYTES];
	bool awake = machine->phase == PHASE_READY && machine->spec.mode == MODE_FLASH;
	ActivityVerdict verdict = {.reason = ACTIVITY_CONNECTION};

	if (awake)
		verdict = machine_observe(machine);
	network_format_address(machine->network.address, address);
	network_format_address6(&machine->network, address6);
	json_set_text(object, "name", machine->spec.name);
	json_set_text(object, "namespace", machine->spec.name_space);
	json_set_text(object, "app", machine->spec.kind == RESOURCE_APP ? machine->spec.name : NULL);
	json_set_text(object, "phase", phase_name(machine->phase));
	json_set_text(object, "reason", record->reason);
	json_set_number(object, "since-ms", record->since_ms);
	json_set_text(object, "awake-because", awake ? machine->awake.text : NULL);
	json_set_text(object, "not-suspended-because", awake ? machine->refusal : NULL);
	json_set_text(object, "woken-by", record->woken_by);
	json_object_set_new(object, "last-wake-ms",
						record->last_wake_ms > 0 ? json_integer((json_int_t) record->last_wake_ms) : json_null());
	json_object_set_new(object, "last-wake-took-us",
						record->last_wake_ms > 0 ? json_integer((json_int_t) record->last_wake_us) : json_null());
	json_set_number(object, "suspends", record->suspends);
	json_set_number(object, "wakes", record->wakes);
	json_object_set_new(object, "memory", machine_memory_to_json(machine));
	json_set_text(object, "address", address);
	json_set_text(object, "address6", address6);
	json_set_text(object, "host-link", machine->network.host_link);
	json_object_set_new(object, "services", machine_services_to_json(machine));
	json_object_set_new(object, "pid", record->pid > 0 ? json_integer(record->pid) : json_null());
	json_set_number(object, "restarts", record->restarts);
	machine_image_name(machine, image);
	json_set_text(object, "image", image);
	json_set_text(object, "image-id", record->image_id);
	json_set_text(object, "extension-version", machine->extension_version);
	json_object_set_new(object, "exit-status", exit_status_to_json(machine->exit_status));
	json_set_text(object, "last-error", machine->last_error);
	json_object_set_new(object, "waits-for", machine_waits_for_to_json(machine));
	json_set_number(object, "sessions", machine->sessions);
	json_object_set_new(object, "snapshot",
						machine->has_snapshot ? json_pack("{s:I, s:I, s:s, s:b}", "size-bytes",
														  (json_int_t) machine->manifest.image_bytes, "written-ms",
														  (json_int_t) machine->manifest.created_ms, "reason",
														  machine->manifest.reason, "synced", machine->manifest.synced)
											  : json_null());
	json_set_text(object, "snapshot-problem", machine->snapshot_problem);
	if (awake && verdict.reason == ACTIVITY_NONE)
		machine_idle_to_json(machine, &verdict, object);
	return object;
}

static json_t *
app_to_json(const Machine *machine)
{
	json_t *object = app_spec_to_json(&machine->spec);
	char address[16];
	char address6[46];

	network_format_address(machine->network.address, address);
	network_format_address6(&machine->network, address6);
	json_set_owner(object, engine_find_cluster(machine->engine, machine->spec.name_space, machine->spec.name));
	json_object_set_new(object, "services", machine_services_to_json(machine));
	json_set_text(object, "phase", phase_name(machine->phase));
	json_set_text(object, "address", address);
	json_set_text(object, "address6", address6);
	json_set_number(object, "restarts", machine->record.restarts);
	json_object_set_new(object, "exit-status", exit_status_to_json(machine->exit_status));
	json_set_text(object, "last-error", machine->last_error);
	return object;
}

static json_t *
volume_to_json(Engine *engine, const EngineVolume *volume)
{
	json_t *object = volume_spec_to_json(&volume->spec);
	json_t *users = json_array();
	VolumeUsage usage = {0};
	HostVolume host;

	volume_plan(&engine->layout, volume->spec.name_space, volume->spec.name, &host);
	if (volume_read_usage(&host, &usage, NULL) < 0)
		usage = (VolumeUsage){0};
	json_set_number(object, "size-bytes", volume->spec.size_bytes);
	json_set_number(object, "used-bytes", usage.used_bytes);
	json_set_number(object, "on-disk-bytes", usage.on_disk_bytes);
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		for (size_t i = 0; i < machine->spec.volume_count; i++)
		{
			const VolumeMount *mount = &machine->spec.volumes[i];

			if (strcmp(mount->name_space, volume->spec.name_space) == 0 && strcmp(mount->name, volume->spec.name) == 0)
				json_array_append_new(users, json_string(machine->label));
		}
	}
	json_set_owner(object, engine_find_volume_cluster(engine, volume->spec.name_space, volume->spec.name));
	json_object_set_new(object, "used-by", users);
	return object;
}

static bool
in_namespace(const char *wanted, const char *name_space)
{
	return wanted == NULL || strcmp(wanted, name_space) == 0;
}

json_t *
engine_list_apps(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (in_namespace(name_space, machine->spec.name_space) && machine->spec.kind == RESOURCE_APP)
			json_array_append_new(array, app_to_json(machine));
	}
	return array;
}

json_t *
engine_list_machines(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (in_namespace(name_space, machine->spec.name_space))
			json_array_append_new(array, machine_to_json(machine));
	}
	return array;
}

json_t *
engine_list_volumes(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (EngineVolume *volume = engine->volumes; volume != NULL; volume = volume->next)
	{
		if (in_namespace(name_space, volume->spec.name_space))
			json_array_append_new(array, volume_to_json(engine, volume));
	}
	return array;
}

/* What is looked up only when one machine is asked for. */
static void
json_set_last_words(json_t *object, const Machine *machine)
{
	if (machine_has_failed(machine))
		json_object_set_new(object, "last-words", machine_last_words_to_json(machine));
}

int
engine_get_app(Engine *engine, const char *name_space, const char *name, json_t **ret_app, Error *err)
{
	Machine *machine = engine_find_machine(engine, name_space, name);

	if (machine == NULL || machine->spec.kind != RESOURCE_APP)
		return error_set(err, -ENOENT, "app %s/%s: %s", name_space, name,
						 machine == NULL ? "not found" : "is a machine without an app");
	*ret_app = app_to_json(machine);
	json_set_last_words(*ret_app, machine);
	return 0;
}

int
engine_get_machine(Engine *engine, const char *name_space, const char *name, json_t **ret_machine, Error *err)
{
	Machine *machine = engine_find_machine(engine, name_space, name);

	if (machine == NULL)
		return error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	*ret_machine = machine_to_json(machine);
	json_set_last_words(*ret_machine, machine);
	return 0;
}

int
engine_get_volume(Engine *engine, const char *name_space, const char *name, json_t **ret_volume, Error *err)
{
	EngineVolume *volume = engine_find_volume(engine, name_space, name);

	if (volume == NULL)
		return error_set(err, -ENOENT, "volume %s/%s: not found", name_space, name);
	*ret_volume = volume_to_json(engine, volume);
	return 0;
}
