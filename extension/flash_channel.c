/*
 * The flash worker's end of the coordinator's socket. One datagram is one message, so that a message is sent whole or
 * not at all.
 */
#include "postgres.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "storage/fd.h"

#include "flash_channel.h"

#define UNREAD_MAX 1024 /* messages; more than a socket's queue holds */

void
lttle_flash_channel_init(FlashChannel *channel)
{
	channel->fd = -1;
	channel->outbox_count = 0;
}

int
lttle_flash_channel_open(FlashChannel *channel, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int saved_errno;
	int fd;

	strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (!AcquireExternalFD())
		return EMFILE;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
	{
		channel->fd = fd;
		channel->outbox_count = 0;
		return 0;
	}
	saved_errno = errno;
	if (fd >= 0)
		close(fd);
	ReleaseExternalFD();
	return saved_errno;
}

void
lttle_flash_channel_close(FlashChannel *channel)
{
	char byte;

	if (channel->fd < 0)
		return;
	/* Closed with something unread, the other side would get ECONNRESET before our last message. */
	for (int i = 0; i < UNREAD_MAX && recv(channel->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0; i++)
		;
	close(channel->fd);
	ReleaseExternalFD();
	lttle_flash_channel_init(channel);
}

int
lttle_flash_channel_flush(FlashChannel *channel)
{
	int sent = 0;
	int result = 0;

	while (sent < channel->outbox_count)
	{
		if (send(channel->fd, channel->outbox[sent].text, channel->outbox[sent].length, MSG_DONTWAIT | MSG_NOSIGNAL) <
			0)
		{
			if (errno == EINTR)
				continue;
			result = errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
			break;
		}
		sent++;
	}
	channel->outbox_count -= sent;
	memmove(channel->outbox, channel->outbox + sent, sizeof(channel->outbox[0]) * (size_t) channel->outbox_count);
	return result;
}

int
lttle_flash_channel_send(FlashChannel *channel, const LttleFlashWriter *writer)
{
	if (channel->fd < 0)
		return ENOTCONN;
	if (writer->overflow)
		return EMSGSIZE;
	if (channel->outbox_count == FLASH_OUTBOX_MESSAGES)
		return ENOBUFS;
	memcpy(channel->outbox[channel->outbox_count].text, writer->text, writer->length);
	channel->outbox[channel->outbox_count].length = writer->length;
	channel->outbox_count++;
	return lttle_flash_channel_flush(channel);
}

FlashReceived
lttle_flash_channel_receive(FlashChannel *channel, LttleFlashMessage *ret_message, const char **ret_problem)
{
	/* One byte more than allowed, so that a message that is too long is seen as such. */
	char bytes[LTTLE_FLASH_MAX_BYTES + 1];
	ssize_t size;

	do
		size = recv(channel->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (size < 0 && errno == EINTR);

	if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return FLASH_RECEIVED_NOTHING;
	if (size < 0)
	{
		*ret_problem = strerror(errno);
		return FLASH_RECEIVED_END;
	}
	if (size == 0)
	{
		*ret_problem = "the coordinator closed it";
		return FLASH_RECEIVED_END;
	}
	*ret_problem = lttle_flash_message_parse(ret_message, bytes, (size_t) size);
	return *ret_problem == NULL ? FLASH_RECEIVED_MESSAGE : FLASH_RECEIVED_GARBAGE;
}
