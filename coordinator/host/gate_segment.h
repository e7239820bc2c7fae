/*
 * TCP segments as a packet socket sees them: reading one, and making the acknowledgement that answers a keepalive
 * probe. Pure functions over bytes from the network. Only gate*.c include this.
 */
#ifndef HOST_GATE_SEGMENT_H
#define HOST_GATE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define GATE_ANSWER_BYTES 86 /* Ethernet, IPv6, TCP, time stamps */

typedef struct GateSegment
{
	struct sockaddr_storage sender;
	struct sockaddr_storage receiver;
	uint32_t sequence;
	uint32_t acknowledged;
	bool fin;
	bool syn;
	bool rst;
	bool ack;
	const unsigned char *payload; /* into the frame */
	size_t payload_bytes;
	bool has_stamps; /* RFC 7323 */
	uint32_t stamp;
	uint32_t stamp_echo;
} GateSegment;

/* Reads an Ethernet frame with TCP over IPv4, or over IPv6 without extension headers. False: something else, or torn.
 */
bool gate_segment_parse(const unsigned char *frame, size_t size, GateSegment *ret_segment);

typedef enum GateVerdict
{
	GATE_IGNORE, /* says nothing new: an acknowledgement */
	GATE_ANSWER, /* a keepalive probe, or bytes that the machine has acknowledged: wants to hear that somebody is there
				  */
	GATE_KEEP,	 /* the session's end: Terminate, FIN, RST; nobody waits for an answer */
	GATE_KNOCK	 /* bytes for the machine */
} GateVerdict;

/* Says what a segment of an open session wants. receive_next: see GateSession; NULL when it isn't known. */
GateVerdict gate_segment_judge(const GateSegment *segment, const uint32_t *receive_next);

/*
 * Writes the acknowledgement by which a machine answers the segment in `frame`, as an Ethernet frame of the other
 * direction. Returns its size.
 */
size_t gate_segment_answer(const unsigned char *frame, const GateSegment *segment, uint32_t receive_next,
						   unsigned char answer[GATE_ANSWER_BYTES]);

#endif
