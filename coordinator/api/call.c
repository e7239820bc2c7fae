/*
 * One request; see call.h.
 *
 * Who frees an evhttp request and its connection (libevent 2.1): evhttp does, once the answer is written. When the
 * connection breaks while an answer is being written, evhttp drops the connection, tells the close call-back, and
 * leaves the request to us if it had already taken it off the connection. When the client leaves while nothing is
 * read or written, only our ClientWatch notices, and we free the connection, which frees the request.
 */
#include "api/call.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "api/call_private.h"
#include "api/client_watch.h"
#include "api/status.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

struct ApiCall
{
	CallList *list; /* NULL: the server is gone */
	Engine *engine;
	struct event_base *loop;
	struct evhttp_request *request; /* NULL: the client has gone */
	RouteMatch match;
	struct evkeyvalq query;
	ClientWatch *watch;
	void (*gone)(void *context);
	void *gone_context;
	void (*sent)(void *context);
	void *sent_context;
	ApiCall *previous;
	ApiCall *next;
};

static void
call_free(ApiCall *call)
{
	if (call->list != NULL)
	{
		*(call->previous != NULL ? &call->previous->next : &call->list->first) = call->next;
		if (call->next != NULL)
			call->next->previous = call->previous;
	}
	client_watch_free(call->watch);
	evhttp_clear_headers(&call->query);
	free(call);
}

/* Takes the request off the call, so that evhttp may do with it what it wants. NULL when the client has gone. */
static struct evhttp_request *
call_release_request(ApiCall *call)
{
	struct evhttp_request *request = steal_pointer(&call->request);

	if (request != NULL)
		evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	return request;
}

/* The client has gone. With gone set the call ends here, else it waits for its answer, which nobody will read. */
static void
call_end_gone(ApiCall *call)
{
	if (call->gone == NULL)
		return;
	call->gone(call->gone_context);
	call_free(call);
}

/* evhttp closes the connection because writing failed. */
static void
call_handle_closed(struct evhttp_connection *connection, void *context)
{
	ApiCall *call = context;
	struct evhttp_request *request = steal_pointer(&call->request);

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (evhttp_request_get_connection(request) == NULL)
		evhttp_request_free(request);
	call_end_gone(call);
}

/* The watch has seen the client leave. */
static void
call_handle_left(void *context)
{
	ApiCall *call = context;
	struct evhttp_request *request = call->request;

	if (request == NULL)
		return;
	/* The handler first: it may hold on to the connection's buffers. */
	call->gone(call->gone_context);
	call_release_request(call);
	evhttp_connection_free(evhttp_request_get_connection(request));
	call_free(call);
}

Engine *
api_call_engine(const ApiCall *call)
{
	return call->engine;
}

struct event_base *
api_call_loop(const ApiCall *call)
{
	return call->loop;
}

const char *
api_call_parameter(const ApiCall *call, const char *name)
{
	for (size_t i = 0; i < call->match.parameter_count; i++)
	{
		if (strcmp(call->match.parameters[i].name, name) == 0)
			return call->match.parameters[i].value;
	}
	return "";
}

const char *
api_call_query(const ApiCall *call, const char *key)
{
	return evhttp_find_header(&call->query, key);
}

int
api_call_query_number(const ApiCall *call, const char *key, uint64_t standard, uint64_t most, uint64_t *ret_number,
					  Error *err)
{
	const char *text = api_call_query(call, key);
	unsigned long long number;
	char *end;

	if (text == NULL)
	{
		*ret_number = standard;
		return 0;
	}
	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > most)
		return error_set(err, -EINVAL, "%s: must be a number from 0 to %llu, not '%.64s'", key,
						 (unsigned long long) most, text);
	*ret_number = number;
	return 0;
}

int
api_call_query_flag(const ApiCall *call, const char *key, bool *ret_flag, Error *err)
{
	const char *text = api_call_query(call, key);

	if (text != NULL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return error_set(err, -EINVAL, "%s: must be true or false, not '%.64s'", key, text);
	*ret_flag = text != NULL && strcmp(text, "true") == 0;
	return 0;
}

const char *
api_call_body(const ApiCall *call, size_t *ret_size)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(call->request);

	*ret_size = evbuffer_get_length(input);
	return *ret_size == 0 ? "" : (const char *) evbuffer_pullup(input, -1);
}

int
api_call_read_json(const ApiCall *call, json_t **ret_body, Error *err)
{
	json_error_t problem;
	size_t size;
	const char *text = api_call_body(call, &size);
	json_t *body = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);

	if (body == NULL)
		return error_set(err, -EINVAL, "body: line %d, column %d: %s", problem.line, problem.column, problem.text);
	if (!json_is_object(body))
	{
		json_decref(body);
		return error_set(err, -EINVAL, "body: must be a JSON object");
	}
	*ret_body = body;
	return 0;
}

