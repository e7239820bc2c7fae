/* Checks of control groups and swap; see doctor_probes.h. They use a control group of their own. */
#include "host/doctor_probes.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "host/cgroup.h"
#include "host/swap.h"

#define FREEZE_TIMEOUT_MS	2000
#define PROBE_MEMORY_BYTES	(64ULL * 1024 * 1024)
#define PROBE_PIDS			10
#define SWAP_LITTLE_BYTES	(1024ULL * 1024 * 1024)
#define MODPROBE_TIMEOUT_MS 10000

/* A group with one sleeping process. */
typedef struct Probe
{
	CgroupHierarchy *hierarchy;
	char group[64];
	pid_t pid;
} Probe;

static bool
probe_wait(const Probe *probe, bool want_frozen, bool want_populated)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FREEZE_TIMEOUT_MS * NS_PER_MS;
	_cleanup_fd_ int events_fd = -1;

	if (cgroup_open_events(probe->hierarchy, probe->group, &events_fd, NULL) < 0)
		return false;
	for (;;)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};
		bool frozen;
		bool populated;

		if (cgroup_read_events(events_fd, &frozen, &populated, NULL) < 0)
			return false;
		if (populated == want_populated && (frozen == want_frozen || !want_populated))
			return true;
		if (clock_monotonic_ns() > deadline_ns)
			return false;
		poll(&polled, 1, 100);
	}
}

static void
probe_clear(Probe *probe)
{
	if (probe->hierarchy == NULL)
		return;
	if (probe->pid > 0)
	{
		kill(probe->pid, SIGKILL);
		while (waitpid(probe->pid, NULL, 0) < 0 && errno == EINTR)
			;
		probe_wait(probe, false, false);
	}
	/* Nothing can be done about a group that stays, and it is empty. */
	if (probe->group[0] != '\0' && cgroup_remove(probe->hierarchy, probe->group, NULL) < 0)
		probe->group[0] = '\0';
	cgroup_hierarchy_free(probe->hierarchy);
}

static int
probe_open(const DoctorInput *input, const CgroupLimits *limits, Probe *probe, Error *err)
{
	int result = cgroup_hierarchy_open(input->cgroup_root, &probe->hierarchy, err);

	if (result < 0)
		return result;
	snprintf(probe->group, sizeof(probe->group), "%s-doctor-%d", input->layout->name_prefix, (int) getpid());
	return cgroup_create(probe->hierarchy, probe->group, limits, err);
}

static int
probe_fill(Probe *probe, Error *err)
{
	pid_t parent = getpid();

	probe->pid = fork();
	if (probe->pid < 0)
		return error_set_errno(err, errno, "fork");
	if (probe->pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			for (;;)
				pause();
		_exit(1);
	}
	return cgroup_attach(probe->hierarchy, probe->group, probe->pid, err);
}

void
doctor_check_cgroups(const DoctorInput *input, DoctorCheck *check)
{
	CgroupHierarchy *hierarchy = NULL;
	Error err = {0};

	if (cgroup_hierarchy_open(input->cgroup_root, &hierarchy, &err) < 0)
	{
		doctor_find(check, "%.180s", err.message);
		doctor_follow(check, DOCTOR_MISSING, "machines can be neither limited nor suspended");
		return;
	}
	doctor_find(check, "%s",
				cgroup_hierarchy_mode(hierarchy) == CGROUP_UNIFIED ? "version 2"
																   : "hybrid: controllers of version 1, freezer of "
																	 "version 2");
	cgroup_hierarchy_free(hierarchy);
}

void
doctor_check_freezer(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_(probe_clear) Probe probe = {0};
	const CgroupLimits none = {0};
	Error err = {0};
	int result = probe_open(input, &none, &probe, &err);

	if (result == 0)
		result = probe_fill(&probe, &err);
	if (result == 0)
		result = cgroup_set_frozen(probe.hierarchy, probe.group, true, &err);
	if (result == 0 && !probe_wait(&probe, true, true))
		result = error_set(&err, -ETIMEDOUT, "a process did not freeze");
	if (result == 0)
		result = cgroup_kill(probe.hierarchy, probe.group, &err);
	if (result == 0)
	{
		doctor_find(check, "a process was frozen and killed");
		return;
	}
	doctor_find(check, "%.180s", err.message);
	doctor_follow(check, DOCTOR_MISSING, "machines can't be suspended");
}

void
doctor_check_limits(const DoctorInput *input, DoctorCheck *check)
{
	static const struct
	{
		const char *name;
		CgroupLimits limits;
	} kinds[] = {
		{"memory", {.memory_bytes = PROBE_MEMORY_BYTES}},
		{"cpu", {.cpus = 1}},
		{"pids", {.pids_max = PROBE_PIDS}},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		_cleanup_(probe_clear) Probe probe = {0};
		Error err = {0};

		if (probe_open(input, &kinds[i].limits, &probe, &err) == 0)
			continue;
		doctor_find(check, "%s: %.160s", kinds[i].name, err.message);
		doctor_follow(check, DOCTOR_MISSING, "a machine's limit of %s can't be set, and so it isn't started",
					  kinds[i].name);
		return;
	}
	doctor_find(check, "memory, cpu and pids can be limited");
}

void
doctor_check_reclaim(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_(probe_clear) Probe probe = {0};
	const CgroupLimits none = {0};
	Error err = {0};
	int result = probe_open(input, &none, &probe, &err);

	if (result == 0)
		result = probe_fill(&probe, &err);
	if (result == 0)
		result = cgroup_reclaim(probe.hierarchy, probe.group, &err);
	if (result == 0 || result == -EAGAIN)
	{
		doctor_find(check, "%s",
					cgroup_hierarchy_mode(probe.hierarchy) == CGROUP_UNIFIED ? "memory.reclaim" : "memory.force_empty");
		return;
	}
	doctor_find(check, "%.180s", err.message);
	doctor_follow(check, DOCTOR_WARNING,
				  "suspended machines give back less memory: what several of their processes "
				  "share, such as PostgreSQL's buffers, stays");
}

static bool
zram_is_possible(void)
{
	const char *const argv[] = {"modprobe", "-n", "-q", "zram", NULL};

	return access("/sys/class/zram-control", F_OK) == 0 || process_run(argv, MODPROBE_TIMEOUT_MS, NULL, NULL) == 0;
}

void
doctor_check_swap(const DoctorInput *input, DoctorCheck *check)
{
	bool zram = zram_is_possible();
	SwapState swap = {0};
	Error err = {0};

	(void) input;
	if (swap_read(&swap, &err) < 0)
		doctor_find(check, "%.180s", err.message);
	else if (swap.total_bytes == 0)
		doctor_find(check, "none; %s", zram ? "zram is possible" : "and the kernel has no zram");
	else
		doctor_find(check, "%llu MiB, %llu MiB free; %s", (unsigned long long) swap.total_bytes >> 20,
					(unsigned long long) swap.free_bytes >> 20, zram ? "zram is possible" : "the kernel has no zram");
	if (swap.total_bytes == 0)
		doctor_follow(check, DOCTOR_WARNING, "suspended machines give back file pages only and keep their own memory%s",
					  zram ? ": let the coordinator make a zram device (setting zram)" : ": add swap");
	else if (swap.free_bytes < SWAP_LITTLE_BYTES)
		doctor_follow(check, DOCTOR_WARNING, "little is left for machines that are going to be suspended");
}
