/* Which names are taken, and what is said of the others. */
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
test_good_names(void **state)
{
	static const char *const names[] = {"a", "Z", "pgdata", "a-b", "a_b", "a__b", "a-", "a1", "postgresql-access"};

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_null(name_check(names[i]));
}

static void
test_bad_names(void **state)
{
	static const struct
	{
		const char *name;
		const char *wrong;
	} cases[] = {
		{"", "a name must not be empty"},
		{"1a", "a name must begin with a letter"},
		{"-a", "a name must begin with a letter"},
		{"_a", "a name must begin with a letter"},
		{"a--b", "a name must not hold '--'"},
		{"a.b", "a name holds only letters, digits, '-' and '_'"},
		{"a b", "a name holds only letters, digits, '-' and '_'"},
		{"a/b", "a name holds only letters, digits, '-' and '_'"},
		{"a\n", "a name holds only letters, digits, '-' and '_'"},
		{"\xc3\xa4", "a name must begin with a letter"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(name_check(cases[i].name), cases[i].wrong);
}

static void
test_longest_name(void **state)
{
	char name[NAME_MAX_BYTES + 2];

	(void) state;
	memset(name, 'a', sizeof(name));
	name[NAME_MAX_BYTES] = '\0';
	assert_null(name_check(name));
	name[NAME_MAX_BYTES] = 'a';
	name[NAME_MAX_BYTES + 1] = '\0';
	assert_string_equal(name_check(name), "a name has at most 63 characters");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_names),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_longest_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
