/*
 * The door of a sleeping machine; see door.h. One epoll set of its own for all doors, nested in the event loop, so that
 * a socket can be edge- or level-triggered as it needs and a door closes without asking libevent for each one.
 *
 * Where the kernel cannot be asked, or an answer is in doubt, the door knocks: a machine that wakes for nothing costs a
 * millisecond, one that sleeps through a client's request is broken.
 */
#include "host/door.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/door_tap.h"

#define DOOR_EVENTS_AT_ONCE		 64
#define DOOR_ROUNDS_AT_ONCE		 16 /* then the loop serves others first */
#define DOOR_PACKETS_AT_ONCE	 64
#define DOOR_SESSION_EVENTS		 (EPOLLIN | EPOLLRDHUP)
#define TERMINATE_BYTES			 5
#define DOOR_LOOK_AGAIN_FIRST_MS 10
#define DOOR_LOOK_AGAIN_LAST_MS	 1000

typedef enum WatchKind
{
	WATCH_LISTENER,
	WATCH_SESSION,	/* a client's connection */
	WATCH_OUTGOING, /* a connection that the machine opened itself */
	WATCH_TAP
} WatchKind;

/* One descriptor of the epoll set; what its event points to. */
typedef struct DoorWatch
{
	Door *door;
	const MachineSocket *socket; /* NULL for the tap */
	WatchKind kind;
	int fd;
	bool watched;
	bool edge;	/* a session that is edge-triggered by now */
	bool ended; /* a session that was counted as ended */
} DoorWatch;

struct DoorKeeper
{
	struct event_base *loop;
	struct event *event;
	int epoll_fd;
	/* What epoll_wait returned and is not handled yet; a door that closes takes its own out. */
	struct epoll_event batch[DOOR_EVENTS_AT_ONCE];
	int batch_next;
	int batch_count;
};

struct Door
{
	DoorKeeper *keeper;
	SocketSet sockets;
	DoorWatch *watches; /* one a socket, in the same order */
	DoorWatch tap;
	int diag_fd;
	char host_link[32];
	struct event *look_again; /* a second look after the tap was opened */
	unsigned look_again_ms;
	unsigned ended_sessions;
	DoorKnocked knocked;
	DoorIsHeard is_heard;
	bool plain;
	void *context;
};

static int
watch_set(DoorWatch *watch, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(watch->door->keeper->epoll_fd, operation, watch->fd, &event) < 0 ? -errno : 0;
}

static void
watch_remove(DoorWatch *watch)
{
	if (watch->watched)
		watch_set(watch, EPOLL_CTL_DEL, 0);
	watch->watched = false;
}

static void
door_close_tap(Door *door)
{
	watch_remove(&door->tap);
	if (door->tap.fd >= 0)
		door_tap_close(door->tap.fd);
	door->tap.fd = -1;
	if (door->look_again != NULL)
		event_del(door->look_again);
}

/* Takes everything out of the epoll set, also out of what it has already reported. */
static void
door_mute(Door *door)
{
	DoorKeeper *keeper = door->keeper;

	for (size_t i = 0; i < door->sockets.count; i++)
		watch_remove(&door->watches[i]);
	door_close_tap(door);
	for (int i = keeper->batch_next; i < keeper->batch_count; i++)
	{
		DoorWatch *watch = keeper->batch[i].data.ptr;

		if (watch != NULL && watch->door == door)
			keeper->batch[i].data.ptr = NULL;
	}
}

/* The last thing that a handler does: the door may be gone afterwards. */
static void
door_knock(Door *door, const char *kind, const struct sockaddr_storage *peer)
{
	DoorKnock knock = {.kind = kind};

	if (peer != NULL)
		socket_format_peer(peer, knock.peer);
	door_mute(door);
	door->knocked(door->context, &knock);
}

/* True when half of a listener's accept queue is taken: beyond its end new clients would wait for a sleeping server. */
static bool
listener_is_crowded(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	/* Of a listener, tcpi_unacked is the queue's length and tcpi_sacked its limit. */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0 &&
		   info.tcpi_unacked >= info.tcpi_sacked / 2;
}

