/* The coordinator's end of a machine's flash channel; see flash_channel.h. */
#include "engine/flash_channel.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

/* More than one, because a worker that is restarted may connect before its predecessor's end is seen. */
#define MAX_PEERS 4

typedef struct FlashPeer
{
	FlashChannel *channel;
	int fd; /* -1: nobody */
	struct event *readable;
} FlashPeer;

struct FlashChannel
{
	struct event_base *loop;
	char path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
	uid_t uid;
	gid_t gid;
	int listen_fd;			  /* -1: refuses */
	struct event *acceptable; /* NULL: who connects is kept waiting */
	FlashChannelHandlers handlers;
	FlashPeer peers[MAX_PEERS];
	FlashPeer *worker; /* the one that has said HELLO last */
};

static void
peer_close(FlashPeer *peer)
{
	if (peer->fd < 0)
		return;
	event_free(peer->readable);
	close(peer->fd);
	peer->fd = -1;
}

/* Closes a peer and, when it was the worker, says so. */
static void
peer_drop(FlashPeer *peer, const char *problem)
{
	FlashChannel *channel = peer->channel;
	bool was_worker = channel->worker == peer;

	peer_close(peer);
	if (!was_worker)
		return;
	channel->worker = NULL;
	channel->handlers.lost(channel->handlers.context, problem);
}

static void
peer_handle_message(FlashPeer *peer, const LttleFlashMessage *message)
{
	FlashChannel *channel = peer->channel;

	if (lttle_flash_message_get(message, "HELLO") != NULL)
	{
		/* A worker that comes anew takes its predecessor's place. */
		if (channel->worker != NULL && channel->worker != peer)
			peer_close(channel->worker);
		channel->worker = peer;
	}
	if (channel->worker != peer)
	{
		peer_drop(peer, "the first message is not HELLO");
		return;
	}
	channel->handlers.message(channel->handlers.context, message);
}

static void
peer_read(evutil_socket_t fd, short what, void *context)
{
	FlashPeer *peer = context;
	char buffer[LTTLE_FLASH_MAX_BYTES + 1];
	LttleFlashMessage message;
	const char *problem;
	ssize_t got = recv((int) fd, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);

	(void) what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
	{
		peer_drop(peer, NULL);
		return;
	}
	if ((size_t) got > LTTLE_FLASH_MAX_BYTES)
	{
		peer_drop(peer, "a message is too long");
		return;
	}
	problem = lttle_flash_message_parse(&message, buffer, (size_t) got);
	if (problem != NULL)
	{
		peer_drop(peer, problem);
		return;
	}
	peer_handle_message(peer, &message);
}

static void
channel_accept(evutil_socket_t fd, short what, void *context)
{
	FlashChannel *channel = context;
	int accepted = accept4((int) fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	FlashPeer *place = NULL;

	(void) what;
	if (accepted < 0)
		return;
	for (size_t i = 0; i < MAX_PEERS && place == NULL; i++)
	{
		if (channel->peers[i].fd < 0)
			place = &channel->peers[i];
	}
	if (place == NULL)
	{
		close(accepted);
		return;
	}
	*place = (FlashPeer){.channel = channel, .fd = accepted};
	place->readable = event_new(channel->loop, accepted, EV_READ | EV_PERSIST, peer_read, place);
	event_add(place->readable, NULL);
}

void
flash_channel_refuse(FlashChannel *channel)
{
	if (channel == NULL)
		return;
	if (channel->acceptable != NULL)
		event_free(channel->acceptable);
	channel->acceptable = NULL;
	if (channel->listen_fd >= 0)
		close(channel->listen_fd);
	channel->listen_fd = -1;
}

int
flash_channel_listen(FlashChannel *channel, Error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	flash_channel_refuse(channel);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", channel->path);
	channel->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (channel->listen_fd < 0)
		return error_set_errno(err, errno, "flash channel: socket");
	if (unlink(channel->path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "flash channel %s: unlink", channel->path);
	if (bind(channel->listen_fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		return error_set_errno(err, errno, "flash channel %s: bind", channel->path);
	if (chmod(channel->path, 0600) < 0 || chown(channel->path, channel->uid, channel->gid) < 0)
		return error_set_errno(err, errno, "flash channel %s: set its owner", channel->path);
	if (listen(channel->listen_fd, MAX_PEERS) < 0)
		return error_set_errno(err, errno, "flash channel %s: listen", channel->path);
	return 0;
}

void
flash_channel_accept(FlashChannel *channel)
{
	if (channel->listen_fd < 0 || channel->acceptable != NULL)
		return;
	channel->acceptable = event_new(channel->loop, channel->listen_fd, EV_READ | EV_PERSIST, channel_accept, channel);
	event_add(channel->acceptable, NULL);
}

bool
flash_channel_refuses(const FlashChannel *channel)
{
	return channel->listen_fd < 0;
}

int
flash_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid,
				   const FlashChannelHandlers *handlers, FlashChannel **ret_channel, Error *err)
{
	FlashChannel *channel = memory_allocate(sizeof(*channel));
	int result;

	*channel = (FlashChannel){.loop = loop, .uid = uid, .gid = gid, .listen_fd = -1, .handlers = *handlers};
	for (size_t i = 0; i < MAX_PEERS; i++)
		channel->peers[i].fd = -1;
	if (strlen(path) >= sizeof(channel->path))
		result = error_set(err, -ENAMETOOLONG, "flash channel %s: the path is longer than a socket's may be", path);
	else
	{
		snprintf(channel->path, sizeof(channel->path), "%s", path);
		result = flash_channel_listen(channel, err);
	}
	if (result < 0)
	{
		flash_channel_close(channel);
		return result;
	}
	flash_channel_accept(channel);
	*ret_channel = channel;
	return 0;
}

void
flash_channel_close(FlashChannel *channel)
{
	if (channel == NULL)
		return;
	for (size_t i = 0; i < MAX_PEERS; i++)
		peer_close(&channel->peers[i]);
	flash_channel_refuse(channel);
	if (channel->path[0] != '\0')
		unlink(channel->path);
	free(channel);
}

bool
flash_channel_is_connected(const FlashChannel *channel)
{
	return channel != NULL && channel->worker != NULL;
}

bool
flash_channel_has_peer(const FlashChannel *channel)
{
	for (unsigned i = 0; channel != NULL && i < MAX_PEERS; i++)
	{
		if (channel->peers[i].fd >= 0)
			return true;
	}
	return false;
}

int
flash_channel_send(FlashChannel *channel, const LttleFlashWriter *writer, Error *err)
{
	int saved;

	if (!flash_channel_is_connected(channel))
		return error_set(err, -ENOTCONN, "the extension is not connected");
	if (writer->overflow)
		return error_set(err, -EMSGSIZE, "a flash message is too long");
	if (send(channel->worker->fd, writer->text, writer->length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	saved = errno;
	peer_drop(channel->worker, "it does not read its messages");
	return error_set_errno(err, saved, "the extension cannot be reached");
}
