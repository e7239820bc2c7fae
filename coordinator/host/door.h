/*
 * The door of a sleeping machine: everything through which a client can reach it, watched in one epoll set of the
 * coordinator, so that thousands of sleeping machines cost nothing.
 *
 * What wakes a PostgreSQL server: a byte on an established connection that is not just its end (Terminate, FIN, RST); a
 * connection that waits to be accepted and has sent data. What does not: connect and close, connect and silence,
 * keepalives. A plain machine, of which nothing is known, may speak first to its clients: there a connection wakes as
 * soon as it waits to be accepted, and no message is taken for a mere end. Two things wake although nobody waits,
 * because a client could not be served later: eight sessions that ended in their sleep, and an accept queue that is
 * half full of finished connections. A silent connection that the kernel promoted to the accept queue gives no event of
 * its own when it speaks later; while there is one, a packet socket on the machine's link with a filter for TCP
 * segments that carry data reports it.
 */
#ifndef HOST_DOOR_H
#define HOST_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/sockets.h"

struct event_base;

typedef struct DoorKeeper DoorKeeper; /* the epoll set; one in the coordinator */
typedef struct Door Door;			  /* one sleeping machine's */

#define DOOR_KNOCK_CONNECTION	"connection"   /* a new client */
#define DOOR_KNOCK_SESSION		"session"	   /* a byte on an open connection */
#define DOOR_KNOCK_HOUSEKEEPING "housekeeping" /* nobody waits, but dead connections fill the server's places */

/* So many sessions may end in their sleep before the server is woken to let them go. */
#define DOOR_MAX_ENDED_SESSIONS 8

typedef struct DoorKnock
{
	char peer[64];	  /* "10.88.0.1:51234"; empty for housekeeping, and when the kernel could not say */
	const char *kind; /* one of DOOR_KNOCK_… */
} DoorKnock;

/* "client 10.88.0.1:51234 (session)", for people. */
void door_describe_knock(const DoorKnock *knock, char *text, size_t size);

/* Called in the loop, once, when a client must be served. The door stays open until door_close. */
typedef void (*DoorKnocked)(void *context, const DoorKnock *knock);

int door_keeper_new(struct event_base *loop, DoorKeeper **ret_keeper, Error *err) MUST_CHECK;
void door_keeper_free(DoorKeeper *keeper);

/* Whether somebody else listens to what this peer sends: the gate hears the sessions of a machine on disk. */
typedef bool (*DoorIsHeard)(void *context, const struct sockaddr_storage *peer);

typedef struct DoorSpec
{
	SocketSet *sockets;	   /* taken over on success: the set is emptied */
	int namespace_fd;	   /* borrowed during the call */
	const char *host_link; /* the host's end of the veth pair, in the caller's network namespace */
	DoorKnocked knocked;
	DoorIsHeard is_heard; /* NULL: nobody else listens */
	bool plain;			  /* it may be no PostgreSQL */
	void *context;
} DoorSpec;

/* Watches, level-triggered for what is already there: a byte that came before this call knocks at once. */
int door_open(DoorKeeper *keeper, const DoorSpec *spec, Door **ret_door, Error *err) MUST_CHECK;

/*
 * Looks at the waiting connections soon, from the loop, without an event: for connections that came to a listener by
 * another road than the network (before Linux 6.19 one that moved from another listener gives no event), or that wait
 * at a listener that the door doesn't watch.
 */
void door_look_soon(Door *door);

/* Takes everything out of the epoll set, then closes the duplicates. After it the machine may be thawed. NULL: nothing.
 */
void door_close(Door *door);

#endif
