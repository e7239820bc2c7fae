/* The relay of an exec connection; see exec_stream.h. */
#include "api/exec_stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/frame.h"
#include "base/text.h"

#define CLIENT_OUTPUT_HIGH_BYTES 262144 /* the program's output waits above ... */
#define CLIENT_OUTPUT_LOW_BYTES	 65536	/* ... until below */
#define INPUT_HIGH_BYTES		 262144 /* the client's input waits above ... */
#define INPUT_LOW_BYTES			 65536	/* ... until below */
#define PIECE_BYTES				 32768
#define PIECES_A_TURN			 16 /* then others get their turn of the loop */
#define END_OF_TRANSMISSION		 "\x04"

/* One of the program's outputs. */
typedef struct Output
{
	ExecStream *stream;
	FrameType type;
	int fd; /* borrowed from stdio; -1: at its end */
	struct event *readable;
} Output;

struct ExecStream
{
	struct event_base *loop;
	struct bufferevent *client;
	ExecStdio stdio;
	bool terminal;
	void (*over)(void *context);
	void *context;

	Output outputs[2];
	bool output_paused;
	bool ended; /* the program has: exit_status counts */
	int exit_status;
	bool last_sent; /* the last frame is on its way */

	struct evbuffer *input; /* for the program */
	struct event *writable; /* the program's input takes more; NULL: no input, or at its end */
	bool input_eof;			/* nothing more follows `input` */
	bool input_paused;
	bool finished;
};

static void stream_pump_outputs(ExecStream *stream);

static void
stream_finish(ExecStream *stream)
{
	if (stream->finished)
		return;
	stream->finished = true;
	stream->over(stream->context);
}

static void
stream_send_frame(ExecStream *stream, FrameType type, const void *payload, size_t size)
{
	struct evbuffer *output = bufferevent_get_output(stream->client);
	uint8_t header[FRAME_HEADER_BYTES];

	frame_header_write(type, size, header);
	evbuffer_add(output, header, sizeof(header));
	evbuffer_add(output, payload, size);
}

/* ---- the program's output ---- */

static void
output_close(Output *output)
{
	if (output->readable != NULL)
		event_free(output->readable);
	output->readable = NULL;
	output->fd = -1;
}

static void
stream_pause_output(ExecStream *stream, bool pause)
{
	stream->output_paused = pause;
	for (size_t i = 0; i < 2; i++)
	{
		if (stream->outputs[i].readable == NULL)
			continue;
		if (pause)
			event_del(stream->outputs[i].readable);
		else
			event_add(stream->outputs[i].readable, NULL);
	}
}

/* Reads what is there, as long as the client takes it. */
static void
output_pump(Output *output)
{
	ExecStream *stream = output->stream;
	struct evbuffer *client_output = bufferevent_get_output(stream->client);
	char piece[PIECE_BYTES];

	for (unsigned turn = 0; output->fd >= 0 && turn < PIECES_A_TURN; turn++)
	{
		ssize_t got;

		if (evbuffer_get_length(client_output) >= CLIENT_OUTPUT_HIGH_BYTES)
		{
			stream_pause_output(stream, true);
			return;
		}
		got = read(output->fd, piece, sizeof(piece));
		if (got > 0)
			stream_send_frame(stream, output->type, piece, (size_t) got);
		else if (got < 0 && errno == EINTR)
			continue;
		else if (got < 0 && errno == EAGAIN && !stream->ended)
			return;
		else /* the end, EIO of a terminal that nobody has open, or a background process that keeps it open */
			output_close(output);
	}
}

/* Sends the exit status once every output is at its end. The connection may go when it has left. */
static void
stream_check_end(ExecStream *stream)
{
	uint8_t payload[4];

	if (!stream->ended || stream->last_sent || stream->outputs[0].fd >= 0 || stream->outputs[1].fd >= 0)
		return;
	stream->last_sent = true;
	frame_exit_write(stream->exit_status, payload);
	stream_send_frame(stream, FRAME_EXIT, payload, sizeof(payload));
}

