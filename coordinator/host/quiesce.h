/*
 * The last look before a machine counts as suspended: nothing can move any more, so what is seen is so. No statement,
 * lock or login, every session at rest in its wait for the client, no unread input, no unsent output.
 *
 * Every established TCP connection must belong to a process whose slot says idle (or in a transaction past its hold)
 * and whose wait event is the wait for its client. A connection held by any other process (the postmaster between
 * accept and fork, a session that authenticates) makes the machine busy, unless the client has never sent a byte.
 */
#ifndef HOST_QUIESCE_H
#define HOST_QUIESCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "host/activity.h"
#include "host/cgroup.h"
#include "host/sockets.h"

typedef struct QuiesceSpec
{
	const CgroupHierarchy *cgroups;
	const char *cgroup;		   /* frozen */
	const char *activity_path; /* on the host */
	ActivityPolicy policy;
} QuiesceSpec;

typedef struct QuiesceReport
{
	bool quiet;
	ActivityVerdict verdict; /* why not; detail is filled in for socket findings too (reason STATEMENT or LOGIN) */
	unsigned sessions;		 /* client sessions that sleep with the machine */
} QuiesceReport;

/* Looks. When quiet, ret_sockets holds the duplicates to watch and is the caller's; otherwise it is empty. */
int quiesce_inspect(const QuiesceSpec *spec, QuiesceReport *ret_report, SocketSet *ret_sockets, Error *err) MUST_CHECK;

#endif
