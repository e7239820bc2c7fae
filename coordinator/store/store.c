/* Opening, locking, transactions and prepared statements of the store; see store.h. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/migrations.h"
#include "store/store_internal.h"

#define MACHINE_COLUMNS                                                                                                \
	"namespace, name, phase, reason, since_ms, address_index, pid, start_time, suspends, wakes, last_wake_ms, "        \
	"last_wake_us, woken_by, restarts, delete_wanted, image_id, secrets_revision, ended, "                             \
	"server_uid"
#define EVENT_COLUMNS  "id, time_ms, namespace, name, phase, reason, took_us"
#define SECRET_COLUMNS "kind, namespace, name, owner, revision, changed_ms, sealed"
#define IMAGE_COLUMNS  "name, id, root, config, created_ms, source_digest"

/* Upserts, never REPLACE: that would delete the app's row first, and its machine with it. */
static const char *const queries[QUERY_COUNT] = {
	[QUERY_BEGIN] = "BEGIN IMMEDIATE",
	[QUERY_COMMIT] = "COMMIT",
	[QUERY_ROLLBACK] = "ROLLBACK",
	[QUERY_PUT_VOLUME] = "INSERT INTO volumes (namespace, name, spec) VALUES (?1, ?2, ?3)"
						 " ON CONFLICT DO UPDATE SET spec = excluded.spec",
	[QUERY_DELETE_VOLUME] = "DELETE FROM volumes WHERE namespace = ?1 AND name = ?2",
	[QUERY_EACH_VOLUME] = "SELECT namespace, name, spec FROM volumes ORDER BY namespace, name",
	[QUERY_PUT_APP] = "INSERT INTO apps (namespace, name, spec, kind) VALUES (?1, ?2, ?3, ?4)"
					  " ON CONFLICT (namespace, name) DO UPDATE SET spec = excluded.spec, kind = excluded.kind",
	[QUERY_DELETE_APP] = "DELETE FROM apps WHERE namespace = ?1 AND name = ?2",
	[QUERY_EACH_APP] = "SELECT namespace, name, spec, kind FROM apps ORDER BY namespace, name",
	[QUERY_PUT_SERVICE] = "INSERT INTO services (namespace, name, spec) VALUES (?1, ?2, ?3)"
						  " ON CONFLICT (namespace, name) DO UPDATE SET spec = excluded.spec",
	[QUERY_DELETE_SERVICE] = "DELETE FROM services WHERE namespace = ?1 AND name = ?2",
	[QUERY_EACH_SERVICE] = "SELECT namespace, name, spec FROM services ORDER BY namespace, name",
	[QUERY_PUT_CLUSTER] = "INSERT INTO clusters (namespace, name, spec, created_ms) VALUES (?1, ?2, ?3, ?4)"
						  " ON CONFLICT (namespace, name) DO UPDATE SET spec = excluded.spec",
	[QUERY_NOTE_CLUSTER_APPLIED] = "UPDATE clusters SET applied = ?3 WHERE namespace = ?1 AND name = ?2",
	[QUERY_DELETE_CLUSTER] = "DELETE FROM clusters WHERE namespace = ?1 AND name = ?2",
	[QUERY_EACH_CLUSTER] = "SELECT namespace, name, spec, created_ms, applied FROM clusters"
						   " ORDER BY namespace, name",
	[QUERY_PUT_MACHINE] =
		"INSERT INTO machines (" MACHINE_COLUMNS ")"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
		" ON CONFLICT (namespace, name) DO UPDATE SET phase = excluded.phase, reason = excluded.reason,"
		" since_ms = excluded.since_ms, address_index = excluded.address_index, pid = excluded.pid,"
		" start_time = excluded.start_time, suspends = excluded.suspends, wakes = excluded.wakes,"
		" last_wake_ms = excluded.last_wake_ms, last_wake_us = excluded.last_wake_us, woken_by = excluded.woken_by,"
		" restarts = excluded.restarts, delete_wanted = excluded.delete_wanted, image_id = excluded.image_id,"
		" secrets_revision = excluded.secrets_revision, ended = excluded.ended,"
		" server_uid = excluded.server_uid",
	[QUERY_GET_MACHINE] = "SELECT " MACHINE_COLUMNS " FROM machines WHERE namespace = ?1 AND name = ?2",
	[QUERY_FREE_INDEX] = "SELECT MIN(free) FROM (SELECT 1 AS free UNION ALL"
						 " SELECT address_index + 1 FROM machines WHERE address_index > 0)"
						 " WHERE free NOT IN (SELECT address_index FROM machines)",
	[QUERY_ADD_EVENT] = "INSERT INTO events (time_ms, namespace, name, phase, reason, took_us)"
						" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[QUERY_TRIM_EVENTS] = "DELETE FROM events WHERE id <= ?1",
	[QUERY_EACH_EVENT] = "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM events ORDER BY id DESC LIMIT ?1) ORDER BY id",
	[QUERY_EACH_EVENT_OF] = "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM events WHERE namespace = ?2 AND name = ?3"
							" ORDER BY id DESC LIMIT ?1) ORDER BY id",
	[QUERY_PUT_IMAGE] = "INSERT INTO images (" IMAGE_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
						" ON CONFLICT DO UPDATE SET id = excluded.id, root = excluded.root, config = excluded.config,"
						" created_ms = excluded.created_ms, source_digest = excluded.source_digest",
	[QUERY_DELETE_IMAGE] = "DELETE FROM images WHERE name = ?1",
	[QUERY_GET_IMAGE] = "SELECT " IMAGE_COLUMNS " FROM images WHERE name = ?1",
	[QUERY_EACH_IMAGE] = "SELECT " IMAGE_COLUMNS " FROM images ORDER BY name",
	[QUERY_PUT_SECRET] = "INSERT INTO secrets (" SECRET_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
						 " ON CONFLICT DO UPDATE SET owner = excluded.owner, revision = excluded.revision,"
						 " changed_ms = excluded.changed_ms, sealed = excluded.sealed",
	[QUERY_GET_SECRET] = "SELECT " SECRET_COLUMNS " FROM secrets WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
	[QUERY_DELETE_SECRET] = "DELETE FROM secrets WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
	[QUERY_DELETE_SECRETS_OF] = "DELETE FROM secrets WHERE owner = ?1",
	[QUERY_EACH_SECRET] =
		"SELECT " SECRET_COLUMNS " FROM secrets WHERE kind = ?1 AND namespace = coalesce(?2, namespace)"
		" ORDER BY namespace, name",
	/* Above those of machines too: the secret that had the highest one may have been deleted. */
	[QUERY_NEXT_SECRET_REVISION] = "SELECT (SELECT count(*) FROM secrets), 1 + max("
								   "(SELECT coalesce(max(revision), 0) FROM secrets),"
								   "(SELECT coalesce(max(secrets_revision), 0) FROM machines))",
	[QUERY_PUT_BACKUP] = "INSERT INTO backups (namespace, name, state) VALUES (?1, ?2, ?3)"
						 " ON CONFLICT DO UPDATE SET state = excluded.state",
	[QUERY_DELETE_BACKUP] = "DELETE FROM backups WHERE namespace = ?1 AND name = ?2",
	[QUERY_EACH_BACKUP] = "SELECT namespace, name, state FROM backups ORDER BY namespace, name",
};

