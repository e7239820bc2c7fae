/* Strings that grow, arrays that grow, and fields that are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"

static void
test_empty(void **state)
{
	_cleanup_text_ Text text = {0};

	(void) state;
	assert_string_equal(text_string(&text), "");
	assert_int_equal(text.length, 0);
	text_clear(&text); /* of nothing is allowed, and twice too */
	text_append(&text, "");
	assert_string_equal(text_string(&text), "");
	assert_int_equal(text.length, 0);
}

static void
test_append(void **state)
{
	_cleanup_text_ Text text = {0};

	(void) state;
	text_append(&text, "one");
	text_append_bytes(&text, ", two and more", 5);
	text_append_bytes(&text, NULL, 0);
	text_printf(&text, ", %d%s", 3, "!");
	assert_string_equal(text_string(&text), "one, two, 3!");
	assert_int_equal(text.length, 12);
	text_clear(&text);
	assert_null(text.data);
	assert_int_equal(text.capacity, 0);
	text_append(&text, "again");
	assert_string_equal(text_string(&text), "again");
}

/* Bytes may contain NUL; the string ends there, the length does not. */
static void
test_bytes_with_nul(void **state)
{
	_cleanup_text_ Text text = {0};

	(void) state;
	text_append_bytes(&text, "a\0b", 3);
	assert_int_equal(text.length, 3);
	assert_memory_equal(text.data, "a\0b", 4);
}

static void
test_grows_over_many_appends(void **state)
{
	_cleanup_text_ Text text = {0};

	(void) state;
	for (int i = 0; i < 10000; i++)
		text_printf(&text, "%04d", i);
	assert_int_equal(text.length, 40000);
	assert_int_equal(strlen(text_string(&text)), 40000);
	for (int i = 0; i < 10000; i++)
	{
		char expected[] = {(char) ('0' + i / 1000), (char) ('0' + i / 100 % 10), (char) ('0' + i / 10 % 10),
						   (char) ('0' + i % 10)};

		assert_memory_equal(text.data + (size_t) i * 4, expected, 4);
	}
}

static void
test_copy_is_cut(void **state)
{
	char field[8];

	(void) state;
	text_copy(field, sizeof(field), "short");
	assert_string_equal(field, "short");
	text_copy(field, sizeof(field), "exactly");
	assert_string_equal(field, "exactly");
	text_copy(field, sizeof(field), "too long by far");
	assert_string_equal(field, "too lon");
	text_copy(field, sizeof(field), field + 4); /* a part of itself */
	assert_string_equal(field, "lon");
	text_copy(field, 1, "x");
	assert_string_equal(field, "");
}

/* What others wrote: nothing may steer a terminal or break a JSON document, and what is text stays. */
static void
test_make_printable(void **state)
{
	static const struct
	{
		const char *written;
		const char *shown;
	} cases[] = {
		{"", ""},
		{"größer – 漢字 😀", "größer – 漢字 😀"},
		{"\x1b[2J\r\n\t\x7f", "?[2J????"},
		{"cut \xc3", "cut ?"},
		{"cut \xf0\x9f\x98", "cut ???"},
		{"\xff\xfe\x80", "???"},
		{"\xc2\x9b"
		 "c1",
		 "??c1"},						   /* a terminal's CSI in one character */
		{"\xc0\xaf\xe0\x80\xaf", "?????"}, /* longer than need be */
		{"\xed\xa0\x80\xf4\x90\x80\x80", "???????"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		_cleanup_free_ char *text = memory_duplicate(cases[i].written);

		text_make_printable(text);
		assert_string_equal(text, cases[i].shown);
	}
}

static void
test_memory(void **state)
{
	_cleanup_free_ char *nothing = memory_allocate(0);
	_cleanup_free_ char *zeroed = memory_allocate(100);
	_cleanup_free_ char *copy = memory_duplicate("text");
	_cleanup_free_ char *printed = memory_printf("%s-%u", "machine", 7u);

	(void) state;
	assert_non_null(nothing);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(zeroed[i], 0);
	assert_string_equal(copy, "text");
	assert_string_equal(printed, "machine-7");
}

/* New room is zeroed, what was there stays, and enough is enough. */
static void
test_memory_grow(void **state)
{
	uint32_t *numbers = NULL;
	uint32_t *same;
	size_t capacity = 0;

	(void) state;
	for (size_t i = 0; i < 1000; i++)
	{
		size_t before = capacity;

		numbers = memory_grow(numbers, &capacity, i + 1, sizeof(*numbers));
		assert_true(capacity >= i + 1);
		for (size_t k = before; k < capacity; k++)
			assert_int_equal(numbers[k], 0);
		numbers[i] = (uint32_t) i + 1;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(numbers[i], i + 1);
	same = memory_grow(numbers, &capacity, 10, sizeof(*numbers));
	assert_ptr_equal(same, numbers);
	free(numbers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),		   cmocka_unit_test(test_append),
		cmocka_unit_test(test_bytes_with_nul), cmocka_unit_test(test_grows_over_many_appends),
		cmocka_unit_test(test_copy_is_cut),	   cmocka_unit_test(test_make_printable),
		cmocka_unit_test(test_memory),		   cmocka_unit_test(test_memory_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
