/*
 * How long each step of a longer work took, as one line for the log: "verify=1.2ms spend=3.4ms". A plain value without
 * pointers, so that a job hands it back as part of its output.
 */
#ifndef BASE_STEPS_H
#define BASE_STEPS_H

#include <stddef.h>
#include <stdint.h>

#define STEPS_TEXT_BYTES 256

typedef struct Steps
{
	uint64_t last_ns; /* CLOCK_MONOTONIC, when the last step ended */
	size_t length;
	char text[STEPS_TEXT_BYTES];
} Steps;

/* The first step begins now. */
void steps_begin(Steps *steps);

/* The step that ends now had this name; the next one begins. A step for which there is no room is left out whole, and
 * its time with it. `steps` may be NULL: nobody wants to know. */
void steps_note(Steps *steps, const char *name);

#endif
