/* PostgreSQL clusters in the store; see store.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/store_internal.h"

static int
dump_spec(const Store *store, const PostgresSpec *spec, char **ret_text, Error *err)
{
	json_t *json = postgres_spec_to_json(spec);

	*ret_text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (*ret_text == NULL)
		return error_set(err, -EINVAL, "%s: %s/%s: cannot be written as JSON", store->path, spec->name_space,
						 spec->name);
	return 0;
}

static int
put_spec(Store *store, StoreQuery query, const PostgresSpec *spec, uint64_t created_ms, Error *err)
{
	_cleanup_free_ char *text = NULL;
	sqlite3_stmt *statement = NULL;
	int result = dump_spec(store, spec, &text, err);

	if (result == 0)
		result = store_prepare(store, query, &statement, err);
	if (result < 0)
		return result;
	store_bind_text(statement, 1, spec->name_space);
	store_bind_text(statement, 2, spec->name);
	store_bind_text(statement, 3, text);
	if (query == QUERY_PUT_CLUSTER)
		store_bind_number(statement, 4, created_ms);
	return store_run_durably(store, statement, spec->name, err);
}

int
store_put_cluster(Store *store, const PostgresSpec *spec, uint64_t created_ms, Error *err)
{
	return put_spec(store, QUERY_PUT_CLUSTER, spec, created_ms, err);
}

int
store_note_cluster_applied(Store *store, const PostgresSpec *spec, Error *err)
{
	return put_spec(store, QUERY_NOTE_CLUSTER_APPLIED, spec, 0, err);
}

int
store_delete_cluster(Store *store, const char *name_space, const char *name, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_DELETE_CLUSTER, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name_space);
	store_bind_text(statement, 2, name);
	return store_run_durably(store, statement, name, err);
}

/* -EINVAL with what is wrong; also when the spec has another name than its row. */
static int
read_spec(sqlite3_stmt *statement, int column, PostgresSpec *ret_spec, Error *err)
{
	const char *text = (const char *) sqlite3_column_text(statement, column);
	json_error_t problem = {.text = "has no spec"};
	json_t *json = text == NULL ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, &problem);
	int result;

	if (json == NULL)
		return error_set(err, -EINVAL, "%s", problem.text);
	result = postgres_spec_from_json(json, ret_spec, err);
	json_decref(json);
	return result;
}

static int
read_record(sqlite3_stmt *statement, ClusterRecord *ret_record, Error *err)
{
	int result = read_spec(statement, 2, &ret_record->spec, err);
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];

	if (result < 0)
		return result;
	if (!store_column_text(statement, 0, name_space, sizeof(name_space)) ||
		!store_column_text(statement, 1, name, sizeof(name)) || strcmp(name_space, ret_record->spec.name_space) != 0 ||
		strcmp(name, ret_record->spec.name) != 0)
		result = error_set(err, -EINVAL, "its spec has another name");
	else if (!store_column_number(statement, 3, INT64_MAX, &ret_record->created_ms))
		result = error_set(err, -EINVAL, "has no time");
	/* What cannot be read is applied again. */
	else if (sqlite3_column_type(statement, 4) != SQLITE_NULL)
		ret_record->has_applied = read_spec(statement, 4, &ret_record->applied, NULL) == 0;
	if (result < 0)
		postgres_spec_clear(&ret_record->spec);
	return result;
}

int
store_each_cluster(Store *store, StoreClusterFunction function, StoreProblemFunction problem, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_CLUSTER, &statement, err);

	while (result >= 0 && (result = store_step(store, statement, "clusters", err)) > 0)
	{
		ClusterRecord record = {0};
		Error why;

		if (read_record(statement, &record, &why) < 0)
		{
			char what[ERROR_MESSAGE_BYTES + 16];

			snprintf(what, sizeof(what), "postgres: %s", why.message);
			problem(context, what);
		}
		else
		{
			result = function(context, &record);
			postgres_spec_clear(&record.spec);
			if (record.has_applied)
				postgres_spec_clear(&record.applied);
		}
		if (result < 0)
			store_reset(statement);
	}
	return result;
}
