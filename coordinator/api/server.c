/* The API's server: socket, limits, and the way from a request to its handler; see server.h. */
#include "api/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/call_private.h"
#include "api/connections.h"
#include "api/socket.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

#define DEFAULT_MAX_CONNECTIONS	  256
#define DEFAULT_CLIENT_TIMEOUT_MS 60000
#define MAX_HEADERS_BYTES		  32768
/* evhttp answers what is longer in its own words; up to here the answer is ours, in JSON. */
#define MAX_RECEIVED_BYTES (API_MAX_BODY_BYTES + 65536)

/* A connection that evhttp has just accepted and that is not counted yet. */
typedef struct NewConnection
{
	ApiServer *server;
	struct bufferevent *stream;
	struct event *event;
	struct NewConnection *next;
} NewConnection;

struct ApiServer
{
	struct event_base *loop;
	Engine *engine;
	struct evhttp *http;
	ConnectionTable *connections;
	NewConnection *new_connections;
	CallList calls;
	char *socket_path;
	dev_t socket_device;
	ino_t socket_inode;
};

static void
server_handle_request(struct evhttp_request *request, void *context)
{
	ApiServer *server = context;

	call_dispatch(&server->calls, server->engine, server->loop, request);
}

static void
new_connection_free(NewConnection *new_connection)
{
	NewConnection **place = &new_connection->server->new_connections;

	while (*place != new_connection)
		place = &(*place)->next;
	*place = new_connection->next;
	event_free(new_connection->event);
	bufferevent_decref(new_connection->stream);
	free(new_connection);
}

