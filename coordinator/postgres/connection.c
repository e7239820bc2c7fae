/*
 * libpq without waiting for ever: connecting, asking and reading are done step by step, and between the steps poll(2)
 * waits until the deadline. PQcancel is not used, because it blocks; instead the server itself gets a
 * statement_timeout, so that nothing goes on there after we have given up.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "postgres/connection.h"

#define NOTICES_MAX	   100
#define RETRY_MS	   50
#define SQLSTATE_BYTES 6

struct PostgresConnection
{
	PGconn *handle;
	uint64_t deadline_ns;
	char sqlstate[SQLSTATE_BYTES];
	char **notices;
	size_t notice_count;
	size_t notice_capacity;
};

static int
remaining_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns();

	if (now >= deadline_ns)
		return 0;
	if (deadline_ns - now > (uint64_t) INT32_MAX * NS_PER_MS)
		return INT32_MAX;
	return (int) ((deadline_ns - now) / NS_PER_MS) + 1;
}

/* 0 when the socket has one of these events, or -ETIMEDOUT. */
static int
wait_for_socket(const PostgresConnection *connection, short events)
{
	struct pollfd slot = {.fd = PQsocket(connection->handle), .events = events};
	int result;

	do
	{
		int timeout = remaining_ms(connection->deadline_ns);

		if (timeout == 0)
			return -ETIMEDOUT;
		result = poll(&slot, 1, timeout);
	} while (result == 0 || (result < 0 && errno == EINTR));
	return result < 0 ? -errno : 0;
}

static void
collect_notice(void *context, const PGresult *result)
{
	PostgresConnection *connection = context;
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (connection->notice_count == NOTICES_MAX || message == NULL)
		return;
	connection->notices = memory_grow(connection->notices, &connection->notice_capacity, connection->notice_count + 1,
									  sizeof(*connection->notices));
	connection->notices[connection->notice_count++] =
		memory_printf("%s:  %s", severity != NULL ? severity : "NOTICE", message);
}

/*
 * libpq 15 tells the SQLSTATE of a refused connection only in its verbose message: "… failed: FATAL:  28P01: password
 * …". Takes it out, with the lines about the server's source, which mean nothing to a user.
 */
