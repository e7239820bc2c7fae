/*
 * The last look before a machine counts as suspended: nothing can move any more, so what is seen is so. No statement,
 * lock or login, every session at rest in its wait for the client, no unread input, no unsent output.
 *
 * Every established TCP connection must belong to a process whose slot says idle (or in a transaction past its hold)
 * and whose wait event is the wait for its client. A connection held by any other process (the postmaster between
 * accept and fork, a session that authenticates) makes the machine busy, unless the client has never sent a byte; so
 * does a client that has spoken and that nobody has accepted yet, and, on any machine, a process that is just starting
 * a program.
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
	const char *activity_path; /* on the host; NULL: a plain machine, of which only the sockets tell */
	const char *network_path;  /* of its network namespace; NULL: the listeners' queues are not looked into */
	ActivityPolicy policy;
} QuiesceSpec;

typedef struct QuiesceReport
{
	bool quiet;
	ActivityVerdict
		verdict;	   /* why not; detail is filled in for socket findings too (reason STATEMENT, LOGIN or WORKER) */
	unsigned sessions; /* client sessions that sleep with the machine */
} QuiesceReport;

/* What the decision is made over. */
typedef struct QuiesceView
{
	const ActivityPage *page; /* with every session's wait read; NULL: a plain machine */
	const MachineProcess *processes;
	size_t process_count;
	const SocketSet *sockets; /* listeners too: they tell a client's connection from one that the machine opened */
	const PendingConnections *pending; /* in the listeners' queues */
	const ActivityPolicy *policy;
} QuiesceView;

/*
 * Pure: decides. Unread input of a client always counts. Output on its way counts for the first five seconds of a
 * session's rest only: the kernel sends and repeats for a frozen process too, and a client that vanished must not keep
 * the machine awake. Connections that a resting process opened itself do not count.
 */
void quiesce_decide(const QuiesceView *view, QuiesceReport *ret_report);

/*
 * The same for a plain machine, without an activity page: no client's bytes are unread, none are on their way to one,
 * nothing lies unread between its own processes, nobody waits to be accepted (its server may be the one that speaks
 * first), and, where connections count, no client is connected.
 */
void quiesce_decide_plain(const QuiesceView *view, QuiesceReport *ret_report);

/* Looks. When quiet, ret_sockets holds the duplicates to watch and is the caller's; otherwise it is empty.
 * Blocks for no longer than it takes to read /proc (a third of a millisecond for a small server). */
int quiesce_inspect(const QuiesceSpec *spec, QuiesceReport *ret_report, SocketSet *ret_sockets, Error *err) MUST_CHECK;

#endif
