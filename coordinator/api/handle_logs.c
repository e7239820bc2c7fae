/*
 * A machine's log as a stream. It is read in pieces, the next one when the last has left for the client, so a slow
 * reader costs one piece of memory. Following waits for inotify; it ends when the file is removed (the machine is
 * deleted) or the client goes. A log that the machine has emptied is read again from its beginning.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/text.h"
#include "engine/log_reader.h"

#define TAIL_MOST_LINES 100000

typedef struct LogStream
{
	ApiCall *call;
	LogReader *reader;
	bool follow;
	bool sending; /* a piece is on its way */
	int watch_fd;
	struct event *changed;
} LogStream;

static void log_pump(LogStream *stream);

static void
log_stream_free(LogStream *stream)
{
	if (stream->changed != NULL)
		event_free(stream->changed);
	if (stream->watch_fd >= 0)
		close(stream->watch_fd);
	log_reader_free(stream->reader);
	free(stream);
}

static void
log_handle_gone(void *context)
{
	log_stream_free(context);
}

static void
log_end(LogStream *stream)
{
	api_call_stream_end(stream->call);
	log_stream_free(stream);
}

static void
log_handle_sent(void *context)
{
	LogStream *stream = context;

	stream->sending = false;
	log_pump(stream);
}

/* Sends the next piece if there is one; otherwise waits for more, or ends. */
static void
log_pump(LogStream *stream)
{
	bool alive = log_reader_is_alive(stream->reader);
	_cleanup_text_ Text text = {0};
	struct evbuffer *piece;

	if (stream->sending)
		return;
	if (!log_reader_next(stream->reader, &text))
	{
		if (!stream->follow || !alive)
			log_end(stream);
		return;
	}
	piece = evbuffer_new();
	if (piece == NULL || evbuffer_add(piece, text_string(&text), text.length) < 0)
		log_end(stream);
	else
	{
		stream->sending = true;
		api_call_stream_send(stream->call, piece, log_handle_sent, stream);
	}
	if (piece != NULL)
		evbuffer_free(piece);
}

static void
log_handle_changed(evutil_socket_t fd, short what, void *context)
{
	char events[4096];

	(void) what;
	while (read(fd, events, sizeof(events)) > 0)
		;
	log_pump(context);
}

static int
log_watch(LogStream *stream, const char *path, Error *err)
{
	stream->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (stream->watch_fd < 0 || inotify_add_watch(stream->watch_fd, path, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF) < 0)
		return error_set_errno(err, errno, "log %s: watch", path);
	stream->changed =
		event_new(api_call_loop(stream->call), stream->watch_fd, EV_READ | EV_PERSIST, log_handle_changed, stream);
	if (stream->changed == NULL || event_add(stream->changed, NULL) < 0)
		return error_set(err, -ENOMEM, "log %s: watch: no memory", path);
	return 0;
}

/* Opens the log and finds out where to begin. */
static int
log_open(LogStream *stream, Error *err)
{
	LogReaderSpec spec = {.tail_lines = LOG_READER_ALL_LINES};
	char name[NAME_MAX_BYTES + 1];
	char path[512];
	int result = api_call_resolve_machine(stream->call, name, err);

	if (result == 0)
		result = api_call_query_flag(stream->call, "follow", &stream->follow, err);
	if (result == 0)
		result = api_call_query_flag(stream->call, "timestamps", &spec.times, err);
	if (result == 0)
		result = api_call_query_number(stream->call, "since-ms", 0, INT64_MAX, &spec.since_ms, err);
	if (result == 0 && api_call_query(stream->call, "tail") != NULL)
		result = api_call_query_number(stream->call, "tail", 0, TAIL_MOST_LINES, &spec.tail_lines, err);
	if (result == 0)
		result =
			engine_log_path(api_call_engine(stream->call), api_call_parameter(stream->call, "ns"), name, path, err);
	if (result < 0)
		return result;
	spec.path = path;
	/* First the watch: what is written between the two is read, and told again. */
	if (stream->follow)
		result = log_watch(stream, path, err);
	return result < 0 ? result : log_reader_open(&spec, &stream->reader, err);
}

void
handle_logs(ApiCall *call)
{
	LogStream *stream = memory_allocate(sizeof(*stream));
	Error error = {0};
	int result;

	*stream = (LogStream){.call = call, .watch_fd = -1};
	result = log_open(stream, &error);
	if (result < 0)
	{
		log_stream_free(stream);
		api_call_reply_error(call, result, &error);
		return;
	}
	api_call_on_gone(call, log_handle_gone, stream);
	api_call_stream_start(call, "text/plain; charset=utf-8");
	log_pump(stream);
}
