/*
 * The hot set's file; see hotset.h. Native byte order: a header, for each process its record and its ranges, for each
 * file its record, its path and its ranges, and a checksum at the end. It never leaves the host; the checks are against
 * a disk that was full and hands that edited.
 */
#include "host/hotset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define HOTSET_MAGIC	 UINT64_C(0x31544553544f484c) /* "LHOTSET1" */
#define HOTSET_MAX_BYTES (16u << 20)
#define HOTSET_MAX_PATH	 1024u

typedef struct FileHeader
{
	uint64_t magic;
	uint64_t process_count;
	uint64_t file_count;
} FileHeader;

typedef struct FileProcess
{
	uint64_t pid;
	uint64_t start_time;
	uint64_t range_count;
} FileProcess;

typedef struct FileFile
{
	uint64_t path_bytes;
	uint64_t range_count;
} FileFile;

void
hotset_clear(Hotset *hotset)
{
	for (size_t i = 0; i < hotset->process_count; i++)
		free(hotset->processes[i].ranges.items);
	for (size_t i = 0; i < hotset->file_count; i++)
	{
		free(hotset->files[i].path);
		free(hotset->files[i].ranges.items);
	}
	free(hotset->processes);
	free(hotset->files);
	*hotset = (Hotset){0};
}

void
hot_ranges_add(HotRanges *ranges, uint64_t address)
{
	HotRange *last = ranges->count == 0 ? NULL : &ranges->items[ranges->count - 1];

	if (last != NULL && last->address + last->pages * (uint64_t) sysconf(_SC_PAGESIZE) == address)
	{
		last->pages++;
		return;
	}
	ranges->items = memory_grow(ranges->items, &ranges->capacity, ranges->count + 1, sizeof(*ranges->items));
	ranges->items[ranges->count++] = (HotRange){.address = address, .pages = 1};
}

/* FNV-1a. */
static uint64_t
bytes_checksum(const char *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ (unsigned char) bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

/* What is left to read of the file. */
typedef struct Cursor
{
	const char *at;
	size_t left;
} Cursor;

static bool
cursor_take(Cursor *cursor, void *target, size_t size)
{
	if (cursor->left < size)
		return false;
	memcpy(target, cursor->at, size);
	cursor->at += size;
	cursor->left -= size;
	return true;
}

static bool
ranges_are_sane(const HotRanges *ranges)
{
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	uint64_t end = 0;

	for (size_t i = 0; i < ranges->count; i++)
	{
		const HotRange *range = &ranges->items[i];

		if (range->address % page_bytes != 0 || range->address < end || range->pages == 0 ||
			range->address > INT64_MAX || range->pages > (INT64_MAX - range->address) / page_bytes)
			return false;
		end = range->address + range->pages * page_bytes;
	}
	return true;
}

static bool
cursor_take_ranges(Cursor *cursor, uint64_t count, HotRanges *ranges)
{
	if (count > cursor->left / sizeof(HotRange))
		return false;
	*ranges = (HotRanges){.items = memory_allocate(count * sizeof(HotRange)), .count = count, .capacity = count};
	return cursor_take(cursor, ranges->items, count * sizeof(HotRange)) && ranges_are_sane(ranges);
}

static bool
cursor_take_process(Cursor *cursor, Hotset *hotset)
{
	FileProcess record;
	HotProcess *process;

	if (!cursor_take(cursor, &record, sizeof(record)) || record.pid == 0 || record.pid > INT32_MAX)
		return false;
	hotset->processes = memory_grow(hotset->processes, &hotset->process_capacity, hotset->process_count + 1,
									sizeof(*hotset->processes));
	process = &hotset->processes[hotset->process_count++];
	*process = (HotProcess){.pid = (pid_t) record.pid, .start_time = record.start_time};
	return cursor_take_ranges(cursor, record.range_count, &process->ranges);
}

static bool
cursor_take_file(Cursor *cursor, Hotset *hotset)
{
	FileFile record;
	HotFile *file;

	if (!cursor_take(cursor, &record, sizeof(record)) || record.path_bytes == 0 || record.path_bytes > HOTSET_MAX_PATH)
		return false;
	hotset->files = memory_grow(hotset->files, &hotset->file_capacity, hotset->file_count + 1, sizeof(*hotset->files));
	file = &hotset->files[hotset->file_count++];
	*file = (HotFile){.path = memory_allocate(record.path_bytes + 1)};
	return cursor_take(cursor, file->path, record.path_bytes) &&
		   cursor_take_ranges(cursor, record.range_count, &file->ranges);
}

static bool
hotset_parse(Cursor *cursor, Hotset *hotset)
{
	FileHeader header;

	if (!cursor_take(cursor, &header, sizeof(header)) || header.magic != HOTSET_MAGIC)
		return false;
	for (uint64_t i = 0; i < header.process_count; i++)
	{
		if (!cursor_take_process(cursor, hotset))
			return false;
	}
	for (uint64_t i = 0; i < header.file_count; i++)
	{
		if (!cursor_take_file(cursor, hotset))
			return false;
	}
	return cursor->left == 0;
}

int
hotset_read(const char *path, Hotset *ret_hotset, Error *err)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_(hotset_clear) Hotset hotset = {0};
	size_t size = 0;
	uint64_t checksum;
	Cursor cursor;
	int result = file_read(path, HOTSET_MAX_BYTES, &bytes, &size, err);

	if (result < 0)
		return result;
	if (size < sizeof(checksum))
		return error_set(err, -EBADMSG, "%s: is no record of hot pages", path);
	memcpy(&checksum, bytes + size - sizeof(checksum), sizeof(checksum));
	cursor = (Cursor){.at = bytes, .left = size - sizeof(checksum)};
	if (checksum != bytes_checksum(cursor.at, cursor.left) || !hotset_parse(&cursor, &hotset))
		return error_set(err, -EBADMSG, "%s: is no record of hot pages", path);
	*ret_hotset = hotset;
	hotset = (Hotset){0};
	return 0;
}

