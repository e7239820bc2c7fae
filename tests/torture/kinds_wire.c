/*
 * Clients that differ in how they use the wire: pipelines, COPY in both directions, cancel requests. Each falls silent
 * in the middle, too.
 */
#include "client.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPELINE_MAX	 40
#define COPY_IN_MAX		 200
#define COPY_OUT_MAX	 20000
#define CANCEL_AGAIN_MS	 100
#define CANCEL_TRIES_MAX 1000
#define INSERT			 "INSERT INTO told VALUES ($1, $2, $3)"

/* ---- pipelines ---- */

static void
send_insert(Client *client, PGconn *session, int64_t number, int64_t value)
{
	char texts[3][24];
	const char *values[3] = {texts[0], texts[1], texts[2]};

	snprintf(texts[0], sizeof(texts[0]), "%d", client->number);
	snprintf(texts[1], sizeof(texts[1]), "%" PRId64, number);
	snprintf(texts[2], sizeof(texts[2]), "%" PRId64, value);
	if (PQsendQueryParams(session, INSERT, 3, NULL, values, NULL, NULL, 0) != 1)
		client_fail(client, "pipeline: %s", PQerrorMessage(session));
}

/* The next result of a pipeline; behind that of each statement stands a NULL. */
static void
take_result(Client *client, PGconn *session, ExecStatusType wanted)
{
	client_check(client, session, PQgetResult(session), wanted, "pipeline");
	if (wanted != PGRES_PIPELINE_SYNC && PQgetResult(session) != NULL)
		client_fail(client, "pipeline: a result too many");
}

/*
 * Many statements before the first answer is read; part of them leave early, and the rest after a silence. Sometimes
 * one fails in the middle: what is behind it is refused, and nothing of the whole stays.
 */
static void
turn_pipeline(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	int count = 2 + (int) client_draw(client, PIPELINE_MAX - 1);
	int pause_at = (int) client_draw(client, count);
	int fails_at = client_draw(client, 4) == 0 ? (int) client_draw(client, count) : count;
	int64_t values[PIPELINE_MAX + 1];

	if (PQenterPipelineMode(session) != 1)
		client_fail(client, "pipeline: %s", PQerrorMessage(session));
	for (int i = 0; i < count; i++)
	{
		values[i] = client_next_value(client);
		if (i == fails_at)
		{
			if (PQsendQueryParams(session, "SELECT 1 / 0", 0, NULL, NULL, NULL, NULL, 0) != 1)
				client_fail(client, "pipeline: %s", PQerrorMessage(session));
		}
		else
			send_insert(client, session, client->told_count + 1 + i, values[i]);
		if (i == pause_at)
		{
			/* With or without a message that makes the server answer what it has. */
			if (client_draw(client, 2) == 0)
				PQsendFlushRequest(session);
			if (PQflush(session) != 0)
				client_fail(client, "pipeline: %s", PQerrorMessage(session));
			client_think(client);
		}
	}
	if (PQpipelineSync(session) != 1)
		client_fail(client, "pipeline: %s", PQerrorMessage(session));
	client_wait_begin(client, "pipeline");
	for (int i = 0; i < count; i++)
		if (i == fails_at)
		{
			client_check_error(client, session, PQgetResult(session), "22012", "pipeline");
			if (PQgetResult(session) != NULL)
				client_fail(client, "pipeline: a result too many");
		}
		else
			take_result(client, session, i < fails_at ? PGRES_COMMAND_OK : PGRES_PIPELINE_ABORTED);
	take_result(client, session, PGRES_PIPELINE_SYNC);
	client_wait_end(client, "pipeline");
	if (PQexitPipelineMode(session) != 1)
		client_fail(client, "pipeline: %s", PQerrorMessage(session));
	for (int i = 0; i < count && fails_at == count; i++)
		client_told(client, values[i]);
	client_think(client);
	client_check_told(client, session);
}

/* ---- COPY ---- */

/* Rows in pieces, with silence between them; sometimes the client gives it up at the end, and nothing of it stays. */
static void
turn_copy_in(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	int count = 1 + (int) client_draw(client, COPY_IN_MAX);
	bool gives_up = client_draw(client, 5) == 0;
	int64_t values[COPY_IN_MAX];
	PGresult *result;

	PQclear(client_ask(client, session, "COPY told FROM STDIN", PGRES_COPY_IN));
	for (int i = 0; i < count; i++)
	{
		char row[100];
		int length;

		values[i] = client_next_value(client);
		length = snprintf(row, sizeof(row), "%d\t%" PRId64 "\t%" PRId64 "\n", client->number,
						  client->told_count + 1 + i, values[i]);
		if (PQputCopyData(session, row, length) != 1 || PQflush(session) != 0)
			client_fail(client, "COPY: %s", PQerrorMessage(session));
		if (client_draw(client, COPY_IN_MAX / 2) == 0)
			client_think(client);
	}
	client_wait_begin(client, "copied");
	if (PQputCopyEnd(session, gives_up ? "given up" : NULL) != 1)
		client_fail(client, "COPY: %s", PQerrorMessage(session));
	result = PQgetResult(session);
	if (gives_up)
		client_check_error(client, session, result, "57014", "COPY");
	else
		client_check(client, session, result, PGRES_COMMAND_OK, "COPY");
	if (PQgetResult(session) != NULL)
		client_fail(client, "COPY: a result too many");
	client_wait_end(client, "copied");
	for (int i = 0; i < count && !gives_up; i++)
		client_told(client, values[i]);
	client_think(client);
	client_check_told(client, session);
}

