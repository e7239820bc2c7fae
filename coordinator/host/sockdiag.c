/*
 * Questions to the kernel about TCP sockets that no process holds, by sock_diag(7) over netlink; see sockets.h.
 * The answers are filtered here: in a machine's namespace a dump has little more than what is asked for.
 * libnl's idiag helpers build a list of objects for each dump, which costs more than the dump.
 */
#include "host/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/netns.h"

#define SOCKDIAG_BUFFER_BYTES 32768

static int
open_here(void *context, Error *err)
{
	int *ret_fd = context;
	/* A dump is answered within the request; the limit only guards against a kernel that answers nothing. */
	struct timeval limit = {.tv_sec = 2};
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return error_set_errno(err, errno, "open a sock_diag socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return error_set_errno(err, errno, "limit a sock_diag socket");
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
sockdiag_open(int namespace_fd, int *ret_fd, Error *err)
{
	return netns_run(namespace_fd, open_here, ret_fd, err);
}

/* One counter for every socket: answers to a request that was given up are told apart by it. */
static uint32_t
diag_next_sequence(void)
{
	static uint32_t last_sequence;

	return ++last_sequence;
}

/* info: TCP_INFO, as much of it as the kernel sent; NULL for a listener. */
typedef void (*DiagVisit)(void *context, const struct inet_diag_msg *message, const struct tcp_info *info);

static int
diag_request(int diag_fd, int family, uint32_t states, bool with_info, uint32_t sequence, Error *err)
{
	struct
	{
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} packet = {
		.header =
			{
				.nlmsg_len = sizeof(packet),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
				.nlmsg_seq = sequence,
			},
		.request =
			{
				.sdiag_family = (uint8_t) family,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_ext = with_info ? 1u << (INET_DIAG_INFO - 1) : 0,
				.idiag_states = states,
			},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (sendto(diag_fd, &packet, sizeof(packet), 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
		return error_set_errno(err, errno, "sock_diag: request");
	return 0;
}

/* Copies TCP_INFO out of a message's attributes: it is aligned to four bytes there, and older kernels send less. */
static bool
diag_find_info(const struct nlmsghdr *header, struct tcp_info *ret_info)
{
	const struct inet_diag_msg *message = NLMSG_DATA(header);
	const struct rtattr *attribute = (const struct rtattr *) (message + 1);
	size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*message));

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
	{
		size_t bytes = RTA_PAYLOAD(attribute);

		if (attribute->rta_type != INET_DIAG_INFO)
			continue;
		*ret_info = (struct tcp_info){0};
		memcpy(ret_info, RTA_DATA(attribute), bytes < sizeof(*ret_info) ? bytes : sizeof(*ret_info));
		return true;
	}
	return false;
}

/* Handles one datagram. Returns 1 when the dump goes on, 0 when it is over. */
static int
diag_handle(const void *buffer, size_t size, uint32_t sequence, DiagVisit visit, void *context, Error *err)
{
	const struct nlmsghdr *header = buffer;

	for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size))
	{
		if (header->nlmsg_seq != sequence)
			continue; /* left over from a request that was given up */
		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
		{
			const struct nlmsgerr *failure = NLMSG_DATA(header);

			return error_set_errno(err, failure->error < 0 ? -failure->error : EIO, "sock_diag: dump");
		}
		if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		{
			struct tcp_info info;
			bool has_info = diag_find_info(header, &info);

			visit(context, NLMSG_DATA(header), has_info ? &info : NULL);
		}
	}
	return 1;
}

static int
diag_dump_family(int diag_fd, int family, uint32_t states, bool with_info, DiagVisit visit, void *context, Error *err)
{
	static _Alignas(struct nlmsghdr) char buffer[SOCKDIAG_BUFFER_BYTES];
	uint32_t sequence = diag_next_sequence();
	int result = diag_request(diag_fd, family, states, with_info, sequence, err);

	while (result >= 0)
	{
		ssize_t got = recv(diag_fd, buffer, sizeof(buffer), MSG_TRUNC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "sock_diag: receive");
		if ((size_t) got > sizeof(buffer))
			return error_set(err, -EMSGSIZE, "sock_diag: an answer of %zd bytes", got);
		result = diag_handle(buffer, (size_t) got, sequence, visit, context, err);
		if (result == 0)
			return 0;
	}
	return result;
}

/* Visits every TCP socket of both families that is in one of the states. */
static int
diag_dump(int diag_fd, uint32_t states, bool with_info, DiagVisit visit, void *context, Error *err)
{
	int result = diag_dump_family(diag_fd, AF_INET, states, with_info, visit, context, err);

	if (result == 0)
		result = diag_dump_family(diag_fd, AF_INET6, states, with_info, visit, context, err);
	return result == -ENOENT ? 0 : result; /* a kernel without IPv6 */
}

typedef struct PendingSearch
{
	uint16_t port;
	PendingConnections pending;
} PendingSearch;

static void
pending_copy_peer(const struct inet_diag_msg *message, struct sockaddr_storage *peer)
{
	if (message->idiag_family == AF_INET)
	{
		struct sockaddr_in *v4 = (struct sockaddr_in *) peer;

		v4->sin_family = AF_INET;
		v4->sin_port = message->id.idiag_dport;
		memcpy(&v4->sin_addr, message->id.idiag_dst, sizeof(v4->sin_addr));
	}
	else
	{
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) peer;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = message->id.idiag_dport;
		memcpy(&v6->sin6_addr, message->id.idiag_dst, sizeof(v6->sin6_addr));
	}
}

