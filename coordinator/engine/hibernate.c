/*
 * To disk and back. Before the dump the gate is closed, so that no client is refused at any moment; the processes stay,
 * frozen, until the snapshot is whole; before the restore the snapshot is spent. Whatever fails ends in the running
 * server or in a cold start.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/machine_secrets.h"
#include "engine/reach.h"
#include "host/secret_files.h"
#include "model/postgres_config.h"
#include "host/shm.h"

/* CRIU has deadlines of its own, which grow with the machine's memory; these are for a disk that answers no more. */
#define DUMP_TIMEOUT_MS	   600000
#define RESTORE_TIMEOUT_MS 600000
#define REMOVE_TIMEOUT_MS  60000

/* What a cold machine's stub listeners hold for the server: as PostgreSQL's own default for 100 connections. */
#define STUB_BACKLOG 200

/* ---- the snapshot's description ---- */

/* The description that snapshot.h wants, with the arrays it points to. */
typedef struct SnapshotPlan
{
	SnapshotSpec spec;
	SnapshotMount *mounts;
	HostVolume *volumes;
	const char **data;
	char **secret_sources;
	size_t secret_count;
} SnapshotPlan;

static void
snapshot_plan_clear(SnapshotPlan *plan)
{
	for (size_t i = 0; i < plan->secret_count; i++)
		free(plan->secret_sources[i]);
	free(plan->secret_sources);
	free(plan->mounts);
	free(plan->volumes);
	free(plan->data);
}

/* The last of the mounts. A machine of an older coordinator's has a /dev/shm of its own, which CRIU takes along itself.
 */
static bool
machine_has_host_shm(const Machine *machine)
{
	_cleanup_free_ char *inside = memory_printf("/proc/%d/root" SHM_TARGET, (int) machine->process.pid);
	struct stat here;
	struct stat there;

	return stat(machine->paths.shm, &here) == 0 && stat(inside, &there) == 0 && here.st_dev == there.st_dev;
}

static void
snapshot_plan_fill(const Machine *machine, SnapshotPlan *plan)
{
	size_t count = machine->spec.volume_count;
	size_t data_count = 0;

	*plan = (SnapshotPlan){.mounts = memory_allocate((count + machine->spec.secret_count + 4) * sizeof(*plan->mounts)),
						   .secret_sources = memory_allocate((machine->spec.secret_count + 1) * sizeof(char *)),
						   .secret_count = machine->spec.secret_count,
						   .volumes = memory_allocate((count + 1) * sizeof(*plan->volumes)),
						   .data = memory_allocate((count + 1) * sizeof(*plan->data))};
	for (size_t i = 0; i < count; i++)
	{
		const VolumeMount *mount = &machine->spec.volumes[i];
		const EngineVolume *volume = engine_find_volume(machine->engine, mount->name_space, mount->name);

		volume_plan(&machine->engine->layout, mount->name_space, mount->name, &plan->volumes[i]);
		plan->mounts[i] = (SnapshotMount){.target = mount->path,
										  .source = plan->volumes[i].data_path,
										  .read_only = volume != NULL && volume->spec.mode == VOLUME_READ_ONLY};
		if (volume != NULL && volume->spec.mode == VOLUME_WRITEABLE)
			plan->data[data_count++] = plan->volumes[i].data_path;
	}
	for (size_t i = 0; i < plan->secret_count; i++)
	{
		plan->secret_sources[i] = machine_secret_source(machine, i);
		plan->mounts[count++] = (SnapshotMount){
			.target = machine->spec.secrets[i].path, .source = plan->secret_sources[i], .read_only = true};
	}
	plan->mounts[count++] = (SnapshotMount){
		.target = "/run/lttle", .source = machine->paths.run_directory, .never_kept = POSTGRES_PASSWORD_NAME};
	if (machine_is_root_inside(machine))
		plan->mounts[count++] = (SnapshotMount){.target = ACTIVITY_TARGET, .source = machine->paths.activity};
	plan->mounts[count++] = (SnapshotMount){.target = "/run/lttle.log", .source = machine->paths.log};
	plan->mounts[count++] = (SnapshotMount){.target = SHM_TARGET, .source = machine->paths.shm, .on_account = true};
	plan->spec = (SnapshotSpec){.criu = machine->engine->criu,
								.criu_version = machine->engine->criu_version,
								.directory = machine->paths.snapshot,
								.cgroups = machine->engine->cgroups,
								.cgroup = machine->group,
								.network_path = machine->network.pin_path,
								.root = machine->rootfs.merged,
								.mounts = plan->mounts,
								.mount_count = count,
								.data_paths = plan->data,
								.data_count = data_count,
								.machine_pid = machine->process.pid};
}

