/* Durations of steps, as text; see steps.h. */
#include "base/steps.h"

#include <stdio.h>

#include "base/clock.h"

void
steps_begin(Steps *steps)
{
	*steps = (Steps){.last_ns = clock_monotonic_ns()};
}

void
steps_note(Steps *steps, const char *name)
{
	uint64_t now_ns = clock_monotonic_ns();
	size_t room;
	int length;

	if (steps == NULL)
		return;
	room = sizeof(steps->text) - steps->length;
	length = snprintf(steps->text + steps->length, room, "%s%s=%.1fms", steps->length == 0 ? "" : " ", name,
					  (double) (now_ns - steps->last_ns) / NS_PER_MS);
	if (length > 0 && (size_t) length < room)
		steps->length += (size_t) length;
	else
		steps->text[steps->length] = '\0';
	steps->last_ns = now_ns;
}
