/*
 * The relay of an exec connection: frames of the client on one side, a program's pipes or terminal on the other.
 * Nothing blocks, and both directions are bounded: who produces faster than the other side takes is not read from.
 * Under back-pressure nobody reads from the client either: that it has gone is the caller's to see (api_call_on_gone).
 */
#ifndef API_EXEC_STREAM_H
#define API_EXEC_STREAM_H

#include <stdbool.h>

#include "api/exec_stdio.h"

struct bufferevent;
struct event_base;

typedef struct ExecStream ExecStream;

typedef struct ExecStreamSpec
{
	struct event_base *loop;
	struct bufferevent *client; /* borrowed; must outlive the stream */
	ExecStdio stdio;			/* taken over; the program's side must be closed already */
	bool terminal;
	/* Runs once: everything was delivered, or the client speaks no frames or cannot be written to. The stream is still
	 * there, and to be freed by the caller, but not within this call. */
	void (*over)(void *context);
	void *context;
} ExecStreamSpec;

ExecStream *exec_stream_new(const ExecStreamSpec *spec);

/* The program has ended: delivers what it has written and its status, then calls over. */
void exec_stream_end(ExecStream *stream, int exit_status);

void exec_stream_free(ExecStream *stream);

#endif
