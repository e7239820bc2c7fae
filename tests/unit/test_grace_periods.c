/* The kernel hurries while somebody is restored, and at no other time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "host/grace_periods.h"

static char directory[64];
static char setting[96];
static char mark[96];

static int
make_directory(void **state)
{
	(void) state;
	snprintf(directory, sizeof(directory), "/tmp/lttle-grace-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(setting, sizeof(setting), "%s/rcu_expedited", directory);
	snprintf(mark, sizeof(mark), "%s/mark", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	(void) state;
	return file_remove_tree(directory, NULL);
}

static void
put_setting(const char *text)
{
	FILE *file = fopen(setting, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void
assert_is(uint64_t wanted, bool is_marked)
{
	uint64_t number = 99;

	assert_int_equal(file_read_number(setting, &number, NULL), 0);
	assert_int_equal(number, wanted);
	assert_int_equal(access(mark, F_OK) == 0, is_marked);
}

static void
test_there_and_back(void **state)
{
	(void) state;
	put_setting("0\n");
	grace_periods_hurry(setting, mark, true);
	assert_is(1, true);
	grace_periods_hurry(setting, mark, false);
	assert_is(0, false);
	grace_periods_hurry(setting, mark, false);
	assert_is(0, false);
}

static void
test_what_somebody_has_set_stays(void **state)
{
	(void) state;
	put_setting("1\n");
	grace_periods_hurry(setting, mark, true);
	assert_is(1, false);
	grace_periods_hurry(setting, mark, false);
	assert_is(1, false);
}

static void
test_what_a_killed_coordinator_has_left_is_undone(void **state)
{
	(void) state;
	put_setting("0\n");
	grace_periods_hurry(setting, mark, true);
	/* The next one, which begins with this. */
	grace_periods_hurry(setting, mark, false);
	assert_is(0, false);
}

static void
test_a_host_without_the_setting(void **state)
{
	(void) state;
	grace_periods_hurry(setting, mark, true);
	assert_int_equal(access(mark, F_OK), -1);
	assert_int_equal(access(setting, F_OK), -1);
	grace_periods_hurry(setting, mark, false);
	assert_int_equal(access(setting, F_OK), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_what_somebody_has_set_stays, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_what_a_killed_coordinator_has_left_is_undone, make_directory,
										remove_directory),
		cmocka_unit_test_setup_teardown(test_a_host_without_the_setting, make_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
