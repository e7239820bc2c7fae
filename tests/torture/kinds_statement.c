/*
 * Clients that differ in what they ask for: transactions by each protocol, cursors, notifications, large objects,
 * prepared transactions, a pool that mostly sits idle, and the auditor.
 */
#include "client.h"

#include <inttypes.h>
#include <libpq/libpq-fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_SIZE		  CLIENT_SESSIONS_MAX
#define CURSOR_STEP		  100
#define BLOCK_BYTES		  8000
#define BLOCKS_MAX		  6
#define NOTIFY_TIMEOUT_MS 60000

/* ---- transactions ---- */

/* A transfer between two accounts and the row that tells of it, in one transaction and one message. */
static void
transfer_at_once(Client *client, PGconn *session)
{
	int64_t value = client_next_value(client);
	char sql[300];

	snprintf(sql, sizeof(sql),
			 "BEGIN; SELECT transfer(%" PRId64 ", %" PRId64 ", %" PRId64 "); "
			 "INSERT INTO told VALUES (%d, %" PRId64 ", %" PRId64 "); COMMIT",
			 client_draw(client, ACCOUNTS_SHARED), client_draw(client, ACCOUNTS_SHARED), client_draw(client, 50),
			 client->number, client->told_count + 1, value);
	client_command(client, session, sql);
	client_told(client, value);
}

/* On a session that stays, or on a new one. */
static void
turn_simple_with(Client *client, const char *more)
{
	if (client_draw(client, 2) == 0)
		client_close(client, 0);
	transfer_at_once(client, client_session(client, 0, more));
	client_think(client);
	client_check_told(client, client_session(client, 0, more));
}

static void
turn_simple(Client *client)
{
	turn_simple_with(client, "");
}

static void
turn_tls(Client *client)
{
	turn_simple_with(client, "sslmode=require");
	if (!PQsslInUse(client->sessions[0]))
		client_fail(client, "the session is not encrypted");
}

static void
execute_prepared(Client *client, PGconn *session, const char *name, const int64_t *numbers, int count,
				 ExecStatusType wanted)
{
	char texts[3][24];
	const char *values[3];

	for (int i = 0; i < count; i++)
	{
		snprintf(texts[i], sizeof(texts[i]), "%" PRId64, numbers[i]);
		values[i] = texts[i];
	}
	client_wait_begin(client, name);
	client_check(client, session, PQexecPrepared(session, name, count, values, NULL, NULL, 0), wanted, name);
	client_wait_end(client, name);
}

/* Statements prepared once, and silence in the middle of transactions. Its own accounts: they stay locked meanwhile. */
static void
turn_extended(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	int64_t value = client_next_value(client);

	if (client->memory[0] == 0)
	{
		client->memory[0] = 1;
		client_wait_begin(client, "prepare");
		client_check(client, session, PQprepare(session, "move", "SELECT transfer($1, $2, $3)", 0, NULL),
					 PGRES_COMMAND_OK, "prepare");
		client_check(client, session, PQprepare(session, "tell", "INSERT INTO told VALUES ($1, $2, $3)", 0, NULL),
					 PGRES_COMMAND_OK, "prepare");
		client_wait_end(client, "prepare");
	}
	client_command(client, session, "BEGIN");
	execute_prepared(client, session, "move",
					 (int64_t[]){client_own_account(client), client_own_account(client), client_draw(client, 50)}, 3,
					 PGRES_TUPLES_OK);
	client_think(client);
	execute_prepared(client, session, "tell", (int64_t[]){client->number, client->told_count + 1, value}, 3,
					 PGRES_COMMAND_OK);
	if (client_draw(client, 2) == 0)
		client_think(client);
	client_command(client, session, "COMMIT");
	client_told(client, value);
	client_think(client);
	client_check_told(client, session);
}