/* ---- when ---- */

bool
machine_can_hibernate(Machine *machine)
{
	if (machine->engine->criu[0] == '\0')
	{
		text_copy(machine->refusal, sizeof(machine->refusal), machine->engine->criu_problem);
		return false;
	}
	if (!machine_can_be_woken(machine))
	{
		text_copy(machine->refusal, sizeof(machine->refusal),
				  "no exposed port is listened on, so no client could wake it");
		return false;
	}
	return true;
}

bool
machine_hibernate(Machine *machine, const char *reason)
{
	/* Under way already, or there: what is known of the clients that came meanwhile must stay. */
	if (machine->phase != PHASE_READY && machine->phase != PHASE_SUSPENDED)
		return machine_dispatch(machine, EVENT_HIBERNATE, reason);
	if (!machine_can_hibernate(machine))
		return false;
	machine->refusal[0] = '\0';
	machine->suspend_forced = true; /* sessions are kept on disk too */
	machine->facts.wake_wanted = false;
	machine->knocker[0] = '\0';
	machine->knocked_ns = 0;
	text_copy(machine->hibernate_reason, sizeof(machine->hibernate_reason), reason);
	steps_begin(&machine->steps);
	return machine_dispatch(machine, EVENT_HIBERNATE, reason);
}

void
machine_handle_hibernate_timer(evutil_socket_t fd, short what, void *context)
{
	Machine *machine = context;

	(void) fd;
	(void) what;
	if (machine->phase == PHASE_SUSPENDED && !machine_hibernate(machine, "hibernate-after"))
		log_warning("not hibernated", "machine", machine->label, "reason", machine->refusal);
}

/* The sleeping machine is thawed for a moment, because only a running extension can close its end of the channel. */
void
machine_wake_to_hibernate(Machine *machine)
{
	machine_cancel_memory_work(machine);
	door_close(machine->door);
	machine->door = NULL;
	machine_thaw(machine);
	machine->awake_since_ns = clock_monotonic_ns();
	if (machine->phase == PHASE_HIBERNATE_PREPARING)
		machine_send_prepare(machine);
	else
		machine_freeze(machine);
}

/* ---- to disk ---- */

/* What the jobs hand back. */
typedef struct DumpOutput
{
	SnapshotManifest manifest;
	Steps steps;
} DumpOutput;

typedef struct RestoreOutput
{
	pid_t pid;
	Steps steps;
} RestoreOutput;

static void
machine_handle_gate_knock(void *context, const DoorKnock *knock)
{
	Machine *machine = context;

	/* Who comes while the host is drained waits for the next coordinator. */
	if (engine_check_open(machine->engine, NULL) < 0)
		return;
	door_describe_knock(knock, machine->knocker, sizeof(machine->knocker));
	machine->knocked_ns = clock_monotonic_ns();
	machine_dispatch(machine, EVENT_KNOCK, machine->knocker);
}

/* Without a process the snapshot tells, and without a snapshot what was deployed. A regular machine that the host's
 * reboot has ended may well start for nothing. */
