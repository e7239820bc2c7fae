/* The part of control groups that is the same on every host; see cgroup.h and cgroup_backend.h. */
#include "host/cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/cgroup_backend.h"

#define CGROUP_FILE_MAX_BYTES (1024UL * 1024)

/* A group name goes into paths of files that root writes to. */
static int
group_check_name(const char *group, Error *err)
{
	bool at_start = true;

	for (const char *at = group; *at != '\0'; at++)
	{
		if (at_start && !isalnum((unsigned char) *at))
			return error_set(err, -EINVAL, "control group '%s': is not a name", group);
		if (!isalnum((unsigned char) *at) && strchr("._-/", *at) == NULL)
			return error_set(err, -EINVAL, "control group '%s': is not a name", group);
		at_start = *at == '/';
	}
	if (at_start)
		return error_set(err, -EINVAL, "control group '%s': is not a name", group);
	return 0;
}

int
cgroup_path(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
			char path[CGROUP_PATH_BYTES], Error *err)
{
	int length;
	int result = group_check_name(group, err);

	if (result < 0)
		return result;
	length =
		snprintf(path, CGROUP_PATH_BYTES, "%s/%s%s%s", hierarchy->trees[tree], group, *file == '\0' ? "" : "/", file);
	if (length >= CGROUP_PATH_BYTES)
		return error_set(err, -ENAMETOOLONG, "control group '%s': name is too long", group);
	return 0;
}

int
cgroup_write(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file, const char *text,
			 Error *err)
{
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, tree, group, file, path, err);

	return result < 0 ? result : file_write(path, text, err);
}

int
cgroup_write_burst(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
				   unsigned cpus, Error *err)
{
	char text[32];
	int result;

	snprintf(text, sizeof(text), "%" PRIu64, (uint64_t) cpus * CGROUP_CPU_PERIOD_US);
	result = cgroup_write(hierarchy, tree, group, file, text, err);
	return result == -ENOENT ? 0 : result;
}

int
cgroup_read_number(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
				   uint64_t *ret_value, Error *err)
{
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, tree, group, file, path, err);

	return result < 0 ? result : file_read_number(path, ret_value, err);
}

int
cgroup_read_keys(const CgroupHierarchy *hierarchy, CgroupTree tree, const char *group, const char *file,
				 const char *const keys[], uint64_t values[], size_t count, Error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, tree, group, file, path, err);

	if (result == 0)
		result = file_read(path, CGROUP_FILE_MAX_BYTES, &text, NULL, err);
	if (result < 0)
		return result;
	for (size_t i = 0; i < count; i++)
		values[i] = 0;
	for (char *line = text; line != NULL && *line != '\0';)
	{
		char *end = strchr(line, '\n');
		char *blank;

		if (end != NULL)
			*end++ = '\0';
		blank = strchr(line, ' ');
		if (blank != NULL)
		{
			*blank = '\0';
			for (size_t i = 0; i < count; i++)
				if (strcmp(line, keys[i]) == 0)
					values[i] = strtoull(blank + 1, NULL, 10);
		}
		line = end;
	}
	return 0;
}

int
cgroup_hierarchy_open(const char *root, CgroupHierarchy **ret_hierarchy, Error *err)
{
	_cleanup_free_ CgroupHierarchy *hierarchy = memory_allocate(sizeof(*hierarchy));
	char path[PATH_MAX];
	int result;

	if (strlen(root) + sizeof("/cpu,cpuacct") > sizeof(hierarchy->root))
		return error_set(err, -ENAMETOOLONG, "%s: path is too long", root);
	memcpy(hierarchy->root, root, strlen(root) + 1);
	snprintf(path, sizeof(path), "%s/cgroup.controllers", root);
	hierarchy->mode = access(path, F_OK) == 0 ? CGROUP_UNIFIED : CGROUP_HYBRID;
	hierarchy->backend = hierarchy->mode == CGROUP_UNIFIED ? &cgroup_backend_v2 : &cgroup_backend_hybrid;
	result = hierarchy->backend->open(hierarchy, err);
	if (result < 0)
		return result;
	*ret_hierarchy = steal_pointer(&hierarchy);
	return 0;
}

void
cgroup_hierarchy_free(CgroupHierarchy *hierarchy)
{
	free(hierarchy);
}

