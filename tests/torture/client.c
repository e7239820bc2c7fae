/*
 * A client of the torture test, of one kind: takes turns until SIGTERM, in step with the others, so that all speak
 * within the same moments and the machine sleeps between them. What it draws follows from its seed.
 *
 * usage: client KIND NUMBER SEED ORIGIN_MS BEAT_MS TIMEOUT_MS CONNINFO     or: client --kinds
 *
 * Standard output is the event log, a line an event: milliseconds of CLOCK_MONOTONIC, kind and number, and
 *   > WHAT           it waits for the server
 *   < WHAT MICROSECONDS   it has waited
 *   ! TEXT           something is not as it must be; the process ends with status 1
 *   = turns T waits W worst_us U     the end, status 0
 */
#include "client.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const ClientKind *const tables[] = {client_kinds_statement, client_kinds_wire, client_kinds_vanish};
static volatile sig_atomic_t stopped;

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* One write a line, so that lines of a client and of its children never mix. */
static void __attribute__((format(printf, 2, 0)))
print_event(const Client *client, const char *format, va_list arguments)
{
	char line[LINE_MAX_BYTES];
	int length = snprintf(line, sizeof(line), "%" PRId64 " %s-%d ", now_us() / 1000, client->kind, client->number);

	length += vsnprintf(line + length, sizeof(line) - (size_t) length, format, arguments);
	if (length > LINE_MAX_BYTES - 1)
		length = LINE_MAX_BYTES - 1;
	for (char *at = line; at < line + length; at++)
		if (*at == '\n')
			*at = ' ';
	line[length] = '\n';
	if (write(STDOUT_FILENO, line, (size_t) length + 1) < 0)
		_exit(EXIT_FAILURE); /* nobody reads: the run is over */
}

static void __attribute__((format(printf, 2, 3))) event(const Client *client, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_event(client, format, arguments);
	va_end(arguments);
}

void
client_fail(const Client *client, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	event(client, "! %s", text);
	_exit(EXIT_FAILURE);
}

/* splitmix64 */
static uint64_t
mix(uint64_t state)
{
	state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
	state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
	return state ^ (state >> 31);
}

int64_t
client_draw(Client *client, int64_t below)
{
	client->random += 0x9e3779b97f4a7c15;
	return (int64_t) (mix(client->random) % (uint64_t) below);
}

