/*
 * A machine's control group: limits, freezer, memory figures. The interface is the same on pure cgroup v2 and on a
 * hybrid host (v1 controllers beside a v2 tree with cgroup.freeze); which one is there is found once, at the start.
 * Sources: the kernel's cgroup-v2.rst; cgroup-v1/memory.rst.
 *
 * A group is named <prefix>/<name>, e.g. "lttle/samples.postgresql", below every hierarchy that is used.
 */
#ifndef HOST_CGROUP_H
#define HOST_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

typedef enum CgroupMode
{
	CGROUP_UNIFIED, /* pure v2 */
	CGROUP_HYBRID	/* v1 controllers, v2 tree only for the freezer */
} CgroupMode;

typedef struct CgroupHierarchy CgroupHierarchy; /* the host's mounts, found once */

/* cgroup-v2.rst, cpu.weight, and CPUWeight= of systemd.resource-control(5): what a group has by itself, and the most.
 */
#define CGROUP_CPU_WEIGHT_DEFAULT 100U
#define CGROUP_CPU_WEIGHT_MAX	  10000U

typedef struct CgroupLimits
{
	unsigned cpus;		 /* 0: no limit; whole CPUs otherwise */
	unsigned cpu_weight; /* against other groups when CPUs are short: 1 to CGROUP_CPU_WEIGHT_MAX; 0: the kernel's 100 */
	uint64_t memory_bytes; /* 0: no limit */
	uint64_t pids_max;	   /* 0: no limit */
} CgroupLimits;

typedef struct CgroupMemory
{
	uint64_t resident_bytes; /* anonymous, shared and file pages in memory that are charged to the group */
	uint64_t swapped_bytes;
	uint64_t kernel_bytes; /* 0 where the kernel does not say */
} CgroupMemory;

/* Finds the host's hierarchies. root: normally "/sys/fs/cgroup"; tests give a directory of their own.
 * -ENODEV with a sentence that says what is missing when there is no freezer or no memory controller. */
int cgroup_hierarchy_open(const char *root, CgroupHierarchy **ret_hierarchy, Error *err) MUST_CHECK;
void cgroup_hierarchy_free(CgroupHierarchy *hierarchy);
CgroupMode cgroup_hierarchy_mode(const CgroupHierarchy *hierarchy);

/*
 * Creates the group in every hierarchy and sets the limits; a group that is there is taken over and its limits set.
 * The group's parent (the prefix) is made too and stays; cgroup_remove(prefix) takes it away once it is empty.
 * The memory limit also bounds what may go to swap: v1 limits memory and swap together, v2 each of them.
 * -ENODEV when a CPU limit is asked for and the host has no cpu controller; a pids limit without its controller is
 * left out, which the doctor reports.
 */
int cgroup_create(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits,
				  Error *err) MUST_CHECK;

/* Changes the limits of a group that is there. */
int cgroup_set_limits(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits,
					  Error *err) MUST_CHECK;

/*
 * What a group weighs beside its neighbours while CPUs are short, 1 to CGROUP_CPU_WEIGHT_MAX; its limits stay. One that
 * is not there is made. Without a cpu controller all weigh the same, and this does nothing.
 */
int cgroup_set_cpu_weight(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err) MUST_CHECK;

/* The weight of who may use this many CPUs, 0 for all of the host's: 100 for each, as for containers of Kubernetes. */
unsigned cgroup_cpu_weight_of(unsigned cpus);

/* Moves a process into the group, in every hierarchy. */
int cgroup_attach(const CgroupHierarchy *hierarchy, const char *group, pid_t pid, Error *err) MUST_CHECK;

/*
 * Makes a cgroup_attach that follows within milliseconds quick. The kernel lets the first move of a process in a while
 * wait for a grace period of RCU, and those that come soon after it not; so a child of the caller's, which is told to
 * stay in the group where it is, waits while the caller does something else. That must not be about control groups: all
 * that changes them waits meanwhile, too. Returns that child, or 0 when there could be none, which costs time only. The
 * caller gives it to cgroup_attach_settle.
 */
pid_t cgroup_attach_prepare(const CgroupHierarchy *hierarchy);

/* Waits for the end of that child, which may have been reached long ago. 0: does nothing. */
void cgroup_attach_settle(pid_t child);

/* Kills every process (cgroup.kill; works on a frozen group too). Does not wait. A group that isn't there is no error.
 */
int cgroup_kill(const CgroupHierarchy *hierarchy, const char *group, Error *err) MUST_CHECK;

/* Removes the empty group everywhere. -EBUSY while processes remain. A group that isn't there is no error. */
int cgroup_remove(const CgroupHierarchy *hierarchy, const char *group, Error *err) MUST_CHECK;

/* The group's processes as PIDs of the caller's namespace. The caller frees the array. */
int cgroup_list_processes(const CgroupHierarchy *hierarchy, const char *group, pid_t **ret_pids, size_t *ret_count,
						  Error *err) MUST_CHECK;

/* Writes cgroup.freeze; the change is complete when cgroup_is_frozen says so. */
int cgroup_set_frozen(const CgroupHierarchy *hierarchy, const char *group, bool frozen, Error *err) MUST_CHECK;

/* The directory that the freezer's files are in, for programs that freeze on their own. path: PATH_MAX bytes. */
int cgroup_freezer_path(const CgroupHierarchy *hierarchy, const char *group, char *ret_path, Error *err) MUST_CHECK;

/*
 * Opens cgroup.events. It signals EPOLLPRI (POLLPRI) at each change of `frozen` or `populated`; the reader calls
 * cgroup_read_events on it. The caller closes the descriptor.
 */
int cgroup_open_events(const CgroupHierarchy *hierarchy, const char *group, int *ret_fd, Error *err) MUST_CHECK;
int cgroup_read_events(int events_fd, bool *ret_frozen, bool *ret_populated, Error *err) MUST_CHECK;

int cgroup_read_memory(const CgroupHierarchy *hierarchy, const char *group, CgroupMemory *ret_memory,
					   Error *err) MUST_CHECK;

/* CPU time used by the group since it was made, nanoseconds. */
int cgroup_read_cpu_ns(const CgroupHierarchy *hierarchy, const char *group, uint64_t *ret_ns, Error *err) MUST_CHECK;

/*
 * Asks the kernel to reclaim everything that is charged to the group, once: memory.force_empty (v1), memory.reclaim
 * (v2). May block for hundreds of milliseconds and is ended early by a signal; for a job's child only.
 * -EAGAIN when not everything could be reclaimed: the caller decides whether to go on.
 */
int cgroup_reclaim(const CgroupHierarchy *hierarchy, const char *group, Error *err) MUST_CHECK;

#endif
