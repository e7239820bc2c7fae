/*
 * Runs a program to its end, for code that may block (a job's child): mkfs.ext4, skopeo, umoci. No shell; standard
 * input is empty, standard output and error are captured.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>

#include "base/error.h"

/*
 * argv: NULL-terminated; argv[0] is looked up in PATH. timeout_ms: > 0, then the process group is killed.
 * ret_output: NULL, or receives standard output (at most 1 MiB), which the caller frees.
 * Errors: -ENOENT program not found; -ETIMEDOUT; -EIO when it exits with another status than 0: the message then
 * carries the last lines of its standard error (and of its standard output, where ret_output is NULL);
 * -EFBIG when the output is longer. The program dies with the caller (PR_SET_PDEATHSIG).
 */
int process_run(const char *const argv[], uint64_t timeout_ms, char **ret_output, Error *err) MUST_CHECK;

/*
 * For a forked child that is about to become somebody else: default actions for every signal and an empty mask. What
 * the daemon ignores or blocks would otherwise be ignored or blocked in the program for ever.
 */
void process_reset_signals(void);

/*
 * Runs a function in a forked child and waits for it: for what changes the process itself, such as setns and unshare.
 * The child's Error comes back. -EIO when the child died without an answer.
 */
int process_run_function(int (*function)(void *context, Error *err), void *context, Error *err) MUST_CHECK;

/*
 * Replaces the calling process as execvpe(3) does, but looks argv[0] up in the PATH of `environment`, and never hands a
 * file of unknown format to a shell. Returns a negative errno only: -ENOENT when no such program was found.
 */
int process_exec(const char *const argv[], const char *const environment[]);

/* Whether this process has the capability (CAP_SYS_RESOURCE, …) in effect. */
bool process_has_capability(unsigned number);

#endif