static void
read_refusal(PostgresConnection *connection, char *message, size_t size)
{
	char *state, *location;

	text_copy(message, size, PQerrorMessage(connection->handle));
	location = strstr(message, "\nLOCATION:");
	if (location != NULL)
		*location = '\0';
	message[strcspn(message, "\n")] = '\0';
	connection->sqlstate[0] = '\0';
	state = strstr(message, ":  ");
	if (state == NULL || strlen(state) < 10 || state[8] != ':' ||
		strspn(state + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		return;
	memcpy(connection->sqlstate, state + 3, 5);
	connection->sqlstate[5] = '\0';
	memmove(state + 2, state + 9, strlen(state + 9) + 1);
}

/* The settings of a session, which a database's or a role's own would otherwise decide. */
static void
append_options(Text *options, uint64_t deadline_ns)
{
	text_append(options, "-c search_path=pg_catalog,pg_temp -c standard_conforming_strings=on -c row_security=off "
						 "-c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed "
						 "-c client_min_messages=notice -c idle_in_transaction_session_timeout=0 -c lock_timeout=15s");
	text_printf(options, " -c statement_timeout=%d", remaining_ms(deadline_ns));
}

static PGconn *
start_connection(const PostgresTarget *target, const char *password, uint64_t deadline_ns)
{
	_cleanup_text_ Text options = {0};
	char port[8];
	const char *const keywords[] = {"host",		  "port",
									"user",		  "password",
									"dbname",	  "options",
									"passfile",	  "client_encoding",
									"gssencmode", "fallback_application_name",
									NULL};
	const char *const values[] = {target->host,
								  port,
								  target->user,
								  password != NULL ? password : "",
								  target->database,
								  NULL,
								  "/dev/null",
								  "UTF8",
								  "disable",
								  target->application != NULL ? target->application : "lttled",
								  NULL};
	const char *filled[sizeof(values) / sizeof(values[0])];

	snprintf(port, sizeof(port), "%u", (unsigned) target->port);
	append_options(&options, deadline_ns);
	memcpy(filled, values, sizeof(values));
	filled[5] = text_string(&options);
	/* 0: dbname is a name, not a connection string in disguise. */
	return PQconnectStartParams(keywords, filled, 0);
}

/* One try. 0, -ETIMEDOUT, or -EREMOTEIO with the refusal's text in message. */
static int
try_connection(PostgresConnection *connection, char *message, size_t size)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	PQsetErrorVerbosity(connection->handle, PQERRORS_VERBOSE);
	while (PQstatus(connection->handle) != CONNECTION_BAD)
	{
		int result = wait_for_socket(connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT);

		if (result < 0)
		{
			snprintf(message, size, "no answer in time");
			return result;
		}
		status = PQconnectPoll(connection->handle);
		if (status == PGRES_POLLING_OK)
			return 0;
		if (status == PGRES_POLLING_FAILED)
			break;
	}
	read_refusal(connection, message, size);
	return -EREMOTEIO;
}

/* Whether the server is likely to be there a moment later: nobody answers, or it is starting (57P03). Somebody who
 * answers and refuses means it. */
static bool
is_passing(const PostgresConnection *connection)
{
	return connection->sqlstate[0] == '\0' ? !PQconnectionUsedPassword(connection->handle)
										   : strcmp(connection->sqlstate, "57P03") == 0;
}

static int
refusal_code(const char *sqlstate)
{
	if (strncmp(sqlstate, "28", 2) == 0)
		return -EACCES;
	return strcmp(sqlstate, "3D000") == 0 ? -ENOENT : -EREMOTEIO;
}

/* Tries until it is connected, refused, or the deadline is over. */
static int
connect_patiently(PostgresConnection *connection, const PostgresTarget *target, const char *password, Error *err)
{
	char message[400];
	int result;

	for (;;)
	{
		PQfinish(connection->handle);
		connection->handle = start_connection(target, password, connection->deadline_ns);
		if (connection->handle == NULL)
			return error_set(err, -ENOMEM, "PostgreSQL at %s: no memory for a connection", target->host);
		result = try_connection(connection, message, sizeof(message));
		if (result == 0)
			return 0;
		if (result == -ETIMEDOUT || !is_passing(connection) || remaining_ms(connection->deadline_ns) <= RETRY_MS)
			break;
		poll(NULL, 0, RETRY_MS);
	}
	if (result == -EREMOTEIO && is_passing(connection))
		result = -ETIMEDOUT;
	return error_set(err, result == -ETIMEDOUT ? result : refusal_code(connection->sqlstate),
					 "PostgreSQL at %s port %u, database \"%s\", user \"%s\": %s", target->host,
					 (unsigned) target->port, target->database, target->user, message);
}

int
postgres_open(const PostgresTarget *target, uint64_t deadline_ns, PostgresConnection **ret_connection, Error *err)
{
	_cleanup_postgres_ PostgresConnection *connection = memory_allocate(sizeof(*connection));
	int result;

	connection->deadline_ns = deadline_ns;
	result = connect_patiently(connection, target, target->password, err);
	if (result == -EACCES && target->next_password != NULL)
		result = connect_patiently(connection, target, target->next_password, err);
	if (result < 0)
		return result;
	if (PQsetnonblocking(connection->handle, 1) != 0)
		return error_set(err, -EREMOTEIO, "PostgreSQL at %s: %s", target->host, PQerrorMessage(connection->handle));
	PQsetNoticeReceiver(connection->handle, collect_notice, connection);
	*ret_connection = steal_pointer(&connection);
	return 0;
}

void
postgres_close(PostgresConnection *connection)
{
	if (connection == NULL)
		return;
	PQfinish(connection->handle);
	for (size_t i = 0; i < connection->notice_count; i++)
		free(connection->notices[i]);
	free(connection->notices);
	free(connection);
}

void
cleanup_postgres_result(PGresult **result)
{
	PQclear(*result);
}

static int
fail_in_time(const PostgresConnection *connection, int result, Error *err)
{
	if (result == -ETIMEDOUT)
		return error_set(err, result, "database \"%s\": no answer in time", PQdb(connection->handle));
	return error_set_errno(err, -result, "database \"%s\": poll", PQdb(connection->handle));
}

static int
fail_lost(const PostgresConnection *connection, Error *err)
{
	char message[400];

	text_copy(message, sizeof(message), PQerrorMessage(connection->handle));
	message[strcspn(message, "\n")] = '\0';
	return error_set(err, -ECONNRESET, "database \"%s\": the connection is lost: %s", PQdb(connection->handle),
					 message);
}

/* Sends what libpq holds; meanwhile the server may send, too, and must be read or both wait for each other. */
static int
flush_statement(PostgresConnection *connection, Error *err)
{
	int left;

	while ((left = PQflush(connection->handle)) == 1)
	{
		int result = wait_for_socket(connection, POLLIN | POLLOUT);

		if (result < 0)
			return fail_in_time(connection, result, err);
		if (PQconsumeInput(connection->handle) == 0)
			return fail_lost(connection, err);
	}
	return left == 0 ? 0 : fail_lost(connection, err);
}

static int
wait_for_result(PostgresConnection *connection, Error *err)
{
	while (PQisBusy(connection->handle))
	{
		int result = wait_for_socket(connection, POLLIN);

		if (result < 0)
			return fail_in_time(connection, result, err);
		if (PQconsumeInput(connection->handle) == 0)
			return fail_lost(connection, err);
	}
	return 0;
}

/* The server's error as a sentence: message, detail, hint. */
static int
take_server_error(PostgresConnection *connection, const PGresult *result, Error *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	if (message == NULL)
		return fail_lost(connection, err);
	text_copy(connection->sqlstate, sizeof(connection->sqlstate), state != NULL ? state : "");
	return error_set(err, strcmp(connection->sqlstate, "57014") == 0 ? -ETIMEDOUT : -EREMOTEIO,
					 "database \"%s\": %s%s%s%s%s%s", PQdb(connection->handle), message, detail != NULL ? " (" : "",
					 detail != NULL ? detail : "", detail != NULL ? ")" : "", hint != NULL ? "; " : "",
					 hint != NULL ? hint : "");
}

/* Reads all answers. The last one with rows is kept; the first error counts. */
static int
read_results(PostgresConnection *connection, PGresult **ret_result, Error *err)
{
	_cleanup_result_ PGresult *kept = NULL;
	int result = 0;

	connection->sqlstate[0] = '\0';
	for (;;)
	{
		PGresult *answer;
		ExecStatusType status;
		int waited = wait_for_result(connection, err);

		if (waited < 0)
			return waited;
		answer = PQgetResult(connection->handle);
		if (answer == NULL)
			break;
		status = PQresultStatus(answer);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY)
		{
			PQclear(kept);
			kept = answer;
			continue;
		}
		if (result == 0)
			result = status == PGRES_FATAL_ERROR ? take_server_error(connection, answer, err)
												 : error_set(err, -EPROTO, "database \"%s\": a COPY was not expected",
															 PQdb(connection->handle));
		PQclear(answer);
		if (result == -EPROTO || PQstatus(connection->handle) == CONNECTION_BAD)
			return result;
	}
	if (result < 0)
		return result;
	if (ret_result != NULL)
		*ret_result = steal_pointer(&kept);
	return 0;
}

