/* The daemon's log: one event is one line that can be shown, whatever its values are. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

/* What the last line says behind its level; its time is cut off. */
static char line[512];

static void
log_to_line(const char *value)
{
	int standard_error = dup(STDERR_FILENO);
	char written[512];
	int pipes[2];
	ssize_t got;
	char *level;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(standard_error >= 0 && dup2(pipes[1], STDERR_FILENO) >= 0);
	log_info("it happened", "reason", value);
	assert_true(dup2(standard_error, STDERR_FILENO) >= 0);
	close(standard_error);
	close(pipes[1]);
	got = read(pipes[0], written, sizeof(written) - 1);
	close(pipes[0]);
	assert_true(got > 0);
	written[got] = '\0';
	level = strstr(written, " info ");
	assert_non_null(level);
	strcpy(line, level + 6);
}

static void
test_values_stay_values(void **state)
{
	static const struct
	{
		const char *value;
		const char *logged;
	} cases[] = {
		{"plain", "it happened reason=plain\n"},
		{"", "it happened reason=\"\"\n"},
		{"two words", "it happened reason=\"two words\"\n"},
		{"a \"b\" \\c", "it happened reason=\"a \\\"b\\\" \\\\c\"\n"},
		{"x\nerror forged=1", "it happened reason=\"x\\nerror forged=1\"\n"},
		{"\x1b[2J\xff größer", "it happened reason=\"?[2J? größer\"\n"},
		{NULL, "it happened\n"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		log_to_line(cases[i].value);
		assert_string_equal(line, cases[i].logged);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values_stay_values)};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
