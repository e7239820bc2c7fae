/*
 * The flash worker's end of the coordinator's socket: never blocks, and holds a bounded number of unsent messages.
 */
#ifndef LTTLE_FLASH_CHANNEL_H
#define LTTLE_FLASH_CHANNEL_H

#include "postgres.h"

#include "lttle/flash_message.h"

#define FLASH_OUTBOX_MESSAGES 8

typedef struct FlashChannel
{
	int fd; /* -1: closed */
	int outbox_count;
	struct
	{
		size_t length;
		char text[LTTLE_FLASH_MAX_BYTES];
	} outbox[FLASH_OUTBOX_MESSAGES];
} FlashChannel;

typedef enum FlashReceived
{
	FLASH_RECEIVED_MESSAGE,
	FLASH_RECEIVED_NOTHING, /* nothing to read now */
	FLASH_RECEIVED_END,		/* the other side has closed, or the connection broke */
	FLASH_RECEIVED_GARBAGE
} FlashReceived;

extern void lttle_flash_channel_init(FlashChannel *channel);

/* Connects. Returns 0, or the errno value; the channel is then closed. */
extern int lttle_flash_channel_open(FlashChannel *channel, const char *path);

/* Closes, and forgets what was not sent. Does nothing when closed. */
extern void lttle_flash_channel_close(FlashChannel *channel);

static inline bool
lttle_flash_channel_is_open(const FlashChannel *channel)
{
	return channel->fd >= 0;
}

/* Queues the message and sends what can be sent. Returns 0 or an errno value; ENOBUFS: too many are unsent. */
extern int lttle_flash_channel_send(FlashChannel *channel, const LttleFlashWriter *writer);

/* Sends what can be sent of the queue. Returns 0 or an errno value. */
extern int lttle_flash_channel_flush(FlashChannel *channel);

static inline bool
lttle_flash_channel_has_unsent(const FlashChannel *channel)
{
	return channel->outbox_count > 0;
}

/* Reads one message. `ret_problem`: what is wrong, a static string, for GARBAGE and END. */
extern FlashReceived lttle_flash_channel_receive(FlashChannel *channel, LttleFlashMessage *ret_message,
												 const char **ret_problem);

#endif
