/*
 * What a gate needs to know of the machine behind it, and its file; see gate.h. The file is read back after a crash or
 * a reboot and may have been changed by anybody who could write there, so every value is checked.
 */
#include "host/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define PLAN_VERSION	   1
#define PLAN_MAX_BYTES	   (16u << 20)
#define PLAN_MAX_SESSIONS  65536u
#define PLAN_MAX_PORTS	   256u
#define PLAN_MAX_BACKLOG   65535
#define ENDPOINT_MAX_BYTES 64

static void
cleanup_json(json_t **value)
{
	json_decref(*value);
}

#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))

void
gate_plan_clear(GatePlan *plan)
{
	free(plan->sessions);
	free(plan->ports);
	*plan = (GatePlan){0};
}

/* ---- from the machine's sockets ---- */

static bool
queue_read_sequence(int fd, int queue, uint32_t *ret_next)
{
	unsigned next = 0;
	socklen_t size = sizeof(next);

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
		getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &next, &size) < 0)
		return false;
	*ret_next = next;
	return true;
}

/*
 * The next sequence numbers of the machine's side of a connection; only repair mode tells them. Leaving repair mode
 * clears SO_REUSEADDR, without which a server that starts anew could not bind its port beside the session.
 */
static void
session_read_sequences(int fd, GateSession *session)
{
	int on = TCP_REPAIR_ON;
	int off = TCP_REPAIR_OFF_NO_WP;
	int reuse = 0;
	socklen_t reuse_size = sizeof(reuse);

	if (getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &reuse_size) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return;
	session->send_known = queue_read_sequence(fd, TCP_SEND_QUEUE, &session->send_next);
	session->sequence_known = queue_read_sequence(fd, TCP_RECV_QUEUE, &session->receive_next);
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
}

