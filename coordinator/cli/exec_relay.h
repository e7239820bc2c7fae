/* The client's side of an exec connection: standard input, output and error against frames. */
#ifndef CLI_EXEC_RELAY_H
#define CLI_EXEC_RELAY_H

#include <stdbool.h>

#include "base/error.h"
#include "cli/http.h"

typedef struct ExecRelaySpec
{
	HttpStream *stream; /* upgraded */
	int signal_fd;		/* signalfd(2) of the blocked signals */
	bool input;			/* pass standard input on */
	bool terminal;		/* tell about changes of the window */
} ExecRelaySpec;

typedef enum ExecRelayEnd
{
	EXEC_RELAY_EXITED,	 /* value: the program's exit status */
	EXEC_RELAY_SIGNALLED /* value: the signal that ends us */
} ExecRelayEnd;

/* Runs to the end. Errors: -ECONNRESET and others of the connection; -EPROTO; -EIO with what the coordinator says. */
int exec_relay_run(const ExecRelaySpec *spec, ExecRelayEnd *ret_end, int *ret_value, Error *err) MUST_CHECK;

#endif