int
api_call_resolve_machine(const ApiCall *call, char ret_name[NAME_MAX_BYTES + 1], Error *err)
{
	bool prefix;
	int result = api_call_query_flag(call, "prefix", &prefix, err);

	if (result < 0)
		return result;
	return engine_resolve_machine(call->engine, api_call_parameter(call, "ns"), api_call_parameter(call, "name"),
								  prefix, ret_name, err);
}

const char *
api_call_header(const ApiCall *call, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(call->request), name);
}

static void
call_log(const ApiCall *call, int status)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", status);
	log_debug("api: answered", "path", call->request != NULL ? evhttp_request_get_uri(call->request) : "(client gone)",
			  "status", number);
}

static int
call_append_json(const char *text, size_t size, void *context)
{
	return evbuffer_add(context, text, size);
}

/* Writes the answer and gives the call back. */
static void
call_reply_json(ApiCall *call, int status, const json_t *body)
{
	struct evbuffer *text;
	struct evhttp_request *request;

	call_log(call, status);
	request = call_release_request(call);
	if (request != NULL)
	{
		struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

		text = evbuffer_new();
		if (text == NULL || json_dump_callback(body, call_append_json, text, JSON_COMPACT) < 0)
			status = 500;
		else
			evbuffer_add(text, "\n", 1);
		evhttp_add_header(headers, "Content-Type", "application/json");
		if (status == 405)
			evhttp_add_header(headers, "Allow", call->match.allow);
		evhttp_send_reply(request, status, api_status_phrase(status), text);
		if (text != NULL)
			evbuffer_free(text);
	}
	call_free(call);
}

void
api_call_reply(ApiCall *call, const json_t *body)
{
	call_reply_json(call, 200, body);
}

void
api_call_reply_error_with(ApiCall *call, int result, const Error *err, const json_t *more)
{
	const ApiStatus *status = api_status_find(result);
	json_t *body = json_object();
	const char *message = err != NULL && err->message[0] != '\0' ? err->message : strerror(result < 0 ? -result : EIO);
	json_t *text = json_string(message);

	if (text == NULL) /* a machine's own words need not be UTF-8 */
		text = json_string("the reason is not valid UTF-8");
	if (more != NULL)
		json_object_update(body, (json_t *) more);
	json_object_set_new(body, "error", json_pack("{s:s, s:o}", "code", status->code, "message", text));
	call_reply_json(call, status->http, body);
	json_decref(body);
}

void
api_call_reply_error(ApiCall *call, int result, const Error *err)
{
	api_call_reply_error_with(call, result, err, NULL);
}

void
api_call_finish_with(ApiCall *call, int result, json_t *body, const Error *err)
{
	if (result < 0)
		api_call_reply_error(call, result, err);
	else
		api_call_reply(call, body);
	json_decref(body);
}

void
api_call_finish(void *context, int result, json_t *body, const Error *err)
{
	api_call_finish_with(context, result, body != NULL ? json_incref(body) : json_object(), err);
}

void
api_call_on_gone(ApiCall *call, void (*gone)(void *context), void *context)
{
	struct bufferevent *connection;
	Error error;

	call->gone = gone;
	call->gone_context = context;
	connection = evhttp_connection_get_bufferevent(evhttp_request_get_connection(call->request));
	if (client_watch_new(call->loop, bufferevent_getfd(connection), call_handle_left, call, &call->watch, &error) < 0)
		log_warning("api: cannot tell when this client leaves", "reason", error.message);
}

void
api_call_stream_start(ApiCall *call, const char *content_type)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(call->request);

	call_log(call, 200);
	evhttp_add_header(evhttp_request_get_output_headers(call->request), "Content-Type", content_type);
	/* A reader may pause for as long as it likes. */
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, NULL);
	evhttp_send_reply_start(call->request, 200, api_status_phrase(200));
}

static void
call_handle_sent(struct evhttp_connection *connection, void *context)
{
	ApiCall *call = context;

	(void) connection;
	call->sent(call->sent_context);
}

void
api_call_stream_send(ApiCall *call, struct evbuffer *piece, void (*sent)(void *context), void *context)
{
	call->sent = sent;
	call->sent_context = context;
	evhttp_send_reply_chunk_with_cb(call->request, piece, call_handle_sent, call);
}

void
api_call_stream_end(ApiCall *call)
{
	struct evhttp_request *request = call_release_request(call);

	if (request != NULL)
		evhttp_send_reply_end(request);
	call_free(call);
}

