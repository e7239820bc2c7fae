/*
 * Snapshots on disk (needs root, CRIU and the image): a real PostgreSQL is dumped and restored again and again with
 * clients that come and go between; what must be refused is refused; what fails leaves a running server or a cold start
 * with every acknowledged row.
 */
#include "root/fixture_server.h"

#include <dirent.h>

#include "host/criu.h"
#include "host/manifest.h"

#define CYCLES 20

/* ---- steps ---- */

static SnapshotManifest
new_manifest(void)
{
	SnapshotManifest manifest = {0};

	text_copy(manifest.image_id, sizeof(manifest.image_id), server.image.id);
	strcpy(manifest.extension_version, "1");
	strcpy(manifest.reason, "API");
	return manifest;
}

/* A server that runs and is right, whatever the test before did. */
static int
each_set_up(void **state)
{
	Error err = {0};

	(void) state;
	server_fill_specs();
	check(cgroup_set_frozen(server.cgroups, server.group, false, &err), &err);
	if (server.pid == 0)
		server_start();
	server.snapshot.machine_pid = server.pid;
	server_check_sums();
	server_work();
	check(snapshot_remove(server.directory, &err), &err);
	return 0;
}

static SnapshotManifest
dump(void)
{
	SnapshotManifest manifest = new_manifest();
	Error err = {0};

	server_freeze();
	check(snapshot_dump(&server.snapshot, &manifest, &err), &err);
	return manifest;
}

static void
restore(void)
{
	Error err = {0};

	check(snapshot_restore(&server.snapshot, &server.pid, &err), &err);
	server.snapshot.machine_pid = server.pid;
}

static void
assert_server_is_right(void)
{
	server_check_sums();
	server_work();
	server_check_sums();
}

/* Starts it cold where it is not running any more. */
static void
assert_cold_start_is_right(void)
{
	server_kill();
	server_start();
	assert_server_is_right();
}

static int
compare_doubles(const void *left, const void *right)
{
	double difference = *(const double *) left - *(const double *) right;

	return (difference > 0) - (difference < 0);
}

static double
median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

/* ---- what the sandbox is made of ---- */

/* The lines of /proc/PID/status that confine, and the mounts with their flags but without their numbers. */
static char *
describe_sandbox(pid_t pid)
{
	char command[1000];
	const char *const argv[] = {"sh", "-c", command, NULL};
	char *output = NULL;
	Error err = {0};

	snprintf(command, sizeof(command),
			 "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|NSpid):' /proc/%d/status | "
			 "sed 's/^NSpid:.*\\t/NSpid: /'; cat /proc/%d/limits /proc/%d/oom_score_adj; "
			 "awk '{print $4, $5, $6, $(NF-2), $NF}' /proc/%d/mountinfo | sort; "
			 "for n in net pid mnt ipc uts; do [ $(readlink /proc/%d/ns/$n) = $(readlink /proc/self/ns/$n) ] && "
			 "echo shares $n; done; readlink /proc/%d/ns/net; ls -l /proc/%d/fd | awk '{print $1, $9, $10, $11}' | "
			 "sed 's/:\\[.*//'; for g in $(cut -d: -f3 /proc/%d/cgroup); do echo $g; done; "
			 "nsenter -t %d -u hostname; tr '\\0' ' ' </proc/%d/cmdline",
			 (int) pid, (int) pid, (int) pid, (int) pid, (int) pid, (int) pid, (int) pid, (int) pid, (int) pid,
			 (int) pid);
	check(process_run(argv, 10000, &output, &err), &err);
	return output;
}

/* ---- tests ---- */

static void
test_cycles(void **state)
{
	double dump_ms[CYCLES];
	double restore_ms[CYCLES];
	_cleanup_free_ char *before = describe_sandbox(server.pid);
	SnapshotManifest manifest;

	(void) state;
	assert_non_null(strstr(before, "Seccomp:\t2"));
	for (int i = 0; i < CYCLES; i++)
	{
		_cleanup_free_ char *after = NULL;
		SnapshotManifest read_back;
		uint64_t begun_ns;
		Error err = {0};

		server_work();
		server_freeze();
		manifest = new_manifest();
		begun_ns = clock_monotonic_ns();
		check(snapshot_dump(&server.snapshot, &manifest, &err), &err);
		dump_ms[i] = (double) (clock_monotonic_ns() - begun_ns) / 1e6;
		server_kill();
		check(snapshot_read_manifest(server.directory, &read_back, &err), &err);
		check(snapshot_verify(&server.snapshot, &read_back, server.image.id, &err), &err);
		begun_ns = clock_monotonic_ns();
		restore();
		restore_ms[i] = (double) (clock_monotonic_ns() - begun_ns) / 1e6;
		server_check_sums();
		after = describe_sandbox(server.pid);
		assert_string_equal(after, before);
	}
	assert_true(manifest.synced);
	assert_true(manifest.image_bytes > MIB && manifest.image_bytes < 512 * MIB);
	assert_true(manifest.dump_us > 0);
	print_message("medians of %d: dump with syncs %.0f ms, restore %.0f ms, %.1f MiB on disk\n", CYCLES,
				  median(dump_ms, CYCLES), median(restore_ms, CYCLES), (double) manifest.image_bytes / (double) MIB);
}