static void
pending_visit(void *context, const struct inet_diag_msg *message, const struct tcp_info *info)
{
	PendingSearch *search = context;
	bool closed = message->idiag_state == TCP_CLOSE_WAIT;

	(void) info;
	if (message->idiag_inode != 0)
		return;
	if (search->port != SOCKDIAG_ANY_PORT && ntohs(message->id.idiag_sport) != search->port)
		return;
	/* The client's FIN counts as one byte of the queue. */
	if (message->idiag_rqueue > (closed ? 1u : 0u))
	{
		search->pending.speaking++;
		pending_copy_peer(message, &search->pending.speaker);
	}
	else if (closed)
		search->pending.finished++;
	else
	{
		search->pending.silent++;
		pending_copy_peer(message, &search->pending.listening);
	}
}

int
sockdiag_count_pending(int diag_fd, uint16_t port, PendingConnections *ret_pending, Error *err)
{
	PendingSearch search = {.port = port};
	int result = diag_dump(diag_fd, 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT, false, pending_visit, &search, err);

	if (result < 0)
		return result;
	*ret_pending = search.pending;
	return 0;
}

typedef struct PortSearch
{
	uint16_t port;
	unsigned listening;
	unsigned established;
	uint64_t silent_ms;
} PortSearch;

static void
port_visit(void *context, const struct inet_diag_msg *message, const struct tcp_info *info)
{
	PortSearch *search = context;

	if (ntohs(message->id.idiag_sport) != search->port)
		return;
	if (message->idiag_state == TCP_LISTEN)
	{
		search->listening++;
		return;
	}
	if (info != NULL)
	{
		uint32_t silent_ms = info->tcpi_last_data_recv < info->tcpi_last_data_sent ? info->tcpi_last_data_recv
																				   : info->tcpi_last_data_sent;

		if (search->established == 0 || silent_ms < search->silent_ms)
			search->silent_ms = silent_ms;
	}
	search->established++;
}

int
sockdiag_count_port(int diag_fd, uint16_t port, unsigned *ret_listening, unsigned *ret_established,
					uint64_t *ret_silent_ms, Error *err)
{
	PortSearch search = {.port = port};
	int result =
		diag_dump(diag_fd, 1u << TCP_ESTABLISHED | 1u << TCP_LISTEN, ret_silent_ms != NULL, port_visit, &search, err);

	if (result < 0)
		return result;
	if (ret_listening != NULL)
		*ret_listening = search.listening;
	if (ret_established != NULL)
		*ret_established = search.established;
	if (ret_silent_ms != NULL)
		*ret_silent_ms = search.silent_ms;
	return 0;
}

