/* Durations: what is read, what is refused, and that what is written reads back to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/spec.h"

static void
test_parse(void **state)
{
	static const struct
	{
		const char *text;
		uint64_t ms;
	} cases[] = {
		{"0", 0},		   {"3", 3000},		   {"3s", 3000},
		{"500ms", 500},	   {"2m", 120000},	   {"1h", 3600000},
		{"1d", 86400000},  {"1h30m", 5400000}, {"1d2h3m4s5ms", 93784005},
		{"1s500ms", 1500}, {"90m", 5400000},   {"18446744073709551615ms", UINT64_MAX},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t ms = 4711;

		assert_null(duration_parse(cases[i].text, &ms));
		assert_true(ms == cases[i].ms);
	}
}

static void
test_refuse(void **state)
{
	static const char *const malformed[] = {"",		"s",	"-3",	"3 s", "1.5s",	 "3x",	"3S",	 "30m1h",
											"1s1s", "1h30", "1m30", "s3",  "500mss", "3sm", "1h 30m"};
	static const char *const large[] = {"18446744073709551616", "18446744073709551615", "99999999999999999999d",
										"18446744073709551615ms1ms"};
	uint64_t ms = 4711;

	(void) state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_non_null(duration_parse(malformed[i], &ms));
	assert_string_equal(duration_parse("3x", &ms),
						"a duration is a number of seconds, or numbers with units from large to small, such as "
						"500ms, 3s or 1h30m");
	/* The last one is also malformed: milliseconds cannot follow milliseconds. */
	for (size_t i = 0; i + 1 < sizeof(large) / sizeof(large[0]); i++)
		assert_string_equal(duration_parse(large[i], &ms), "a duration must fit into 64 bits of milliseconds");
	assert_non_null(duration_parse(large[3], &ms));
	assert_int_equal(ms, 4711);
}

static void
test_format(void **state)
{
	static const struct
	{
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0s"},	   {1, "1ms"},	   {1000, "1s"},	 {1500, "1500ms"}, {3000, "3s"},
		{60000, "1m"}, {90000, "90s"}, {5400000, "90m"}, {86400000, "1d"}, {UINT64_C(86400001), "1d1ms"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[32];

		duration_format(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void
test_round_trip(void **state)
{
	uint64_t ms = 1;

	(void) state;
	for (unsigned i = 0; i < 5000; i++)
	{
		char text[32];
		uint64_t back;

		duration_format(ms, text);
		assert_null(duration_parse(text, &back));
		assert_true(back == ms);
		ms = i % 3 == 0 ? ms * 60 : i % 3 == 1 ? ms * 1000 + i : ms / 7 + i;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
