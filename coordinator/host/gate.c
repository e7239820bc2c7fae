/*
 * The gate of a machine on disk; see gate.h. The table drops, the stubs take in, a door watches the stubs, the tap
 * hears the sessions.
 *
 * The order matters. Closing: the tap hears before the table drops, so that no packet is lost unheard; the table drops
 * resets before a stub could go. Opening: the stubs hand over while the table still hides that nobody listens for a
 * moment; the sessions' frames are sent again after the table has gone.
 */
#include "host/gate.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/gate_frames.h"
#include "host/gate_reset.h"
#include "host/gate_segment.h"
#include "host/gate_stub.h"
#include "host/gate_table.h"
#include "host/gate_tap.h"
#include "host/nft.h"

#define GATE_PACKETS_AT_ONCE 256 /* then the loop serves others first */
#define ENDPOINT_BYTES		 18

/* A session by what its packets show, sorted. */
typedef struct SessionKey
{
	unsigned char peer[ENDPOINT_BYTES];
	unsigned char local[ENDPOINT_BYTES];
	size_t index; /* into the plan */
} SessionKey;

struct Gate
{
	DoorKeeper *keeper;
	int namespace_fd;
	int diag_fd;
	char host_link[32];
	GatePlan plan;
	uid_t server_uid;
	gid_t server_gid;
	bool plain;
	SessionKey *keys; /* as many as the plan has sessions */
	GateStubs stubs;
	Door *door;
	GateTap tap;
	struct event *heard; /* the tap is readable */
	GateFrames frames;
	struct event *late; /* tells from the loop what was found while closing */
	DoorKnock late_knock;
	bool knocked_already;
	DoorKnocked knocked;
	void *context;
};

static void
gate_knock(Gate *gate, const DoorKnock *knock)
{
	if (gate->knocked_already)
		return;
	gate->knocked_already = true;
	gate->knocked(gate->context, knock);
}

/* ---- sessions ---- */

static int
key_compare(const void *left, const void *right)
{
	const SessionKey *a = left;
	const SessionKey *b = right;
	int peers = memcmp(a->peer, b->peer, ENDPOINT_BYTES);

	return peers != 0 ? peers : memcmp(a->local, b->local, ENDPOINT_BYTES);
}

static SessionKey *
keys_of_plan(const GatePlan *plan)
{
	SessionKey *keys = memory_allocate((plan->session_count + 1) * sizeof(*keys));

	for (size_t i = 0; i < plan->session_count; i++)
	{
		keys[i].index = i;
		socket_normalize_endpoint(&plan->sessions[i].peer, keys[i].peer);
		socket_normalize_endpoint(&plan->sessions[i].local, keys[i].local);
	}
	qsort(keys, plan->session_count, sizeof(*keys), key_compare);
	return keys;
}

/* The session that a segment belongs to; NULL: none of the plan's. */
static const SessionKey *
gate_find_session(const Gate *gate, const GateSegment *segment)
{
	SessionKey wanted = {0};

	if (!socket_normalize_endpoint(&segment->sender, wanted.peer) ||
		!socket_normalize_endpoint(&segment->receiver, wanted.local))
		return NULL;
	return bsearch(&wanted, gate->keys, gate->plan.session_count, sizeof(wanted), key_compare);
}

/* Returns the verdict on the frame. */
static GateVerdict
gate_hear(Gate *gate, const unsigned char *packet, size_t size, const unsigned char *frame, GateSegment *segment)
{
	const SessionKey *key = NULL;
	const GateSession *session;
	GateVerdict verdict;

	if (gate_segment_parse(frame, size - (size_t) (frame - packet), segment))
		key = gate_find_session(gate, segment);
	if (key == NULL)
		return GATE_IGNORE;
	session = &gate->plan.sessions[key->index];
	verdict = gate_segment_judge(segment, session->sequence_known ? &session->receive_next : NULL);
	if (gate->plain && verdict == GATE_KEEP && !segment->rst && segment->payload_bytes > 0)
		verdict = GATE_KNOCK; /* what is PostgreSQL's Terminate may be anything to another server */
	if (verdict == GATE_ANSWER)
	{
		unsigned char answer[GATE_ANSWER_BYTES];

		gate_tap_answer(&gate->tap, answer, gate_segment_answer(frame, segment, session->receive_next, answer));
	}
	else if (verdict != GATE_IGNORE)
		gate_frames_keep(&gate->frames, &(GateFrame){.session = key->index,
													 .sequence = segment->sequence,
													 .payload_bytes = segment->payload_bytes + segment->rst,
													 .size = size,
													 .bytes = (unsigned char *) packet});
	return verdict;
}

