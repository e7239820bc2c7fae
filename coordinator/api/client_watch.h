/*
 * Tells when the client of a connection has gone, while nobody reads from the connection: evhttp stops reading as
 * long as a request is being worked on (libevent 2.1), and an exec session does so under back-pressure.
 */
#ifndef API_CLIENT_WATCH_H
#define API_CLIENT_WATCH_H

#include "base/error.h"

struct event_base;

typedef struct ClientWatch ClientWatch;

/* gone runs once, from the loop, when the peer of the socket fd has closed or half-closed. fd is borrowed. */
int client_watch_new(struct event_base *loop, int fd, void (*gone)(void *context), void *context,
					 ClientWatch **ret_watch, Error *err) MUST_CHECK;

/* NULL is allowed; also from within gone. */
void client_watch_free(ClientWatch *watch);

#endif
