/*
 * Control groups of a pure v2 host and of a hybrid one, against directory trees that the test makes: which files are
 * read and written, with what text, and what is said when something is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/cgroup.h"

static char root[64];

static void
put(const char *path, const char *text)
{
	char whole[512];
	char *slash;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s/%s", root, path);
	slash = strrchr(whole, '/');
	*slash = '\0';
	assert_int_equal(file_make_directory(whole, 0755, NULL), 0);
	*slash = '/';
	file = fopen(whole, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static const char *
get(const char *path)
{
	static char *text;
	char whole[512];

	free(text);
	text = NULL;
	snprintf(whole, sizeof(whole), "%s/%s", root, path);
	assert_int_equal(file_read(whole, 65536, &text, NULL, NULL), 0);
	return text;
}

static int
make_root(void **state)
{
	(void) state;
	strcpy(root, "/tmp/lttle-test-cgroup-XXXXXX");
	return mkdtemp(root) == NULL ? -1 : 0;
}

static int
remove_root(void **state)
{
	(void) state;
	return file_remove_tree(root, NULL);
}

/* The files that a v2 kernel shows in a group that has its controllers. */
static void
put_v2_group(const char *group)
{
	static const char *const files[] = {"cgroup.procs",	  "cgroup.freeze",	 "cgroup.kill", "memory.max",
										"memory.reclaim", "memory.swap.max", "pids.max",	"cpu.max",
										"cpu.max.burst",  "cpu.weight"};
	char path[256];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
	{
		snprintf(path, sizeof(path), "%s/%s", group, files[i]);
		put(path, "");
	}
	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	put(path, "populated 1\nfrozen 0\n");
	snprintf(path, sizeof(path), "%s/memory.stat", group);
	put(path, "anon 1000\nfile 200\nkernel 30\nanon_thp 999\nfile_mapped 100\nshmem 77\n");
	snprintf(path, sizeof(path), "%s/memory.swap.current", group);
	put(path, "4096\n");
	snprintf(path, sizeof(path), "%s/memory.current", group);
	put(path, "123456\n");
	snprintf(path, sizeof(path), "%s/cpu.stat", group);
	put(path, "usage_usec 2500\nuser_usec 2000\nsystem_usec 500\n");
}

static CgroupHierarchy *
open_v2(const char *controllers)
{
	CgroupHierarchy *hierarchy = NULL;
	Error err = {0};

	put("cgroup.controllers", controllers);
	put("cgroup.subtree_control", "");
	put("lt/cgroup.subtree_control", "");
	put_v2_group("lt/a.b");
	if (cgroup_hierarchy_open(root, &hierarchy, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(cgroup_hierarchy_mode(hierarchy), CGROUP_UNIFIED);
	return hierarchy;
}

static void
test_v2_limits(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("cpuset cpu io memory pids\n");
	CgroupLimits limits = {.cpus = 2, .cpu_weight = 200, .memory_bytes = 536870912, .pids_max = 300};
	Error err = {0};

	(void) state;
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, &err), 0);
	/* One controller a write, and in a plain file they lie over each other: +memory, +cpu, +pids. */
	assert_string_equal(get("cgroup.subtree_control"), "+pidsry");
	assert_string_equal(get("lt/cgroup.subtree_control"), "+pidsry");
	assert_string_equal(get("lt/a.b/memory.max"), "536870912");
	assert_string_equal(get("lt/a.b/memory.swap.max"), "536870912");
	assert_string_equal(get("lt/a.b/pids.max"), "300");
	assert_string_equal(get("lt/a.b/cpu.max"), "200000 100000");
	assert_string_equal(get("lt/a.b/cpu.max.burst"), "200000");
	assert_string_equal(get("lt/a.b/cpu.weight"), "200");

	put_v2_group("lt/a.b");
	limits = (CgroupLimits){0};
	assert_int_equal(cgroup_set_limits(hierarchy, "lt/a.b", &limits, &err), 0);
	assert_string_equal(get("lt/a.b/memory.max"), "max");
	assert_string_equal(get("lt/a.b/memory.swap.max"), "max");
	assert_string_equal(get("lt/a.b/pids.max"), "max");
	assert_string_equal(get("lt/a.b/cpu.max"), "max 100000");
	assert_string_equal(get("lt/a.b/cpu.max.burst"), "0");
	assert_string_equal(get("lt/a.b/cpu.weight"), "100");
	cgroup_hierarchy_free(hierarchy);
}

