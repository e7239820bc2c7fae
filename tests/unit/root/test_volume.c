/*
 * Volumes on real loop devices (needs root): the size is a limit that ENOSPC shows, data survives, a device that a
 * killed run left is used again, a volume in use stays, and nothing is left at the end.
 */
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "host/loop.h"
#include "host/volume.h"
#include "root/fixture_janitor.h"

#define MIB UINT64_C(1048576)

static HostLayout layout;
static HostVolume volume;

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
plan(void **state)
{
	(void) state;
	snprintf(layout.state_directory, sizeof(layout.state_directory), "%s/XXXXXX", janitor_directory);
	if (mkdtemp(layout.state_directory) == NULL)
		return -1;
	volume_plan(&layout, "samples", "pgdata", &volume);
	return 0;
}

static int
clean(void **state)
{
	Error err = {0};

	(void) state;
	if (volume_remove(&volume, &err) < 0 || loop_is_attached(volume.image_path))
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return file_remove_tree(layout.state_directory, NULL);
}

static void
create_and_mount(uint64_t size_bytes)
{
	Error err = {0};

	check(volume_create(&volume, size_bytes, &err), &err);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
}

static void
write_file(const char *name, const char *text)
{
	char path[500];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", volume.data_path, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void
assert_file(const char *name, const char *text)
{
	_cleanup_free_ char *found = NULL;
	char path[500];
	Error err = {0};

	snprintf(path, sizeof(path), "%s/%s", volume.data_path, name);
	check(file_read(path, 65536, &found, NULL, &err), &err);
	assert_string_equal(found, text);
}

static void
test_create_is_sparse_and_single(void **state)
{
	VolumeUsage usage;
	Error err = {0};

	(void) state;
	assert_string_equal(volume.mount_path + strlen(layout.state_directory), "/volumes/samples/pgdata");
	assert_string_equal(volume.image_path + strlen(layout.state_directory), "/volumes/samples/pgdata.ext4");
	assert_int_equal(volume_read_usage(&volume, &usage, &err), -ENOENT);
	check(volume_create(&volume, 10240 * MIB, &err), &err);
	check(volume_read_usage(&volume, &usage, &err), &err);
	assert_int_equal(usage.size_bytes, 10240 * MIB);
	assert_true(usage.on_disk_bytes > 0);
	assert_true(usage.on_disk_bytes < 16 * MIB);
	assert_false(usage.mounted);
	assert_int_equal(volume_create(&volume, 10240 * MIB, &err), -EEXIST);
	assert_string_equal(err.message, "volume samples/pgdata: exists already");
}

static void
test_too_small_is_refused(void **state)
{
	Error err = {0};

	(void) state;
	assert_int_equal(volume_create(&volume, 1 * MIB, &err), -EINVAL);
	assert_string_equal(err.message, "volume samples/pgdata: a volume needs at least 16 MiB");
	assert_int_equal(access(volume.image_path, F_OK), -1);
	check(volume_create(&volume, 16 * MIB, &err), &err);
}

/* What a run that was killed in the middle of mkfs left is no obstacle. */
static void
test_half_made_file_is_replaced(void **state)
{
	char pending[500];
	char directory[500];
	FILE *file;
	Error err = {0};

	(void) state;
	snprintf(directory, sizeof(directory), "%s/volumes/samples", layout.state_directory);
	check(file_make_directory(directory, 0755, &err), &err);
	snprintf(pending, sizeof(pending), "%s.new", volume.image_path);
	file = fopen(pending, "we");
	assert_non_null(file);
	fputs("rubbish", file);
	fclose(file);
	create_and_mount(32 * MIB);
	assert_int_equal(access(pending, F_OK), -1);
}

static void
test_mount(void **state)
{
	struct stat status;
	struct statvfs system;
	VolumeUsage usage;
	Error err = {0};

	(void) state;
	create_and_mount(64 * MIB);
	assert_int_equal(stat(volume.data_path, &status), 0);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(status.st_gid, 1235);
	assert_int_equal(status.st_mode, S_IFDIR | 0700);
	assert_int_equal(statvfs(volume.data_path, &system), 0);
	assert_true((system.f_flag & ST_NOSUID) != 0);
	assert_true((system.f_flag & ST_NODEV) != 0);
	assert_true((system.f_flag & ST_NOATIME) != 0);
	check(volume_read_usage(&volume, &usage, &err), &err);
	assert_true(usage.mounted);
	assert_true(usage.used_bytes < 1 * MIB);

	/* Again: nothing changes, the same device. The owner of what is there stays. */
	write_file("kept", "yes");
	check(volume_mount(&volume, 1, 1, false, &err), &err);
	assert_file("kept", "yes");
	{
		struct stat again;

		assert_int_equal(stat(volume.data_path, &again), 0);
		assert_int_equal(again.st_dev, status.st_dev);
		assert_int_equal(again.st_uid, 1234);
	}
	check(volume_unmount(&volume, &err), &err);
	check(volume_unmount(&volume, &err), &err);
	assert_false(loop_is_attached(volume.image_path));
	assert_int_equal(access(volume.data_path, F_OK), -1);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_file("kept", "yes");
}

/* Of the file system on the volume's mount point, as /proc/self/mountinfo has it. */
static bool
has_mount_option(const char *option)
{
	_cleanup_free_ char *mounts = NULL;
	Error err;
	char *line;

	check(file_read("/proc/self/mountinfo", 1 << 20, &mounts, NULL, &err), &err);
	line = strstr(mounts, volume.mount_path);
	assert_non_null(line);
	line[strcspn(line, "\n")] = '\0';
	return strstr(line, option) != NULL;
}

static void
test_read_only(void **state)
{
	char path[500];
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	write_file("kept", "yes");
	check(volume_mount(&volume, 1234, 1235, true, &err), &err);
	snprintf(path, sizeof(path), "%s/new", volume.data_path);
	assert_int_equal(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	assert_file("kept", "yes");
	check(volume_unmount(&volume, &err), &err);
	check(volume_mount(&volume, 1234, 1235, true, &err), &err);
	assert_int_equal(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	write_file("new", "now");
}

/* No reserve for root: ENOSPC comes, at not much less than the size, and what is removed can be used again and goes
 * back to the host's disk. */
/* Mounting again syncs the whole file system, while a client waits for a restore. */
static void
test_what_is_mounted_as_wanted_is_left_alone(void **state)
{
	struct statvfs system;
	Error err;

	(void) state;
	check(volume_create(&volume, 64 * MIB, &err), &err);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_false(has_mount_option("lazytime"));
	assert_int_equal(
		mount(NULL, volume.mount_path, NULL, MS_REMOUNT | MS_LAZYTIME | MS_NOATIME | MS_NOSUID | MS_NODEV, NULL), 0);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_true(has_mount_option("lazytime"));

	assert_int_equal(mount(NULL, volume.mount_path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_int_equal(statvfs(volume.mount_path, &system), 0);
	assert_int_equal(system.f_flag & (ST_RDONLY | ST_NOATIME | ST_NOSUID | ST_NODEV),
					 ST_NOATIME | ST_NOSUID | ST_NODEV);
	assert_false(has_mount_option("lazytime"));
	check(volume_remove(&volume, &err), &err);
}

static void
test_size_is_a_limit(void **state)
{
	static char block[65536];
	VolumeUsage full;
	VolumeUsage freed;
	char path[500];
	uint64_t written = 0;
	int fd;
	Error err = {0};

	(void) state;
	create_and_mount(64 * MIB);
	snprintf(path, sizeof(path), "%s/big", volume.data_path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	memset(block, 'x', sizeof(block));
	for (;;)
	{
		ssize_t done = write(fd, block, sizeof(block));

		if (done < 0)
			break;
		written += (uint64_t) done;
		assert_true(written < 64 * MIB);
	}
	assert_int_equal(errno, ENOSPC);
	assert_true(written > 48 * MIB);
	assert_int_equal(fsync(fd), 0);
	close(fd);
	check(volume_read_usage(&volume, &full, &err), &err);
	assert_true(full.used_bytes >= written);
	assert_true(full.on_disk_bytes >= written);
	assert_int_equal(unlink(path), 0);
	/* ext4 gives blocks back in the background, some time after the commit. */
	for (uint64_t deadline = clock_monotonic_ns() + 30 * NS_PER_SECOND;;)
	{
		sync();
		check(volume_read_usage(&volume, &freed, &err), &err);
		assert_true(freed.used_bytes < 1 * MIB);
		if (freed.on_disk_bytes < full.on_disk_bytes / 2)
			break;
		assert_true(clock_monotonic_ns() < deadline);
		usleep(5000);
	}
	write_file("small", "fits again");
}

/* A process that was killed between attaching and mounting leaves a device without autoclear at worst. */
static uint64_t
file_system_bytes(void)
{
	struct statvfs system;

	assert_int_equal(statvfs(volume.mount_path, &system), 0);
	return (uint64_t) system.f_blocks * system.f_frsize;
}

/* Larger while nothing is mounted; what is in it stays. */
static void
test_grows_while_it_rests(void **state)
{
	uint64_t before;
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	write_file("a", "kept");
	before = file_system_bytes();
	check(volume_unmount(&volume, &err), &err);
	check(volume_grow(&volume, 16 * MIB, &err), &err);
	check(volume_grow(&volume, 96 * MIB, &err), &err);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_true(file_system_bytes() > before + 48 * MIB);
	assert_file("a", "kept");
}

/* One that was cut off has its file, and not yet its file system. */
static void
test_growth_that_was_cut_off_is_ended(void **state)
{
	char marker[500];
	uint64_t before;
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	before = file_system_bytes();
	check(volume_unmount(&volume, &err), &err);
	assert_int_equal(truncate(volume.image_path, 96 * MIB), 0);
	snprintf(marker, sizeof(marker), "%s.growing", volume.image_path);
	check(file_replace(marker, "", 0, 0600, &err), &err);
	check(volume_grow(&volume, 96 * MIB, &err), &err);
	assert_int_equal(access(marker, F_OK), -1);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_true(file_system_bytes() > before + 48 * MIB);
}

/*
 * In use: at once where the kernel lets this root do it (CAP_SYS_RESOURCE), else it is refused as busy, stays as it
 * was, and grows when it is not in use.
 */
static void
test_grows_in_use(void **state)
{
	uint64_t before;
	Error err = {0};
	int result;

	(void) state;
	create_and_mount(32 * MIB);
	write_file("a", "kept");
	before = file_system_bytes();
	result = volume_grow(&volume, 96 * MIB, &err);
	if (prctl(PR_CAPBSET_READ, 24) == 1)
		check(result, &err);
	else
	{
		assert_int_equal(result, -EBUSY);
		assert_int_equal(file_system_bytes(), before);
		check(volume_unmount(&volume, &err), &err);
		check(volume_grow(&volume, 96 * MIB, &err), &err);
		check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	}
	assert_true(file_system_bytes() > before + 48 * MIB);
	assert_file("a", "kept");
}

/* Whoever has it mounted, and knows that no process uses it. */
static void
test_grows_at_rest(void **state)
{
	uint64_t before;
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	write_file("a", "kept");
	before = file_system_bytes();
	assert_false(volume_needs_growth(&volume, 32 * MIB));
	check(volume_grow_at_rest(&volume, 32 * MIB, &err), &err);
	assert_int_equal(file_system_bytes(), before); /* nothing to do: mounted still */
	assert_true(volume_needs_growth(&volume, 96 * MIB));
	check(volume_grow_at_rest(&volume, 96 * MIB, &err), &err);
	assert_false(volume_needs_growth(&volume, 96 * MIB));
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_true(file_system_bytes() > before + 48 * MIB);
	assert_file("a", "kept");
}

static void
test_left_device_is_used_again(void **state)
{
	LoopDevice left = LOOP_DEVICE_NONE;
	struct stat device;
	struct stat data;
	Error err = {0};

	(void) state;
	check(volume_create(&volume, 32 * MIB, &err), &err);
	check(loop_attach(volume.image_path, &left, &err), &err);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_int_equal(stat(left.path, &device), 0);
	assert_int_equal(stat(volume.data_path, &data), 0);
	assert_int_equal(device.st_rdev, data.st_dev);
	loop_close(&left);
	write_file("kept", "yes");
	check(volume_unmount(&volume, &err), &err);
	assert_false(loop_is_attached(volume.image_path));
}

static void
test_foreign_mount_is_refused(void **state)
{
	Error err = {0};

	(void) state;
	check(volume_create(&volume, 32 * MIB, &err), &err);
	check(file_make_directory(volume.mount_path, 0700, &err), &err);
	assert_int_equal(mount("none", volume.mount_path, "tmpfs", 0, NULL), 0);
	assert_int_equal(volume_mount(&volume, 1234, 1235, false, &err), -EBUSY);
	assert_int_equal(umount(volume.mount_path), 0);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
}

static void
test_open_file_makes_it_busy(void **state)
{
	int fd;
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	write_file("open", "x");
	fd = open(volume.data_path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(volume_remove(&volume, &err), -EBUSY);
	assert_string_equal(err.message, "volume samples/pgdata: is in use");
	assert_file("open", "x");
	close(fd);
}

/*
 * Somebody's private copy of the host's mounts goes when the volume is unmounted, but who has a file open in it keeps
 * the file system and its device. The volume can be mounted again all the same: from the same device, for a second one
 * on the same file would destroy it.
 */
static void
copy_is_no_obstacle(bool holds_file)
{
	int ready[2];
	char byte;
	struct stat before;
	struct stat after;
	pid_t holder;
	Error err = {0};

	create_and_mount(32 * MIB);
	write_file("held", "x");
	assert_int_equal(stat(volume.data_path, &before), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	holder = fork();
	if (holder == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			(holds_file && open(volume.data_path, O_RDONLY | O_CLOEXEC) < 0) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	check(volume_unmount(&volume, &err), &err);
	assert_int_equal(access(volume.data_path, F_OK), -1);
	assert_int_equal(loop_await_release(volume.image_path, holds_file ? 100 : VOLUME_RELEASE_TIMEOUT_MS), !holds_file);
	check(volume_mount(&volume, 1234, 1235, false, &err), &err);
	assert_int_equal(stat(volume.data_path, &after), 0);
	if (holds_file)
		assert_int_equal(before.st_dev, after.st_dev);
	assert_file("held", "x");
	kill(holder, SIGKILL);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_file("held", "x");
}

static void
test_copy_of_the_mounts_is_no_obstacle(void **state)
{
	(void) state;
	copy_is_no_obstacle(false);
}

static void
test_open_file_in_a_copy_is_no_obstacle(void **state)
{
	(void) state;
	copy_is_no_obstacle(true);
}

/* The kernel lets go of a file system a moment after its last process; here one that still has a file open. */
static void
test_remove_returns_when_the_device_is_released(void **state)
{
	int ready[2];
	char byte;
	char backing_path[64];
	struct stat status;
	pid_t holder;
	Error err = {0};

	(void) state;
	create_and_mount(32 * MIB);
	write_file("held", "x");
	assert_int_equal(stat(volume.data_path, &status), 0);
	snprintf(backing_path, sizeof(backing_path), "/sys/block/loop%u/loop/backing_file", minor(status.st_dev));
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	holder = fork();
	if (holder == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			open(volume.data_path, O_RDONLY | O_CLOEXEC) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		while (access(volume.mount_path, F_OK) == 0)
			poll(NULL, 0, 10);
		poll(NULL, 0, 100); /* long enough for a caller that does not wait to be seen */
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	check(volume_remove(&volume, &err), &err);
	assert_int_equal(access(backing_path, F_OK), -1);
	assert_int_equal(access(volume.image_path, F_OK), -1);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
}

static void
test_missing_volume(void **state)
{
	Error err = {0};

	(void) state;
	assert_int_equal(volume_mount(&volume, 0, 0, false, &err), -ENOENT);
	assert_non_null(strstr(err.message, "volume samples/pgdata: "));
	check(volume_unmount(&volume, &err), &err);
	check(volume_remove(&volume, &err), &err);
}

#define with_volume(test) cmocka_unit_test_setup_teardown(test, plan, clean)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_volume(test_create_is_sparse_and_single),
		with_volume(test_too_small_is_refused),
		with_volume(test_half_made_file_is_replaced),
		with_volume(test_mount),
		with_volume(test_read_only),
		with_volume(test_what_is_mounted_as_wanted_is_left_alone),
		with_volume(test_size_is_a_limit),
		with_volume(test_grows_while_it_rests),
		with_volume(test_growth_that_was_cut_off_is_ended),
		with_volume(test_grows_in_use),
		with_volume(test_grows_at_rest),
		with_volume(test_left_device_is_used_again),
		with_volume(test_foreign_mount_is_refused),
		with_volume(test_open_file_makes_it_busy),
		with_volume(test_copy_of_the_mounts_is_no_obstacle),
		with_volume(test_open_file_in_a_copy_is_no_obstacle),
		with_volume(test_remove_returns_when_the_device_is_released),
		with_volume(test_missing_volume),
	};

	if (janitor_start("volume") < 0)
	{
		perror("janitor");
		return 1;
	}
	/* Mounts of the test live in a namespace of its own, so that they go with it, however it ends. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
	{
		perror("unshare");
		return 1;
	}
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
