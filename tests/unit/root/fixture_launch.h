/*
 * A machine for tests of the launcher: the host's own root as the image, a network, a volume, a control group, all
 * below one temporary directory in mount and network namespaces of the test. Only the control group is the host's; it
 * is removed at the end, also after a failed assertion.
 */
#ifndef TEST_FIXTURE_LAUNCH_H
#define TEST_FIXTURE_LAUNCH_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "host/cgroup.h"
#include "host/launch.h"
#include "host/loop.h"
#include "host/network.h"
#include "host/rootfs.h"
#include "host/volume.h"
#include "root/fixture_janitor.h"

#define MACHINE_UID 1234
#define MACHINE_GID 1235
#define MIB			UINT64_C(1048576)

/* Covered by the test's tmpfs in its own mount namespace; any empty directory would do. */
#define FIXTURE_BASE "/media"

typedef struct Machine
{
	HostLayout layout;
	CgroupHierarchy *cgroups;
	char group[64];
	MachineNetwork network;
	HostVolume volume;
	RootfsPlan root;
	char run_directory[300];
	char log_path[300];
	char program[300]; /* this test program */
	LaunchMount mounts[4];
	size_t mount_count;
	LaunchSpec spec;
	pid_t pid; /* 0 when there is none or it was reaped */
} Machine;

static Machine machine;

/* A sanitizer's search for leaks needs ptrace, which the test program has not got inside a machine. */
static const char *const machine_environment[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", "NAME=value",
												  "ASAN_OPTIONS=detect_leaks=0", NULL};

static inline void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

/* Namespaces of the test; called once by main. Its own tmpfs, because the machine's upper directory may not lie below
 * the lower one, which is "/". */
static inline int
fixture_enter_namespaces(void)
{
	if (janitor_start("launch") < 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", FIXTURE_BASE, "tmpfs", 0, "size=512m") < 0)
	{
		perror("namespaces of the test");
		return -1;
	}
	alarm(300);
	return 0;
}

static inline int
fixture_fail(const Error *err)
{
	print_error("%s\n", err->message);
	return -1;
}

static inline int
machine_set_up(void **state)
{
	CgroupLimits limits = {.cpus = 1, .memory_bytes = 256 * MIB, .pids_max = 100};
	Machine *m = &machine;
	Error err = {0};

	(void) state;
	memset(m, 0, sizeof(*m));
	strcpy(m->layout.state_directory, FIXTURE_BASE "/machine-XXXXXX");
	if (mkdtemp(m->layout.state_directory) == NULL)
		return -1;
	strcpy(m->layout.run_directory, m->layout.state_directory);
	snprintf(m->layout.name_prefix, sizeof(m->layout.name_prefix), "lthla");
	m->layout.subnet_address = 0x0a630000; /* 10.99.0.0 */
	m->layout.subnet_bits = 24;
	snprintf(m->group, sizeof(m->group), "%s/" JANITOR_GROUP_NAME, janitor_cgroup_prefix);
	snprintf(m->run_directory, sizeof(m->run_directory), "%.250s/run", m->layout.state_directory);
	snprintf(m->log_path, sizeof(m->log_path), "%.250s/log", m->layout.state_directory);
	if (readlink("/proc/self/exe", m->program, sizeof(m->program) - 1) < 0)
		return -1;
	volume_plan(&m->layout, "ns", "data", &m->volume);
	rootfs_plan("/", m->layout.state_directory, &m->root);
	if (cgroup_hierarchy_open("/sys/fs/cgroup", &m->cgroups, &err) < 0 ||
		cgroup_create(m->cgroups, m->group, &limits, &err) < 0 ||
		network_plan(&m->layout, "ns.machine", 1, &m->network, &err) < 0 || network_create(&m->network, &err) < 0 ||
		volume_create(&m->volume, 32 * MIB, &err) < 0 ||
		volume_mount(&m->volume, MACHINE_UID, MACHINE_GID, false, &err) < 0 || rootfs_mount(&m->root, &err) < 0 ||
		file_make_directory(m->run_directory, 0755, &err) < 0)
		return fixture_fail(&err);
	m->mounts[0] = (LaunchMount){.source = m->volume.data_path, .target = "/srv/deep/data"};
	m->mounts[1] = (LaunchMount){.source = m->run_directory, .target = "/run/lttle", .read_only = 1};
	m->mounts[2] = (LaunchMount){.source = m->program, .target = "/probe", .read_only = 1};
	m->mount_count = 2;
	m->spec = (LaunchSpec){
		.cgroups = m->cgroups,
		.cgroup = m->group,
		.network_path = m->network.pin_path,
		.root = m->root.merged,
		.hostname = "postgresql",
		.resolv_conf = "nameserver 10.99.0.1\n",
		.mounts = m->mounts,
		.mount_count = m->mount_count,
		.log_path = m->log_path,
		.environment = machine_environment,
		.uid = MACHINE_UID,
		.gid = MACHINE_GID,
		.shm_bytes = 8 * MIB,
	};
	return 0;
}

static inline bool
machine_wait_empty(void)
{
	uint64_t deadline = clock_monotonic_ns() + 20 * NS_PER_SECOND;
	_cleanup_fd_ int events_fd = -1;
	bool frozen = false;
	bool populated = true;

	if (cgroup_open_events(machine.cgroups, machine.group, &events_fd, NULL) < 0)
		return false;
	for (;;)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};

		if (cgroup_read_events(events_fd, &frozen, &populated, NULL) < 0 || clock_monotonic_ns() > deadline)
			return false;
		if (!populated)
			return true;
		poll(&polled, 1, 1000);
	}
}

