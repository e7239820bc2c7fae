/* What the files of the store share: the handle, its prepared statements, and reading of rows that may be damaged. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "store/store.h"

typedef enum StoreQuery
{
	QUERY_BEGIN,
	QUERY_COMMIT,
	QUERY_ROLLBACK,
	QUERY_PUT_VOLUME,
	QUERY_DELETE_VOLUME,
	QUERY_EACH_VOLUME,
	QUERY_PUT_APP,
	QUERY_DELETE_APP,
	QUERY_EACH_APP,
	QUERY_PUT_SERVICE,
	QUERY_DELETE_SERVICE,
	QUERY_EACH_SERVICE,
	QUERY_PUT_CLUSTER,
	QUERY_NOTE_CLUSTER_APPLIED,
	QUERY_DELETE_CLUSTER,
	QUERY_EACH_CLUSTER,
	QUERY_PUT_MACHINE,
	QUERY_GET_MACHINE,
	QUERY_FREE_INDEX,
	QUERY_ADD_EVENT,
	QUERY_TRIM_EVENTS,
	QUERY_EACH_EVENT,
	QUERY_EACH_EVENT_OF,
	QUERY_PUT_IMAGE,
	QUERY_GET_IMAGE,
	QUERY_DELETE_IMAGE,
	QUERY_EACH_IMAGE,
	QUERY_PUT_SECRET,
	QUERY_GET_SECRET,
	QUERY_DELETE_SECRET,
	QUERY_DELETE_SECRETS_OF,
	QUERY_EACH_SECRET,
	QUERY_NEXT_SECRET_REVISION,
	QUERY_PUT_BACKUP,
	QUERY_DELETE_BACKUP,
	QUERY_EACH_BACKUP,
	QUERY_COUNT
} StoreQuery;

struct Store
{
	char path[300]; /* of the database, for messages */
	int lock_fd;
	sqlite3 *database;
	sqlite3_stmt *statements[QUERY_COUNT]; /* prepared at first use */
};

/* The statement, reset, without bindings. */
int store_prepare(Store *store, StoreQuery query, sqlite3_stmt **ret_statement, Error *err) MUST_CHECK;

/* Binds text. Its memory must live until the statement is reset. */
void store_bind_text(sqlite3_stmt *statement, int parameter, const char *text);
void store_bind_number(sqlite3_stmt *statement, int parameter, uint64_t number);

/* Runs a statement that returns nothing, and resets it. `what`: for the message. */
int store_run(Store *store, sqlite3_stmt *statement, const char *what, Error *err) MUST_CHECK;

/* The same, and on the disk when it returns: for what a user was told. Within a transaction the commit does that. */
int store_run_durably(Store *store, sqlite3_stmt *statement, const char *what, Error *err) MUST_CHECK;

/* The next row: 1 there is one, 0 there is none (the statement is reset), or an error (likewise). */
int store_step(Store *store, sqlite3_stmt *statement, const char *what, Error *err) MUST_CHECK;

/* Lets go of a statement before its last row. */
void store_reset(sqlite3_stmt *statement);

/* Columns. False when the value does not fit, is not text or not a number that this type can hold. */
bool store_column_text(sqlite3_stmt *statement, int column, char *buffer, size_t size);
bool store_column_number(sqlite3_stmt *statement, int column, uint64_t max, uint64_t *ret_number);

#endif
