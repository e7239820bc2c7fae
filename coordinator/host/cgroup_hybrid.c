/*
 * Control groups on a hybrid host: v1 hierarchies for memory, cpu, cpuacct and pids, and a v2 tree that has no
 * controllers but the freezer; see cgroup_backend.h and cgroup-v1/memory.rst.
 */
#include "host/cgroup_backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define CPU_SHARES_DEFAULT 1024U

/* Where distributions mount what, the first that is there counts. */
static const struct
{
	CgroupTree tree;
	const char *directory;
	const char *witness; /* a file that only this controller's root has */
} places[] = {
	{CGROUP_TREE_V2, "unified", "cgroup.controllers"},
	{CGROUP_TREE_MEMORY, "memory", "memory.usage_in_bytes"},
	{CGROUP_TREE_CPU, "cpu", "cpu.shares"},
	{CGROUP_TREE_CPU, "cpu,cpuacct", "cpu.shares"},
	{CGROUP_TREE_CPU, "cpuacct,cpu", "cpu.shares"},
	{CGROUP_TREE_CPUACCT, "cpuacct", "cpuacct.usage"},
	{CGROUP_TREE_CPUACCT, "cpu,cpuacct", "cpuacct.usage"},
	{CGROUP_TREE_CPUACCT, "cpuacct,cpu", "cpuacct.usage"},
	{CGROUP_TREE_PIDS, "pids", "cgroup.procs"},
};

/* "cpu" may be a symbolic link to "cpu,cpuacct": one path for one hierarchy, or a process would be moved twice. */
static void
tree_set(CgroupHierarchy *hierarchy, CgroupTree tree, const char *directory)
{
	char path[PATH_MAX];
	char resolved[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", hierarchy->root, directory);
	if (realpath(path, resolved) == NULL || strlen(resolved) >= sizeof(hierarchy->trees[0]))
		return;
	memcpy(hierarchy->trees[tree], resolved, strlen(resolved) + 1);
}

static int
hybrid_open(CgroupHierarchy *hierarchy, Error *err)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		char path[PATH_MAX];

		if (hierarchy->trees[places[i].tree][0] != '\0')
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", hierarchy->root, places[i].directory, places[i].witness);
		if (access(path, F_OK) == 0)
			tree_set(hierarchy, places[i].tree, places[i].directory);
	}
	if (hierarchy->trees[CGROUP_TREE_V2][0] == '\0')
		return error_set(err, -ENODEV,
						 "%s: there is no cgroup v2 tree, here or in unified/, and so no freezer (cgroup.freeze)",
						 hierarchy->root);
	if (hierarchy->trees[CGROUP_TREE_MEMORY][0] == '\0')
		return error_set(err, -ENODEV, "%s: there is no memory controller, in memory/ or in the v2 tree",
						 hierarchy->root);
	hierarchy->has_cpu = hierarchy->trees[CGROUP_TREE_CPU][0] != '\0';
	hierarchy->has_pids = hierarchy->trees[CGROUP_TREE_PIDS][0] != '\0';
	return 0;
}

/* A host that never swaps would keep a sleeping machine's memory: a group inherits its parent's swappiness, 0 too. */
static int
allow_swapping(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	uint64_t swappiness = 0;
	int result = cgroup_read_number(hierarchy, CGROUP_TREE_MEMORY, group, "memory.swappiness", &swappiness, err);

	if (result == -ENOENT) /* a kernel without swap */
		return 0;
	if (result == 0 && swappiness == 0)
		result = cgroup_write(hierarchy, CGROUP_TREE_MEMORY, group, "memory.swappiness", "60", err);
	return result;
}

static int
hybrid_create(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	for (int tree = 0; tree < CGROUP_TREE_COUNT; tree++)
	{
		char path[CGROUP_PATH_BYTES];
		int result;

		if (hierarchy->trees[tree][0] == '\0')
			continue;
		result = cgroup_path(hierarchy, (CgroupTree) tree, group, "", path, err);
		if (result == 0)
			result = file_make_directory(path, 0755, err);
		if (result < 0)
			return result;
	}
	return allow_swapping(hierarchy, group, err);
}

/*
 * Memory alone, and memory with swap: both get the limit, so that a machine cannot grow into swap, while what it has
 * can go there when it sleeps. memory.limit_in_bytes may never exceed memory.memsw.limit_in_bytes, so raising and
 * lowering want opposite orders: the first write may fail, the last one counts.
 */