/* The dump leaves them as they are, frozen; thawed again they are as good as before, and no snapshot must be used. */
static void
test_dump_leaves_the_processes(void **state)
{
	(void) state;
	dump();
	server_wait_group(true, true);
	server_thaw();
	assert_server_is_right();
}

/* What lies open in a snapshot is a machine's memory. */
/* CRIU's images for which find(1)'s test holds. */
static unsigned
count_images(const char *test)
{
	char command[600];
	const char *const argv[] = {"sh", "-c", command, NULL};
	_cleanup_free_ char *output = NULL;
	Error err = {0};

	snprintf(command, sizeof(command), "find '%s' -type f -name '*.img' %s | wc -l", server.directory,
			 test == NULL ? "" : test);
	check(process_run(argv, 10000, &output, &err), &err);
	return (unsigned) atoi(output);
}

static void
test_directory_is_closed_to_others(void **state)
{
	struct stat status;

	(void) state;
	dump();
	assert_int_equal(stat(server.directory, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(status.st_uid, 0);
	assert_true(count_images(NULL) > 10);
	assert_int_equal(count_images("! -perm 0600"), 0);
	server_thaw();
}

static void
test_first_process_is_a_child(void **state)
{
	int status = 0;

	(void) state;
	dump();
	server_kill();
	restore();
	server_check_sums();
	assert_int_equal(kill(server.pid, SIGINT), 0);
	assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	server.pid = 0;
}

static void
test_spent_snapshot_is_not_restored(void **state)
{
	SnapshotManifest manifest;
	Error err = {0};
	pid_t pid = -5;

	(void) state;
	dump();
	server_kill();
	restore();
	server_work();
	assert_int_equal(snapshot_read_manifest(server.directory, &manifest, &err), -ENOENT);
	server_kill();
	assert_int_equal(snapshot_restore(&server.snapshot, &pid, &err), -ENOENT);
	assert_int_equal(pid, -5);
	assert_true(server_is_empty());
	assert_cold_start_is_right();
}

/* A cold start between, by whatever road: its first checkpoint is enough. */
static void
test_newer_volume_is_refused(void **state)
{
	SnapshotManifest manifest;
	char aside[400];
	Error err = {0};

	(void) state;
	manifest = dump();
	server_kill();
	check(snapshot_verify(&server.snapshot, &manifest, server.image.id, &err), &err);
	server_start();
	server_work();
	server_kill();
	assert_int_equal(snapshot_verify(&server.snapshot, &manifest, server.image.id, &err), -ESTALE);
	assert_string_equal(err.message, "the volume has changed since the snapshot was written");
	check(snapshot_set_aside(server.directory, &err), &err);
	snprintf(aside, sizeof(aside), "%s.refused/" MANIFEST_SPENT_NAME, server.directory);
	assert_int_equal(access(aside, F_OK), 0);
	assert_int_equal(access(server.directory, F_OK), -1);
	assert_cold_start_is_right();
}

/* Changes that reached the WAL alone: no checkpoint, no other pg_control, the same postmaster.pid. */
static void
test_newer_wal_is_refused(void **state)
{
	SnapshotManifest manifest;
	Error err = {0};

	(void) state;
	manifest = dump();
	server_thaw();
	server_work();
	server_kill();
	assert_int_equal(snapshot_verify(&server.snapshot, &manifest, server.image.id, &err), -ESTALE);
	assert_cold_start_is_right();
}

static void
test_other_boot_kernel_criu_image(void **state)
{
	SnapshotManifest manifest;
	SnapshotManifest changed;
	Error err = {0};

	(void) state;
	manifest = dump();
	changed = manifest;
	strcpy(changed.boot_id, "00000000-0000-0000-0000-000000000000");
	check(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), &err);
	changed.synced = false;
	assert_int_equal(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), -ESTALE);
	assert_string_equal(err.message, "the host has started anew, and the snapshot had not reached the disk");
	changed = manifest;
	changed.synced = false;
	check(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), &err);
	changed = manifest;
	strcpy(changed.kernel, "3.0");
	assert_int_equal(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), -ESTALE);
	changed = manifest;
	strcpy(changed.criu_version, "4.2.0.1");
	assert_int_equal(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), -ESTALE);
	assert_int_equal(snapshot_verify(&server.snapshot, &manifest, "sha256:other", &err), -ESTALE);
	changed = manifest;
	changed.images[10] ^= 1;
	assert_int_equal(snapshot_verify(&server.snapshot, &changed, server.image.id, &err), -ESTALE);
	assert_non_null(strstr(err.message, "the snapshot is not whole"));
	server_thaw();
}