static void
stream_pump_outputs(ExecStream *stream)
{
	for (size_t i = 0; i < 2 && !stream->output_paused; i++)
		output_pump(&stream->outputs[i]);
	stream_check_end(stream);
}

static void
output_handle_readable(evutil_socket_t fd, short what, void *context)
{
	Output *output = context;

	(void) fd;
	(void) what;
	output_pump(output);
	stream_check_end(output->stream);
}

/* The client has taken what was there for it, down to the low mark. */
static void
client_handle_written(struct bufferevent *client, void *context)
{
	ExecStream *stream = context;

	if (stream->output_paused)
	{
		stream_pause_output(stream, false);
		stream_pump_outputs(stream);
	}
	if (stream->last_sent)
	{
		bufferevent_setwatermark(client, EV_WRITE, 0, 0);
		if (evbuffer_get_length(bufferevent_get_output(client)) == 0)
			stream_finish(stream);
	}
}

/* ---- the program's input ---- */

static void
input_close(ExecStream *stream)
{
	if (stream->writable != NULL)
		event_free(stream->writable);
	stream->writable = NULL;
	if (stream->stdio.input_fd >= 0)
		close(stream->stdio.input_fd);
	stream->stdio.input_fd = -1;
	evbuffer_drain(stream->input, evbuffer_get_length(stream->input));
}

static void
stream_pause_input(ExecStream *stream, bool pause)
{
	stream->input_paused = pause;
	if (pause)
		bufferevent_disable(stream->client, EV_READ);
	else
		bufferevent_enable(stream->client, EV_READ);
}

/* Writes what waits for the program. A program that reads no more gets no more; that is its own affair. */
static void
input_pump(ExecStream *stream)
{
	if (stream->writable == NULL)
		return;
	while (evbuffer_get_length(stream->input) > 0)
	{
		if (evbuffer_write(stream->input, stream->stdio.input_fd) >= 0)
			continue;
		if (errno == EAGAIN)
			event_add(stream->writable, NULL);
		else if (errno != EINTR)
			input_close(stream);
		if (errno != EINTR)
			return;
	}
	if (stream->input_eof)
		input_close(stream);
}

static void stream_read_frames(ExecStream *stream);

static void
input_handle_writable(evutil_socket_t fd, short what, void *context)
{
	ExecStream *stream = context;

	(void) fd;
	(void) what;
	input_pump(stream);
	if (stream->input_paused && !stream->last_sent && evbuffer_get_length(stream->input) < INPUT_LOW_BYTES)
	{
		stream_pause_input(stream, false);
		stream_read_frames(stream);
	}
}

static void
stream_take_frame(ExecStream *stream, const FrameHeader *header)
{
	struct evbuffer *from = bufferevent_get_input(stream->client);
	uint8_t payload[4];

	switch (header->type)
	{
		case FRAME_STDIN:
			if (stream->writable == NULL || stream->input_eof)
				evbuffer_drain(from, header->payload_bytes);
			else
				evbuffer_remove_buffer(from, stream->input, header->payload_bytes);
			input_pump(stream);
			return;
		case FRAME_STDIN_EOF:
			/* A terminal has no end: its program is told with the character that means it. */
			if (stream->terminal && stream->writable != NULL)
				evbuffer_add(stream->input, END_OF_TRANSMISSION, 1);
			else
				stream->input_eof = true;
			input_pump(stream);
			return;
		case FRAME_RESIZE:
			evbuffer_remove(from, payload, sizeof(payload));
			if (stream->terminal)
				exec_stdio_resize(&stream->stdio, frame_size_read(payload));
			return;
		default:
			return;
	}
}

static bool
frame_is_for_us(FrameType type)
{
	return type == FRAME_STDIN || type == FRAME_STDIN_EOF || type == FRAME_RESIZE;
}

