/*
 * Slow work beside the event loop: a function that runs in a forked child with a deadline, and a callback in the loop
 * when it has ended. The child inherits a copy of everything, may block, and hands back a fixed-size result and an
 * Error through a pipe. It must not touch the event loop, the store or anything shared with a client.
 *
 * The child's own descendants are unaffected by the deadline unless they are in its process group.
 */
#ifndef BASE_JOB_H
#define BASE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct event_base;

#define JOB_MAX_OUTPUT_BYTES 4096 /* PIPE_BUF: a result is one atomic write */

typedef struct Job Job;

/* Runs in the child. input: the spec's input (shared by the fork). output: zeroed, output_bytes long. 0 or -errno. */
typedef int (*JobFunction)(const void *input, void *output, Error *err);

/*
 * Runs in the loop once, when the child has ended or the deadline has passed (result -ETIMEDOUT; the child and its
 * process group were killed). output is valid only during the call and only when result is 0. The job is freed
 * afterwards.
 */
typedef void (*JobDone)(void *context, int result, const void *output, const Error *err);

typedef struct JobSpec
{
	const char *name; /* for messages: "samples/postgresql: create" */
	JobFunction function;
	const void *input;
	size_t output_bytes; /* <= JOB_MAX_OUTPUT_BYTES - sizeof(Error) - 16 */
	uint64_t timeout_ms; /* > 0 */
	JobDone done;
	void *context;
	/*
	 * Somebody waits for it, and it is better done late than refused: while the host has no memory for the process it
	 * is tried again, for up to timeout_ms. The input must live until the job is done or cancelled.
	 */
	bool patient;
} JobSpec;

/*
 * Errors: -ENOMEM and -EAGAIN (unless it is patient), -EMFILE: the process cannot be made; -EINVAL: the output is too
 * large.
 */
int job_start(struct event_base *loop, const JobSpec *spec, Job **ret_job, Error *err) MUST_CHECK;

/* Kills the child and frees the job without calling done. NULL is allowed. */
void job_cancel(Job *job);

#endif