/* A group with processes refuses even a write that changes nothing. */
static void
test_v2_enabled_controllers_are_not_written_again(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("cpu memory pids\n");
	CgroupLimits limits = {0};

	(void) state;
	put("cgroup.subtree_control", "cpu memory pids\n");
	put("lt/cgroup.subtree_control", "cpu pids\n");
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, NULL), 0);
	assert_string_equal(get("cgroup.subtree_control"), "cpu memory pids\n");
	/* A write into a plain file overwrites its beginning. */
	assert_memory_equal(get("lt/cgroup.subtree_control"), "+memory", 7);
	cgroup_hierarchy_free(hierarchy);
}

static void
test_v2_weight_of_a_group_that_is_not_there_yet(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("cpu memory pids\n");

	(void) state;
	put("cgroup.subtree_control", "");
	put("all/cpu.weight", ""); /* mkdir gives it, with the controller on in the parent */
	assert_int_equal(cgroup_set_cpu_weight(hierarchy, "all", 800, NULL), 0);
	assert_string_equal(get("all/cpu.weight"), "800");
	assert_string_equal(get("cgroup.subtree_control"), "+pidsry");
	assert_int_equal(cgroup_set_cpu_weight(hierarchy, "../all", 800, NULL), -EINVAL);
	assert_int_equal(cgroup_cpu_weight_of(4), 400);
	assert_int_equal(cgroup_cpu_weight_of(1000), CGROUP_CPU_WEIGHT_MAX);
	assert_int_equal(cgroup_cpu_weight_of(0), cgroup_cpu_weight_of((unsigned) sysconf(_SC_NPROCESSORS_ONLN)));
	cgroup_hierarchy_free(hierarchy);
}

static void
test_v2_figures(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("cpu memory pids\n");
	CgroupMemory memory;
	uint64_t cpu_ns = 0;

	(void) state;
	assert_int_equal(cgroup_read_memory(hierarchy, "lt/a.b", &memory, NULL), 0);
	assert_int_equal(memory.resident_bytes, 1200);
	assert_int_equal(memory.swapped_bytes, 4096);
	assert_int_equal(memory.kernel_bytes, 30);
	assert_int_equal(cgroup_read_cpu_ns(hierarchy, "lt/a.b", &cpu_ns, NULL), 0);
	assert_int_equal(cpu_ns, 2500000);
	cgroup_hierarchy_free(hierarchy);
}

static void
test_v2_actions(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("cpu memory pids\n");
	_cleanup_free_ pid_t *pids = NULL;
	size_t count = 0;
	bool frozen = true;
	bool populated = false;
	int events_fd = -1;

	(void) state;
	assert_int_equal(cgroup_set_frozen(hierarchy, "lt/a.b", true, NULL), 0);
	assert_string_equal(get("lt/a.b/cgroup.freeze"), "1");
	assert_int_equal(cgroup_set_frozen(hierarchy, "lt/a.b", false, NULL), 0);
	assert_string_equal(get("lt/a.b/cgroup.freeze"), "0");
	assert_int_equal(cgroup_kill(hierarchy, "lt/a.b", NULL), 0);
	assert_string_equal(get("lt/a.b/cgroup.kill"), "1");
	assert_int_equal(cgroup_attach(hierarchy, "lt/a.b", 4711, NULL), 0);
	assert_string_equal(get("lt/a.b/cgroup.procs"), "4711");
	put("lt/a.b/cgroup.procs", "12\n345\n0\n6789\n");
	assert_int_equal(cgroup_list_processes(hierarchy, "lt/a.b", &pids, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_int_equal(pids[0], 12);
	assert_int_equal(pids[2], 6789);
	assert_int_equal(cgroup_open_events(hierarchy, "lt/a.b", &events_fd, NULL), 0);
	assert_int_equal(cgroup_read_events(events_fd, &frozen, &populated, NULL), 0);
	assert_false(frozen);
	assert_true(populated);
	put("lt/a.b/cgroup.events", "populated 0\nfrozen 1\n");
	assert_int_equal(cgroup_read_events(events_fd, &frozen, &populated, NULL), 0);
	assert_true(frozen);
	assert_false(populated);
	close(events_fd);
	assert_int_equal(cgroup_reclaim(hierarchy, "lt/a.b", NULL), 0);
	assert_string_equal(get("lt/a.b/memory.reclaim"), "123456");
	cgroup_hierarchy_free(hierarchy);
}

static void
test_v2_missing_controllers(void **state)
{
	CgroupHierarchy *hierarchy = NULL;
	CgroupLimits limits = {.cpus = 1};
	Error err = {0};

	(void) state;
	put("cgroup.controllers", "cpu io memoryx pids\n");
	assert_int_equal(cgroup_hierarchy_open(root, &hierarchy, &err), -ENODEV);
	assert_null(hierarchy);
	assert_non_null(strstr(err.message, "memory controller"));

	hierarchy = open_v2("memory\n");
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, &err), -ENODEV);
	assert_non_null(strstr(err.message, "no cpu controller"));
	limits.cpus = 0;
	limits.cpu_weight = 200;
	limits.pids_max = 10;
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, &err), 0);
	assert_string_equal(get("lt/a.b/pids.max"), "");
	assert_string_equal(get("lt/a.b/cpu.weight"), "");
	assert_int_equal(cgroup_set_cpu_weight(hierarchy, "lt/a.b", 200, &err), 0);
	assert_string_equal(get("lt/a.b/cpu.weight"), "");
	cgroup_hierarchy_free(hierarchy);
}