CgroupMode
cgroup_hierarchy_mode(const CgroupHierarchy *hierarchy)
{
	return hierarchy->mode;
}

/* The freezer came with Linux 5.2, cgroup.kill with 5.14; the root group shows neither, so only here it can be seen. */
static int
group_check_kernel(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	static const char *const needed[] = {"cgroup.freeze", "cgroup.kill"};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
	{
		char path[CGROUP_PATH_BYTES];
		int result = cgroup_path(hierarchy, CGROUP_TREE_V2, group, needed[i], path, err);

		if (result < 0)
			return result;
		if (access(path, F_OK) < 0)
			return error_set(err, -ENODEV, "control group %s: this kernel has no %s (Linux 5.14 or later is needed)",
							 group, needed[i]);
	}
	return 0;
}

int
cgroup_create(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits, Error *err)
{
	int result = group_check_name(group, err);

	if (result == 0)
		result = hierarchy->backend->create(hierarchy, group, err);
	if (result == 0)
		result = group_check_kernel(hierarchy, group, err);
	if (result == 0)
		result = cgroup_set_limits(hierarchy, group, limits, err);
	return result;
}

static int
write_cpu_weight(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err)
{
	return hierarchy->has_cpu ? hierarchy->backend->set_cpu_weight(hierarchy, group, weight, err) : 0;
}

int
cgroup_set_limits(const CgroupHierarchy *hierarchy, const char *group, const CgroupLimits *limits, Error *err)
{
	int result = hierarchy->backend->set_limits(hierarchy, group, limits, err);

	if (result == 0)
		result = write_cpu_weight(hierarchy, group,
								  limits->cpu_weight > 0 ? limits->cpu_weight : CGROUP_CPU_WEIGHT_DEFAULT, err);
	return result;
}

unsigned
cgroup_cpu_weight_of(unsigned cpus)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus == 0)
		cpus = online > 0 ? (unsigned) online : 1;
	return cpus < CGROUP_CPU_WEIGHT_MAX / CGROUP_CPU_WEIGHT_DEFAULT ? cpus * CGROUP_CPU_WEIGHT_DEFAULT
																	: CGROUP_CPU_WEIGHT_MAX;
}

int
cgroup_set_cpu_weight(const CgroupHierarchy *hierarchy, const char *group, unsigned weight, Error *err)
{
	int result = group_check_name(group, err);

	if (result == 0)
		result = hierarchy->backend->create(hierarchy, group, err);
	return result == 0 ? write_cpu_weight(hierarchy, group, weight, err) : result;
}

/* True when an earlier tree has the same path, as "cpu" and "cpuacct" often have. */
static bool
tree_is_repeated(const CgroupHierarchy *hierarchy, int tree)
{
	for (int earlier = 0; earlier < tree; earlier++)
		if (strcmp(hierarchy->trees[earlier], hierarchy->trees[tree]) == 0)
			return true;
	return false;
}

int
cgroup_attach(const CgroupHierarchy *hierarchy, const char *group, pid_t pid, Error *err)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int) pid);
	for (int tree = 0; tree < CGROUP_TREE_COUNT; tree++)
	{
		int result;

		if (hierarchy->trees[tree][0] == '\0' || tree_is_repeated(hierarchy, tree))
			continue;
		result = cgroup_write(hierarchy, (CgroupTree) tree, group, "cgroup.procs", number, err);
		if (result < 0)
			return result;
	}
	return 0;
}

/* The caller's own place in the v2 tree, as in "0::/system.slice/lttled.service". */
static int
own_processes_path(const CgroupHierarchy *hierarchy, char path[CGROUP_PATH_BYTES])
{
	_cleanup_free_ char *text = NULL;
	char *place;

	if (file_read("/proc/self/cgroup", CGROUP_FILE_MAX_BYTES, &text, NULL, NULL) < 0)
		return -ENOENT;
	place = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (place == NULL)
		return -ENOENT;
	place = strchr(place, '/');
	if (place == NULL)
		return -ENOENT;
	place[strcspn(place, "\n")] = '\0';
	return snprintf(path, CGROUP_PATH_BYTES, "%s%s/cgroup.procs", hierarchy->trees[CGROUP_TREE_V2], place) <
				   CGROUP_PATH_BYTES
			   ? 0
			   : -ENAMETOOLONG;
}

