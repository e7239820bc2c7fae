/*
 * Cleans up after a test program that was killed: a process outside its namespaces and its family, which waits for the
 * program's end and removes its directory and its control groups. After a proper end there is nothing left to do.
 */
#ifndef TEST_FIXTURE_JANITOR_H
#define TEST_FIXTURE_JANITOR_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "host/cgroup.h"
#include "host/swap.h"

/* The program's own, for its tests to use: no other run has them. */
static char janitor_directory[64];
static char janitor_cgroup_prefix[32]; /* and the groups "ns.machine" and "pinned" below it */
static char janitor_swap_record[96];

#define JANITOR_GROUP_NAME "ns.machine"

static inline void
janitor_remove_groups(void)
{
	static const char *const names[] = {"/" JANITOR_GROUP_NAME, "/pinned", ""};
	uint64_t deadline = clock_monotonic_ns() + 10 * NS_PER_SECOND;
	CgroupHierarchy *hierarchy = NULL;
	char group[64];

	if (cgroup_hierarchy_open("/sys/fs/cgroup", &hierarchy, NULL) < 0)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		snprintf(group, sizeof(group), "%s%s", janitor_cgroup_prefix, names[i]);
		if (cgroup_kill(hierarchy, group, NULL) < 0)
			continue;
		while (cgroup_remove(hierarchy, group, NULL) < 0 && clock_monotonic_ns() < deadline)
			poll(NULL, 0, 5);
	}
	cgroup_hierarchy_free(hierarchy);
}

/* Called once by main, before anything else. name: of the test, for the directory. */
static inline int
janitor_start(const char *name)
{
	pid_t program = getpid();
	pid_t pid;

	snprintf(janitor_cgroup_prefix, sizeof(janitor_cgroup_prefix), "lth%d", (int) program);
	snprintf(janitor_directory, sizeof(janitor_directory), "/tmp/lttle-test-%s-XXXXXX", name);
	if (mkdtemp(janitor_directory) == NULL)
		return -1;
	snprintf(janitor_swap_record, sizeof(janitor_swap_record), "%s/zram", janitor_directory);
	pid = fork();
	if (pid == 0)
	{
		struct pollfd ended = {.fd = (int) syscall(SYS_pidfd_open, program, 0), .events = POLLIN};

		/* Not a child of the program: its tests wait for all of theirs. */
		if (ended.fd < 0 || fork() != 0)
			_exit(ended.fd < 0);
		setsid();
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		while (poll(&ended, 1, -1) < 0)
			;
		janitor_remove_groups();
		if (swap_zram_remove(janitor_swap_record, NULL) < 0)
			_exit(1);
		_exit(file_remove_tree(janitor_directory, NULL) < 0);
	}
	return pid < 0 || waitpid(pid, NULL, 0) != pid ? -1 : 0;
}

#endif
