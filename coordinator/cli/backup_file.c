/* Writing a backup's file; see backup_file.h. */
#include "cli/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* A file without a name (O_TMPFILE) goes with its last descriptor, however that ends. */
static int
open_nameless(BackupFile *file)
{
	file->fd = openat(file->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return file->fd < 0 ? -errno : 0;
}

static int
open_named(BackupFile *file)
{
	file->temporary = memory_printf(".%s.%ld.partial", file->name, (long) getpid());
	file->fd = openat(file->directory_fd, file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return file->fd < 0 ? -errno : 0;
}

int
backup_file_open(const char *path, BackupFile *ret_file, Error *err)
{
	const char *slash = strrchr(path, '/');
	BackupFile file = BACKUP_FILE_NONE;
	int result;

	file.path = memory_duplicate(path);
	file.name = memory_duplicate(slash == NULL ? path : slash + 1);
	file.directory = slash == NULL ? memory_duplicate(".") : memory_printf("%.*s/", (int) (slash - path), path);
	file.directory_fd = open(file.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file.directory_fd < 0)
		result = error_set_errno(err, errno, "%s", file.directory);
	else
	{
		result = open_nameless(&file);
		if (result == -EOPNOTSUPP || result == -EISDIR || result == -EINVAL)
			result = open_named(&file);
		if (result < 0)
			error_set_errno(err, -result, "%s", path);
	}
	if (result < 0)
		backup_file_clear(&file);
	else
		*ret_file = file;
	return result;
}

int
backup_file_write(BackupFile *file, const void *bytes, size_t size, Error *err)
{
	const char *at = bytes;

	while (size > 0)
	{
		ssize_t written = write(file->fd, at, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return error_set_errno(err, errno, "%s", file->path);
		at += written;
		size -= (size_t) written;
		file->bytes += (uint64_t) written;
	}
	return 0;
}

int
backup_file_sync(const BackupFile *file, Error *err)
{
	struct stat status;

	if (fsync(file->fd) < 0 || fstat(file->fd, &status) < 0)
		return error_set_errno(err, errno, "%s", file->path);
	if ((uint64_t) status.st_size != file->bytes)
		return error_set(err, -EIO, "%s: %llu bytes were written, but it has %lld", file->path,
						 (unsigned long long) file->bytes, (long long) status.st_size);
	return 0;
}

int
backup_file_commit(BackupFile *file, Error *err)
{
	char of_descriptor[64];

	if (file->temporary == NULL)
	{
		/* A link can't replace anything: a name beside it first. */
		file->temporary = memory_printf(".%s.%ld.whole", file->name, (long) getpid());
		snprintf(of_descriptor, sizeof(of_descriptor), "/proc/self/fd/%d", file->fd);
		(void) unlinkat(file->directory_fd, file->temporary, 0);
		if (linkat(AT_FDCWD, of_descriptor, file->directory_fd, file->temporary, AT_SYMLINK_FOLLOW) < 0)
			return error_set_errno(err, errno, "%s", file->path);
	}
	if (renameat(file->directory_fd, file->temporary, file->directory_fd, file->name) < 0)
		return error_set_errno(err, errno, "%s", file->path);
	free(file->temporary);
	file->temporary = NULL;
	return fsync(file->directory_fd) < 0 ? error_set_errno(err, errno, "%s", file->directory) : 0;
}

void
backup_file_clear(BackupFile *file)
{
	if (file->temporary != NULL && file->directory_fd >= 0 && file->fd >= 0)
		(void) unlinkat(file->directory_fd, file->temporary, 0);
	if (file->fd >= 0)
		close(file->fd);
	if (file->directory_fd >= 0)
		close(file->directory_fd);
	free(file->path);
	free(file->directory);
	free(file->name);
	free(file->temporary);
	*file = BACKUP_FILE_NONE;
}
