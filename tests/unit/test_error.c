/* Errors as values: what is written, what is cut, and that nobody need be listening. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"

static void
test_set(void **state)
{
	Error error;

	(void) state;
	assert_int_equal(error_set(&error, -EBUSY, "volume %s/%s: is in use", "samples", "pgdata"), -EBUSY);
	assert_int_equal(error.code, -EBUSY);
	assert_string_equal(error.message, "volume samples/pgdata: is in use");
}

static void
test_set_errno(void **state)
{
	Error error;

	(void) state;
	assert_int_equal(error_set_errno(&error, ENOSPC, "volume %s: mount", "samples/pgdata"), -ENOSPC);
	assert_int_equal(error.code, -ENOSPC);
	assert_string_equal(error.message, "volume samples/pgdata: mount: No space left on device");
}

static void
test_prefix(void **state)
{
	Error error;

	(void) state;
	error_set_errno(&error, ENOENT, "open");
	assert_int_equal(error_prefix(&error, "machine %d", 7), -ENOENT);
	assert_int_equal(error.code, -ENOENT);
	assert_string_equal(error.message, "machine 7: open: No such file or directory");
}

static void
test_nobody_listens(void **state)
{
	(void) state;
	assert_int_equal(error_set(NULL, -EBUSY, "%s", "x"), -EBUSY);
	assert_int_equal(error_set_errno(NULL, ENOENT, "%s", "x"), -ENOENT);
	assert_true(error_prefix(NULL, "%s", "x") < 0);
}

/* Too long is cut at the end, inside the field and with its NUL. */
static void
test_too_long_is_cut(void **state)
{
	struct
	{
		Error error;
		char canary[16];
	} field;
	char longer[2 * ERROR_MESSAGE_BYTES];

	(void) state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(field.canary, '!', sizeof(field.canary));

	error_set(&field.error, -EIO, "%s", longer);
	assert_int_equal(strlen(field.error.message), ERROR_MESSAGE_BYTES - 1);
	error_set_errno(&field.error, EIO, "%s", longer);
	assert_int_equal(strlen(field.error.message), ERROR_MESSAGE_BYTES - 1);
	error_prefix(&field.error, "machine x");
	assert_int_equal(strlen(field.error.message), ERROR_MESSAGE_BYTES - 1);
	assert_memory_equal(field.error.message, "machine x: xxx", 14);
	error_prefix(&field.error, "%s", longer);
	assert_int_equal(strlen(field.error.message), ERROR_MESSAGE_BYTES - 1);
	for (size_t i = 0; i < sizeof(field.canary); i++)
		assert_int_equal(field.canary[i], '!');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_errno),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
