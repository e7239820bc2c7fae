/*
 * A real PostgreSQL of the image under the real launcher, for tests of snapshots: one image, one volume and one
 * database for the whole test program, below the janitor's directory, in network and mount namespaces of the test. Only
 * the control group is the host's.
 */
#ifndef TEST_FIXTURE_SERVER_H
#define TEST_FIXTURE_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "base/process.h"
#include "base/text.h"
#include "host/cgroup.h"
#include "host/image.h"
#include "host/launch.h"
#include "host/network.h"
#include "host/rootfs.h"
#include "host/snapshot.h"
#include "host/volume.h"
#include "root/fixture_janitor.h"

#define MIB				   UINT64_C(1048576)
#define SERVER_ADDRESS	   "10.99.0.2"
#define SERVER_DEADLINE_NS (60 * NS_PER_SECOND)
#define IMAGE_ARCHIVE	   "build/image/postgres-17-flash.oci.tar"

typedef struct Server
{
	HostLayout layout;
	CgroupHierarchy *cgroups;
	char group[64];
	MachineNetwork network;
	HostVolume volume;
	RootfsPlan root;
	HostImage image;
	ImageConfig config;
	char run_directory[300];
	char log_path[300];
	char directory[300]; /* the snapshot's */
	char criu[256];
	char criu_version[32];
	LaunchMount mounts[3];
	SnapshotMount snapshot_mounts[4];
	const char *data_paths[1];
	LaunchSpec launch;
	SnapshotSpec snapshot;
	pid_t pid; /* 0: there is none */
	long rows; /* of the table t, as its writer knows */
	long sum;
} Server;

static Server server;

static inline void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

/* ---- control group ---- */

static inline void
server_wait_group(bool want_frozen, bool want_populated)
{
	uint64_t deadline_ns = clock_monotonic_ns() + SERVER_DEADLINE_NS;
	_cleanup_fd_ int events_fd = -1;
	bool populated = false;
	bool frozen = false;
	Error err = {0};

	check(cgroup_open_events(server.cgroups, server.group, &events_fd, &err), &err);
	for (;;)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};

		check(cgroup_read_events(events_fd, &frozen, &populated, &err), &err);
		if (frozen == want_frozen && populated == want_populated)
			return;
		if (clock_monotonic_ns() > deadline_ns)
			fail_msg("the group is %sfrozen and %s", frozen ? "" : "not ", populated ? "populated" : "empty");
		poll(&polled, 1, 100);
	}
}

static inline void
server_freeze(void)
{
	Error err = {0};

	check(cgroup_set_frozen(server.cgroups, server.group, true, &err), &err);
	server_wait_group(true, true);
}

static inline void
server_thaw(void)
{
	Error err = {0};

	check(cgroup_set_frozen(server.cgroups, server.group, false, &err), &err);
	server_wait_group(false, true);
}

static inline bool
server_is_empty(void)
{
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};

	check(cgroup_list_processes(server.cgroups, server.group, &pids, &count, &err), &err);
	free(pids);
	return count == 0;
}

/* Kills everything, as eviction and a crash do. */
static inline void
server_kill(void)
{
	Error err = {0};

	check(cgroup_kill(server.cgroups, server.group, &err), &err);
	check(cgroup_set_frozen(server.cgroups, server.group, false, &err), &err);
	server_wait_group(false, false);
	if (server.pid > 0)
		waitpid(server.pid, NULL, 0);
	server.pid = 0;
}

/* ---- clients ---- */

static inline int
server_try_query(const char *sql, char **ret_output, Error *err)
{
	const char *const argv[] = {"psql",	 "-h", SERVER_ADDRESS,	  "-U", "postgres", "-d", "postgres",
								"-AtqX", "-v", "ON_ERROR_STOP=1", "-c", sql,		NULL};

	return process_run(argv, 30000, ret_output, err);
}

/* The answer's first line. */
static inline void
server_query(const char *sql, char *answer, size_t size)
{
	_cleanup_free_ char *output = NULL;
	Error err = {0};

	check(server_try_query(sql, &output, &err), &err);
	snprintf(answer, size, "%.*s", (int) strcspn(output, "\n"), output);
}