static void
hotset_serialize(const Hotset *hotset, Text *text)
{
	FileHeader header = {
		.magic = HOTSET_MAGIC,
		.process_count = hotset->process_count,
		.file_count = hotset->file_count,
	};
	uint64_t checksum;

	text_append_bytes(text, &header, sizeof(header));
	for (size_t i = 0; i < hotset->process_count; i++)
	{
		const HotProcess *process = &hotset->processes[i];
		FileProcess record = {
			.pid = (uint64_t) process->pid,
			.start_time = process->start_time,
			.range_count = process->ranges.count,
		};

		text_append_bytes(text, &record, sizeof(record));
		text_append_bytes(text, process->ranges.items, process->ranges.count * sizeof(HotRange));
	}
	for (size_t i = 0; i < hotset->file_count; i++)
	{
		const HotFile *file = &hotset->files[i];
		FileFile record = {.path_bytes = strlen(file->path), .range_count = file->ranges.count};

		text_append_bytes(text, &record, sizeof(record));
		text_append_bytes(text, file->path, record.path_bytes);
		text_append_bytes(text, file->ranges.items, file->ranges.count * sizeof(HotRange));
	}
	checksum = bytes_checksum(text->data, text->length);
	text_append_bytes(text, &checksum, sizeof(checksum));
}

/* Not synced: a record that is lost costs a slower wake. */
int
hotset_write(const char *path, const Hotset *hotset, Error *err)
{
	_cleanup_free_ char *aside = memory_printf("%s.new", path);
	_cleanup_text_ Text text = {0};
	_cleanup_fd_ int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t written;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", aside);
	hotset_serialize(hotset, &text);
	written = write(fd, text.data, text.length);
	if (written != (ssize_t) text.length)
	{
		int failure = written < 0 ? errno : ENOSPC;

		unlink(aside);
		return error_set_errno(err, failure, "%s: write", aside);
	}
	if (rename(aside, path) < 0)
		return error_set_errno(err, errno, "%s: rename", aside);
	return 0;
}
