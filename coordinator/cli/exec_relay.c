/*
 * The client's side of an exec connection; see exec_relay.h. Standard input is only read when what was read before
 * has left for the coordinator; standard output is written at once, so that a slow reader of ours slows the program.
 */
#include "cli/exec_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/frame.h"
#include "cli/terminal.h"

#define PIECE_BYTES 32768

typedef struct Relay
{
	const ExecRelaySpec *spec;
	int socket_fd;
	bool input_open;
	bool resized; /* the coordinator does not know the window's size yet */
	/* on its way to the coordinator */
	uint8_t sending[FRAME_HEADER_BYTES + PIECE_BYTES];
	size_t sending_bytes;
	size_t sent_bytes;
	/* come from it, not yet a whole frame */
	uint8_t received[FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD_BYTES];
	size_t received_bytes;
	bool over;
	ExecRelayEnd end;
	int value;
	Error *err;
} Relay;

static bool
relay_is_sending(const Relay *relay)
{
	return relay->sent_bytes < relay->sending_bytes;
}

/* Only while nothing else is being sent. */
static void
relay_queue_frame(Relay *relay, FrameType type, const void *payload, size_t size)
{
	frame_header_write(type, size, relay->sending);
	if (size > 0)
		memcpy(relay->sending + FRAME_HEADER_BYTES, payload, size);
	relay->sent_bytes = 0;
	relay->sending_bytes = FRAME_HEADER_BYTES + size;
}

static int
relay_send(Relay *relay)
{
	ssize_t sent = send(relay->socket_fd, relay->sending + relay->sent_bytes, relay->sending_bytes - relay->sent_bytes,
						MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		relay->sent_bytes += (size_t) sent;
	/* A broken pipe shows itself on reading too, behind what the coordinator still has to say. */
	else if (errno == EPIPE || errno == ECONNRESET)
		relay->sent_bytes = relay->sending_bytes;
	else if (errno != EAGAIN && errno != EINTR)
		return error_set_errno(relay->err, errno, "send to the coordinator");
	return 0;
}

static int
relay_read_input(Relay *relay)
{
	const ExecRelayEnds *ends = relay->spec->ends;
	char bytes[PIECE_BYTES];
	ssize_t got = ends == NULL ? read(STDIN_FILENO, bytes, sizeof(bytes))
							   : ends->read(ends->context, bytes, sizeof(bytes), relay->err);

	if (got < 0 && ends != NULL)
		return (int) got;
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got > 0)
	{
		relay_queue_frame(relay, FRAME_STDIN, bytes, (size_t) got);
		return 0;
	}
	/* The end, or a terminal that has gone (EIO). */
	relay->input_open = false;
	relay_queue_frame(relay, FRAME_STDIN_EOF, NULL, 0);
	return 0;
}

static int
write_all(int fd, const uint8_t *bytes, size_t size, Error *err)
{
	while (size > 0)
	{
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EAGAIN)
		{
			struct pollfd ready = {.fd = fd, .events = POLLOUT};

			poll(&ready, 1, -1);
			continue;
		}
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return error_set_errno(err, errno, "standard output");
		bytes += written;
		size -= (size_t) written;
	}
	return 0;
}

static int
relay_write(Relay *relay, int fd, const uint8_t *bytes, size_t size)
{
	const ExecRelayEnds *ends = relay->spec->ends;

	return ends == NULL ? write_all(fd, bytes, size, relay->err)
						: ends->write(ends->context, fd, bytes, size, relay->err);
}

static int
relay_take_frame(Relay *relay, const FrameHeader *header, const uint8_t *payload)
{
	switch (header->type)
	{
		case FRAME_STDOUT:
			return relay_write(relay, STDOUT_FILENO, payload, header->payload_bytes);
		case FRAME_STDERR:
			return relay_write(relay, STDERR_FILENO, payload, header->payload_bytes);
		case FRAME_EXIT:
			relay->over = true;
			relay->end = EXEC_RELAY_EXITED;
			relay->value = frame_exit_read(payload);
			return 0;
		case FRAME_ERROR:
			return error_set(relay->err, -EIO, "%.*s", (int) header->payload_bytes, (const char *) payload);
		default:
			return error_set(relay->err, -EPROTO, "the coordinator sent a frame that only a client sends");
	}
}

