/* The schema of lttle.db; see migrations.h. A step that was ever released is never changed: append a new one. */
#include "store/migrations.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>

static const char *const steps[] = {
	/* 1: volumes, apps, machines, events, images. Specs are JSON; a machine goes with its app. */
	"CREATE TABLE volumes (namespace TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,"
	" PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE apps (namespace TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,"
	" PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE machines (namespace TEXT NOT NULL, name TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT NOT NULL,"
	" since_ms INTEGER NOT NULL, address_index INTEGER NOT NULL, pid INTEGER NOT NULL, start_time INTEGER NOT NULL,"
	" suspends INTEGER NOT NULL, wakes INTEGER NOT NULL, last_wake_ms INTEGER NOT NULL,"
	" last_wake_us INTEGER NOT NULL, woken_by TEXT NOT NULL, restarts INTEGER NOT NULL,"
	" delete_wanted INTEGER NOT NULL, image_id TEXT NOT NULL,"
	" PRIMARY KEY (namespace, name),"
	" FOREIGN KEY (namespace, name) REFERENCES apps (namespace, name) ON DELETE CASCADE) STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX machines_by_address ON machines (address_index) WHERE address_index > 0;"

	"CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, namespace TEXT NOT NULL,"
	" name TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT NOT NULL, took_us INTEGER NOT NULL) STRICT;"
	"CREATE INDEX events_by_machine ON events (namespace, name, id);"

	"CREATE TABLE images (name TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, root TEXT NOT NULL,"
	" config TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;",

	/* 2: a machine without an app is kept among the apps, as what it is; services that are documents of their own. */
	"ALTER TABLE apps ADD COLUMN kind TEXT NOT NULL DEFAULT 'app';"

	"CREATE TABLE services (namespace TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,"
	" PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;",
	/* 3: what an image is called by its registry, to see when a tag has moved. */
	"ALTER TABLE images ADD COLUMN source_digest TEXT NOT NULL DEFAULT '';",

	/* 4: secrets (kind 0) and values (kind 1) of namespaces; sealed as vault.h says. */
	"CREATE TABLE secrets (kind INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,"
	" revision INTEGER NOT NULL, changed_ms INTEGER NOT NULL, sealed BLOB NOT NULL,"
	" PRIMARY KEY (kind, namespace, name)) STRICT, WITHOUT ROWID;"
	/* The highest revision that a secret or value had of those that the machine was last started with. */
	"ALTER TABLE machines ADD COLUMN secrets_revision INTEGER NOT NULL DEFAULT 0;"
	/* An environment is worked out once more at each start: what looked like an expression stays text. */
	"UPDATE apps SET spec = json_set(spec, '$.environment', json((SELECT json_group_object(key,"
	" replace(value, '${{', '$${{')) FROM json_each(spec, '$.environment'))))"
	" WHERE CASE WHEN json_valid(spec) THEN json_extract(spec, '$.environment') LIKE '%${{%' END;",
	/* 5: how the last run ended, plus one (0: not known); whose the listeners are of a machine that begins as root. */
	("ALTER TABLE machines ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE machines ADD COLUMN server_uid INTEGER NOT NULL DEFAULT 0;"),
	/* 6: PostgreSQL clusters; applied: the spec that the server has been brought to, or NULL. */
	"CREATE TABLE clusters (namespace TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, applied TEXT, PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;",

	/* 7: schedules of backups; what was asked for and what became of it is JSON. */
	"CREATE TABLE backups (namespace TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,"
	" PRIMARY KEY (namespace, name)) STRICT, WITHOUT ROWID;",
};
#define STEP_COUNT ((int) (sizeof(steps) / sizeof(steps[0])))

int
migrations_newest(void)
{
	return STEP_COUNT;
}

static int
read_version(sqlite3 *database, const char *path, int *ret_version, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = 0;

	if (sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK ||
		sqlite3_step(statement) != SQLITE_ROW)
		result = error_set(err, -EIO, "%s: %s", path, sqlite3_errmsg(database));
	else
		*ret_version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return result;
}

static int
run_step(sqlite3 *database, const char *path, int step, Error *err)
{
	char set_version[64];

	snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", step + 1);
	if (sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(database, steps[step], NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(database, set_version, NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
	{
		error_set(err, -EIO, "%s: to schema %d: %s", path, step + 1, sqlite3_errmsg(database));
		sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
		return -EIO;
	}
	return 0;
}

int
migrations_run(sqlite3 *database, const char *path, Error *err)
{
	int version = 0;
	int result = read_version(database, path, &version, err);

	if (result < 0)
		return result;
	if (version < 0 || version > STEP_COUNT)
		return error_set(err, -EPROTO,
						 "%s: has schema %d, but this lttled knows only up to %d; it was written by a newer one", path,
						 version, STEP_COUNT);
	for (; version < STEP_COUNT; version++)
	{
		result = run_step(database, path, version, err);
		if (result < 0)
			return result;
	}
	return 0;
}
