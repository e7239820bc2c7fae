/*
 * A machine's life around its processes: fetching the image, creating what it needs, launching, noticing its end,
 * restarting, stopping, giving everything back. Slow steps are jobs.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"
#include "engine/machine_secrets.h"
#include "engine/reach.h"
#include "host/resolver.h"
#include "host/launch.h"
#include "host/port_share.h"
#include "host/reclaim.h"
#include "host/secret_files.h"
#include "host/shm.h"

#define CREATE_TIMEOUT_MS	 (5 * 60 * 1000)
#define TEAR_DOWN_TIMEOUT_MS (2 * 60 * 1000)
#define EXIT_WAIT_MS		 10000
#define EXIT_STATUS_LOOKS	 40
#define EXIT_STATUS_PAUSE_MS 5

/* PostgreSQL takes one process a connection; this leaves room for max_connections of 1,000 and keeps a fork bomb in. */
#define MACHINE_MAX_PROCESSES 4096

void
machine_fail(Machine *machine, FsmEvent event, const char *message)
{
	snprintf(machine->last_error, sizeof(machine->last_error), "%.500s", message);
	machine_dispatch(machine, event, message);
}

void
machine_start_work(Machine *machine, const JobSpec *spec, FsmEvent failed)
{
	Error error;

	if (job_start(machine->engine->loop, spec, &machine->work, &error) < 0)
	{
		machine->work = NULL;
		machine_fail(machine, failed, error.message);
	}
}

/* ---- creating ---- */

/*
 * As large as it is written: in use where the kernel lets us, else at rest, which it is while its one machine is. A
 * client that waits for a restore does not wait for the kernel to let go of a volume.
 */
static int
grow_volume(const Machine *machine, const EngineVolume *volume, const HostVolume *host, Error *err)
{
	int result = volume_grow(host, volume->spec.size_bytes, err);

	if (result == -EBUSY && machine->phase != PHASE_RESUMING &&
		engine_only_user(machine->engine, &volume->spec) == machine)
		result = volume_grow_at_rest(host, volume->spec.size_bytes, err);
	return result == -EBUSY ? 0 : result;
}

int
machine_mount_volumes(const Machine *machine, Error *err)
{
	for (size_t i = 0; i < machine->spec.volume_count; i++)
	{
		const VolumeMount *mount = &machine->spec.volumes[i];
		const EngineVolume *volume = engine_find_volume(machine->engine, mount->name_space, mount->name);
		HostVolume host;
		int result;

		if (volume == NULL)
			return error_set(err, -ENOENT, "volume %s/%s: does not exist", mount->name_space, mount->name);
		volume_plan(&machine->engine->layout, mount->name_space, mount->name, &host);
		result = access(host.image_path, F_OK) == 0 ? 0 : volume_create(&host, volume->spec.size_bytes, err);
		if (result == 0)
			result = grow_volume(machine, volume, &host, err);
		if (result == 0)
			result = volume_mount(&host, machine->image_config.uid, machine->image_config.gid,
								  volume->spec.mode == VOLUME_READ_ONLY, err);
		if (result < 0)
			return result;
	}
	return 0;
}

static const char *
environment_name_end(const char *assignment)
{
	const char *equals = strchr(assignment, '=');

	return equals == NULL ? assignment + strlen(assignment) : equals;
}

/* The image's environment, with the app's on top. The caller is a job's child and lets its exit free it. */
static const char **
create_environment(const Machine *machine)
{
	size_t image_count = 0;
	size_t count = 0;
	const char **environment;

	while (machine->image_config.environment != NULL && machine->image_config.environment[image_count] != NULL)
		image_count++;
	environment = memory_allocate((image_count + machine->spec.environment_count + 2) * sizeof(char *));
	for (size_t i = 0; i < image_count; i++)
	{
		const char *assignment = machine->image_config.environment[i];
		size_t name_bytes = (size_t) (environment_name_end(assignment) - assignment);
		bool replaced = false;

		for (size_t k = 0; k < machine->spec.environment_count; k++)
		{
			const char *name = machine->spec.environment[k].name;

			replaced = replaced || (strlen(name) == name_bytes && strncmp(name, assignment, name_bytes) == 0);
		}
		if (!replaced)
			environment[count++] = assignment;
	}
	for (size_t k = 0; k < machine->spec.environment_count; k++)
		environment[count++] = machine->secrets->environment[k];
	return environment;
}