/* More rows than the sockets hold, read with silence in the middle: each once and in order. */
static void
turn_copy_out(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	int64_t count = 1 + client_draw(client, COPY_OUT_MAX);
	int64_t pause_at = client_draw(client, count);
	int64_t seen = 0;
	char sql[150];
	char *row;
	int length;

	snprintf(sql, sizeof(sql), "COPY (SELECT n, repeat('x', 100) FROM generate_series(1, %" PRId64 ") AS n) TO STDOUT",
			 count);
	PQclear(client_ask(client, session, sql, PGRES_COPY_OUT));
	client_wait_begin(client, "rows");
	while ((length = PQgetCopyData(session, &row, 0)) > 0)
	{
		if (strtoll(row, NULL, 10) != ++seen)
			client_fail(client, "COPY gave row %.10s instead of %" PRId64, row, seen);
		PQfreemem(row);
		if (seen == pause_at)
		{
			client_wait_end(client, "rows");
			client_think(client);
			client_wait_begin(client, "rows");
		}
	}
	if (length != -1 || seen != count)
		client_fail(client, "COPY ended at %" PRId64 " of %" PRId64 ": %s", seen, count, PQerrorMessage(session));
	client_check(client, session, PQgetResult(session), PGRES_COMMAND_OK, "COPY");
	if (PQgetResult(session) != NULL)
		client_fail(client, "COPY: a result too many");
	client_wait_end(client, "rows");
}

/* ---- cancel requests ---- */

static void
cancel(Client *client, PGconn *session)
{
	PGcancel *request = PQgetCancel(session);
	char error[256] = "";

	client_wait_begin(client, "cancel");
	if (request == NULL || PQcancel(request, error, sizeof(error)) != 1)
		client_fail(client, "cancel: %s", error);
	client_wait_end(client, "cancel");
	PQfreeCancel(request);
}

/* A statement that says when it runs, and then runs for ever. */
static void
note_notice(void *context, const char *message)
{
	(void) message;
	*(bool *) context = true;
}

static void
await_notice(Client *client, PGconn *session, const bool *noticed)
{
	struct pollfd readable = {.fd = PQsocket(session), .events = POLLIN};

	client_wait_begin(client, "runs");
	while (!*noticed)
	{
		if (poll(&readable, 1, -1) < 0 || PQconsumeInput(session) != 1)
			client_fail(client, "cancel: %s", PQerrorMessage(session));
		PQisBusy(session); /* this is what looks for notices */
	}
	client_wait_end(client, "runs");
}

/*
 * A request for a statement that runs must end it. One that leaves before it is known to run may be there first, in
 * PostgreSQL as such: then it does nothing, and is sent again.
 */
static void
cancel_statement(Client *client, PGconn *session)
{
	struct pollfd readable = {.fd = PQsocket(session), .events = POLLIN};
	bool surely_runs = client_draw(client, 2) == 0;
	bool noticed = false;
	int tries = 0;

	PQsetNoticeProcessor(session, note_notice, &noticed);
	if (PQsendQuery(session, "DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_sleep(3600); END $$") != 1)
		client_fail(client, "cancel: %s", PQerrorMessage(session));
	if (surely_runs)
		await_notice(client, session, &noticed);
	client_think(client);
	do
	{
		cancel(client, session);
		tries++;
		client_wait_begin(client, "cancelled");
		while (PQisBusy(session) && poll(&readable, 1, surely_runs ? -1 : CANCEL_AGAIN_MS) > 0)
			if (PQconsumeInput(session) != 1)
				client_fail(client, "cancel: %s", PQerrorMessage(session));
		client_wait_end(client, "cancelled");
	} while (PQisBusy(session) && tries < CANCEL_TRIES_MAX);
	client_check_error(client, session, PQgetResult(session), "57014", "cancelled");
	if (PQgetResult(session) != NULL)
		client_fail(client, "cancel: a result too many");
}

/* One for a session that sleeps does nothing to it. */
static void
turn_cancel(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	PGresult *result;
	const char *sqlstate;

	cancel_statement(client, session);
	client_think(client);
	cancel(client, session);
	/* The request is answered when the signal is sent, not when it is taken: it may still hit this one, but only it. */
	client_wait_begin(client, "after");
	result = PQexec(session, "SELECT 1");
	client_wait_end(client, "after");
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && (sqlstate == NULL || strcmp(sqlstate, "57014") != 0))
		client_fail(client, "after a cancel request: %s", PQerrorMessage(session));
	PQclear(result);
	if (client_number(client, session, "SELECT 2") != 2)
		client_fail(client, "the session answers wrongly after a cancel request");
}

const ClientKind client_kinds_wire[] = {
	{"pipeline", turn_pipeline}, {"copy-in", turn_copy_in}, {"copy-out", turn_copy_out}, {"cancel", turn_cancel}, {0},
};
