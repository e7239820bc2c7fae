/* The frames that a closed gate keeps; see gate_frames.h. */
#include "host/gate_frames.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

bool
gate_frames_keep(GateFrames *frames, const GateFrame *frame)
{
	unsigned of_session = 0;
	GateFrame *copy;

	if (frame->size + sizeof(*frame) > GATE_FRAMES_MAX_BYTES - frames->bytes)
		return false;
	for (size_t i = 0; i < frames->count; i++)
	{
		const GateFrame *other = &frames->frames[i];

		if (other->session != frame->session)
			continue;
		if (other->sequence == frame->sequence && other->payload_bytes == frame->payload_bytes)
			return false;
		if (++of_session == GATE_FRAMES_MAX_PER_SESSION)
			return false;
	}
	frames->frames = memory_grow(frames->frames, &frames->capacity, frames->count + 1, sizeof(*frames->frames));
	copy = &frames->frames[frames->count++];
	*copy = *frame;
	copy->bytes = memory_allocate(frame->size);
	memcpy(copy->bytes, frame->bytes, frame->size);
	frames->bytes += frame->size + sizeof(*frame);
	return true;
}

void
gate_frames_clear(GateFrames *frames)
{
	for (size_t i = 0; i < frames->count; i++)
		free(frames->frames[i].bytes);
	free(frames->frames);
	*frames = (GateFrames){0};
}
