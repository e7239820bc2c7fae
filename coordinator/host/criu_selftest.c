/*
 * Tries CRIU for real: a shell that counts, started by the real launcher on the host's own root, is dumped, killed,
 * restored, and has to go on counting. Everything but the control group lives in mount and network namespaces that go
 * with the process.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/criu.h"
#include "host/launch.h"
#include "host/rootfs.h"
#include "host/snapshot.h"

#define TEST_UID	65534
#define PATIENCE_NS (20 * NS_PER_SECOND)
#define RETRY_MS	5
#define PATH_BYTES	512
#define SCRIPT		"n=0; while :; do n=$((n + 1)); echo $n >/run/lttle/count; done"

typedef struct Trial
{
	const char *criu;
	const CgroupHierarchy *cgroups;
	const char *group;
	const char *base; /* an empty directory; covered with a tmpfs */
	char run[PATH_BYTES];
	char log[PATH_BYTES];
	char directory[PATH_BYTES];
	RootfsPlan root;
	bool has_usr; /* /usr is a file system of its own */
} Trial;

static int
read_count(const Trial *trial, uint64_t *ret_count)
{
	char path[PATH_BYTES + 8];

	*ret_count = 0;
	snprintf(path, sizeof(path), "%s/count", trial->run);
	/* It may be read between its truncation and its next line. */
	return file_read_number(path, ret_count, NULL);
}

static int
await_count(const Trial *trial, uint64_t more_than, const char *what, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
	uint64_t count;

	while (read_count(trial, &count) < 0 || count <= more_than)
	{
		if (clock_monotonic_ns() > deadline_ns)
			return error_set(err, -ETIMEDOUT, "%s does nothing", what);
		poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

static int
await_group(const Trial *trial, bool want_frozen, bool want_populated, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
	_cleanup_fd_ int events_fd = -1;
	bool frozen;
	bool populated;
	int result = cgroup_open_events(trial->cgroups, trial->group, &events_fd, err);

	while (result == 0)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};

		result = cgroup_read_events(events_fd, &frozen, &populated, err);
		if (result == 0 && frozen == want_frozen && populated == want_populated)
			return 0;
		if (result == 0 && clock_monotonic_ns() > deadline_ns)
			return error_set(err, -ETIMEDOUT, "the processes %s", want_populated ? "do not freeze" : "do not end");
		poll(&polled, 1, 100);
	}
	return result;
}

static int
freeze(const Trial *trial, Error *err)
{
	int result = cgroup_set_frozen(trial->cgroups, trial->group, true, err);

	return result == 0 ? await_group(trial, true, true, err) : result;
}

static int
end_all(const Trial *trial, Error *err)
{
	int result = cgroup_kill(trial->cgroups, trial->group, err);

	if (result == 0)
		result = cgroup_set_frozen(trial->cgroups, trial->group, false, err);
	return result == 0 ? await_group(trial, false, false, err) : result;
}

/* CRIU tries the kernel's TCP on the loopback address. */
static int
raise_loopback(Error *err)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_set_errno(err, errno, "link lo up");
	return 0;
}

static int
make_places(Trial *trial, Error *err)
{
	struct stat root;
	struct stat usr;
	int result;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", trial->base, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0755") < 0)
		return error_set_errno(err, errno, "%s: mount a tmpfs", trial->base);
	snprintf(trial->run, sizeof(trial->run), "%s/run", trial->base);
	snprintf(trial->log, sizeof(trial->log), "%s/log", trial->base);
	snprintf(trial->directory, sizeof(trial->directory), "%s/snapshot", trial->base);
	rootfs_plan("/", trial->base, &trial->root);
	trial->has_usr = stat("/", &root) == 0 && stat("/usr", &usr) == 0 && root.st_dev != usr.st_dev;
	result = file_make_directory(trial->run, 0755, err);
	if (result == 0)
		result = raise_loopback(err);
	if (result == 0 && chown(trial->run, TEST_UID, TEST_UID) < 0)
		return error_set_errno(err, errno, "%s", trial->run);
	return result == 0 ? rootfs_mount(&trial->root, err) : result;
}