static bool
door_is_crowded(const Door *door)
{
	for (size_t i = 0; i < door->sockets.count; i++)
	{
		if (door->watches[i].kind == WATCH_LISTENER && listener_is_crowded(door->watches[i].fd))
			return true;
	}
	return false;
}

static int
door_open_tap(Door *door, Error *err)
{
	struct timeval soon = {.tv_usec = DOOR_LOOK_AGAIN_FIRST_MS * 1000};
	int result = door_tap_open(door->host_link, &door->tap.fd, err);

	if (result < 0)
		return result;
	result = watch_set(&door->tap, EPOLL_CTL_ADD, EPOLLIN);
	if (result < 0)
		return error_set_errno(err, -result, "watch link %s", door->host_link);
	door->tap.watched = true;
	door->look_again_ms = DOOR_LOOK_AGAIN_FIRST_MS;
	event_add(door->look_again, &soon);
	return 0;
}

/*
 * Looks at the connections that wait to be accepted, and opens the tap while some of them are silent. Data that was on
 * its way past the link when the tap was opened may not be in the connection's queue yet, so it looks again: at once,
 * and twice by the timer.
 */
static void
door_look(Door *door)
{
	PendingConnections pending;
	Error err;

	if (sockdiag_count_pending(door->diag_fd, SOCKDIAG_ANY_PORT, &pending, &err) < 0)
	{
		door_knock(door, DOOR_KNOCK_CONNECTION, NULL);
		return;
	}
	if (door->plain && pending.speaking + pending.silent > 0)
	{
		door_knock(door, DOOR_KNOCK_CONNECTION, pending.speaking > 0 ? &pending.speaker : &pending.listening);
		return;
	}
	if (pending.speaking == 0 && pending.silent > 0 && door->tap.fd < 0)
	{
		if (door_open_tap(door, &err) < 0 ||
			sockdiag_count_pending(door->diag_fd, SOCKDIAG_ANY_PORT, &pending, &err) < 0)
		{
			door_knock(door, DOOR_KNOCK_CONNECTION, NULL);
			return;
		}
	}
	if (pending.speaking > 0)
		door_knock(door, DOOR_KNOCK_CONNECTION, &pending.speaker);
	else if (door_is_crowded(door))
		door_knock(door, DOOR_KNOCK_HOUSEKEEPING, NULL);
	else if (pending.silent == 0)
		door_close_tap(door);
}

static void
door_look_again(evutil_socket_t fd, short what, void *context)
{
	Door *door = context;
	struct timeval later = {.tv_sec = DOOR_LOOK_AGAIN_LAST_MS / 1000};

	(void) fd;
	(void) what;
	if (door->look_again_ms < DOOR_LOOK_AGAIN_LAST_MS)
	{
		door->look_again_ms = DOOR_LOOK_AGAIN_LAST_MS;
		event_add(door->look_again, &later);
	}
	door_look(door);
}

static bool
door_knows_peer(const Door *door, const struct sockaddr_storage *peer)
{
	for (size_t i = 0; i < door->sockets.count; i++)
	{
		if (door->watches[i].kind != WATCH_LISTENER && socket_same_peer(&door->sockets.sockets[i].peer, peer))
			return true;
	}
	return door->is_heard != NULL && door->is_heard(door->context, peer);
}

/*
 * Segments with data, seen before the machine's TCP has them, so there is no use in asking sock_diag about them. Those
 * of open sessions are heard at the sessions themselves.
 */
static void
tap_handle(DoorWatch *watch)
{
	Door *door = watch->door;

	for (int i = 0; i < DOOR_PACKETS_AT_ONCE; i++)
	{
		struct sockaddr_storage sender;
		int result = door_tap_read(door->tap.fd, &sender);

		if (result == 0)
			return;
		if (result < 0)
		{
			door_knock(door, DOOR_KNOCK_CONNECTION, NULL);
			return;
		}
		if (!door_knows_peer(door, &sender))
		{
			door_knock(door, DOOR_KNOCK_CONNECTION, &sender);
			return;
		}
	}
}

/*
 * A session that only ended sleeps on as it is. But each one holds one of the server's connections until it wakes: when
 * some have gathered the server is woken to let them go, before a client meets "too many clients already".
 */
