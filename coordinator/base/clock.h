/* The one clock of the coordinator. Tests replace it; nothing else reads the time. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS	  UINT64_C(1000000)
#define NS_PER_SECOND UINT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds: for durations and deadlines, and the same instant in every machine. */
uint64_t clock_monotonic_ns(void);

/* CLOCK_REALTIME in milliseconds since the epoch: for people to read, never for deciding. */
uint64_t clock_realtime_ms(void);

/* Tests only: replaces both clocks; NULL brings the real one back. */
void clock_replace(uint64_t (*monotonic_ns)(void), uint64_t (*realtime_ms)(void));

#endif
