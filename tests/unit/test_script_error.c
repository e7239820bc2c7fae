/* What is told of an init script that has failed, by logs as ours and the official image write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/script_error.h"

#define RUNNING "/usr/local/bin/docker-entrypoint.sh: running /docker-entrypoint-initdb.d/"
#define OWN		"error: /docker-entrypoint-initdb.d/"
#define KEPT	". Nothing is kept; the next start begins anew.\n"

static void
assert_found(const char *log, const char *expected)
{
	char copy[2000];
	char message[400];

	assert_true(strlen(log) < sizeof(copy));
	strcpy(copy, log);
	script_error_find(copy, 3, message, sizeof(message));
	assert_string_equal(message, expected);
}

static void
test_sql_is_told_in_the_words_of_psql(void **state)
{
	(void) state;
	assert_found(RUNNING "1.sql\nCREATE TABLE\n2026-01-02 03:04:05.678 UTC [21] ERROR:  division by zero\n"
						 "psql:/docker-entrypoint-initdb.d/1.sql:2: ERROR:  division by zero\n" OWN
						 "1.sql failed (exit status 3)" KEPT "waiting for server to shut down.... done\n",
				 "1.sql:2: ERROR:  division by zero");
	/* Of the start before nothing counts. */
	assert_found("psql:/docker-entrypoint-initdb.d/1.sql:2: ERROR:  division by zero\n" OWN
				 "1.sql failed (exit status 3)" KEPT RUNNING "1.sql.gz\ngzip: 1.sql.gz: not in gzip format\n" OWN
				 "1.sql.gz failed (exit status 1)" KEPT,
				 "1.sql.gz failed (exit status 1): gzip: 1.sql.gz: not in gzip format");
}

static void
test_a_shell_script_is_told_with_its_last_words(void **state)
{
	(void) state;
	assert_found(RUNNING "1.sh\nhello\nERROR:  relation \"a\" does not exist\nLINE 1: TABLE a\n              ^\n"
						 "2026-01-02 03:04:05.678 UTC [21] ERROR:  relation \"a\" does not exist at character 7\n"
						 "2026-01-02 03:04:05.678 UTC [21] STATEMENT:  TABLE a\n" OWN
						 "1.sh:4: psql … failed (exit status 1)" KEPT "server stopped\n",
				 "1.sh:4: psql … failed (exit status 1): ERROR:  relation \"a\" does not exist");
	assert_found(RUNNING "1.sh\n" OWN "1.sh:2: false failed (exit status 1)" KEPT,
				 "1.sh:2: false failed (exit status 1)");
	/* A file that it feeds to psql has a line, too; both are told. */
	assert_found(RUNNING "1.sh\npsql:/docker-entrypoint-initdb.d/2.sql:7: ERROR:  no\n" OWN
						 "1.sh:4: psql … failed (exit status 3)" KEPT,
				 "1.sh:4: psql … failed (exit status 3): 2.sql:7: ERROR:  no");
}

static void
test_an_entrypoint_that_says_nothing(void **state)
{
	(void) state;
	assert_found("/usr/local/bin/docker-entrypoint.sh: sourcing /docker-entrypoint-initdb.d/1.sh\nbad \x1bluck\n",
				 "1.sh: exit status 3: bad ?luck");
	assert_found(RUNNING "1.sh\n", "1.sh: exit status 3");
	assert_found("error: POSTGRES_PASSWORD must not contain a line break.\n",
				 "POSTGRES_PASSWORD must not contain a line break.");
	assert_found("whatever\n", "exit status 3");
	assert_found("", "exit status 3");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sql_is_told_in_the_words_of_psql),
		cmocka_unit_test(test_a_shell_script_is_told_with_its_last_words),
		cmocka_unit_test(test_an_entrypoint_that_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