/* Prepared in one session, silence with nobody there, ended by another. */
static void
turn_two_phase(Client *client)
{
	int64_t value = client_next_value(client);
	bool commits = client_draw(client, 3) != 0;
	char sql[300];

	snprintf(sql, sizeof(sql),
			 "BEGIN; SELECT transfer(%" PRId64 ", %" PRId64 ", %" PRId64 "); "
			 "INSERT INTO told VALUES (%d, %" PRId64 ", %" PRId64 "); PREPARE TRANSACTION 'torture-%d'",
			 client_own_account(client), client_own_account(client), client_draw(client, 50), client->number,
			 client->told_count + 1, value, client->number);
	client_command(client, client_session(client, 0, ""), sql);
	if (client_draw(client, 2) == 0)
		client_close(client, 0);
	client_think(client);
	snprintf(sql, sizeof(sql), "%s PREPARED 'torture-%d'", commits ? "COMMIT" : "ROLLBACK", client->number);
	client_command(client, client_session(client, 0, ""), sql);
	if (commits)
		client_told(client, value);
	client_think(client);
	client_check_told(client, client_session(client, 0, ""));
}

/* ---- what a session holds ---- */

/* A cursor, sometimes one that outlives its transaction: every row once and in order. */
static void
turn_cursor(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	bool holds = client_draw(client, 2) == 0;
	int64_t last = CURSOR_STEP * (2 + client_draw(client, 5));
	int64_t seen = 0;
	char sql[200];

	client_command(client, session, "BEGIN");
	snprintf(sql, sizeof(sql), "DECLARE walk CURSOR %s FOR SELECT * FROM generate_series(1, %" PRId64 ")",
			 holds ? "WITH HOLD" : "", last);
	client_command(client, session, sql);
	if (holds)
		client_command(client, session, "COMMIT");
	snprintf(sql, sizeof(sql), "FETCH %d FROM walk", CURSOR_STEP);
	while (seen < last)
	{
		PGresult *result;

		if (client_draw(client, 2) == 0)
			client_think(client);
		result = client_ask(client, session, sql, PGRES_TUPLES_OK);
		for (int row = 0; row < PQntuples(result); row++)
			if (atoll(PQgetvalue(result, row, 0)) != ++seen)
				client_fail(client, "the cursor gave %s instead of %" PRId64, PQgetvalue(result, row, 0), seen);
		if (PQntuples(result) != CURSOR_STEP)
			client_fail(client, "the cursor ended at %" PRId64 " of %" PRId64, seen, last);
		PQclear(result);
	}
	client_command(client, session, holds ? "CLOSE walk" : "COMMIT");
}

/* One session listens and never speaks again; what the other one says must reach it, each once and in order. */
static void
turn_notify(Client *client)
{
	PGconn *listener = client_session(client, 0, "");
	PGconn *speaker = client_session(client, 1, "");
	struct pollfd readable = {.fd = PQsocket(listener), .events = POLLIN};
	PGnotify *heard = NULL;
	char sql[100];

	if (client->memory[0] == 0)
	{
		snprintf(sql, sizeof(sql), "LISTEN torture_%d", client->number);
		client_command(client, listener, sql);
	}
	client_think(client);
	client->memory[0]++;
	snprintf(sql, sizeof(sql), "NOTIFY torture_%d, '%" PRId64 "'", client->number, client->memory[0]);
	client_command(client, speaker, sql);
	client_wait_begin(client, "notification");
	while ((heard = PQnotifies(listener)) == NULL)
		if (poll(&readable, 1, NOTIFY_TIMEOUT_MS) != 1 || PQconsumeInput(listener) != 1)
			client_fail(client, "no notification: %s", PQerrorMessage(listener));
	client_wait_end(client, "notification");
	if (atoll(heard->extra) != client->memory[0])
		client_fail(client, "heard %s instead of %" PRId64, heard->extra, client->memory[0]);
	PQfreemem(heard);
}

/* The byte at each place of a large object follows from its number. */
static void
fill_block(char *block, int64_t salt)
{
	for (int i = 0; i < BLOCK_BYTES; i++)
		block[i] = (char) (i * 31 + salt);
}

