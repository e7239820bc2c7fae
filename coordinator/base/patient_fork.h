/* Makes a process also where the host has neither memory nor a number for one more at the moment. */
#ifndef BASE_PATIENT_FORK_H
#define BASE_PATIENT_FORK_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether a fork that failed with this (positive) errno is worth another try a little later. */
bool fork_may_come(int number);

/*
 * As `make`, fork(2) or what does as it, but tries again for up to ten seconds while that may help. Blocks: for a job's
 * child, never for the event loop. -1 with errno.
 */
pid_t fork_patiently(pid_t (*make)(void));

/* fork(2), which a test can let fail (FAULT_FORK). */
pid_t fork_once(void);

#endif
