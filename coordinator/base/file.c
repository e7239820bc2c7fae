/* Small files, read and written whole; see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"

int
file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t capacity = max_bytes < 4096 ? max_bytes : 4096;
	size_t length = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	for (;;)
	{
		char *grown = realloc(text, capacity + 2);
		ssize_t got;

		if (grown == NULL)
			return error_set_errno(err, ENOMEM, "%s", path);
		text = grown;
		got = read(fd, text + length, capacity + 1 - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "%s", path);
		length += (size_t) got;
		if (got == 0)
			break;
		if (length > max_bytes)
			return error_set(err, -EFBIG, "%s: is longer than %zu bytes", path, max_bytes);
		if (length == capacity + 1)
			capacity = capacity * 2 < max_bytes ? capacity * 2 : max_bytes;
	}
	text[length] = '\0';
	*ret_text = steal_pointer(&text);
	if (ret_bytes != NULL)
		*ret_bytes = length;
	return 0;
}

int
file_write(const char *path, const char *text, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(text);
	ssize_t written;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	written = write(fd, text, length);
	if (written < 0)
		return error_set_errno(err, errno, "%s: write '%s'", path, text);
	if ((size_t) written != length)
		return error_set(err, -EIO, "%s: only %zd of %zu bytes were written", path, written, length);
	return 0;
}

static int
write_whole(const char *path, const void *bytes, size_t size, mode_t mode, bool sync, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	size_t done = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	while (done < size)
	{
		ssize_t written = write(fd, (const char *) bytes + done, size - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return error_set_errno(err, errno, "%s: write", path);
		done += (size_t) written;
	}
	if (sync && fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", path);
	return 0;
}

static int
sync_directory_of(const char *path, Error *err)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t) (slash - path);
	_cleanup_fd_ int fd = -1;

	snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int) length, slash == NULL ? "" : path);
	fd = open(slash == NULL ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync its directory", path);
	return 0;
}

static int
replace(const char *path, const void *bytes, size_t size, mode_t mode, bool sync, Error *err)
{
	char aside[PATH_MAX];
	int result;

	if ((size_t) snprintf(aside, sizeof(aside), "%s.new", path) >= sizeof(aside))
		return error_set_errno(err, ENAMETOOLONG, "%s", path);
	result = write_whole(aside, bytes, size, mode, sync, err);
	if (result == 0)
		result = fault_hit(FAULT_FILE_WRITTEN, err);
	if (result == 0 && rename(aside, path) < 0)
		result = error_set_errno(err, errno, "%s: rename", aside);
	if (result < 0)
	{
		unlink(aside);
		return result;
	}
	result = fault_hit(FAULT_FILE_RENAMED, err);
	return result == 0 && sync ? sync_directory_of(path, err) : result;
}

int
file_replace(const char *path, const void *bytes, size_t size, mode_t mode, Error *err)
{
	return replace(path, bytes, size, mode, true, err);
}

int
file_replace_unsynced(const char *path, const void *bytes, size_t size, mode_t mode, Error *err)
{
	return replace(path, bytes, size, mode, false, err);
}

int
file_sync(const char *path, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", path);
	return sync_directory_of(path, err);
}

int
file_read_number(const char *path, uint64_t *ret_value, Error *err)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long value;
	char *end;
	int result = file_read(path, 64, &text, NULL, err);

	if (result < 0)
		return result;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || (*end != '\0' && *end != '\n'))
		return error_set(err, -EINVAL, "%s: is not a number: '%.32s'", path, text);
	*ret_value = value;
	return 0;
}

int
file_make_directory(const char *path, mode_t mode, Error *err)
{
	char partial[PATH_MAX];
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof(partial))
		return error_set(err, -ENAMETOOLONG, "%s: path is empty or too long", path);
	memcpy(partial, path, length + 1);
	for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
	{
		*slash = '\0';
		if (mkdir(partial, 0755) < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "%s: mkdir", partial);
		*slash = '/';
	}
	if (mkdir(partial, mode) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s: mkdir", partial);
	return 0;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void) status;
	(void) type;
	(void) walk;
	return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

int
file_remove_tree(const char *path, Error *err)
{
	int result = nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (result == -1 && errno == ENOENT)
		return 0;
	if (result != 0)
		return error_set_errno(err, result == -1 ? errno : -result, "%s: remove", path);
	return 0;
}
