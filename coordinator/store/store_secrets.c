/* Secrets and values in the store; see store_secrets.h. */
#include "store/store_secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "store/store_internal.h"
#include "store/vault.h"

/* "secret/NAMESPACE/NAME": in messages, and what a sealed text belongs to. Names hold no '/'. */
#define LABEL_BYTES (8 + NAME_MAX_BYTES + 1 + SECRET_NAME_MAX_BYTES + 1)

static void
label_print(SecretKind kind, const char *name_space, const char *name, char label[LABEL_BYTES])
{
	snprintf(label, LABEL_BYTES, "%s/%s/%s", secret_kind_name(kind), name_space, name);
}

/* Beside the database. The caller frees. */
static char *
key_path(const Store *store)
{
	return memory_printf("%.*s/%s", (int) (strrchr(store->path, '/') - store->path), store->path, VAULT_KEY_FILE);
}

/* kind, namespace, name, owner, revision, changed_ms, sealed */
static bool
read_row(sqlite3_stmt *row, SecretRecord *ret_record)
{
	uint64_t kind;

	if (!store_column_number(row, 0, SECRET_KIND_VALUE, &kind) ||
		!store_column_text(row, 1, ret_record->name_space, sizeof(ret_record->name_space)) ||
		!store_column_text(row, 2, ret_record->name, sizeof(ret_record->name)) ||
		!store_column_text(row, 3, ret_record->owner, sizeof(ret_record->owner)) ||
		!store_column_number(row, 4, INT64_MAX, &ret_record->revision) ||
		!store_column_number(row, 5, INT64_MAX, &ret_record->changed_ms) || sqlite3_column_type(row, 6) != SQLITE_BLOB)
		return false;
	ret_record->kind = (SecretKind) kind;
	return true;
}

int
store_get_secret(Store *store, SecretKind kind, const char *name_space, const char *name, SecretRecord *ret_record,
				 char **ret_text, Error *err)
{
	_cleanup_free_ char *path = key_path(store);
	char label[LABEL_BYTES];
	SecretRecord record = {0};
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_GET_SECRET, &statement, err);

	if (result < 0)
		return result;
	label_print(kind, name_space, name, label);
	store_bind_number(statement, 1, kind);
	store_bind_text(statement, 2, name_space);
	store_bind_text(statement, 3, name);
	result = store_step(store, statement, label, err);
	if (result < 0)
		return result;
	if (result == 0)
		return error_set(err, -ENOENT, "%s %s/%s: does not exist", secret_kind_name(kind), name_space, name);
	if (!read_row(statement, &record))
		result = error_set(err, -EBADMSG, "%s: its row in %s is damaged", label, store->path);
	else if (ret_text == NULL)
		result = 0;
	else
		result = vault_unseal(path, label, sqlite3_column_blob(statement, 6),
							  (size_t) sqlite3_column_bytes(statement, 6), ret_text, err);
	store_reset(statement);
	if (result == 0 && ret_record != NULL)
		*ret_record = record;
	return result;
}

/* Whether there are any; and the revision of a change now. */
static int
look_around(Store *store, bool *ret_is_empty, uint64_t *ret_revision, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_NEXT_SECRET_REVISION, &statement, err);

	if (result == 0)
		result = store_step(store, statement, "secrets", err);
	if (result < 0)
		return result;
	*ret_is_empty = sqlite3_column_int64(statement, 0) == 0;
	*ret_revision = (uint64_t) sqlite3_column_int64(statement, 1);
	store_reset(statement);
	return 0;
}

static bool
is_unchanged(Store *store, const SecretRecord *record, const char *text)
{
	_cleanup_secret_ char *text_before = NULL;
	SecretRecord before;

	return store_get_secret(store, record->kind, record->name_space, record->name, &before, &text_before, NULL) == 0 &&
		   strcmp(before.owner, record->owner) == 0 && strcmp(text_before, text) == 0;
}

int
store_put_secret(Store *store, const SecretRecord *record, const char *text, Error *err)
{
	_cleanup_free_ char *path = key_path(store);
	_cleanup_free_ void *sealed = NULL;
	char label[LABEL_BYTES];
	sqlite3_stmt *statement = NULL;
	bool is_empty = false;
	uint64_t revision = 0;
	size_t size = 0;
	int result;

	if (is_unchanged(store, record, text))
		return 0;
	label_print(record->kind, record->name_space, record->name, label);
	result = look_around(store, &is_empty, &revision, err);
	if (result == 0)
		result = vault_seal(path, is_empty, label, text, &sealed, &size, err);
	if (result == 0)
		result = store_prepare(store, QUERY_PUT_SECRET, &statement, err);
	if (result < 0)
		return result;
	store_bind_number(statement, 1, record->kind);
	store_bind_text(statement, 2, record->name_space);
	store_bind_text(statement, 3, record->name);
	store_bind_text(statement, 4, record->owner);
	store_bind_number(statement, 5, revision);
	store_bind_number(statement, 6, clock_realtime_ms());
	sqlite3_bind_blob64(statement, 7, sealed, size, SQLITE_STATIC);
	return store_run_durably(store, statement, label, err);
}

int
store_delete_secret(Store *store, SecretKind kind, const char *name_space, const char *name, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_DELETE_SECRET, &statement, err);

	if (result < 0)
		return result;
	store_bind_number(statement, 1, kind);
	store_bind_text(statement, 2, name_space);
	store_bind_text(statement, 3, name);
	return store_run_durably(store, statement, name, err);
}

int
store_delete_secrets_of(Store *store, const char *owner, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_DELETE_SECRETS_OF, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, owner);
	return store_run_durably(store, statement, owner, err);
}

int
store_each_secret(Store *store, SecretKind kind, const char *name_space, StoreSecretFunction function, void *context,
				  Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_SECRET, &statement, err);

	if (result < 0)
		return result;
	store_bind_number(statement, 1, kind);
	if (name_space != NULL)
		store_bind_text(statement, 2, name_space);
	while ((result = store_step(store, statement, "secrets", err)) > 0)
	{
		SecretRecord record = {0};

		/* A damaged row has no name to be shown by; who asks for it is told. */
		result = read_row(statement, &record) ? function(context, &record) : 0;
		if (result < 0)
		{
			store_reset(statement);
			return result;
		}
	}
	return result;
}
