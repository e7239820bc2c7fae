/*
 * The coordinator's end of a machine's flash channel: a listening SOCK_SEQPACKET socket in the machine's run
 * directory, and the one connection of the extension's worker. Messages: lttle/flash_message.h. What arrives is
 * untrusted: a malformed or oversized datagram closes the connection; a worker that does not read is dropped.
 */
#ifndef ENGINE_FLASH_CHANNEL_H
#define ENGINE_FLASH_CHANNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "lttle/flash_message.h"

struct event_base;

typedef struct FlashChannel FlashChannel;

typedef struct FlashChannelHandlers
{
	/* A message from the worker that has said HELLO; HELLO itself too. */
	void (*message)(void *context, const LttleFlashMessage *message);
	/* The worker that had said HELLO is gone. problem: NULL, or what it did wrong. */
	void (*lost)(void *context, const char *problem);
	void *context;
} FlashChannelHandlers;

/* Binds path (replacing what is there), owned by uid and gid, mode 0600. */
int flash_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid,
					   const FlashChannelHandlers *handlers, FlashChannel **ret_channel, Error *err) MUST_CHECK;

/*
 * For a machine that goes to disk: CRIU carries no connection whose other end is outside, so nobody may connect from
 * the freeze on. Connections that are there stay. NULL is allowed.
 */
void flash_channel_refuse(FlashChannel *channel);
bool flash_channel_refuses(const FlashChannel *channel);

/* Who connects is let in again, but kept waiting until flash_channel_accept. */
int flash_channel_listen(FlashChannel *channel, Error *err) MUST_CHECK;
void flash_channel_accept(FlashChannel *channel);

/* Closes both sockets and removes the path. No handler is called. NULL is allowed. */
void flash_channel_close(FlashChannel *channel);

/* True once the worker has said HELLO. */
bool flash_channel_is_connected(const FlashChannel *channel);

/* True while anybody is connected, also who has not said anything yet. */
bool flash_channel_has_peer(const FlashChannel *channel);

/* Sends without blocking. A worker whose queue is full is dropped (`lost` is called) and -EAGAIN comes back.
 * -ENOTCONN without a worker. */
int flash_channel_send(FlashChannel *channel, const LttleFlashWriter *writer, Error *err);

#endif