/* Entrypoint and command as the OCI image specification combines them; the app's command replaces the image's. */
static const char **
create_arguments(const Machine *machine)
{
	char **parts[2] = {machine->image_config.entrypoint,
					   machine->spec.command != NULL ? machine->spec.command : machine->image_config.command};
	const char **arguments;
	size_t count = 0;

	for (size_t part = 0; part < 2; part++)
		for (size_t i = 0; parts[part] != NULL && parts[part][i] != NULL; i++)
			count++;
	arguments = memory_allocate((count + 1) * sizeof(char *));
	count = 0;
	for (size_t part = 0; part < 2; part++)
		for (size_t i = 0; parts[part] != NULL && parts[part][i] != NULL; i++)
			arguments[count++] = parts[part][i];
	return arguments;
}

bool
machine_is_root_inside(const Machine *machine)
{
	return machine->image_config.uid == 0;
}

static int
create_launch(const Machine *machine, pid_t *ret_pid, Error *err)
{
	size_t mount_count = 0;
	LaunchMount *mounts =
		memory_allocate((machine->spec.volume_count + machine->spec.secret_count + 3) * sizeof(*mounts));
	HostVolume *volumes = memory_allocate((machine->spec.volume_count + 1) * sizeof(*volumes));
	_cleanup_text_ Text resolv_conf = {0};
	LaunchSpec spec = {.cgroups = machine->engine->cgroups,
					   .cgroup = machine->group,
					   .network_path = machine->network.pin_path,
					   .root = machine->rootfs.merged,
					   .hostname = machine->spec.name,
					   .mounts = mounts,
					   .log_path = machine->paths.log,
					   .argv = create_arguments(machine),
					   .environment = create_environment(machine),
					   .working_directory = machine->image_config.working_directory,
					   .volumes = (const char *const *) machine->image_config.volumes,
					   .uid = machine->image_config.uid,
					   .gid = machine->image_config.gid};

	if (spec.argv[0] == NULL)
	{
		char image[MACHINE_IMAGE_BYTES];

		machine_image_name(machine, image);
		return error_set(err, -EINVAL, "image %s: has neither an entrypoint nor a command, and the app names none",
						 image);
	}
	resolver_print_machine_conf(&machine->engine->layout, machine->spec.name_space, &resolv_conf);
	spec.resolv_conf = text_string(&resolv_conf);
	mounts[mount_count++] = (LaunchMount){.source = machine->paths.run_directory, .target = "/run/lttle"};
	for (size_t i = 0; i < machine->spec.volume_count; i++)
	{
		const VolumeMount *mount = &machine->spec.volumes[i];
		const EngineVolume *volume = engine_find_volume(machine->engine, mount->name_space, mount->name);

		volume_plan(&machine->engine->layout, mount->name_space, mount->name, &volumes[i]);
		mounts[mount_count++] = (LaunchMount){.source = volumes[i].data_path,
											  .target = mount->path,
											  .read_only = volume != NULL && volume->spec.mode == VOLUME_READ_ONLY};
	}
	for (size_t i = 0; i < machine->spec.secret_count; i++)
		mounts[mount_count++] = (LaunchMount){
			.source = machine_secret_source(machine, i), .target = machine->spec.secrets[i].path, .read_only = true};
	mounts[mount_count++] = (LaunchMount){.source = machine->paths.shm, .target = SHM_TARGET};
	if (machine_is_root_inside(machine))
	{
		mounts[0].read_only = true;
		mounts[mount_count++] = (LaunchMount){.source = machine->paths.activity, .target = ACTIVITY_TARGET};
	}
	spec.mount_count = mount_count;
	return launch_machine(&spec, ret_pid, err);
}