static void
session_end(DoorWatch *watch)
{
	Door *door = watch->door;

	if (watch->ended)
		return;
	watch->ended = true;
	door->ended_sessions++;
	if (door->ended_sessions >= DOOR_MAX_ENDED_SESSIONS)
		door_knock(door, DOOR_KNOCK_HOUSEKEEPING, NULL);
}

static void
session_handle(DoorWatch *watch, uint32_t events)
{
	static const unsigned char terminate[TERMINATE_BYTES] = {'X', 0, 0, 0, 4};
	unsigned char bytes[TERMINATE_BYTES + 1];
	bool closed = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	ssize_t got;
	int unread = 0;

	/* Not by recv(2): it would take a pending ECONNRESET away from the server. */
	if (closed && ioctl(watch->fd, SIOCINQ, &unread) == 0 && unread == 0)
	{
		watch_remove(watch);
		session_end(watch);
		return;
	}
	got = recv(watch->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (got > 0 && (watch->door->plain || got != TERMINATE_BYTES || memcmp(bytes, terminate, TERMINATE_BYTES) != 0))
	{
		door_knock(watch->door, DOOR_KNOCK_SESSION, &watch->socket->peer);
		return;
	}
	if (closed)
		watch_remove(watch);
	else if (!watch->edge)
	{
		/* Terminate, or an event without anything to read (an error queue, urgent data): only what comes next counts,
		 * and a level-triggered watch would report this again and again. Done once, since it reports once more. */
		watch->edge = true;
		if (watch_set(watch, EPOLL_CTL_MOD, DOOR_SESSION_EVENTS | EPOLLET) < 0)
		{
			door_knock(watch->door, DOOR_KNOCK_SESSION, &watch->socket->peer);
			return;
		}
	}
	if (got == TERMINATE_BYTES)
		session_end(watch);
}

/* Any byte counts, except those that were there when the machine fell asleep: it has seen no reason to read them. */
static void
outgoing_handle(DoorWatch *watch)
{
	int unread = 0;

	if (ioctl(watch->fd, SIOCINQ, &unread) == 0 && unread > 0 && (uint32_t) unread > watch->socket->unread_bytes)
		door_knock(watch->door, DOOR_KNOCK_SESSION, &watch->socket->peer);
}

static void
watch_handle(DoorWatch *watch, uint32_t events)
{
	switch (watch->kind)
	{
		case WATCH_LISTENER:
			door_look(watch->door);
			break;
		case WATCH_SESSION:
			session_handle(watch, events);
			break;
		case WATCH_OUTGOING:
			outgoing_handle(watch);
			break;
		case WATCH_TAP:
			tap_handle(watch);
			break;
	}
}

static void
keeper_dispatch(evutil_socket_t fd, short what, void *context)
{
	DoorKeeper *keeper = context;

	(void) what;
	for (int round = 0; round < DOOR_ROUNDS_AT_ONCE; round++)
	{
		keeper->batch_next = 0;
		keeper->batch_count = epoll_wait(fd, keeper->batch, DOOR_EVENTS_AT_ONCE, 0);
		if (keeper->batch_count <= 0)
			break;
		while (keeper->batch_next < keeper->batch_count)
		{
			struct epoll_event *event = &keeper->batch[keeper->batch_next++];

			if (event->data.ptr != NULL)
				watch_handle(event->data.ptr, event->events);
		}
	}
	keeper->batch_next = keeper->batch_count = 0;
}

int
door_keeper_new(struct event_base *loop, DoorKeeper **ret_keeper, Error *err)
{
	DoorKeeper *keeper = memory_allocate(sizeof(*keeper));

	keeper->loop = loop;
	keeper->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (keeper->epoll_fd < 0)
	{
		int failure = errno;

		free(keeper);
		return error_set_errno(err, failure, "epoll set for sleeping machines");
	}
	keeper->event = event_new(loop, keeper->epoll_fd, EV_READ | EV_PERSIST, keeper_dispatch, keeper);
	if (keeper->event == NULL || event_add(keeper->event, NULL) < 0)
	{
		door_keeper_free(keeper);
		return error_set(err, -ENOMEM, "event loop: watch the epoll set for sleeping machines");
	}
	*ret_keeper = keeper;
	return 0;
}

void
door_keeper_free(DoorKeeper *keeper)
{
	if (keeper == NULL)
		return;
	if (keeper->event != NULL)
		event_free(keeper->event);
	close(keeper->epoll_fd);
	free(keeper);
}

static DoorWatch
watch_of_socket(Door *door, const SocketSet *sockets, const MachineSocket *socket)
{
	DoorWatch watch = {.door = door, .socket = socket, .fd = socket->fd, .kind = WATCH_SESSION};

	if (socket->kind == SOCKET_LISTENER)
		watch.kind = WATCH_LISTENER;
	else if (!socket_set_listens_on(sockets, socket->local_port))
		watch.kind = WATCH_OUTGOING;
	return watch;
}

static int
door_watch_sockets(Door *door, const SocketSet *sockets, Error *err)
{
	for (size_t i = 0; i < sockets->count; i++)
	{
		const MachineSocket *socket = &sockets->sockets[i];
		DoorWatch *watch = &door->watches[i];
		/* An edge fires once for what is already there. A listener stays readable for as long as a connection that
		 * does not count waits in its queue, an outgoing connection while its old bytes do. */
		uint32_t events = DOOR_SESSION_EVENTS;
		int result;

		*watch = watch_of_socket(door, sockets, socket);
		if (socket->kind == SOCKET_UNIX_CONNECTION)
			continue;
		if (watch->kind != WATCH_SESSION)
			events = EPOLLIN | EPOLLET;
		result = watch_set(watch, EPOLL_CTL_ADD, events);
		if (result < 0)
			return error_set_errno(err, -result, "watch socket %d of process %d", socket->fd, (int) socket->pid);
		watch->watched = true;
	}
	return 0;
}

static void
door_free(Door *door)
{
	if (door->look_again != NULL)
		event_free(door->look_again);
	if (door->diag_fd >= 0)
		close(door->diag_fd);
	socket_set_clear(&door->sockets);
	free(door->watches);
	free(door);
}

int
door_open(DoorKeeper *keeper, const DoorSpec *spec, Door **ret_door, Error *err)
{
	Door *door = memory_allocate(sizeof(*door));
	int result;

	*door = (Door){
		.keeper = keeper,
		.watches = memory_allocate(spec->sockets->count * sizeof(DoorWatch)),
		.tap = {.door = door, .kind = WATCH_TAP, .fd = -1},
		.diag_fd = -1,
		.look_again = event_new(keeper->loop, -1, 0, door_look_again, door),
		.knocked = spec->knocked,
		.is_heard = spec->is_heard,
		.plain = spec->plain,
		.context = spec->context,
	};
	snprintf(door->host_link, sizeof(door->host_link), "%s", spec->host_link);
	result = door->look_again == NULL ? error_set(err, -ENOMEM, "event loop: timer of a door") : 0;
	if (result >= 0)
		result = sockdiag_open(spec->namespace_fd, &door->diag_fd, err);
	if (result >= 0)
		result = door_watch_sockets(door, spec->sockets, err);
	if (result < 0)
	{
		for (size_t i = 0; i < spec->sockets->count; i++)
			watch_remove(&door->watches[i]);
		door_free(door);
		return result;
	}
	door->sockets = *spec->sockets; /* the array stays where it is, so the watches still point into it */
	*spec->sockets = (SocketSet){0};
	*ret_door = door;
	return 0;
}

void
door_look_soon(Door *door)
{
	door->look_again_ms = DOOR_LOOK_AGAIN_FIRST_MS;
	event_active(door->look_again, EV_TIMEOUT, 0);
}

void
door_close(Door *door)
{
	if (door == NULL)
		return;
	door_mute(door);
	door_free(door);
}

void
door_describe_knock(const DoorKnock *knock, char *text, size_t size)
{
	if (knock->peer[0] != '\0')
		snprintf(text, size, "client %s (%s)", knock->peer, knock->kind);
	else
		snprintf(text, size, "%s", knock->kind);
}
