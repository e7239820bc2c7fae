/*
 * A process that cannot be confused with a later one of the same number: held as a pidfd, stored as PID and start
 * time (field 22 of /proc/PID/stat, clock ticks since boot).
 */
#ifndef BASE_PIDREF_H
#define BASE_PIDREF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct PidRef
{
	pid_t pid; /* 0: nobody */
	uint64_t start_time;
	int fd; /* pidfd; -1 when not open. Owned: pidref_close gives it back. */
} PidRef;

#define PIDREF_NONE ((PidRef){.pid = 0, .start_time = 0, .fd = -1})

/* Opens the process `pid`. -ESRCH when it is gone. */
int pidref_open(pid_t pid, PidRef *ret_reference, Error *err) MUST_CHECK;

/* Opens the process that was stored as pid and start_time. -ESRCH when it is gone or another one by now. */
int pidref_reopen(pid_t pid, uint64_t start_time, PidRef *ret_reference, Error *err) MUST_CHECK;

/* Sends a signal. A process that is gone is no error. */
int pidref_kill(const PidRef *reference, int signal, Error *err);

/* True while the process exists and is no zombie. */
bool pidref_is_alive(const PidRef *reference);

void pidref_close(PidRef *reference);

#endif
