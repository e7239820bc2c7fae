/* Whether servers take the users and databases of a deployment's clusters; see cluster_check.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/cluster_check.h"
#include "model/diagnostics.h"
#include "model/postgres_spec.h"

/* A cluster whose server is asked. */
typedef struct Asked
{
	PostgresSpec spec; /* what it shall be */
	SourceMark mark;
} Asked;

typedef struct Asking
{
	Engine *engine;
	const DeployRequest *request;
	EngineDeployed done;
	void *context;
	Asked *clusters;
	size_t count;
	size_t at; /* who is being asked */
} Asking;

static void
asking_free(Asking *asking)
{
	for (size_t i = 0; i < asking->count; i++)
		postgres_spec_clear(&asking->clusters[i].spec);
	free(asking->clusters);
	free(asking);
}

/* The user that the refusal is about has a line of its own, unless it is one who is not in the file any more. */
static void
blame(const Asked *asked, const char *refusal, DiagnosticList *diagnostics)
{
	char path[KEY_PATH_BYTES] = "postgres.users";
	SourceMark mark = asked->mark;

	for (size_t i = 0; i < asked->spec.user_count; i++)
	{
		const PostgresUser *user = &asked->spec.users[i];
		_cleanup_free_ char *quoted = memory_printf("\"%s\"", user->name);

		if (user->mark.line == 0 || strstr(refusal, quoted) == NULL)
			continue;
		mark = user->mark;
		snprintf(path, sizeof(path), "postgres.users[%zu]", i);
		break;
	}
	diagnostic_add(diagnostics, mark, path, "%s", refusal);
}

static void
refuse(Asking *asking, int result, const Error *err)
{
	DiagnosticList diagnostics = {0};
	Error error = *err;

	if (result == -EEXIST || result == -EINVAL)
	{
		blame(&asking->clusters[asking->at], err->message, &diagnostics);
		result = error_set(&error, -EINVAL, "nothing was deployed: 1 thing is to mend");
	}
	asking->done(asking->context, result, NULL, &diagnostics, &error);
	diagnostic_list_clear(&diagnostics);
	asking_free(asking);
}

static void ask_next(Asking *asking);

static void
answered(void *context, int result, json_t *body, const Error *err)
{
	Asking *asking = context;

	(void) body;
	if (result == -EEXIST || result == -EINVAL || result == -ENOENT)
	{
		refuse(asking, result, err);
		return;
	}
	/* The same is looked at again before anything is done to the server. */
	if (result < 0)
		log_warning("users not checked", "cluster", asking->clusters[asking->at].spec.name, "reason", err->message);
	asking->at++;
	ask_next(asking);
}

static void
ask_next(Asking *asking)
{
	for (; asking->at < asking->count; asking->at++)
	{
		const PostgresSpec *spec = &asking->clusters[asking->at].spec;
		EngineCluster *cluster = engine_find_cluster(asking->engine, spec->name_space, spec->name);
		Error error;

		if (cluster == NULL)
			continue;
		if (cluster_look(cluster, spec, &asking->request->options, answered, asking, &error) == 0)
			return;
		log_warning("users not checked", "cluster", spec->name, "reason", error.message);
	}
	engine_deploy_from(asking->engine, DEPLOY_STORE, asking->request, asking->done, asking->context);
	asking_free(asking);
}

/* A server that is to be told nothing about users is not asked, and one that does not run cannot be. */
static bool
is_asked(const DeployStep *step)
{
	const EngineCluster *cluster = step->cluster;
	const Machine *machine;
	PostgresSpec before;
	SpecChanges changes;
	bool same;

	if (step->resource->kind != RESOURCE_POSTGRES || cluster == NULL || !cluster->has_applied)
		return false;
	machine = cluster_machine(cluster);
	if (machine == NULL || !cluster_is_served(machine))
		return false;
	before = step->resource->postgres;
	before.users = cluster->applied.users;
	before.user_count = cluster->applied.user_count;
	before.databases = cluster->applied.databases;
	before.database_count = cluster->applied.database_count;
	postgres_spec_compare(&before, &step->resource->postgres, &changes);
	same = changes.count == 0;
	spec_changes_clear(&changes);
	return !same;
}

bool
clusters_need_look(const Deployment *deployment)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (is_asked(&deployment->steps[i]))
			return true;
	}
	return false;
}

void
clusters_look(const Deployment *deployment, const DeployRequest *request, EngineDeployed done, void *context)
{
	Asking *asking = memory_allocate(sizeof(*asking));

	*asking = (Asking){.engine = deployment->engine, .request = request, .done = done, .context = context};
	asking->clusters = memory_allocate((deployment->set.count + 1) * sizeof(*asking->clusters));
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const DeployStep *step = &deployment->steps[i];

		if (!is_asked(step))
			continue;
		asking->clusters[asking->count].mark = step->resource->mark;
		postgres_spec_copy(&step->resource->postgres, &asking->clusters[asking->count++].spec);
	}
	ask_next(asking);
}
