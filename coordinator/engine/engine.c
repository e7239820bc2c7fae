/*
 * The engine's own life: starting (settings, store, cleaning up, adopting what lives), finding things, ending. A
 * coordinator that ends, in whatever way, leaves its machines as they are.
 */
#include "engine/engine.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "base/text.h"
#include "engine/backups.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"
#include "host/manifest.h"
#include "engine/reach.h"

Machine *
engine_find_machine(Engine *engine, const char *name_space, const char *name)
{
	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, name_space) == 0 && strcmp(machine->spec.name, name) == 0)
			return machine;
	}
	return NULL;
}

EngineVolume *
engine_find_volume(Engine *engine, const char *name_space, const char *name)
{
	for (EngineVolume *volume = engine->volumes; volume != NULL; volume = volume->next)
	{
		if (strcmp(volume->spec.name_space, name_space) == 0 && strcmp(volume->spec.name, name) == 0)
			return volume;
	}
	return NULL;
}

/* Lists are kept in the order of namespace and name, so that every listing is. */
void
engine_add_machine(Engine *engine, Machine *machine)
{
	Machine **place = &engine->machines;

	while (*place != NULL && strcmp((*place)->label, machine->label) < 0)
		place = &(*place)->next;
	machine->next = *place;
	*place = machine;
	reach_note_change(engine->reach);
}

void
engine_add_volume(Engine *engine, const VolumeSpec *spec)
{
	EngineVolume *volume = engine_find_volume(engine, spec->name_space, spec->name);
	EngineVolume **place = &engine->volumes;

	if (volume != NULL)
	{
		volume_spec_clear(&volume->spec);
		volume_spec_copy(spec, &volume->spec);
		return;
	}
	volume = memory_allocate(sizeof(*volume));
	volume_spec_copy(spec, &volume->spec);
	while (*place != NULL)
	{
		int order = strcmp((*place)->spec.name_space, spec->name_space);

		if (order > 0 || (order == 0 && strcmp((*place)->spec.name, spec->name) > 0))
			break;
		place = &(*place)->next;
	}
	volume->next = *place;
	*place = volume;
}

void
engine_remove_machine(Engine *engine, Machine *machine)
{
	Machine **place = &engine->machines;
	AppSpec closed = machine->spec; /* what it points to stays the machine's */
	Error error;

	closed.expose_count = 0;
	while (*place != machine)
		place = &(*place)->next;
	*place = machine->next;
	if (store_delete_app(engine->store, machine->spec.name_space, machine->spec.name, &error) < 0)
		log_error("app not removed from the store", "machine", machine->label, "reason", error.message);
	engine_expose(engine, &closed);
	engine_forget_cluster(engine, machine->spec.name_space, machine->spec.name);
	log_info("deleted", "namespace", machine->spec.name_space, "machine", machine->spec.name);
	engine_forget_backup(engine, machine->spec.name_space, machine->spec.name);
	engine_note_gone_dependency(engine, machine->spec.name_space, machine->spec.name);
	machine_end_waits(machine, true);
	machine_free(machine);
	reach_note_change(engine->reach);
}

int
engine_resolve_machine(Engine *engine, const char *name_space, const char *name, bool prefix,
					   char ret_name[NAME_MAX_BYTES + 1], Error *err)
{
	Machine *exact = engine_find_machine(engine, name_space, name);
	_cleanup_text_ Text names = {0};
	Machine *found = NULL;
	unsigned matches = 0;

	for (Machine *machine = engine->machines; exact == NULL && prefix && machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, name_space) != 0 || strncmp(machine->spec.name, name, strlen(name)) != 0)
			continue;
		found = machine;
		matches++;
		text_printf(&names, "%s%s", matches > 1 ? ", " : "", machine->spec.name);
	}
	if (exact != NULL)
		found = exact;
	if (matches > 1)
		return error_set(err, -ENOTUNIQ, "machine %s/%s: fits several: %s", name_space, name, text_string(&names));
	if (found == NULL)
		return error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	snprintf(ret_name, NAME_MAX_BYTES + 1, "%s", found->spec.name);
	return 0;
}

/* ---- starting ---- */