/* Takes what the tap has heard. False: it is broken. ret_knock: written when somebody asked for the machine. */
static bool
gate_hear_all(Gate *gate, DoorKnock *ret_knock)
{
	for (int i = 0; i < GATE_PACKETS_AT_ONCE; i++)
	{
		const unsigned char *packet;
		const unsigned char *frame;
		GateSegment segment;
		ssize_t size = gate_tap_read(&gate->tap, &packet, &frame);

		if (size == 0)
			return true;
		if (size < 0)
			return false;
		if (gate_hear(gate, packet, (size_t) size, frame, &segment) == GATE_KNOCK && ret_knock->kind == NULL)
		{
			ret_knock->kind = DOOR_KNOCK_SESSION;
			socket_format_peer(&segment.sender, ret_knock->peer);
		}
	}
	return true;
}

static void
tap_handle(evutil_socket_t fd, short what, void *context)
{
	Gate *gate = context;
	DoorKnock knock = {0};

	(void) fd;
	(void) what;
	if (!gate_hear_all(gate, &knock))
	{
		/* Deaf: nobody could wake the machine any more, so it had better be awake. */
		event_del(gate->heard);
		knock.kind = DOOR_KNOCK_SESSION;
	}
	if (knock.kind != NULL)
		gate_knock(gate, &knock); /* the last thing: the gate may be gone afterwards */
}

/* ---- stubs ---- */

static void door_handle(void *context, const DoorKnock *knock);

/*
 * What a kept session sends comes by the same link as what a silent connection at a stub says at last: its end is no
 * client that wants to be served.
 */
static bool
gate_has_session_of(void *context, const struct sockaddr_storage *peer)
{
	const Gate *gate = context;

	for (size_t i = 0; i < gate->plan.session_count; i++)
	{
		if (socket_same_peer(&gate->plan.sessions[i].peer, peer))
			return true;
	}
	return false;
}

static int
gate_open_door(Gate *gate, Error *err)
{
	_cleanup_(socket_set_clear) SocketSet sockets = {0};
	DoorSpec spec = {
		.sockets = &sockets,
		.namespace_fd = gate->namespace_fd,
		.host_link = gate->host_link,
		.knocked = door_handle,
		.is_heard = gate_has_session_of,
		.plain = gate->plain,
		.context = gate,
	};
	int result = gate_stubs_duplicate(&gate->stubs, &sockets, err);

	if (result == 0)
		result = door_open(gate->keeper, &spec, &gate->door, err);
	if (result == 0)
		door_look_soon(gate->door);
	return result;
}

/* Probes that fill a stub's queue need no server: the gate lets them go itself, and wakes only when that did not help.
 */
static void
door_handle(void *context, const DoorKnock *knock)
{
	Gate *gate = context;
	DoorKnock copy = *knock;

	if (strcmp(knock->kind, DOOR_KNOCK_HOUSEKEEPING) == 0)
	{
		bool drained = gate_stubs_drain(&gate->stubs, gate->diag_fd);

		door_close(gate->door);
		gate->door = NULL;
		if (drained && gate_open_door(gate, NULL) == 0)
			return;
	}
	gate_knock(gate, &copy);
}

/* ---- what came too late to be seen before and too early to be heard ---- */

static void
tell_late(evutil_socket_t fd, short what, void *context)
{
	Gate *gate = context;

	(void) fd;
	(void) what;
	gate_knock(gate, &gate->late_knock);
}

/* Bytes that reached a session after the last look are in its queue by now: no packet will tell of them again. */
static void
gate_look_at_sessions(Gate *gate, const SocketSet *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
	{
		const MachineSocket *socket = &sockets->sockets[i];
		int unread = 0;

		if (socket->kind != SOCKET_CONNECTION || ioctl(socket->fd, SIOCINQ, &unread) < 0 || unread < 0 ||
			(uint32_t) unread <= socket->unread_bytes)
			continue;
		gate->late_knock.kind = DOOR_KNOCK_SESSION;
		socket_format_peer(&socket->peer, gate->late_knock.peer);
		event_active(gate->late, EV_TIMEOUT, 0);
		return;
	}
}

bool
gate_was_late(const Gate *gate, DoorKnock *ret_knock)
{
	if (gate->late_knock.kind == NULL)
		return false;
	*ret_knock = gate->late_knock;
	return true;
}