CgroupLimits
machine_limits(const Machine *machine)
{
	return (CgroupLimits){.cpus = machine->spec.cpus,
						  .cpu_weight = cgroup_cpu_weight_of(machine->spec.cpus),
						  .memory_bytes = machine->spec.memory_mib << 20,
						  .pids_max = MACHINE_MAX_PROCESSES};
}

int
machine_prepare_host(const Machine *machine, Error *err)
{
	CgroupLimits limits = machine_limits(machine);
	int result = machine_mount_volumes(machine, err);

	if (result == 0)
		result = shm_mount(machine->paths.shm, err);
	if (result == 0)
		result = machine_mount_secrets(machine, err);
	if (result == 0)
		result = rootfs_mount(&machine->rootfs, err);
	if (result == 0 && !network_exists(&machine->network))
		result = network_create(&machine->network, err);
	if (result == 0)
		result = cgroup_create(machine->engine->cgroups, machine->group, &limits, err);
	if (result == 0) /* a machine that was killed in its sleep has left it frozen */
		result = cgroup_set_frozen(machine->engine->cgroups, machine->group, false, err);
	return result;
}

int
machine_end_processes(const Machine *machine, Error *err)
{
	const CgroupHierarchy *cgroups = machine->engine->cgroups;
	_cleanup_fd_ int events_fd = -1;
	uint64_t deadline_ns = clock_monotonic_ns() + EXIT_WAIT_MS * NS_PER_MS;
	bool frozen;
	bool populated = true;
	int result = cgroup_kill(cgroups, machine->group, err);

	if (result < 0)
		return result;
	if (cgroup_open_events(cgroups, machine->group, &events_fd, err) < 0)
		return 0; /* the group isn't there */
	while ((result = cgroup_read_events(events_fd, &frozen, &populated, err)) == 0 && populated)
	{
		struct pollfd change = {.fd = events_fd, .events = POLLPRI};

		if (clock_monotonic_ns() > deadline_ns)
			return error_set(err, -EBUSY, "machine %s: its processes do not end", machine->label);
		poll(&change, 1, 100);
	}
	return result;
}

static int
create_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	int result = machine_end_processes(machine, err); /* a restore that was cut off may have left some */

	if (result == 0)
		result = shm_unmount(machine->paths.shm, err); /* a new machine finds it empty */
	if (result == 0)
		result = secret_files_unmount(machine->paths.secrets, err);
	if (result == 0)
		result = machine_prepare_host(machine, err);
	if (result == 0)
		result = machine_install_init_scripts(machine, err);
	/* Clients may be waiting at the gate's stubs, on the ports that the server is about to bind. */
	if (result == 0 && machine->gate != NULL)
		result = port_share_enable(machine->engine->cgroups, machine->group, err);
	/* Where it can't be attached the coordinator looks for itself: see machine_begin_strategy. */
	if (result == 0 && machine_notices_listening(machine))
		(void) !listen_watch_attach(machine->engine->cgroups, machine->group, NULL);
	return result < 0 ? result : create_launch(machine, output, err);
}

