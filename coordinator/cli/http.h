/*
 * The client's side of the API: one blocking request a connection. Ordinary requests are HTTP/1.0, so that a body ends
 * with its Content-Length or with the connection, and no chunks are to be decoded; exec upgrades an HTTP/1.1
 * connection to a raw stream. Own code because no HTTP client library hands over an upgraded Unix socket together
 * with the bytes that it has already read; what is left to do besides is one status line and a few headers.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

#define HTTP_HEADER_MAX_BYTES 16384

typedef struct HttpRequest
{
	const char *socket_path;
	const char *method;
	const char *target; /* path and query, encoded */
	const char *body;	/* NULL: none */
	size_t body_bytes;
	const char *upgrade; /* protocol to upgrade to; NULL: none */
} HttpRequest;

typedef struct HttpStream
{
	int fd;
	int status;
	int64_t content_length;				  /* -1: until the connection ends */
	char received[HTTP_HEADER_MAX_BYTES]; /* came along with the header ... */
	size_t received_bytes;				  /* ... so many ... */
	size_t received_at;					  /* ... of which so many were given out */
} HttpStream;

/*
 * Sends the request and reads the answer's header.
 * Errors: -ECONNREFUSED: no coordinator there (any reason; the message has it); -EPROTO: what answers is none;
 * -ECONNRESET: it went away.
 */
int http_open(const HttpRequest *request, HttpStream *ret_stream, Error *err) MUST_CHECK;

/* Gives out up to size bytes of the body. Returns 0 at its end. -ECONNRESET. */
ssize_t http_read(HttpStream *stream, void *bytes, size_t size, Error *err) MUST_CHECK;

/* Reads the whole body. -ECONNRESET when it is shorter than announced. */
int http_read_all(HttpStream *stream, Text *ret_body, Error *err) MUST_CHECK;

void http_close(HttpStream *stream);

/* Appends a path segment or a query's value, percent-encoded. */
void http_append_encoded(Text *target, const char *text);

#endif
