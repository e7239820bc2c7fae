/* One place that reaps: whose end is reported to whom, and what is remembered of those nobody watched. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/child.h"
#include "loop.h"

static struct event_base *loop;

typedef struct Ends
{
	unsigned calls;
	pid_t pid;
	int status;
	bool ended;
} Ends;

static void
note_end(void *context, pid_t pid, int status)
{
	Ends *ends = context;

	ends->calls++;
	ends->pid = pid;
	ends->status = status;
	ends->ended = true;
}

static pid_t
start_exiting_child(int exit_status)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(exit_status);
	return pid;
}

static pid_t
start_waiting_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

/* A child that outlives its parent; it ends by itself should the test die. */
static pid_t
start_long_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
	{
		alarm(100);
		for (;;)
			pause();
	}
	return pid;
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

static void
test_watched_child_is_reported_once(void **state)
{
	Ends ends = {0};
	pid_t pid = start_exiting_child(7);
	int status;

	(void) state;
	child_watch(pid, note_end, &ends);
	assert_true(loop_run_until(loop, loop_flag_is_set, &ends.ended));
	assert_int_equal(ends.pid, pid);
	assert_true(WIFEXITED(ends.status));
	assert_int_equal(WEXITSTATUS(ends.status), 7);
	loop_run_ready(loop);
	assert_int_equal(ends.calls, 1);
	assert_false(child_take_status(pid, &status)); /* told already */
}

static void
test_signal_is_reported(void **state)
{
	Ends ends = {0};
	pid_t pid = start_waiting_child();

	(void) state;
	child_watch(pid, note_end, &ends);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(loop_run_until(loop, loop_flag_is_set, &ends.ended));
	assert_true(WIFSIGNALED(ends.status));
	assert_int_equal(WTERMSIG(ends.status), SIGKILL);
}

/* Signals are merged by the kernel: many ends, one SIGCHLD, and each still goes to its own watcher. */
static void
test_many_at_once(void **state)
{
	Ends ends[50] = {0};
	pid_t pids[50];

	(void) state;
	for (int i = 0; i < 50; i++)
	{
		pids[i] = start_exiting_child(i);
		child_watch(pids[i], note_end, &ends[i]);
	}
	for (int i = 0; i < 50; i++)
	{
		assert_true(loop_run_until(loop, loop_flag_is_set, &ends[i].ended));
		assert_int_equal(ends[i].pid, pids[i]);
		assert_int_equal(WEXITSTATUS(ends[i].status), i);
		assert_int_equal(ends[i].calls, 1);
	}
}

static bool
take_status(void *context)
{
	int *taken = context;

	return child_take_status(taken[0], &taken[1]);
}

/* Who asks before the loop has reaped gets the status as well as who asks afterwards. */
static void
test_status_of_unwatched_child(void **state)
{
	pid_t pid = start_exiting_child(9);
	siginfo_t ignored;
	int status = -1;

	(void) state;
	assert_int_equal(waitid(P_PID, (id_t) pid, &ignored, WEXITED | WNOWAIT), 0);
	assert_true(child_take_status(pid, &status));
	assert_int_equal(WEXITSTATUS(status), 9);
	assert_false(child_take_status(pid, &status)); /* once */

	pid = start_exiting_child(11);
	assert_int_equal(waitid(P_PID, (id_t) pid, &ignored, WEXITED | WNOWAIT), 0);
	loop_run_ready(loop); /* reaps; nobody has asked yet */
	assert_int_equal(waitid(P_PID, (id_t) pid, &ignored, WEXITED | WNOWAIT), -1);
	assert_true(child_take_status(pid, &status));
	assert_int_equal(WEXITSTATUS(status), 11);
	assert_false(child_take_status(pid, &status));
}

static void
test_no_status_of_the_living(void **state)
{
	pid_t pid = start_waiting_child();
	int taken[2] = {pid, 0};
	int status = -1;

	(void) state;
	assert_false(child_take_status(pid, &status));
	assert_int_equal(status, -1);
	assert_false(child_take_status(getppid(), &status)); /* never was a child */
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_true(loop_run_until(loop, take_status, taken));
	assert_int_equal(WTERMSIG(taken[1]), SIGTERM);
}

static void
test_unwatch(void **state)
{
	Ends ends = {0};
	pid_t pid = start_exiting_child(3);
	int taken[2] = {pid, 0};

	(void) state;
	child_watch(pid, note_end, &ends);
	child_unwatch(pid);
	child_unwatch(pid); /* nobody watches: nothing */
	assert_true(loop_run_until(loop, take_status, taken));
	assert_int_equal(WEXITSTATUS(taken[1]), 3);
	assert_int_equal(ends.calls, 0);
}

/* A callback may start and watch the next child, as a restart does. */
static void
watch_another(void *context, pid_t pid, int status)
{
	(void) pid;
	(void) status;
	child_watch(start_exiting_child(21), note_end, context);
}

static void
test_callback_may_watch_another(void **state)
{
	Ends ends = {0};

	(void) state;
	child_watch(start_exiting_child(20), watch_another, &ends);
	assert_true(loop_run_until(loop, loop_flag_is_set, &ends.ended));
	assert_int_equal(WEXITSTATUS(ends.status), 21);
}

/* A grandchild whose parent has ended becomes ours: its end is seen too. */
static void
test_orphans_are_adopted(void **state)
{
	int report[2];
	int taken[2] = {0, 0};
	pid_t parent;
	Ends parent_ends = {0};

	(void) state;
	assert_int_equal(pipe(report), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0)
	{
		pid_t orphan = start_long_child();

		_exit(write(report[1], &orphan, sizeof(orphan)) == sizeof(orphan) ? 0 : 1);
	}
	child_watch(parent, note_end, &parent_ends);
	assert_int_equal(read(report[0], &taken[0], sizeof(taken[0])), sizeof(taken[0]));
	assert_true(loop_run_until(loop, loop_flag_is_set, &parent_ends.ended));
	assert_int_equal(kill(taken[0], SIGKILL), 0);
	assert_true(loop_run_until(loop, take_status, taken));
	assert_int_equal(WTERMSIG(taken[1]), SIGKILL);
	close(report[0]);
	close(report[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_watched_child_is_reported_once, begin, end),
		cmocka_unit_test_setup_teardown(test_signal_is_reported, begin, end),
		cmocka_unit_test_setup_teardown(test_many_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_status_of_unwatched_child, begin, end),
		cmocka_unit_test_setup_teardown(test_no_status_of_the_living, begin, end),
		cmocka_unit_test_setup_teardown(test_unwatch, begin, end),
		cmocka_unit_test_setup_teardown(test_callback_may_watch_another, begin, end),
		cmocka_unit_test_setup_teardown(test_orphans_are_adopted, begin, end),
	};

	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
