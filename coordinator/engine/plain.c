/*
 * The idleness of a plain machine, one in which nothing speaks to us. What can be seen from outside has to do: clients
 * that are connected, connections that came and went since the last look (the namespace's count of them), when data
 * last moved on those that stay open, the use of processors, and threads that want one. Each look tells what was
 * between it and the one before, so looks are no more often than the time-out asks for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/engine_private.h"

/* A server that only waits uses less than a hundredth (timers, a garbage collector that finds nothing). */
#define PLAIN_BUSY_PERCENT 5
/* Between two looks closer than this the use of processors says nothing. */
#define PLAIN_LOOK_NS  (40 * NS_PER_MS)
#define SNMP_MAX_BYTES 65536

bool
machine_is_plain(const Machine *machine)
{
	struct stat status;

	return machine->extension_version[0] == '\0' && (stat(machine->paths.activity, &status) < 0 || status.st_size == 0);
}

/* The field of this name in the "Tcp:" lines of /proc/PID/net/snmp: names in one line, values in the next. */
static uint64_t
snmp_tcp_value(char *text, const char *field)
{
	char *names = strstr(text, "Tcp: ");
	char *values = names == NULL ? NULL : strstr(names + 1, "\nTcp: ");
	char *name;
	char *value;

	if (values == NULL)
		return 0;
	*values++ = '\0';
	names[strcspn(names, "\n")] = '\0';
	values[strcspn(values, "\n")] = '\0';
	while ((name = strsep(&names, " ")) != NULL && (value = strsep(&values, " ")) != NULL)
	{
		if (strcmp(name, field) == 0)
			return strtoull(value, NULL, 10);
	}
	return 0;
}

static uint64_t
machine_count_accepted(const Machine *machine)
{
	_cleanup_free_ char *path = memory_printf("/proc/%d/net/snmp", (int) machine->process.pid);
	_cleanup_free_ char *text = NULL;

	return file_read(path, SNMP_MAX_BYTES, &text, NULL, NULL) < 0 ? 0 : snmp_tcp_value(text, "PassiveOpens");
}

/* The letter of a thread's state is the first field after its name, which may hold anything. */
static bool
thread_works(int tasks_fd, const char *name)
{
	_cleanup_free_ char *path = memory_printf("%s/stat", name);
	_cleanup_fd_ int fd = openat(tasks_fd, path, O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *state;

	if (got <= 0)
		return false;
	text[got] = '\0';
	state = strrchr(text, ')');
	return state != NULL && (strncmp(state, ") R", 3) == 0 || strncmp(state, ") D", 3) == 0);
}

static bool
process_works(pid_t pid)
{
	_cleanup_free_ char *path = memory_printf("/proc/%d/task", (int) pid);
	_cleanup_directory_ DIR *tasks = opendir(path);
	struct dirent *entry;

	while (tasks != NULL && (entry = readdir(tasks)) != NULL)
	{
		if (entry->d_name[0] != '.' && thread_works(dirfd(tasks), entry->d_name))
			return true;
	}
	return false;
}

/* A thread that wants a processor, or waits for a disk. On a busy host it may have had next to none of either. */
static bool
machine_works(const Machine *machine)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t count = 0;

	if (cgroup_list_processes(machine->engine->cgroups, machine->group, &pids, &count, NULL) < 0)
		return true;
	for (size_t i = 0; i < count; i++)
	{
		if (process_works(pids[i]))
			return true;
	}
	return false;
}

void
machine_begin_plain_looks(Machine *machine)
{
	PlainLook *look = &machine->plain;

	if (!machine_is_plain(machine))
		return;
	*look = (PlainLook){.looked_ns = clock_monotonic_ns(), .accepted = machine_count_accepted(machine)};
	if (cgroup_read_cpu_ns(machine->engine->cgroups, machine->group, &look->cpu_ns, NULL) < 0)
		look->cpu_ns = 0;
}

static void
machine_look_plain(Machine *machine)
{
	PlainLook *look = &machine->plain;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t cpu_ns = look->cpu_ns;
	uint64_t accepted;

	/* Timers of the loop may fire a little early. */
	if (now_ns - look->looked_ns < PLAIN_LOOK_NS)
		return;
	look->has_looked = true;
	accepted = machine_count_accepted(machine);
	if (cgroup_read_cpu_ns(machine->engine->cgroups, machine->group, &cpu_ns, NULL) < 0 || cpu_ns < look->cpu_ns)
		cpu_ns = look->cpu_ns;
	look->percent = (unsigned) ((cpu_ns - look->cpu_ns) * 100 / (now_ns - look->looked_ns));
	look->works = machine_works(machine);
	if (look->works || look->percent >= PLAIN_BUSY_PERCENT || accepted != look->accepted)
		look->active_ns = now_ns;
	look->looked_ns = now_ns;
	look->cpu_ns = cpu_ns;
	look->accepted = accepted;
}

void
machine_judge_plain(Machine *machine, unsigned connected, uint64_t silent_ms, ActivityVerdict *ret_verdict)
{
	ActivityVerdict verdict = {0};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t data_ns = silent_ms * NS_PER_MS < now_ns ? now_ns - silent_ms * NS_PER_MS : 0;

	machine_look_plain(machine);
	/* A client that is there at this look may have gone at any moment before the next one. */
	if (connected > 0 && machine_is_connection_aware(machine))
		machine->plain.active_ns = now_ns;
	else if (connected > 0 && data_ns > machine->plain.active_ns)
		machine->plain.active_ns = data_ns;
	verdict.idle_since_ns = machine->plain.active_ns;
	if (machine->plain.works || machine->plain.percent >= PLAIN_BUSY_PERCENT)
	{
		verdict.reason = ACTIVITY_WORKER;
		snprintf(verdict.detail, sizeof(verdict.detail), "uses %u %% of a processor", machine->plain.percent);
	}
	else if (!machine->plain.has_looked)
	{
		verdict.reason = ACTIVITY_WORKER;
		verdict.recheck_ns = machine->plain.looked_ns + PLAIN_LOOK_NS;
		snprintf(verdict.detail, sizeof(verdict.detail), "has only begun to be looked at");
	}
	*ret_verdict = verdict;
}