typedef struct ListenerSearch
{
	uint16_t *ports;
	size_t max;
	size_t count;
} ListenerSearch;

static void
listener_visit(void *context, const struct inet_diag_msg *message, const struct tcp_info *info)
{
	ListenerSearch *search = context;

	(void) info;
	if (search->count < search->max)
		search->ports[search->count++] = ntohs(message->id.idiag_sport);
}

int
sockdiag_list_listeners(int diag_fd, uint16_t ret_ports[], size_t max, size_t *ret_count, Error *err)
{
	ListenerSearch search = {.ports = ret_ports, .max = max};
	int result = diag_dump(diag_fd, 1u << TCP_LISTEN, false, listener_visit, &search, err);

	if (result == 0)
		*ret_count = search.count;
	return result;
}

static void
diag_id_endpoint(const struct sockaddr_storage *address, __be32 words[4], __be16 *port)
{
	if (address->ss_family == AF_INET)
	{
		const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;

		memcpy(words, &v4->sin_addr, sizeof(v4->sin_addr));
		*port = v4->sin_port;
	}
	else
	{
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;

		memcpy(words, &v6->sin6_addr, sizeof(v6->sin6_addr));
		*port = v6->sin6_port;
	}
}

/* Looks for one connection; `cookie` is what the kernel tells sockets of one address apart by. */
typedef struct CookieSearch
{
	struct inet_diag_sockid id;
	bool found;
} CookieSearch;

static void
cookie_visit(void *context, const struct inet_diag_msg *message, const struct tcp_info *info)
{
	CookieSearch *search = context;

	(void) info;
	if (message->id.idiag_sport != search->id.idiag_sport || message->id.idiag_dport != search->id.idiag_dport ||
		memcmp(message->id.idiag_src, search->id.idiag_src, sizeof(search->id.idiag_src)) != 0 ||
		memcmp(message->id.idiag_dst, search->id.idiag_dst, sizeof(search->id.idiag_dst)) != 0)
		return;
	memcpy(search->id.idiag_cookie, message->id.idiag_cookie, sizeof(search->id.idiag_cookie));
	search->found = true;
}

/*
 * The kernel looks a connection that is no more up among the listeners, as it does for packets, and would destroy the
 * one that has its port: only the cookie of the connection itself keeps it from that.
 */
int
sockdiag_destroy(int diag_fd, const struct sockaddr_storage *local, const struct sockaddr_storage *peer, Error *err)
{
	static _Alignas(struct nlmsghdr) char buffer[4096];
	struct
	{
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} packet = {
		.header =
			{
				.nlmsg_len = sizeof(packet),
				.nlmsg_type = SOCK_DESTROY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
			},
		.request =
			{
				.sdiag_family = (uint8_t) local->ss_family,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_states = UINT32_MAX,
			},
	};
	CookieSearch search = {0};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int result;

	diag_id_endpoint(local, search.id.idiag_src, &search.id.idiag_sport);
	diag_id_endpoint(peer, search.id.idiag_dst, &search.id.idiag_dport);
	result = diag_dump_family(diag_fd, local->ss_family, ~(1u << TCP_LISTEN), false, cookie_visit, &search, err);
	if (result < 0 || !search.found)
		return result;
	packet.request.id = search.id;
	packet.header.nlmsg_seq = diag_next_sequence();
	if (sendto(diag_fd, &packet, sizeof(packet), 0, (struct sockaddr *) &kernel, sizeof(kernel)) < 0)
		return error_set_errno(err, errno, "sock_diag: destroy");
	for (;;)
	{
		ssize_t got = recv(diag_fd, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *header = (const struct nlmsghdr *) buffer;
		const struct nlmsgerr *answer;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "sock_diag: receive");
		if (!NLMSG_OK(header, (size_t) got) || header->nlmsg_seq != packet.header.nlmsg_seq ||
			header->nlmsg_type != NLMSG_ERROR)
			continue; /* left over from a request that was given up */
		answer = NLMSG_DATA(header);
		if (answer->error == 0 || answer->error == -ENOENT)
			return answer->error == 0 ? 1 : 0;
		return error_set_errno(err, -answer->error, "sock_diag: destroy");
	}
}