struct bufferevent *
api_call_upgrade(ApiCall *call, const char *protocol)
{
	struct bufferevent *connection = evhttp_connection_get_bufferevent(evhttp_request_get_connection(call->request));

	call_log(call, 101);
	bufferevent_setcb(connection, NULL, NULL, NULL, NULL);
	bufferevent_set_timeouts(connection, NULL, NULL);
	evbuffer_add_printf(bufferevent_get_output(connection),
						"HTTP/1.1 101 %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", api_status_phrase(101),
						protocol);
	return connection;
}

void
api_call_close(ApiCall *call)
{
	struct evhttp_request *request = call_release_request(call);

	if (request != NULL)
		evhttp_connection_free(evhttp_request_get_connection(request));
	call_free(call);
}

static const char *
request_method(const struct evhttp_request *request)
{
	static const struct
	{
		enum evhttp_cmd_type type;
		const char *name;
	} methods[] = {
		{EVHTTP_REQ_GET, "GET"},	 {EVHTTP_REQ_POST, "POST"},		  {EVHTTP_REQ_HEAD, "HEAD"},
		{EVHTTP_REQ_PUT, "PUT"},	 {EVHTTP_REQ_DELETE, "DELETE"},	  {EVHTTP_REQ_OPTIONS, "OPTIONS"},
		{EVHTTP_REQ_TRACE, "TRACE"}, {EVHTTP_REQ_CONNECT, "CONNECT"}, {EVHTTP_REQ_PATCH, "PATCH"},
	};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (methods[i].type == evhttp_request_get_command(request))
			return methods[i].name;
	}
	return "(unknown)";
}

/* Who asks, for the debug log: the socket's rights have already decided whether they may. */
static void
call_log_request(struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct ucred peer;
	socklen_t size = sizeof(peer);
	char who[64] = "(unknown)";

	if (getsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SOL_SOCKET, SO_PEERCRED, &peer,
				   &size) == 0)
		snprintf(who, sizeof(who), "pid %d uid %u gid %u", peer.pid, peer.uid, peer.gid);
	log_debug("api: request", "method", request_method(request), "path", evhttp_request_get_uri(request), "peer", who);
}

/* Whether key is one of the comma-separated keys. */
static bool
query_is_allowed(const char *keys, const char *key)
{
	size_t length = strlen(key);

	while (keys != NULL)
	{
		if (strcspn(keys, ",") == length && memcmp(keys, key, length) == 0)
			return true;
		keys = strchr(keys, ',');
		if (keys != NULL)
			keys++;
	}
	return false;
}

/* Finds the route and checks what every route has in common. */
static int
call_prepare(ApiCall *call, Error *err)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(call->request);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	const char *query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;
	struct evkeyval *pair;
	int result;

	result = route_find(request_method(call->request), path != NULL ? path : "", &call->match, err);
	if (result < 0)
		return result;
	if (evbuffer_get_length(evhttp_request_get_input_buffer(call->request)) > API_MAX_BODY_BYTES)
		return error_set(err, -EFBIG, "the request's body is longer than 1 MiB");
	if (query != NULL && evhttp_parse_query_str(query, &call->query) < 0)
		return error_set(err, -EINVAL, "the query is not readable: %.200s", query);
	TAILQ_FOREACH(pair, &call->query, next)
	{
		const char *known = call->match.route->query;

		if (!query_is_allowed(known, pair->key))
			return error_set(err, -EINVAL, "'%.64s' is not known here; this path takes %s", pair->key,
							 known != NULL ? known : "nothing behind a '?'");
	}
	return 0;
}

void
call_dispatch(CallList *list, Engine *engine, struct event_base *loop, struct evhttp_request *request)
{
	ApiCall *call = memory_allocate(sizeof(*call));
	Error error = {0};
	int result;

	*call = (ApiCall){.list = list, .engine = engine, .loop = loop, .request = request, .next = list->first};
	TAILQ_INIT(&call->query);
	if (list->first != NULL)
		list->first->previous = call;
	list->first = call;
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), call_handle_closed, call);
	call_log_request(request);
	result = call_prepare(call, &error);
	if (result < 0)
		api_call_reply_error(call, result, &error);
	else
		call->match.route->handle(call);
}

void
call_list_abandon(CallList *list)
{
	ApiCall *next;

	for (ApiCall *call = list->first; call != NULL; call = next)
	{
		next = call->next;
		if (call->gone != NULL)
			call->gone(call->gone_context);
		call_release_request(call);
		client_watch_free(steal_pointer(&call->watch));
		call->list = NULL;
		if (call->gone != NULL)
			call_free(call);
	}
	list->first = NULL;
}