/* Sleeps until then, or until SIGTERM, which is let in nowhere else: it must not end a wait for the server. */
static void
sleep_until_ms(int64_t when_ms)
{
	int64_t left_ms;
	sigset_t none;

	sigemptyset(&none);
	do
	{
		struct timespec left = {0};

		left_ms = when_ms - now_us() / 1000;
		if (left_ms > 0)
			left = (struct timespec){.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
		ppoll(NULL, 0, &left, &none);
	} while (!stopped && left_ms > 0);
}

void
client_think(Client *client)
{
	sleep_until_ms(now_us() / 1000 + client->timeout_ms / 2 + client_draw(client, 3 * client->timeout_ms));
}

/* Beats are the same for all clients of a run, and not even: the machine is to be met in all that it may be doing. */
static int64_t
beat_start_ms(const Client *client, int64_t beat)
{
	return client->origin_ms + beat * client->beat_ms +
		   (int64_t) (mix(client->seed ^ (uint64_t) beat) % (uint64_t) client->beat_ms) / 2;
}

static void
wait_for_beat(Client *client)
{
	int64_t now_ms = now_us() / 1000;
	int64_t beat = (now_ms - client->origin_ms) / client->beat_ms;

	while (beat_start_ms(client, beat) <= now_ms)
		beat++;
	sleep_until_ms(beat_start_ms(client, beat) + client_draw(client, 4 * client->timeout_ms));
}

void
client_wait_begin(Client *client, const char *what)
{
	event(client, "> %s", what);
	client->wait_began_us = now_us();
}

void
client_wait_end(Client *client, const char *what)
{
	int64_t waited_us = now_us() - client->wait_began_us;

	event(client, "< %s %" PRId64, what, waited_us);
	client->waits++;
	if (waited_us > client->worst_us)
		client->worst_us = waited_us;
}

PGconn *
client_connect(Client *client, const char *more)
{
	char conninfo[512];
	PGconn *session;

	snprintf(conninfo, sizeof(conninfo), "%s application_name='torture %s %d' %s", client->conninfo, client->kind,
			 client->number, more);
	client_wait_begin(client, "connect");
	session = PQconnectdb(conninfo);
	if (PQstatus(session) != CONNECTION_OK)
		client_fail(client, "connect: %s", PQerrorMessage(session));
	client_wait_end(client, "connect");
	return session;
}

PGconn *
client_session(Client *client, int place, const char *more)
{
	if (client->sessions[place] == NULL)
		client->sessions[place] = client_connect(client, more);
	return client->sessions[place];
}

void
client_close(Client *client, int place)
{
	PQfinish(client->sessions[place]);
	client->sessions[place] = NULL;
}

void
client_check(Client *client, PGconn *session, PGresult *result, ExecStatusType wanted, const char *what)
{
	if (PQresultStatus(result) != wanted)
		client_fail(client, "%s: %s instead of %s: %s", what, PQresStatus(PQresultStatus(result)), PQresStatus(wanted),
					result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(session));
	PQclear(result);
}

void
client_check_error(Client *client, PGconn *session, PGresult *result, const char *sqlstate, const char *what)
{
	const char *got = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (got == NULL || strcmp(got, sqlstate) != 0)
		client_fail(client, "%s: %s, SQLSTATE %s instead of %s: %s", what, PQresStatus(PQresultStatus(result)),
					got != NULL ? got : "none", sqlstate, PQerrorMessage(session));
	PQclear(result);
}

PGresult *
client_ask(Client *client, PGconn *session, const char *sql, ExecStatusType wanted)
{
	char what[24] = "";
	PGresult *result;

	sscanf(sql, "%23[A-Za-z_]", what);
	client_wait_begin(client, what);
	result = PQexec(session, sql);
	if (PQresultStatus(result) != wanted)
		client_fail(client, "%s: %s", sql, PQerrorMessage(session));
	client_wait_end(client, what);
	return result;
}

void
client_command(Client *client, PGconn *session, const char *sql)
{
	PQclear(client_ask(client, session, sql, PGRES_COMMAND_OK));
}

int64_t
client_number(Client *client, PGconn *session, const char *sql)
{
	PGresult *result = client_ask(client, session, sql, PGRES_TUPLES_OK);
	int64_t number;

	if (PQntuples(result) != 1)
		client_fail(client, "%s: %d rows", sql, PQntuples(result));
	number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return number;
}

int64_t
client_next_value(Client *client)
{
	return client_draw(client, 1000000000);
}

void
client_told(Client *client, int64_t value)
{
	client->told_count++;
	client->told_sum += value;
}

void
client_check_told(Client *client, PGconn *session)
{
	char sql[200];
	PGresult *result;
	int64_t count;
	int64_t sum;
	int64_t last;

	snprintf(sql, sizeof(sql),
			 "SELECT count(*), coalesce(sum(value), 0), coalesce(max(number), 0) FROM told WHERE client = %d",
			 client->number);
	result = client_ask(client, session, sql, PGRES_TUPLES_OK);
	count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	sum = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	last = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
	if (count != client->told_count || sum != client->told_sum || last != client->told_count)
		client_fail(client,
					"%" PRId64 " rows up to number %" PRId64 " with sum %" PRId64 ", but %" PRId64
					" were acknowledged, with sum %" PRId64,
					count, last, sum, client->told_count, client->told_sum);
	PQclear(result);
}

int64_t
client_own_account(Client *client)
{
	return ACCOUNTS_SHARED + (int64_t) client->number * ACCOUNTS_PER_CLIENT + client_draw(client, ACCOUNTS_PER_CLIENT);
}

static void
on_stop(int signal_number)
{
	(void) signal_number;
	stopped = 1;
}

static const ClientKind *
find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const ClientKind *kind = tables[i]; kind->name != NULL; kind++)
			if (name == NULL)
				puts(kind->name);
			else if (strcmp(kind->name, name) == 0)
				return kind;
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_stop};
	sigset_t end;
	const ClientKind *kind;
	Client client = {0};

	if (argc == 2 && strcmp(argv[1], "--kinds") == 0)
		return find_kind(NULL) != NULL;
	if (argc != 8 || (kind = find_kind(argv[1])) == NULL)
	{
		fprintf(stderr, "usage: client KIND NUMBER SEED ORIGIN_MS BEAT_MS TIMEOUT_MS CONNINFO, or client --kinds\n");
		return 2;
	}
	client.kind = kind->name;
	client.number = atoi(argv[2]);
	client.seed = strtoull(argv[3], NULL, 10);
	client.random = client.seed * 1000 + (uint64_t) client.number;
	client.origin_ms = strtoll(argv[4], NULL, 10);
	client.beat_ms = strtoll(argv[5], NULL, 10);
	client.timeout_ms = strtoll(argv[6], NULL, 10);
	client.conninfo = argv[7];
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	for (;;)
	{
		wait_for_beat(&client);
		if (stopped)
			break;
		kind->turn(&client);
		client.turns++;
	}
	client_check_told(&client, client_session(&client, 0, ""));
	for (int place = 0; place < CLIENT_SESSIONS_MAX; place++)
		client_close(&client, place);
	event(&client, "= turns %" PRId64 " waits %" PRId64 " worst_us %" PRId64, client.turns, client.waits,
		  client.worst_us);
	return EXIT_SUCCESS;
}
