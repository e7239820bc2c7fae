/* TCP segments, RFC 9293, 791, 8200, 7323; see gate_segment.h. */
#include "host/gate_segment.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_HEADER_BYTES	20
#define IPV4_HEADER_BYTES	20
#define IPV6_HEADER_BYTES	40
#define OPTION_END			0
#define OPTION_NOTHING		1
#define OPTION_STAMPS		8
#define OPTION_STAMPS_BYTES 10
#define FLAG_FIN			0x01
#define FLAG_SYN			0x02
#define FLAG_RST			0x04
#define FLAG_ACK			0x10
#define KEEPALIVE_HOP_LIMIT 64
#define ANSWER_WINDOW		512 /* scaled as the session agreed; a window that does not grow is not taken over */
#define TERMINATE_BYTES		5

static uint16_t
get16(const unsigned char *bytes)
{
	return (uint16_t) (bytes[0] << 8 | bytes[1]);
}

static uint32_t
get32(const unsigned char *bytes)
{
	return (uint32_t) get16(bytes) << 16 | get16(bytes + 2);
}

static void
put16(unsigned char *bytes, unsigned value)
{
	bytes[0] = (unsigned char) (value >> 8);
	bytes[1] = (unsigned char) value;
}

static void
put32(unsigned char *bytes, uint32_t value)
{
	put16(bytes, value >> 16);
	put16(bytes + 2, value & 0xffff);
}

static void
endpoint_read(int family, const unsigned char *address, const unsigned char *port,
			  struct sockaddr_storage *ret_endpoint)
{
	*ret_endpoint = (struct sockaddr_storage){.ss_family = (sa_family_t) family};
	if (family == AF_INET)
	{
		struct sockaddr_in *v4 = (struct sockaddr_in *) ret_endpoint;

		memcpy(&v4->sin_addr, address, 4);
		memcpy(&v4->sin_port, port, 2);
	}
	else
	{
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret_endpoint;

		memcpy(&v6->sin6_addr, address, 16);
		memcpy(&v6->sin6_port, port, 2);
	}
}

static void
stamps_read(const unsigned char *options, size_t size, GateSegment *segment)
{
	size_t at = 0;

	while (at < size && options[at] != OPTION_END)
	{
		if (options[at] == OPTION_NOTHING)
		{
			at++;
			continue;
		}
		if (at + 2 > size || options[at + 1] < 2 || at + options[at + 1] > size)
			return;
		if (options[at] == OPTION_STAMPS && options[at + 1] == OPTION_STAMPS_BYTES)
		{
			segment->has_stamps = true;
			segment->stamp = get32(options + at + 2);
			segment->stamp_echo = get32(options + at + 6);
			return;
		}
		at += options[at + 1];
	}
}

/* `packet` begins with the TCP header and ends with the payload. */
static bool
tcp_read(const unsigned char *packet, size_t size, GateSegment *segment)
{
	size_t header;

	if (size < TCP_HEADER_BYTES)
		return false;
	header = (size_t) (packet[12] >> 4) * 4;
	if (header < TCP_HEADER_BYTES || header > size)
		return false;
	segment->sequence = get32(packet + 4);
	segment->acknowledged = get32(packet + 8);
	segment->fin = (packet[13] & FLAG_FIN) != 0;
	segment->syn = (packet[13] & FLAG_SYN) != 0;
	segment->rst = (packet[13] & FLAG_RST) != 0;
	segment->ack = (packet[13] & FLAG_ACK) != 0;
	segment->payload = packet + header;
	segment->payload_bytes = size - header;
	stamps_read(packet + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES, segment);
	return true;
}

/* The length that the IP header tells counts, since a short frame is padded. */
static bool
ipv4_read(const unsigned char *packet, size_t size, GateSegment *segment)
{
	size_t header;
	size_t total;

	if (size < IPV4_HEADER_BYTES || packet[0] >> 4 != 4 || packet[9] != IPPROTO_TCP ||
		(get16(packet + 6) & 0x3fff) != 0)
		return false;
	header = (size_t) (packet[0] & 0xf) * 4;
	total = get16(packet + 2);
	if (header < IPV4_HEADER_BYTES || total > size || total < header + TCP_HEADER_BYTES)
		return false;
	endpoint_read(AF_INET, packet + 12, packet + header, &segment->sender);
	endpoint_read(AF_INET, packet + 16, packet + header + 2, &segment->receiver);
	return tcp_read(packet + header, total - header, segment);
}

static bool
ipv6_read(const unsigned char *packet, size_t size, GateSegment *segment)
{
	size_t total;

	if (size < IPV6_HEADER_BYTES || packet[0] >> 4 != 6 || packet[6] != IPPROTO_TCP)
		return false;
	total = IPV6_HEADER_BYTES + (size_t) get16(packet + 4);
	if (total > size || total < IPV6_HEADER_BYTES + TCP_HEADER_BYTES)
		return false;
	endpoint_read(AF_INET6, packet + 8, packet + IPV6_HEADER_BYTES, &segment->sender);
	endpoint_read(AF_INET6, packet + 24, packet + IPV6_HEADER_BYTES + 2, &segment->receiver);
	return tcp_read(packet + IPV6_HEADER_BYTES, total - IPV6_HEADER_BYTES, segment);
}

