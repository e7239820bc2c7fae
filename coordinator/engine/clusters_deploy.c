/* Deploying PostgreSQL clusters: the app and the volume that one becomes join those of the file; see deploy.c. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/deploy_private.h"
#include "engine/machine_secrets.h"
#include "engine/secrets.h"
#include "model/diagnostics.h"
#include "model/postgres_config.h"
#include "model/postgres_spec.h"

static Resource *
set_append(ResourceSet *set, const Resource *cluster, ResourceKind kind)
{
	Resource *resource = &set->resources[set->count++];

	*resource = (Resource){.kind = kind, .of_cluster = true, .mark = cluster->mark};
	return resource;
}

void
deploy_expand_clusters(ResourceSet *set)
{
	size_t written = set->count;
	size_t clusters = 0;
	Resource *grown;

	for (size_t i = 0; i < written; i++)
		clusters += set->resources[i].kind == RESOURCE_POSTGRES;
	if (clusters == 0)
		return;
	grown = memory_allocate((written + 2 * clusters) * sizeof(*grown));
	memcpy(grown, set->resources, written * sizeof(*grown));
	free(set->resources);
	set->resources = grown;
	for (size_t i = 0; i < written; i++)
	{
		const Resource *cluster = &set->resources[i];
		VolumeSpec volume;

		if (cluster->kind != RESOURCE_POSTGRES)
			continue;
		if (postgres_spec_expand_volume(&cluster->postgres, &volume))
			set_append(set, cluster, RESOURCE_VOLUME)->volume = volume;
		postgres_spec_expand(&cluster->postgres, &set_append(set, cluster, RESOURCE_APP)->app);
		for (size_t k = 0; k < set->resources[set->count - 1].app.expose_count; k++)
			set->resources[set->count - 1].app.exposes[k].mark = cluster->mark;
		set->resources[set->count - 1].app.volumes[0].mark = cluster->mark;
	}
}

/* What the file itself calls by a name that is made for a cluster. */
static void
check_names(Deployment *deployment, const Resource *made)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const Resource *other = &deployment->set.resources[i];

		if (other == made || other->of_cluster || strcmp(other->head.name, made->head.name) != 0 ||
			strcmp(other->head.name_space, made->head.name_space) != 0 ||
			(made->kind == RESOURCE_VOLUME ? other->kind != RESOURCE_VOLUME : !resource_is_machine(other)))
			continue;
		deploy_complain(deployment, other, NULL, "name", "%s/%s is what the cluster at line %u becomes; rename one",
						other->head.name_space, other->head.name, made->mark.line);
	}
}

void
deploy_check_owner(Deployment *deployment, const Resource *resource)
{
	const EngineCluster *cluster =
		resource->kind == RESOURCE_VOLUME
			? engine_find_volume_cluster(deployment->engine, resource->head.name_space, resource->head.name)
			: engine_find_cluster(deployment->engine, resource->head.name_space, resource->head.name);

	if (resource->of_cluster)
		check_names(deployment, resource);
	else if (cluster != NULL)
		deploy_complain(deployment, resource, NULL, "name", "%s/%s belongs to postgres/%s; change that",
						resource->head.name_space, resource->head.name, cluster->spec.name);
}

/* Whether a cluster has the parameter, with this value, and this much memory. */
static bool
has_parameter(const EngineCluster *cluster, const EnvironmentVariable *parameter, uint64_t memory_mib)
{
	uint64_t memory_before_mib;
	unsigned cpus;

	if (cluster == NULL)
		return false;
	postgres_spec_resources(&cluster->spec, &cpus, &memory_before_mib);
	for (size_t i = 0; memory_before_mib == memory_mib && i < cluster->spec.parameter_count; i++)
	{
		if (strcmp(cluster->spec.parameters[i].name, parameter->name) == 0)
			return strcmp(cluster->spec.parameters[i].value, parameter->value) == 0;
	}
	return false;
}

/* What is stored, and perhaps runs, stays as it is: it is complained of when it is written. */
static void
check_memory(Deployment *deployment, const DeployStep *step)
{
	const PostgresSpec *spec = &step->resource->postgres;
	uint64_t memory_mib;
	unsigned cpus;

	postgres_spec_resources(spec, &cpus, &memory_mib);
	for (size_t i = 0; i < spec->parameter_count; i++)
	{
		const EnvironmentVariable *parameter = &spec->parameters[i];
		char path[KEY_PATH_BYTES];

		if (!postgres_parameter_exceeds(parameter, memory_mib) || has_parameter(step->cluster, parameter, memory_mib))
			continue;
		snprintf(path, sizeof(path), "parameters.%.80s", parameter->name);
		deploy_complain(deployment, step->resource, parameter->mark.line != 0 ? &parameter->mark : NULL, path,
						"%.40s is more than the machine's memory, %" PRIu64 " MiB; the server could not have it",
						parameter->value, memory_mib);
	}
}

