/*
 * Running a PostgreSQL program inside a machine for a command: there it fits the server, whatever version the host has,
 * and logs in by the Unix socket. It wakes the machine and keeps it awake while it runs.
 */
#ifndef CLI_MACHINE_PROGRAM_H
#define CLI_MACHINE_PROGRAM_H

#include <signal.h>
#include <stdint.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/exec_relay.h"

typedef struct MachineProgram
{
	const CliInvocation *invocation;
	const char *machine;
	const char *database; /* NULL: the one that the machine was made with */
	const char *const *argv;
	int signal_fd; /* of exec_relay_open_signals */
	int input_fd;  /* as in ExecRelayEnds; -1: its input is empty */
	ssize_t (*read)(void *context, void *bytes, size_t size, Error *err);
	int (*write)(void *context, const void *bytes, size_t size, Error *err); /* its output; NULL: goes to `output` */
	void *context;
} MachineProgram;

/* How it ended. */
typedef struct MachineProgramEnd
{
	int status;		   /* its exit status, as of exec */
	int signal_number; /* that ended us; 0: none */
	Text output;	   /* at most 1 MiB of it */
	Text errors;	   /* what it said on standard error, at most 64 KiB */
} MachineProgramEnd;

/* Wakes the machine, or starts it, and waits for its server. Returns an exit code, with what is wrong on standard
 * error. */
int machine_program_wake(const CliInvocation *invocation, const char *machine);

/*
 * Runs it to its end. Returns an exit code; otherwise than EXIT_CODE_OK what is wrong is on standard error. The caller
 * clears the end in either case.
 */
int machine_program_run(const MachineProgram *program, MachineProgramEnd *ret_end);
void machine_program_end_clear(MachineProgramEnd *end);

/* Prints what it said on standard error, as people see a machine's last words. */
void machine_program_print_errors(MachineProgramEnd *end);

#endif
