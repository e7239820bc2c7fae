/* The client's side of the API; see http.h. */
#include "cli/http.h"

#include <errno.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

void
http_append_encoded(Text *target, const char *text)
{
	_cleanup_free_ char *encoded = evhttp_uriencode(text, -1, 0);

	if (encoded == NULL)
		abort();
	text_append(target, encoded);
}

static int
http_connect(const char *path, int *ret_fd, Error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ECONNREFUSED, "socket %s: the path is longer than %zu characters", path,
						 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(err, errno, "socket");
	if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
	{
		const char *hint =
			errno == EACCES || errno == EPERM ? "use sudo, or join the socket's group" : "is lttled running?";

		return error_set(err, -ECONNREFUSED, "no coordinator at %s: %s (%s)", path, strerror(errno), hint);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int
http_send_all(int fd, const char *bytes, size_t size, Error *err)
{
	while (size > 0)
	{
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return error_set_errno(err, errno, "send the request");
		bytes += sent;
		size -= (size_t) sent;
	}
	return 0;
}

static int
http_send(int fd, const HttpRequest *request, Error *err)
{
	_cleanup_text_ Text head = {0};
	int result;

	text_printf(&head, "%s %s HTTP/1.%d\r\nHost: lttle\r\n", request->method, request->target,
				request->upgrade != NULL ? 1 : 0);
	if (request->upgrade != NULL)
		text_printf(&head, "Connection: Upgrade\r\nUpgrade: %s\r\n", request->upgrade);
	if (request->body != NULL || strcmp(request->method, "POST") == 0)
		text_printf(&head, "Content-Length: %zu\r\n", request->body_bytes);
	text_append(&head, "\r\n");
	result = http_send_all(fd, head.data, head.length, err);
	if (result == 0 && request->body_bytes > 0)
		result = http_send_all(fd, request->body, request->body_bytes, err);
	return result;
}

/* Receives up to the empty line. Returns where the body begins. */
static int
http_receive_head(HttpStream *stream, size_t *ret_body_at, Error *err)
{
	size_t length = 0;

	for (;;)
	{
		char *end;
		ssize_t got = recv(stream->fd, stream->received + length, sizeof(stream->received) - 1 - length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 && length == 0)
			return error_set(err, -ECONNRESET, "the coordinator closed the connection without an answer");
		if (got <= 0)
			return error_set(err, -ECONNRESET, "the coordinator's answer broke off");
		length += (size_t) got;
		stream->received[length] = '\0';
		end = memmem(stream->received, length, "\r\n\r\n", 4);
		if (end != NULL)
		{
			*end = '\0';
			stream->received_bytes = length;
			*ret_body_at = (size_t) (end - stream->received) + 4;
			return 0;
		}
		if (length == sizeof(stream->received) - 1)
			return error_set(err, -EPROTO, "the answer's header is too long: is this a coordinator?");
	}
}

static int
http_parse_head(HttpStream *stream, Error *err)
{
	const char *line = stream->received;
	char *end;

	if (strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12)
		return error_set(err, -EPROTO, "what answers is no coordinator");
	stream->status = (int) strtol(line + 9, &end, 10);
	if (stream->status < 100 || stream->status > 599)
		return error_set(err, -EPROTO, "what answers is no coordinator");
	stream->content_length = -1;
	while ((line = strstr(line, "\r\n")) != NULL)
	{
		line += 2;
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			stream->content_length = strtoll(line + 15, NULL, 10);
	}
	return 0;
}

int
http_open(const HttpRequest *request, HttpStream *ret_stream, Error *err)
{
	_cleanup_fd_ int fd = -1;
	Error send_error;
	int sent;
	int result = http_connect(request->socket_path, &fd, err);

	if (result < 0)
		return result;
	ret_stream->fd = fd;
	sent = http_send(fd, request, &send_error);
	/* A server that refuses may answer before it has read everything: its answer says more than a broken pipe. */
	result = http_receive_head(ret_stream, &ret_stream->received_at, err);
	if (result < 0 && sent < 0)
		return error_set(err, -ECONNRESET, "%s", send_error.message);
	if (result == 0)
		result = http_parse_head(ret_stream, err);
	if (result == 0)
		steal_fd(&fd);
	return result;
}

ssize_t
http_read(HttpStream *stream, void *bytes, size_t size, Error *err)
{
	size_t waiting = stream->received_bytes - stream->received_at;
	ssize_t got;

	if (waiting > 0)
	{
		if (size > waiting)
			size = waiting;
		memcpy(bytes, stream->received + stream->received_at, size);
		stream->received_at += size;
		return (ssize_t) size;
	}
	do
		got = recv(stream->fd, bytes, size, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? error_set_errno(err, errno, "read the coordinator's answer") : got;
}

int
http_read_all(HttpStream *stream, Text *ret_body, Error *err)
{
	char bytes[16384];
	int64_t left = stream->content_length;

	while (left != 0)
	{
		size_t size = left > 0 && (uint64_t) left < sizeof(bytes) ? (size_t) left : sizeof(bytes);
		ssize_t got = http_read(stream, bytes, size, err);

		if (got < 0)
			return (int) got;
		if (got == 0 && left > 0)
			return error_set(err, -ECONNRESET, "the coordinator's answer broke off");
		if (got == 0)
			return 0;
		text_append_bytes(ret_body, bytes, (size_t) got);
		if (left > 0)
			left -= got;
	}
	return 0;
}

void
http_close(HttpStream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}