static bool
machine_wakes_on_connect(const Machine *machine)
{
	if (machine->phase == PHASE_HIBERNATED)
		return machine->manifest.extension_version[0] == '\0';
	if (machine->phase == PHASE_STOPPED)
		return machine->spec.mode == MODE_REGULAR || machine->spec.strategy != STRATEGY_MANUAL;
	return machine_is_plain(machine);
}

static int
machine_close_gate(Machine *machine, const GatePlan *plan, const SocketSet *listeners, Error *err)
{
	_cleanup_fd_ int namespace_fd = -1;
	GateSpec spec = {.loop = machine->engine->loop,
					 .keeper = machine->engine->doors,
					 .host_link = machine->network.host_link,
					 .plan = plan,
					 .server_uid =
						 machine_is_root_inside(machine) ? machine->record.server_uid : machine->image_config.uid,
					 .server_gid = machine->image_config.gid,
					 .plain = machine_wakes_on_connect(machine),
					 .knocked = machine_handle_gate_knock,
					 .context = machine};
	int result = network_open_namespace(&machine->network, &namespace_fd, err);

	if (result < 0)
		return result;
	spec.namespace_fd = namespace_fd;
	return gate_close(&spec, listeners, &machine->gate, err);
}

static int
dump_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	DumpOutput *dump = output;
	SnapshotPlan plan;
	int result;

	steps_begin(&dump->steps);
	dump->manifest = machine->manifest;
	snapshot_plan_fill(machine, &plan);
	plan.spec.steps = &dump->steps;
	if (!machine_has_host_shm(machine))
		plan.spec.mount_count--;
	/* A snapshot that counts is nothing without what is known of its sessions. */
	result = file_sync(machine->paths.gate, err);
	if (result == 0)
		result = snapshot_dump(&plan.spec, &dump->manifest, err);
	snapshot_plan_clear(&plan);
	return result;
}

/*
 * Bytes that only a frozen socket has must not go through a dump, in which they could be lost with CRIU or with the
 * snapshot: their client would wait for an answer for ever. A machine that has to go to disk for its volume takes them
 * along, or it might never come to it.
 */
static bool
machine_gate_was_late(Machine *machine)
{
	DoorKnock knock;
	char who[128];

	if (machine->facts.grow_wanted || !gate_was_late(machine->gate, &knock))
		return false;
	door_describe_knock(&knock, who, sizeof(who));
	machine_dispatch(machine, EVENT_BUSY, who);
	return true;
}

static void
machine_dump_failed(Machine *machine, const char *why)
{
	text_copy(machine->last_error, sizeof(machine->last_error), why);
	text_copy(machine->refusal, sizeof(machine->refusal), why);
	text_copy(machine->snapshot_problem, sizeof(machine->snapshot_problem), why);
	machine_dispatch(machine, EVENT_DUMP_FAILED, why);
}

static void
machine_dumped(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	DumpOutput dump;

	machine->work = NULL;
	steps_note(&machine->steps, "dump");
	if (result == -EOWNERDEAD)
	{
		/* CRIU died with the processes in its hands: what is left of them must not run. */
		text_copy(machine->last_error, sizeof(machine->last_error), err->message);
		text_copy(machine->snapshot_problem, sizeof(machine->snapshot_problem), err->message);
		machine->facts.restart_wanted = !machine->facts.delete_wanted;
		machine_dispatch(machine, EVENT_DUMP_BROKEN, err->message);
		return;
	}
	if (result < 0)
	{
		machine_dump_failed(machine, err->message);
		return;
	}
	memcpy(&dump, output, sizeof(dump));
	machine->manifest = dump.manifest;
	machine->has_snapshot = true;
	log_debug("snapshot written", "machine", machine->label, "steps", dump.steps.text);
	machine->snapshot_problem[0] = '\0';
	machine_dispatch(machine, EVENT_DUMPED, machine->hibernate_reason);
}

