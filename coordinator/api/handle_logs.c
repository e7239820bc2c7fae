/*
 * A machine's log as a stream. The file is read in pieces, the next one when the last has left for the client, so a
 * slow reader costs one piece of memory. Following waits for inotify; it ends when the file is removed (the machine is
 * deleted) or the client goes. A log that was cut short is read again from its beginning.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/text.h"

#define PIECE_BYTES		65536
#define TAIL_MOST_LINES 100000
#define TAIL_MOST_BYTES (16 * 1024 * 1024) /* a look back ends here, so that it never holds the loop for long */
#define TAIL_WHOLE		UINT64_MAX

typedef struct LogStream
{
	ApiCall *call;
	int fd;
	off_t offset; /* what was sent so far */
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
	if (stream->fd >= 0)
		close(stream->fd);
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

/* True while there may come more: the file still has a name. */
static bool
log_is_alive(LogStream *stream)
{
	struct stat status;

	if (fstat(stream->fd, &status) < 0)
		return false;
	if (status.st_size < stream->offset)
		stream->offset = 0;
	return status.st_nlink > 0;
}

/* Sends the next piece if there is one; otherwise waits for more, or ends. */
static void
log_pump(LogStream *stream)
{
	bool alive = log_is_alive(stream);
	struct evbuffer *piece;
	char bytes[PIECE_BYTES];
	ssize_t got;

	if (stream->sending)
		return;
	got = pread(stream->fd, bytes, sizeof(bytes), stream->offset);
	if (got <= 0)
	{
		if (got < 0 || !stream->follow || !alive)
			log_end(stream);
		return;
	}
	piece = evbuffer_new();
	if (piece == NULL || evbuffer_add(piece, bytes, (size_t) got) < 0)
		log_end(stream);
	else
	{
		stream->offset += got;
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

/* Where the last `lines` lines begin. */
static int
log_find_tail(int fd, uint64_t lines, off_t *ret_offset, Error *err)
{
	char bytes[PIECE_BYTES];
	struct stat status;
	off_t at;
	off_t least;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "log: size");
	at = status.st_size;
	least = at > TAIL_MOST_BYTES ? at - TAIL_MOST_BYTES : 0;
	if (lines == 0)
	{
		*ret_offset = at;
		return 0;
	}
	while (at > least)
	{
		off_t from = at - (off_t) sizeof(bytes) > least ? at - (off_t) sizeof(bytes) : least;
		ssize_t got = pread(fd, bytes, (size_t) (at - from), from);

		if (got < 0)
			return error_set_errno(err, errno, "log: read");
		/* A newline that ends the file's last line begins no other. */
		for (ssize_t i = got - 1; i >= 0; i--)
		{
			if (bytes[i] != '\n' || from + i + 1 == status.st_size || --lines > 0)
				continue;
			*ret_offset = from + i + 1;
			return 0;
		}
		at = from;
	}
	*ret_offset = least;
	return 0;
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
	char name[NAME_MAX_BYTES + 1];
	char path[512];
	uint64_t lines = 0;
	int result = api_call_resolve_machine(stream->call, name, err);

	if (result == 0)
		result = api_call_query_flag(stream->call, "follow", &stream->follow, err);
	if (result == 0 && api_call_query(stream->call, "tail") == NULL)
		lines = TAIL_WHOLE;
	else if (result == 0)
		result = api_call_query_number(stream->call, "tail", 0, TAIL_MOST_LINES, &lines, err);
	if (result == 0)
		result =
			engine_log_path(api_call_engine(stream->call), api_call_parameter(stream->call, "ns"), name, path, err);
	if (result < 0)
		return result;
	stream->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (stream->fd < 0)
		return error_set_errno(err, errno, "log %s", path);
	if (stream->follow)
		result = log_watch(stream, path, err);
	if (result == 0 && lines != TAIL_WHOLE)
		result = log_find_tail(stream->fd, lines, &stream->offset, err);
	return result;
}

void
handle_logs(ApiCall *call)
{
	LogStream *stream = memory_allocate(sizeof(*stream));
	Error error = {0};
	int result;

	*stream = (LogStream){.call = call, .fd = -1, .watch_fd = -1};
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