/*
 * A record lock rather than flock(2): it belongs to the process, so that a forked child which outlives a killed
 * coordinator does not keep the next one out while machines wait to be woken.
 */
static int
take_lock(const char *state_directory, int *ret_fd, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/lock", state_directory);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	if (fcntl(fd, F_SETLK, &lock) < 0)
	{
		if (errno != EAGAIN && errno != EACCES)
			return error_set_errno(err, errno, "%s: lock", path);
		lock.l_type = F_WRLCK;
		if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
			return error_set(err, -EBUSY, "%s is in use by another lttled (process %d)", state_directory,
							 (int) lock.l_pid);
		return error_set(err, -EBUSY, "%s is in use by another lttled", state_directory);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Made before SQLite does it: environments hold passwords, and SQLite's side files take over this mode. */
static int
create_private(const char *path, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

static int
open_database(Store *store, Error *err)
{
	/*
	 * NORMAL: a commit survives a crash of the process; the last ones may be lost with the power, never torn. That will
	 * do for phases and events. What a user was told is there is written with FULL (set_durable).
	 */
	static const char *const pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
									   "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
									   "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304";
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	int result = create_private(store->path, err);

	if (result < 0)
		return result;
	if (sqlite3_open_v2(store->path, &store->database, flags, NULL) != SQLITE_OK ||
		sqlite3_extended_result_codes(store->database, 1) != SQLITE_OK ||
		sqlite3_busy_timeout(store->database, 2000) != SQLITE_OK ||
		sqlite3_db_config(store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
		sqlite3_exec(store->database, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return error_set(err, -EIO, "%s: %s", store->path,
						 store->database == NULL ? "out of memory" : sqlite3_errmsg(store->database));
	return migrations_run(store->database, store->path, err);
}

int
store_open(const char *state_directory, Store **ret_store, Error *err)
{
	Store *store = memory_allocate(sizeof(*store));
	int result = 0;

	store->lock_fd = -1;
	if ((size_t) snprintf(store->path, sizeof(store->path), "%s/lttle.db", state_directory) >= sizeof(store->path))
		result = error_set(err, -ENAMETOOLONG, "%s: path is too long", state_directory);
	if (result == 0)
		result = file_make_directory(state_directory, 0700, err);
	if (result == 0)
		result = take_lock(state_directory, &store->lock_fd, err);
	if (result == 0)
		result = open_database(store, err);
	if (result < 0)
	{
		store_close(store);
		return result;
	}
	*ret_store = store;
	return 0;
}

void
store_close(Store *store)
{
	if (store == NULL)
		return;
	for (int i = 0; i < QUERY_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->database);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store);
}

int
store_prepare(Store *store, StoreQuery query, sqlite3_stmt **ret_statement, Error *err)
{
	sqlite3_stmt **cached = &store->statements[query];

	if (*cached == NULL &&
		sqlite3_prepare_v3(store->database, queries[query], -1, SQLITE_PREPARE_PERSISTENT, cached, NULL) != SQLITE_OK)
		return error_set(err, -EIO, "%s: %s", store->path, sqlite3_errmsg(store->database));
	store_reset(*cached);
	*ret_statement = *cached;
	return 0;
}

void
store_reset(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

void
store_bind_text(sqlite3_stmt *statement, int parameter, const char *text)
{
	sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

void
store_bind_number(sqlite3_stmt *statement, int parameter, uint64_t number)
{
	sqlite3_bind_int64(statement, parameter, number > INT64_MAX ? INT64_MAX : (sqlite3_int64) number);
}

/* The errno that fits SQLite's (primary) result code best. */
static int
code_of(int result)
{
	switch (result & 0xff)
	{
		case SQLITE_FULL:
			return -ENOSPC;
		case SQLITE_BUSY:
			return -EBUSY;
		case SQLITE_READONLY:
			return -EROFS;
		case SQLITE_CONSTRAINT:
			return result == SQLITE_CONSTRAINT_FOREIGNKEY ? -ENOENT : -EEXIST;
		default:
			return -EIO;
	}
}

int
store_step(Store *store, sqlite3_stmt *statement, const char *what, Error *err)
{
	int result = sqlite3_step(statement);

	if (result == SQLITE_ROW)
		return 1;
	if (result != SQLITE_DONE)
		error_set(err, code_of(result), "%s: %s: %s", store->path, what, sqlite3_errmsg(store->database));
	store_reset(statement);
	return result == SQLITE_DONE ? 0 : code_of(result);
}

int
store_run(Store *store, sqlite3_stmt *statement, const char *what, Error *err)
{
	int result = store_step(store, statement, what, err);

	if (result > 0)
		store_reset(statement);
	return result < 0 ? result : 0;
}

/* Whether commits reach the disk before they return. It cannot be changed within a transaction. */
static int
set_durable(Store *store, bool durable, Error *err)
{
	const char *pragma = durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
	int result = sqlite3_exec(store->database, pragma, NULL, NULL, NULL);

	return result == SQLITE_OK
			   ? 0
			   : error_set(err, code_of(result), "%s: %s: %s", store->path, pragma, sqlite3_errmsg(store->database));
}

int
store_run_durably(Store *store, sqlite3_stmt *statement, const char *what, Error *err)
{
	bool alone = sqlite3_get_autocommit(store->database) != 0;
	int result = alone ? set_durable(store, true, err) : 0;

	if (result < 0)
	{
		store_reset(statement);
		return result;
	}
	result = store_run(store, statement, what, err);
	if (alone && set_durable(store, false, NULL) < 0)
		return result; /* slower, and no less right */
	return result;
}

bool
store_column_text(sqlite3_stmt *statement, int column, char *buffer, size_t size)
{
	const char *text;
	int length;

	if (sqlite3_column_type(statement, column) != SQLITE_TEXT)
		return false;
	text = (const char *) sqlite3_column_text(statement, column);
	length = sqlite3_column_bytes(statement, column);
	if (text == NULL || (size_t) length >= size || strlen(text) != (size_t) length)
		return false;
	memcpy(buffer, text, (size_t) length + 1);
	return true;
}

bool
store_column_number(sqlite3_stmt *statement, int column, uint64_t max, uint64_t *ret_number)
{
	sqlite3_int64 number = sqlite3_column_int64(statement, column);

	if (sqlite3_column_type(statement, column) != SQLITE_INTEGER || number < 0 || (uint64_t) number > max)
		return false;
	*ret_number = (uint64_t) number;
	return true;
}

static int
run_plain(Store *store, StoreQuery query, const char *what, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, query, &statement, err);

	return result < 0 ? result : store_run(store, statement, what, err);
}

int
store_begin(Store *store, Error *err)
{
	int result = set_durable(store, true, err);

	return result == 0 ? run_plain(store, QUERY_BEGIN, "begin", err) : result;
}

int
store_commit(Store *store, Error *err)
{
	int result = run_plain(store, QUERY_COMMIT, "commit", err);

	if (result == 0 && set_durable(store, false, NULL) < 0)
		return 0; /* slower, and no less right */
	return result;
}

/* Some failures have already ended the transaction; that is no second failure. */
void
store_rollback(Store *store)
{
	if (!sqlite3_get_autocommit(store->database) && run_plain(store, QUERY_ROLLBACK, "rollback", NULL) < 0)
		return;
	if (set_durable(store, false, NULL) < 0)
		return;
}
