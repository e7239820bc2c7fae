/* A machine's /dev/shm; see shm.h. */
#include "host/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define FLAGS		(MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define LARGE_PAGES ",huge=advise" /* see sparse_copy.h */

/*
 * One at a time. Who unmounts may be killed because a client came, and its system call still goes on to its end: only
 * then is the lock free for the one that mounts.
 */
static int
lock_parent(const char *path, int *ret_fd, Error *err)
{
	_cleanup_free_ char *parent = memory_duplicate(path);
	_cleanup_fd_ int fd = -1;

	*strrchr(parent, '/') = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return error_set_errno(err, errno, "%s: lock", parent);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
shm_mount(const char *path, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	struct statx status;
	char options[96];
	struct sysinfo host;
	int mounted;
	int result = file_make_directory(path, 0711, err);

	if (result == 0)
		result = lock_parent(path, &lock_fd, err);
	if (result == 0)
		result = file_make_directory(path, 0711, err); /* somebody may have removed it before the lock */
	if (result < 0)
		return result;
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (status.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return 0;
	if (sysinfo(&host) < 0)
		return error_set_errno(err, errno, "sysinfo");
	snprintf(options, sizeof(options), "mode=1777,size=%" PRIu64 LARGE_PAGES,
			 (uint64_t) host.totalram * host.mem_unit * 4);
	mounted = mount("shm", path, "tmpfs", FLAGS, options);
	/* A kernel without large pages doesn't know the option. */
	if (mounted < 0 && errno == EINVAL)
	{
		*strstr(options, LARGE_PAGES) = '\0';
		mounted = mount("shm", path, "tmpfs", FLAGS, options);
	}
	if (mounted < 0)
		return error_set_errno(err, errno, "%s: mount tmpfs", path);
	return 0;
}

int
shm_unmount(const char *path, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_parent(path, &lock_fd, err);

	if (result < 0)
		return result == -ENOENT ? 0 : result;
	if (umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return error_set_errno(err, errno, "%s: unmount", path);
	if (rmdir(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}
