/*
 * The hot set's file; see hotset.h. Native byte order, one header, then for each process its record and its ranges,
 * and a checksum at the end. It never leaves the host; the checks are against a disk that was full and hands that
 * edited.
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

typedef struct FileHeader
{
	uint64_t magic;
	uint64_t process_count;
} FileHeader;

typedef struct FileProcess
{
	uint64_t pid;
	uint64_t start_time;
	uint64_t range_count;
} FileProcess;

void
hotset_clear(Hotset *hotset)
{
	for (size_t i = 0; i < hotset->process_count; i++)
		free(hotset->processes[i].ranges);
	free(hotset->processes);
	*hotset = (Hotset){0};
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
process_ranges_are_sane(const HotProcess *process)
{
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	uint64_t end = 0;

	for (size_t i = 0; i < process->range_count; i++)
	{
		const HotRange *range = &process->ranges[i];

		if (range->address % page_bytes != 0 || range->address < end || range->pages == 0 ||
			range->pages > (UINT64_MAX - range->address) / page_bytes)
			return false;
		end = range->address + range->pages * page_bytes;
	}
	return true;
}

static bool
hotset_parse(Cursor *cursor, Hotset *hotset)
{
	FileHeader header;

	if (!cursor_take(cursor, &header, sizeof(header)) || header.magic != HOTSET_MAGIC)
		return false;
	for (uint64_t i = 0; i < header.process_count; i++)
	{
		FileProcess record;
		HotProcess *process;

		if (!cursor_take(cursor, &record, sizeof(record)) || record.pid == 0 || record.pid > INT32_MAX ||
			record.range_count > cursor->left / sizeof(HotRange))
			return false;
		hotset->processes = memory_grow(hotset->processes, &hotset->process_capacity, hotset->process_count + 1,
										sizeof(*hotset->processes));
		process = &hotset->processes[hotset->process_count++];
		*process = (HotProcess){.pid = (pid_t) record.pid,
								.start_time = record.start_time,
								.range_count = record.range_count,
								.range_capacity = record.range_count,
								.ranges = memory_allocate(record.range_count * sizeof(HotRange))};
		if (!cursor_take(cursor, process->ranges, record.range_count * sizeof(HotRange)) ||
			!process_ranges_are_sane(process))
			return false;
		for (size_t j = 0; j < process->range_count; j++)
			hotset->pages += process->ranges[j].pages;
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
	FileHeader header = {.magic = HOTSET_MAGIC, .process_count = hotset->process_count};
	uint64_t checksum;

	text_append_bytes(text, &header, sizeof(header));
	for (size_t i = 0; i < hotset->process_count; i++)
	{
		const HotProcess *process = &hotset->processes[i];
		FileProcess record = {
			.pid = (uint64_t) process->pid,
			.start_time = process->start_time,
			.range_count = process->range_count,
		};

		text_append_bytes(text, &record, sizeof(record));
		text_append_bytes(text, process->ranges, process->range_count * sizeof(HotRange));
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
