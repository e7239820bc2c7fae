/*
 * The two packet sockets of a closed gate. One listens at the host's end of the machine's link to all TCP that goes to
 * the machine, and sends frames to it as if they came from there; one speaks for the machine at its own end. Offloads
 * are carried along (PACKET_VNET_HDR): a frame may be longer than the link's MTU, and its checksum may still be open,
 * which the kernel then completes when it is sent back. Only gate*.c include this.
 */
#ifndef HOST_GATE_TAP_H
#define HOST_GATE_TAP_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct GateTap
{
	int host_fd; /* -1: closed */
	int host_index;
	int namespace_fd; /* borrowed */
	int machine_fd;
	int machine_index;
} GateTap;

#define GATE_TAP_CLOSED ((GateTap){.host_fd = -1, .machine_fd = -1})

/* Opens the host's side. -ENODEV when there is no such link. namespace_fd stays the caller's. */
int gate_tap_open(int namespace_fd, const char *host_link, GateTap *ret_tap, Error *err) MUST_CHECK;

/* Takes one packet: the offload header, then the frame, which begins at *ret_frame. Returns the packet's size; 0:
 * nothing there; negative errno. The bytes are good until the next call. */
ssize_t gate_tap_read(const GateTap *tap, const unsigned char **ret_packet, const unsigned char **ret_frame) MUST_CHECK;

/* Sends a packet, as it was read, to the machine. What the link does not take now is lost, as on any network. */
void gate_tap_replay(const GateTap *tap, const unsigned char *packet, size_t size);

/* Sends a frame in the machine's name. */
void gate_tap_answer(GateTap *tap, const unsigned char *frame, size_t size);

void gate_tap_close(GateTap *tap);

#endif