pid_t
cgroup_attach_prepare(const CgroupHierarchy *hierarchy)
{
	char path[CGROUP_PATH_BYTES];
	pid_t child;

	if (own_processes_path(hierarchy, path) < 0)
		return 0;
	child = fork();
	if (child == 0)
		_exit(file_write(path, "0", NULL) < 0);
	return child > 0 ? child : 0;
}

void
cgroup_attach_settle(pid_t child)
{
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

int
cgroup_kill(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	Error problem = {0};
	int result = cgroup_write(hierarchy, CGROUP_TREE_V2, group, "cgroup.kill", "1", &problem);

	if (result == 0 || result == -ENOENT || result == -ENODEV) /* ENODEV: removed between open and write */
		return 0;
	return error_set(err, result, "%s", problem.message);
}

int
cgroup_remove(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	/* The v2 tree last: while it is there, its cgroup.procs still says who keeps the others busy. */
	for (int tree = CGROUP_TREE_COUNT - 1; tree >= 0; tree--)
	{
		char path[CGROUP_PATH_BYTES];
		int result;

		if (hierarchy->trees[tree][0] == '\0' || tree_is_repeated(hierarchy, tree))
			continue;
		result = cgroup_path(hierarchy, (CgroupTree) tree, group, "", path, err);
		if (result < 0)
			return result;
		if (rmdir(path) < 0 && errno != ENOENT)
			return error_set_errno(err, errno, "%s: remove", path);
	}
	return 0;
}

int
cgroup_list_processes(const CgroupHierarchy *hierarchy, const char *group, pid_t **ret_pids, size_t *ret_count,
					  Error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t capacity = 0;
	size_t count = 0;
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, CGROUP_TREE_V2, group, "cgroup.procs", path, err);

	if (result == 0)
		result = file_read(path, CGROUP_FILE_MAX_BYTES, &text, NULL, err);
	if (result < 0)
		return result;
	for (char *at = text, *end = NULL;; at = end)
	{
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		if (pid <= 0) /* 0: a process that this PID namespace can't see */
			continue;
		pids = memory_grow(pids, &capacity, count + 1, sizeof(*pids));
		pids[count++] = (pid_t) pid;
	}
	if (pids == NULL)
		pids = memory_allocate(sizeof(*pids));
	*ret_pids = steal_pointer(&pids);
	*ret_count = count;
	return 0;
}

int
cgroup_set_frozen(const CgroupHierarchy *hierarchy, const char *group, bool frozen, Error *err)
{
	return cgroup_write(hierarchy, CGROUP_TREE_V2, group, "cgroup.freeze", frozen ? "1" : "0", err);
}

int
cgroup_freezer_path(const CgroupHierarchy *hierarchy, const char *group, char *ret_path, Error *err)
{
	return cgroup_path(hierarchy, CGROUP_TREE_V2, group, "", ret_path, err);
}

int
cgroup_open_events(const CgroupHierarchy *hierarchy, const char *group, int *ret_fd, Error *err)
{
	char path[CGROUP_PATH_BYTES];
	int result = cgroup_path(hierarchy, CGROUP_TREE_V2, group, "cgroup.events", path, err);
	int fd;

	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	*ret_fd = fd;
	return 0;
}

static bool
events_find(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at != NULL && at[strlen(key)] == '1';
}

int
cgroup_read_events(int events_fd, bool *ret_frozen, bool *ret_populated, Error *err)
{
	char text[256];
	ssize_t got = pread(events_fd, text, sizeof(text) - 1, 0);

	if (got < 0)
		return error_set_errno(err, errno, "cgroup.events: read");
	text[got] = '\0';
	*ret_frozen = events_find(text, "frozen ");
	*ret_populated = events_find(text, "populated ");
	return 0;
}

int
cgroup_read_memory(const CgroupHierarchy *hierarchy, const char *group, CgroupMemory *ret_memory, Error *err)
{
	return hierarchy->backend->read_memory(hierarchy, group, ret_memory, err);
}

int
cgroup_read_cpu_ns(const CgroupHierarchy *hierarchy, const char *group, uint64_t *ret_ns, Error *err)
{
	return hierarchy->backend->read_cpu_ns(hierarchy, group, ret_ns, err);
}

int
cgroup_reclaim(const CgroupHierarchy *hierarchy, const char *group, Error *err)
{
	return hierarchy->backend->reclaim(hierarchy, group, err);
}
