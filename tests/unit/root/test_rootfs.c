/* A machine's overlay root (needs root): the image below stays as it is, paths may hold what overlayfs takes as
 * separators, mounting twice is once, and nothing is left. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/rootfs.h"
#include "root/fixture_janitor.h"

static char base[80];
static char image[128];
static char machine_directory[128];
static RootfsPlan plan;

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
set_up(void **state)
{
	(void) state;
	snprintf(base, sizeof(base), "%s/XXXXXX", janitor_directory);
	if (mkdtemp(base) == NULL)
		return -1;
	/* Digests have a colon; commas and backslashes are what a user's path may have. */
	snprintf(image, sizeof(image), "%s/sha256:0a1b/root,fs\\x", base);
	snprintf(machine_directory, sizeof(machine_directory), "%s/ns:a,b\\c/machine", base);
	rootfs_plan(image, machine_directory, &plan);
	return file_make_directory(image, 0755, NULL);
}

static int
tear_down(void **state)
{
	Error err = {0};
	_cleanup_free_ char *mounts = NULL;

	(void) state;
	if (rootfs_unmount(&plan, &err) < 0 || file_read("/proc/self/mountinfo", 16777216, &mounts, NULL, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	if (strstr(mounts, base) != NULL)
	{
		print_error("a mount is left\n");
		return -1;
	}
	return file_remove_tree(base, NULL);
}

static void
write_file(const char *directory, const char *name, const char *text)
{
	char path[600];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void
assert_file(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *found = NULL;
	char path[600];
	Error err = {0};

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	check(file_read(path, 4096, &found, NULL, &err), &err);
	assert_string_equal(found, text);
}

static void
test_layers(void **state)
{
	struct statvfs system;
	struct stat status;
	Error err = {0};

	(void) state;
	write_file(image, "from-image", "image");
	write_file(image, "changed", "image");
	assert_int_equal(chown(image, 7, 8), 0);
	check(rootfs_mount(&plan, &err), &err);
	assert_file(plan.merged, "from-image", "image");
	write_file(plan.merged, "changed", "machine");
	write_file(plan.merged, "new", "machine");
	assert_file(plan.merged, "changed", "machine");
	assert_file(image, "changed", "image");
	assert_file(plan.upper, "new", "machine");
	assert_int_equal(stat(plan.merged, &status), 0);
	assert_int_equal(status.st_uid, 7);
	assert_int_equal(status.st_gid, 8);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(statvfs(plan.merged, &system), 0);
	assert_true((system.f_flag & ST_NODEV) != 0 && (system.f_flag & ST_NOSUID) != 0);
	/* Unmounted and mounted again, the machine's changes are there. */
	check(rootfs_unmount(&plan, &err), &err);
	check(rootfs_unmount(&plan, &err), &err);
	check(rootfs_mount(&plan, &err), &err);
	assert_file(plan.merged, "changed", "machine");
}

static void
test_mounting_twice_is_once(void **state)
{
	Error err = {0};

	(void) state;
	check(rootfs_mount(&plan, &err), &err);
	check(rootfs_mount(&plan, &err), &err);
	assert_int_equal(umount(plan.merged), 0);
	assert_int_equal(umount(plan.merged), -1);
	assert_int_equal(errno, EINVAL);
}

static void
test_device_of_an_image_is_dead(void **state)
{
	char path[600];

	(void) state;
	snprintf(path, sizeof(path), "%s/null", image);
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	check(rootfs_mount(&plan, NULL), &(Error){0});
	snprintf(path, sizeof(path), "%s/null", plan.merged);
	assert_null(fopen(path, "re"));
	assert_int_equal(errno, EACCES);
}

static void
test_missing_image(void **state)
{
	RootfsPlan missing;
	Error err = {0};

	(void) state;
	rootfs_plan("/tmp/lttle-no-such-image", machine_directory, &missing);
	assert_int_equal(rootfs_mount(&missing, &err), -ENOENT);
	assert_string_equal(err.message, "/tmp/lttle-no-such-image: No such file or directory");
	check(rootfs_unmount(&missing, &err), &err);
}

#define with_plan(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_plan(test_layers),
		with_plan(test_mounting_twice_is_once),
		with_plan(test_device_of_an_image_is_dead),
		with_plan(test_missing_image),
	};

	if (janitor_start("rootfs") < 0)
	{
		perror("janitor");
		return 1;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
	{
		perror("unshare");
		return 1;
	}
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
