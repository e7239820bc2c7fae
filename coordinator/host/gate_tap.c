/* The packet sockets of a closed gate; see gate_tap.h and packet(7). */
#include "host/gate_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "host/door_tap.h"
#include "host/netns.h"

#define MACHINE_LINK	  "eth0" /* see network.h */
#define TAP_RECEIVE_BYTES 524288
#define TAP_FRAME_BYTES	  (ETH_HLEN + 65536 + 64) /* the longest that the kernel puts together, and its addresses */

#define ANCILLARY(field) ((uint32_t) (SKF_AD_OFF + (field)))

/* Accepts what leaves through the link (so: goes to the machine) and is TCP. Offsets count from the Ethernet header. */
static const struct sock_filter tap_filter[] = {
	/* 0 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ANCILLARY(SKF_AD_PKTTYPE)),
	/* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 7),
	/* 2 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ANCILLARY(SKF_AD_PROTOCOL)),
	/* 3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 2),
	/* 4 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 9),
	/* 5 */ BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0),
	/* 6 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 2),
	/* 7 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + 6),
	/* 8 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0),
	/* 9 */ BPF_STMT(BPF_RET | BPF_K, 0),
	/* 10 */ BPF_STMT(BPF_RET | BPF_K, 0x40000),
};

/* In the machine's namespace. Protocol 0: the socket hears nothing, it only speaks. */
static int
open_machine_side(void *context, Error *err)
{
	GateTap *tap = context;
	unsigned index = if_nametoindex(MACHINE_LINK);

	if (index == 0)
		return error_set_errno(err, errno, "link %s of the machine", MACHINE_LINK);
	tap->machine_index = (int) index;
	tap->machine_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tap->machine_fd < 0)
		return error_set_errno(err, errno, "link %s of the machine: packet socket", MACHINE_LINK);
	return 0;
}

int
gate_tap_open(int namespace_fd, const char *host_link, GateTap *ret_tap, Error *err)
{
	struct sock_fprog program = {
		.len = sizeof(tap_filter) / sizeof(tap_filter[0]),
		.filter = (struct sock_filter *) tap_filter,
	};
	_cleanup_(gate_tap_close) GateTap tap = GATE_TAP_CLOSED;
	int on = 1;
	int result = door_tap_open_socket(host_link, SOCK_RAW, &program, TAP_RECEIVE_BYTES, &tap.host_fd, err);

	if (result < 0)
		return result;
	if (setsockopt(tap.host_fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return error_set_errno(err, errno, "link %s: packet socket with offloads", host_link);
	tap.host_index = (int) if_nametoindex(host_link);
	tap.namespace_fd = namespace_fd;
	*ret_tap = tap;
	tap = GATE_TAP_CLOSED;
	return 0;
}

ssize_t
gate_tap_read(const GateTap *tap, const unsigned char **ret_packet, const unsigned char **ret_frame)
{
	static unsigned char packet[sizeof(struct virtio_net_hdr) + TAP_FRAME_BYTES];

	for (;;)
	{
		ssize_t got = recv(tap->host_fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : -errno;
		/* Longer than everything that the kernel makes by default: not to be kept. Shorter: no frame. */
		if ((size_t) got > sizeof(packet) || (size_t) got < sizeof(struct virtio_net_hdr) + ETH_HLEN)
			continue;
		*ret_packet = packet;
		*ret_frame = packet + sizeof(struct virtio_net_hdr);
		return got;
	}
}

static void
send_frame(int fd, int index, const unsigned char *frame, const void *bytes, size_t size)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = ETH_ALEN};

	memcpy(&to.sll_protocol, frame + 12, sizeof(to.sll_protocol));
	memcpy(to.sll_addr, frame, ETH_ALEN);
	(void) sendto(fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *) &to, sizeof(to));
}

void
gate_tap_replay(const GateTap *tap, const unsigned char *packet, size_t size)
{
	send_frame(tap->host_fd, tap->host_index, packet + sizeof(struct virtio_net_hdr), packet, size);
}

void
gate_tap_answer(GateTap *tap, const unsigned char *frame, size_t size)
{
	/* Without it nobody answers, as if the answer had been lost. */
	if (tap->machine_fd < 0 && netns_run(tap->namespace_fd, open_machine_side, tap, NULL) < 0)
		return;
	send_frame(tap->machine_fd, tap->machine_index, frame, frame, size);
}

void
gate_tap_close(GateTap *tap)
{
	if (tap->host_fd >= 0)
		door_tap_close(tap->host_fd);
	if (tap->machine_fd >= 0)
		door_tap_close(tap->machine_fd);
	*tap = GATE_TAP_CLOSED;
}