static inline void
server_wait_ready(void)
{
	uint64_t deadline_ns = clock_monotonic_ns() + SERVER_DEADLINE_NS;
	Error err = {0};

	for (;;)
	{
		char *output = NULL;

		if (server_try_query("SELECT 1", &output, &err) == 0)
		{
			free(output);
			return;
		}
		if (clock_monotonic_ns() > deadline_ns)
			fail_msg("the server does not answer: %s", err.message);
		poll(NULL, 0, 20);
	}
}

/* Some work of a client that comes and goes: every number of it is known to the test. */
static inline void
server_work(void)
{
	char answer[64];
	char sql[400];
	long first = server.rows + 1;
	long last = server.rows + 500;

	snprintf(sql, sizeof(sql),
			 "INSERT INTO t SELECT n, 2 * n FROM generate_series(%ld, %ld) n; "
			 "UPDATE t SET v = v + 1 WHERE k > %ld; SELECT 'done'",
			 first, last, last - 50);
	server_query(sql, answer, sizeof(answer));
	assert_string_equal(answer, "done");
	server.rows = last;
	for (long n = first; n <= last; n++)
		server.sum += 2 * n + (n > last - 50);
}

/* By the table and by its index. */
static inline void
server_check_sums(void)
{
	char expected[64];
	char answer[64];

	snprintf(expected, sizeof(expected), "%ld|%ld", server.rows, server.sum);
	server_query("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; "
				 "SELECT count(*), coalesce(sum(v), 0) FROM t",
				 answer, sizeof(answer));
	assert_string_equal(answer, expected);
	server_query("SET enable_seqscan = off; SELECT count(*), coalesce(sum(v), 0) FROM t WHERE k > 0", answer,
				 sizeof(answer));
	assert_string_equal(answer, expected);
}

/* ---- the server ---- */

static inline void
server_start(void)
{
	Error err = {0};

	check(launch_machine(&server.launch, &server.pid, &err), &err);
	server.snapshot.machine_pid = server.pid;
	server_wait_ready();
}

static inline void
server_fill_specs(void)
{
	static const char *arguments[8];
	static const char *environment[24];
	Server *s = &server;
	size_t count = 0;

	for (char **word = s->config.entrypoint; word != NULL && *word != NULL && count < 3; word++)
		arguments[count++] = *word;
	for (char **word = s->config.command; word != NULL && *word != NULL && count < 7; word++)
		arguments[count++] = *word;
	count = 0;
	for (char **word = s->config.environment; word != NULL && *word != NULL && count < 20; word++)
		environment[count++] = *word;
	environment[count] = "POSTGRES_HOST_AUTH_METHOD=trust";
	s->mounts[0] = (LaunchMount){.source = s->run_directory, .target = "/run/lttle"};
	s->mounts[1] = (LaunchMount){.source = s->volume.data_path, .target = "/var/lib/postgresql/data"};
	s->mounts[2] = (LaunchMount){.source = s->layout.run_directory, .target = "/srv/read only", .read_only = 1};
	for (size_t i = 0; i < 3; i++)
		s->snapshot_mounts[i] = (SnapshotMount){
			.target = s->mounts[i].target, .source = s->mounts[i].source, .read_only = s->mounts[i].read_only != 0};
	s->snapshot_mounts[3] = (SnapshotMount){.target = "/run/lttle.log", .source = s->log_path};
	s->data_paths[0] = s->volume.data_path;
	s->launch = (LaunchSpec){.cgroups = s->cgroups,
							 .cgroup = s->group,
							 .network_path = s->network.pin_path,
							 .root = s->root.merged,
							 .hostname = "postgresql",
							 .mounts = s->mounts,
							 .mount_count = 3,
							 .log_path = s->log_path,
							 .argv = arguments,
							 .environment = environment,
							 .uid = s->config.uid,
							 .gid = s->config.gid,
							 .shm_bytes = 64 * MIB};
	s->snapshot = (SnapshotSpec){.criu = s->criu,
								 .criu_version = s->criu_version,
								 .directory = s->directory,
								 .cgroups = s->cgroups,
								 .cgroup = s->group,
								 .network_path = s->network.pin_path,
								 .root = s->root.merged,
								 .mounts = s->snapshot_mounts,
								 .mount_count = 4,
								 .data_paths = s->data_paths,
								 .data_count = 1};
}

