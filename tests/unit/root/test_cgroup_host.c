/*
 * Control groups of the host that the test runs on (needs root): limits that really hold, freezing, killing a frozen
 * group, figures that follow the processes, and nothing left at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/cgroup.h"
#include "root/fixture_janitor.h"

#define MIB (1024 * 1024)

static CgroupHierarchy *hierarchy;
static char group[64];
static pid_t child; /* the one of the running test; 0 when reaped */

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
make_group(void **state)
{
	CgroupLimits none = {0};
	Error err = {0};

	(void) state;
	snprintf(group, sizeof(group), "%s/" JANITOR_GROUP_NAME, janitor_cgroup_prefix);
	if (cgroup_create(hierarchy, group, &none, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

/* Starts a child that enters the group, says so, and runs the function. */
static void
start(void (*function)(void))
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		if (cgroup_attach(hierarchy, group, 0, NULL) < 0 || write(ready[1], "r", 1) != 1)
			_exit(99);
		close(ready[1]);
		function();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static bool
wait_for_events(bool (*reached)(bool frozen, bool populated))
{
	uint64_t deadline = clock_monotonic_ns() + 10 * NS_PER_SECOND;
	_cleanup_fd_ int events_fd = -1;

	if (cgroup_open_events(hierarchy, group, &events_fd, NULL) < 0)
		return false;
	for (;;)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};
		bool frozen;
		bool populated;

		if (cgroup_read_events(events_fd, &frozen, &populated, NULL) < 0 || clock_monotonic_ns() > deadline)
			return false;
		if (reached(frozen, populated))
			return true;
		poll(&polled, 1, 1000);
	}
}

static bool
is_frozen(bool frozen, bool populated)
{
	return frozen && populated;
}

static bool
is_running(bool frozen, bool populated)
{
	return !frozen && populated;
}

static bool
is_empty(bool frozen, bool populated)
{
	(void) frozen;
	return !populated;
}

/* Also after a failed assertion: nothing stays. */
static int
remove_group(void **state)
{
	Error err = {0};

	(void) state;
	if (cgroup_kill(hierarchy, group, &err) < 0)
		print_error("%s\n", err.message);
	if (child > 0)
		waitpid(child, NULL, 0);
	child = 0;
	if (!wait_for_events(is_empty))
		print_error("%s: processes remain\n", group);
	if (cgroup_remove(hierarchy, group, &err) < 0 || cgroup_remove(hierarchy, janitor_cgroup_prefix, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static void
stay(void)
{
	for (;;)
		pause();
}

static void
use_memory(void)
{
	size_t size = 64 * MIB;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 'x', size);
	stay();
}

static void
spin(void)
{
	for (;;)
		;
}

static void
spin_on_first_cpu(void)
{
	cpu_set_t allowed;
	cpu_set_t one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		_exit(98);
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		_exit(98);
	spin();
}

static void
fork_until_refused(void)
{
	for (int i = 0; i < 50; i++)
	{
		pid_t pid = fork();

		if (pid < 0)
			_exit(errno == EAGAIN ? i : 99);
		if (pid == 0)
			stay();
	}
	_exit(98);
}

static void
test_memory_limit_holds(void **state)
{
	CgroupLimits limits = {.memory_bytes = 32 * MIB};
	Error err = {0};
	int status = 0;

	(void) state;
	check(cgroup_set_limits(hierarchy, group, &limits, &err), &err);
	start(use_memory);
	assert_int_equal(waitpid(child, &status, 0), child);
	child = 0;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* Raised, lowered and lifted: the two limits of v1 must be written in the right order each time. */
static void
test_memory_limit_can_be_changed(void **state)
{
	static const uint64_t sizes[] = {64 * MIB, 256 * MIB, 32 * MIB, 0, 128 * MIB};
	Error err = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		CgroupLimits limits = {.memory_bytes = sizes[i]};

		check(cgroup_set_limits(hierarchy, group, &limits, &err), &err);
	}
	start(use_memory);
	assert_true(wait_for_events(is_running));
	for (uint64_t deadline = clock_monotonic_ns() + 10 * NS_PER_SECOND;;)
	{
		CgroupMemory memory;

		check(cgroup_read_memory(hierarchy, group, &memory, &err), &err);
		if (memory.resident_bytes >= 64 * MIB)
			break;
		assert_true(clock_monotonic_ns() < deadline);
		usleep(1000);
	}
}

static void
test_pids_limit_holds(void **state)
{
	CgroupLimits limits = {.pids_max = 5};
	Error err = {0};
	int status = 0;

	(void) state;
	check(cgroup_set_limits(hierarchy, group, &limits, &err), &err);
	start(fork_until_refused);
	assert_int_equal(waitpid(child, &status, 0), child);
	child = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 4); /* itself and four more */
}

/* One CPU's worth for two spinning processes: their CPU time may not run ahead of the clock. A ratio, not a duration.
 */
static void
test_cpu_limit_holds(void **state)
{
	CgroupLimits limits = {.cpus = 1};
	Error err = {0};
	uint64_t cpu_start = 0;
	uint64_t cpu_end = 0;
	uint64_t start_ns;
	uint64_t took_ns;
	pid_t second;

	(void) state;
	check(cgroup_set_limits(hierarchy, group, &limits, &err), &err);
	start(spin);
	second = child;
	start(spin);
	check(cgroup_read_cpu_ns(hierarchy, group, &cpu_start, &err), &err);
	start_ns = clock_monotonic_ns();
	do
	{
		usleep(10000);
		check(cgroup_read_cpu_ns(hierarchy, group, &cpu_end, &err), &err);
	} while (cpu_end - cpu_start < NS_PER_SECOND);
	took_ns = clock_monotonic_ns() - start_ns;
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
	/* The burst, one quota period, and what each CPU may have taken ahead (its slice) are the tolerance. */
	assert_true(cpu_end - cpu_start <= took_ns + 250 * NS_PER_MS);
}

/* Two groups that spin on one processor: four times the weight is four times the CPU time. A ratio, not a duration. */
static void
test_cpu_weight_divides(void **state)
{
	CgroupLimits none = {0};
	char light[sizeof(janitor_cgroup_prefix) + sizeof("/pinned")];
	char heavy[sizeof(group)];
	uint64_t heavy_ns = 0;
	uint64_t light_ns = 0;
	uint64_t heavy_start_ns = 0;
	uint64_t light_start_ns = 0;
	pid_t first;
	Error err = {0};

	(void) state;
	snprintf(light, sizeof(light), "%s/pinned", janitor_cgroup_prefix);
	memcpy(heavy, group, sizeof(heavy));
	check(cgroup_create(hierarchy, light, &none, &err), &err);
	check(cgroup_set_cpu_weight(hierarchy, heavy, 4 * CGROUP_CPU_WEIGHT_DEFAULT, &err), &err);
	start(spin_on_first_cpu);
	first = child;
	memcpy(group, light, sizeof(light));
	start(spin_on_first_cpu);
	memcpy(group, heavy, sizeof(heavy));
	check(cgroup_read_cpu_ns(hierarchy, heavy, &heavy_start_ns, &err), &err);
	check(cgroup_read_cpu_ns(hierarchy, light, &light_start_ns, &err), &err);
	do
	{
		usleep(10000);
		check(cgroup_read_cpu_ns(hierarchy, heavy, &heavy_ns, &err), &err);
		check(cgroup_read_cpu_ns(hierarchy, light, &light_ns, &err), &err);
		heavy_ns -= heavy_start_ns;
		light_ns -= light_start_ns;
	} while (light_ns < 200 * NS_PER_MS);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = first;
	check(cgroup_remove(hierarchy, light, &err), &err);
	assert_in_range(heavy_ns * 10 / light_ns, 30, 50);
}

static void
test_freeze_and_thaw(void **state)
{
	uint64_t before = 0;
	uint64_t after = 0;
	Error err = {0};
	pid_t *pids = NULL;
	size_t count = 0;

	(void) state;
	start(spin);
	check(cgroup_list_processes(hierarchy, group, &pids, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_int_equal(pids[0], child);
	free(pids);
	check(cgroup_set_frozen(hierarchy, group, true, &err), &err);
	assert_true(wait_for_events(is_frozen));
	check(cgroup_read_cpu_ns(hierarchy, group, &before, &err), &err);
	usleep(50000); /* time in which it would use the CPU if it ran */
	check(cgroup_read_cpu_ns(hierarchy, group, &after, &err), &err);
	assert_int_equal(before, after);
	check(cgroup_set_frozen(hierarchy, group, false, &err), &err);
	assert_true(wait_for_events(is_running));
	do
		check(cgroup_read_cpu_ns(hierarchy, group, &after, &err), &err);
	while (after == before);
}

static void
test_kill_works_on_a_frozen_group(void **state)
{
	Error err = {0};
	int status = 0;

	(void) state;
	start(stay);
	check(cgroup_set_frozen(hierarchy, group, true, &err), &err);
	assert_true(wait_for_events(is_frozen));
	assert_int_equal(cgroup_remove(hierarchy, group, &err), -EBUSY);
	check(cgroup_kill(hierarchy, group, &err), &err);
	assert_int_equal(waitpid(child, &status, 0), child);
	child = 0;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	{
		int events_fd = -1;
		bool frozen;
		bool populated;

		check(cgroup_open_events(hierarchy, group, &events_fd, &err), &err);
		check(cgroup_read_events(events_fd, &frozen, &populated, &err), &err);
		close(events_fd);
		assert_false(populated);
	}
}

static void
test_create_takes_over_a_group(void **state)
{
	CgroupLimits limits = {.memory_bytes = 64 * MIB, .cpus = 1, .pids_max = 10};
	Error err = {0};

	(void) state;
	start(stay);
	check(cgroup_create(hierarchy, group, &limits, &err), &err);
	check(cgroup_create(hierarchy, group, &limits, &err), &err);
}

/* Without swap only file pages can go; force_empty or memory.reclaim must take those. */
static void
test_reclaim_shrinks(void **state)
{
	int fd = open(janitor_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CgroupMemory before;
	CgroupMemory after;
	char block[65536];
	Error err = {0};
	pid_t writer;

	(void) state;
	assert_true(fd >= 0);
	memset(block, 'x', sizeof(block));
	writer = fork();
	if (writer == 0)
	{
		if (cgroup_attach(hierarchy, group, 0, NULL) < 0)
			_exit(1);
		for (int i = 0; i < 512; i++)
			if (write(fd, block, sizeof(block)) != (ssize_t) sizeof(block))
				_exit(1);
		_exit(fsync(fd) == 0 ? 0 : 1);
	}
	{
		int status = 0;

		assert_int_equal(waitpid(writer, &status, 0), writer);
		assert_int_equal(status, 0);
	}
	check(cgroup_read_memory(hierarchy, group, &before, &err), &err);
	assert_true(before.resident_bytes >= 24 * MIB);
	for (int pass = 0; pass < 5; pass++)
	{
		int result = cgroup_reclaim(hierarchy, group, &err);

		if (result < 0 && result != -EAGAIN)
			fail_msg("%s", err.message);
	}
	check(cgroup_read_memory(hierarchy, group, &after, &err), &err);
	close(fd);
	assert_true(after.resident_bytes < before.resident_bytes / 4);
}

static void
read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	assert_true(fd >= 0);
	got = read(fd, text, size - 1);
	close(fd);
	assert_true(got > 0);
	text[got] = '\0';
}

/* The kernel accepts the child's move to where it is, nobody else is moved, and no child is left. */
static void
test_prepared_attach_moves_nobody(void **state)
{
	char before[4096] = "";
	char after[4096] = "";
	int status = -1;
	pid_t mover;

	(void) state;
	read_text("/proc/self/cgroup", before, sizeof(before));
	mover = cgroup_attach_prepare(hierarchy);
	assert_true(mover > 0);
	assert_int_equal(waitpid(mover, &status, 0), mover);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	mover = cgroup_attach_prepare(hierarchy);
	assert_true(mover > 0);
	cgroup_attach_settle(mover);
	assert_int_equal(waitpid(mover, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	cgroup_attach_settle(0);
	read_text("/proc/self/cgroup", after, sizeof(after));
	assert_string_equal(before, after);
}

#define with_group(test) cmocka_unit_test_setup_teardown(test, make_group, remove_group)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_group(test_memory_limit_holds),
		with_group(test_memory_limit_can_be_changed),
		with_group(test_pids_limit_holds),
		with_group(test_cpu_limit_holds),
		with_group(test_cpu_weight_divides),
		with_group(test_freeze_and_thaw),
		with_group(test_kill_works_on_a_frozen_group),
		with_group(test_create_takes_over_a_group),
		with_group(test_reclaim_shrinks),
		cmocka_unit_test(test_prepared_attach_moves_nobody),
	};
	Error err = {0};
	int failed;

	if (janitor_start("cgroup") < 0)
	{
		perror("janitor");
		return 1;
	}
	alarm(300);
	if (cgroup_hierarchy_open("/sys/fs/cgroup", &hierarchy, &err) < 0)
	{
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cgroup_hierarchy_free(hierarchy);
	return failed;
}
