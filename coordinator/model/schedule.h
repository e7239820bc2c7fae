/*
 * When something is done again and again: at an interval ("6h", as every duration), or at a time of the day, written as
 * systemd.time(7) does it: "03:30", "Sun 03:30", "Mon,Thu 12:00", "Mon..Fri 22:15", "daily", "weekly". Local time.
 */
#ifndef MODEL_SCHEDULE_H
#define MODEL_SCHEDULE_H

#include <stdint.h>

typedef struct Schedule
{
	uint64_t interval_ms; /* 0: by the time of the day */
	unsigned weekdays;	  /* bit 0: Sunday … bit 6: Saturday */
	unsigned minute;	  /* of the day */
} Schedule;

/* Returns NULL, or what is wrong with it (a static string). */
const char *schedule_parse(const char *text, Schedule *ret_schedule);

/* The first time after `after_ms`, which is when it was last done; milliseconds since the epoch. */
uint64_t schedule_next(const Schedule *schedule, uint64_t after_ms);

#endif