/* Counts the connection. One too many hears so and is shut down; evhttp then sees its end and frees it. */
static void
server_count_connection(evutil_socket_t unused, short what, void *context)
{
	static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
								  "Connection: close\r\n\r\n"
								  "{\"error\":{\"code\":\"overloaded\",\"message\":\"too many connections\"}}\n";
	NewConnection *new_connection = context;
	int fd = bufferevent_getfd(new_connection->stream);

	(void) unused;
	(void) what;
	if (fd >= 0 && !connection_table_add(new_connection->server->connections, fd))
	{
		if (send(fd, refusal, sizeof(refusal) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			log_debug("api: a client left before it was refused");
		shutdown(fd, SHUT_RDWR);
		log_warning("api: too many connections, one was refused");
	}
	new_connection_free(new_connection);
}

/*
 * evhttp asks for the stream of a connection that it has accepted, and gives it its descriptor afterwards: so the
 * counting comes one turn of the loop later, and holds the stream until then.
 */
static struct bufferevent *
server_handle_accepted(struct event_base *loop, void *context)
{
	ApiServer *server = context;
	/*
	 * The stream closes its descriptor itself, after it has left the loop. evhttp would close it first, and epoll(7)
	 * forgets a closed descriptor only when no process has a copy: one that was forked just then keeps it, and the next
	 * that gets its number, a machine's process say, is told what happens to the client.
	 */
	struct bufferevent *stream = bufferevent_socket_new(loop, -1, BEV_OPT_CLOSE_ON_FREE);
	NewConnection *new_connection;

	if (stream == NULL)
		return NULL;
	new_connection = memory_allocate(sizeof(*new_connection));
	*new_connection = (NewConnection){.server = server, .stream = stream, .next = server->new_connections};
	new_connection->event = event_new(loop, -1, 0, server_count_connection, new_connection);
	if (new_connection->event == NULL)
	{
		free(new_connection);
		bufferevent_free(stream);
		return NULL;
	}
	server->new_connections = new_connection;
	bufferevent_incref(stream);
	event_active(new_connection->event, 0, 0);
	return stream;
}

static void
handle_sigpipe(int signal_number)
{
	(void) signal_number;
}

static int
server_catch_sigpipe(Error *err)
{
	struct sigaction action = {.sa_handler = handle_sigpipe, .sa_flags = SA_RESTART};

	sigemptyset(&action.sa_mask);
	return sigaction(SIGPIPE, &action, NULL) < 0 ? error_set_errno(err, errno, "catch SIGPIPE") : 0;
}

static int
server_open_http(ApiServer *server, const ApiServerSpec *spec, Error *err)
{
	uint64_t timeout_ms = spec->client_timeout_ms > 0 ? spec->client_timeout_ms : DEFAULT_CLIENT_TIMEOUT_MS;
	const struct timeval timeout = {.tv_sec = (time_t) (timeout_ms / 1000),
									.tv_usec = (suseconds_t) (timeout_ms % 1000 * 1000)};

	server->http = evhttp_new(server->loop);
	if (server->http == NULL)
		return error_set(err, -ENOMEM, "API: no memory for the HTTP server");
	evhttp_set_max_headers_size(server->http, MAX_HEADERS_BYTES);
	evhttp_set_max_body_size(server->http, MAX_RECEIVED_BYTES);
	evhttp_set_timeout_tv(server->http, &timeout);
	/* All methods: what a path does not take is refused by the table of routes, in JSON. */
	evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
												 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
												 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(server->http, server_handle_request, server);
	evhttp_set_bevcb(server->http, server_handle_accepted, server);
	return 0;
}

static int
server_listen(ApiServer *server, const ApiServerSpec *spec, Error *err)
{
	_cleanup_fd_ int fd = -1;
	struct evconnlistener *listener;
	struct stat status;
	int group_missing;
	int result = api_socket_listen(spec->socket_path, spec->socket_group, &fd, &group_missing, err);

	if (result < 0)
		return result;
	if (group_missing)
		log_warning("api: there is no such group; only root may use the socket", "group", spec->socket_group);
	server->socket_path = memory_duplicate(spec->socket_path);
	if (stat(spec->socket_path, &status) < 0)
		return error_set_errno(err, errno, "API socket %s", spec->socket_path);
	server->socket_device = status.st_dev;
	server->socket_inode = status.st_ino;
	listener = evconnlistener_new(server->loop, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener == NULL)
		return error_set(err, -ENOMEM, "API socket %s: no memory for its listener", spec->socket_path);
	steal_fd(&fd);
	if (evhttp_bind_listener(server->http, listener) == NULL)
	{
		evconnlistener_free(listener);
		return error_set(err, -ENOMEM, "API socket %s: no memory for its listener", spec->socket_path);
	}
	return 0;
}

int
api_server_start(struct event_base *loop, Engine *engine, const ApiServerSpec *spec, ApiServer **ret_server, Error *err)
{
	ApiServer *server = memory_allocate(sizeof(*server));
	int result;

	server->loop = loop;
	server->engine = engine;
	server->connections =
		connection_table_new(spec->max_connections > 0 ? spec->max_connections : DEFAULT_MAX_CONNECTIONS);
	result = server_catch_sigpipe(err);
	if (result == 0)
		result = server_open_http(server, spec, err);
	if (result == 0)
		result = server_listen(server, spec, err);
	if (result < 0)
	{
		api_server_free(server);
		return result;
	}
	*ret_server = server;
	return 0;
}

/* Removes the socket, unless a successor has already put its own there. */
static void
server_remove_socket(const ApiServer *server)
{
	struct stat status;

	if (server->socket_path != NULL && stat(server->socket_path, &status) == 0 &&
		status.st_dev == server->socket_device && status.st_ino == server->socket_inode)
		unlink(server->socket_path);
}

void
api_server_free(ApiServer *server)
{
	if (server == NULL)
		return;
	server_remove_socket(server);
	call_list_abandon(&server->calls);
	while (server->new_connections != NULL) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it unlinks itself */
		new_connection_free(server->new_connections);
	if (server->http != NULL)
		evhttp_free(server->http);
	connection_table_free(server->connections);
	free(server->socket_path);
	free(server);
}