static int
relay_take_frames(Relay *relay)
{
	size_t at = 0;

	while (!relay->over && relay->received_bytes - at >= FRAME_HEADER_BYTES)
	{
		FrameHeader header;
		int result;

		if (!frame_header_read(relay->received + at, &header))
			return error_set(relay->err, -EPROTO, "the coordinator sent something that is no frame");
		if (relay->received_bytes - at < FRAME_HEADER_BYTES + header.payload_bytes)
			break;
		result = relay_take_frame(relay, &header, relay->received + at + FRAME_HEADER_BYTES);
		if (result < 0)
			return result;
		at += FRAME_HEADER_BYTES + header.payload_bytes;
	}
	memmove(relay->received, relay->received + at, relay->received_bytes - at);
	relay->received_bytes -= at;
	return 0;
}

static int
relay_receive(Relay *relay)
{
	ssize_t got = http_read(relay->spec->stream, relay->received + relay->received_bytes,
							sizeof(relay->received) - relay->received_bytes, relay->err);

	if (got < 0)
		return (int) got;
	if (got == 0)
		return error_set(relay->err, -ECONNREFUSED, "the coordinator has gone; the program may still run");
	relay->received_bytes += (size_t) got;
	return relay_take_frames(relay);
}

/* SIGWINCH tells the size, SIGCONT takes the terminal again, everything else ends us. */
static void
relay_take_signal(Relay *relay)
{
	struct signalfd_siginfo info;

	if (read(relay->spec->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCONT)
		terminal_make_raw_again();
	if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT)
	{
		relay->resized = relay->spec->terminal;
		return;
	}
	relay->over = true;
	relay->end = EXEC_RELAY_SIGNALLED;
	relay->value = (int) info.ssi_signo;
}

static void
relay_tell_size(Relay *relay)
{
	uint8_t payload[4];

	frame_size_write(terminal_size(), payload);
	relay_queue_frame(relay, FRAME_RESIZE, payload, sizeof(payload));
	relay->resized = false;
}

static int
relay_turn(Relay *relay)
{
	bool sending;
	int input_fd = relay->spec->ends == NULL ? STDIN_FILENO : relay->spec->ends->input_fd;
	struct pollfd fds[3];
	int result = 0;

	if (relay->resized && !relay_is_sending(relay))
		relay_tell_size(relay);
	sending = relay_is_sending(relay);
	fds[0] = (struct pollfd){.fd = relay->socket_fd, .events = (short) (POLLIN | (sending ? POLLOUT : 0))};
	fds[1] = (struct pollfd){.fd = relay->spec->signal_fd, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = relay->input_open && !sending ? input_fd : -1, .events = POLLIN};

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR ? 0 : error_set_errno(relay->err, errno, "poll");
	if (fds[1].revents != 0)
		relay_take_signal(relay);
	if ((fds[0].revents & POLLOUT) != 0)
		result = relay_send(relay);
	/* The size first: what is typed after a resize is read by a program that knows it. */
	if (result == 0 && fds[2].revents != 0 && !relay->resized)
		result = relay_read_input(relay);
	if (result == 0 && !relay->over && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		result = relay_receive(relay);
	return result;
}

int
exec_relay_run(const ExecRelaySpec *spec, ExecRelayEnd *ret_end, int *ret_value, Error *err)
{
	Relay relay = {.spec = spec, .socket_fd = spec->stream->fd, .input_open = spec->input, .err = err};
	int result = 0;

	/* What came along with the header is not announced by poll. */
	while (result == 0 && !relay.over && spec->stream->received_at < spec->stream->received_bytes)
		result = relay_receive(&relay);
	while (result == 0 && !relay.over)
		result = relay_turn(&relay);
	if (result < 0)
		return result;
	*ret_end = relay.end;
	*ret_value = relay.value;
	return 0;
}

int
exec_relay_open_signals(sigset_t *ret_before)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, ret_before);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
exec_relay_die_of(int signal_number, const sigset_t *before)
{
	signal(signal_number, SIG_DFL);
	sigprocmask(SIG_SETMASK, before, NULL);
	raise(signal_number);
	return 128 + signal_number;
}
