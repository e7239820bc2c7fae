/* Slow work beside the loop: results, errors, deadlines, cancelling, and children that die. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/child.h"
#include "base/job.h"
#include "loop.h"

static struct event_base *loop;

typedef struct Outcome
{
	bool ended;
	unsigned calls;
	int result;
	char output[256];
	Error error;
} Outcome;

static void
note_done(void *context, int result, const void *output, const Error *err)
{
	Outcome *outcome = context;

	outcome->ended = true;
	outcome->calls++;
	outcome->result = result;
	if (result == 0)
		memcpy(outcome->output, output, sizeof(outcome->output));
	outcome->error = *err;
}

static int
begin(void **state)
{
	(void) state;
	loop = event_base_new();
	return child_reaper_start(loop, NULL);
}

static int
end(void **state)
{
	(void) state;
	child_reaper_stop();
	event_base_free(loop);
	return 0;
}

static JobSpec
spec_of(JobFunction function, const void *input, Outcome *outcome)
{
	return (JobSpec){.name = "samples/postgresql: test",
					 .function = function,
					 .input = input,
					 .output_bytes = sizeof(outcome->output),
					 .timeout_ms = 20000,
					 .done = note_done,
					 .context = outcome};
}

static void
run(JobSpec spec, Outcome *outcome)
{
	Job *job;

	assert_int_equal(job_start(loop, &spec, &job, NULL), 0);
	assert_int_equal(outcome->calls, 0); /* never from within job_start */
	assert_true(loop_run_until(loop, loop_flag_is_set, &outcome->ended));
	loop_run_ready(loop);
	assert_int_equal(outcome->calls, 1);
}

static int
answer(const void *input, void *output, Error *err)
{
	char *text = output;

	(void) err;
	for (size_t i = 0; i < 256; i++)
	{
		if (text[i] != 0) /* it begins zeroed */
			return -EBADMSG;
	}
	strcpy(text, "result of ");
	strcat(text, input);
	text[255] = '!';
	return 0;
}

static void
test_result(void **state)
{
	Outcome outcome = {0};

	(void) state;
	run(spec_of(answer, "the input", &outcome), &outcome);
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.output, "result of the input");
	assert_int_equal(outcome.output[255], '!');
}

/* What the child does to memory stays in the child. */
static int
change_memory(const void *input, void *output, Error *err)
{
	(void) output;
	(void) err;
	*(int *) (uintptr_t) input = 2;
	return 0;
}

static void
test_memory_is_a_copy(void **state)
{
	Outcome outcome = {0};
	int number = 1;

	(void) state;
	run(spec_of(change_memory, &number, &outcome), &outcome);
	assert_int_equal(outcome.result, 0);
	assert_int_equal(number, 1);
}

static int
fail_with_message(const void *input, void *output, Error *err)
{
	(void) input;
	(void) output;
	return error_set_errno(err, ENOSPC, "volume samples/pgdata: mkfs");
}

static int
fail_without_message(const void *input, void *output, Error *err)
{
	(void) input;
	(void) output;
	(void) err;
	return -EACCES;
}

static void
test_errors_come_back(void **state)
{
	Outcome outcome = {0};
	Outcome silent = {0};

	(void) state;
	run(spec_of(fail_with_message, NULL, &outcome), &outcome);
	assert_int_equal(outcome.result, -ENOSPC);
	assert_int_equal(outcome.error.code, -ENOSPC);
	assert_string_equal(outcome.error.message, "volume samples/pgdata: mkfs: No space left on device");
	run(spec_of(fail_without_message, NULL, &silent), &silent);
	assert_int_equal(silent.result, -EACCES);
	assert_string_equal(silent.error.message, "samples/postgresql: test: Permission denied");
}

static int
die(const void *input, void *output, Error *err)
{
	(void) output;
	(void) err;
	if (input != NULL)
		raise(SIGKILL);
	_exit(0);
}

static void
test_child_that_dies(void **state)
{
	Outcome killed = {0};
	Outcome exited = {0};

	(void) state;
	run(spec_of(die, "by signal", &killed), &killed);
	assert_int_equal(killed.result, -EIO);
	assert_string_equal(killed.error.message, "samples/postgresql: test: the process that did it died");
	run(spec_of(die, NULL, &exited), &exited); /* success without an answer is none */
	assert_int_equal(exited.result, -EIO);
}

/* The numbers of a child and of its own child; shared memory, because a job keeps no descriptor of its parent's. */
typedef struct Group
{
	_Atomic pid_t pids[2];
} Group;

