/* Schedules of backups in the store; see store_backups.h. */
#include "store/store_backups.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/store_internal.h"

#define STATE_MAX_BYTES 16384

int
store_put_backup(Store *store, const char *name_space, const char *name, const json_t *state, Error *err)
{
	_cleanup_free_ char *text = json_dumps(state, JSON_COMPACT);
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_PUT_BACKUP, &statement, err);

	if (result < 0)
		return result;
	if (text == NULL)
		return error_set(err, -EINVAL, "backup %s/%s: is no JSON", name_space, name);
	store_bind_text(statement, 1, name_space);
	store_bind_text(statement, 2, name);
	store_bind_text(statement, 3, text);
	return store_run_durably(store, statement, "backup", err);
}

int
store_delete_backup(Store *store, const char *name_space, const char *name, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_DELETE_BACKUP, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name_space);
	store_bind_text(statement, 2, name);
	return store_run_durably(store, statement, "backup", err);
}

int
store_each_backup(Store *store, StoreBackupFunction function, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_BACKUP, &statement, err);

	if (result < 0)
		return result;
	while ((result = store_step(store, statement, "backups", err)) > 0)
	{
		char name_space[NAME_MAX_BYTES + 1];
		char name[NAME_MAX_BYTES + 1];
		char text[STATE_MAX_BYTES];
		json_t *state = NULL;

		if (store_column_text(statement, 0, name_space, sizeof(name_space)) &&
			store_column_text(statement, 1, name, sizeof(name)) && store_column_text(statement, 2, text, sizeof(text)))
			state = json_loads(text, 0, NULL);
		if (state != NULL)
			function(context, name_space, name, state);
		json_decref(state);
	}
	return result;
}
