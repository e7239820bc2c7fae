/* Slow work beside the event loop; see job.h. */
#include "base/job.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/patient_fork.h"
#include "base/process.h"
#include "base/text.h"

#define FIRST_FREE_FD 3
#define RETRY_MS	  100

struct Job
{
	struct event_base *loop;
	JobSpec spec; /* its name is the job's own */
	char *name;
	pid_t pid; /* 0: not yet made */
	int result_fd;
	struct event *result_event;
	struct event *retry_event; /* of a patient one that has no process yet */
	uint64_t retry_until_ns;
};

/* What the child writes into the pipe, at once; the output follows. */
typedef struct JobResult
{
	int result;
	Error error;
} JobResult;

/*
 * Gives up everything the coordinator has open. A copy of its sockets and locks would outlive it for a moment and keep
 * its successor out; a copy of a duplicate of a client's socket would keep that connection open.
 */
static int
job_drop_descriptors(int result_fd)
{
	if (result_fd != FIRST_FREE_FD)
		dup3(result_fd, FIRST_FREE_FD, O_CLOEXEC);
	close_range(FIRST_FREE_FD + 1, ~0U, 0);
	return FIRST_FREE_FD;
}

static void __attribute__((noreturn)) job_run_child(const JobSpec *spec, int result_fd, pid_t parent)
{
	char message[JOB_MAX_OUTPUT_BYTES] = {0};
	char output[JOB_MAX_OUTPUT_BYTES] = {0};
	JobResult result = {0};

	/* A coordinator that dies takes its unfinished work along: whoever adopts the machine starts from what is there. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent) /* it died before the request above, and another one may be at work by now */
		_exit(1);
	setpgid(0, 0);
	result_fd = job_drop_descriptors(result_fd);
	process_reset_signals();

	result.result = spec->function(spec->input, output, &result.error);
	if (result.result < 0 && result.error.message[0] == '\0')
		error_set_errno(&result.error, -result.result, "%s", spec->name);
	memcpy(message, &result, sizeof(result));
	memcpy(message + sizeof(result), output, spec->output_bytes);
	if (write(result_fd, message, sizeof(result) + spec->output_bytes) < 0)
		_exit(1);
	_exit(0);
}

static void
job_free(Job *job)
{
	if (job->result_event != NULL)
		event_free(job->result_event);
	if (job->retry_event != NULL)
		event_free(job->retry_event);
	if (job->result_fd >= 0)
		close(job->result_fd);
	free(job->name);
	free(job);
}

/* The pipe has the result, has been closed without one, or the deadline has passed. */
static void
job_handle_result(evutil_socket_t fd, short what, void *context)
{
	Job *job = context;
	char message[JOB_MAX_OUTPUT_BYTES] = {0};
	JobResult result;
	ssize_t got = (what & EV_TIMEOUT) ? 0 : read(fd, message, sizeof(message));

	if (got == (ssize_t) (sizeof(result) + job->spec.output_bytes))
		memcpy(&result, message, sizeof(result));
	else if (what & EV_TIMEOUT)
		result.result = error_set(&result.error, -ETIMEDOUT, "%s: took too long and was ended", job->name);
	else
		result.result = error_set(&result.error, -EIO, "%s: the process that did it died", job->name);
	if (what & EV_TIMEOUT)
		kill(-job->pid, SIGKILL);
	job->spec.done(job->spec.context, result.result, message + sizeof(result), &result.error);
	job_free(job);
}

static struct timeval
time_of_ms(uint64_t ms)
{
	return (struct timeval){.tv_sec = (time_t) (ms / 1000), .tv_usec = (suseconds_t) (ms % 1000 * 1000)};
}

/* Makes the process, and watches its pipe. */
static int
job_fork(Job *job, Error *err)
{
	struct timeval timeout = time_of_ms(job->spec.timeout_ms);
	pid_t parent = getpid();
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "%s: pipe", job->name);
	job->pid = fork_once();
	if (job->pid < 0)
	{
		int saved = errno;

		job->pid = 0;
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		return error_set_errno(err, saved, "%s: fork", job->name);
	}
	if (job->pid == 0)
	{
		close(pipe_fds[0]);
		job_run_child(&job->spec, pipe_fds[1], parent);
	}
	close(pipe_fds[1]);
	setpgid(job->pid, job->pid); /* in both processes, so that it is done whichever runs first */
	job->result_fd = pipe_fds[0];
	job->result_event = event_new(job->loop, job->result_fd, EV_READ, job_handle_result, job);
	if (job->result_event == NULL || event_add(job->result_event, &timeout) < 0)
	{
		kill(-job->pid, SIGKILL);
		return error_set(err, -ENOBUFS, "%s: out of memory", job->name);
	}
	return 0;
}

static void
job_handle_retry(evutil_socket_t fd, short what, void *context)
{
	struct timeval pause = time_of_ms(RETRY_MS);
	Job *job = context;
	Error error;
	int result = job_fork(job, &error);

	(void) fd;
	(void) what;
	if (result == 0)
		return;
	if (fork_may_come(-result) && clock_monotonic_ns() < job->retry_until_ns)
	{
		evtimer_add(job->retry_event, &pause);
		return;
	}
	job->spec.done(job->spec.context, result, NULL, &error);
	job_free(job);
}

static int
job_retry_later(Job *job, Error *err)
{
	struct timeval pause = time_of_ms(RETRY_MS);

	job->retry_until_ns = clock_monotonic_ns() + job->spec.timeout_ms * NS_PER_MS;
	job->retry_event = evtimer_new(job->loop, job_handle_retry, job);
	if (job->retry_event == NULL || evtimer_add(job->retry_event, &pause) < 0)
		return error_set(err, -ENOMEM, "%s: out of memory", job->name);
	return 0;
}

int
job_start(struct event_base *loop, const JobSpec *spec, Job **ret_job, Error *err)
{
	Job *job;
	int result;

	if (sizeof(JobResult) + spec->output_bytes > JOB_MAX_OUTPUT_BYTES)
		return error_set(err, -EINVAL, "%s: the result is too large", spec->name);
	job = memory_allocate(sizeof(*job));
	*job = (Job){.loop = loop, .spec = *spec, .name = memory_duplicate(spec->name), .result_fd = -1};
	job->spec.name = job->name;
	result = job_fork(job, err);
	if (spec->patient && fork_may_come(-result))
		result = job_retry_later(job, err);
	if (result < 0)
	{
		job_free(job);
		return result;
	}
	*ret_job = job;
	return 0;
}

void
job_cancel(Job *job)
{
	if (job == NULL)
		return;
	if (job->pid > 0)
		kill(-job->pid, SIGKILL);
	job_free(job);
}