static Group *
group_new(void)
{
	Group *group = mmap(NULL, sizeof(*group), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(group, MAP_FAILED);
	return group;
}

/* The child of a test: tells its own and its helper's number, then waits for ever. */
static int
never_end(const void *input, void *output, Error *err)
{
	Group *group = (Group *) input;
	pid_t helper = fork();

	(void) output;
	(void) err;
	if (helper != 0)
	{
		group->pids[0] = getpid();
		group->pids[1] = helper;
	}
	alarm(100); /* should the test die */
	while (pause() < 0)
		;
	return 0;
}

static bool
is_told(void *context)
{
	return ((Group *) context)->pids[1] != 0;
}

static bool
is_gone(void *context)
{
	/* No zombie either: the reaper of this process has taken it. */
	return kill(*(_Atomic pid_t *) context, 0) < 0;
}

static void
assert_group_dies(Group *group)
{
	assert_true(is_told(group));
	assert_true(loop_run_until(loop, is_gone, &group->pids[0]));
	assert_true(loop_run_until(loop, is_gone, &group->pids[1]));
	munmap(group, sizeof(*group));
}

static void
test_deadline_ends_the_group(void **state)
{
	Outcome outcome = {0};
	Group *group = group_new();
	JobSpec spec = spec_of(never_end, group, &outcome);

	(void) state;
	spec.timeout_ms = 500;
	run(spec, &outcome);
	assert_int_equal(outcome.result, -ETIMEDOUT);
	assert_string_equal(outcome.error.message, "samples/postgresql: test: took too long and was ended");
	assert_group_dies(group);
}

static void
test_cancel(void **state)
{
	Outcome outcome = {0};
	Group *group = group_new();
	JobSpec spec = spec_of(never_end, group, &outcome);
	Job *job;

	(void) state;
	job_cancel(NULL);
	assert_int_equal(job_start(loop, &spec, &job, NULL), 0);
	assert_true(loop_run_until(loop, is_told, group));
	job_cancel(job);
	assert_group_dies(group);
	assert_int_equal(outcome.calls, 0);
}

/* A result that is there already when the job is cancelled is dropped. */
static void
test_cancel_of_a_finished_job(void **state)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "x", &outcome);
	siginfo_t ignored;
	Job *job;

	(void) state;
	assert_int_equal(job_start(loop, &spec, &job, NULL), 0);
	assert_int_equal(waitid(P_ALL, 0, &ignored, WEXITED | WNOWAIT), 0);
	job_cancel(job);
	loop_run_ready(loop);
	assert_int_equal(outcome.calls, 0);
}

/* The child begins with default actions and an empty mask, whatever the daemon ignores or blocks. */
static int
report_signals(const void *input, void *output, Error *err)
{
	struct sigaction action;
	sigset_t mask;

	(void) input;
	(void) err;
	sigaction(SIGPIPE, NULL, &action);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	*(char *) output = action.sa_handler == SIG_DFL && !sigismember(&mask, SIGUSR1) ? 'y' : 'n';
	return 0;
}

static void
test_signals_are_reset(void **state)
{
	Outcome outcome = {0};
	sigset_t blocked;

	(void) state;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	run(spec_of(report_signals, NULL, &outcome), &outcome);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_string_equal(outcome.output, "y");
}

static void
test_result_has_a_limit(void **state)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "x", &outcome);
	Job *job = NULL;
	Error error;

	(void) state;
	spec.output_bytes = JOB_MAX_OUTPUT_BYTES;
	assert_int_equal(job_start(loop, &spec, &job, &error), -EINVAL);
	assert_string_equal(error.message, "samples/postgresql: test: the result is too large");
	assert_null(job);
}

/* done may start the next job, as the engine's steps do. */
static void
start_next(void *context, int result, const void *output, const Error *err)
{
	Outcome *outcome = context;
	JobSpec spec = spec_of(answer, "the second", outcome);
	Job *job;

	(void) output;
	(void) err;
	assert_int_equal(result, 0);
	assert_int_equal(job_start(loop, &spec, &job, NULL), 0);
}

static void
test_done_may_start_the_next(void **state)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "the first", &outcome);

	(void) state;
	spec.done = start_next;
	run(spec, &outcome);
	assert_string_equal(outcome.output, "result of the second");
}

