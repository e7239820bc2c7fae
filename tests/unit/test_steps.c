/* Steps of a work and how long they took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/steps.h"

static uint64_t fake_now_ns;

static uint64_t
fake_clock(void)
{
	return fake_now_ns;
}

static int
replace_clock(void **state)
{
	(void) state;
	clock_replace(fake_clock, NULL);
	return 0;
}

static int
restore_clock(void **state)
{
	(void) state;
	clock_replace(NULL, NULL);
	return 0;
}

static void
test_each_step_has_its_own_time(void **state)
{
	Steps steps;

	(void) state;
	fake_now_ns = 7 * NS_PER_MS;
	steps_begin(&steps);
	assert_string_equal(steps.text, "");
	fake_now_ns += 1250000;
	steps_note(&steps, "verify");
	fake_now_ns += 30 * NS_PER_MS;
	steps_note(&steps, "criu");
	assert_string_equal(steps.text, "verify=1.2ms criu=30.0ms");
}

/* Never half a step, however many there are; and a later one does not get the time of those left out. */
static void
test_what_has_no_room_is_left_out_whole(void **state)
{
	Steps steps;
	size_t length;

	(void) state;
	steps_begin(&steps);
	for (int i = 0; i < 17; i++)
	{
		fake_now_ns += NS_PER_MS;
		steps_note(&steps, "step-name"); /* 15 characters with its time, 16 with the blank */
	}
	length = strlen(steps.text);
	assert_int_equal(length, 15 + 15 * 16);
	assert_string_equal(steps.text + length - 16, " step-name=1.0ms");
	fake_now_ns += NS_PER_MS;
	steps_note(&steps, "step-name");
	assert_int_equal(strlen(steps.text), length);
}

static void
test_nobody_wants_to_know(void **state)
{
	(void) state;
	steps_note(NULL, "verify");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_step_has_its_own_time),
		cmocka_unit_test(test_what_has_no_room_is_left_out_whole),
		cmocka_unit_test(test_nobody_wants_to_know),
	};

	return cmocka_run_group_tests(tests, replace_clock, restore_clock);
}
