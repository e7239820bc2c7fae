/* Control groups on a pure v2 host: every controller in one tree; see cgroup_backend.h and cgroup-v2.rst. */
#include "host/cgroup_backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

#define LIST_MAX_BYTES 4096

/* True when a blank-separated list holds the word. */
static bool
list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; *at != '\0'; at += strspn(at, " \n"))
	{
		size_t this_length = strcspn(at, " \n");

		if (this_length == length && memcmp(at, word, length) == 0)
			return true;
		at += this_length;
	}
	return false;
}

static int
v2_open(CgroupHierarchy *hierarchy, Error *err)
{
	_cleanup_free_ char *controllers = NULL;
	char path[PATH_MAX];
	int result;

	snprintf(hierarchy->trees[CGROUP_TREE_V2], sizeof(hierarchy->trees[0]), "%s", hierarchy->root);
	snprintf(path, sizeof(path), "%s/cgroup.controllers", hierarchy->root);
	result = file_read(path, LIST_MAX_BYTES, &controllers, NULL, err);
	if (result < 0)
		return result;
	if (!list_has(controllers, "memory"))
		return error_set(err, -ENODEV, "%s: the memory controller is not among '%.*s'", path,
						 (int) strcspn(controllers, "\n"), controllers);
	hierarchy->has_cpu = list_has(controllers, "cpu");
	hierarchy->has_pids = list_has(controllers, "pids");
	return 0;
}

/* Lets the children of a directory have the controllers. Those that are on already are not written again: the write
 * fails in a group that holds processes, even when it would change nothing. */
static int
enable_controllers(const CgroupHierarchy *hierarchy, const char *directory, Error *err)
{
	const char *const wanted[] = {"memory", hierarchy->has_cpu ? "cpu" : NULL, hierarchy->has_pids ? "pids" : NULL};
	_cleanup_free_ char *enabled = NULL;
	char path[PATH_MAX];
	int result;

	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", directory);
	result = file_read(path, LIST_MAX_BYTES, &enabled, NULL, err);
	for (size_t i = 0; result == 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		char word[16];

		if (wanted[i] == NULL || list_has(enabled, wanted[i]))
			continue;
		snprintf(word, sizeof(word), "+%s", wanted[i]);
		result = file_write(path, word, err);
	}
	return result;
}

static int
v2_create(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, CGROUP_TREE_V2, group, "", path, err);

	if (result == 0)
		result = enable_controllers(hierarchy, hierarchy->root, err);
	/* Every parent below the root is made, and passes the controllers on. */
	for (char *slash = strchr(path + strlen(hierarchy->root) + 1, '/'); result == 0 && slash != NULL;
		 slash = strchr(slash + 1, '/'))
	{
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "%s: mkdir", path);
		result = enable_controllers(hierarchy, path, err);
		*slash = '/';
	}
	if (result == 0 && mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s: mkdir", path);
	return result;
}

static int
write_limit(const CgroupHierarchy *hierarchy, const char *group, const char *file, uint64_t limit, Error *err)
{
	char text[32];

	if (limit == 0)
		return cgroup_write(hierarchy, CGROUP_TREE_V2, group, file, "max", err);
	snprintf(text, sizeof(text), "%" PRIu64, limit);
	return cgroup_write(hierarchy, CGROUP_TREE_V2, group, file, text, err);
}

static int
v2_set_limits(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits, Error *err)
{
	char text[48];
	int result = write_limit(hierarchy, group, "memory.max", limits->memory_bytes, err);

	if (result < 0)
		return result;
	/* A kernel without swap support has no such file, and then nothing to limit. */
	result = write_limit(hierarchy, group, "memory.swap.max", limits->memory_bytes, err);
	if (result < 0 && result != -ENOENT)
		return result;
	if (hierarchy->has_pids)
	{
		result = write_limit(hierarchy, group, "pids.max", limits->pids_max, err);
		if (result < 0)
			return result;
	}
	if (!hierarchy->has_cpu && limits->cpus > 0)
		return error_set(err, -ENODEV, "control group %s: the host has no cpu controller to limit it to %u CPUs", group,
						 limits->cpus);
	if (!hierarchy->has_cpu)
		return 0;
	result = cgroup_write_burst(hierarchy, CGROUP_TREE_V2, group, "cpu.max.burst", 0, err);
	if (result < 0)
		return result;
	if (limits->cpus == 0)
		snprintf(text, sizeof(text), "max %d", CGROUP_CPU_PERIOD_US);
	else
		snprintf(text, sizeof(text), "%" PRIu64 " %d", (uint64_t) limits->cpus * CGROUP_CPU_PERIOD_US,
				 CGROUP_CPU_PERIOD_US);
	result = cgroup_write(hierarchy, CGROUP_TREE_V2, group, "cpu.max", text, err);
	return result == 0 ? cgroup_write_burst(hierarchy, CGROUP_TREE_V2, group, "cpu.max.burst", limits->cpus, err)
					   : result;
}

static int
v2_set_cpu_weight(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", weight);
	return cgroup_write(hierarchy, CGROUP_TREE_V2, group, "cpu.weight", text, err);
}

static int
v2_read_memory(const CgroupHierarchy *hierarchy, const char *group, CgroupMemory *ret_memory, Error *err)
{
	static const char *const keys[] = {"anon", "file", "kernel"};
	uint64_t values[3];
	uint64_t swapped = 0;
	int result = cgroup_read_keys(hierarchy, CGROUP_TREE_V2, group, "memory.stat", keys, values, 3, err);

	if (result < 0)
		return result;
	result = cgroup_read_number(hierarchy, CGROUP_TREE_V2, group, "memory.swap.current", &swapped, err);
	if (result < 0 && result != -ENOENT)
		return result;
	*ret_memory = (CgroupMemory){
		.resident_bytes = values[0] + values[1], /* "file" holds shared memory too */
		.swapped_bytes = swapped,
		.kernel_bytes = values[2],
	};
	return 0;
}

static int
v2_read_cpu_ns(const CgroupHierarchy *hierarchy, const char *group, uint64_t *ret_ns, Error *err)
{
	static const char *const keys[] = {"usage_usec"};
	uint64_t microseconds = 0;
	int result = cgroup_read_keys(hierarchy, CGROUP_TREE_V2, group, "cpu.stat", keys, &microseconds, 1, err);

	if (result == 0)
		*ret_ns = microseconds * 1000;
	return result;
}

static int
v2_reclaim(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	uint64_t current = 0;
	char text[32];
	int result = cgroup_read_number(hierarchy, CGROUP_TREE_V2, group, "memory.current", &current, err);

	if (result < 0 || current == 0)
		return result;
	snprintf(text, sizeof(text), "%" PRIu64, current);
	/* The kernel answers EAGAIN when it got less than was asked for. */
	return cgroup_write(hierarchy, CGROUP_TREE_V2, group, "memory.reclaim", text, err);
}

const CgroupBackend cgroup_backend_v2 = {
	.open = v2_open,
	.create = v2_create,
	.set_limits = v2_set_limits,
	.set_cpu_weight = v2_set_cpu_weight,
	.read_memory = v2_read_memory,
	.read_cpu_ns = v2_read_cpu_ns,
	.reclaim = v2_reclaim,
};
