/* Files of mounts in memory; see snapshot_volatile.h. */
#include "host/snapshot_volatile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/sparse_copy.h"

#define SMALL_TOTAL_MAX_BYTES (UINT64_C(64) << 20)
#define OPEN_DIRECTORY		  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* The file keeps its inode when it is there: the coordinator may have it mapped. */
static int
copy_file(int from_directory_fd, int to_directory_fd, const char *name, uint64_t *bytes_left, Error *err)
{
	_cleanup_fd_ int from_fd = openat(from_directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_fd_ int to_fd = -1;
	struct stat status;

	if (from_fd < 0 || fstat(from_fd, &status) < 0)
		return error_set_errno(err, errno, "%s", name);
	if ((uint64_t) status.st_size > *bytes_left)
		return error_set(err, -EFBIG, "%s: there is too much in memory files: %llu MiB, and %llu are left", name,
						 (unsigned long long) status.st_size >> 20, (unsigned long long) *bytes_left >> 20);
	*bytes_left -= (uint64_t) status.st_size;
	to_fd = openat(to_directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (to_fd < 0 || fchown(to_fd, status.st_uid, status.st_gid) < 0 || fchmod(to_fd, status.st_mode & 0777) < 0)
		return error_set_errno(err, errno, "%s", name);
	return sparse_copy(from_fd, to_fd, (uint64_t) status.st_size, name, err);
}

/* Sockets and pipes have no content, and nobody in the machine could do without the rest. */
static bool
is_unsupported(const char *name, mode_t mode)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && (S_ISDIR(mode) || S_ISLNK(mode));
}

/*
 * How large the files may be together, holes included. Shared memory as much as its file system could hold: a machine
 * may give a file of nothing but a hole any size, and looking through that would never end.
 */
static uint64_t
count_allowed_bytes(const SnapshotMount *mount)
{
	struct statfs system;

	if (!mount->on_account || statfs(mount->source, &system) < 0)
		return SMALL_TOTAL_MAX_BYTES;
	return (uint64_t) system.f_blocks * (uint64_t) system.f_bsize;
}

static int
copy_directory(const char *from, const char *to, const SnapshotMount *mount, Error *err)
{
	_cleanup_fd_ int to_fd = open(to, OPEN_DIRECTORY);
	int fd = open(from, OPEN_DIRECTORY);
	_cleanup_directory_ DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	uint64_t bytes_left = count_allowed_bytes(mount);
	struct dirent *entry;
	int result = 0;

	if (directory == NULL || to_fd < 0)
		return error_set_errno(err, errno, "%s to %s", from, to);
	while (result == 0 && (errno = 0, entry = readdir(directory)) != NULL)
	{
		struct stat status;

		if (mount->never_kept != NULL && strcmp(entry->d_name, mount->never_kept) == 0)
			continue;
		if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(err, errno, "%s/%s", from, entry->d_name);
		if (S_ISREG(status.st_mode))
			result = copy_file(fd, to_fd, entry->d_name, &bytes_left, err);
		else if (is_unsupported(entry->d_name, status.st_mode))
			result = error_set(err, -EOPNOTSUPP, "%s/%s: directories and links in memory can't be taken to disk", from,
							   entry->d_name);
	}
	return result;
}

static bool
is_in_memory(const char *path)
{
	struct stat status;
	struct statfs system;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && statfs(path, &system) == 0 &&
		   system.f_type == TMPFS_MAGIC;
}

int
snapshot_save_volatile(const SnapshotSpec *spec, Error *err)
{
	for (size_t i = 0; i < spec->mount_count; i++)
	{
		_cleanup_free_ char *copy = memory_printf("%s/mount-%zu", spec->directory, i);
		int result;

		if (spec->mounts[i].read_only || !is_in_memory(spec->mounts[i].source))
			continue;
		result = file_make_directory(copy, 0700, err);
		if (result == 0)
			result = copy_directory(spec->mounts[i].source, copy, &spec->mounts[i], err);
		if (result < 0)
			return result;
	}
	return 0;
}

int
snapshot_restore_volatile(const SnapshotSpec *spec, bool on_account, Error *err)
{
	for (size_t i = 0; i < spec->mount_count; i++)
	{
		_cleanup_free_ char *copy = memory_printf("%s/mount-%zu", spec->directory, i);
		int result;

		if (spec->mounts[i].read_only || spec->mounts[i].on_account != on_account || access(copy, F_OK) < 0)
			continue;
		result = copy_directory(copy, spec->mounts[i].source, &spec->mounts[i], err);
		if (result < 0)
			return result;
	}
	return 0;
}
