/* A machine's root file system; see rootfs.h and the kernel's overlayfs.rst. */
#include "host/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

/* Nothing of the image may be a device or gain privilege. What the host's kernel was built with must not change what a
 * machine's upper directory means, hence the explicit features. */
#define OVERLAY_FLAGS	(MS_NODEV | MS_NOSUID)
#define OVERLAY_OPTIONS "index=off,metacopy=off,redirect_dir=off"

void
rootfs_plan(const char *image_root, const char *machine_directory, RootfsPlan *ret_plan)
{
	snprintf(ret_plan->lower, sizeof(ret_plan->lower), "%s", image_root);
	snprintf(ret_plan->upper, sizeof(ret_plan->upper), "%s/upper", machine_directory);
	snprintf(ret_plan->work, sizeof(ret_plan->work), "%s/work", machine_directory);
	snprintf(ret_plan->merged, sizeof(ret_plan->merged), "%s/root", machine_directory);
}

/* Colons separate lower directories and commas options; a digest in a path has the first. */
static void
append_escaped(Text *options, const char *path)
{
	for (const char *at = path; *at != '\0'; at++)
	{
		if (strchr(":,\\", *at) != NULL)
			text_append_bytes(options, "\\", 1);
		text_append_bytes(options, at, 1);
	}
}

static bool
is_mounted(const RootfsPlan *plan)
{
	struct statx status;
	struct statfs system;

	return statx(AT_FDCWD, plan->merged, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) == 0 &&
		   (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 && statfs(plan->merged, &system) == 0 &&
		   system.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* The upper directory's owner and mode are those of the machine's root directory. */
static int
make_upper(const RootfsPlan *plan, Error *err)
{
	struct stat lower;
	int result;

	if (stat(plan->lower, &lower) < 0)
		return error_set_errno(err, errno, "%s", plan->lower);
	result = file_make_directory(plan->upper, 0755, err);
	if (result < 0)
		return result;
	if (chown(plan->upper, lower.st_uid, lower.st_gid) < 0 || chmod(plan->upper, 0755) < 0)
		return error_set_errno(err, errno, "%s", plan->upper);
	return 0;
}

int
rootfs_mount(const RootfsPlan *plan, Error *err)
{
	_cleanup_text_ Text options = {0};
	int result;

	if (is_mounted(plan))
		return 0;
	result = make_upper(plan, err);
	if (result == 0)
		result = file_make_directory(plan->work, 0700, err);
	if (result == 0)
		result = file_make_directory(plan->merged, 0755, err);
	if (result < 0)
		return result;
	text_append(&options, "lowerdir=");
	append_escaped(&options, plan->lower);
	text_append(&options, ",upperdir=");
	append_escaped(&options, plan->upper);
	text_append(&options, ",workdir=");
	append_escaped(&options, plan->work);
	text_append(&options, "," OVERLAY_OPTIONS);
	if (mount("overlay", plan->merged, "overlay", OVERLAY_FLAGS, text_string(&options)) < 0)
		return error_set_errno(err, errno, "%s: mount overlay on %s", plan->merged, plan->lower);
	return 0;
}

int
rootfs_unmount(const RootfsPlan *plan, Error *err)
{
	while (umount2(plan->merged, UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return error_set_errno(err, errno, "%s: unmount", plan->merged);
	return 0;
}
