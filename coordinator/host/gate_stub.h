/*
 * Stub listeners of a closed gate: sockets of the coordinator in the machine's network namespace, on the ports that the
 * machine listened on. Only gate*.c include this.
 */
#ifndef HOST_GATE_STUB_H
#define HOST_GATE_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/gate.h"

typedef struct GateStubs
{
	int *fds;
	size_t count;
	char kept_name[32]; /* under which the service manager keeps them over a coordinator's end */
} GateStubs;

/* Lets stubs and restored sockets in beside the machine's own listeners: SO_REUSEPORT, and owner 0:0, since the kernel
 * asks that the owners of a shared port be the same and CRIU makes its sockets as root. */
int gate_stubs_admit(const SocketSet *sockets, Error *err) MUST_CHECK;

/*
 * Opens one stub for each port of the plan, with connections that move on when a listener closes (tcp_migrate_req). One
 * that the service manager has kept is taken, with those who wait at it. host_link: names the machine. defer: a
 * connection is there when its client has spoken (TCP_DEFER_ACCEPT).
 */
int gate_stubs_open(int namespace_fd, const char *host_link, const GatePlan *plan, bool defer, GateStubs *ret_stubs,
					Error *err) MUST_CHECK;

/* Makes somebody else the stubs' owner, so that their server can share the ports. */
int gate_stubs_give(const GateStubs *stubs, uid_t uid, gid_t gid, Error *err) MUST_CHECK;

/* Duplicates the stubs as listeners for a door, into an empty set. */
int gate_stubs_duplicate(const GateStubs *stubs, SocketSet *ret_sockets, Error *err) MUST_CHECK;

/*
 * Accepts and closes connections whose clients have gone without a word, so that bare probes never fill a queue. Does
 * nothing while somebody else waits, too. diag_fd: of the machine's namespace. True when it let somebody go.
 */
bool gate_stubs_drain(const GateStubs *stubs, int diag_fd);

/*
 * Wakes a server whose listeners have taken over what waited at the stubs. Before "tcp: call sk_data_ready() after
 * listener migration" the kernel does not tell it: each of its listeners then gets a connection that closes at once, of
 * which PostgreSQL says nothing. Does nothing where the kernel tells.
 */
void gate_stubs_rouse(int namespace_fd, const GatePlan *plan);

/* What gate_stubs_rouse does on the kernels that need it. */
void gate_ports_touch(int namespace_fd, const GatePlan *plan);

/*
 * Stops listening. What waits moves to another listener of the same address and owner; without one it is reset. Done by
 * shutdown(2), so that a duplicate somewhere else does not keep the stub alive. Empties the list.
 */
void gate_stubs_close(GateStubs *stubs);

/* The coordinator ends: stubs that the service manager keeps go on to listen, others are closed. Empties the list. */
void gate_stubs_leave(GateStubs *stubs);

#endif
