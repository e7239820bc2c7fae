/* A machine's log on disk: its parts and their times; see log_files.h. */
#include "host/log_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define END_DIGITS 20

/* ---- parts ---- */

void
log_parts_clear(LogParts *parts)
{
	free(parts->parts);
	*parts = (LogParts){0};
}

static int
part_stat(LogPart *part, const char *path, uint64_t *ret_bytes, Error *err)
{
	struct stat status;

	if (snprintf(part->path, sizeof(part->path), "%s", path) >= (int) sizeof(part->path) ||
		snprintf(part->times, sizeof(part->times), "%s.times", path) >= (int) sizeof(part->times))
		return error_set(err, -ENAMETOOLONG, "log %s: its path is too long", path);
	if (stat(path, &status) < 0)
		return error_set_errno(err, errno, "log %s", path);
	*ret_bytes = (uint64_t) status.st_size;
	return 0;
}

static void
parts_append(LogParts *parts, const LogPart *part)
{
	parts->parts = memory_grow(parts->parts, &parts->capacity, parts->count + 1, sizeof(*part));
	parts->parts[parts->count++] = *part;
}

static int
compare_parts(const void *left, const void *right)
{
	const LogPart *a = left;
	const LogPart *b = right;

	return a->end < b->end ? -1 : a->end > b->end;
}

/* "machine.log.00000000000010485760" of "machine.log" */
static bool
name_is_part(const char *name, const char *base, uint64_t *ret_end)
{
	size_t length = strlen(base);
	const char *digits = name + length + 1;

	if (strncmp(name, base, length) != 0 || name[length] != '.' || strlen(digits) != END_DIGITS ||
		strspn(digits, "0123456789") != END_DIGITS)
		return false;
	*ret_end = strtoull(digits, NULL, 10);
	return true;
}

static int
parts_read_older(const char *path, LogParts *parts, Error *err)
{
	_cleanup_free_ char *for_directory = memory_duplicate(path);
	_cleanup_free_ char *for_name = memory_duplicate(path);
	const char *directory = dirname(for_directory);
	const char *base = basename(for_name);
	DIR *open_directory = opendir(directory);
	const struct dirent *entry;

	if (open_directory == NULL)
		return error_set_errno(err, errno, "log %s", path);
	while ((entry = readdir(open_directory)) != NULL)
	{
		_cleanup_free_ char *part_path = memory_printf("%s/%s", directory, entry->d_name);
		LogPart part;
		uint64_t bytes;

		if (!name_is_part(entry->d_name, base, &part.end) || part_stat(&part, part_path, &bytes, NULL) < 0 ||
			bytes > part.end)
			continue;
		part.begin = part.end - bytes;
		parts_append(parts, &part);
	}
	closedir(open_directory);
	if (parts->count > 1)
		qsort(parts->parts, parts->count, sizeof(*parts->parts), compare_parts);
	return 0;
}

int
log_parts_read(const char *path, LogParts *ret_parts, Error *err)
{
	LogParts parts = {0};
	LogPart current;
	uint64_t bytes;
	int result = part_stat(&current, path, &bytes, err);

	if (result == 0)
		result = parts_read_older(path, &parts, err);
	if (result < 0)
	{
		log_parts_clear(&parts);
		return result;
	}
	current.begin = parts.count > 0 ? parts.parts[parts.count - 1].end : 0;
	current.end = current.begin + bytes;
	parts_append(&parts, &current);
	*ret_parts = parts;
	return 0;
}

ssize_t
log_part_read(const LogPart *part, uint64_t offset, void *bytes, size_t size, Error *err)
{
	_cleanup_fd_ int fd = open(part->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t got = fd < 0 ? -1 : pread(fd, bytes, size, (off_t) (offset - part->begin));

	return got < 0 ? error_set_errno(err, errno, "log %s", part->path) : got;
}

/* ---- times ---- */

int
log_times_append(const LogPart *part, const LogTime *time, Error *err)
{
	_cleanup_fd_ int fd = open(part->times, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, time, sizeof(*time)) != (ssize_t) sizeof(*time))
		return error_set_errno(err, errno != 0 ? errno : EIO, "times of the log %s", part->times);
	return 0;
}

void
log_times_forget(const LogPart *part)
{
	unlink(part->times);
}

/* Opens the times. *ret_count: how many whole ones there are; what a full disk has cut off is not one. */
static int
times_open(const LogPart *part, size_t *ret_count)
{
	int fd = open(part->times, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;

	*ret_count = fd >= 0 && fstat(fd, &status) == 0 ? (size_t) status.st_size / sizeof(LogTime) : 0;
	return fd;
}

static bool
times_read(int fd, size_t index, LogTime *ret_time)
{
	return pread(fd, ret_time, sizeof(*ret_time), (off_t) (index * sizeof(*ret_time))) == (ssize_t) sizeof(*ret_time);
}

/* The first entry whose end is above `offset`, or, with offset UINT64_MAX, whose time is not before time_ms. */
static size_t
times_search(int fd, size_t count, uint64_t offset, uint64_t time_ms)
{
	size_t low = 0;
	size_t high = count;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		LogTime time;
		bool wanted =
			times_read(fd, middle, &time) && (offset == UINT64_MAX ? time.time_ms >= time_ms : time.end > offset);

		if (wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

bool
log_times_find(const LogPart *part, uint64_t offset, LogTime *ret_time)
{
	size_t count;
	_cleanup_fd_ int fd = times_open(part, &count);
	size_t index = times_search(fd, count, offset, 0);

	return index < count && times_read(fd, index, ret_time);
}

bool
log_times_find_since(const LogPart *part, uint64_t time_ms, uint64_t *ret_offset)
{
	size_t count;
	_cleanup_fd_ int fd = times_open(part, &count);
	size_t index = times_search(fd, count, UINT64_MAX, time_ms);
	LogTime before;

	if (index >= count)
		return false;
	*ret_offset = index > 0 && times_read(fd, index - 1, &before) ? before.end : part->begin;
	return true;
}

uint64_t
log_times_end(const LogPart *part)
{
	size_t count;
	_cleanup_fd_ int fd = times_open(part, &count);
	LogTime last;

	return count > 0 && times_read(fd, count - 1, &last) && last.end > part->begin ? last.end : part->begin;
}
