/*
 * A machine's log on disk: the file that the machine itself appends to, older parts that were cut off its front
 * (<path>.<end>, 20 digits), and beside each a file of times. Offsets are counted from the log's first byte, over all
 * parts, so that they stay what they are when it is rotated.
 *
 * The log is never renamed or opened anew, because the machine has it open and mounted, and because its processes must
 * not wait for anybody: where the file system can (ext4, XFS) its front is cut off in place and no byte is lost,
 * elsewhere the file is emptied, and what is written in the microseconds between the last look and that is lost.
 */
#ifndef HOST_LOG_FILES_H
#define HOST_LOG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define LOG_PATH_BYTES 512

typedef struct LogPart
{
	uint64_t begin;
	uint64_t end;
	char path[LOG_PATH_BYTES];
	char times[LOG_PATH_BYTES];
} LogPart;

/* Oldest first; the last one is what the machine writes. */
typedef struct LogParts
{
	LogPart *parts;
	size_t count;
	size_t capacity;
} LogParts;

/* path: of what the machine writes. -ENOENT when it isn't there. */
int log_parts_read(const char *path, LogParts *ret_parts, Error *err) MUST_CHECK;
void log_parts_clear(LogParts *parts);
/* Reads up to size bytes of one part at an offset that lies in it. */
ssize_t log_part_read(const LogPart *part, uint64_t offset, void *bytes, size_t size, Error *err) MUST_CHECK;

/* ---- times ---- */

/* When the log was seen to have grown to `end`. In a file of times `end` only grows. */
typedef struct LogTime
{
	uint64_t end;
	uint64_t time_ms; /* of the epoch */
} LogTime;

int log_times_append(const LogPart *part, const LogTime *time, Error *err) MUST_CHECK;
/* The log has become shorter: what was noted says nothing any more. */
void log_times_forget(const LogPart *part);
/* The entry that the byte at `offset` belongs to, or the first one at or behind `time_ms` and the offset at which what
 * it tells of begins. False when there is none. */
bool log_times_find(const LogPart *part, uint64_t offset, LogTime *ret_time);
bool log_times_find_since(const LogPart *part, uint64_t time_ms, uint64_t *ret_offset);
/* Up to where times are noted; the part's begin when nothing is. */
uint64_t log_times_end(const LogPart *part);

/* ---- rotation ---- */

/*
 * Copies the front of the log, whole blocks, and puts it on disk; changes nothing else. For a job's child. Then
 * log_rotate_finish cuts it off, makes the copy the newest part, and removes the oldest ones until at most `files` are
 * left. It takes as long as the change of some metadata. Must not run while a snapshot of the machine is written or
 * there is one: CRIU compares sizes. -EAGAIN when the log is not what was copied.
 */
int log_rotate_copy(const char *path, uint64_t *ret_bytes, Error *err) MUST_CHECK;
int log_rotate_finish(const char *path, uint64_t bytes, unsigned files, Error *err) MUST_CHECK;

/* The copy is not wanted any more, and the log stays as it is. */
void log_rotate_give_up(const char *path);

/* Ends what a killed coordinator left half done: no byte is lost, none is there twice. */
int log_rotate_recover(const char *path, Error *err) MUST_CHECK;

/* Whether its front can be cut off: a program that writes at a place of its own choice, and not at the log's end, would
 * leave a hole of that size behind each time. */
bool log_can_rotate(const char *path);

#endif
