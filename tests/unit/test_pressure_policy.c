/* When memory runs short, by the figures alone: whether it does, who goes to disk, when a failed one is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine/pressure_policy.h"

#define MIB UINT64_C(1048576)

static Settings settings;

static int
set_up(void **state)
{
	(void) state;
	settings_defaults(&settings);
	return 0;
}

/* Judges a host with 1000 MiB of memory and 2000 MiB of swap. expected NULL: no pressure. */
static void
assert_judged(uint64_t available_mib, uint64_t swap_free_mib, bool stalled, const char *expected)
{
	HostMemory memory = {.total_bytes = 1000 * MIB,
						 .available_bytes = available_mib * MIB,
						 .swap_total_bytes = 2000 * MIB,
						 .swap_free_bytes = swap_free_mib * MIB};
	char why[PRESSURE_WHY_BYTES] = "untouched";

	assert_int_equal(pressure_judge(&settings, &memory, stalled, why), expected != NULL);
	assert_string_equal(why, expected != NULL ? expected : "untouched");
}

static void
test_available_memory(void **state)
{
	(void) state;
	assert_judged(1000, 2000, false, NULL);
	assert_judged(50, 2000, false, NULL);
	assert_judged(49, 2000, false, "memory pressure: 49 of 1000 MiB available, less than 5 %");
	assert_judged(0, 2000, false, "memory pressure: 0 of 1000 MiB available, less than 5 %");
	settings.memory_available_min = 0;
	assert_judged(0, 2000, false, NULL);
	/* What the end-to-end test relies on: nothing is ever all available. */
	settings.memory_available_min = 100;
	assert_judged(999, 2000, false, "memory pressure: 999 of 1000 MiB available, less than 100 %");
}

static void
test_swap(void **state)
{
	HostMemory none = {.total_bytes = 1000 * MIB, .available_bytes = 1000 * MIB};
	char why[PRESSURE_WHY_BYTES];

	(void) state;
	assert_judged(1000, 200, false, NULL);
	assert_judged(1000, 199, false, "memory pressure: 1801 of 2000 MiB swap used, more than 90 %");
	settings.swap_used_limit = 100;
	assert_judged(1000, 0, false, NULL);
	settings.swap_used_limit = 0;
	assert_judged(1000, 2000, false, NULL);
	assert_judged(1000, 1999, false, "memory pressure: 1 of 2000 MiB swap used, more than 0 %");
	/* A host without swap has none that is full; nor has one that tells of more free than there is. */
	assert_false(pressure_judge(&settings, &none, false, why));
	assert_judged(1000, 2001, false, NULL);
}

static void
test_a_stall_counts_when_little_is_left(void **state)
{
	(void) state;
	assert_judged(199, 2000, false, NULL);
	assert_judged(200, 2000, true, NULL);
	assert_judged(199, 2000, true, "memory pressure: processes waited for memory, more than 10 % of the time");
	settings.memory_available_min = 0;
	assert_judged(0, 2000, true, NULL);
}

static void
test_the_coldest_goes_first(void **state)
{
	PressureCandidate candidates[] = {
		{.is_suspended = true, .slept_since_ns = 30},
		{.is_suspended = true, .slept_since_ns = 10},
		{.is_suspended = true, .slept_since_ns = 20},
		{.is_suspended = true, .slept_since_ns = 10},
	};

	(void) state;
	assert_int_equal(pressure_choose(candidates, 4, 100), 1);
	candidates[1].is_suspended = false;
	assert_int_equal(pressure_choose(candidates, 4, 100), 3);
	candidates[3].has_gate = true;
	assert_int_equal(pressure_choose(candidates, 4, 100), 2);
	candidates[2].not_before_ns = 101;
	assert_int_equal(pressure_choose(candidates, 4, 100), 0);
	candidates[0].not_before_ns = 200;
	assert_int_equal(pressure_choose(candidates, 4, 100), 4);
	assert_int_equal(pressure_choose(candidates, 4, 101), 2);
	assert_int_equal(pressure_choose(candidates, 0, 100), 0);
}

static void
test_who_failed_is_left_alone(void **state)
{
	(void) state;
	assert_int_equal(pressure_retry_ms(1), 60000);
	assert_int_equal(pressure_retry_ms(2), 120000);
	assert_int_equal(pressure_retry_ms(6), 1920000);
	assert_int_equal(pressure_retry_ms(7), 3600000);
	assert_int_equal(pressure_retry_ms(4000000000), 3600000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_available_memory, set_up),
		cmocka_unit_test_setup(test_swap, set_up),
		cmocka_unit_test_setup(test_a_stall_counts_when_little_is_left, set_up),
		cmocka_unit_test(test_the_coldest_goes_first),
		cmocka_unit_test(test_who_failed_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
