/*
 * A connection to a PostgreSQL server that ends in time: every step waits for the socket with a deadline, never longer.
 * For forked jobs and for the client program, which may block; the event loop never calls any of this.
 *
 * What a session finds is fixed, whatever the server's, a database's or a role's own settings are: UTF-8, standard
 * strings, no row security, and a search_path of pg_catalog alone, so that nothing a user of the database made is
 * called by mistake with the rights of a superuser.
 */
#ifndef POSTGRES_CONNECTION_H
#define POSTGRES_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct pg_conn;
struct pg_result;

typedef struct PostgresConnection PostgresConnection;

typedef struct PostgresTarget
{
	const char *host; /* a name, an address, or the directory of a Unix socket */
	uint16_t port;
	const char *user;
	const char *password;	   /* NULL: none */
	const char *next_password; /* NULL, or what is tried when the server refuses the first: one that is being set */
	const char *database;
	const char *application; /* NULL: "lttled" */
} PostgresTarget;

/*
 * Connects. A server that is not there yet (nobody listens, or it is still recovering) is tried again until the
 * deadline. deadline_ns: CLOCK_MONOTONIC; it holds for everything that is done on the connection. Errors: -ETIMEDOUT;
 * -EACCES: the password is refused; -ENOENT: no such database; -EREMOTEIO: the server refuses.
 */
int postgres_open(const PostgresTarget *target, uint64_t deadline_ns, PostgresConnection **ret_connection,
				  Error *err) MUST_CHECK;

/* NULL is allowed. */
void postgres_close(PostgresConnection *connection);

static inline void
cleanup_postgres(PostgresConnection **connection)
{
	postgres_close(*connection);
}
#define _cleanup_postgres_ __attribute__((cleanup(cleanup_postgres)))

/*
 * Runs statements without parameters (several, by semicolons, are one transaction of their own), and throws rows away.
 * Errors: -EREMOTEIO: the server's message, with its detail and hint; -ETIMEDOUT; -ECONNRESET: the connection is lost,
 * and whether the statement took effect is not known.
 */
int postgres_execute(PostgresConnection *connection, const char *sql, Error *err) MUST_CHECK;

/*
 * Runs one statement with text parameters ($1 …; NULL is NULL) and returns its rows. The caller clears the result
 * (PQclear, _cleanup_result_).
 */
int postgres_query(PostgresConnection *connection, const char *sql, const char *const *parameters, size_t count,
				   struct pg_result **ret_result, Error *err) MUST_CHECK;

void cleanup_postgres_result(struct pg_result **result);
#define _cleanup_result_ __attribute__((cleanup(cleanup_postgres_result)))

/* The SQLSTATE of the last error, five characters; empty when there was none or it was not the server's. */
const char *postgres_sqlstate(const PostgresConnection *connection);

/* 150020, 170005. */
int postgres_version(const PostgresConnection *connection);

const char *postgres_database(const PostgresConnection *connection);
const char *postgres_user(const PostgresConnection *connection);

/* For what libpq does itself (COPY). It belongs to the connection. */
struct pg_conn *postgres_handle(PostgresConnection *connection);

/* What the server said beside its answers, in its order: "NOTICE:  …" without the newline, at most 100. */
const char *const *postgres_notices(const PostgresConnection *connection, size_t *ret_count);

/* Quoted by libpq, for statements that take no parameters. The text must be UTF-8 (role_name_check has looked). */
void postgres_append_identifier(PostgresConnection *connection, Text *sql, const char *name);
void postgres_append_literal(PostgresConnection *connection, Text *sql, const char *text);

#endif
