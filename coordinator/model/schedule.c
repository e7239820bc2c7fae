/* Schedules; see schedule.h. */
#include "model/schedule.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "model/spec.h"

#define EVERY_DAY	   0x7fu
#define LEAST_INTERVAL UINT64_C(60000)
#define MOST_INTERVAL  (UINT64_C(366) * 86400000)

static const char not_understood[] = "must be an interval such as 6h or 1d, or a time of the day such as 03:30, Sun "
									 "03:30, Mon,Thu 12:00 or Mon..Fri 22:15";

/* A name of a day, whole or its first three letters. -1: none; *at is behind it. */
static int
read_day(const char **at)
{
	static const char *const names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
	size_t length = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	for (int day = 0; day < 7; day++)
	{
		if ((length == 3 || length == strlen(names[day])) && strncasecmp(*at, names[day], length) == 0)
		{
			*at += length;
			return day;
		}
	}
	return -1;
}

/* "Mon..Fri,Sun"; *at is behind it. */
static bool
read_days(const char **at, unsigned *ret_days)
{
	unsigned days = 0;

	for (;;)
	{
		int first = read_day(at);
		int last = first;

		if (first >= 0 && strncmp(*at, "..", 2) == 0)
		{
			*at += 2;
			last = read_day(at);
		}
		if (first < 0 || last < 0)
			return false;
		for (int day = first; day != last; day = (day + 1) % 7)
			days |= 1u << day;
		days |= 1u << last;
		if (**at != ',')
			break;
		(*at)++;
	}
	*ret_days = days;
	return true;
}

static bool
read_time(const char *text, unsigned *ret_minute)
{
	unsigned hour;
	unsigned minute;
	int end = 0;

	if (strspn(text, "0123456789:") != strlen(text) || sscanf(text, "%2u:%2u%n", &hour, &minute, &end) != 2 ||
		text[end] != '\0' || hour > 23 || minute > 59)
		return false;
	*ret_minute = hour * 60 + minute;
	return true;
}

const char *
schedule_parse(const char *text, Schedule *ret_schedule)
{
	Schedule schedule = {.weekdays = EVERY_DAY};
	const char *at = text;
	const char *problem = NULL;

	if (strcmp(text, "daily") == 0)
		at = "00:00";
	else if (strcmp(text, "weekly") == 0)
		at = "Mon 00:00";
	if (strchr(at, ':') == NULL)
	{
		problem = duration_parse(at, &schedule.interval_ms);
		if (problem != NULL)
			problem = not_understood;
		else if (schedule.interval_ms < LEAST_INTERVAL || schedule.interval_ms > MOST_INTERVAL)
			problem = "must be an interval from 1m to 366d";
	}
	else if (*at < '0' || *at > '9')
	{
		if (!read_days(&at, &schedule.weekdays) || *at != ' ')
			return not_understood;
		at += strspn(at, " ");
		if (!read_time(at, &schedule.minute))
			return not_understood;
	}
	else if (!read_time(at, &schedule.minute))
		problem = not_understood;
	if (problem == NULL)
		*ret_schedule = schedule;
	return problem;
}

uint64_t
schedule_next(const Schedule *schedule, uint64_t after_ms)
{
	time_t after = (time_t) (after_ms / 1000);
	struct tm day;

	if (schedule->interval_ms > 0)
		return after_ms + schedule->interval_ms;
	localtime_r(&after, &day);
	/* mktime sets right what a day has too much, and what a change of the clock leaves out. */
	for (int i = 0; i <= 8; i++)
	{
		struct tm when = {.tm_year = day.tm_year,
						  .tm_mon = day.tm_mon,
						  .tm_mday = day.tm_mday + i,
						  .tm_hour = (int) (schedule->minute / 60),
						  .tm_min = (int) (schedule->minute % 60),
						  .tm_isdst = -1};
		time_t at = mktime(&when);

		if (at > after && (schedule->weekdays & (1u << when.tm_wday)) != 0)
			return (uint64_t) at * 1000;
	}
	return after_ms + MOST_INTERVAL;
}
