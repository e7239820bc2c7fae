/* Programs run to their end: output, exit status, deadline, and what is left afterwards. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"

static void
test_output_is_captured(void **state)
{
	const char *const argv[] = {"sh", "-c", "printf 'one\\ntwo'; echo noise >&2", NULL};
	_cleanup_free_ char *output = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, &output, &err), 0);
	assert_string_equal(output, "one\ntwo");
}

static void
test_no_output_is_an_empty_string(void **state)
{
	const char *const argv[] = {"true", NULL};
	_cleanup_free_ char *output = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, &output, &err), 0);
	assert_string_equal(output, "");
}

static void
test_standard_input_is_empty(void **state)
{
	const char *const argv[] = {"wc", "-c", NULL};
	_cleanup_free_ char *output = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, &output, &err), 0);
	assert_string_equal(output, "0\n");
}

static void
test_failure_carries_the_complaint(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo first >&2; echo 'no such tag' >&2; exit 3", NULL};
	char *output = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, &output, &err), -EIO);
	assert_null(output);
	assert_string_equal(err.message, "sh: exit status 3: first no such tag");
}

static void
test_without_output_its_standard_output_is_the_complaint(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo disk is full; exit 1", NULL};
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, NULL, &err), -EIO);
	assert_string_equal(err.message, "sh: exit status 1: disk is full");
}

static void
test_death_by_signal_is_named(void **state)
{
	const char *const argv[] = {"sh", "-c", "kill -KILL $$", NULL};
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, NULL, &err), -EIO);
	assert_string_equal(err.message, "sh: ended by signal 9");
}

static void
test_missing_program(void **state)
{
	const char *const argv[] = {"lttle-no-such-program", NULL};
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, NULL, &err), -ENOENT);
	assert_string_equal(err.message, "lttle-no-such-program: program not found");
}

static void
test_program_that_is_no_program(void **state)
{
	char path[] = "/tmp/lttle-test-process-XXXXXX";
	const char *const argv[] = {path, NULL};
	int fd = mkstemp(path);
	Error err = {0};

	(void) state;
	assert_true(write(fd, "echo a shell ran this\n", 22) == 22);
	assert_int_equal(process_run(argv, 10000, NULL, &err), -EACCES);
	assert_non_null(strstr(err.message, "Permission denied"));
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
	assert_int_equal(process_run(argv, 10000, NULL, &err), -ENOEXEC);
	unlink(path);
}

/* The helper writes its number to a file and would stay for ever; the deadline must end it with its parent. */
static void
test_deadline_ends_the_whole_group(void **state)
{
	char path[] = "/tmp/lttle-test-process-XXXXXX";
	int fd = mkstemp(path);
	char script[200];
	const char *const argv[] = {"sh", "-c", script, NULL};
	char number[32] = "";
	Error err = {0};
	pid_t helper;

	(void) state;
	assert_true(fd >= 0);
	snprintf(script, sizeof(script), "sleep 1000 & echo $! > %s; wait", path);
	assert_int_equal(process_run(argv, 700, NULL, &err), -ETIMEDOUT);
	assert_string_equal(err.message, "sh: did not end within 700 ms");
	assert_true(read(fd, number, sizeof(number) - 1) > 0);
	close(fd);
	unlink(path);
	helper = atoi(number);
	assert_true(helper > 1);
	/* This process is its reaper (see main), so that its end can be seen for certain. */
	assert_int_equal(waitpid(helper, NULL, 0), helper);
}

/* A program that never stops talking must not outrun its deadline. */
static void
test_deadline_holds_for_a_talker(void **state)
{
	const char *const argv[] = {"sh", "-c", "while :; do echo talk >&2; done", NULL};
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 300, NULL, &err), -ETIMEDOUT);
}

static void
test_too_much_output_is_refused(void **state)
{
	const char *const argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
	char *output = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run(argv, 10000, &output, &err), -EFBIG);
	assert_null(output);
}

