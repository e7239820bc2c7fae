/* An answer that comes line by line for as long as it goes on, such as the events that are followed. */
#ifndef CLI_LINE_STREAM_H
#define CLI_LINE_STREAM_H

#include "cli/command.h"
#include "cli/http.h"

typedef struct LineStream
{
	HttpStream http;
	Text text; /* what has come */
	size_t at; /* how much of it was given out */
} LineStream;

/* Asks for it. What goes wrong or is refused is on standard error; otherwise EXIT_CODE_OK, and it must be closed. */
int line_stream_open(const CliInvocation *invocation, const char *target, LineStream *ret_stream);

/*
 * The next line, without its newline, valid until the next call. timeout_ms: -1 waits for ever.
 * Returns 1; 0 at the end; -ETIMEDOUT; -ECONNRESET and others of http_read.
 */
int line_stream_next(LineStream *stream, int timeout_ms, const char **ret_line, Error *err) MUST_CHECK;

void line_stream_close(LineStream *stream);

#endif
