/*
 * Rotation of a machine's log; see log_files.h. The front is copied, then cut off, then the copy gets its name: whoever
 * is killed in between leaves a copy whose bytes are either still in the log, and then it is worthless, or nowhere
 * else.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/log_files.h"

#define PIECE_BYTES (256 * 1024)

/* Where nothing can be cut off, so much may have been written since the copy was made. */
#define REST_MOST_BYTES (4 * 1024 * 1024)

static char *
rotating_path(const char *path)
{
	return memory_printf("%s.rotating", path);
}

/* Appends bytes from..to of one file to another. */
static int
copy_bytes(int from_fd, off_t from, off_t to, int to_fd, Error *err)
{
	_cleanup_free_ char *piece = memory_allocate(PIECE_BYTES);

	while (from < to)
	{
		size_t wanted = to - from < PIECE_BYTES ? (size_t) (to - from) : PIECE_BYTES;
		ssize_t got = pread(from_fd, piece, wanted, from);

		if (got == 0)
			return error_set(err, -EAGAIN, "log: it has become shorter");
		if (got < 0 || write(to_fd, piece, (size_t) got) != got)
			return error_set_errno(err, errno, "log: copy its front");
		from += got;
	}
	return 0;
}

bool
log_can_rotate(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (uint64_t) status.st_blocks * 512 >= (uint64_t) status.st_size / 2;
}

int
log_rotate_copy(const char *path, uint64_t *ret_bytes, Error *err)
{
	_cleanup_free_ char *copy_path = rotating_path(path);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_fd_ int copy_fd = -1;
	struct statfs system;
	struct stat status;
	off_t bytes;
	int result;

	if (fd < 0 || fstat(fd, &status) < 0 || fstatfs(fd, &system) < 0)
		return error_set_errno(err, errno, "log %s", path);
	/* Whole blocks, and something must be left: a file cannot be cut off up to its end. */
	bytes = (status.st_size - 1) / system.f_bsize * system.f_bsize;
	if (status.st_size == 0 || bytes == 0)
		return error_set(err, -EAGAIN, "log %s: it has become shorter", path);
	copy_fd = open(copy_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (copy_fd < 0)
		return error_set_errno(err, errno, "%s", copy_path);
	result = copy_bytes(fd, 0, bytes, copy_fd, err);
	/* The log too: cutting its front off writes back what is behind it, and the event loop waits for that. */
	if (result == 0 && (fsync(copy_fd) < 0 || fdatasync(fd) < 0))
		result = error_set_errno(err, errno, "%s: sync", copy_path);
	if (result < 0)
		unlink(copy_path);
	else
		*ret_bytes = (uint64_t) bytes;
	return result;
}

/* What was noted of the bytes behind `end` goes over to the log's new file of times. */
static void
split_times(const LogPart *current, const char *older_times, uint64_t end)
{
	LogPart older = *current;
	uint64_t offset = end;
	LogTime time;

	if (rename(current->times, older_times) < 0)
		return;
	text_copy(older.times, sizeof(older.times), older_times);
	while (log_times_find(&older, offset, &time))
	{
		/* The one that spans the cut tells of both sides. */
		if (log_times_append(current, &time, NULL) < 0)
			return;
		offset = time.end;
	}
}

/* The copy becomes the newest of the older parts. */
static int
publish_copy(const char *path, uint64_t bytes, Error *err)
{
	_cleanup_free_ char *copy_path = rotating_path(path);
	_cleanup_free_ char *part_path = NULL;
	_cleanup_free_ char *part_times = NULL;
	LogParts parts;
	LogPart current;
	int result = log_parts_read(path, &parts, err);

	if (result < 0)
		return result;
	current = parts.parts[parts.count - 1];
	log_parts_clear(&parts);
	part_path = memory_printf("%s.%020" PRIu64, path, current.begin + bytes);
	part_times = memory_printf("%s.times", part_path);
	if (rename(copy_path, part_path) < 0)
		return error_set_errno(err, errno, "%s", part_path);
	split_times(&current, part_times, current.begin + bytes);
	return 0;
}

static void
drop_oldest(const char *path, unsigned files)
{
	LogParts parts;

	if (log_parts_read(path, &parts, NULL) < 0)
		return;
	for (size_t i = 0; parts.count > 1 && i + files < parts.count - 1; i++)
	{
		unlink(parts.parts[i].path);
		unlink(parts.parts[i].times);
	}
	log_parts_clear(&parts);
}

/* No file system that can cut: everything goes into the copy, then the log is emptied. */
static int
empty_log(int fd, const char *copy_path, uint64_t *bytes, Error *err)
{
	_cleanup_fd_ int copy_fd = open(copy_path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	int result = 0;

	if (copy_fd < 0)
		return error_set_errno(err, errno, "%s", copy_path);
	for (;;)
	{
		if (fstat(fd, &status) < 0)
			return error_set_errno(err, errno, "log: size");
		if ((uint64_t) status.st_size > *bytes + REST_MOST_BYTES)
			return error_set(err, -EAGAIN, "log: too much has been written meanwhile");
		if ((uint64_t) status.st_size <= *bytes)
			break;
		result = copy_bytes(fd, (off_t) *bytes, status.st_size, copy_fd, err);
		if (result < 0)
			return result;
		*bytes = (uint64_t) status.st_size;
	}
	return ftruncate(fd, 0) < 0 ? error_set_errno(err, errno, "log: empty it") : 0;
}

int
log_rotate_finish(const char *path, uint64_t bytes, unsigned files, Error *err)
{
	_cleanup_free_ char *copy_path = rotating_path(path);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	int result = 0;

	if (fd < 0 || fstat(fd, &status) < 0)
		result = error_set_errno(err, errno, "log %s", path);
	else if ((uint64_t) status.st_size <= bytes)
		result = error_set(err, -EAGAIN, "log %s: it has become shorter", path);
	else if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, (off_t) bytes) < 0)
		result = errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS
					 ? empty_log(fd, copy_path, &bytes, err)
					 : error_set_errno(err, errno, "log %s: cut its front off", path);
	if (result < 0)
	{
		unlink(copy_path);
		return result;
	}
	result = publish_copy(path, bytes, err);
	drop_oldest(path, files);
	return result;
}

void
log_rotate_give_up(const char *path)
{
	_cleanup_free_ char *copy_path = rotating_path(path);

	unlink(copy_path);
}

/* Whether the log begins with all that is in the copy. */
static bool
log_begins_with(int fd, int copy_fd)
{
	_cleanup_free_ char *ours = memory_allocate(PIECE_BYTES);
	_cleanup_free_ char *theirs = memory_allocate(PIECE_BYTES);
	off_t at = 0;
	ssize_t got;

	while ((got = pread(copy_fd, ours, PIECE_BYTES, at)) > 0)
	{
		if (pread(fd, theirs, (size_t) got, at) != got || memcmp(ours, theirs, (size_t) got) != 0)
			return false;
		at += got;
	}
	return true;
}

int
log_rotate_recover(const char *path, Error *err)
{
	_cleanup_free_ char *copy_path = rotating_path(path);
	_cleanup_fd_ int copy_fd = open(copy_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_fd_ int fd = -1;
	struct stat status;

	if (copy_fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "%s", copy_path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(copy_fd, &status) < 0)
		return error_set_errno(err, errno, "log %s", path);
	if (!log_begins_with(fd, copy_fd))
		return publish_copy(path, (uint64_t) status.st_size, err);
	return unlink(copy_path) < 0 ? error_set_errno(err, errno, "%s", copy_path) : 0;
}
