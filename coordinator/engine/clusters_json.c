/* How PostgreSQL clusters look in the API, and what is asked of them there. docs/openapi.yaml describes the shapes. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/backups.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "model/postgres_config.h"
#include "model/postgres_spec.h"

const char *
cluster_state_name(const EngineCluster *cluster)
{
	static const char *const names[] = {[CLUSTER_STARTING] = "starting",
										[CLUSTER_APPLYING] = "applying",
										[CLUSTER_READY] = "ready",
										[CLUSTER_FAILED] = "failed"};

	return names[cluster->state];
}

static void
json_set_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, value == NULL || *value == '\0' ? json_null() : json_string(value));
}

json_t *
cluster_to_json(const EngineCluster *cluster)
{
	const Machine *machine = cluster_machine(cluster);
	json_t *object = postgres_spec_to_json(&cluster->spec);
	json_t *backup = NULL;
	unsigned cpus;
	uint64_t memory_mib;
	char text[256];
	Error error;

	postgres_spec_image(&cluster->spec, text);
	json_set_text(object, "image", text);
	postgres_spec_volume_name(&cluster->spec, text);
	json_set_text(object, "volume", text);
	postgres_spec_resources(&cluster->spec, &cpus, &memory_mib);
	json_object_set_new(object, "cpus", json_integer(cpus));
	json_object_set_new(object, "memory-mib", json_integer((json_int_t) memory_mib));
	json_object_set_new(object, "created-ms", json_integer((json_int_t) cluster->created_ms));
	json_set_text(object, "phase", machine == NULL ? NULL : phase_name(machine->phase));
	if (machine != NULL)
		network_format_address(machine->network.address, text);
	json_set_text(object, "address", machine == NULL ? NULL : text);
	json_object_set_new(object, "port", json_integer(POSTGRES_PORT));
	json_object_set_new(object, "services", machine == NULL ? json_array() : machine_services_to_json(machine));
	json_set_text(object, "state", cluster_state_name(cluster));
	json_set_text(object, "problem", cluster->problem);
	json_object_set(object, "notes", cluster->notes);
	json_object_set(object, "drift", cluster->drift);
	if (engine_show_backup(cluster->engine, cluster->spec.name_space, cluster->spec.name, &backup, &error) < 0)
		backup = json_null();
	json_object_set_new(object, "backup", backup);
	return object;
}

json_t *
engine_list_clusters(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (const EngineCluster *cluster = engine->clusters; cluster != NULL; cluster = cluster->next)
	{
		if (name_space == NULL || strcmp(name_space, cluster->spec.name_space) == 0)
			json_array_append_new(array, cluster_to_json(cluster));
	}
	return array;
}

static int
find(Engine *engine, const char *name_space, const char *name, EngineCluster **ret_cluster, Error *err)
{
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);

	if (cluster == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: not found", name_space, name);
	*ret_cluster = cluster;
	return 0;
}

int
engine_get_cluster(Engine *engine, const char *name_space, const char *name, json_t **ret_cluster, Error *err)
{
	EngineCluster *cluster = NULL;
	int result = find(engine, name_space, name, &cluster, err);

	if (result == 0)
		*ret_cluster = cluster_to_json(cluster);
	return result;
}

/* The spec alone, in the form of a file. */
int
engine_get_cluster_spec(Engine *engine, const char *name_space, const char *name, json_t **ret_spec, Error *err)
{
	EngineCluster *cluster = NULL;
	int result = find(engine, name_space, name, &cluster, err);

	if (result == 0)
		*ret_spec = json_pack("{s:o}", "postgres", postgres_spec_to_json(&cluster->spec));
	return result;
}

/* The password, which is that of the secret in the namespace that asks. */
static int
find_password(const EngineCluster *cluster, const char *user, const char *from, char **ret_password, Error *err)
{
	const PostgresSpec *spec = &cluster->spec;
	const char *name_space = from == NULL ? spec->name_space : from;
	char name[SECRET_NAME_MAX_BYTES + 1];
	int result;

	if (strcmp(user, POSTGRES_SUPERUSER) == 0)
		cluster_secret_name(spec, NULL, "superuser-password", name);
	else
		cluster_secret_name(spec, user, "password", name);
	result = engine_get_secret(cluster->engine, SECRET_KIND_SECRET, name_space, name, ret_password, err);
	if (result == -ENOENT)
		return error_set(err, -ENOENT,
						 "user %s of postgres %s/%s: namespace %s has no credentials of it; its `namespaces` in the "
						 "cluster's file say which have",
						 user, spec->name_space, spec->name, name_space);
	return result;
}

static int
find_access_user(const EngineCluster *cluster, const char *wanted, const char **ret_user, Error *err)
{
	const PostgresSpec *spec = &cluster->spec;

	if (wanted == NULL && spec->user_count == 0)
		return error_set(err, -ENOENT, "postgres %s/%s: has no users yet", spec->name_space, spec->name);
	if (wanted == NULL)
		wanted = spec->users[0].name;
	else if (strcmp(wanted, POSTGRES_SUPERUSER) != 0 && postgres_spec_find_user(spec, wanted) == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: has no user %s", spec->name_space, spec->name, wanted);
	*ret_user = wanted;
	return 0;
}

int
engine_get_access(Engine *engine, const ClusterAccessQuery *query, json_t **ret_access, Error *err)
{
	_cleanup_secret_ char *password = NULL;
	_cleanup_secret_ char *url = NULL;
	EngineCluster *cluster = NULL;
	const Machine *machine;
	const char *user = NULL;
	const char *database;
	char host[16] = "127.0.0.1";
	uint16_t port = POSTGRES_PORT;
	int result = find(engine, query->name_space, query->name, &cluster, err);

	if (result == 0)
		result = find_access_user(cluster, query->user, &user, err);
	if (result == 0)
		result = find_password(cluster, user, query->from, &password, err);
	if (result < 0)
		return result;
	machine = cluster_machine(cluster);
	if (machine == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: its machine is gone", query->name_space, query->name);
	if (query->local)
		result = cluster_local_port(cluster, &port, err);
	else
		network_format_address(machine->network.address, host);
	if (result < 0)
		return result;
	database = cluster_user_database(&cluster->spec, postgres_spec_find_user(&cluster->spec, user));
	url = cluster_url(user, password, host, port, database);
	*ret_access = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "host", host, "port", port, "user", user, "password",
							password, "database", database, "url", url);
	return 0;
}