void
deploy_check_cluster(Deployment *deployment, DeployStep *step)
{
	const PostgresSpec *spec = &step->resource->postgres;
	const Machine *machine = engine_find_machine(deployment->engine, spec->name_space, spec->name);
	char before[NAME_MAX_BYTES + 1];
	char now[NAME_MAX_BYTES + 1];

	step->cluster = engine_find_cluster(deployment->engine, spec->name_space, spec->name);
	check_memory(deployment, step);
	if (step->cluster == NULL)
	{
		if (machine != NULL)
			deploy_complain(deployment, step->resource, NULL, "name", "%s is there already, and is no cluster's",
							machine->label);
		return;
	}
	if (step->cluster->spec.version != spec->version)
		deploy_complain(deployment, step->resource, NULL, "version",
						"the data is PostgreSQL %u's, which %u cannot use; make another cluster, and restore a backup "
						"of this one into it",
						step->cluster->spec.version, spec->version);
	postgres_spec_volume_name(&step->cluster->spec, before);
	postgres_spec_volume_name(spec, now);
	if (strcmp(before, now) != 0)
		deploy_complain(deployment, step->resource, NULL, "volume", "the data is in volume %s/%s, and stays there",
						spec->name_space, before);
	postgres_spec_compare(&step->cluster->spec, spec, &step->changes);
}

/* A machine as it is when the deployment is through, that uses it; NULL: there is none. */
static const AppSpec *
find_secret_user(const Deployment *deployment, SecretKind kind, const char *name_space, const char *name)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const Resource *resource = &deployment->set.resources[i];

		if (resource_is_machine(resource) && strcmp(resource->app.name_space, name_space) == 0 &&
			app_spec_uses_secret(&resource->app, kind, name))
			return &resource->app;
	}
	for (const Machine *machine = deployment->engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, name_space) == 0 && !deploy_replaces(deployment, machine) &&
			app_spec_uses_secret(&machine->spec, kind, name))
			return &machine->spec;
	}
	return NULL;
}

/* Whose secrets have this name; NULL: none of the file's. */
static const PostgresUser *
find_secret_owner(const PostgresSpec *spec, const char *name)
{
	static const char *const kinds[] = {"username", "password", "url"};

	for (size_t i = 0; i < spec->user_count; i++)
	{
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		{
			char made[SECRET_NAME_MAX_BYTES + 1];

			cluster_secret_name(spec, spec->users[i].name, kinds[k], made);
			if (strcmp(made, name) == 0)
				return &spec->users[i];
		}
	}
	return NULL;
}

typedef struct CredentialsCheck
{
	Deployment *deployment;
	const Resource *resource;
} CredentialsCheck;

static void
complain_of_taken(void *context, SecretKind kind, const char *name_space, const char *name)
{
	const CredentialsCheck *check = context;
	const PostgresSpec *spec = &check->resource->postgres;
	const AppSpec *user = find_secret_user(check->deployment, kind, name_space, name);
	const PostgresUser *owner = kind == SECRET_KIND_VALUE ? NULL : find_secret_owner(spec, name);
	char path[64];

	/* Names such as "postgres-host" only pass to another cluster. */
	if (user == NULL || postgres_spec_makes_secret(spec, kind, name_space, name))
		return;
	if (owner != NULL)
		snprintf(path, sizeof(path), "users[%zu].namespaces", (size_t) (owner - spec->users));
	else
		snprintf(path, sizeof(path), "%s", kind == SECRET_KIND_VALUE ? "values" : "users");
	deploy_complain(check->deployment, check->resource, owner != NULL && owner->mark.line != 0 ? &owner->mark : NULL,
					path, "%s %s/%s would be taken away, and %s/%s uses it; change that first", secret_kind_name(kind),
					name_space, name, user->name_space, user->name);
}

void
deploy_check_credentials(Deployment *deployment)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const DeployStep *step = &deployment->steps[i];
		CredentialsCheck check = {.deployment = deployment, .resource = step->resource};

		if (step->cluster != NULL)
			cluster_each_taken(step->cluster, &step->resource->postgres, complain_of_taken, &check);
	}
}

int
cluster_store(Engine *engine, const PostgresSpec *spec, Error *err)
{
	_cleanup_secret_ char *password = NULL;
	int result = store_put_cluster(engine->store, spec, clock_realtime_ms(), err);

	return result < 0 ? result : cluster_superuser_password(engine, spec, &password, err);
}

void
cluster_deployed(Engine *engine, const PostgresSpec *spec, const PostgresOptions *options)
{
	EngineCluster *cluster = engine_find_cluster(engine, spec->name_space, spec->name);
	Machine *machine = cluster_machine(cluster);
	Error error;

	cluster->options = *options;
	if (cluster_write_credentials(cluster, &error) < 0)
		log_warning("credentials not written", "cluster", spec->name, "reason", error.message);
	if (machine != NULL && machine_write_cluster_files(machine, &error) < 0)
		log_warning("settings not written", "cluster", spec->name, "reason", error.message);
	json_array_clear(cluster->notes);
	cluster_begin_change(cluster);
}
