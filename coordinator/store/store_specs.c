/* Volumes, apps, machines and services in the store: their specs as JSON, checked again when they are read; see
 * store.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/store_internal.h"

/* kind: NULL where the table has no column for it. */
static int
put_spec(Store *store, StoreQuery query, const ResourceHead *head, const char *kind, json_t *json, Error *err)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
	sqlite3_stmt *statement = NULL;
	int result;

	json_decref(json);
	if (text == NULL)
		return error_set(err, -EINVAL, "%s: %s/%s: cannot be written as JSON", store->path, head->name_space,
						 head->name);
	result = store_prepare(store, query, &statement, err);
	if (result < 0)
		return result;
	store_bind_text(statement, 1, head->name_space);
	store_bind_text(statement, 2, head->name);
	store_bind_text(statement, 3, text);
	if (kind != NULL)
		store_bind_text(statement, 4, kind);
	return store_run_durably(store, statement, head->name, err);
}

static int
delete_spec(Store *store, StoreQuery query, const char *name_space, const char *name, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, query, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name_space);
	store_bind_text(statement, 2, name);
	return store_run_durably(store, statement, name, err);
}

int
store_put_volume(Store *store, const VolumeSpec *spec, Error *err)
{
	return put_spec(store, QUERY_PUT_VOLUME, (const ResourceHead *) spec, NULL, volume_spec_to_json(spec), err);
}

int
store_delete_volume(Store *store, const char *name_space, const char *name, Error *err)
{
	return delete_spec(store, QUERY_DELETE_VOLUME, name_space, name, err);
}

int
store_put_app(Store *store, const AppSpec *spec, Error *err)
{
	return put_spec(store, QUERY_PUT_APP, (const ResourceHead *) spec, resource_kind_name(spec->kind),
					app_spec_to_json(spec), err);
}

int
store_delete_app(Store *store, const char *name_space, const char *name, Error *err)
{
	return delete_spec(store, QUERY_DELETE_APP, name_space, name, err);
}

int
store_put_service(Store *store, const ServiceSpec *spec, Error *err)
{
	return put_spec(store, QUERY_PUT_SERVICE, (const ResourceHead *) spec, NULL, service_spec_to_json(spec), err);
}

int
store_delete_service(Store *store, const char *name_space, const char *name, Error *err)
{
	return delete_spec(store, QUERY_DELETE_SERVICE, name_space, name, err);
}

/* A column's text; a damaged database may have none. */
static const char *
row_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *) sqlite3_column_text(statement, column);

	return text == NULL ? "" : text;
}

/* The JSON of the current row (namespace, name, spec), or NULL and why. */
static json_t *
row_json(sqlite3_stmt *statement, const char *kind, char *what, size_t what_bytes)
{
	const char *text = (const char *) sqlite3_column_text(statement, 2);
	int length = sqlite3_column_bytes(statement, 2);
	json_error_t problem;
	json_t *json = text == NULL ? NULL : json_loadb(text, (size_t) length, JSON_REJECT_DUPLICATES, &problem);

	if (json == NULL)
		snprintf(what, what_bytes, "%s %.64s/%.64s: %s", kind, row_text(statement, 0), row_text(statement, 1),
				 text == NULL ? "has no spec" : problem.text);
	return json;
}

/* Whether the spec says the same name as the row's key. */
static bool
is_row_of(sqlite3_stmt *statement, const char *name_space, const char *name)
{
	return strcmp(row_text(statement, 0), name_space) == 0 && strcmp(row_text(statement, 1), name) == 0;
}

static void
report_row(sqlite3_stmt *statement, const char *kind, const char *why, StoreProblemFunction problem, void *context)
{
	char what[ERROR_MESSAGE_BYTES + 160];

	snprintf(what, sizeof(what), "%s %.64s/%.64s: %s", kind, row_text(statement, 0), row_text(statement, 1), why);
	problem(context, what);
}

int
store_each_volume(Store *store, StoreVolumeFunction function, StoreProblemFunction problem, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_VOLUME, &statement, err);

	while (result >= 0 && (result = store_step(store, statement, "volumes", err)) > 0)
	{
		char what[400];
		Error why;
		VolumeSpec spec = {0};
		json_t *json = row_json(statement, "volume", what, sizeof(what));

		if (json == NULL)
			problem(context, what);
		else if (volume_spec_from_json(json, &spec, &why) < 0)
			report_row(statement, "volume", why.message, problem, context);
		else if (!is_row_of(statement, spec.name_space, spec.name))
			report_row(statement, "volume", "its spec has another name", problem, context);
		else
			result = function(context, &spec);
		volume_spec_clear(&spec);
		json_decref(json);
		if (result < 0)
			store_reset(statement);
	}
	return result;
}

int
store_each_app(Store *store, StoreAppFunction function, StoreProblemFunction problem, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_APP, &statement, err);

	while (result >= 0 && (result = store_step(store, statement, "apps", err)) > 0)
	{
		char what[400];
		Error why;
		AppSpec spec = {0};
		ResourceKind kind =
			strcmp(row_text(statement, 3), resource_kind_name(RESOURCE_MACHINE)) == 0 ? RESOURCE_MACHINE : RESOURCE_APP;
		json_t *json = row_json(statement, "app", what, sizeof(what));

		if (json == NULL)
			problem(context, what);
		else if (app_spec_from_json(kind, json, &spec, &why) < 0)
			report_row(statement, "app", why.message, problem, context);
		else if (!is_row_of(statement, spec.name_space, spec.name))
			report_row(statement, "app", "its spec has another name", problem, context);
		else
			result = function(context, &spec);
		app_spec_clear(&spec);
		json_decref(json);
		if (result < 0)
			store_reset(statement);
	}
	return result;
}

int
store_each_service(Store *store, StoreServiceFunction function, StoreProblemFunction problem, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_SERVICE, &statement, err);

	while (result >= 0 && (result = store_step(store, statement, "services", err)) > 0)
	{
		char what[400];
		Error why;
		ServiceSpec spec = {0};
		json_t *json = row_json(statement, "service", what, sizeof(what));

		if (json == NULL)
			problem(context, what);
		else if (service_spec_from_json(json, &spec, &why) < 0)
			report_row(statement, "service", why.message, problem, context);
		else if (!is_row_of(statement, spec.name_space, spec.name))
			report_row(statement, "service", "its spec has another name", problem, context);
		else
			result = function(context, &spec);
		service_spec_clear(&spec);
		json_decref(json);
		if (result < 0)
			store_reset(statement);
	}
	return result;
}
