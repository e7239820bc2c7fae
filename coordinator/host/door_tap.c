/* Packet socket with a classic BPF filter; see door_tap.h and the kernel's networking/filter.rst. */
#include "host/door_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/background.h"

#define TAP_SNAP_BYTES	  128 /* enough for either IP header and TCP's ports */
#define TAP_RECEIVE_BYTES 65536

#define ANCILLARY(field) ((uint32_t) (SKF_AD_OFF + (field)))

/*
 * Accepts what leaves through the link (so: goes to the machine), is TCP, is no later fragment, and is longer than its
 * IP and TCP headers. Offsets count from the network header because the socket is SOCK_DGRAM. Jumps are relative to
 * the next instruction; 25 rejects, 26 accepts.
 */
static const struct sock_filter tap_filter[] = {
	/* 0 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ANCILLARY(SKF_AD_PKTTYPE)),
	/* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 23),
	/* 2 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ANCILLARY(SKF_AD_PROTOCOL)),
	/* 3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 1, 0),
	/* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 11, 20),
	/* IPv4: protocol, fragment offset, header length by its own field */
	/* 5 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
	/* 6 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 18),
	/* 7 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
	/* 8 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 16, 0),
	/* 9 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
	/* 10 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 12),
	/* 11 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
	/* 12 */ BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2),
	/* 13 */ BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
	/* 14 */ BPF_STMT(BPF_MISC | BPF_TAX, 0),
	/* 15 */ BPF_JUMP(BPF_JMP | BPF_JA, 7, 0, 0),
	/* IPv6 without extension headers */
	/* 16 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
	/* 17 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 7),
	/* 18 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40 + 12),
	/* 19 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
	/* 20 */ BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2),
	/* 21 */ BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 40),
	/* 22 */ BPF_STMT(BPF_MISC | BPF_TAX, 0),
	/* the headers' length is in X */
	/* 23 */ BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	/* 24 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 1, 0),
	/* 25 */ BPF_STMT(BPF_RET | BPF_K, 0),
	/* 26 */ BPF_STMT(BPF_RET | BPF_K, TAP_SNAP_BYTES),
};

/* What may be waiting before filter and link were set says nothing. */
static int
tap_attach(int fd, unsigned link_index, const struct sock_fprog *filter, int receive_bytes, Error *err)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		/* Only a socket for every protocol sees what leaves the host. */
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int) link_index,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof(*filter)) < 0)
		return error_set_errno(err, errno, "packet filter");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes)) < 0)
		return error_set_errno(err, errno, "packet buffer");
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		return error_set_errno(err, errno, "bind the packet socket");
	return 0;
}

int
door_tap_open_socket(const char *link, int type, const struct sock_fprog *filter, int receive_bytes, int *ret_fd,
					 Error *err)
{
	unsigned link_index = if_nametoindex(link);
	/* Protocol 0: it hears nothing before it is bound, and then only this link. */
	_cleanup_fd_ int fd = -1;
	int result;

	if (link_index == 0)
		return error_set_errno(err, errno, "link %s", link);
	fd = socket(AF_PACKET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, errno, "link %s: packet socket", link);
	result = tap_attach(fd, link_index, filter, receive_bytes, err);
	if (result < 0)
	{
		error_prefix(err, "link %s", link);
		return result;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
door_tap_open(const char *host_link, int *ret_fd, Error *err)
{
	struct sock_fprog program = {
		.len = sizeof(tap_filter) / sizeof(tap_filter[0]),
		.filter = (struct sock_filter *) tap_filter,
	};

	return door_tap_open_socket(host_link, SOCK_DGRAM, &program, TAP_RECEIVE_BYTES, ret_fd, err);
}

static void
close_slowly(void *object)
{
	close((int) (intptr_t) object);
}

void
door_tap_close(int fd)
{
	background_release(close_slowly, (void *) (intptr_t) fd);
}

static bool
packet_parse_sender(const unsigned char *packet, size_t size, struct sockaddr_storage *ret_sender)
{
	*ret_sender = (struct sockaddr_storage){0};
	if (size >= 40 && packet[0] >> 4 == 4)
	{
		struct sockaddr_in *v4 = (struct sockaddr_in *) ret_sender;
		size_t header = (size_t) (packet[0] & 0xf) * 4;

		if (header < 20 || header + 2 > size)
			return false;
		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, packet + 12, 4);
		memcpy(&v4->sin_port, packet + header, 2);
		return true;
	}
	if (size >= 60 && packet[0] >> 4 == 6)
	{
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret_sender;

		v6->sin6_family = AF_INET6;
		memcpy(&v6->sin6_addr, packet + 8, 16);
		memcpy(&v6->sin6_port, packet + 40, 2);
		return true;
	}
	return false;
}

int
door_tap_read(int tap_fd, struct sockaddr_storage *ret_sender)
{
	for (;;)
	{
		unsigned char packet[TAP_SNAP_BYTES];
		ssize_t got = recv(tap_fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (packet_parse_sender(packet, (size_t) got, ret_sender))
			return 1;
	}
}
