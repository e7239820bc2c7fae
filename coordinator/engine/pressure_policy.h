/*
 * Memory pressure, as values: whether there is any, who goes to disk for it, and how long one that could not go is left
 * alone. No system calls; pressure.c acts.
 */
#ifndef ENGINE_PRESSURE_POLICY_H
#define ENGINE_PRESSURE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/meminfo.h"
#include "model/settings.h"

#define PRESSURE_WHY_BYTES 112

/*
 * stalled: the kernel has reported that processes waited for memory for longer than the settings allow. It does so too
 * for a machine that has reached its own limit while the host has plenty; hence a stall alone is no pressure.
 * True with the reason, "memory pressure: …", for people.
 */
bool pressure_judge(const Settings *settings, const HostMemory *memory, bool stalled, char why[PRESSURE_WHY_BYTES]);

typedef struct PressureCandidate
{
	bool is_suspended;
	bool has_gate;			 /* its clients are already being kept by a gate */
	uint64_t slept_since_ns; /* monotonic */
	uint64_t not_before_ns;	 /* monotonic; it failed to go and is left alone until then; 0: it did not */
} PressureCandidate;

/* The coldest: the one that has been asleep for longest; of equals the first. `count` when nobody can go. */
size_t pressure_choose(const PressureCandidate *candidates, size_t count, uint64_t now_ns);

/* How long it is left alone after so many failures in a row (at least 1), in milliseconds. */
uint64_t pressure_retry_ms(unsigned failures);

#endif
