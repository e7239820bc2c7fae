/* The schema of lttle.db, as the steps that lead to it. */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

#include "base/error.h"

struct sqlite3;

/*
 * Brings a database from the version in its user_version to the newest one, each step in a transaction. -EPROTO when
 * it was written by a newer lttled.
 */
int migrations_run(struct sqlite3 *database, const char *path, Error *err) MUST_CHECK;

/* The version that migrations_run leads to. */
int migrations_newest(void);

#endif
