/* A double of the engine's PostgreSQL clusters, for fake_engine.h: those that were deployed, always ready. */
#ifndef FAKE_CLUSTERS_H
#define FAKE_CLUSTERS_H

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cluster_edit.h"
#include "engine/engine.h"
#include "model/postgres_spec.h"

/* Of fake_engine.h. */
static json_t *fake_cluster_spec(Engine *engine, const char *name_space, const char *name);
static void fake_cluster_drop(Engine *engine, const char *name_space, const char *name);

static json_t *
fake_cluster_to_json(const json_t *spec)
{
	json_t *object = json_deep_copy(spec);

	json_object_update_new(object, json_pack("{s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:i, s:[], s:s, s:n, s:[], s:[]}",
											 "image", "image:17", "volume", "pgdata", "cpus", 1, "memory-mib", 256,
											 "created-ms", 1, "phase", "suspended", "address", "10.88.0.9", "port",
											 5432, "services", "state", "ready", "problem", "notes", "drift"));
	return object;
}

int
engine_get_cluster_spec(Engine *engine, const char *name_space, const char *name, json_t **ret_spec, Error *err)
{
	json_t *spec = fake_cluster_spec(engine, name_space, name);

	if (spec == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: not found", name_space, name);
	*ret_spec = json_pack("{s:O}", "postgres", spec);
	return 0;
}

int
engine_get_cluster(Engine *engine, const char *name_space, const char *name, json_t **ret_cluster, Error *err)
{
	json_t *spec = fake_cluster_spec(engine, name_space, name);

	if (spec == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: not found", name_space, name);
	*ret_cluster = fake_cluster_to_json(spec);
	return 0;
}

void
engine_delete_cluster(Engine *engine, const char *name_space, const char *name, bool volume, EngineDone done,
					  void *context)
{
	json_t *body = json_pack("{s:s, s:b}", "volume", "pgdata", "volume-deleted", volume);
	json_t *spec = fake_cluster_spec(engine, name_space, name);
	Error error = {0};
	int result = 0;

	if (spec == NULL)
		result = error_set(&error, -ENOENT, "postgres %s/%s: not found", name_space, name);
	else
		fake_cluster_drop(engine, name_space, name);
	done(context, result, result == 0 ? body : NULL, &error);
	json_decref(body);
}

int
engine_get_access(Engine *engine, const ClusterAccessQuery *query, json_t **ret_access, Error *err)
{
	const char *user = query->user == NULL ? "app" : query->user;
	int port = query->local ? 15432 : 5432;

	if (fake_cluster_spec(engine, query->name_space, query->name) == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: not found", query->name_space, query->name);
	if (query->from != NULL && strcmp(query->from, query->name_space) != 0)
		return error_set(err, -ENOENT, "namespace %s has no credentials of it", query->from);
	*ret_access = json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:o}", "host", query->local ? "127.0.0.1" : "10.88.0.9", "port", port, "user", user,
		"password", "secret", "database", "shop", "url",
		json_sprintf("postgresql://%s:secret@%s:%d/shop", user, query->local ? "127.0.0.1" : "10.88.0.9", port));
	return 0;
}

ClusterWait *
engine_wait_cluster(Engine *engine, const char *name_space, const char *name, uint64_t timeout_ms, EngineDone done,
					void *context)
{
	json_t *cluster = NULL;
	Error error = {0};
	int result = engine_get_cluster(engine, name_space, name, &cluster, &error);

	(void) timeout_ms;
	done(context, result, cluster, &error);
	json_decref(cluster);
	return NULL;
}

void
engine_cancel_cluster_wait(ClusterWait *wait)
{
	(void) wait;
}

/* A name that begins with "refused" is one that the server refuses. */
void
engine_change_cluster(Engine *engine, const ClusterChange *change, EngineDone done, void *context)
{
	json_t *spec = fake_cluster_spec(engine, change->name_space, change->name);
	json_t *edited = json_deep_copy(spec);
	json_t *cluster = NULL;
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};
	Error error = {0};
	int result = spec == NULL
					 ? error_set(&error, -ENOENT, "postgres %s/%s: not found", change->name_space, change->name)
					 : cluster_edit_spec(edited, NULL, change, &error);

	if (result == 0)
	{
		json_t *document = json_pack("{s:O}", "postgres", edited);
		char *file = json_dumps(document, 0);

		json_decref(document);
		json_decref(edited);
		edited = NULL;
		if (resource_set_parse(file, strlen(file), &set, &diagnostics) < 0)
			result = error_set(&error, -EINVAL, "%s: %s", diagnostics.items[0].key_path, diagnostics.items[0].message);
		else
			edited = postgres_spec_to_json(&set.resources[0].postgres);
		resource_set_clear(&set);
		diagnostic_list_clear(&diagnostics);
		free(file);
	}
	if (result == 0 && strncmp(change->what, "refused", strlen("refused")) == 0)
		result = error_set(&error, -EEXIST, "%s: %s%s%s", change->what, change->options.adopt ? "adopt " : "",
						   change->options.drop_owned ? "drop-owned " : "", change->options.reassign_to);
	if (result == 0)
	{
		json_object_update(spec, edited);
		cluster = fake_cluster_to_json(spec);
	}
	done(context, result, cluster, &error);
	json_decref(cluster);
	json_decref(edited);
}

void
engine_check_cluster(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Error error = {0};
	json_t *seen = NULL;
	int result = 0;

	if (fake_cluster_spec(engine, name_space, name) == NULL)
		result = error_set(&error, -ENOENT, "postgres %s/%s: not found", name_space, name);
	else
		seen = json_pack("{s:[s], s:[]}", "drift", "user \"app\" was given CREATEDB", "notes");
	done(context, result, seen, &error);
	json_decref(seen);
}

int
engine_rotate_password(Engine *engine, const char *name_space, const char *name, const char *user, Error *err)
{
	const json_t *spec = fake_cluster_spec(engine, name_space, name);
	const json_t *entry;
	size_t index;

	json_array_foreach(json_object_get(spec, "users"), index, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "name")), user) == 0)
			return 0;
	}
	return error_set(err, -ENOENT, "postgres %s/%s: has no user %s", name_space, name, user);
}

#endif