static inline int
server_make_host(Error *err)
{
	CgroupLimits limits = {.cpus = 2, .memory_bytes = 512 * MIB, .pids_max = 200};
	_cleanup_free_ char *source = NULL;
	_cleanup_free_ char *json = NULL;
	Server *s = &server;
	int result;

	if (access(IMAGE_ARCHIVE, R_OK) < 0)
		return error_set_errno(err, errno,
							   IMAGE_ARCHIVE " (make image makes it; run the tests from the top directory)");
	source = memory_printf("oci-archive:%s", IMAGE_ARCHIVE);
	result = criu_find(NULL, s->criu, s->criu_version, err);
	if (result == 0)
		result = image_fetch(&s->layout, source, 300000, &s->image, err);
	if (result == 0)
		result = file_read(s->image.config_path, MIB, &json, NULL, err);
	if (result == 0)
		result = image_config_parse(json, s->image.root, &s->config, err);
	rootfs_plan(s->image.root, s->layout.state_directory, &s->root);
	volume_plan(&s->layout, "ns", "data", &s->volume);
	if (result == 0)
		result = cgroup_hierarchy_open("/sys/fs/cgroup", &s->cgroups, err);
	if (result == 0)
		result = cgroup_create(s->cgroups, s->group, &limits, err);
	if (result == 0)
		result = network_plan(&s->layout, "ns.machine", 1, &s->network, err);
	if (result == 0)
		result = network_create(&s->network, err);
	if (result == 0)
		result = volume_create(&s->volume, 400 * MIB, err);
	if (result == 0)
		result = volume_mount(&s->volume, s->config.uid, s->config.gid, false, err);
	if (result == 0)
		result = rootfs_mount(&s->root, err);
	return result == 0 ? file_make_directory(s->run_directory, 0755, err) : result;
}

/* Once for the program. */
static inline int
server_set_up(void **state)
{
	Server *s = &server;
	Error err = {0};
	char answer[64];

	(void) state;
	snprintf(s->layout.state_directory, sizeof(s->layout.state_directory), "%s/state", janitor_directory);
	snprintf(s->layout.run_directory, sizeof(s->layout.run_directory), "%s/run", janitor_directory);
	snprintf(s->layout.name_prefix, sizeof(s->layout.name_prefix), "lthsn");
	s->layout.subnet_address = 0x0a630000; /* 10.99.0.0 */
	s->layout.subnet_bits = 24;
	snprintf(s->group, sizeof(s->group), "%s/" JANITOR_GROUP_NAME, janitor_cgroup_prefix);
	snprintf(s->run_directory, sizeof(s->run_directory), "%.250s/machine", s->layout.run_directory);
	snprintf(s->log_path, sizeof(s->log_path), "%.250s/log", s->layout.state_directory);
	snprintf(s->directory, sizeof(s->directory), "%.250s/snapshot", s->layout.state_directory);
	if (mkdir(s->layout.state_directory, 0755) < 0 || mkdir(s->layout.run_directory, 0755) < 0 ||
		mount("tmpfs", s->layout.run_directory, "tmpfs", 0, "size=16m,mode=0755") < 0 || server_make_host(&err) < 0)
	{
		print_error("%s: %s\n", janitor_directory, err.message);
		return -1;
	}
	server_fill_specs();
	server_start();
	server_query("CREATE TABLE t (k int PRIMARY KEY, v bigint); SELECT 'made'", answer, sizeof(answer));
	assert_string_equal(answer, "made");
	return 0;
}

static inline int
server_tear_down(void **state)
{
	Server *s = &server;
	Error err = {0};

	(void) state;
	if (s->cgroups == NULL)
		return 0;
	server_kill();
	image_config_clear(&s->config);
	if (cgroup_remove(s->cgroups, s->group, &err) < 0 || rootfs_unmount(&s->root, &err) < 0 ||
		volume_remove(&s->volume, &err) < 0 || network_remove(&s->network, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	cgroup_hierarchy_free(s->cgroups);
	return umount2(s->layout.run_directory, MNT_DETACH);
}

/* Called by main before anything else. */
static inline int
fixture_enter_namespaces(void)
{
	/* CRIU tries the kernel's TCP on the loopback address. */
	const char *const loopback[] = {"ip", "link", "set", "lo", "up", NULL};

	if (janitor_start("snapshot") < 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || process_run(loopback, 10000, NULL, NULL) < 0)
	{
		perror("namespaces of the test");
		return -1;
	}
	alarm(600);
	return 0;
}

#endif