static void
machine_created(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	Error error = *err;
	pid_t pid;

	machine->work = NULL;
	if (result == 0)
		machine->record.secrets_revision = machine->secrets->revision;
	machine_secrets_free(machine->secrets);
	machine->secrets = NULL;
	if (result == 0)
	{
		memcpy(&pid, output, sizeof(pid));
		result = pidref_open(pid, &machine->process, &error);
		if (result == -ESRCH)
		{
			/* It ran and has ended already: that is its own doing, and the restart rules apply. */
			machine->record.pid = 0;
			if (!child_take_status(pid, &machine->exit_status))
				machine->exit_status = -1;
			machine_dispatch(machine, EVENT_CREATED, NULL);
			machine_settle_exit(machine);
			machine_dispatch(machine, EVENT_EXITED, "it ended at once");
			return;
		}
	}
	if (result < 0)
	{
		machine_fail(machine, EVENT_CREATE_FAILED, error.message);
		return;
	}
	reach_note_link(machine->engine->reach, machine);
	machine->record.pid = machine->process.pid;
	machine->record.start_time = machine->process.start_time;
	if (!machine->keep_error)
		machine->last_error[0] = '\0';
	machine->keep_error = false;
	machine_dispatch(machine, EVENT_CREATED, NULL);
}

/* The run directory is the coordinator's: the machine may write the activity page and connect to the socket, no more,
 * so that it cannot plant links for the coordinator to follow. Modes see to that, and where its user is root, who minds
 * no modes, a read-only mount. */
int
machine_open_flash(Machine *machine, Error *err)
{
	FlashChannelHandlers handlers = {
		.message = machine_handle_flash, .lost = machine_handle_flash_lost, .context = machine};
	uid_t uid = machine->image_config.uid;
	gid_t gid = machine->image_config.gid;
	_cleanup_fd_ int fd = -1;
	int result = file_make_directory(machine->paths.run_directory, 0755, err);

	if (result < 0)
		return result;
	fd = open(machine->paths.activity, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fchown(fd, uid, gid) < 0)
		return error_set_errno(err, errno, "%s", machine->paths.activity);
	machine_write_ignored(machine);
	result = machine_write_cluster_files(machine, err);
	if (result < 0)
		return result;
	flash_channel_close(machine->flash);
	machine->flash = NULL;
	return flash_channel_open(machine->engine->loop, machine->paths.flash_socket, uid, gid, &handlers, &machine->flash,
							  err);
}

void
machine_begin_create(Machine *machine)
{
	JobSpec spec = {.name = "create machine",
					.function = create_job,
					.input = machine,
					.output_bytes = sizeof(pid_t),
					.timeout_ms = CREATE_TIMEOUT_MS,
					.done = machine_created,
					.context = machine,
					.patient = true};
	Error error;
	int result;

	machine->facts.restart_wanted = false;
	machine->facts.stays_down = false;
	machine->facts.first_start_failed = false;
	machine->snapshot_promised = false;
	machine->strategy_until_ns = 0;
	machine->extension_version[0] = '\0';
	evtimer_del(machine->restart_timer);
	result = machine_load_image(machine, &error);
	if (result == 0)
		result = file_make_directory(machine->paths.directory, 0700, &error);
	machine_secrets_free(machine->secrets);
	machine->secrets = NULL;
	if (result == 0)
		result = machine_secrets_resolve(machine, true, &machine->secrets, &error);
	unlink(machine->paths.activity); /* what another image wrote would be taken for this one's */
	if (result == 0)
		result = machine_open_flash(machine, &error);
	if (result < 0)
	{
		machine_fail(machine, EVENT_CREATE_FAILED, error.message);
		return;
	}
	unlink(machine->paths.hotset); /* of another run's address space */
	machine_start_work(machine, &spec, EVENT_CREATE_FAILED);
}

/* ---- the first process ---- */

static void machine_handle_exit(evutil_socket_t fd, short what, void *context);

/*
 * A process that ends at once may be the creating job's child still, and how it ended is told to the coordinator when
 * that job has gone, in a moment. One that was adopted is another's child for good: its end is not waited for long.
 */
static bool
machine_awaits_exit_status(Machine *machine, int *ret_status)
{
	*ret_status = -1;
	if (child_take_status(machine->process.pid, ret_status) || kill(machine->process.pid, 0) < 0)
		return false;
	if (machine->exit_looks++ == EXIT_STATUS_LOOKS)
		return false;
	event_free(machine->exit_event);
	machine->exit_event = evtimer_new(machine->engine->loop, machine_handle_exit, machine);
	machine_start_timer(machine->exit_event, EXIT_STATUS_PAUSE_MS);
	return true;
}

