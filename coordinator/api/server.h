/*
 * The API: HTTP/1.1 + JSON on a Unix stream socket, in the event loop. docs/openapi.yaml describes it.
 *
 * Exec connections are upgraded to frames in both directions: see frame.h.
 * The limits: bodies of 1 MiB, headers of 32 KiB, a number of connections, and a time for a silent client.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/engine.h"

struct event_base;

typedef struct ApiServer ApiServer;

typedef struct ApiServerSpec
{
	const char *socket_path;
	const char *socket_group;	/* NULL or "": none; one that is missing is left out with a warning */
	size_t max_connections;		/* 0: 256 */
	uint64_t client_timeout_ms; /* a client that sends or takes nothing for so long is dropped; 0: 60 s */
} ApiServerSpec;

/*
 * Listens. A socket that nobody listens on is replaced. The process's SIGPIPE is caught from here on, by a handler
 * that does nothing (exec brings the default back in children).
 * Errors: -EADDRINUSE another coordinator listens there; -EEXIST something that is no socket is there.
 */
int api_server_start(struct event_base *loop, Engine *engine, const ApiServerSpec *spec, ApiServer **ret_server,
					 Error *err) MUST_CHECK;

/*
 * Closes every connection and removes the socket. Programs that exec connections run are ended. To be called before
 * engine_free; answers that the engine gives afterwards go nowhere. NULL is allowed.
 */
void api_server_free(ApiServer *server);

#endif
