/* A machine's processes as /proc tells of them: who lives, who has a signal to take, who starts a program, who waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
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

static MachineProcess
read_process(pid_t pid)
{
	MachineProcess *found;
	MachineProcess process;
	size_t count;

	assert_int_equal(machine_processes_read(&pid, 1, &found, &count, NULL), 0);
	assert_int_equal(count, 1);
	process = found[0];
	free(found);
	return process;
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
	assert_false(read_process(getpid()).signalled);
	kill(getpid(), SIGURG); /* it waits too while it is blocked, but nobody will ever take it */
	assert_false(read_process(getpid()).signalled);
	kill(getpid(), SIGUSR1);
	assert_true(read_process(getpid()).signalled);
	signal(SIGUSR1, SIG_IGN);
	assert_false(read_process(getpid()).signalled);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGURG, SIG_DFL);
}

/* vfork's parent waits until its child has begun a program or ended; this one does not before it is told to. */
static void
test_who_starts_a_program_is_seen(void **state)
{
	int begun[2];
	int end[2];
	char byte;
	pid_t parent;
	uint64_t deadline_ns = clock_monotonic_ns() + 30 * NS_PER_SECOND;

	(void) state;
	assert_int_equal(pipe2(begun, O_CLOEXEC), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0)
	{
		pid_t child;

		close(end[1]);
		child = (pid_t) syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
		if (child != 0)
			_exit(child > 0 && waitpid(child, NULL, 0) == child ? 0 : 1);
		_exit(write(begun[1], "b", 1) == 1 && read(end[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(read(begun[0], &byte, 1), 1);
	/* The child runs before its parent waits. */
	while (!read_process(parent).spawning)
	{
		assert_true(clock_monotonic_ns() < deadline_ns);
		sched_yield();
	}
	assert_false(read_process(getpid()).spawning);
	close(begun[0]);
	close(begun[1]);
	close(end[0]);
	close(end[1]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
}

/* A child that waits until the other end of the pipe is closed: for events, or for bytes. */
static pid_t
start_waiting(const int ends[2], bool for_events)
{
	pid_t pid = fork();
	int epoll_fd;
	struct epoll_event event = {.events = EPOLLIN};
	char byte;

	if (pid != 0)
		return pid;
	close(ends[1]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!for_events)
		_exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
	_exit(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[0], &event) == 0 && epoll_wait(epoll_fd, &event, 1, -1) == 1 ? 0 : 1);
}

static ActivityWait
checked_wait(pid_t pid)
{
	ActivitySlot slot = {.pid = 57, .wait = ACTIVITY_WAIT_CLIENT};
	ActivityPage page = {.slots = &slot, .slot_count = 1};

	activity_page_check_waits(&page, &(MachineProcess){.pid = pid, .inner_pid = 57}, 1);
	return slot.wait;
}

static void
test_who_waits_for_its_client_waits_for_events(void **state)
{
	uint64_t deadline_ns = clock_monotonic_ns() + 30 * NS_PER_SECOND;
	int ends[2];
	pid_t waiting;
	pid_t reading;

	(void) state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	waiting = start_waiting(ends, true);
	reading = start_waiting(ends, false);
	while (checked_wait(waiting) != ACTIVITY_WAIT_CLIENT)
	{
		assert_true(clock_monotonic_ns() < deadline_ns);
		sched_yield();
	}
	assert_int_equal(checked_wait(reading), ACTIVITY_WAIT_OTHER);
	assert_int_equal(checked_wait(getpid()), ACTIVITY_WAIT_OTHER); /* it runs */
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(waitpid(waiting, NULL, 0), waiting);
	assert_int_equal(waitpid(reading, NULL, 0), reading);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes_are_listed_without_the_dead),
		cmocka_unit_test(test_signals_that_wait_are_seen),
		cmocka_unit_test(test_who_starts_a_program_is_seen),
		cmocka_unit_test(test_who_waits_for_its_client_waits_for_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