/* A kernel before 5.14: mkdir gives a group without cgroup.kill. */
static void
test_v2_old_kernel(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("memory\n");
	CgroupLimits limits = {0};
	char path[128];
	Error err = {0};

	(void) state;
	snprintf(path, sizeof(path), "%s/lt/a.b/cgroup.kill", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, &err), -ENODEV);
	assert_non_null(strstr(err.message, "cgroup.kill"));
	cgroup_hierarchy_free(hierarchy);
}

static void
test_names_cannot_leave_the_tree(void **state)
{
	static const char *const bad[] = {"", "/", "..", "lt/..", "../x", "lt//x", "lt/", "/etc", "a b", "lt/.x", "-x"};
	CgroupHierarchy *hierarchy = open_v2("memory\n");
	CgroupLimits limits = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		assert_int_equal(cgroup_create(hierarchy, bad[i], &limits, NULL), -EINVAL);
		assert_int_equal(cgroup_remove(hierarchy, bad[i], NULL), -EINVAL);
		assert_int_equal(cgroup_kill(hierarchy, bad[i], NULL), -EINVAL);
	}
	cgroup_hierarchy_free(hierarchy);
}

static void
test_what_is_not_there_is_removed_without_error(void **state)
{
	CgroupHierarchy *hierarchy = open_v2("memory\n");
	pid_t *pids = NULL;
	size_t count = 7;

	(void) state;
	assert_int_equal(cgroup_remove(hierarchy, "lt/none", NULL), 0);
	assert_int_equal(cgroup_kill(hierarchy, "lt/none", NULL), 0);
	assert_int_equal(cgroup_list_processes(hierarchy, "lt/none", &pids, &count, NULL), -ENOENT);
	assert_null(pids);
	assert_int_equal(count, 7);
	cgroup_hierarchy_free(hierarchy);
}

static void
put_hybrid(void)
{
	static const char *const files[] = {"memory/lt/a.b/memory.limit_in_bytes",
										"memory/lt/a.b/memory.memsw.limit_in_bytes",
										"memory/lt/a.b/memory.force_empty",
										"memory/lt/a.b/cgroup.procs",
										"cpu,cpuacct/lt/a.b/cpu.cfs_quota_us",
										"cpu,cpuacct/lt/a.b/cpu.cfs_burst_us",
										"cpu,cpuacct/lt/a.b/cpu.shares",
										"cpu,cpuacct/lt/a.b/cgroup.procs",
										"pids/lt/a.b/pids.max",
										"pids/lt/a.b/cgroup.procs",
										"unified/lt/a.b/cgroup.freeze",
										"unified/lt/a.b/cgroup.kill",
										"unified/lt/a.b/cgroup.procs"};

	put("unified/cgroup.controllers", "\n");
	put("memory/memory.usage_in_bytes", "1\n");
	put("cpu,cpuacct/cpu.shares", "1024\n");
	put("cpu,cpuacct/cpuacct.usage", "1\n");
	put("pids/cgroup.procs", "");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(files[i], "");
	put("memory/lt/a.b/memory.swappiness", "0\n");
	put("memory/lt/a.b/memory.stat", "cache 1\nrss 2\nmapped_file 3\nswap 4\ntotal_cache 4096\ntotal_rss "
									 "8192\ntotal_mapped_file 512\ntotal_swap 77\n");
	put("memory/lt/a.b/memory.kmem.usage_in_bytes", "555\n");
	put("cpu,cpuacct/lt/a.b/cpuacct.usage", "987654321\n");
}

