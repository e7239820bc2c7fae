/*
 * Memory stalls of the host that the test runs on (needs root): a process that reads more than its control group may
 * hold is reported by the kernel, and a quiet host is not.
 */
#include <fcntl.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/pressure.h"
#include "loop.h"
#include "root/fixture_janitor.h"

#define MIB			(1024 * 1024)
#define LIMIT_BYTES (8 * MIB)
#define FILE_BYTES	(48 * MIB)

static CgroupHierarchy *hierarchy;
static char group[64];
static char file[96];
static pid_t child;

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
set_up(void **state)
{
	CgroupLimits limits = {.memory_bytes = LIMIT_BYTES};
	static char zeros[MIB];
	Error err = {0};
	int fd;

	(void) state;
	snprintf(group, sizeof(group), "%s/" JANITOR_GROUP_NAME, janitor_cgroup_prefix);
	snprintf(file, sizeof(file), "%s/read", janitor_directory);
	if (cgroup_hierarchy_open("/sys/fs/cgroup", &hierarchy, &err) < 0 ||
		cgroup_create(hierarchy, group, &limits, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	for (int i = 0; i < FILE_BYTES / MIB; i++)
	{
		if (write(fd, zeros, MIB) != MIB)
			return -1;
	}
	/* Out of the cache, so that it is charged to whom reads it next. */
	return fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 || close(fd) < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void) state;
	if (child > 0)
	{
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	janitor_remove_groups();
	cgroup_hierarchy_free(hierarchy);
	return file_remove_tree(file, NULL);
}

/* Reads the file again and again: each time every page has been pushed out by the pages behind it. */
static void
read_for_ever(void)
{
	static char buffer[64 * 1024];
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	for (off_t at = 0;; at = (at + (off_t) sizeof(buffer)) % FILE_BYTES)
	{
		if (pread(fd, buffer, sizeof(buffer), at) < 0)
			_exit(1);
	}
}

static void
note(void *context)
{
	++*(unsigned *) context;
}

static bool
was_reported(void *context)
{
	return *(unsigned *) context >= 2;
}

/* Twice, because a report that is not taken off would be seen once, or for ever. */
static void
test_a_process_that_waits_for_memory(void **state)
{
	struct event_base *loop = event_base_new();
	PressureWatch *watch = NULL;
	unsigned reports = 0;
	Error err = {0};

	(void) state;
	check(pressure_watch_open(loop, PRESSURE_PATH, 1, note, &reports, &watch, &err), &err);
	loop_run_ready(loop);
	assert_int_equal(reports, 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
	{
		if (cgroup_attach(hierarchy, group, 0, NULL) < 0)
			_exit(99);
		read_for_ever();
	}
	assert_true(loop_run_until(loop, was_reported, &reports));
	/* One report a window: without the child's having run for long there are but a few. */
	loop_run_ready(loop);
	assert_true(reports < 20);
	pressure_watch_close(watch);
	event_base_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_process_that_waits_for_memory, set_up, tear_down),
	};

	if (janitor_start("pressure") < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
