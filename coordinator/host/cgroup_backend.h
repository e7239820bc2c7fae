/*
 * What differs between a pure v2 host and a hybrid one. The freezer, cgroup.kill, cgroup.procs and cgroup.events are
 * the v2 tree's on both and live in cgroup.c; limits, figures and reclaim are the backends'. Only cgroup*.c include
 * this.
 */
#ifndef HOST_CGROUP_BACKEND_H
#define HOST_CGROUP_BACKEND_H

#include <limits.h>

#include "host/cgroup.h"

#define CGROUP_CPU_PERIOD_US 100000

typedef struct CgroupBackend
{
	/* Finds the controllers below hierarchy->root. */
	int (*open)(CgroupHierarchy *hierarchy, Error *err);
	/* Makes the group ready in every hierarchy; one that is there is no error. */
	int (*create)(const CgroupHierarchy *hierarchy, const char *group, Error *err);
	/* All but the weight. */
	int (*set_limits)(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits, Error *err);
	int (*set_cpu_weight)(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err);
	int (*read_memory)(const CgroupHierarchy *hierarchy, const char *group, CgroupMemory *ret_memory, Error *err);
	int (*read_cpu_ns)(const CgroupHierarchy *hierarchy, const char *group, uint64_t *ret_ns, Error *err);
	int (*reclaim)(const CgroupHierarchy *hierarchy, const char *group, Error *err);
} CgroupBackend;

extern const CgroupBackend cgroup_backend_v2;
extern const CgroupBackend cgroup_backend_hybrid;

typedef enum CgroupTree
{
	CGROUP_TREE_V2, /* first: the one with the freezer */
	CGROUP_TREE_MEMORY,
	CGROUP_TREE_CPU,
	CGROUP_TREE_CPUACCT,
	CGROUP_TREE_PIDS,
	CGROUP_TREE_COUNT
} CgroupTree;

/*
 * On pure v2 only CGROUP_TREE_V2 has a path; on a hybrid host every v1 hierarchy in use has one. An empty path: not
 * there. Two controllers in one hierarchy ("cpu,cpuacct") share its path.
 */
struct CgroupHierarchy
{
	CgroupMode mode;
	const CgroupBackend *backend;
	char root[PATH_MAX / 4];
	char trees[CGROUP_TREE_COUNT][PATH_MAX / 4];
	bool has_cpu;  /* limits can be set */
	bool has_pids; /* limits can be set */
};

#define CGROUP_PATH_BYTES PATH_MAX

/* <tree>/<group>/<file>; file may be "" for the directory. */
int cgroup_path(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
				char path[CGROUP_PATH_BYTES], Error *err) MUST_CHECK;

int cgroup_write(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
				 const char *text, Error *err) MUST_CHECK;

/*
 * Lets the group have what it left unused of its CPU time, as much again as the limit's one period: who has slept wakes
 * with more than one processor, and its mean stays within the limit. A burst may never exceed the limit, so it is set
 * to 0 CPUs before the limit is changed. A kernel before 5.14 has no such file, which is no error.
 */
int cgroup_write_burst(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
					   unsigned cpus, Error *err) MUST_CHECK;

int cgroup_read_number(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
					   uint64_t *ret_value, Error *err) MUST_CHECK;

/* Reads a "key value" file such as memory.stat and picks out the named keys; a key that isn't there gives 0. */
int cgroup_read_keys(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
					 const char *const keys[], uint64_t values[], size_t count, Error *err) MUST_CHECK;

#endif
