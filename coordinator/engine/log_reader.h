/* Reading a machine's log, over all its parts, from a time or so many lines on, with the times at the lines'
 * beginnings. */
#ifndef ENGINE_LOG_READER_H
#define ENGINE_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define LOG_READER_ALL_LINES UINT64_MAX

typedef struct LogReader LogReader;

typedef struct LogReaderSpec
{
	const char *path;	 /* what the machine writes */
	uint64_t since_ms;	 /* begin with what was written then, milliseconds of the epoch; 0: with the beginning */
	uint64_t tail_lines; /* but with the last so many lines at most; LOG_READER_ALL_LINES */
	bool times;			 /* each line begins with its time, RFC 3339 in UTC with milliseconds */
} LogReaderSpec;

/* -ENOENT when there is no log. */
int log_reader_open(const LogReaderSpec *spec, LogReader **ret_reader, Error *err) MUST_CHECK;
void log_reader_free(LogReader *reader);

/* Puts the next piece, at most about 64 KiB without times, into text. False when there is no more for now. */
bool log_reader_next(LogReader *reader, Text *ret_text);
/* False when the log was removed: nothing will come any more. */
bool log_reader_is_alive(const LogReader *reader);

#endif
