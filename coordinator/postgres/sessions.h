/* Connections to the databases of one server, each opened when it is first needed. */
#ifndef POSTGRES_SESSIONS_H
#define POSTGRES_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "postgres/connection.h"

typedef struct Sessions
{
	PostgresTarget target; /* database: the one for what belongs to no database */
	uint64_t deadline_ns;
	PostgresConnection **connections;
	size_t count;
	size_t capacity;
} Sessions;

/* database NULL: that of the target. The connection belongs to the sessions. Errors: as postgres_open. */
int sessions_get(Sessions *sessions, const char *database, PostgresConnection **ret_connection, Error *err) MUST_CHECK;

/* Ends the one to this database, so that it can be dropped. */
void sessions_end(Sessions *sessions, const char *database);
void sessions_clear(Sessions *sessions);
#define _cleanup_sessions_ __attribute__((cleanup(sessions_clear)))

#endif
