/*
 * The sockets of a frozen machine: duplicates of every TCP and Unix stream socket that its processes hold, taken with
 * pidfd_getfd(2), and what the kernel says about the ones that no process holds yet.
 *
 * A duplicate keeps the socket's description alive. It must be out of every epoll set before it is closed (the
 * description lives on in the machine, so closing does not take it out), and it must be closed before the machine
 * runs again: a backend that exits while we hold a duplicate leaves its client without the end of the connection.
 */
#ifndef HOST_SOCKETS_H
#define HOST_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"

typedef enum MachineSocketKind
{
	SOCKET_LISTENER,	   /* TCP, listening */
	SOCKET_CONNECTION,	   /* TCP, connected: a client's session, or one that the machine opened itself */
	SOCKET_UNIX_CONNECTION /* Unix stream, connected: both ends are inside the machine */
} MachineSocketKind;

typedef struct MachineSocket
{
	int fd;			 /* our duplicate, close-on-exec */
	pid_t pid;		 /* a process that holds it, in our PID namespace */
	pid_t first_pid; /* of those that hold it, the one with the lowest PID: by all likelihood who made it */
	uint64_t inode;
	MachineSocketKind kind;
	uint16_t local_port; /* host byte order; 0 for Unix sockets */
	struct sockaddr_storage peer;
	uint32_t unread_bytes;	 /* SIOCINQ */
	uint32_t unsent_bytes;	 /* SIOCOUTQ: sent but not acknowledged, or not sent */
	uint64_t received_bytes; /* TCP_INFO tcpi_bytes_received: 0 for a client that has never spoken */
	uint32_t sent_ago_ms;	 /* TCP_INFO tcpi_last_data_sent: since it last sent data */
} MachineSocket;

typedef struct SocketSet
{
	MachineSocket *sockets;
	size_t count;
	size_t capacity;
} SocketSet;

/*
 * Collects the sockets of these processes, each inode once (the holder with the highest PID is named, since a
 * postmaster's children hold what it holds). A process that vanishes meanwhile is passed over.
 */
int socket_set_collect(const pid_t *pids, size_t count, SocketSet *ret_set, Error *err) MUST_CHECK;

/*
 * Who binds the listeners of the set: a uid. A socket knows it until it has been on disk, where it becomes root's; then
 * the process tells that has had it for longest. 0 when there is none.
 */
uid_t socket_set_listeners_owner(const SocketSet *set);

/* Closes every duplicate and frees the array. */
void socket_set_clear(SocketSet *set);

/* TCP_DEFER_ACCEPT on every listener of the set, so that a bare TCP connect does not reach the server. */
void socket_set_defer_accept(const SocketSet *set, unsigned seconds);

/* True when a listener of the set has this port: a connection on another port was opened by the machine itself. */
bool socket_set_listens_on(const SocketSet *set, uint16_t port);

/* Writes "10.88.0.1:51234" or "[fd00::1]:51234" into text of at least 64 bytes. */
void socket_format_peer(const struct sockaddr_storage *peer, char text[64]);

/* True for the same address and port; an IPv4 address is the same as itself mapped into IPv6. */
bool socket_same_peer(const struct sockaddr_storage *left, const struct sockaddr_storage *right);

/* Address and port as one IPv6 endpoint in network order; false for other families. */
bool socket_normalize_endpoint(const struct sockaddr_storage *address, unsigned char ret_endpoint[18]);

/* A netlink socket of the sock_diag family inside a network namespace. The caller closes it. */
int sockdiag_open(int namespace_fd, int *ret_fd, Error *err) MUST_CHECK;

typedef struct PendingConnections
{
	unsigned speaking;				   /* nobody has accepted them yet, and they have sent data */
	unsigned silent;				   /* not accepted, nothing sent */
	unsigned finished;				   /* not accepted, closed by the client without data */
	struct sockaddr_storage speaker;   /* one of the speaking ones */
	struct sockaddr_storage listening; /* one of the silent ones */
} PendingConnections;

#define SOCKDIAG_ANY_PORT 0

/* Counts the connections to `port` (host byte order, or SOCKDIAG_ANY_PORT) that wait to be accepted: sock_diag shows
 * them with inode 0. */
int sockdiag_count_pending(int diag_fd, uint16_t port, PendingConnections *ret_pending, Error *err) MUST_CHECK;

/*
 * Counts sockets that listen on `port`, and established connections to it. ret_silent_ms: since data last came or went
 * on one of these; 0 without any. Each output may be NULL.
 */
int sockdiag_count_port(int diag_fd, uint16_t port, unsigned *ret_listening, unsigned *ret_established,
						uint64_t *ret_silent_ms, Error *err) MUST_CHECK;

/* The ports that are listened on, one for each socket, at most `max`. */
int sockdiag_list_listeners(int diag_fd, uint16_t ret_ports[], size_t max, size_t *ret_count, Error *err) MUST_CHECK;

/*
 * Takes a connection away without regard to its state, be it half-closed, without a process, or waiting to be accepted
 * (SOCK_DESTROY; needs CONFIG_INET_DIAG_DESTROY). A reset is sent to the peer. Returns 1 when there was one, 0 when
 * not.
 */
int sockdiag_destroy(int diag_fd, const struct sockaddr_storage *local, const struct sockaddr_storage *peer,
					 Error *err) MUST_CHECK;

#endif