void
machine_dump(Machine *machine)
{
	JobSpec spec = {.name = "write snapshot",
					.function = dump_job,
					.input = machine,
					.output_bytes = sizeof(DumpOutput),
					.timeout_ms = DUMP_TIMEOUT_MS,
					.done = machine_dumped,
					.context = machine};
	GatePlan plan = {0};
	Error error;
	int result = fault_hit(FAULT_FROZEN, &error);

	machine->slept_since_ns = clock_monotonic_ns();
	steps_note(&machine->steps, "freeze");
	if (result == 0)
		result = gate_plan_from_sockets(&machine->sockets, &plan, &error);
	if (result == 0)
		result = gate_plan_save(&plan, machine->paths.gate, &error);
	if (result == 0)
		result = machine_close_gate(machine, &plan, &machine->sockets, &error);
	gate_plan_clear(&plan);
	socket_set_clear(&machine->sockets);
	steps_note(&machine->steps, "gate");
	if (result == 0)
		result = fault_hit(FAULT_GATE_CLOSED, &error);
	if (result == 0 && machine_gate_was_late(machine))
		return; /* what was promised is tried again, as after a last look that found somebody */
	machine->snapshot_promised = false;
	machine->strategy_until_ns = 0;
	if (result == 0)
	{
		machine->manifest = (SnapshotManifest){0};
		text_copy(machine->manifest.reason, sizeof(machine->manifest.reason), machine->hibernate_reason);
		text_copy(machine->manifest.image_id, sizeof(machine->manifest.image_id), machine->record.image_id);
		text_copy(machine->manifest.extension_version, sizeof(machine->manifest.extension_version),
				  machine->extension_version);
		result = job_start(machine->engine->loop, &spec, &machine->work, &error);
	}
	if (result < 0)
		machine_dump_failed(machine, error.message);
}

/* The processes are the truth again: first the snapshot goes, then they run. */
void
machine_undump(Machine *machine)
{
	Error error;

	(void) fault_hit(FAULT_UNDUMPING, NULL);
	machine_forget_snapshot(machine);
	machine_thaw(machine);
	if (machine->gate != NULL && gate_open(machine->gate, &error) < 0)
		log_error("gate not opened", "machine", machine->label, "reason", error.message);
	machine->gate = NULL;
	machine->facts.wake_wanted = false;
	machine->awake_since_ns = clock_monotonic_ns();
	machine_back_off(machine, machine_idle_timeout_ms(machine));
}

void
machine_forget_snapshot(Machine *machine)
{
	Error error;

	machine->has_snapshot = false;
	if (snapshot_remove(machine->paths.snapshot, &error) < 0)
		log_error("snapshot not removed", "machine", machine->label, "reason", error.message);
}

static int
empty_group_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	int result = shm_unmount(machine->paths.shm, err); /* what was in it is in the snapshot */

	(void) output;
	if (result == 0 && machine->engine->settings.reclaim)
		result = cgroup_reclaim(machine->engine->cgroups, machine->group, err);
	return result == -EAGAIN ? 0 : result; /* a page that somebody else has mapped stays */
}

static void
group_emptied(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;

	(void) output;
	machine->memory_work = NULL;
	if (result < 0)
		log_debug("cached files not given back", "machine", machine->label, "reason", err->message);
}

/* Processes are gone, but the files that they read, and the snapshot, are still cached on the machine's account. */
static void
machine_empty_group(Machine *machine)
{
	JobSpec spec = {.name = "give cached files back",
					.function = empty_group_job,
					.input = machine,
					.timeout_ms = REMOVE_TIMEOUT_MS,
					.done = group_emptied,
					.context = machine};
	Error error;

	machine_cancel_memory_work(machine);
	if (job_start(machine->engine->loop, &spec, &machine->memory_work, &error) < 0)
		log_debug("cached files not given back", "machine", machine->label, "reason", error.message);
}