bool
gate_segment_parse(const unsigned char *frame, size_t size, GateSegment *ret_segment)
{
	GateSegment segment = {0};
	bool parsed = false;

	if (size < ETH_HLEN)
		return false;
	if (get16(frame + 12) == ETH_P_IP)
		parsed = ipv4_read(frame + ETH_HLEN, size - ETH_HLEN, &segment);
	else if (get16(frame + 12) == ETH_P_IPV6)
		parsed = ipv6_read(frame + ETH_HLEN, size - ETH_HLEN, &segment);
	if (parsed)
		*ret_segment = segment;
	return parsed;
}

GateVerdict
gate_segment_judge(const GateSegment *segment, const uint32_t *receive_next)
{
	static const unsigned char terminate[TERMINATE_BYTES] = {'X', 0, 0, 0, TERMINATE_BYTES - 1};
	uint32_t end = segment->sequence + (uint32_t) segment->payload_bytes + segment->fin;

	if (segment->rst)
		return GATE_KEEP;
	if (segment->syn)
		return GATE_IGNORE;
	/* Sequence numbers wrap around, so they are compared by their difference. A probe is a byte behind. */
	if (receive_next != NULL && (int32_t) (segment->sequence - *receive_next) < 0 &&
		(int32_t) (end - *receive_next) <= 0)
		return GATE_ANSWER;
	if (segment->payload_bytes == TERMINATE_BYTES && memcmp(segment->payload, terminate, TERMINATE_BYTES) == 0)
		return GATE_KEEP;
	if (segment->payload_bytes > 0)
		return GATE_KNOCK;
	return segment->fin ? GATE_KEEP : GATE_IGNORE;
}

/* ---- the answer ---- */

static uint32_t
sum_add(uint32_t sum, const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i + 1 < size; i += 2)
		sum += get16(bytes + i);
	return size % 2 == 0 ? sum : sum + (uint32_t) (bytes[size - 1] << 8);
}

static uint16_t
sum_finish(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~sum;
}

/* Writes the IP header for `tcp_bytes` that follow; ports are where they were. Returns where TCP begins. */
static unsigned char *
ip_answer(const unsigned char *frame, unsigned char *packet, size_t tcp_bytes, uint32_t *ret_pseudo_sum)
{
	uint32_t pseudo = IPPROTO_TCP + (uint32_t) tcp_bytes;

	frame += ETH_HLEN;
	if (frame[0] >> 4 == 4)
	{
		packet[0] = 0x45;
		put16(packet + 2, (unsigned) (IPV4_HEADER_BYTES + tcp_bytes));
		put16(packet + 6, 0x4000);
		packet[8] = KEEPALIVE_HOP_LIMIT;
		packet[9] = IPPROTO_TCP;
		memcpy(packet + 12, frame + 16, 4);
		memcpy(packet + 16, frame + 12, 4);
		put16(packet + 10, sum_finish(sum_add(0, packet, IPV4_HEADER_BYTES)));
		*ret_pseudo_sum = sum_add(pseudo, packet + 12, 8);
		return packet + IPV4_HEADER_BYTES;
	}
	packet[0] = 0x60;
	put16(packet + 4, (unsigned) tcp_bytes);
	packet[6] = IPPROTO_TCP;
	packet[7] = KEEPALIVE_HOP_LIMIT;
	memcpy(packet + 8, frame + 24, 16);
	memcpy(packet + 24, frame + 8, 16);
	*ret_pseudo_sum = sum_add(pseudo, packet + 8, 32);
	return packet + IPV6_HEADER_BYTES;
}

static void
ports_answer(const GateSegment *segment, unsigned char *tcp)
{
	unsigned char endpoint[2][2];

	memcpy(endpoint[0], &((const struct sockaddr_in *) &segment->receiver)->sin_port, 2);
	memcpy(endpoint[1], &((const struct sockaddr_in *) &segment->sender)->sin_port, 2);
	memcpy(tcp, endpoint, sizeof(endpoint));
}

size_t
gate_segment_answer(const unsigned char *frame, const GateSegment *segment, uint32_t receive_next,
					unsigned char answer[GATE_ANSWER_BYTES])
{
	size_t tcp_bytes = TCP_HEADER_BYTES + (segment->has_stamps ? 12 : 0);
	uint32_t pseudo_sum;
	unsigned char *tcp;

	memset(answer, 0, GATE_ANSWER_BYTES);
	memcpy(answer, frame + ETH_ALEN, ETH_ALEN);
	memcpy(answer + ETH_ALEN, frame, ETH_ALEN);
	memcpy(answer + 12, frame + 12, 2);
	tcp = ip_answer(frame, answer + ETH_HLEN, tcp_bytes, &pseudo_sum);
	ports_answer(segment, tcp);
	/* The machine was quiet: all that it sent was acknowledged, so its next byte is the one the peer waits for. */
	put32(tcp + 4, segment->acknowledged);
	put32(tcp + 8, receive_next);
	tcp[12] = (unsigned char) (tcp_bytes / 4 << 4);
	tcp[13] = FLAG_ACK;
	put16(tcp + 14, ANSWER_WINDOW);
	if (segment->has_stamps)
	{
		tcp[20] = tcp[21] = OPTION_NOTHING;
		tcp[22] = OPTION_STAMPS;
		tcp[23] = OPTION_STAMPS_BYTES;
		/* The last stamp of the machine that the peer has seen is not older than what it asks for (PAWS). */
		put32(tcp + 24, segment->stamp_echo);
		put32(tcp + 28, segment->stamp);
	}
	put16(tcp + 16, sum_finish(sum_add(pseudo_sum, tcp, tcp_bytes)));
	return (size_t) (tcp - answer) + tcp_bytes;
}
