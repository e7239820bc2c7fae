/* Sizes: what is read, what is refused, and that what is written reads back to the same. */
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
		uint64_t bytes;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"7B", 7},
		{"1K", 1000},
		{"1KB", 1000},
		{"1Ki", 1024},
		{"1KiB", 1024},
		{"100Mi", UINT64_C(104857600)},
		{"100MiB", UINT64_C(104857600)},
		{"50M", UINT64_C(50000000)},
		{"42MB", UINT64_C(42000000)},
		{"5GB", UINT64_C(5000000000)},
		{"5G", UINT64_C(5000000000)},
		{"3Gi", UINT64_C(3221225472)},
		{"3GiB", UINT64_C(3221225472)},
		{"2T", UINT64_C(2000000000000)},
		{"2TB", UINT64_C(2000000000000)},
		{"2Ti", UINT64_C(2199023255552)},
		{"2TiB", UINT64_C(2199023255552)},
		{"18446744073709551615", UINT64_MAX},
		{"16777215Ti", UINT64_MAX - UINT64_C(1099511627775)},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t bytes = 0;

		assert_null(size_parse(cases[i].text, &bytes));
		assert_true(bytes == cases[i].bytes);
	}
}

static void
test_refuse(void **state)
{
	static const char *const malformed[] = {"", "Mi", "-1", "+1", " 1", "1.5Gi", "0x10"};
	static const char *const units[] = {"1mi", "1 Mi", "1Mib", "1kB", "1Pi", "1MiB ", "1Mi1"};
	static const char *const large[] = {"18446744073709551616", "99999999999999999999", "16777216Ti",
										"18446744073709551615K"};
	uint64_t bytes = 4711;

	(void) state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_non_null(size_parse(malformed[i], &bytes));
	assert_string_equal(size_parse("x", &bytes), "a size is a whole number and a unit, such as 100Mi or 5GB");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		assert_int_equal(strncmp(size_parse(units[i], &bytes), "the unit of a size is one of", 28), 0);
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		assert_string_equal(size_parse(large[i], &bytes), "a size must fit into 64 bits");
	assert_int_equal(bytes, 4711);
}

static void
test_format(void **state)
{
	static const struct
	{
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0"},
		{1, "1"},
		{1000, "1K"},
		{1023, "1023"},
		{1024, "1Ki"},
		{UINT64_C(104857600), "100Mi"},
		{UINT64_C(5000000000), "5G"},
		{UINT64_C(1099511627776), "1Ti"},
		{UINT64_C(1536) * 1024 * 1024, "1536Mi"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[32];

		size_format(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void
test_round_trip(void **state)
{
	uint64_t bytes = 1;

	(void) state;
	for (unsigned i = 0; i < 5000; i++)
	{
		char text[32];
		uint64_t back;

		size_format(bytes, text);
		assert_null(size_parse(text, &back));
		assert_true(back == bytes);
		/* Numbers of all lengths, many of them round. */
		bytes = i % 3 == 0 ? bytes * 1024 : i % 3 == 1 ? bytes * 1000 + i : bytes / 7 + i;
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
