/* When backups by schedule are due. */
#include "model/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define HOUR_MS (UINT64_C(3600) * 1000)

static uint64_t
utc_ms(const char *text)
{
	struct tm when = {0};

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &when));
	return (uint64_t) timegm(&when) * 1000;
}

static void
set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* after, next: UTC */
static void
assert_next(const char *schedule, const char *after, const char *next)
{
	Schedule parsed;

	assert_null(schedule_parse(schedule, &parsed));
	assert_int_equal(schedule_next(&parsed, utc_ms(after)), utc_ms(next));
}

static void
test_intervals(void **state)
{
	(void) state;
	assert_next("6h", "2026-03-01 10:07", "2026-03-01 16:07");
	assert_next("1d", "2026-02-28 10:07", "2026-03-01 10:07");
	assert_next("1m", "2026-12-31 23:59", "2027-01-01 00:00");
}

static void
test_times_of_the_day(void **state)
{
	(void) state;
	set_zone("UTC0");
	assert_next("03:30", "2026-03-01 03:29", "2026-03-01 03:30");
	assert_next("03:30", "2026-03-01 03:30", "2026-03-02 03:30");
	assert_next("00:00", "2026-12-31 12:00", "2027-01-01 00:00");
	assert_next("daily", "2026-03-01 12:00", "2026-03-02 00:00");
	/* 2026-03-01 is a Sunday. */
	assert_next("weekly", "2026-03-01 12:00", "2026-03-02 00:00");
	assert_next("Sun 03:30", "2026-03-01 03:30", "2026-03-08 03:30");
	assert_next("sunday 03:30", "2026-03-01 03:00", "2026-03-01 03:30");
	assert_next("Mon,Thu 12:00", "2026-03-02 12:00", "2026-03-05 12:00");
	assert_next("Mon..Fri 22:15", "2026-03-06 22:15", "2026-03-09 22:15");
	assert_next("Fri..Mon 01:00", "2026-03-03 00:00", "2026-03-06 01:00");
	assert_next("Sat,Mon..Tue 01:00", "2026-03-03 02:00", "2026-03-07 01:00");
}

/* A time that the day leaves out is the one after it; one that comes twice is done once. */
static void
test_changes_of_the_clock(void **state)
{
	(void) state;
	set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	assert_next("03:30", "2026-03-28 12:00", "2026-03-29 01:30");
	assert_next("02:30", "2026-03-28 12:00", "2026-03-29 01:30");
	assert_next("02:30", "2026-03-29 01:30", "2026-03-30 00:30");
	assert_next("12:00", "2026-10-24 10:00", "2026-10-25 11:00");
	set_zone("UTC0");
}

static void
test_what_is_none(void **state)
{
	static const char *const wrong[] = {
		"",			 "0",		 "59s",	   "367d",	   "24:00",	  "3:60",		  "12:00:00",
		":30",		 "Mon",		 "Mon 12", "Mon12:00", "Mo 1:00", "Mon.Fri 1:00", "Mon.. 1:00",
		"Mon, 1:00", "1:00 Mon", "often",  "-6h",	   "03:30 ",  "* 1:00",		  "+1:00"};
	Schedule parsed;

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		if (schedule_parse(wrong[i], &parsed) == NULL)
			fail_msg("'%s' was taken", wrong[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_times_of_the_day),
		cmocka_unit_test(test_changes_of_the_clock),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