/* Says why and lets nothing follow. */
static void
stream_refuse_frames(ExecStream *stream)
{
	static const char reason[] = "this is no frame that a client may send";

	stream_pause_input(stream, true);
	output_close(&stream->outputs[0]);
	output_close(&stream->outputs[1]);
	stream->last_sent = true;
	stream_send_frame(stream, FRAME_ERROR, reason, sizeof(reason) - 1);
}

static void
stream_read_frames(ExecStream *stream)
{
	struct evbuffer *from = bufferevent_get_input(stream->client);
	uint8_t bytes[FRAME_HEADER_BYTES];

	while (!stream->input_paused && evbuffer_copyout(from, bytes, sizeof(bytes)) == (ssize_t) sizeof(bytes))
	{
		FrameHeader header;

		if (!frame_header_read(bytes, &header) || !frame_is_for_us(header.type))
		{
			stream_refuse_frames(stream);
			return;
		}
		if (evbuffer_get_length(from) < FRAME_HEADER_BYTES + header.payload_bytes)
			return;
		evbuffer_drain(from, FRAME_HEADER_BYTES);
		stream_take_frame(stream, &header);
		if (evbuffer_get_length(stream->input) > INPUT_HIGH_BYTES)
			stream_pause_input(stream, true);
	}
}

static void
client_handle_readable(struct bufferevent *client, void *context)
{
	(void) client;
	stream_read_frames(context);
}

static void
client_handle_event(struct bufferevent *client, short what, void *context)
{
	(void) client;
	(void) what;
	stream_finish(context);
}

/* ---- birth and death ---- */

static void
output_open(ExecStream *stream, Output *output, FrameType type, int fd)
{
	*output = (Output){.stream = stream, .type = type, .fd = fd};
	if (fd < 0)
		return;
	output->readable = event_new(stream->loop, fd, EV_READ | EV_PERSIST, output_handle_readable, output);
	event_add(output->readable, NULL);
}

ExecStream *
exec_stream_new(const ExecStreamSpec *spec)
{
	ExecStream *stream = memory_allocate(sizeof(*stream));

	*stream = (ExecStream){.loop = spec->loop,
						   .client = spec->client,
						   .stdio = spec->stdio,
						   .terminal = spec->terminal,
						   .over = spec->over,
						   .context = spec->context};
	stream->input = evbuffer_new();
	output_open(stream, &stream->outputs[0], FRAME_STDOUT, stream->stdio.output_fd);
	output_open(stream, &stream->outputs[1], FRAME_STDERR, stream->stdio.error_fd);
	if (stream->stdio.input_fd >= 0)
		stream->writable = event_new(stream->loop, stream->stdio.input_fd, EV_WRITE, input_handle_writable, stream);
	bufferevent_setwatermark(stream->client, EV_READ, 0, 2 * (FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD_BYTES));
	bufferevent_setwatermark(stream->client, EV_WRITE, CLIENT_OUTPUT_LOW_BYTES, 0);
	bufferevent_setcb(stream->client, client_handle_readable, client_handle_written, client_handle_event, stream);
	bufferevent_enable(stream->client, EV_READ | EV_WRITE);
	/* What came along with the request: its event is already over. */
	bufferevent_trigger(stream->client, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	return stream;
}

void
exec_stream_end(ExecStream *stream, int exit_status)
{
	stream->ended = true;
	stream->exit_status = exit_status;
	stream_pump_outputs(stream);
}

void
exec_stream_free(ExecStream *stream)
{
	if (stream == NULL)
		return;
	bufferevent_setcb(stream->client, NULL, NULL, NULL, NULL);
	output_close(&stream->outputs[0]);
	output_close(&stream->outputs[1]);
	if (stream->writable != NULL)
		event_free(stream->writable);
	evbuffer_free(stream->input);
	exec_stdio_close(&stream->stdio);
	free(stream);
}
