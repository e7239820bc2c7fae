/*
 * One client of the torture test: what all kinds of clients share. Whatever is not as it must be ends the process with
 * a line that says what, and exit status 1.
 */
#ifndef TORTURE_CLIENT_H
#define TORTURE_CLIENT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#define CLIENT_SESSIONS_MAX	   5
#define ACCOUNTS_SHARED		   100 /* accounts 0 to 99 are everybody's */
#define ACCOUNTS_PER_CLIENT	   10  /* behind them each client has its own, which it may keep locked while it thinks */
#define ACCOUNT_OPENING_AMOUNT 1000

typedef struct Client
{
	const char *kind;
	const char *conninfo;
	int number;
	uint64_t seed;
	uint64_t random;					   /* state of the generator */
	int64_t origin_ms;					   /* when the first beat was, in milliseconds of CLOCK_MONOTONIC */
	int64_t beat_ms;					   /* how far apart beats are */
	int64_t timeout_ms;					   /* the machine's suspend time-out */
	PGconn *sessions[CLIENT_SESSIONS_MAX]; /* open from one turn to the next, or NULL */
	int64_t turns;
	int64_t waits;
	int64_t worst_us;
	int64_t wait_began_us;
	/* The rows of `told` that were acknowledged to this client. */
	int64_t told_count;
	int64_t told_sum;
	/* What a kind remembers from one turn to the next. */
	int64_t memory[CLIENT_SESSIONS_MAX];
} Client;

/* One row a kind: what it does in one turn. */
typedef struct ClientKind
{
	const char *name;
	void (*turn)(Client *client);
} ClientKind;

extern const ClientKind client_kinds_statement[];
extern const ClientKind client_kinds_wire[];
extern const ClientKind client_kinds_vanish[];

void client_fail(const Client *client, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* A number from 0 to below. */
int64_t client_draw(Client *client, int64_t below);

/* Silence, drawn around the machine's suspend time-out. */
void client_think(Client *client);

/* Brackets whatever the server is to answer; both ends go to the event log. The names are words without blanks. */
void client_wait_begin(Client *client, const char *what);
void client_wait_end(Client *client, const char *what);

/* A new session, application name "torture KIND NUMBER". more: connection parameters to add, or "". */
PGconn *client_connect(Client *client, const char *more);

/* The session in that place, opened if need be. */
PGconn *client_session(Client *client, int place, const char *more);
void client_close(Client *client, int place);

/* Sends SQL by the simple protocol, waits, and sees that the answer is of that status. The caller clears the result. */
PGresult *client_ask(Client *client, PGconn *session, const char *sql, ExecStatusType wanted);

/* The same for what has no rows that matter, and for a single number. */
void client_command(Client *client, PGconn *session, const char *sql);
int64_t client_number(Client *client, PGconn *session, const char *sql);

/* Ends the process unless the result has that status, or is an error with that SQLSTATE. Clears it. */
void client_check(Client *client, PGconn *session, PGresult *result, ExecStatusType wanted, const char *what);
void client_check_error(Client *client, PGconn *session, PGresult *result, const char *sqlstate, const char *what);

/* The next value that the client tells; it counts from `client_told` on, which is for after the commit. */
int64_t client_next_value(Client *client);
void client_told(Client *client, int64_t value);

/* Sees that exactly the acknowledged rows are there. */
void client_check_told(Client *client, PGconn *session);

/* One of the client's own accounts. */
int64_t client_own_account(Client *client);

#endif