/* A helper left in the background that holds the pipe open is not waited for. */
static void
test_background_helper_does_not_hold_it(void **state)
{
	const char *const argv[] = {"sh", "-c", "sleep 1000 & echo $!", NULL};
	_cleanup_free_ char *output = NULL;
	Error err = {0};
	pid_t helper;

	(void) state;
	assert_int_equal(process_run(argv, 60000, &output, &err), 0);
	helper = atoi(output);
	assert_true(helper > 1);
	assert_int_equal(kill(helper, SIGKILL), 0);
	assert_int_equal(waitpid(helper, NULL, 0), helper);
}

/* Signals that the daemon ignores or blocks are as usual in the program. */
static void
test_signals_are_reset(void **state)
{
	const char *const argv[] = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
	_cleanup_free_ char *output = NULL;
	sigset_t blocked;
	Error err = {0};

	(void) state;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	assert_int_equal(process_run(argv, 10000, &output, &err), 0);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_string_equal(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

/* When the caller is killed, the program goes too. */
static void
test_program_dies_with_its_caller(void **state)
{
	int report[2];
	pid_t caller;
	pid_t program = 0;

	(void) state;
	assert_int_equal(pipe(report), 0);
	caller = fork();
	if (caller == 0)
	{
		char script[64];
		const char *const argv[] = {"sh", "-c", script, NULL};

		snprintf(script, sizeof(script), "echo $$ >&%d; exec sleep 1000", report[1]);
		_exit(process_run(argv, 600000, NULL, NULL) == 0 ? 0 : 1);
	}
	close(report[1]);
	{
		char number[32] = "";

		assert_true(read(report[0], number, sizeof(number) - 1) > 0);
		program = atoi(number);
	}
	close(report[0]);
	assert_true(program > 1);
	assert_int_equal(kill(caller, SIGKILL), 0);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	assert_int_equal(waitpid(program, NULL, 0), program);
}

/* The program is looked up in the given environment, not in the caller's. */
static int
exec_in_environment(void *context, Error *err)
{
	const char *const argv[] = {context, NULL};
	const char *const environment[] = {"PATH=/nowhere:/usr/bin:/bin", NULL};

	return error_set_errno(err, -process_exec(argv, environment), "exec");
}

static void
test_exec_reports(void **state)
{
	Error err = {0};

	(void) state;
	assert_int_equal(process_run_function(exec_in_environment, "lttle-no-such-program", &err), -ENOENT);
	assert_string_equal(err.message, "exec: No such file or directory");
	assert_int_equal(process_run_function(exec_in_environment, "/", &err), -EACCES);
	assert_int_equal(process_run_function(exec_in_environment, "", &err), -ENOENT);
	/* It became another program, and so gave no answer. */
	assert_int_equal(process_run_function(exec_in_environment, "true", &err), -EIO);
}

static int
change_directory(void *context, Error *err)
{
	(void) err;
	return chdir(context) < 0 ? -1 : 0;
}

static int
die(void *context, Error *err)
{
	(void) context;
	(void) err;
	return raise(SIGKILL);
}

static void
test_function_runs_in_a_child(void **state)
{
	char *before = getcwd(NULL, 0);
	char *after;
	Error err = {0};

	(void) state;
	assert_int_equal(process_run_function(change_directory, "/usr", &err), 0);
	after = getcwd(NULL, 0);
	assert_string_equal(before, after);
	free(before);
	free(after);
	assert_int_equal(process_run_function(die, NULL, &err), -EIO);
	assert_string_equal(err.message, "a child process died without an answer");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_is_captured),
		cmocka_unit_test(test_no_output_is_an_empty_string),
		cmocka_unit_test(test_standard_input_is_empty),
		cmocka_unit_test(test_failure_carries_the_complaint),
		cmocka_unit_test(test_without_output_its_standard_output_is_the_complaint),
		cmocka_unit_test(test_death_by_signal_is_named),
		cmocka_unit_test(test_missing_program),
		cmocka_unit_test(test_program_that_is_no_program),
		cmocka_unit_test(test_deadline_ends_the_whole_group),
		cmocka_unit_test(test_deadline_holds_for_a_talker),
		cmocka_unit_test(test_too_much_output_is_refused),
		cmocka_unit_test(test_background_helper_does_not_hold_it),
		cmocka_unit_test(test_signals_are_reset),
		cmocka_unit_test(test_program_dies_with_its_caller),
		cmocka_unit_test(test_exec_reports),
		cmocka_unit_test(test_function_runs_in_a_child),
	};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
