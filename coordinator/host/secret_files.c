/* Secrets of a machine as files in memory; see secret_files.h. */
#include "host/secret_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/shm.h"

#define FLAGS	(MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define OPTIONS "mode=0700,size=8m"

/* It becomes read-only when all is written, so that half of it is never taken for the whole. */
bool
secret_files_are_mounted(const char *path)
{
	struct statx status;
	struct statvfs system;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) == 0 &&
		   (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 && statvfs(path, &system) == 0 &&
		   (system.f_flag & ST_RDONLY) != 0;
}

static int
write_secret(const char *directory, size_t number, const char *text, uid_t uid, gid_t gid, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/%zu", directory, number);
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	size_t length = strlen(text);

	if (fd < 0 || fchmod(fd, 0400) < 0 || fchown(fd, uid, gid) < 0 || write(fd, text, length) != (ssize_t) length)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

int
secret_files_mount(const char *path, const char *const texts[], size_t count, uid_t uid, gid_t gid, Error *err)
{
	int result = secret_files_unmount(path, err); /* what a killed coordinator left half done */

	if (result == 0)
		result = file_make_directory(path, 0700, err);
	if (result < 0)
		return result;
	/* Never swapped out, where the kernel knows how (6.4). */
	if (mount("secrets", path, "tmpfs", FLAGS, OPTIONS ",noswap") < 0 &&
		(errno != EINVAL || mount("secrets", path, "tmpfs", FLAGS, OPTIONS) < 0))
		return error_set_errno(err, errno, "%s: mount tmpfs", path);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = write_secret(path, i, texts[i], uid, gid, err);
	if (result == 0 && mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY | FLAGS, NULL) < 0)
		result = error_set_errno(err, errno, "%s: make it read-only", path);
	if (result < 0)
		(void) !secret_files_unmount(path, NULL);
	return result;
}

int
secret_files_unmount(const char *path, Error *err)
{
	return shm_unmount(path, err);
}
