/*
 * The gate of a machine that is on disk: nobody is there to answer, and still nobody is turned away.
 *
 * Open sessions: their packets are dropped in both directions by an nftables set in the machine's own network namespace
 * (never reset), from before the dump until after the restore. A packet with data on one of them, seen by a packet
 * socket, knocks; the frames seen are kept and replayed after the restore, so that no client waits for its own
 * retransmission. What ends a session (Terminate, FIN, RST) is kept and replayed too, but wakes nobody. Keepalive
 * probes are answered in the machine's name.
 *
 * New connections: a stub listener on each port that the machine listened on, in its namespace, with SO_REUSEPORT and
 * tcp_migrate_req=1. A connection that waits there and has sent data knocks; it is handed to the restored server by
 * closing the stub. A bare probe knocks nowhere.
 *
 * When the coordinator dies, the service manager keeps the stubs (base/service.h), and the next coordinator takes them
 * over with whoever waits there. Without a service manager they die with it, and the connections that waited there get
 * a reset, as from a server that crashed; everybody else is served by the next coordinator.
 */
#ifndef HOST_GATE_H
#define HOST_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/door.h"
#include "host/sockets.h"

struct event_base;

/* A TCP connection of the machine, by its four-tuple; IPv4 and IPv6. */
typedef struct GateSession
{
	struct sockaddr_storage local;
	struct sockaddr_storage peer;
	/* The sequence number that the machine's TCP expects next. With it the gate answers the peer's keepalive probes,
	 * which would otherwise end a session that is on disk for longer than the peer's patience. */
	uint32_t receive_next;
	/* The one of the next byte that it would send. With both a peer can be told that the session is over. */
	uint32_t send_next;
	bool sequence_known; /* receive_next */
	bool send_known;
} GateSession;

typedef struct GatePort
{
	struct sockaddr_storage address; /* as the server was bound: 0.0.0.0, ::, or one address; with port */
	bool v6_only;
	int backlog;
} GatePort;

/* What a gate needs to be opened again by another coordinator; stored with the snapshot as JSON ("gate.json"). */
typedef struct GatePlan
{
	GateSession *sessions;
	size_t session_count;
	GatePort *ports;
	size_t port_count;
} GatePlan;

typedef struct Gate Gate;

/* Reads what the frozen machine's sockets say into a plan: every TCP connection, also those that the machine opened
 * itself, and every TCP listener. */
int gate_plan_from_sockets(const SocketSet *sockets, GatePlan *ret_plan, Error *err) MUST_CHECK;
int gate_plan_save(const GatePlan *plan, const char *path,
				   Error *err) MUST_CHECK; /* written aside, renamed, not synced */
int gate_plan_load(const char *path, GatePlan *ret_plan, Error *err) MUST_CHECK; /* untrusted */
void gate_plan_clear(GatePlan *plan);

typedef struct GateSpec
{
	struct event_base *loop;
	DoorKeeper *keeper;	   /* of the same loop */
	int namespace_fd;	   /* borrowed during the call */
	const char *host_link; /* the host's end of the veth pair */
	const GatePlan *plan;  /* copied */
	uid_t server_uid;	   /* whose listeners a cold start makes: for gate_drop_sessions */
	gid_t server_gid;
	bool plain; /* it may be no PostgreSQL: see door.h */
	/* Called in the loop, once, when a client must be served. */
	DoorKnocked knocked;
	void *context;
} GateSpec;

/*
 * Before the dump, while the machine is frozen: drops the sessions' packets and opens the stubs beside the server's own
 * listeners (whose duplicates get SO_REUSEPORT and owner 0:0), so that there is no moment at which a client is refused.
 * sockets: the machine's, borrowed. What came to them after the last look, and before the gate was closed, knocks too,
 * and gate_was_late tells of it.
 * After a restart of the coordinator, or with no server: sockets NULL.
 */
int gate_close(const GateSpec *spec, const SocketSet *sockets, Gate **ret_gate, Error *err) MUST_CHECK;

/*
 * Whether a session got bytes after the last look and before the gate was closed, by what closing it found out. Its
 * client has seen them acknowledged and sends them to nobody again: they are nowhere but in the machine's socket.
 */
bool gate_was_late(const Gate *gate, DoorKnock *ret_knock);

/* What the dump leaves in the namespace once the frozen processes were killed: half-closed sockets of the locked
 * sessions, which would make the restore fail with EADDRNOTAVAIL. Destroys them (SOCK_DESTROY) with output dropped. */
int gate_clear_sockets(const Gate *gate, Error *err) MUST_CHECK;

/* How many of the sockets that listen on a port of the machine are the gate's own. NULL: none. */
unsigned gate_count_stubs(const Gate *gate, uint16_t port);

/*
 * After the restore: lets the sessions' packets pass, replays the frames that were seen, hands pending connections over
 * to the server's listeners, and frees the gate, also when it fails. Also after a dump that failed, with the machine
 * thawed. -EIO: the table could not be removed, and the sessions are deaf until the namespace ends.
 */
int gate_open(Gate *gate, Error *err) MUST_CHECK;

/*
 * For a cold start in place of a restore: the sessions are lost. Their peers are told so by a reset, and their packets
 * pass again, which tells those whose sequence numbers are not known as soon as they send; the stubs stay until the
 * server listens, then gate_open hands over. The stubs' owner becomes the server's. The server must bind with
 * SO_REUSEPORT: port_share_enable, before it is launched, sees to that; where it fails, the gate must be freed before
 * the launch, or the server finds its port taken.
 */
int gate_drop_sessions(Gate *gate, Error *err) MUST_CHECK;

/*
 * Before the machine is ended for good, be it frozen or on disk: destroys the sessions' sockets, and tells each peer by
 * a reset. A socket that CRIU died over is in repair mode, in which its end is told to nobody; a client whose bytes it
 * has acknowledged would wait for ever.
 */
int gate_end_sessions(Gate *gate, Error *err) MUST_CHECK;

/* The same where a killed coordinator has left the table of its gate in the namespace, and nothing will come back to
 * the sessions. namespace_fd and plan are borrowed. */
int gate_end_sessions_left(int namespace_fd, const GatePlan *plan, Error *err) MUST_CHECK;

/* Lets go of stubs, sockets and the nft table without replaying: the machine is deleted. NULL: nothing. */
void gate_free(Gate *gate);

/*
 * The coordinator ends and the machine stays on disk: lets go of the descriptors, but the nft table stays in the pinned
 * namespace, as it does when the coordinator is killed. Until the next coordinator closes the gate again, packets of
 * open sessions are dropped, and a new client's SYN meets no refusal (the table drops it), so it is sent again. NULL:
 * nothing.
 */
void gate_leave(Gate *gate);

#endif
