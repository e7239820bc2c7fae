/* The one clock of the coordinator; see clock.h. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t (*replaced_monotonic_ns)(void);
static uint64_t (*replaced_realtime_ms)(void);

static uint64_t
clock_read_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t) now.tv_sec * NS_PER_SECOND + (uint64_t) now.tv_nsec;
}

uint64_t
clock_monotonic_ns(void)
{
	return replaced_monotonic_ns != NULL ? replaced_monotonic_ns() : clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_realtime_ms(void)
{
	return replaced_realtime_ms != NULL ? replaced_realtime_ms() : clock_read_ns(CLOCK_REALTIME) / NS_PER_MS;
}

void
clock_replace(uint64_t (*monotonic_ns)(void), uint64_t (*realtime_ms)(void))
{
	replaced_monotonic_ns = monotonic_ns;
	replaced_realtime_ms = realtime_ms;
}
