/* Connections to a real PostgreSQL: what is refused, what takes too long, what a session finds. */
#include <errno.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "postgres_server.h"

static PostgresConnection *
open_server(unsigned seconds)
{
	PostgresTarget target = server_target();
	PostgresConnection *connection = NULL;
	Error err = {0};

	assert_int_equal(postgres_open(&target, server_deadline(seconds), &connection, &err), 0);
	return connection;
}

/* The server has just been started: it is waited for. */
static void
test_a_starting_server_is_waited_for(void **state)
{
	_cleanup_postgres_ PostgresConnection *connection = open_server(60);

	(void) state;
	assert_true(postgres_version(connection) / 10000 == 15);
	assert_string_equal(postgres_database(connection), "postgres");
}

static void
test_refusals(void **state)
{
	PostgresTarget target = server_target();
	_cleanup_postgres_ PostgresConnection *connection = NULL;
	Error err = {0};

	(void) state;
	target.password = "wrong";
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), -EACCES);
	assert_non_null(strstr(err.message, "password authentication failed for user \"postgres\""));
	assert_null(strstr(err.message, "LOCATION"));
	assert_null(strstr(err.message, "28P01"));
	target.next_password = SERVER_PASSWORD;
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), 0);
	postgres_close(steal_pointer(&connection));
	target.password = SERVER_PASSWORD;
	target.database = "host=elsewhere";
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), -ENOENT);
	assert_non_null(strstr(err.message, "\"host=elsewhere\" does not exist"));
	target.host = "/nonexistent";
	assert_int_equal(postgres_open(&target, clock_monotonic_ns() + 200 * NS_PER_MS, &connection, &err), -ETIMEDOUT);
	assert_null(connection);
}

static void
test_a_deadline_ends_a_statement(void **state)
{
	_cleanup_postgres_ PostgresConnection *other = open_server(60);
	PostgresTarget target = server_target();
	_cleanup_postgres_ PostgresConnection *connection = NULL;
	_cleanup_result_ PGresult *rows = NULL;
	Error err = {0};
	bool is_gone = false;

	(void) state;
	target.application = "sleeper";
	/* As short as the machine lets it be. */
	for (unsigned seconds = 1; postgres_open(&target, server_deadline(seconds), &connection, &err) < 0; seconds *= 2)
		assert_true(err.code == -ETIMEDOUT && seconds < 60);
	assert_int_equal(postgres_execute(connection, "SELECT pg_sleep(600)", &err), -ETIMEDOUT);
	/* Nothing goes on in the server. */
	for (uint64_t end = server_deadline(60); !is_gone && clock_monotonic_ns() < end;)
	{
		PQclear(rows);
		rows = NULL;
		assert_int_equal(
			postgres_query(other,
						   "SELECT 1 FROM pg_stat_activity WHERE application_name = 'sleeper' AND state = 'active'",
						   NULL, 0, &rows, &err),
			0);
		is_gone = PQntuples(rows) == 0;
	}
	assert_true(is_gone);
}

static void
test_errors_and_notices(void **state)
{
	_cleanup_postgres_ PostgresConnection *connection = open_server(60);
	const char *const parameters[] = {"Robert'); DROP TABLE students;--", NULL};
	_cleanup_result_ PGresult *rows = NULL;
	Error err = {0};
	size_t count;

	(void) state;
	assert_int_equal(postgres_execute(connection,
									  "DO $$BEGIN RAISE NOTICE 'well'; RAISE EXCEPTION 'no' USING DETAIL = 'why', "
									  "HINT = 'how', ERRCODE = 'ZZ123'; END$$",
									  &err),
					 -EREMOTEIO);
	assert_string_equal(err.message, "database \"postgres\": no (why); how");
	assert_string_equal(postgres_sqlstate(connection), "ZZ123");
	assert_string_equal(postgres_notices(connection, &count)[0], "NOTICE:  well");
	assert_int_equal(count, 1);
	assert_int_equal(postgres_query(connection, "SELECT $1::text, $2::text IS NULL", parameters, 2, &rows, &err), 0);
	assert_string_equal(PQgetvalue(rows, 0, 0), parameters[0]);
	assert_string_equal(PQgetvalue(rows, 0, 1), "t");
	assert_string_equal(postgres_sqlstate(connection), "");
	/* Large both ways. */
	PQclear(rows);
	rows = NULL;
	assert_int_equal(postgres_query(connection, "SELECT repeat('x', 5000000)", NULL, 0, &rows, &err), 0);
	assert_int_equal(PQgetlength(rows, 0, 0), 5000000);
	/* A COPY is nobody's wish here, and is not waited for. */
	assert_int_equal(postgres_execute(connection, "COPY pg_class TO STDOUT", &err), -EPROTO);
}

static void
test_a_session_finds_what_is_fixed(void **state)
{
	_cleanup_postgres_ PostgresConnection *first = open_server(60), *second = NULL;
	PostgresTarget target = server_target();
	_cleanup_result_ PGresult *rows = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(
		postgres_execute(first,
						 "ALTER ROLE postgres SET search_path = evil, pg_catalog; "
						 "ALTER ROLE postgres SET default_transaction_read_only = on; "
						 "ALTER ROLE postgres SET statement_timeout = 1; CREATE SCHEMA evil; "
						 "CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql AS 'SELECT ''mine''::text'",
						 &err),
		0);
	assert_int_equal(postgres_open(&target, server_deadline(60), &second, &err), 0);
	assert_int_equal(postgres_query(second,
									"SELECT version() = 'mine', current_setting('search_path'), "
									"current_setting('transaction_read_only'), pg_sleep(0.01)",
									NULL, 0, &rows, &err),
					 0);
	assert_string_equal(PQgetvalue(rows, 0, 0), "f");
	assert_string_equal(PQgetvalue(rows, 0, 1), "pg_catalog,pg_temp");
	assert_string_equal(PQgetvalue(rows, 0, 2), "off");
	assert_int_equal(postgres_execute(second, "ALTER ROLE postgres RESET ALL; DROP SCHEMA evil CASCADE", &err), 0);
}

static void
test_a_lost_connection_says_so(void **state)
{
	_cleanup_postgres_ PostgresConnection *first = open_server(60), *second = open_server(60);
	Text sql = {0};
	Error err = {0};

	(void) state;
	text_printf(&sql, "SELECT pg_terminate_backend(%d, 60000)", PQbackendPID(postgres_handle(first)));
	assert_int_equal(postgres_execute(second, text_string(&sql), &err), 0);
	text_clear(&sql);
	assert_true(postgres_execute(first, "SELECT 1", &err) < 0);
	assert_true(postgres_execute(first, "SELECT 1", &err) == -ECONNRESET);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_starting_server_is_waited_for), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_deadline_ends_a_statement),		cmocka_unit_test(test_errors_and_notices),
		cmocka_unit_test(test_a_session_finds_what_is_fixed),	cmocka_unit_test(test_a_lost_connection_says_so),
	};

	return cmocka_run_group_tests(tests, server_set_up, server_tear_down);
}