static void
machine_handle_exit(evutil_socket_t fd, short what, void *context)
{
	Machine *machine = context;
	char detail[64] = "";

	(void) fd;
	(void) what;
	if (machine_awaits_exit_status(machine, &machine->exit_status))
		return;
	event_free(machine->exit_event);
	machine->exit_event = NULL;
	pidref_close(&machine->process);
	machine->record.pid = 0;
	machine->record.start_time = 0;

	machine_stop_freeze_watch(machine);
	machine_cancel_memory_work(machine);
	machine_end_strategy(machine);
	door_close(machine->door);
	machine->door = NULL;
	if (machine->exit_status >= 0 && WIFEXITED(machine->exit_status))
		snprintf(detail, sizeof(detail), "exit status %d", WEXITSTATUS(machine->exit_status));
	else if (machine->exit_status >= 0 && WIFSIGNALED(machine->exit_status))
		snprintf(detail, sizeof(detail), "killed by signal %d", WTERMSIG(machine->exit_status));
	machine_settle_exit(machine);
	/* Killed by somebody else while its snapshot was written: that one is worthless now, and a restart is due. */
	if (machine->phase == PHASE_DUMPING)
		machine->facts.restart_wanted = !machine->facts.delete_wanted && !machine->facts.stays_down;
	if (machine->phase == PHASE_EVICTING)
	{
		(void) fault_hit(FAULT_EVICTED, NULL);
		machine_rest(machine);
	}
	machine_dispatch(machine, EVENT_EXITED, detail);
}

static void
machine_add_exit_event(Machine *machine)
{
	machine->exit_looks = 0;
	machine->exit_event = event_new(machine->engine->loop, machine->process.fd, EV_READ, machine_handle_exit, machine);
	event_add(machine->exit_event, NULL);
}

void
machine_watch_process(Machine *machine)
{
	machine->started_ns = clock_monotonic_ns();
	machine_watch_log(machine);
	if (machine->process.fd < 0)
		return;
	machine_add_exit_event(machine);
	machine_save(machine);
	if (machine->phase == PHASE_BOOTING)
		machine_begin_strategy(machine);
}

int
machine_adopt_process(Machine *machine, Error *err)
{
	int result = pidref_reopen(machine->record.pid, machine->record.start_time, &machine->process, err);

	if (result < 0)
		return result;
	machine->started_ns = clock_monotonic_ns();
	machine_watch_log(machine);
	machine_add_exit_event(machine);
	return 0;
}

void
machine_schedule_restart(Machine *machine)
{
	const Settings *settings = &machine->engine->settings;
	uint64_t ran_ms = (clock_monotonic_ns() - machine->started_ns) / NS_PER_MS;

	snprintf(machine->last_error, sizeof(machine->last_error), "%.255s", machine->record.reason);
	machine->record.restarts++;
	/* Who ran for longer than the longest delay has recovered: the next crash is a new one. */
	if (ran_ms > settings->restart_delay_max_ms)
		machine->restart_delay_ms = settings->restart_delay_ms;
	machine_start_timer(machine->restart_timer, machine->restart_delay_ms);
	machine->restart_delay_ms *= 2;
	if (machine->restart_delay_ms > settings->restart_delay_max_ms)
		machine->restart_delay_ms = settings->restart_delay_max_ms;
	machine_save(machine);
}

/* ---- stopping ---- */