static int
write_memory_limit(const CgroupHierarchy *hierarchy, const char *group, uint64_t limit_bytes, Error *err)
{
	char text[32] = "-1";
	int memory;
	int both;

	if (limit_bytes > 0)
		snprintf(text, sizeof(text), "%" PRIu64, limit_bytes);
	memory = cgroup_write(hierarchy, CGROUP_TREE_MEMORY, group, "memory.limit_in_bytes", text, NULL);
	both = cgroup_write(hierarchy, CGROUP_TREE_MEMORY, group, "memory.memsw.limit_in_bytes", text, err);
	if (memory < 0)
		memory = cgroup_write(hierarchy, CGROUP_TREE_MEMORY, group, "memory.limit_in_bytes", text, err);
	if (memory < 0)
		return memory;
	return both == -ENOENT ? 0 : both; /* without swap accounting there is no memsw file */
}

static int
write_cpu_limit(const CgroupHierarchy *hierarchy, const char *group, unsigned cpus, Error *err)
{
	char text[32] = "-1";
	int result;

	if (!hierarchy->has_cpu)
		return cpus == 0 ? 0
						 : error_set(err, -ENODEV,
									 "control group %s: the host has no cpu controller to limit it to %u "
									 "CPUs",
									 group, cpus);
	result = cgroup_write_burst(hierarchy, CGROUP_TREE_CPU, group, "cpu.cfs_burst_us", 0, err);
	if (result < 0)
		return result;
	if (cpus > 0)
		snprintf(text, sizeof(text), "%" PRIu64, (uint64_t) cpus * CGROUP_CPU_PERIOD_US);
	result = cgroup_write(hierarchy, CGROUP_TREE_CPU, group, "cpu.cfs_quota_us", text, err);
	if (result == 0)
		result = cgroup_write_burst(hierarchy, CGROUP_TREE_CPU, group, "cpu.cfs_burst_us", cpus, err);
	return result == -ENOENT && cpus == 0 ? 0 : result;
}

static int
hybrid_set_limits(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits, Error *err)
{
	char text[32] = "max";
	int result = write_memory_limit(hierarchy, group, limits->memory_bytes, err);

	if (result == 0)
		result = write_cpu_limit(hierarchy, group, limits->cpus, err);
	if (result < 0 || !hierarchy->has_pids)
		return result;
	if (limits->pids_max > 0)
		snprintf(text, sizeof(text), "%" PRIu64, limits->pids_max);
	return cgroup_write(hierarchy, CGROUP_TREE_PIDS, group, "pids.max", text, err);
}

/* What v1 calls shares is the same with another scale: 1024 for v2's 100, as the kernel reckons it. */
static int
hybrid_set_cpu_weight(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64,
			 ((uint64_t) weight * CPU_SHARES_DEFAULT + CGROUP_CPU_WEIGHT_DEFAULT / 2) / CGROUP_CPU_WEIGHT_DEFAULT);
	return cgroup_write(hierarchy, CGROUP_TREE_CPU, group, "cpu.shares", text, err);
}

static int
hybrid_read_memory(const CgroupHierarchy *hierarchy, const char *group, CgroupMemory *ret_memory, Error *err)
{
	/* total_cache holds shared memory and file pages, total_mapped_file is a part of it. */
	static const char *const keys[] = {"total_rss", "total_cache", "total_swap"};
	uint64_t values[3];
	uint64_t kernel = 0;
	int result = cgroup_read_keys(hierarchy, CGROUP_TREE_MEMORY, group, "memory.stat", keys, values, 3, err);

	if (result < 0)
		return result;
	if (cgroup_read_number(hierarchy, CGROUP_TREE_MEMORY, group, "memory.kmem.usage_in_bytes", &kernel, NULL) < 0)
		kernel = 0;
	*ret_memory = (CgroupMemory){
		.resident_bytes = values[0] + values[1],
		.swapped_bytes = values[2],
		.kernel_bytes = kernel,
	};
	return 0;
}

static int
hybrid_read_cpu_ns(const CgroupHierarchy *hierarchy, const char *group, uint64_t *ret_ns, Error *err)
{
	if (hierarchy->trees[CGROUP_TREE_CPUACCT][0] == '\0')
		return error_set(err, -ENODEV, "control group %s: the host has no cpuacct controller", group);
	return cgroup_read_number(hierarchy, CGROUP_TREE_CPUACCT, group, "cpuacct.usage", ret_ns, err);
}

static int
hybrid_reclaim(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	Error problem = {0};
	int result = cgroup_write(hierarchy, CGROUP_TREE_MEMORY, group, "memory.force_empty", "0", &problem);

	if (result == 0)
		return 0;
	return error_set(err, result == -EBUSY ? -EAGAIN : result, "%s", problem.message);
}

const CgroupBackend cgroup_backend_hybrid = {
	.open = hybrid_open,
	.create = hybrid_create,
	.set_limits = hybrid_set_limits,
	.set_cpu_weight = hybrid_set_cpu_weight,
	.read_memory = hybrid_read_memory,
	.read_cpu_ns = hybrid_read_cpu_ns,
	.reclaim = hybrid_reclaim,
};
