/* A process that cannot be confused with a later one: held, found again, refused when it is another, signalled. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/pidref.h"

/* A child that waits for a signal. It dies with the test. */
static pid_t
start_child(void)
{
	int named[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(named), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* A name that is made to confuse who reads /proc/PID/stat. */
		prctl(PR_SET_NAME, "a) R 1 (b");
		close(named[0]);
		close(named[1]);
		for (;;)
			pause();
	}
	close(named[1]);
	assert_int_equal(read(named[0], &byte, 1), 0); /* its end: the name is set */
	close(named[0]);
	return pid;
}

static void
end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
test_open(void **state)
{
	pid_t pid = start_child();
	PidRef reference = PIDREF_NONE;
	PidRef own = PIDREF_NONE;

	(void) state;
	assert_int_equal(pidref_open(pid, &reference, NULL), 0);
	assert_int_equal(pidref_open(getpid(), &own, NULL), 0);
	assert_int_equal(reference.pid, pid);
	assert_true(reference.start_time >= own.start_time);
	assert_true(own.start_time > 0);
	assert_true(fcntl(reference.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(pidref_is_alive(&reference));
	pidref_close(&reference);
	assert_int_equal(reference.fd, -1);
	assert_int_equal(reference.pid, 0);
	assert_false(pidref_is_alive(&reference));
	pidref_close(&reference);
	pidref_close(&own);
	end_child(pid);
}

static void
test_reopen(void **state)
{
	pid_t pid = start_child();
	PidRef first = PIDREF_NONE;
	PidRef second = PIDREF_NONE;
	Error error;

	(void) state;
	assert_int_equal(pidref_open(pid, &first, NULL), 0);
	assert_int_equal(pidref_reopen(pid, first.start_time, &second, NULL), 0);
	assert_int_equal(second.pid, pid);
	assert_int_equal(second.start_time, first.start_time);
	pidref_close(&second);
	/* The same number, another start: another process. */
	assert_int_equal(pidref_reopen(pid, first.start_time + 1, &second, &error), -ESRCH);
	assert_non_null(strstr(error.message, "is another one by now"));
	assert_int_equal(second.fd, -1);
	end_child(pid);
	assert_int_equal(pidref_reopen(pid, first.start_time, &second, &error), -ESRCH);
	assert_int_equal(second.fd, -1);
	pidref_close(&first);
}

static void
test_open_of_nobody(void **state)
{
	pid_t pid = start_child();
	PidRef reference = PIDREF_NONE;

	(void) state;
	end_child(pid);
	assert_int_equal(pidref_open(pid, &reference, NULL), -ESRCH);
	assert_int_equal(pidref_open(-1, &reference, NULL), -EINVAL);
	assert_int_equal(reference.fd, -1);
}

/* A zombie is not alive, and stays nobody else while it has not been waited for. */
static void
test_zombie_is_not_alive(void **state)
{
	pid_t pid = start_child();
	PidRef reference = PIDREF_NONE;
	struct pollfd end;

	(void) state;
	assert_int_equal(pidref_open(pid, &reference, NULL), 0);
	assert_int_equal(pidref_kill(&reference, SIGKILL, NULL), 0);
	end = (struct pollfd){.fd = reference.fd, .events = POLLIN};
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_false(pidref_is_alive(&reference));
	assert_int_equal(pidref_kill(&reference, SIGKILL, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(pidref_is_alive(&reference));
	/* Gone: no error, and nobody who has the number now is hit. */
	assert_int_equal(pidref_kill(&reference, SIGKILL, NULL), 0);
	pidref_close(&reference);
}

static void
test_kill(void **state)
{
	pid_t pid = start_child();
	PidRef reference = PIDREF_NONE;
	PidRef nobody = PIDREF_NONE;
	Error error;
	int status;

	(void) state;
	assert_int_equal(pidref_kill(&nobody, SIGKILL, NULL), 0);
	assert_int_equal(pidref_open(pid, &reference, NULL), 0);
	assert_int_equal(pidref_kill(&reference, 9999, &error), -EINVAL);
	assert_int_equal(pidref_kill(&reference, SIGTERM, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	pidref_close(&reference);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),		   cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_open_of_nobody), cmocka_unit_test(test_zombie_is_not_alive),
		cmocka_unit_test(test_kill),
	};

	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
