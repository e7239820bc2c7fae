/*
 * Frames of an upgraded exec connection. After the 101 header both directions carry frames: one byte of type, four
 * bytes of payload length (big-endian), the payload. A payload has at most FRAME_MAX_PAYLOAD_BYTES.
 *
 *   from the client                      from the coordinator
 *   FRAME_STDIN      bytes               FRAME_STDOUT   bytes (everything, when there is a terminal)
 *   FRAME_STDIN_EOF  empty               FRAME_STDERR   bytes
 *   FRAME_RESIZE     rows, columns:      FRAME_EXIT     exit status as a shell gives it, 4 bytes big-endian; the last
 *                    2 bytes big-endian                 frame, then the coordinator closes
 *                    each                FRAME_ERROR    text; the last frame
 *
 * A client that closes or half-closes its side ends the program.
 */
#ifndef API_FRAME_H
#define API_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES		5
#define FRAME_MAX_PAYLOAD_BYTES 65536

/* The protocol's name in the Upgrade header. */
#define FRAME_UPGRADE_PROTOCOL "lttle-exec"

typedef enum FrameType
{
	FRAME_STDIN = 0,
	FRAME_STDOUT = 1,
	FRAME_STDERR = 2,
	FRAME_RESIZE = 3,
	FRAME_EXIT = 4,
	FRAME_ERROR = 5,
	FRAME_STDIN_EOF = 6
} FrameType;

typedef struct FrameHeader
{
	FrameType type;
	uint32_t payload_bytes;
} FrameHeader;

typedef struct FrameSize
{
	uint16_t rows;
	uint16_t columns;
} FrameSize;

/* payload_bytes: at most FRAME_MAX_PAYLOAD_BYTES. */
void frame_header_write(FrameType type, size_t payload_bytes, uint8_t ret_header[FRAME_HEADER_BYTES]);

/* False when the type is unknown or the payload too long for it: the stream cannot be trusted any more. */
bool frame_header_read(const uint8_t header[FRAME_HEADER_BYTES], FrameHeader *ret_header);

/* Payloads of FRAME_RESIZE and FRAME_EXIT. */
void frame_size_write(FrameSize size, uint8_t ret_payload[4]);
FrameSize frame_size_read(const uint8_t payload[4]);
void frame_exit_write(int exit_status, uint8_t ret_payload[4]);
int frame_exit_read(const uint8_t payload[4]);

#endif
