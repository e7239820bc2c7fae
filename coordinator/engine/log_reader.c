/*
 * Reading a machine's log; see log_reader.h. Offsets are those over all parts, so that a rotation in between moves
 * nothing; a reader that is so slow that the parts it was at are gone goes on with the oldest that is there.
 */
#include "engine/log_reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/log_files.h"

#define PIECE_BYTES 32768
#define TAIL_MOST_BYTES                                                                                                \
	(UINT64_C(16) * 1024 * 1024) /* a look back ends here, so that it never holds the loop for long */

struct LogReader
{
	char path[LOG_PATH_BYTES];
	int fd; /* tells when it is removed */
	bool times;
	uint64_t offset; /* what was given out so far */
	bool in_line;	 /* what was given out last was no newline */
	LogTime time;	 /* of the bytes before time.end; none when end is 0 */
};

/* The part that has the byte at *offset, which is moved to where there is one. NULL: nothing is there. */
static const LogPart *
parts_find(const LogParts *parts, uint64_t *offset)
{
	const LogPart *current = &parts->parts[parts->count - 1];

	if (*offset > current->end) /* the machine has emptied it */
		*offset = current->begin;
	for (size_t i = 0; i < parts->count; i++)
	{
		const LogPart *part = &parts->parts[i];

		if (*offset >= part->end)
			continue;
		if (*offset < part->begin)
			*offset = part->begin;
		return part;
	}
	return NULL;
}

/* ---- where to begin ---- */

/* Where what was written at that time begins; the end of what has a time when everything is older. */
static uint64_t
parts_find_since(const LogParts *parts, uint64_t since_ms)
{
	uint64_t offset;

	for (size_t i = 0; i < parts->count; i++)
	{
		if (log_times_find_since(&parts->parts[i], since_ms, &offset))
			return offset;
	}
	return log_times_end(&parts->parts[parts->count - 1]);
}

/* Where the last `lines` lines begin, not before `least`. */
static uint64_t
parts_find_tail(const LogParts *parts, uint64_t lines, uint64_t least)
{
	uint64_t end = parts->parts[parts->count - 1].end;
	uint64_t at = end;
	char bytes[PIECE_BYTES];

	if (lines == 0)
		return end;
	if (end - least > TAIL_MOST_BYTES)
		least = end - TAIL_MOST_BYTES;
	for (size_t i = parts->count; i-- > 0;)
	{
		const LogPart *part = &parts->parts[i];
		uint64_t first = part->begin > least ? part->begin : least;

		while (at > first)
		{
			uint64_t from = at - first > sizeof(bytes) ? at - sizeof(bytes) : first;
			ssize_t got = log_part_read(part, from, bytes, (size_t) (at - from), NULL);

			/* A newline that ends the log's last line begins no other. */
			for (ssize_t k = got - 1; k >= 0; k--)
			{
				if (bytes[k] == '\n' && from + (uint64_t) k + 1 != end && --lines == 0)
					return from + (uint64_t) k + 1;
			}
			at = from;
		}
	}
	return at;
}

int
log_reader_open(const LogReaderSpec *spec, LogReader **ret_reader, Error *err)
{
	LogParts parts;
	LogReader *reader;
	int result = log_parts_read(spec->path, &parts, err);

	if (result < 0)
		return result;
	reader = memory_allocate(sizeof(*reader));
	*reader = (LogReader){.times = spec->times, .offset = parts.parts[0].begin};
	text_copy(reader->path, sizeof(reader->path), spec->path);
	reader->fd = open(spec->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (spec->since_ms > 0)
		reader->offset = parts_find_since(&parts, spec->since_ms);
	if (spec->tail_lines != LOG_READER_ALL_LINES)
		reader->offset = parts_find_tail(&parts, spec->tail_lines, reader->offset);
	log_parts_clear(&parts);
	*ret_reader = reader;
	return 0;
}

void
log_reader_free(LogReader *reader)
{
	if (reader == NULL)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader);
}

bool
log_reader_is_alive(const LogReader *reader)
{
	struct stat status;

	return fstat(reader->fd, &status) == 0 && status.st_nlink > 0;
}

/* ---- reading ---- */

/* What was written a moment ago has no time yet: then it is now. */
static void
reader_append_time(LogReader *reader, const LogPart *part, uint64_t offset, Text *text)
{
	uint64_t time_ms;
	time_t seconds;
	struct tm utc;
	char day[32];

	if (offset >= reader->time.end && !log_times_find(part, offset, &reader->time))
		reader->time = (LogTime){0};
	time_ms = offset < reader->time.end ? reader->time.time_ms : clock_realtime_ms();
	seconds = (time_t) (time_ms / 1000);
	gmtime_r(&seconds, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	text_printf(text, "%s.%03uZ ", day, (unsigned) (time_ms % 1000));
}

static void
reader_append(LogReader *reader, const LogPart *part, const char *bytes, size_t size, Text *text)
{
	const char *rest = bytes;

	while (rest < bytes + size)
	{
		const char *newline = memchr(rest, '\n', (size_t) (bytes + size - rest));
		const char *end = newline != NULL ? newline + 1 : bytes + size;

		if (!reader->in_line && reader->times)
			reader_append_time(reader, part, reader->offset + (uint64_t) (rest - bytes), text);
		text_append_bytes(text, rest, (size_t) (end - rest));
		reader->in_line = newline == NULL;
		rest = end;
	}
	reader->offset += size;
}

bool
log_reader_next(LogReader *reader, Text *ret_text)
{
	char bytes[PIECE_BYTES];
	LogParts parts;
	const LogPart *part;
	uint64_t before;
	ssize_t got = 0;

	if (log_parts_read(reader->path, &parts, NULL) < 0)
		return false;
	before = reader->offset;
	part = parts_find(&parts, &reader->offset);
	if (reader->offset < before) /* what was known of its times is void, too */
		reader->time = (LogTime){0};
	if (part != NULL)
	{
		uint64_t left = part->end - reader->offset;

		got = log_part_read(part, reader->offset, bytes, left < sizeof(bytes) ? (size_t) left : sizeof(bytes), NULL);
	}
	if (got > 0)
		reader_append(reader, part, bytes, (size_t) got, ret_text);
	log_parts_clear(&parts);
	return got > 0;
}