/* Gives everything back and says what could not be. */
static inline int
machine_tear_down(void **state)
{
	Machine *m = &machine;
	Error err = {0};
	char *mounts = NULL;
	int left;

	(void) state;
	if (cgroup_kill(m->cgroups, m->group, &err) < 0)
		return fixture_fail(&err);
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (!machine_wait_empty() || cgroup_remove(m->cgroups, m->group, &err) < 0 ||
		cgroup_remove(m->cgroups, janitor_cgroup_prefix, &err) < 0 || rootfs_unmount(&m->root, &err) < 0 ||
		volume_remove(&m->volume, &err) < 0 || network_remove(&m->network, &err) < 0)
		return fixture_fail(&err);
	if (loop_is_attached(m->volume.image_path))
		return fixture_fail(&(Error){.message = "a loop device is left"});
	cgroup_hierarchy_free(m->cgroups);
	if (file_read("/proc/self/mountinfo", 16 * MIB, &mounts, NULL, &err) < 0)
		return fixture_fail(&err);
	left = strstr(mounts, m->layout.state_directory) != NULL;
	free(mounts);
	if (left)
		return fixture_fail(&(Error){.message = "a mount is left"});
	if (file_remove_tree(m->layout.state_directory, &err) < 0)
		return fixture_fail(&err);
	return 0;
}

static inline int
machine_start(const char *const argv[], Error *err)
{
	machine.spec.argv = argv;
	machine.spec.mount_count = machine.mount_count;
	return launch_machine(&machine.spec, &machine.pid, err);
}

static inline int
machine_wait(void)
{
	int status = 0;

	assert_int_equal(waitpid(machine.pid, &status, 0), machine.pid);
	machine.pid = 0;
	return status;
}

/* The log; the caller frees it. */
static inline char *
machine_log(void)
{
	char *text = NULL;
	Error err = {0};

	check(file_read(machine.log_path, 1048576, &text, NULL, &err), &err);
	return text;
}

/* Runs a shell script as the machine's first process, to its end. Returns its log; the caller frees it. */
static inline char *
machine_run(const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	Error err = {0};
	int status;
	char *log;

	if (truncate(machine.log_path, 0) < 0 && errno != ENOENT)
		fail_msg("%s", machine.log_path);
	check(machine_start(argv, &err), &err);
	status = machine_wait();
	log = machine_log();
	if (status != 0)
		fail_msg("status %x: %s", (unsigned) status, log);
	return log;
}

#define assert_machine_prints(script, expected)                                                                        \
	do                                                                                                                 \
	{                                                                                                                  \
		char *log_ = machine_run(script);                                                                              \
                                                                                                                       \
		assert_string_equal(log_, expected);                                                                           \
		free(log_);                                                                                                    \
	} while (0)

#endif
