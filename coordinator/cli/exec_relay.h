/* The client's side of an exec connection: standard input, output and error against frames. */
#ifndef CLI_EXEC_RELAY_H
#define CLI_EXEC_RELAY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "cli/http.h"

/* Other ends than our own standard streams. */
typedef struct ExecRelayEnds
{
	int input_fd; /* readable when there is more to give; a file always is */
	ssize_t (*read)(void *context, void *bytes, size_t size, Error *err); /* 0: the end; what fails ends the relay */
	/* fd: STDOUT_FILENO or STDERR_FILENO. What fails ends the relay. */
	int (*write)(void *context, int fd, const void *bytes, size_t size, Error *err);
	void *context;
} ExecRelayEnds;

typedef struct ExecRelaySpec
{
	HttpStream *stream;		   /* upgraded */
	int signal_fd;			   /* of exec_relay_open_signals */
	bool input;				   /* pass standard input on */
	bool terminal;			   /* tell about changes of the window */
	const ExecRelayEnds *ends; /* NULL: our own */
} ExecRelaySpec;

typedef enum ExecRelayEnd
{
	EXEC_RELAY_EXITED,	 /* value: the program's exit status */
	EXEC_RELAY_SIGNALLED /* value: the signal that ends us */
} ExecRelayEnd;

/* A signalfd(2) of the signals that end us, so that we can leave in order, and of those that tell about the terminal.
 */
int exec_relay_open_signals(sigset_t *ret_before);
/* Dies of the signal, so that whoever waits for us sees it. */
int exec_relay_die_of(int signal_number, const sigset_t *before);

/* Runs to the end. Errors: -ECONNRESET and others of the connection; -EPROTO; -EIO with what the coordinator says. */
int exec_relay_run(const ExecRelaySpec *spec, ExecRelayEnd *ret_end, int *ret_value, Error *err) MUST_CHECK;

#endif
