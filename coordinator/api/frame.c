/* Frames of an upgraded exec connection; see frame.h. */
#include "api/frame.h"

#include <arpa/inet.h>
#include <string.h>

/* How long the payload of each type may be: exactly so long when the two are the same. */
static const struct
{
	uint32_t least_bytes;
	uint32_t most_bytes;
} frame_limits[] = {
	[FRAME_STDIN] = {0, FRAME_MAX_PAYLOAD_BYTES},
	[FRAME_STDOUT] = {0, FRAME_MAX_PAYLOAD_BYTES},
	[FRAME_STDERR] = {0, FRAME_MAX_PAYLOAD_BYTES},
	[FRAME_RESIZE] = {4, 4},
	[FRAME_EXIT] = {4, 4},
	[FRAME_ERROR] = {0, FRAME_MAX_PAYLOAD_BYTES},
	[FRAME_STDIN_EOF] = {0, 0},
};

void
frame_header_write(FrameType type, size_t payload_bytes, uint8_t ret_header[FRAME_HEADER_BYTES])
{
	uint32_t length = htonl((uint32_t) payload_bytes);

	ret_header[0] = (uint8_t) type;
	memcpy(ret_header + 1, &length, sizeof(length));
}

bool
frame_header_read(const uint8_t header[FRAME_HEADER_BYTES], FrameHeader *ret_header)
{
	uint32_t length;

	memcpy(&length, header + 1, sizeof(length));
	length = ntohl(length);
	if (header[0] >= sizeof(frame_limits) / sizeof(frame_limits[0]))
		return false;
	if (length < frame_limits[header[0]].least_bytes || length > frame_limits[header[0]].most_bytes)
		return false;
	*ret_header = (FrameHeader){.type = (FrameType) header[0], .payload_bytes = length};
	return true;
}

void
frame_size_write(FrameSize size, uint8_t ret_payload[4])
{
	uint16_t parts[2] = {htons(size.rows), htons(size.columns)};

	memcpy(ret_payload, parts, sizeof(parts));
}

FrameSize
frame_size_read(const uint8_t payload[4])
{
	uint16_t parts[2];

	memcpy(parts, payload, sizeof(parts));
	return (FrameSize){.rows = ntohs(parts[0]), .columns = ntohs(parts[1])};
}

void
frame_exit_write(int exit_status, uint8_t ret_payload[4])
{
	uint32_t status = htonl((uint32_t) exit_status);

	memcpy(ret_payload, &status, sizeof(status));
}

int
frame_exit_read(const uint8_t payload[4])
{
	uint32_t status;

	memcpy(&status, payload, sizeof(status));
	return (int) ntohl(status);
}