static bool
is_tmpfs(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

/*
 * For root alone, also where an earlier version made it otherwise. A user of the host may have the same uid as a
 * machine's server: what keeps them from its volume, its socket and the programs of its image is that no path leads
 * there.
 */
static int
make_private_directory(const char *path, Error *err)
{
	int result = file_make_directory(path, 0700, err);

	if (result == 0 && chmod(path, 0700) < 0)
		return error_set_errno(err, errno, "%s: chmod", path);
	return result;
}

/*
 * The machines' run directories hold the activity pages, which backends store to all the time: they belong in memory.
 * Where the run directory is on a disk, a small tmpfs of our own goes below it, never over it.
 */
static int
engine_prepare_run(Engine *engine, Error *err)
{
	char path[320];
	int result = file_make_directory(engine->layout.run_directory, 0755, err);

	snprintf(path, sizeof(path), "%s/m", engine->layout.run_directory);
	if (result == 0)
		result = make_private_directory(path, err);
	if (result < 0 || is_tmpfs(path))
		return result;
	if (mount("lttle", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=256m") < 0)
		return error_set_errno(err, errno, "%s: mount tmpfs", path);
	return 0;
}

static void
engine_report_row(void *context, const char *what)
{
	(void) context;
	log_error("a row of the store was left out", "reason", what);
}

static int
engine_load_volume(void *context, const VolumeSpec *spec)
{
	engine_add_volume(context, spec);
	return 0;
}

static int
engine_load_app(void *context, const AppSpec *spec)
{
	Engine *engine = context;
	MachineRecord record = {0};
	Machine *machine = NULL;
	Error error;
	int result = store_get_machine(engine->store, spec->name_space, spec->name, &record, &error);

	if (result == 0)
	{
		machine = machine_new(engine, spec, &record);
		result = network_plan(&engine->layout, machine->id, record.index, &machine->network, &error);
	}
	if (machine == NULL || result < 0)
	{
		log_error("machine left out", "namespace", spec->name_space, "machine", spec->name, "reason", error.message);
		if (machine != NULL)
			machine_free(machine);
		return 0;
	}
	engine_add_machine(engine, machine);
	engine_expose(engine, spec);
	return 0;
}

static int
engine_load_service(void *context, const ServiceSpec *spec)
{
	engine_put_service(context, spec);
	return 0;
}

/* One that slept has slept since then, not since it was adopted. */
static void
engine_adopt_frozen(Machine *machine, Phase was)
{
	uint64_t since_ms = machine->record.since_ms;
	uint64_t now_ms = clock_realtime_ms();
	uint64_t slept_ns = now_ms > since_ms ? (now_ms - since_ms) * NS_PER_MS : 0;

	machine_dispatch(machine, EVENT_ADOPT_FROZEN, NULL);
	if (was != PHASE_SUSPENDED || machine->phase != PHASE_SUSPENDED)
		return;
	machine->slept_since_ns -= slept_ns < machine->slept_since_ns ? slept_ns : machine->slept_since_ns;
	machine->record.since_ms = since_ms;
	machine_save(machine);
}

/* Takes a machine over whose first process lives. */
static void
engine_adopt_living(Machine *machine, Phase was)
{
	_cleanup_fd_ int events_fd = -1;
	bool frozen = false;
	bool populated;
	Error error;

	if (machine_load_image(machine, &error) < 0 || machine_open_flash(machine, &error) < 0)
		log_warning("flash channel not opened again", "machine", machine->label, "reason", error.message);
	if (cgroup_open_events(machine->engine->cgroups, machine->group, &events_fd, &error) == 0 &&
		cgroup_read_events(events_fd, &frozen, &populated, &error) < 0)
		log_warning("freezer not read", "machine", machine->label, "reason", error.message);
	if (was == PHASE_DUMPING)
		machine_reclaim_from_disk(machine);
	if (frozen)
		engine_adopt_frozen(machine, was);
	else if (was == PHASE_BOOTING || was == PHASE_CREATING)
	{
		machine_dispatch(machine, EVENT_ADOPT_BOOTING, NULL);
		machine_begin_strategy(machine);
	}
	else
		machine_dispatch(machine, EVENT_ADOPT_RUNNING, NULL);
	if (machine->facts.delete_wanted)
		machine_dispatch(machine, EVENT_STOP, "was being stopped");
}

/*
 * After a reboot nothing starts before somebody asks for it, whatever it did when the host went down; only a deploy
 * that had not come to an image yet is carried on. The same where all that a machine needs from the host is gone with
 * its processes. In the same boot a machine that is stopped stays so, and one that died meanwhile is started again.
 */
static bool
machine_waits_for_somebody(const Machine *machine, Phase was)
{
	if (was == PHASE_STOPPED)
		return true;
	if (was == PHASE_IDLE || was == PHASE_PULLING_IMAGE || was == PHASE_WAITING)
		return false;
	return machine->engine->host_restarted || (was != PHASE_CREATING && was != PHASE_ERROR && was != PHASE_STOPPING &&
											   was != PHASE_RESTARTING && !network_exists(&machine->network));
}

/* Takes over a machine that is on disk, or that the host's reboot has ended: it starts when somebody asks for it. */
static bool
engine_adopt_sleeping(Machine *machine, Phase was)
{
	Error error;

	if (machine->facts.delete_wanted || machine_load_image(machine, &error) < 0)
		return false;
	if (machine_open_flash(machine, &error) < 0)
		log_warning("flash channel not opened again", "machine", machine->label, "reason", error.message);
	/*
	 * A snapshot that counts has not been restored from: whatever of a restore is left has not run yet. The phase says
	 * nothing about it: after a crash of the host it may be an older one.
	 */
	if (snapshot_read_manifest(machine->paths.snapshot, &machine->manifest, &error) == 0)
	{
		machine->has_snapshot = true;
		machine_kill(machine);
		machine_rest(machine);
		return machine_dispatch(machine, EVENT_ADOPT_SNAPSHOT, NULL);
	}
	if (!machine_waits_for_somebody(machine, was))
		return false;
	return machine_dispatch(machine, EVENT_ADOPT_NOTHING, was == PHASE_STOPPED ? NULL : "the host was started anew");
}

static void
engine_adopt(Machine *machine)
{
	Phase was = PHASE_IDLE;
	bool cut_off = false;
	Error error;

	(void) fsm_phase_parse(machine->record.phase, &was);
	machine->facts.delete_wanted = was == PHASE_DELETING || machine->record.delete_wanted;
	/* A number of another boot may be anybody's. */
	if (machine->engine->host_restarted)
		machine->record.pid = 0;
	/* A dump goes on to its end without us. One that was cut off leaves processes that must not run. */
	if (was == PHASE_DUMPING && (snapshot_settle(machine->paths.snapshot, &cut_off, &error) < 0 || cut_off))
		machine->record.pid = 0;
	/* Its processes are being ended, to the last; its snapshot is whole, and it is the snapshot that counts. */
	if (was == PHASE_EVICTING)
		machine->record.pid = 0;
	if (machine->record.pid > 0 && machine_adopt_process(machine, &error) == 0)
	{
		engine_adopt_living(machine, was);
		return;
	}
	machine->record.pid = 0;
	if (engine_adopt_sleeping(machine, was))
		return;
	/* How it ended while nobody looked is not known; what was known is of the run before. */
	if (fsm_phase_has_process(was))
	{
		machine->exit_status = -1;
		machine_settle_exit(machine);
	}
	machine->facts.restart_wanted = !machine->facts.delete_wanted && !machine->facts.stays_down;
	if (machine_load_image(machine, &error) < 0 && error.code != -ENOENT)
		log_warning("image cannot be used", "machine", machine->label, "reason", error.message);
	/* A dump or a restore that died with the coordinator: nobody comes back to the sessions. */
	if (was >= PHASE_DUMPING && was <= PHASE_RESUMING && !machine->engine->host_restarted)
		machine_end_sessions_left(machine);
	/* By way of stopping: what a killed coordinator left half made is given back first. */
	machine_dispatch(machine, EVENT_STOP, "no process of it lives");
}

/* The boot in which this state was last used is a file beside the store. A state without one is new. */
static int
engine_compare_boot(Engine *engine, bool remember, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/boot-id", engine->layout.state_directory);
	_cleanup_free_ char *last = NULL;
	char boot_id[40];
	int result = manifest_read_boot_id(boot_id, err);

	if (result < 0)
		return result;
	if (remember)
		return file_replace(path, boot_id, strlen(boot_id), 0600, err);
	result = file_read(path, 64, &last, NULL, err);
	engine->host_restarted = result == 0 && strcmp(last, boot_id) != 0;
	return result == -ENOENT ? 0 : result;
}

static void
engine_find_criu(Engine *engine)
{
	Error error;

	if (criu_find(engine->settings.criu, engine->criu, engine->criu_version, &error) == 0)
		return;
	engine->criu[0] = '\0';
	text_copy(engine->criu_problem, sizeof(engine->criu_problem), error.message);
	log_warning("machines cannot go to disk", "reason", error.message);
}

/* No reason to end: a host that has no such files can't start machines either, which the doctor says. */
static void
engine_set_cpu_weight(const Engine *engine)
{
	unsigned weight = engine->settings.cpu_weight > 0 ? engine->settings.cpu_weight : cgroup_cpu_weight_of(0);
	Error error;

	if (cgroup_set_cpu_weight(engine->cgroups, engine->layout.name_prefix, weight, &error) < 0)
		log_warning("all machines together weigh as much as any control group", "reason", error.message);
}

static int
engine_open(Engine *engine, Error *err)
{
	int result = make_private_directory(engine->layout.state_directory, err);

	if (result == 0)
		result = store_open(engine->layout.state_directory, &engine->store, err);
	if (result == 0)
		result = engine_compare_boot(engine, false, err);
	if (result == 0)
		result = cgroup_hierarchy_open("/sys/fs/cgroup", &engine->cgroups, err);
	if (result == 0)
		result = engine_prepare_run(engine, err);
	if (result == 0)
		result = network_guard_subnet(&engine->layout, true, err);
	if (result == 0)
		result = door_keeper_new(engine->loop, &engine->doors, err);
	if (result == 0)
		result = child_reaper_start(engine->loop, err);
	if (result == 0)
		engine_find_criu(engine);
	if (result == 0)
		result = store_each_volume(engine->store, engine_load_volume, engine_report_row, engine, err);
	if (result == 0)
		result = store_each_app(engine->store, engine_load_app, engine_report_row, engine, err);
	if (result == 0)
		result = store_each_service(engine->store, engine_load_service, engine_report_row, engine, err);
	if (result == 0)
		result = engine_load_clusters(engine, err);
	if (result == 0)
		result = engine_load_backups(engine, err);
	if (result == 0)
		engine->reach = reach_start(engine);
	return result;
}

int
engine_start(struct event_base *loop, const Settings *settings, Engine **ret_engine, Error *err)
{
	Engine *engine = memory_allocate(sizeof(*engine));
	int result;

	engine->loop = loop;
	engine->settings = *settings;
	snprintf(engine->layout.state_directory, sizeof(engine->layout.state_directory), "%s", settings->state_directory);
	snprintf(engine->layout.run_directory, sizeof(engine->layout.run_directory), "%s", settings->run_directory);
	snprintf(engine->layout.name_prefix, sizeof(engine->layout.name_prefix), "%s", settings->name_prefix);
	engine->layout.subnet_address = settings->subnet_address;
	engine->layout.subnet_bits = settings->subnet_bits;
	memcpy(engine->layout.subnet6_address, settings->subnet6_address, sizeof(engine->layout.subnet6_address));
	engine->layout.subnet6_bits = network_kernel_has_ipv6() ? settings->subnet6_bits : 0;
	if (engine->layout.subnet6_bits != settings->subnet6_bits)
		log_warning("machines have no IPv6 address", "reason", "the kernel has no IPv6");

	result = engine_open(engine, err);
	if (result < 0)
	{
		engine_free(engine);
		return result;
	}
	engine_set_cpu_weight(engine);
	engine_hurry_grace_periods(engine, false);
	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
		engine_adopt(machine);
	engine_go_on_growing(engine);
	service_end_unclaimed();
	/* Only now: who is killed before has not seen them all. */
	result = engine_compare_boot(engine, true, err);
	if (result < 0)
	{
		engine_free(engine);
		return result;
	}
	*ret_engine = engine;
	return 0;
}

/* A coordinator without machines leaves nothing of itself on the host. */
static void
engine_clear_host(Engine *engine)
{
	char path[320];
	Error error;

	if (network_guard_subnet(&engine->layout, false, &error) < 0)
		log_warning("the subnet stays refused", "reason", error.message);
	snprintf(path, sizeof(path), "%s/m", engine->layout.run_directory);
	if (umount2(path, UMOUNT_NOFOLLOW) == 0)
		rmdir(path);
	snprintf(path, sizeof(path), "%s/shm", engine->layout.run_directory);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/secrets", engine->layout.run_directory);
	rmdir(path);
	if (engine->cgroups != NULL && cgroup_remove(engine->cgroups, engine->layout.name_prefix, NULL) < 0)
		log_debug("the control group stays", "group", engine->layout.name_prefix);
}

void
engine_free(Engine *engine)
{
	bool deserted;

	if (engine == NULL)
		return;
	deserted = engine->machines == NULL;
	engine_end_drain(engine);
	engine_end_backups(engine);
	engine_end_growths(engine);
	while (engine->machines != NULL)
	{
		Machine *machine = engine->machines;

		engine->machines = machine->next;
		machine_free(machine);
	}
	engine_hurry_grace_periods(engine, false);
	engine_forget_pressure(engine);
	engine_unwatch_logs(engine);
	engine_end_reclaims(engine);
	while (engine->volumes != NULL)
	{
		EngineVolume *volume = engine->volumes;

		engine->volumes = volume->next;
		volume_spec_clear(&volume->spec);
		free(volume);
	}
	engine_clear_services(engine);
	engine_free_clusters(engine);
	engine_unpin_images(engine);
	reach_end(engine->reach, deserted);
	if (deserted && engine->store != NULL)
		engine_clear_host(engine);
	child_reaper_stop();
	door_keeper_free(engine->doors);
	cgroup_hierarchy_free(engine->cgroups);
	store_close(engine->store);
	free(engine);
}