int
postgres_execute(PostgresConnection *connection, const char *sql, Error *err)
{
	int result;

	if (PQsendQuery(connection->handle, sql) == 0)
		return fail_lost(connection, err);
	result = flush_statement(connection, err);
	return result < 0 ? result : read_results(connection, NULL, err);
}

int
postgres_query(PostgresConnection *connection, const char *sql, const char *const *parameters, size_t count,
			   PGresult **ret_result, Error *err)
{
	int result;

	if (PQsendQueryParams(connection->handle, sql, (int) count, NULL, parameters, NULL, NULL, 0) == 0)
		return fail_lost(connection, err);
	result = flush_statement(connection, err);
	return result < 0 ? result : read_results(connection, ret_result, err);
}

const char *
postgres_sqlstate(const PostgresConnection *connection)
{
	return connection->sqlstate;
}

int
postgres_version(const PostgresConnection *connection)
{
	return PQserverVersion(connection->handle);
}

const char *
postgres_database(const PostgresConnection *connection)
{
	return PQdb(connection->handle);
}

const char *
postgres_user(const PostgresConnection *connection)
{
	return PQuser(connection->handle);
}

PGconn *
postgres_handle(PostgresConnection *connection)
{
	return connection->handle;
}

const char *const *
postgres_notices(const PostgresConnection *connection, size_t *ret_count)
{
	*ret_count = connection->notice_count;
	return (const char *const *) connection->notices;
}

/* libpq refuses only what is no UTF-8, which no name is that got so far; the empty name makes the statement fail. */
static void
append_escaped(Text *sql, char *escaped)
{
	text_append(sql, escaped != NULL ? escaped : "\"\"");
	PQfreemem(escaped);
}

void
postgres_append_identifier(PostgresConnection *connection, Text *sql, const char *name)
{
	append_escaped(sql, PQescapeIdentifier(connection->handle, name, strlen(name)));
}

void
postgres_append_literal(PostgresConnection *connection, Text *sql, const char *text)
{
	append_escaped(sql, PQescapeLiteral(connection->handle, text, strlen(text)));
}
