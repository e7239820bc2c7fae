/*
 * The event log, as a list or as a stream: then an object a line, those that are there first and then each as it comes.
 * A client that does not take them holds back a bounded number of bytes, and is sent away when there would be more.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/log.h"
#include "base/text.h"

#define EVENTS_STANDARD		   100
#define EVENTS_STANDARD_FOLLOW 10
#define EVENTS_MOST			   10000
#define WAITING_MOST_BYTES	   (4 * 1024 * 1024)

typedef struct EventStream
{
	ApiCall *call;
	EngineFollow *follow;
	struct evbuffer *waiting; /* not yet given to the connection */
	bool sending;			  /* a piece is on its way */
} EventStream;

static void
event_stream_free(EventStream *stream)
{
	engine_follow_cancel(stream->follow);
	evbuffer_free(stream->waiting);
	free(stream);
}

static void
event_stream_handle_gone(void *context)
{
	event_stream_free(context);
}

static void event_stream_handle_sent(void *context);

static void
event_stream_pump(EventStream *stream)
{
	struct evbuffer *piece;

	if (stream->sending || evbuffer_get_length(stream->waiting) == 0)
		return;
	piece = stream->waiting;
	stream->waiting = evbuffer_new();
	if (stream->waiting == NULL)
		abort();
	stream->sending = true;
	api_call_stream_send(stream->call, piece, event_stream_handle_sent, stream);
	evbuffer_free(piece);
}

static void
event_stream_handle_sent(void *context)
{
	EventStream *stream = context;

	stream->sending = false;
	event_stream_pump(stream);
}

static int
append_json(const char *text, size_t size, void *context)
{
	return evbuffer_add(context, text, size);
}

static void
event_stream_add(EventStream *stream, const json_t *event)
{
	if (json_dump_callback(event, append_json, stream->waiting, JSON_COMPACT) < 0 ||
		evbuffer_add(stream->waiting, "\n", 1) < 0)
		abort();
}

static void
event_stream_handle_event(void *context, json_t *event)
{
	EventStream *stream = context;
	ApiCall *call = stream->call;

	event_stream_add(stream, event);
	if (evbuffer_get_length(stream->waiting) <= WAITING_MOST_BYTES)
	{
		event_stream_pump(stream);
		return;
	}
	log_warning("api: a client that follows the events does not read them, and is sent away");
	event_stream_free(stream);
	api_call_close(call);
}

static void
events_follow(ApiCall *call, unsigned last)
{
	EventStream *stream = memory_allocate(sizeof(*stream));
	const char *name_space = api_call_query(call, "namespace");
	const char *name = api_call_query(call, "name");
	json_t *events = engine_list_events(api_call_engine(call), name_space, name, last);
	const json_t *event;
	size_t index;

	*stream = (EventStream){.call = call, .waiting = evbuffer_new()};
	if (stream->waiting == NULL)
		abort();
	stream->follow = engine_follow_events(api_call_engine(call), name_space, name, event_stream_handle_event, stream);
	json_array_foreach(events, index, event)
	{
		event_stream_add(stream, event);
	}
	json_decref(events);
	api_call_on_gone(call, event_stream_handle_gone, stream);
	api_call_stream_start(call, "application/x-ndjson");
	event_stream_pump(stream);
}

void
handle_list_events(ApiCall *call)
{
	bool follow = false;
	uint64_t last = 0;
	Error error = {0};
	int result = api_call_query_flag(call, "follow", &follow, &error);
	json_t *events;

	if (result == 0)
		result = api_call_query_number(call, "last", follow ? EVENTS_STANDARD_FOLLOW : EVENTS_STANDARD, EVENTS_MOST,
									   &last, &error);
	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		return;
	}
	if (follow)
	{
		events_follow(call, (unsigned) last);
		return;
	}
	events = engine_list_events(api_call_engine(call), api_call_query(call, "namespace"), api_call_query(call, "name"),
								(unsigned) last);
	api_call_finish_with(call, 0, events, NULL);
}
