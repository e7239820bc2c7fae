/* Deleting a PostgreSQL cluster: its machine first, with which everything else of it goes; then, when that is wanted,
 * its volume. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "model/postgres_spec.h"

typedef struct ClusterDelete
{
	Engine *engine;
	PostgresSpec spec;
	bool volume;
	EngineDone done;
	void *context;
} ClusterDelete;

static void
finish(ClusterDelete *deletion, int result, const Error *err)
{
	char owner[CLUSTER_OWNER_BYTES];
	char volume[NAME_MAX_BYTES + 1];
	json_t *body = NULL;
	Error error;

	cluster_owner(&deletion->spec, owner);
	postgres_spec_volume_name(&deletion->spec, volume);
	/* Without its data nobody needs the superuser's password any more. */
	if (result == 0 && deletion->volume && engine_remove_owned_secrets(deletion->engine, owner, &error) < 0)
		log_warning("credentials not removed", "cluster", deletion->spec.name, "reason", error.message);
	if (result == 0)
		body = json_pack("{s:s, s:b}", "volume", volume, "volume-deleted", deletion->volume);
	deletion->done(deletion->context, result, body, err);
	json_decref(body);
	postgres_spec_clear(&deletion->spec);
	free(deletion);
}

static void
volume_deleted(void *context, int result, json_t *body, const Error *err)
{
	(void) body;
	finish(context, result, err);
}

static void
machine_deleted(void *context, int result, json_t *body, const Error *err)
{
	ClusterDelete *deletion = context;
	char volume[NAME_MAX_BYTES + 1];

	(void) body;
	postgres_spec_volume_name(&deletion->spec, volume);
	/* One that was deployed by itself is its owner's to delete. */
	deletion->volume = deletion->volume && deletion->spec.volume[0] == '\0';
	if (result < 0 || !deletion->volume)
		finish(deletion, result, err);
	else
		engine_delete_volume(deletion->engine, deletion->spec.name_space, volume, volume_deleted, deletion);
}

void
engine_delete_cluster(Engine *engine, const char *name_space, const char *name, bool volume, EngineDone done,
					  void *context)
{
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);
	Machine *machine = cluster == NULL ? NULL : cluster_machine(cluster);
	ClusterDelete *deletion;
	Error error;

	if (cluster == NULL)
	{
		error_set(&error, -ENOENT, "postgres %s/%s: not found", name_space, name);
		done(context, -ENOENT, NULL, &error);
		return;
	}
	deletion = memory_allocate(sizeof(*deletion));
	*deletion = (ClusterDelete){.engine = engine, .volume = volume, .done = done, .context = context};
	postgres_spec_copy(&cluster->spec, &deletion->spec);
	job_cancel(cluster->work);
	cluster->work = NULL;
	if (machine != NULL)
		machine_delete(machine, machine_deleted, deletion);
	else
	{
		engine_forget_cluster(engine, name_space, name);
		machine_deleted(deletion, 0, NULL, &(Error){0});
	}
}
