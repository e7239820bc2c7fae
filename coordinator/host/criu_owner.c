/* Whose a machine's processes are; see criu_owner.h. */
#include "host/criu_owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define STATUS_MAX_BYTES 65536

/* Real, effective and saved, which are all one in a process that did not change only some of them. */
typedef struct Owner
{
	unsigned uid[3];
	unsigned gid[3];
} Owner;

static int
read_owner(pid_t pid, Owner *ret_owner, Error *err)
{
	_cleanup_free_ char *path = memory_printf("/proc/%d/status", (int) pid);
	_cleanup_free_ char *status = NULL;
	int result = file_read(path, STATUS_MAX_BYTES, &status, NULL, err);
	const char *users = result < 0 ? NULL : strstr(status, "\nUid:");
	const char *groups = result < 0 ? NULL : strstr(status, "\nGid:");

	if (result < 0)
		return result;
	if (users == NULL || groups == NULL ||
		sscanf(users, "\nUid: %u %u %u", &ret_owner->uid[0], &ret_owner->uid[1], &ret_owner->uid[2]) != 3 ||
		sscanf(groups, "\nGid: %u %u %u", &ret_owner->gid[0], &ret_owner->gid[1], &ret_owner->gid[2]) != 3)
		return error_set(err, -EIO, "%s: tells no user", path);
	return 0;
}

int
criu_find_owner(const CgroupHierarchy *cgroups, const char *group, uid_t *ret_uid, gid_t *ret_gid, Error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t count = 0;
	Owner owner = {0};
	int result = cgroup_list_processes(cgroups, group, &pids, &count, err);

	for (size_t i = 0; result == 0 && i < count; i++)
	{
		Owner other;

		result = read_owner(pids[i], &other, err);
		if (result < 0)
			break;
		if (i == 0)
			owner = other;
		for (int kind = 0; kind < 3; kind++)
			if (other.uid[kind] != owner.uid[0] || other.gid[kind] != owner.gid[0])
				return error_set(err, -EPERM,
								 "processes of several users (%u and %u) can be taken to disk only where lttled has "
								 "CAP_SYS_RESOURCE, which it lacks here",
								 owner.uid[0], other.uid[kind]);
	}
	if (result < 0)
		return result;
	*ret_uid = owner.uid[0];
	*ret_gid = owner.gid[0];
	return 0;
}
