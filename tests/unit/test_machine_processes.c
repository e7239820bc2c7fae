/* A machine's processes as /proc tells of them: who lives, and who has a signal to take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/activity.h"

static void
test_processes_are_listed_without_the_dead(void **state)
{
	MachineProcess *found;
	size_t count;
	Error err = {0};
	pid_t zombie = fork();
	pid_t pids[3];
	siginfo_t info;

	(void) state;
	if (zombie == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t) zombie, &info, WEXITED | WNOWAIT), 0);
	pids[0] = zombie;
	pids[1] = getpid();
	pids[2] = INT32_MAX;
	assert_int_equal(machine_processes_read(pids, 3, &found, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_int_equal(found[0].pid, getpid());
	assert_int_equal(found[0].inner_pid, getpid());
	free(found);
	waitpid(zombie, NULL, 0);
}

static bool
own_process_is_signalled(void)
{
	MachineProcess *found;
	pid_t own = getpid();
	size_t count;
	bool signalled;

	assert_int_equal(machine_processes_read(&own, 1, &found, &count, NULL), 0);
	assert_int_equal(count, 1);
	signalled = found[0].signalled;
	free(found);
	return signalled;
}

static void
test_signals_that_wait_are_seen(void **state)
{
	sigset_t both;
	sigset_t before;

	(void) state;
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGURG);
	sigprocmask(SIG_BLOCK, &both, &before);
	signal(SIGURG, SIG_IGN);
	assert_false(own_process_is_signalled());
	kill(getpid(), SIGURG); /* it waits too while it is blocked, but nobody will ever take it */
	assert_false(own_process_is_signalled());
	kill(getpid(), SIGUSR1);
	assert_true(own_process_is_signalled());
	signal(SIGUSR1, SIG_IGN);
	assert_false(own_process_is_signalled());
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGURG, SIG_DFL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes_are_listed_without_the_dead),
		cmocka_unit_test(test_signals_that_wait_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
