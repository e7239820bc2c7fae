/* The list of PostgreSQL clusters; see clusters.h. */
#include "engine/clusters.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "model/postgres_spec.h"

void
cluster_owner(const PostgresSpec *spec, char ret_owner[CLUSTER_OWNER_BYTES])
{
	snprintf(ret_owner, CLUSTER_OWNER_BYTES, "postgres/%s/%s", spec->name_space, spec->name);
}

EngineCluster *
engine_find_cluster(Engine *engine, const char *name_space, const char *name)
{
	for (EngineCluster *cluster = engine->clusters; cluster != NULL; cluster = cluster->next)
	{
		if (strcmp(cluster->spec.name_space, name_space) == 0 && strcmp(cluster->spec.name, name) == 0)
			return cluster;
	}
	return NULL;
}

EngineCluster *
engine_find_volume_cluster(Engine *engine, const char *name_space, const char *name)
{
	for (EngineCluster *cluster = engine->clusters; cluster != NULL; cluster = cluster->next)
	{
		VolumeSpec volume;

		if (strcmp(cluster->spec.name_space, name_space) == 0 && postgres_spec_expand_volume(&cluster->spec, &volume) &&
			strcmp(volume.name, name) == 0)
			return cluster;
	}
	return NULL;
}

Machine *
cluster_machine(const EngineCluster *cluster)
{
	return engine_find_machine(cluster->engine, cluster->spec.name_space, cluster->spec.name);
}

static EngineCluster *
clusters_insert(Engine *engine, const PostgresSpec *spec)
{
	EngineCluster **place = &engine->clusters;
	EngineCluster *cluster = memory_allocate(sizeof(*cluster));

	while (*place != NULL)
	{
		int order = strcmp((*place)->spec.name_space, spec->name_space);

		if (order > 0 || (order == 0 && strcmp((*place)->spec.name, spec->name) > 0))
			break;
		place = &(*place)->next;
	}
	*cluster = (EngineCluster){.engine = engine, .notes = json_array(), .drift = json_array(), .next = *place};
	*place = cluster;
	return cluster;
}

EngineCluster *
engine_put_cluster(Engine *engine, const PostgresSpec *spec, uint64_t created_ms)
{
	EngineCluster *cluster = engine_find_cluster(engine, spec->name_space, spec->name);

	if (cluster == NULL)
	{
		cluster = clusters_insert(engine, spec);
		cluster->created_ms = created_ms;
	}
	else
		postgres_spec_clear(&cluster->spec);
	postgres_spec_copy(spec, &cluster->spec);
	return cluster;
}

static void
cluster_free(EngineCluster *cluster)
{
	job_cancel(cluster->work);
	cluster_cancel_looks(cluster);
	cluster_settle_waits(cluster, true);
	json_decref(cluster->notes);
	json_decref(cluster->drift);
	postgres_spec_clear(&cluster->spec);
	postgres_spec_clear(&cluster->applying);
	if (cluster->has_applied)
		postgres_spec_clear(&cluster->applied);
	free(cluster);
}

static int
load_cluster(void *context, const ClusterRecord *record)
{
	Engine *engine = context;
	EngineCluster *cluster = engine_put_cluster(engine, &record->spec, record->created_ms);

	if (!record->has_applied)
		return 0;
	cluster->has_applied = true;
	postgres_spec_copy(&record->applied, &cluster->applied);
	if (cluster_is_applied(cluster))
		cluster->state = CLUSTER_READY;
	return 0;
}

static void
report_row(void *context, const char *what)
{
	(void) context;
	log_error("a row of the store was left out", "reason", what);
}

int
engine_load_clusters(Engine *engine, Error *err)
{
	return store_each_cluster(engine->store, load_cluster, report_row, engine, err);
}

void
engine_free_clusters(Engine *engine)
{
	while (engine->clusters != NULL)
	{
		EngineCluster *cluster = engine->clusters;

		engine->clusters = cluster->next;
		cluster_free(cluster);
	}
}

/* Names such as "postgres-host" are those of the oldest cluster that is left. */
static void
pass_names_on(Engine *engine, const char *name_space)
{
	for (EngineCluster *other = engine->clusters; other != NULL; other = other->next)
	{
		Error error;

		if (strcmp(other->spec.name_space, name_space) == 0 && cluster_write_credentials(other, &error) < 0)
			log_warning("credentials not written", "cluster", other->spec.name, "reason", error.message);
	}
}

void
engine_forget_cluster(Engine *engine, const char *name_space, const char *name)
{
	EngineCluster **place = &engine->clusters;
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);
	Error error;

	if (cluster == NULL)
		return;
	while (*place != cluster)
		place = &(*place)->next;
	*place = cluster->next;
	if (store_delete_cluster(engine->store, name_space, name, &error) < 0)
		log_error("cluster not removed from the store", "cluster", name, "reason", error.message);
	cluster_remove_credentials(engine, &cluster->spec);
	cluster_remove_local_port(cluster);
	pass_names_on(engine, name_space);
	cluster_free(cluster);
}