/* The first process has ended after an eviction, and with it all others: what they left is cleared away. */
void
machine_rest(Machine *machine)
{
	Error error;

	machine_empty_group(machine);
	if (cgroup_set_frozen(machine->engine->cgroups, machine->group, false, &error) < 0)
		log_warning("control group not thawed", "machine", machine->label, "reason", error.message);
	if (machine->gate != NULL && gate_clear_sockets(machine->gate, &error) < 0)
		log_warning("sockets not cleared", "machine", machine->label, "reason", error.message);
	steps_note(&machine->steps, "evict");
	log_debug("on disk", "machine", machine->label, "steps", machine->steps.text);
}

/* ---- from disk ---- */

static int
restore_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	RestoreOutput *restore = output;
	SnapshotManifest manifest;
	SnapshotPlan plan;
	int result;

	steps_begin(&restore->steps);
	/* Those of an eviction that a killed coordinator began: the snapshot may not run beside them. */
	result = machine_end_processes(machine, err);
	if (result == 0)
		result = machine_prepare_host(machine, err);
	steps_note(&restore->steps, "host");
	snapshot_plan_fill(machine, &plan);
	plan.spec.steps = &restore->steps;
	if (result == 0)
		result = snapshot_read_manifest(machine->paths.snapshot, &manifest, err);
	if (result == 0)
		result = snapshot_verify(&plan.spec, &manifest, machine->record.image_id, err);
	steps_note(&restore->steps, "verify");
	if (result == 0)
		result = snapshot_restore(&plan.spec, &restore->pid, err);
	snapshot_plan_clear(&plan);
	return result;
}

static void
machine_restored(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	RestoreOutput restore;
	Error error = *err;

	machine->work = NULL;
	machine_secrets_free(machine->secrets);
	machine->secrets = NULL;
	machine_leave_turn(machine, TURN_RESTORE);
	steps_note(&machine->steps, "restore");
	if (result == 0)
	{
		memcpy(&restore, output, sizeof(restore));
		result = pidref_open(restore.pid, &machine->process, &error);
	}
	if (result == 0)
	{
		log_debug("snapshot restored", "machine", machine->label, "steps", restore.steps.text);
		machine->record.pid = machine->process.pid;
		machine->record.start_time = machine->process.start_time;
		machine->last_error[0] = '\0';
		machine_dispatch(machine, EVENT_RESTORED, machine->knocker);
	}
	else
	{
		text_copy(machine->last_error, sizeof(machine->last_error), error.message);
		/* The cold start that follows goes well and clears the other. */
		text_copy(machine->snapshot_problem, sizeof(machine->snapshot_problem), error.message);
		machine_dispatch(machine, EVENT_RESTORE_FAILED, error.message);
	}
	engine_serve_turns(machine->engine, TURN_RESTORE);
}

void
machine_begin_restore(Machine *machine)
{
	JobSpec spec = {.name = "restore snapshot",
					.function = restore_job,
					.input = machine,
					.output_bytes = sizeof(RestoreOutput),
					.timeout_ms = RESTORE_TIMEOUT_MS,
					.done = machine_restored,
					.context = machine,
					.patient = true};
	Error error;
	int result = 0;

	steps_note(&machine->steps, "queue");
	/* The worker connects as soon as it runs, and is heard when the machine is ready: its HELLO is answered RESUMED. */
	if (machine->flash == NULL)
		result = machine_open_flash(machine, &error);
	if (result == 0)
		result = flash_channel_listen(machine->flash, &error);
	/* They have stayed where they were, unless the host was started anew. */
	if (result == 0 && machine->spec.secret_count > 0 && !secret_files_are_mounted(machine->paths.secrets))
		result = machine_secrets_resolve(machine, false, &machine->secrets, &error);
	if (result == 0)
		result = job_start(machine->engine->loop, &spec, &machine->work, &error);
	if (result < 0)
		machine_restored(machine, result, NULL, &error);
}