/* The distribution's layout: one hierarchy "cpu,cpuacct", with symbolic links for each. */
static void
test_hybrid(void **state)
{
	CgroupHierarchy *hierarchy = NULL;
	CgroupLimits limits = {.cpus = 1, .cpu_weight = 10, .memory_bytes = 1048576, .pids_max = 20};
	CgroupMemory memory;
	uint64_t cpu_ns = 0;
	char path[128];
	Error err = {0};

	(void) state;
	put_hybrid();
	snprintf(path, sizeof(path), "%s/cpu", root);
	assert_int_equal(symlink("cpu,cpuacct", path), 0);
	snprintf(path, sizeof(path), "%s/cpuacct", root);
	assert_int_equal(symlink("cpu,cpuacct", path), 0);
	assert_int_equal(cgroup_hierarchy_open(root, &hierarchy, &err), 0);
	assert_int_equal(cgroup_hierarchy_mode(hierarchy), CGROUP_HYBRID);
	assert_int_equal(cgroup_create(hierarchy, "lt/a.b", &limits, &err), 0);
	assert_string_equal(get("memory/lt/a.b/memory.limit_in_bytes"), "1048576");
	assert_string_equal(get("memory/lt/a.b/memory.memsw.limit_in_bytes"), "1048576");
	assert_string_equal(get("memory/lt/a.b/memory.swappiness"), "60");
	assert_string_equal(get("cpu,cpuacct/lt/a.b/cpu.cfs_quota_us"), "100000");
	assert_string_equal(get("cpu,cpuacct/lt/a.b/cpu.cfs_burst_us"), "100000");
	assert_string_equal(get("cpu,cpuacct/lt/a.b/cpu.shares"), "102");
	put("cpu,cpuacct/lt/cpu.shares", "1024\n");
	assert_int_equal(cgroup_set_cpu_weight(hierarchy, "lt", 10000, &err), 0);
	assert_string_equal(get("cpu,cpuacct/lt/cpu.shares"), "102400");
	assert_string_equal(get("cpu,cpuacct/lt/a.b/cpu.shares"), "102");
	assert_string_equal(get("pids/lt/a.b/pids.max"), "20");
	assert_int_equal(cgroup_attach(hierarchy, "lt/a.b", 99, NULL), 0);
	assert_string_equal(get("memory/lt/a.b/cgroup.procs"), "99");
	assert_string_equal(get("cpu,cpuacct/lt/a.b/cgroup.procs"), "99");
	assert_string_equal(get("pids/lt/a.b/cgroup.procs"), "99");
	assert_string_equal(get("unified/lt/a.b/cgroup.procs"), "99");
	assert_int_equal(cgroup_read_memory(hierarchy, "lt/a.b", &memory, NULL), 0);
	assert_int_equal(memory.resident_bytes, 4096 + 8192);
	assert_int_equal(memory.swapped_bytes, 77);
	assert_int_equal(memory.kernel_bytes, 555);
	assert_int_equal(cgroup_read_cpu_ns(hierarchy, "lt/a.b", &cpu_ns, NULL), 0);
	assert_int_equal(cpu_ns, 987654321);
	assert_int_equal(cgroup_reclaim(hierarchy, "lt/a.b", NULL), 0);
	assert_string_equal(get("memory/lt/a.b/memory.force_empty"), "0");
	assert_int_equal(cgroup_set_limits(hierarchy, "lt/none", &limits, &err), -ENOENT);
	cgroup_hierarchy_free(hierarchy);
}

static void
test_hybrid_without_a_freezer(void **state)
{
	CgroupHierarchy *hierarchy = NULL;
	char path[128];
	Error err = {0};

	(void) state;
	put_hybrid();
	snprintf(path, sizeof(path), "%s/unified/cgroup.controllers", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cgroup_hierarchy_open(root, &hierarchy, &err), -ENODEV);
	assert_non_null(strstr(err.message, "freezer"));
	put("unified/cgroup.controllers", "\n");
	snprintf(path, sizeof(path), "%s/memory/memory.usage_in_bytes", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cgroup_hierarchy_open(root, &hierarchy, &err), -ENODEV);
	assert_non_null(strstr(err.message, "memory controller"));
	assert_null(hierarchy);
}

#define with_tree(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_tree(test_v2_limits),
		with_tree(test_v2_enabled_controllers_are_not_written_again),
		with_tree(test_v2_weight_of_a_group_that_is_not_there_yet),
		with_tree(test_v2_figures),
		with_tree(test_v2_actions),
		with_tree(test_v2_missing_controllers),
		with_tree(test_v2_old_kernel),
		with_tree(test_names_cannot_leave_the_tree),
		with_tree(test_what_is_not_there_is_removed_without_error),
		with_tree(test_hybrid),
		with_tree(test_hybrid_without_a_freezer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