static void
check_large(Client *client, PGconn *session, bool holds, const char *what)
{
	client_wait_end(client, what);
	if (!holds)
		client_fail(client, "%s: %s", what, PQerrorMessage(session));
}

/* Written and read back by fast-path calls, with silence between the blocks. */
static void
turn_large_object(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	int blocks = 1 + (int) client_draw(client, BLOCKS_MAX);
	char written[BLOCK_BYTES];
	char got[BLOCK_BYTES];
	Oid object;

	client_command(client, session, "BEGIN");
	client_wait_begin(client, "lo_creat");
	object = lo_creat(session, INV_READ | INV_WRITE);
	check_large(client, session, object != InvalidOid, "lo_creat");
	for (int pass = 0; pass < 2; pass++)
	{
		int fd;

		client_wait_begin(client, "lo_open");
		fd = lo_open(session, object, INV_READ | INV_WRITE);
		check_large(client, session, fd >= 0, "lo_open");
		for (int block = 0; block < blocks; block++)
		{
			int moved;

			if (client_draw(client, 3) == 0)
				client_think(client);
			fill_block(written, block + client->turns);
			client_wait_begin(client, "lo_block");
			moved = pass == 0 ? lo_write(session, fd, written, BLOCK_BYTES) : lo_read(session, fd, got, BLOCK_BYTES);
			check_large(client, session, moved == BLOCK_BYTES, "lo_block");
			if (pass == 1 && memcmp(written, got, BLOCK_BYTES) != 0)
				client_fail(client, "block %d of large object %u is not what was written", block, object);
		}
		client_wait_begin(client, "lo_close");
		check_large(client, session, lo_close(session, fd) == 0, "lo_close");
		if (pass == 0)
		{
			client_command(client, session, "COMMIT");
			client_think(client);
			client_command(client, session, "BEGIN");
		}
	}
	client_wait_begin(client, "lo_unlink");
	check_large(client, session, lo_unlink(session, object) == 1, "lo_unlink");
	client_command(client, session, "COMMIT");
}

/* A pool that sits idle but for one session now and then; each has state of its own, which must still be there. */
static void
turn_pool(Client *client)
{
	int place = (int) client_draw(client, POOL_SIZE);
	PGconn *session;
	char sql[200];

	for (int i = 0; i < POOL_SIZE; i++)
		if (client->sessions[i] == NULL)
			client_command(
				client, client_session(client, i, ""),
				"CREATE TEMP TABLE mine AS SELECT 0 AS n; SET my.count = 0; PREPARE mine_is AS SELECT n FROM mine");
	if (client_draw(client, 3) != 0)
		return;
	session = client->sessions[place];
	if (client_number(client, session, "EXECUTE mine_is") != client->memory[place] ||
		client_number(client, session, "SHOW my.count") != client->memory[place])
		client_fail(client, "session %d of the pool has lost its temporary table or its setting", place);
	client->memory[place]++;
	snprintf(sql, sizeof(sql), "UPDATE mine SET n = n + 1; SET my.count = %" PRId64, client->memory[place]);
	client_command(client, session, sql);
	transfer_at_once(client, session);
}

/* Money is neither made nor lost, whoever is in the middle of what. */
static void
turn_audit(Client *client)
{
	PGconn *session = client_session(client, 0, "");

	for (int i = 0; i < 3; i++)
	{
		int64_t wrong = client_number(client, session, "SELECT sum(balance) - 1000 * count(*) FROM account");

		if (wrong != 0)
			client_fail(client, "the accounts hold %" PRId64 " more than was paid in", wrong);
		client_think(client);
	}
}

const ClientKind client_kinds_statement[] = {
	{"simple", turn_simple},
	{"extended", turn_extended},
	{"tls", turn_tls},
	{"two-phase", turn_two_phase},
	{"cursor", turn_cursor},
	{"notify", turn_notify},
	{"large-object", turn_large_object},
	{"pool", turn_pool},
	{"audit", turn_audit},
	{0},
};
