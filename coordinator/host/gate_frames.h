/*
 * Frames that a closed gate keeps for its sessions, in the order in which they came, bounded for each session and in
 * all. What finds no room is not kept: its sender sends it again. Only gate*.c include this.
 */
#ifndef HOST_GATE_FRAMES_H
#define HOST_GATE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_FRAMES_MAX_BYTES		262144
#define GATE_FRAMES_MAX_PER_SESSION 8

typedef struct GateFrame
{
	size_t session;
	uint32_t sequence;
	size_t payload_bytes;
	size_t size;
	unsigned char *bytes; /* as the packet socket gave it, so that it can be sent back */
} GateFrame;

typedef struct GateFrames
{
	GateFrame *frames;
	size_t count;
	size_t capacity;
	size_t bytes;
} GateFrames;

/* Keeps a copy. False: it is there already (sent again by its sender), or there is no room. */
bool gate_frames_keep(GateFrames *frames, const GateFrame *frame);

void gate_frames_clear(GateFrames *frames);

#endif
