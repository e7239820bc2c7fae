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

#define TOTAL_MAX_BYTES (UINT64_C(64) << 20)
#define OPEN_DIRECTORY	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int
copy_content(int from_fd, int to_fd, const char *name, Error *err)
{
	char buffer[65536];

	for (;;)
	{
		ssize_t got = read(from_fd, buffer, sizeof(buffer));
		ssize_t done = 0;

		if (got == 0)
			return 0;
		while (got > 0 && done < got)
		{
			ssize_t written = write(to_fd, buffer + done, (size_t) (got - done));

			if (written < 0)
				return error_set_errno(err, errno, "%s: write", name);
			done += written;
		}
		if (got < 0)
			return error_set_errno(err, errno, "%s: read", name);
	}
}

/* The file keeps its inode when it is there: the coordinator may have it mapped. */
static int
copy_file(int from_directory_fd, int to_directory_fd, const char *name, uint64_t *total_bytes, Error *err)
{
	_cleanup_fd_ int from_fd = openat(from_directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_fd_ int to_fd = -1;
	struct stat status;

	if (from_fd < 0 || fstat(from_fd, &status) < 0)
		return error_set_errno(err, errno, "%s", name);
	*total_bytes += (uint64_t) status.st_size;
	if (*total_bytes > TOTAL_MAX_BYTES)
		return error_set(err, -EFBIG, "%s: there is more than %llu MiB in memory files", name,
						 (unsigned long long) (TOTAL_MAX_BYTES >> 20));
	to_fd = openat(to_directory_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (to_fd < 0 || ftruncate(to_fd, status.st_size) < 0 || fchown(to_fd, status.st_uid, status.st_gid) < 0 ||
		fchmod(to_fd, status.st_mode & 0777) < 0)
		return error_set_errno(err, errno, "%s", name);
	return copy_content(from_fd, to_fd, name, err);
}

/* Sockets and pipes have no content, and nobody in the machine could do without the rest. */
static bool
is_unsupported(const char *name, mode_t mode)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && (S_ISDIR(mode) || S_ISLNK(mode));
}

static int
copy_directory(const char *from, const char *to, const char *without, Error *err)
{
	_cleanup_fd_ int to_fd = open(to, OPEN_DIRECTORY);
	int fd = open(from, OPEN_DIRECTORY);
	_cleanup_directory_ DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	uint64_t total_bytes = 0;
	struct dirent *entry;
	int result = 0;

	if (directory == NULL || to_fd < 0)
		return error_set_errno(err, errno, "%s to %s", from, to);
	while (result == 0 && (errno = 0, entry = readdir(directory)) != NULL)
	{
		struct stat status;

		if (without != NULL && strcmp(entry->d_name, without) == 0)
			continue;
		if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set_errno(err, errno, "%s/%s", from, entry->d_name);
		if (S_ISREG(status.st_mode))
			result = copy_file(fd, to_fd, entry->d_name, &total_bytes, err);
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
			result = copy_directory(spec->mounts[i].source, copy, spec->mounts[i].never_kept, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int
snapshot_restore_volatile(const SnapshotSpec *spec, Error *err)
{
	for (size_t i = 0; i < spec->mount_count; i++)
	{
		_cleanup_free_ char *copy = memory_printf("%s/mount-%zu", spec->directory, i);
		int result;

		if (spec->mounts[i].read_only || access(copy, F_OK) < 0)
			continue;
		result = copy_directory(copy, spec->mounts[i].source, spec->mounts[i].never_kept, err);
		if (result < 0)
			return result;
	}
	return 0;
}