static int
socket_backlog(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	/* Of a listener, tcpi_sacked is the accept queue's limit. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || info.tcpi_sacked == 0)
		return SOMAXCONN;
	return info.tcpi_sacked > PLAN_MAX_BACKLOG ? PLAN_MAX_BACKLOG : (int) info.tcpi_sacked;
}

static bool
same_address(const struct sockaddr_storage *left, const struct sockaddr_storage *right)
{
	return left->ss_family == right->ss_family && socket_same_peer(left, right);
}

/* A server may have several listeners on one address; one stub is enough for them. */
static void
plan_add_port(GatePlan *plan, size_t *capacity, const GatePort *port)
{
	for (size_t i = 0; i < plan->port_count; i++)
	{
		if (same_address(&plan->ports[i].address, &port->address))
			return;
	}
	plan->ports = memory_grow(plan->ports, capacity, plan->port_count + 1, sizeof(*plan->ports));
	plan->ports[plan->port_count++] = *port;
}

int
gate_plan_from_sockets(const SocketSet *sockets, GatePlan *ret_plan, Error *err)
{
	_cleanup_(gate_plan_clear) GatePlan plan = {0};
	size_t session_capacity = 0;
	size_t port_capacity = 0;

	for (size_t i = 0; i < sockets->count; i++)
	{
		const MachineSocket *socket = &sockets->sockets[i];
		struct sockaddr_storage local = {0};
		socklen_t size = sizeof(local);

		if (socket->kind == SOCKET_UNIX_CONNECTION)
			continue;
		if (getsockname(socket->fd, (struct sockaddr *) &local, &size) < 0)
			return error_set_errno(err, errno, "address of socket %d of process %d", socket->fd, (int) socket->pid);
		if (socket->kind == SOCKET_LISTENER)
		{
			GatePort port = {.address = local, .backlog = socket_backlog(socket->fd)};
			int v6_only = 0;

			size = sizeof(v6_only);
			if (local.ss_family == AF_INET6 && getsockopt(socket->fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) == 0)
				port.v6_only = v6_only != 0;
			plan_add_port(&plan, &port_capacity, &port);
		}
		else
		{
			GateSession session = {.local = local, .peer = socket->peer};

			session_read_sequences(socket->fd, &session);
			plan.sessions = memory_grow(plan.sessions, &session_capacity, plan.session_count + 1, sizeof(session));
			plan.sessions[plan.session_count++] = session;
		}
	}
	if (plan.session_count > PLAN_MAX_SESSIONS || plan.port_count > PLAN_MAX_PORTS)
		return error_set(err, -E2BIG, "%zu sessions and %zu ports are more than a gate keeps (%u, %u)",
						 plan.session_count, plan.port_count, PLAN_MAX_SESSIONS, PLAN_MAX_PORTS);
	*ret_plan = plan;
	plan = (GatePlan){0};
	return 0;
}

/* ---- the file ---- */

/* "10.88.0.2:5432", "[::]:5432"; other than socket_format_peer it keeps an address' family. */
static json_t *
endpoint_to_json(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;
	char text[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET)
	{
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		return json_sprintf("%s:%u", text, ntohs(v4->sin_port));
	}
	inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
	return json_sprintf("[%s]:%u", text, ntohs(v6->sin6_port));
}

static bool
port_parse(const char *text, in_port_t *ret_port)
{
	unsigned long value;
	char *end;

	if (*text < '1' || *text > '9')
		return false;
	value = strtoul(text, &end, 10);
	if (*end != '\0' || value > UINT16_MAX)
		return false;
	*ret_port = htons((uint16_t) value);
	return true;
}

static bool
endpoint_parse(const char *text, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret_address;
	char copy[ENDPOINT_MAX_BYTES];
	char *colon;
	size_t length = strlen(text);

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length + 1);
	colon = strrchr(copy, ':');
	if (colon == NULL)
		return false;
	*ret_address = (struct sockaddr_storage){0};
	if (copy[0] != '[')
	{
		*colon = '\0';
		v4->sin_family = AF_INET;
		return inet_pton(AF_INET, copy, &v4->sin_addr) == 1 && port_parse(colon + 1, &v4->sin_port);
	}
	if (colon == copy || colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	v6->sin6_family = AF_INET6;
	return inet_pton(AF_INET6, copy + 1, &v6->sin6_addr) == 1 && port_parse(colon + 1, &v6->sin6_port);
}

static json_t *
plan_to_json(const GatePlan *plan)
{
	json_t *sessions = json_array();
	json_t *ports = json_array();

	for (size_t i = 0; i < plan->session_count; i++)
	{
		const GateSession *session = &plan->sessions[i];
		json_t *entry = json_pack("{s:o, s:o}", "local", endpoint_to_json(&session->local), "peer",
								  endpoint_to_json(&session->peer));

		if (session->sequence_known)
			json_object_set_new(entry, "next", json_integer(session->receive_next));
		if (session->send_known)
			json_object_set_new(entry, "sent", json_integer(session->send_next));
		json_array_append_new(sessions, entry);
	}
	for (size_t i = 0; i < plan->port_count; i++)
	{
		const GatePort *port = &plan->ports[i];

		json_array_append_new(ports, json_pack("{s:o, s:b, s:i}", "address", endpoint_to_json(&port->address),
											   "v6-only", port->v6_only, "backlog", port->backlog));
	}
	return json_pack("{s:i, s:o, s:o}", "version", PLAN_VERSION, "sessions", sessions, "ports", ports);
}

int
gate_plan_save(const GatePlan *plan, const char *path, Error *err)
{
	_cleanup_json_ json_t *document = plan_to_json(plan);
	_cleanup_free_ char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);

	if (text == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	return file_replace_unsynced(path, text, strlen(text), 0600, err);
}

/* A number that is not there is not known. */
static int
sequence_from_json(json_t *value, const char *name, uint32_t *ret_next, bool *ret_known, Error *err)
{
	if (value == NULL)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
		return error_set(err, -EBADMSG, "%s is no sequence number", name);
	*ret_next = (uint32_t) json_integer_value(value);
	*ret_known = true;
	return 0;
}

static int
session_from_json(json_t *entry, GateSession *ret_session, Error *err)
{
	const char *local;
	const char *peer;
	json_t *next = NULL;
	json_t *sent = NULL;
	GateSession session = {0};
	int result;

	if (json_unpack(entry, "{s:s, s:s, s?o, s?o !}", "local", &local, "peer", &peer, "next", &next, "sent", &sent) < 0)
		return error_set(err, -EBADMSG, "is not {local, peer, next, sent}");
	if (!endpoint_parse(local, &session.local) || !endpoint_parse(peer, &session.peer) ||
		session.local.ss_family != session.peer.ss_family)
		return error_set(err, -EBADMSG, "'%.64s' to '%.64s' is no connection", peer, local);
	result = sequence_from_json(next, "next", &session.receive_next, &session.sequence_known, err);
	if (result == 0)
		result = sequence_from_json(sent, "sent", &session.send_next, &session.send_known, err);
	if (result < 0)
		return result;
	*ret_session = session;
	return 0;
}

static int
port_from_json(json_t *entry, GatePort *ret_port, Error *err)
{
	const char *address;
	int v6_only;
	GatePort port = {0};

	if (json_unpack(entry, "{s:s, s:b, s:i !}", "address", &address, "v6-only", &v6_only, "backlog", &port.backlog) < 0)
		return error_set(err, -EBADMSG, "is not {address, v6-only, backlog}");
	if (!endpoint_parse(address, &port.address))
		return error_set(err, -EBADMSG, "'%.64s' is no address with a port", address);
	if (port.backlog < 1 || port.backlog > PLAN_MAX_BACKLOG)
		return error_set(err, -EBADMSG, "backlog %d is not between 1 and %d", port.backlog, PLAN_MAX_BACKLOG);
	port.v6_only = v6_only != 0;
	*ret_port = port;
	return 0;
}

static int
plan_from_json(json_t *document, GatePlan *ret_plan, Error *err)
{
	_cleanup_(gate_plan_clear) GatePlan plan = {0};
	json_t *sessions;
	json_t *ports;
	int version;
	int result;

	if (json_unpack(document, "{s:i, s:o, s:o !}", "version", &version, "sessions", &sessions, "ports", &ports) < 0 ||
		!json_is_array(sessions) || !json_is_array(ports))
		return error_set(err, -EBADMSG, "is not {version, sessions, ports}");
	if (version != PLAN_VERSION)
		return error_set(err, -EBADMSG, "version %d is not known", version);
	if (json_array_size(sessions) > PLAN_MAX_SESSIONS || json_array_size(ports) > PLAN_MAX_PORTS)
		return error_set(err, -EBADMSG, "has too many sessions or ports");
	plan.sessions = memory_allocate((json_array_size(sessions) + 1) * sizeof(GateSession));
	plan.ports = memory_allocate((json_array_size(ports) + 1) * sizeof(GatePort));
	for (size_t i = 0; i < json_array_size(sessions); i++, plan.session_count++)
	{
		result = session_from_json(json_array_get(sessions, i), &plan.sessions[i], err);
		if (result < 0)
		{
			error_prefix(err, "session %zu", i);
			return result;
		}
	}
	for (size_t i = 0; i < json_array_size(ports); i++, plan.port_count++)
	{
		result = port_from_json(json_array_get(ports, i), &plan.ports[i], err);
		if (result < 0)
		{
			error_prefix(err, "port %zu", i);
			return result;
		}
		for (size_t j = 0; j < i; j++)
		{
			if (same_address(&plan.ports[j].address, &plan.ports[i].address))
				return error_set(err, -EBADMSG, "ports %zu and %zu are the same", j, i);
		}
	}
	*ret_plan = plan;
	plan = (GatePlan){0};
	return 0;
}

int
gate_plan_load(const char *path, GatePlan *ret_plan, Error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *document = NULL;
	json_error_t failure;
	size_t size;
	int result = file_read(path, PLAN_MAX_BYTES, &text, &size, err);

	if (result < 0)
		return result;
	document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure);
	if (document == NULL)
		return error_set(err, -EBADMSG, "%s: line %d: %s", path, failure.line, failure.text);
	result = plan_from_json(document, ret_plan, err);
	if (result < 0)
		error_prefix(err, "%s", path);
	return result;
}