/* ---- closing and opening ---- */

static void
plan_copy(const GatePlan *from, GatePlan *to)
{
	*to = *from;
	to->sessions = memory_allocate((from->session_count + 1) * sizeof(GateSession));
	to->ports = memory_allocate((from->port_count + 1) * sizeof(GatePort));
	if (from->session_count > 0)
		memcpy(to->sessions, from->sessions, from->session_count * sizeof(GateSession));
	if (from->port_count > 0)
		memcpy(to->ports, from->ports, from->port_count * sizeof(GatePort));
}

/* No more knocks, and nothing is heard. Stubs and table stay. */
static void
gate_silence(Gate *gate)
{
	door_close(gate->door);
	gate->door = NULL;
	if (gate->heard != NULL)
		event_free(gate->heard);
	if (gate->late != NULL)
		event_free(gate->late);
	gate->heard = gate->late = NULL;
}

void
gate_leave(Gate *gate)
{
	if (gate == NULL)
		return;
	gate_silence(gate);
	gate_stubs_leave(&gate->stubs);
	gate_tap_close(&gate->tap);
	gate_frames_clear(&gate->frames);
	gate_plan_clear(&gate->plan);
	free(gate->keys);
	if (gate->diag_fd >= 0)
		close(gate->diag_fd);
	if (gate->namespace_fd >= 0)
		close(gate->namespace_fd);
	free(gate);
}

void
gate_free(Gate *gate)
{
	if (gate == NULL)
		return;
	/* A table that could not be removed ends with the namespace, so there is nothing to do about it. */
	if (gate->namespace_fd < 0 || nft_run(gate->namespace_fd, gate_table_script_remove, NULL) < 0)
		gate_silence(gate);
	gate_stubs_close(&gate->stubs);
	gate_leave(gate);
}

static int
gate_start_events(Gate *gate, struct event_base *loop, Error *err)
{
	gate->late = event_new(loop, -1, 0, tell_late, gate);
	gate->heard = event_new(loop, gate->tap.host_fd, EV_READ | EV_PERSIST, tap_handle, gate);
	if (gate->late == NULL || gate->heard == NULL || event_add(gate->heard, NULL) < 0)
		return error_set(err, -ENOMEM, "event loop: watch a gate");
	return 0;
}

static int
gate_set_up(Gate *gate, const GateSpec *spec, const SocketSet *sockets, Error *err)
{
	_cleanup_text_ Text script = {0};
	int result = sockdiag_open(gate->namespace_fd, &gate->diag_fd, err);

	gate_table_script_close(&gate->plan, &script);
	if (result == 0)
		result = gate_tap_open(gate->namespace_fd, gate->host_link, &gate->tap, err);
	if (result == 0)
		result = gate_start_events(gate, spec->loop, err);
	if (result == 0)
		result = nft_run(gate->namespace_fd, text_string(&script), err);
	if (result == 0 && sockets != NULL)
		result = gate_stubs_admit(sockets, err);
	if (result == 0)
		result = gate_stubs_open(gate->namespace_fd, gate->host_link, &gate->plan, !gate->plain, &gate->stubs, err);
	if (result == 0)
		result = gate_open_door(gate, err);
	return result;
}

int
gate_close(const GateSpec *spec, const SocketSet *sockets, Gate **ret_gate, Error *err)
{
	Gate *gate = memory_allocate(sizeof(*gate));
	int result;

	*gate = (Gate){
		.keeper = spec->keeper,
		.namespace_fd = fcntl(spec->namespace_fd, F_DUPFD_CLOEXEC, 0),
		.diag_fd = -1,
		.server_uid = spec->server_uid,
		.server_gid = spec->server_gid,
		.plain = spec->plain,
		.tap = GATE_TAP_CLOSED,
		.knocked = spec->knocked,
		.context = spec->context,
	};
	snprintf(gate->host_link, sizeof(gate->host_link), "%s", spec->host_link);
	plan_copy(spec->plan, &gate->plan);
	gate->keys = keys_of_plan(&gate->plan);
	result = gate->namespace_fd < 0 ? error_set_errno(err, errno, "network namespace of the machine")
									: gate_set_up(gate, spec, sockets, err);
	if (result < 0)
	{
		/* With a server the machine goes on running, so nothing may be in its way. Without one its clients are better
		 * off unheard than refused, and a server that starts in its place finds the port free. */
		gate_stubs_close(&gate->stubs);
		if (sockets != NULL)
			gate_free(gate);
		else
			gate_leave(gate);
		return result;
	}
	if (sockets != NULL)
		gate_look_at_sessions(gate, sockets);
	*ret_gate = gate;
	return 0;
}

