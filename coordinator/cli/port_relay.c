/* A local port that leads to a server; see port_relay.h. */
#include "cli/port_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/text.h"

/* What may wait for a slow reader, in each direction. */
#define BACKLOG_BYTES (256 * 1024)

#define SIGNAL_COUNT 3

struct PortRelay
{
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *signals[SIGNAL_COUNT];
	struct sockaddr_storage server;
	int server_length;
	uint16_t port;
	struct RelayPair *pairs;
};

/* A client's connection and ours to the server. */
typedef struct RelayPair
{
	PortRelay *relay;
	struct RelayPair *next;
	struct RelayPair **link;
	struct bufferevent *client;
	struct bufferevent *server;
	bool ended[2]; /* the client's, the server's bytes are over */
} RelayPair;

static void
pair_free(RelayPair *pair)
{
	*pair->link = pair->next;
	if (pair->next != NULL)
		pair->next->link = pair->link;
	bufferevent_free(pair->client);
	bufferevent_free(pair->server);
	free(pair);
}

static struct bufferevent *
pair_other(const RelayPair *pair, const struct bufferevent *side)
{
	return side == pair->client ? pair->server : pair->client;
}

/* The other side learns that no more comes, once it has all that came. */
static void
pair_pass_end(RelayPair *pair, struct bufferevent *to)
{
	bool from_client = to == pair->server;

	if (!pair->ended[from_client ? 0 : 1] || evbuffer_get_length(bufferevent_get_output(to)) > 0)
		return;
	shutdown(bufferevent_getfd(to), SHUT_WR);
	if (pair->ended[0] && pair->ended[1] && evbuffer_get_length(bufferevent_get_output(pair->client)) == 0 &&
		evbuffer_get_length(bufferevent_get_output(pair->server)) == 0)
		pair_free(pair);
}

static void
on_readable(struct bufferevent *from, void *context)
{
	struct bufferevent *to = pair_other(context, from);

	bufferevent_write_buffer(to, bufferevent_get_input(from));
	if (evbuffer_get_length(bufferevent_get_output(to)) > BACKLOG_BYTES)
		bufferevent_disable(from, EV_READ);
}

/* All that waited for this side is sent. */
static void
on_written(struct bufferevent *to, void *context)
{
	RelayPair *pair = context;
	bool from_client = to == pair->server;

	if (!pair->ended[from_client ? 0 : 1])
		bufferevent_enable(pair_other(pair, to), EV_READ);
	pair_pass_end(pair, to);
}

static void
on_event(struct bufferevent *side, short what, void *context)
{
	RelayPair *pair = context;

	if ((what & BEV_EVENT_CONNECTED) != 0)
	{
		/* The client may have ended meanwhile. */
		pair_pass_end(pair, side);
		return;
	}
	if ((what & BEV_EVENT_ERROR) != 0 || (what & BEV_EVENT_EOF) == 0)
	{
		pair_free(pair);
		return;
	}
	pair->ended[side == pair->client ? 0 : 1] = true;
	pair_pass_end(pair, pair_other(pair, side));
}

static void
on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *context)
{
	PortRelay *relay = context;
	RelayPair *pair = memory_allocate(sizeof(*pair));

	(void) listener;
	(void) address;
	(void) length;
	pair->relay = relay;
	pair->client = bufferevent_socket_new(relay->base, fd, BEV_OPT_CLOSE_ON_FREE);
	pair->server = bufferevent_socket_new(relay->base, -1, BEV_OPT_CLOSE_ON_FREE);
	pair->link = &relay->pairs;
	pair->next = relay->pairs;
	if (pair->next != NULL)
		pair->next->link = &pair->next;
	relay->pairs = pair;
	bufferevent_setcb(pair->client, on_readable, on_written, on_event, pair);
	bufferevent_setcb(pair->server, on_readable, on_written, on_event, pair);
	if (bufferevent_socket_connect(pair->server, (struct sockaddr *) &relay->server, relay->server_length) < 0)
		return; /* on_event has freed it */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	setsockopt(bufferevent_getfd(pair->server), IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	bufferevent_enable(pair->client, EV_READ | EV_WRITE);
	bufferevent_enable(pair->server, EV_READ | EV_WRITE);
}

static void
on_signal(evutil_socket_t signal_number, short what, void *context)
{
	(void) signal_number;
	(void) what;
	event_base_loopbreak(((PortRelay *) context)->base);
}

static int
relay_listen(PortRelay *relay, uint16_t local_port, Error *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(local_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	relay->listener = evconnlistener_new_bind(relay->base, on_client, relay,
											  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, -1,
											  (struct sockaddr *) &address, sizeof(address));
	if (relay->listener == NULL)
		return error_set_errno(err, errno, "port %u on 127.0.0.1", (unsigned) local_port);
	getsockname(evconnlistener_get_fd(relay->listener), (struct sockaddr *) &address, &length);
	relay->port = ntohs(address.sin_port);
	return 0;
}

int
port_relay_open(uint16_t local_port, const char *host, uint16_t port, PortRelay **ret_relay, Error *err)
{
	static const int signals[SIGNAL_COUNT] = {SIGINT, SIGTERM, SIGHUP};
	_cleanup_free_ char *server = memory_printf(strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned) port);
	PortRelay *relay = memory_allocate(sizeof(*relay));
	int result = 0;

	/* A client that is gone is an error of its own connection, not the end of all. */
	signal(SIGPIPE, SIG_IGN);
	relay->base = event_base_new();
	relay->server_length = sizeof(relay->server);
	if (relay->base == NULL)
		result = error_set(err, -ENOMEM, "no event loop");
	else if (evutil_parse_sockaddr_port(server, (struct sockaddr *) &relay->server, &relay->server_length) < 0)
		result = error_set(err, -EINVAL, "'%s' is no address", host);
	else
		result = relay_listen(relay, local_port, err);
	for (size_t i = 0; result == 0 && i < SIGNAL_COUNT; i++)
	{
		relay->signals[i] = evsignal_new(relay->base, signals[i], on_signal, relay);
		event_add(relay->signals[i], NULL);
	}
	if (result < 0)
	{
		port_relay_free(relay);
		return result;
	}
	*ret_relay = relay;
	return 0;
}

uint16_t
port_relay_port(const PortRelay *relay)
{
	return relay->port;
}

void
port_relay_run(PortRelay *relay)
{
	event_base_dispatch(relay->base);
}

void
port_relay_free(PortRelay *relay)
{
	while (relay->pairs != NULL) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it unlinks itself */
		pair_free(relay->pairs);
	for (size_t i = 0; i < SIGNAL_COUNT; i++)
	{
		if (relay->signals[i] != NULL)
			event_free(relay->signals[i]);
	}
	if (relay->listener != NULL)
		evconnlistener_free(relay->listener);
	if (relay->base != NULL)
		event_base_free(relay->base);
	free(relay);
}
