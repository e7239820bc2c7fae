/*
 * Whose a machine's processes are, for a CRIU that lacks CAP_SYS_RESOURCE and so must be related to all of them. The
 * image's user does not tell: one that begins as root may have become another since.
 */
#ifndef HOST_CRIU_OWNER_H
#define HOST_CRIU_OWNER_H

#include <sys/types.h>

#include "base/error.h"
#include "host/cgroup.h"

/*
 * The one user and group that all processes of the group have as their real, effective and saved ones.
 * Errors: -EPERM, with a sentence: they are of several users.
 */
int criu_find_owner(const CgroupHierarchy *cgroups, const char *group, uid_t *ret_uid, gid_t *ret_gid,
					Error *err) MUST_CHECK;

#endif
