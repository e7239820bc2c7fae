/*
 * The database that a command of the group `postgres` speaks to: a user's of a cluster, of which the coordinator tells
 * the connection URL, or any that --url names. The connection is a client's like any other: it wakes the server.
 */
#ifndef CLI_DATABASE_H
#define CLI_DATABASE_H

#include <libpq-fe.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/ssh_tunnel.h"

struct json_t;

typedef struct Database
{
	PQconninfoOption *options; /* of libpq; those that nobody has set are NULL */
	SshTunnel tunnel;
} Database;

/*
 * By the command's arguments CLUSTER [USER], or --url, and then --database. Asks the coordinator only for a cluster,
 * and wakes nothing. Returns the exit code; what is wrong is on standard error. The caller clears.
 */
int database_find(const CliInvocation *invocation, Database *ret_database);
void database_clear(Database *database);
#define _cleanup_database_ __attribute__((cleanup(database_clear)))

/* What is set, or NULL. keyword: "host", "port", "user", … of libpq. */
const char *database_get(const Database *database, const char *keyword);
void database_set(Database *database, const char *keyword, const char *value);

/*
 * With --ssh: opens the tunnel to the server, and lets the database be reached through it. Does nothing without it.
 * port: the local one; 0: any. Returns the exit code.
 */
int database_dig(const CliInvocation *invocation, Database *database, uint16_t port);

/*
 * Connects, read-only and with a search_path of pg_catalog alone. Returns the exit code. The caller finishes the
 * connection (PQfinish, _cleanup_pgconn_). timeout_ms: for the connection, and for each statement; 0: none.
 */
int database_connect(const Database *database, uint64_t timeout_ms, PGconn **ret_connection);

/* Runs a statement whose only row and column is JSON. Returns the exit code. The caller decrefs. */
int database_query_json(PGconn *connection, const char *sql, struct json_t **ret_json);

void cleanup_pgconn(PGconn **connection);
#define _cleanup_pgconn_ __attribute__((cleanup(cleanup_pgconn)))

#endif