/* What is in memory only comes back from beside the images, as after a reboot. */
static void
test_files_in_memory_come_back(void **state)
{
	char path[400];
	struct stat status;
	_cleanup_free_ char *text = NULL;
	Error err = {0};

	(void) state;
	snprintf(path, sizeof(path), "%s/activity", server.run_directory);
	close(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
	check(file_write(path, "page", &err), &err);
	assert_int_equal(chown(path, server.config.uid, 12), 0);
	dump();
	server_kill();
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/mount-2", server.directory); /* read-only: the host's affair */
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/activity", server.run_directory);
	restore();
	check(file_read(path, 100, &text, NULL, &err), &err);
	assert_string_equal(text, "page");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_uid, server.config.uid);
	assert_int_equal(status.st_gid, 12);
	assert_int_equal(status.st_mode & 0777, 0640);
	assert_int_equal(unlink(path), 0);
	assert_server_is_right();
}

/* All that a reboot takes away and the coordinator makes anew: mounts, loop device, network, control group. */
static void
test_everything_made_anew(void **state)
{
	CgroupLimits limits = {.memory_bytes = 512 * MIB, .pids_max = 200};
	SnapshotManifest manifest;
	char path[400];
	Error err = {0};

	(void) state;
	snprintf(path, sizeof(path), "%s/activity", server.run_directory);
	close(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
	manifest = dump();
	server_kill();
	strcpy(manifest.boot_id, "00000000-0000-0000-0000-000000000000");
	check(manifest_write(server.directory, &manifest, &err), &err);
	check(cgroup_remove(server.cgroups, server.group, &err), &err);
	check(network_remove(&server.network, &err), &err);
	check(rootfs_unmount(&server.root, &err), &err);
	check(volume_unmount(&server.volume, &err), &err);
	check(file_remove_tree(server.run_directory, &err), &err);

	check(file_make_directory(server.run_directory, 0755, &err), &err);
	check(volume_mount(&server.volume, server.config.uid, server.config.gid, false, &err), &err);
	check(rootfs_mount(&server.root, &err), &err);
	check(network_create(&server.network, &err), &err);
	check(cgroup_create(server.cgroups, server.group, &limits, &err), &err);
	check(snapshot_read_manifest(server.directory, &manifest, &err), &err);
	check(snapshot_verify(&server.snapshot, &manifest, server.image.id, &err), &err);
	restore();
	assert_int_equal(access(path, F_OK), 0);
	assert_server_is_right();
	assert_int_equal(unlink(path), 0);
}

static void
test_full_disk_leaves_the_server(void **state)
{
	static char small[400];
	SnapshotManifest manifest = new_manifest();
	Error err = {0};

	(void) state;
	/* Too small for the images; then large enough for them and not for the rest. */
	for (int mib = 1; mib <= 9; mib += 4)
	{
		char options[32];

		snprintf(small, sizeof(small), "%s/small", janitor_directory);
		assert_true(mkdir(small, 0700) == 0 || errno == EEXIST);
		snprintf(options, sizeof(options), "size=%dm", mib);
		assert_int_equal(mount("tmpfs", small, "tmpfs", 0, options), 0);
		snprintf(small, sizeof(small), "%s/small/snapshot", janitor_directory);
		server.snapshot.directory = small;
		server_freeze();
		assert_int_equal(snapshot_dump(&server.snapshot, &manifest, &err), -EIO);
		assert_non_null(strstr(err.message, "criu dump: exit status"));
		assert_non_null(strstr(err.message, "No space left on device"));
		assert_int_equal(access(small, F_OK), -1);
		assert_int_equal(snapshot_read_manifest(small, &manifest, &err), -ENOENT);
		server_thaw();
		assert_server_is_right();
		*strrchr(small, '/') = '\0';
		assert_int_equal(umount(small), 0);
	}
}

static void
test_missing_criu(void **state)
{
	SnapshotManifest manifest = new_manifest();
	char version[32];
	char path[256];
	Error err = {0};
	pid_t pid;

	(void) state;
	assert_int_equal(criu_find("/nonexistent/criu", path, version, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/nonexistent/criu"));
	server.snapshot.criu = "/nonexistent/criu";
	server_freeze();
	assert_int_equal(snapshot_dump(&server.snapshot, &manifest, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/nonexistent/criu"));
	server_thaw();
	assert_server_is_right();
	server.snapshot.criu = server.criu;
	dump();
	server_kill();
	server.snapshot.criu = "/nonexistent/criu";
	assert_int_equal(snapshot_restore(&server.snapshot, &pid, &err), -ENOENT);
	assert_true(server_is_empty());
	assert_cold_start_is_right();
}

/* A CRIU that says no. */
static void
write_program(char path[300], const char *text)
{
	FILE *file;

	snprintf(path, 300, "%.200s/criu-%d", janitor_directory, rand());
	file = fopen(path, "we");
	assert_non_null(file);
	/* -p: a dump's real user is another one than its effective one, which a shell would give up. */
	fprintf(file, "#!/bin/sh -p\n%s\n", text);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0755), 0);
}

static void
test_old_criu_is_not_found_good(void **state)
{
	char program[300];
	char version[32];
	char path[256];
	Error err = {0};

	(void) state;
	write_program(program, "echo Version: 4.1.1");
	assert_int_equal(criu_find(program, path, version, &err), -ENOENT);
	assert_non_null(strstr(err.message, "is CRIU 4.1.1"));
	write_program(program, "echo Version: 5.0");
	check(criu_find(program, path, version, &err), &err);
	assert_string_equal(path, program);
	assert_string_equal(version, "5.0");
}

/* The restore's own log is in the message, and nothing runs. */
static void
test_broken_images(void **state)
{
	char path[400];
	Error err = {0};
	pid_t pid;

	(void) state;
	dump();
	server_kill();
	snprintf(path, sizeof(path), "%s/pstree.img", server.directory);
	assert_int_equal(truncate(path, 20), 0);
	assert_int_equal(snapshot_restore(&server.snapshot, &pid, &err), -EIO);
	assert_non_null(strstr(err.message, "criu restore: exit status"));
	assert_non_null(strstr(err.message, "Error ("));
	assert_true(server_is_empty());
	assert_cold_start_is_right();
}

/* Runs CRIU and kills it after so many milliseconds. */
static void
write_killer(char program[300], int ms)
{
	char text[400];

	snprintf(text, sizeof(text), "(sleep 0.%03d; kill -9 $$) >/dev/null 2>&1 &\nexec %s \"$@\"", ms, server.criu);
	write_program(program, text);
}

/* Nothing of CRIU, such as what it had forked and stopped, outlives it. */
static void
assert_no_criu(void)
{
	uint64_t deadline_ns = clock_monotonic_ns() + SERVER_DEADLINE_NS;
	char command[500];
	const char *const argv[] = {"sh", "-c", command, NULL};

	/* One look over all processes, of which a host may have thousands; the shell is none of those looked for. */
	snprintf(command, sizeof(command), "! pgrep -f '[c]riu .* -D %s '", server.directory);
	while (process_run(argv, 10000, NULL, NULL) < 0)
		if (clock_monotonic_ns() > deadline_ns)
			fail_msg("a process of CRIU is left");
}

static void
test_criu_killed_in_the_dump(void **state)
{
	int killed = 0;

	(void) state;
	for (int ms = 2; ms < 120; ms += 9)
	{
		SnapshotManifest manifest = new_manifest();
		char program[300];
		bool is_cut_off = false;
		Error err = {0};
		int result;

		write_killer(program, ms);
		server.snapshot.criu = program;
		server_freeze();
		result = snapshot_dump(&server.snapshot, &manifest, &err);
		server.snapshot.criu = server.criu;
		if (result == 0)
		{
			server_thaw();
			assert_server_is_right();
			continue;
		}
		killed++;
		if (result != -EOWNERDEAD)
			fail_msg("%d: %s", result, err.message);
		assert_int_equal(err.code, -EOWNERDEAD);
		assert_non_null(strstr(err.message, "ended by signal 9"));
		assert_no_criu();
		check(snapshot_settle(server.directory, &is_cut_off, &err), &err);
		assert_true(is_cut_off);
		assert_int_equal(snapshot_read_manifest(server.directory, &manifest, &err), -ENOENT);
		assert_cold_start_is_right();
	}
	assert_true(killed > 3);
}

static void
test_criu_killed_in_the_restore(void **state)
{
	int killed = 0;

	(void) state;
	for (int ms = 2; ms < 70; ms += 9)
	{
		char program[300];
		Error err = {0};
		pid_t pid = 0;
		int result;

		dump();
		server_kill();
		write_killer(program, ms);
		server.snapshot.criu = program;
		result = snapshot_restore(&server.snapshot, &pid, &err);
		server.snapshot.criu = server.criu;
		if (result == 0)
		{
			server.pid = pid;
			server.snapshot.machine_pid = pid;
			assert_server_is_right();
			continue;
		}
		killed++;
		if (result != -EOWNERDEAD)
			fail_msg("%d: %s", result, err.message);
		assert_true(server_is_empty());
		assert_no_criu();
		assert_int_equal(pid, 0);
		assert_cold_start_is_right();
	}
	assert_true(killed > 3);
}

/* As a coordinator that is killed with its job: the dump goes on, the next one waits for it and thaws. */
static void
test_caller_killed_in_the_dump(void **state)
{
	char mark[400];

	(void) state;
	snprintf(mark, sizeof(mark), "%s/dumping", server.directory);
	for (int i = 0; i < 5; i++)
	{
		SnapshotManifest manifest = new_manifest();
		bool is_cut_off = true;
		Error err = {0};
		uint64_t deadline_ns;
		pid_t caller;

		check(snapshot_remove(server.directory, &err), &err);
		server_freeze();
		caller = fork();
		if (caller == 0)
		{
			setpgid(0, 0);
			_exit(snapshot_dump(&server.snapshot, &manifest, &err) < 0);
		}
		deadline_ns = clock_monotonic_ns() + SERVER_DEADLINE_NS;
		while (access(mark, F_OK) < 0 && clock_monotonic_ns() < deadline_ns)
			;
		poll(NULL, 0, i * 15); /* another moment of the dump each time */
		kill(-caller, SIGKILL);
		kill(caller, SIGKILL);
		assert_int_equal(waitpid(caller, NULL, 0), caller);
		check(snapshot_settle(server.directory, &is_cut_off, &err), &err);
		assert_false(is_cut_off);
		server_wait_group(true, true);
		server_thaw();
		assert_server_is_right();
	}
}

static void
test_remove(void **state)
{
	Error err = {0};

	(void) state;
	check(snapshot_remove(server.directory, &err), &err);
	check(snapshot_set_aside(server.directory, &err), &err);
	dump();
	server_thaw();
	check(snapshot_remove(server.directory, &err), &err);
	assert_int_equal(access(server.directory, F_OK), -1);
}

static void
test_self_test(void **state)
{
	char group[64];
	char program[300];
	Error err = {0};

	(void) state;
	snprintf(group, sizeof(group), "%s/self-test", janitor_cgroup_prefix);
	check(criu_self_test(server.criu, server.cgroups, group, &err), &err);
	write_program(program, "exit 3");
	assert_int_equal(criu_self_test(program, server.cgroups, group, &err), -EIO);
	assert_non_null(strstr(err.message, "exit status 3"));
	assert_true(cgroup_remove(server.cgroups, group, &err) == 0);
}

#define TEST(function) cmocka_unit_test_setup(function, each_set_up)

/* usage: test_snapshot [PATTERN]: the tests whose names match */
int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TEST(test_cycles),
		TEST(test_dump_leaves_the_processes),
		TEST(test_directory_is_closed_to_others),
		TEST(test_first_process_is_a_child),
		TEST(test_spent_snapshot_is_not_restored),
		TEST(test_newer_volume_is_refused),
		TEST(test_newer_wal_is_refused),
		TEST(test_other_boot_kernel_criu_image),
		TEST(test_files_in_memory_come_back),
		TEST(test_everything_made_anew),
		TEST(test_full_disk_leaves_the_server),
		TEST(test_missing_criu),
		TEST(test_old_criu_is_not_found_good),
		TEST(test_broken_images),
		TEST(test_criu_killed_in_the_dump),
		TEST(test_criu_killed_in_the_restore),
		TEST(test_caller_killed_in_the_dump),
		TEST(test_remove),
		TEST(test_self_test),
	};

	if (fixture_enter_namespaces() < 0)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, server_set_up, server_tear_down);
}