static int
start(const Trial *trial, pid_t *ret_pid, Error *err)
{
	const char *const argv[] = {"/bin/sh", "-c", SCRIPT, NULL};
	const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
	const LaunchMount mounts[] = {{.source = trial->run, .target = "/run/lttle"},
								  {.source = "/usr", .target = "/usr", .read_only = 1}};
	const LaunchSpec spec = {.cgroups = trial->cgroups,
							 .cgroup = trial->group,
							 .network_path = "/proc/self/ns/net",
							 .root = trial->root.merged,
							 .hostname = "criu-test",
							 .mounts = mounts,
							 .mount_count = trial->has_usr ? 2 : 1,
							 .log_path = trial->log,
							 .argv = argv,
							 .environment = environment,
							 .uid = TEST_UID,
							 .gid = TEST_UID,
							 .shm_bytes = 1 << 20};

	return launch_machine(&spec, ret_pid, err);
}

static int
dump_and_restore(const Trial *trial, pid_t pid, Error *err)
{
	const SnapshotMount mounts[] = {{.target = "/run/lttle.log", .source = trial->log},
									{.target = "/run/lttle", .source = trial->run},
									{.target = "/usr", .source = "/usr"}};
	const SnapshotSpec spec = {.criu = trial->criu,
							   .criu_version = "",
							   .directory = trial->directory,
							   .cgroups = trial->cgroups,
							   .cgroup = trial->group,
							   .network_path = "/proc/self/ns/net",
							   .root = trial->root.merged,
							   .mounts = mounts,
							   .mount_count = trial->has_usr ? 3 : 2,
							   .machine_pid = pid};
	SnapshotManifest manifest = {.reason = "self test"};
	uint64_t count = 0;
	int result = snapshot_dump(&spec, &manifest, err);

	if (result == 0)
		result = end_all(trial, err);
	if (result == 0 && read_count(trial, &count) < 0)
		count = 0; /* frozen in the middle of a line */
	if (result == 0)
		result = snapshot_restore(&spec, &pid, err);
	return result == 0 ? await_count(trial, count, "the restored process", err) : result;
}

static int
run_trial(void *context, Error *err)
{
	Trial *trial = context;
	Error ending = {0};
	pid_t pid = 0;
	int result = make_places(trial, err);

	if (result == 0)
		result = start(trial, &pid, err);
	if (result == 0)
		result = await_count(trial, 2, "the process to be dumped", err);
	if (result == 0)
		result = freeze(trial, err);
	if (result == 0)
		result = dump_and_restore(trial, pid, err);
	if (end_all(trial, &ending) < 0 && result == 0)
	{
		*err = ending;
		result = ending.code;
	}
	return result;
}

int
criu_self_test(const char *criu, const CgroupHierarchy *cgroups, const char *group, Error *err)
{
	const CgroupLimits limits = {.memory_bytes = 256 << 20, .pids_max = 64};
	char base[] = "/tmp/lttle-criu-XXXXXX";
	Trial trial = {.criu = criu, .cgroups = cgroups, .group = group, .base = base};
	Error ending = {0};
	int result;

	if (mkdtemp(base) == NULL)
		return error_set_errno(err, errno, "/tmp: make a directory");
	result = cgroup_create(cgroups, group, &limits, err);
	if (result == 0)
		result = process_run_function(run_trial, &trial, err);
	if (cgroup_kill(cgroups, group, NULL) == 0 && await_group(&trial, false, false, NULL) == 0 &&
		cgroup_remove(cgroups, group, &ending) < 0 && result == 0)
	{
		*err = ending;
		result = ending.code;
	}
	rmdir(base);
	return result;
}
