/* An answer that comes line by line; see line_stream.h. */
#include "cli/line_stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "cli/api.h"

int
line_stream_open(const CliInvocation *invocation, const char *target, LineStream *ret_stream)
{
	HttpRequest request = {.socket_path = cli_socket(invocation), .method = "GET", .target = target};
	Error error;
	int code;

	*ret_stream = (LineStream){.http.fd = -1};
	if (http_open(&request, &ret_stream->http, &error) < 0)
		return api_report_connection(&error);
	if (ret_stream->http.status == 200)
		return EXIT_CODE_OK;
	code = api_report_refusal(&ret_stream->http);
	line_stream_close(ret_stream);
	return code;
}

/* The line that is there whole, or NULL. */
static const char *
line_stream_take(LineStream *stream)
{
	char *line = stream->text.data + stream->at;
	char *end = stream->text.data != NULL ? memchr(line, '\n', stream->text.length - stream->at) : NULL;

	if (end == NULL)
		return NULL;
	*end = '\0';
	stream->at = (size_t) (end - stream->text.data) + 1;
	return line;
}

/* Makes room: what was given out is no longer needed. */
static void
line_stream_shift(LineStream *stream)
{
	if (stream->at == 0)
		return;
	memmove(stream->text.data, stream->text.data + stream->at, stream->text.length - stream->at);
	stream->text.length -= stream->at;
	stream->at = 0;
}

int
line_stream_next(LineStream *stream, int timeout_ms, const char **ret_line, Error *err)
{
	char bytes[16384];
	const char *line;

	while ((line = line_stream_take(stream)) == NULL)
	{
		struct pollfd input = {.fd = stream->http.fd, .events = POLLIN};
		bool received = stream->http.received_at < stream->http.received_bytes;
		ssize_t got;
		int ready = received ? 1 : poll(&input, 1, timeout_ms);

		if (ready < 0 && errno != EINTR)
			return error_set_errno(err, errno, "wait for the coordinator");
		if (ready <= 0)
			return error_set(err, -ETIMEDOUT, "nothing came in time");
		line_stream_shift(stream);
		got = http_read(&stream->http, bytes, sizeof(bytes), err);
		if (got <= 0)
			return (int) got;
		text_append_bytes(&stream->text, bytes, (size_t) got);
	}
	*ret_line = line;
	return 1;
}

void
line_stream_close(LineStream *stream)
{
	http_close(&stream->http);
	text_clear(&stream->text);
}