static void
test_many_at_once(void **state)
{
	Outcome outcomes[20] = {0};

	(void) state;
	for (int i = 0; i < 20; i++)
	{
		static const char *const inputs[] = {"even", "odd"};
		JobSpec spec = spec_of(answer, inputs[i % 2], &outcomes[i]);
		Job *job;

		assert_int_equal(job_start(loop, &spec, &job, NULL), 0);
	}
	for (int i = 0; i < 20; i++)
	{
		assert_true(loop_run_until(loop, loop_flag_is_set, &outcomes[i].ended));
		assert_string_equal(outcomes[i].output, i % 2 == 0 ? "result of even" : "result of odd");
	}
}

/* ---- no process to be had ---- */

#define NOBODY 65534

static void
set_process_limit(rlim_t limit)
{
	struct rlimit processes;

	if (getrlimit(RLIMIT_NPROC, &processes) < 0)
		_exit(90);
	processes.rlim_cur = limit < processes.rlim_max ? limit : processes.rlim_max;
	if (setrlimit(RLIMIT_NPROC, &processes) < 0)
		_exit(91);
}

/* Runs the body as a user who may have no further process, and returns its exit status. Root is not bound by the limit.
 */
static int
run_in_need(int (*body)(struct event_base *own_loop))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
	{
		if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(92);
		set_process_limit(0);
		_exit(body(event_base_new()));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
need_refuses(struct event_base *own_loop)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "x", &outcome);
	Job *job = NULL;
	Error error;

	return job_start(own_loop, &spec, &job, &error) == -EAGAIN && job == NULL &&
				   strstr(error.message, "samples/postgresql: test: fork: ") == error.message
			   ? 0
			   : 1;
}

static void
relieve(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	(void) context;
	set_process_limit(RLIM_INFINITY);
}

static int
need_that_ends(struct event_base *own_loop)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "patience", &outcome);
	struct timeval later = {.tv_usec = 250000};
	Job *job = NULL;

	spec.patient = true;
	if (job_start(own_loop, &spec, &job, NULL) != 0)
		return 1;
	event_base_once(own_loop, -1, EV_TIMEOUT, relieve, NULL, &later);
	if (!loop_run_until(own_loop, loop_flag_is_set, &outcome.ended))
		return 2;
	return outcome.result == 0 && outcome.calls == 1 && strcmp(outcome.output, "result of patience") == 0 ? 0 : 3;
}

static int
need_that_lasts(struct event_base *own_loop)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "x", &outcome);
	Job *job = NULL;

	spec.patient = true;
	spec.timeout_ms = 300;
	if (job_start(own_loop, &spec, &job, NULL) != 0)
		return 1;
	if (!loop_run_until(own_loop, loop_flag_is_set, &outcome.ended))
		return 2;
	return outcome.result == -EAGAIN && outcome.calls == 1 ? 0 : 3;
}

static int
need_and_cancel(struct event_base *own_loop)
{
	Outcome outcome = {0};
	JobSpec spec = spec_of(answer, "x", &outcome);
	Job *job = NULL;

	spec.patient = true;
	if (job_start(own_loop, &spec, &job, NULL) != 0)
		return 1;
	job_cancel(job);
	set_process_limit(RLIM_INFINITY);
	event_base_dispatch(own_loop); /* ends when nothing is left to wait for */
	return outcome.calls == 0 ? 0 : 3;
}

static void
test_no_process_to_be_had(void **state)
{
	(void) state;
	assert_int_equal(run_in_need(need_refuses), 0);
	assert_int_equal(run_in_need(need_that_ends), 0);
	assert_int_equal(run_in_need(need_that_lasts), 0);
	assert_int_equal(run_in_need(need_and_cancel), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_result, begin, end),
		cmocka_unit_test_setup_teardown(test_memory_is_a_copy, begin, end),
		cmocka_unit_test_setup_teardown(test_errors_come_back, begin, end),
		cmocka_unit_test_setup_teardown(test_child_that_dies, begin, end),
		cmocka_unit_test_setup_teardown(test_deadline_ends_the_group, begin, end),
		cmocka_unit_test_setup_teardown(test_cancel, begin, end),
		cmocka_unit_test_setup_teardown(test_cancel_of_a_finished_job, begin, end),
		cmocka_unit_test_setup_teardown(test_signals_are_reset, begin, end),
		cmocka_unit_test_setup_teardown(test_result_has_a_limit, begin, end),
		cmocka_unit_test_setup_teardown(test_done_may_start_the_next, begin, end),
		cmocka_unit_test_setup_teardown(test_many_at_once, begin, end),
		cmocka_unit_test(test_no_process_to_be_had),
	};

	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