static int
destroy_sockets(int diag_fd, const GatePlan *plan, Error *err)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && i < plan->session_count; i++)
		result = sockdiag_destroy(diag_fd, &plan->sessions[i].local, &plan->sessions[i].peer, err);
	return result < 0 ? result : 0;
}

int
gate_clear_sockets(const Gate *gate, Error *err)
{
	int result = destroy_sockets(gate->diag_fd, &gate->plan, err);

	if (result < 0)
		return result;
	/* The connections that waited at the server's own listeners have come to the stubs, which gives no event. */
	if (gate->door != NULL && !gate->knocked_already)
		door_look_soon(gate->door);
	return 0;
}

static uint16_t
port_number(const GatePort *port)
{
	return port->address.ss_family == AF_INET6
			   ? ntohs(((const struct sockaddr_in6 *) (const void *) &port->address)->sin6_port)
			   : ntohs(((const struct sockaddr_in *) (const void *) &port->address)->sin_port);
}

unsigned
gate_count_stubs(const Gate *gate, uint16_t port)
{
	unsigned count = 0;

	for (size_t i = 0; gate != NULL && gate->stubs.count > 0 && i < gate->plan.port_count; i++)
		count += port_number(&gate->plan.ports[i]) == port;
	return count;
}

/* Sends the kept frames to the machine, and the ones that the tap has not told yet. */
static void
gate_replay(Gate *gate)
{
	DoorKnock ignored = {0};

	(void) gate_hear_all(gate, &ignored);
	for (size_t i = 0; i < gate->frames.count; i++)
		gate_tap_replay(&gate->tap, gate->frames.frames[i].bytes, gate->frames.frames[i].size);
	gate_frames_clear(&gate->frames);
}

/* Sessions first: a cancel request comes by a connection of its own and must not overtake the statement that it is for.
 */
int
gate_open(Gate *gate, Error *err)
{
	PendingConnections pending = {0};
	int result;

	gate_silence(gate);
	result = nft_run(gate->namespace_fd, gate_table_script_remove, err);
	if (result == 0)
		gate_replay(gate);
	gate_stubs_close(&gate->stubs);
	/* Counted where they are now: one that came to a stub until just before would be missing in an earlier count. */
	if (sockdiag_count_pending(gate->diag_fd, SOCKDIAG_ANY_PORT, &pending, NULL) < 0 ||
		pending.speaking + pending.silent + pending.finished > 0)
		gate_stubs_rouse(gate->namespace_fd, &gate->plan);
	gate_leave(gate);
	return result;
}

int
gate_drop_sessions(Gate *gate, Error *err)
{
	int result = gate_stubs_give(&gate->stubs, gate->server_uid, gate->server_gid, err);

	if (result == 0)
		result = nft_run(gate->namespace_fd, gate_table_script_drop_sessions, err);
	if (result < 0)
		return result;
	if (gate->heard == NULL) /* they are dropped already */
		return 0;
	/* Their clients hear at once that the session is over, not when they send again: some never do. */
	gate_replay(gate);
	result = gate_reset_sessions(gate->namespace_fd, &gate->plan, err);
	event_free(gate->heard);
	gate->heard = NULL;
	gate_tap_close(&gate->tap);
	gate->plan.session_count = 0;
	return result;
}

int
gate_end_sessions(Gate *gate, Error *err)
{
	int result = nft_run(gate->namespace_fd, gate_table_script_drop_sessions, err);

	if (result == 0)
		result = destroy_sockets(gate->diag_fd, &gate->plan, err);
	/* After the sockets: one that is still there would acknowledge the frames, and then end without a word. */
	if (result == 0 && gate->heard != NULL)
		gate_replay(gate);
	return result == 0 ? gate_reset_sessions(gate->namespace_fd, &gate->plan, err) : result;
}

int
gate_end_sessions_left(int namespace_fd, const GatePlan *plan, Error *err)
{
	_cleanup_fd_ int diag_fd = -1;
	int result = sockdiag_open(namespace_fd, &diag_fd, err);

	if (result == 0)
		result = nft_run(namespace_fd, gate_table_script_drop_sessions, err);
	if (result == 0)
		result = destroy_sockets(diag_fd, plan, err);
	return result == 0 ? gate_reset_sessions(namespace_fd, plan, err) : result;
}