void
machine_stop_process(Machine *machine)
{
	int number = SIGTERM;
	Error error = {0};

	evtimer_del(machine->hotset_timer);
	machine_cancel_memory_work(machine);
	if (machine->image_config.stop_signal != NULL &&
		image_stop_signal(machine->image_config.stop_signal, &number, &error) < 0)
		log_warning("unknown stop signal, using SIGTERM", "machine", machine->label, "reason", error.message);
	if (machine->process.fd < 0)
		machine_dispatch(machine, EVENT_EXITED, NULL);
	else if (pidref_kill(&machine->process, number, &error) < 0)
		log_error("stop signal not sent", "machine", machine->label, "reason", error.message);
}

void
machine_kill(Machine *machine)
{
	Error error;

	if (cgroup_kill(machine->engine->cgroups, machine->group, &error) < 0)
		log_error("not killed", "machine", machine->label, "reason", error.message);
}

static int
tear_down_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	int result = machine_end_processes(machine, err);

	(void) output;
	if (result == 0 && machine->rootfs.merged[0] != '\0')
		result = rootfs_unmount(&machine->rootfs, err);
	if (result == 0)
		result = shm_unmount(machine->paths.shm, err);
	if (result == 0)
		result = secret_files_unmount(machine->paths.secrets, err);
	for (size_t i = 0; result == 0 && i < machine->spec.volume_count; i++)
	{
		HostVolume volume;

		volume_plan(&machine->engine->layout, machine->spec.volumes[i].name_space, machine->spec.volumes[i].name,
					&volume);
		result = volume_unmount(&volume, err);
		if (result == -EBUSY)
			result = 0; /* another machine reads it */
	}
	if (result == 0)
		result = network_remove(&machine->network, err);
	if (result == 0)
		result = cgroup_remove(machine->engine->cgroups, machine->group, err);
	return result;
}

static void
machine_torn_down(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;

	(void) output;
	machine->work = NULL;
	machine->tearing_down = false;
	if (result < 0)
	{
		snprintf(machine->last_error, sizeof(machine->last_error), "%.500s", err->message);
		log_error("not everything was given back", "machine", machine->label, "reason", err->message);
	}
	machine_dispatch(machine, EVENT_TORN_DOWN, result < 0 ? err->message : NULL);
}

void
machine_tear_down(Machine *machine)
{
	JobSpec spec = {.name = "tear down machine",
					.function = tear_down_job,
					.input = machine,
					.timeout_ms = TEAR_DOWN_TIMEOUT_MS,
					.done = machine_torn_down,
					.context = machine,
					.patient = true};
	Error error;

	/* Where processes still live the tear-down itself ends them, and their end is told while it runs. */
	if (machine->tearing_down)
		return;
	machine->tearing_down = true;
	evtimer_del(machine->restart_timer);
	machine_cancel_memory_work(machine);
	gate_free(machine->gate);
	machine->gate = NULL;
	flash_channel_close(machine->flash);
	machine->flash = NULL;
	if (machine->rootfs.merged[0] == '\0')
		rootfs_plan("", machine->paths.directory, &machine->rootfs);
	if (job_start(machine->engine->loop, &spec, &machine->work, &error) < 0)
		machine_torn_down(machine, error.code, NULL, &error);
}

static int
forget_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	int result = file_remove_tree(machine->paths.directory, err);

	(void) output;
	if (result == 0)
		result = file_remove_tree(machine->paths.run_directory, err);
	return result;
}

static void
machine_forgotten(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;

	(void) output;
	machine->work = NULL;
	if (result < 0)
		log_error("files left behind", "machine", machine->label, "reason", err->message);
	engine_remove_machine(machine->engine, machine);
}

void
machine_forget(Machine *machine)
{
	JobSpec spec = {.name = "remove machine",
					.function = forget_job,
					.input = machine,
					.timeout_ms = TEAR_DOWN_TIMEOUT_MS,
					.done = machine_forgotten,
					.context = machine,
					.patient = true};
	Error error;

	if (job_start(machine->engine->loop, &spec, &machine->work, &error) < 0)
		machine_forgotten(machine, error.code, NULL, &error);
}
