/* Running an event loop in a test until a condition holds, with a deadline that fails the test loudly. */
#ifndef TESTS_UNIT_LOOP_H
#define TESTS_UNIT_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

#define LOOP_DEADLINE_SECONDS 30

static inline void
loop_ignore(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	(void) context;
}

/* True when condition(context) became true; false at the deadline. */
static inline bool
loop_run_until(struct event_base *loop, bool (*condition)(void *context), void *context)
{
	uint64_t deadline_ns = clock_monotonic_ns() + LOOP_DEADLINE_SECONDS * NS_PER_SECOND;
	/* Wakes the loop up now and then, so that the deadline is seen although nothing else happens. */
	struct event *tick = event_new(loop, -1, EV_PERSIST, loop_ignore, NULL);
	struct timeval often = {.tv_usec = 20000};
	bool held;

	event_add(tick, &often);
	while (!(held = condition(context)) && clock_monotonic_ns() < deadline_ns)
		event_base_loop(loop, EVLOOP_ONCE);
	event_free(tick);
	return held;
}

static inline bool
loop_flag_is_set(void *context)
{
	return *(const bool *) context;
}

/* Lets everything happen that is ready to happen now. */
static inline void
loop_run_ready(struct event_base *loop)
{
	event_base_loop(loop, EVLOOP_NONBLOCK);
}

#endif