void
machine_restore(Machine *machine)
{
	if (machine->knocked_ns == 0)
		machine->knocked_ns = clock_monotonic_ns();
	steps_begin(&machine->steps);
	machine->facts.wake_wanted = false;
	machine_cancel_memory_work(machine);
	machine_wait_for_turn(machine, TURN_RESTORE);
}

static int
remove_snapshot_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;

	(void) output;
	return snapshot_remove(machine->paths.snapshot, err);
}

static void
snapshot_removed(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;

	(void) output;
	machine->memory_work = NULL;
	if (result < 0)
		log_warning("spent snapshot not removed", "machine", machine->label, "reason", err->message);
}

/* By the wall clock, because no other goes on while the host is off. */
static uint64_t
machine_time_on_disk_ms(const Machine *machine)
{
	uint64_t now_ms = clock_realtime_ms();

	return now_ms > machine->manifest.created_ms ? now_ms - machine->manifest.created_ms : 0;
}

void
machine_resume(Machine *machine)
{
	JobSpec spec = {.name = "remove spent snapshot",
					.function = remove_snapshot_job,
					.input = machine,
					.timeout_ms = REMOVE_TIMEOUT_MS,
					.done = snapshot_removed,
					.context = machine};
	uint64_t now_ns = clock_monotonic_ns();
	Error error;

	(void) fault_hit(FAULT_RESUMING, NULL);
	if (machine->gate != NULL && gate_open(machine->gate, &error) < 0)
		log_error("gate not opened", "machine", machine->label, "reason", error.message);
	machine->gate = NULL;
	steps_note(&machine->steps, "gate");
	log_debug("back from disk", "machine", machine->label, "steps", machine->steps.text);
	(void) fault_hit(FAULT_RESUMED, NULL);
	machine_watch_process(machine);
	machine->has_snapshot = false;
	machine->record.wakes++;
	machine->record.last_wake_ms = clock_realtime_ms();
	machine->record.last_wake_us = (now_ns - machine->knocked_ns) / 1000;
	text_copy(machine->record.woken_by, sizeof(machine->record.woken_by), machine->knocker);
	machine->knocker[0] = '\0';
	machine->knocked_ns = 0;
	/* The extension comes with a new HELLO; the answer to that carries RESUMED. */
	machine->resumed_pending = true;
	machine->resumed_slept_ms = machine_time_on_disk_ms(machine);
	machine_listen_flash(machine);
	machine_enter_ready(machine);
	machine_note_client_wake(machine, now_ns);
	machine_save(machine);
	if (machine->memory_work == NULL && job_start(machine->engine->loop, &spec, &machine->memory_work, &error) < 0)
		log_warning("spent snapshot not removed", "machine", machine->label, "reason", error.message);
}

/* The sessions are lost; new clients wait at the stubs until the server listens (machine_enter_ready hands over). */
void
machine_start_cold(Machine *machine)
{
	Error error;

	machine->has_snapshot = false;
	machine->keep_error = true;
	machine->knocker[0] = '\0';
	machine->knocked_ns = 0;
	if (snapshot_set_aside(machine->paths.snapshot, &error) < 0)
		log_error("refused snapshot not set aside", "machine", machine->label, "reason", error.message);
	if (machine->gate != NULL && gate_drop_sessions(machine->gate, &error) < 0)
		log_error("lost sessions not told", "machine", machine->label, "reason", error.message);
	machine_create(machine);
}

void
machine_discard(Machine *machine)
{
	Error error;

	job_cancel(machine->work);
	machine->work = NULL;
	machine_leave_turn(machine, TURN_RESTORE);
	if (machine->gate != NULL && gate_end_sessions(machine->gate, &error) < 0)
		log_error("lost sessions not told", "machine", machine->label, "reason", error.message);
	gate_free(machine->gate);
	machine->gate = NULL;
	machine_forget_snapshot(machine);
	machine_tear_down(machine);
	engine_serve_turns(machine->engine, TURN_RESTORE);
}

