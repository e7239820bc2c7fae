/* The codec of the flash channel's messages: what is read, what is refused, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lttle/flash_message.h"

static const char *
parse(LttleFlashMessage *message, const char *text)
{
	return lttle_flash_message_parse(message, text, strlen(text));
}

static void
test_parse(void **state)
{
	LttleFlashMessage message;

	(void) state;
	assert_null(parse(&message, "PREPARE=suspend\nDEADLINE_MS=500\n"));
	assert_int_equal(message.field_count, 2);
	assert_string_equal(lttle_flash_message_get(&message, "PREPARE"), "suspend");
	assert_string_equal(lttle_flash_message_get(&message, "DEADLINE_MS"), "500");
	assert_null(lttle_flash_message_get(&message, "DEADLINE"));
	assert_null(lttle_flash_message_get(&message, "prepare"));

	/* The last newline may be missing; a value may be empty, and hold any sign but NUL and newline. */
	assert_null(parse(&message, "WAKE_AT=\nERROR=a=b \xc3\xa4\t\"x\""));
	assert_string_equal(lttle_flash_message_get(&message, "WAKE_AT"), "");
	assert_string_equal(lttle_flash_message_get(&message, "ERROR"), "a=b \xc3\xa4\t\"x\"");

	/* What an earlier message held is gone. */
	assert_null(parse(&message, "OK=1"));
	assert_int_equal(message.field_count, 1);
	assert_null(lttle_flash_message_get(&message, "ERROR"));
}

static void
test_refuse(void **state)
{
	static const struct
	{
		const char *text;
		const char *problem;
	} cases[] = {
		{"", "the message is empty"},
		{"HELLO", "a line has no '='"},
		{"HELLO=1\n\nREADY=1", "a line has no '='"},
		{"\n", "a line has no '='"},
		{"=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"hello=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"1HELLO=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"_HELLO=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"HEL LO=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"HEL-LO=1", "a key is not made of A-Z, 0-9 and '_'"},
		{" HELLO=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ_12345=1", "a key is not made of A-Z, 0-9 and '_'"},
		{"OK=1\nOK=1", "a key stands twice"},
		{"OK=1\nERROR=x\nOK=", "a key stands twice"},
	};
	LttleFlashMessage message;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *problem = parse(&message, cases[i].text);

		if (problem == NULL || strcmp(problem, cases[i].problem) != 0)
			fail_msg("%s: %s", cases[i].text, problem == NULL ? "was taken" : problem);
	}
	assert_string_equal(lttle_flash_message_parse(&message, "OK=1\0\n", 6), "the message contains a NUL byte");
	assert_null(parse(&message, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_1234=1"));
}

static void
test_limits(void **state)
{
	char bytes[LTTLE_FLASH_MAX_BYTES + 1];
	char text[LTTLE_FLASH_MAX_FIELDS * 8 + 16] = "";
	LttleFlashMessage message;

	(void) state;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "A=", 2);
	assert_null(lttle_flash_message_parse(&message, bytes, LTTLE_FLASH_MAX_BYTES));
	assert_int_equal(strlen(lttle_flash_message_get(&message, "A")), LTTLE_FLASH_MAX_BYTES - 2);
	assert_string_equal(lttle_flash_message_parse(&message, bytes, sizeof(bytes)), "the message is too long");

	for (int i = 0; i < LTTLE_FLASH_MAX_FIELDS; i++)
		sprintf(text + strlen(text), "K%d=%d\n", i, i);
	assert_null(parse(&message, text));
	assert_int_equal(message.field_count, LTTLE_FLASH_MAX_FIELDS);
	assert_string_equal(lttle_flash_message_get(&message, "K31"), "31");
	strcat(text, "K32=32\n");
	assert_string_equal(parse(&message, text), "there are too many fields");
}

static void
test_numbers(void **state)
{
	static const struct
	{
		const char *text;
		uint64_t max;
		bool is_number;
		uint64_t value;
	} cases[] = {
		{"N=0", 10, true, 0},
		{"N=10", 10, true, 10},
		{"N=11", 10, false, 0},
		{"N=0010", 10, true, 10},
		{"N=5", 0, false, 0},
		{"N=0", 0, true, 0},
		{"N=18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"N=18446744073709551616", UINT64_MAX, false, 0},
		{"N=99999999999999999999999999", UINT64_MAX, false, 0},
		{"N=", 10, false, 0},
		{"N=-1", 10, false, 0},
		{"N=+1", 10, false, 0},
		{"N= 1", 10, false, 0},
		{"N=1 ", 10, false, 0},
		{"N=0x1", 10, false, 0},
		{"N=1.0", 10, false, 0},
		{"M=1", 10, false, 0},
	};
	LttleFlashMessage message;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t value = 4711;

		assert_null(parse(&message, cases[i].text));
		if (lttle_flash_message_get_number(&message, "N", cases[i].max, &value) != cases[i].is_number)
			fail_msg("%s: %s", cases[i].text, cases[i].is_number ? "refused" : "taken");
		assert_int_equal(value, cases[i].is_number ? cases[i].value : 4711);
	}
}

static void
test_write(void **state)
{
	LttleFlashWriter writer;
	LttleFlashMessage message;
	uint64_t value;

	(void) state;
	lttle_flash_writer_begin(&writer);
	assert_int_equal(writer.length, 0);
	lttle_flash_writer_add(&writer, "HELLO", "1");
	lttle_flash_writer_add_number(&writer, "SYSTEM_ID", UINT64_MAX);
	lttle_flash_writer_add_number(&writer, "PID", 0);
	lttle_flash_writer_add(&writer, "ERROR", "two\nlines\tand \x7f \xc3\xa4");
	lttle_flash_writer_add(&writer, "WAKE_AT", "");
	assert_false(writer.overflow);
	assert_string_equal(writer.text, "HELLO=1\nSYSTEM_ID=18446744073709551615\nPID=0\nERROR=two lines and   \xc3\xa4\n"
									 "WAKE_AT=\n");
	assert_int_equal(writer.length, strlen(writer.text));

	assert_null(lttle_flash_message_parse(&message, writer.text, writer.length));
	assert_int_equal(message.field_count, 5);
	assert_true(lttle_flash_message_get_number(&message, "SYSTEM_ID", UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);

	lttle_flash_writer_begin(&writer);
	assert_string_equal(writer.text, "");
}

static void
test_overflow(void **state)
{
	char value[LTTLE_FLASH_MAX_BYTES];
	LttleFlashWriter writer;
	LttleFlashMessage message;

	(void) state;
	memset(value, 'x', sizeof(value));
	value[LTTLE_FLASH_MAX_BYTES - 3] = '\0';

	/* "A=", the value and the newline fill the message to its last byte. */
	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "A", value);
	assert_false(writer.overflow);
	assert_int_equal(writer.length, LTTLE_FLASH_MAX_BYTES);
	assert_null(lttle_flash_message_parse(&message, writer.text, writer.length));

	/* What does not fit is left out whole, and so is all that follows. */
	lttle_flash_writer_add(&writer, "B", "");
	assert_true(writer.overflow);
	assert_int_equal(writer.length, LTTLE_FLASH_MAX_BYTES);
	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "AB", value);
	assert_true(writer.overflow);
	assert_int_equal(writer.length, 0);
	lttle_flash_writer_add(&writer, "C", "1");
	assert_int_equal(writer.length, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_refuse), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_write),  cmocka_unit_test(test_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
