/*
 * The one clock of the extension: CLOCK_MONOTONIC in nanoseconds, the same instant for PostgreSQL and the coordinator.
 * Reading it is a vdso call, no system call. It runs on while a machine is frozen.
 */
#ifndef LTTLE_CLOCK_H
#define LTTLE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define LTTLE_NS_PER_MS UINT64_C(1000000)

static inline uint64_t
lttle_clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * UINT64_C(1000000000) + (uint64_t) now.tv_nsec;
}

/* The instant `ms` milliseconds from now. */
static inline uint64_t
lttle_clock_deadline_ns(uint64_t ms)
{
	return lttle_clock_now_ns() + ms * LTTLE_NS_PER_MS;
}

#endif