/* ---- a new coordinator ---- */

/* A machine without a snapshot has no sessions, and listens where it is exposed. */
static void
machine_plan_cold_gate(const Machine *machine, GatePlan *plan)
{
	size_t port_count = 0;
	_cleanup_free_ uint16_t *ports = machine_list_ports(machine, &port_count);

	*plan = (GatePlan){.ports = memory_allocate((2 * port_count + 1) * sizeof(GatePort))};
	for (size_t i = 0; i < port_count; i++)
	{
		GatePort *port = &plan->ports[plan->port_count++];
		struct sockaddr_in *address = (struct sockaddr_in *) &port->address;

		*port = (GatePort){.backlog = STUB_BACKLOG};
		address->sin_family = AF_INET;
		address->sin_port = htons(ports[i]);
		if (machine->network.has_ipv6)
		{
			struct sockaddr_in6 *address6;

			port = &plan->ports[plan->port_count++];
			*port = (GatePort){.backlog = STUB_BACKLOG, .v6_only = true};
			address6 = (struct sockaddr_in6 *) &port->address;
			address6->sin6_family = AF_INET6;
			address6->sin6_port = htons(ports[i]);
		}
	}
}

void
machine_reclaim_from_disk(Machine *machine)
{
	GatePlan plan = {0};
	Error error;

	machine_forget_snapshot(machine);
	if (gate_plan_load(machine->paths.gate, &plan, &error) == 0 &&
		machine_close_gate(machine, &plan, NULL, &error) == 0 && gate_open(machine->gate, &error) < 0)
		log_error("gate not opened", "machine", machine->label, "reason", error.message);
	machine->gate = NULL;
	gate_plan_clear(&plan);
}

void
machine_end_sessions_left(Machine *machine)
{
	_cleanup_fd_ int namespace_fd = -1;
	GatePlan plan = {0};
	Error error;
	int result = gate_plan_load(machine->paths.gate, &plan, &error);

	if (result == 0)
		result = network_open_namespace(&machine->network, &namespace_fd, &error);
	if (result == 0)
		result = gate_end_sessions_left(namespace_fd, &plan, &error);
	if (result < 0)
		log_warning("lost sessions not told", "machine", machine->label, "reason", error.message);
	gate_plan_clear(&plan);
}

/* The gate first, then the route to it: whoever comes is let in or waits, and nobody is refused. */
static int
machine_put_gate(Machine *machine, Error *err)
{
	bool there = network_exists(&machine->network);
	GatePlan plan = {0};
	int result = there ? 0 : network_create_apart(&machine->network, err);

	if (result == 0 && machine->phase == PHASE_HIBERNATED)
		result = gate_plan_load(machine->paths.gate, &plan, err);
	else if (result == 0)
		machine_plan_cold_gate(machine, &plan);
	if (result == 0)
		result = machine_close_gate(machine, &plan, NULL, err);
	/* Of processes that were ended only now, and could not say so to their clients. */
	if (result == 0 && machine->phase == PHASE_HIBERNATED)
		result = gate_clear_sockets(machine->gate, err);
	/* A server that starts cold binds as its own user, and stubs of another user's would be in its way. */
	if (result == 0 && machine->phase == PHASE_STOPPED)
		result = gate_drop_sessions(machine->gate, err);
	if (result == 0 && !there)
		result = network_connect(&machine->network, err);
	if (result == 0)
		reach_note_link(machine->engine->reach, machine);
	gate_plan_clear(&plan);
	return result;
}

void
machine_keep_gate(Machine *machine)
{
	Error error;

	machine->slept_since_ns = clock_monotonic_ns();
	if (machine_put_gate(machine, &error) == 0)
		return;
	log_error("gate not closed; starting at once", "machine", machine->label, "reason", error.message);
	machine_dispatch(machine, EVENT_WAKE, "no gate");
}
