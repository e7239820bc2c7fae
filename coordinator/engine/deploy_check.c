/* Checking a file before anything changes: against itself, and against what is there; see deploy.c. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/clusters.h"
#include "engine/deploy_private.h"
#include "engine/machine_secrets.h"
#include "engine/secrets.h"
#include "host/init_scripts.h"
#include "model/dependency_order.h"

void
deploy_complain(Deployment *deployment, const Resource *resource, const SourceMark *mark, const char *key_path,
				const char *format, ...)
{
	SourceMark place = mark == NULL ? resource->mark : *mark;
	Diagnostic diagnostic = {.line = place.line, .column = place.column, .file = place.file};
	va_list arguments;

	snprintf(diagnostic.key_path, sizeof(diagnostic.key_path), "%s.%s",
			 resource_kind_name(resource->of_cluster ? RESOURCE_POSTGRES : resource->kind), key_path);
	va_start(arguments, format);
	vsnprintf(diagnostic.message, sizeof(diagnostic.message), format, arguments);
	va_end(arguments);
	diagnostic_list_add(&deployment->diagnostics, &diagnostic);
}

static const VolumeSpec *
deploy_find_volume(void *context, const char *name_space, const char *name)
{
	const EngineVolume *volume = engine_find_volume(context, name_space, name);

	return volume == NULL ? NULL : &volume->spec;
}

static bool
deploy_has_machine(void *context, const char *name_space, const char *name)
{
	return engine_find_machine(context, name_space, name) != NULL;
}

static void
deploy_check_volume(Deployment *deployment, DeployStep *step)
{
	const VolumeSpec *spec = &step->resource->volume;
	char size[32];

	step->volume = engine_find_volume(deployment->engine, spec->name_space, spec->name);
	if (step->volume == NULL)
		return;
	size_format(step->volume->spec.size_bytes, size);
	if (spec->size_bytes < step->volume->spec.size_bytes)
		deploy_complain(deployment, step->resource, NULL, "size",
						"volume %s/%s exists with %s; a volume can grow, but not shrink", spec->name_space, spec->name,
						size);
	volume_spec_compare(&step->volume->spec, spec, &step->changes);
}

/* The deployed app or machine that mounts the volume, other than the one named like `spec`. */
static const Machine *
deploy_find_writer(Engine *engine, const AppSpec *spec, const VolumeMount *mount)
{
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, spec->name_space) == 0 && strcmp(machine->spec.name, spec->name) == 0)
			continue;
		for (size_t i = 0; i < machine->spec.volume_count; i++)
		{
			if (strcmp(machine->spec.volumes[i].name_space, mount->name_space) == 0 &&
				strcmp(machine->spec.volumes[i].name, mount->name) == 0)
				return machine;
		}
	}
	return NULL;
}

static void
deploy_check_volumes(Deployment *deployment, const DeployStep *step)
{
	const AppSpec *spec = &step->resource->app;

	for (size_t i = 0; i < spec->volume_count; i++)
	{
		const VolumeMount *mount = &spec->volumes[i];
		const EngineVolume *volume = engine_find_volume(deployment->engine, mount->name_space, mount->name);
		const Machine *writer = deploy_find_writer(deployment->engine, spec, mount);
		char key_path[64];

		snprintf(key_path, sizeof(key_path), "volumes[%zu].name", i);
		if (writer != NULL && (volume == NULL || volume->spec.mode == VOLUME_WRITEABLE))
			deploy_complain(deployment, step->resource, &mount->mark, key_path,
							"volume %s/%s is mounted by %s %s; a writeable volume belongs to one", mount->name_space,
							mount->name, resource_kind_name(writer->spec.kind), writer->label);
	}
}

/* A service of this name that is there and does not belong to the app. */
static void
deploy_check_exposes(Deployment *deployment, const DeployStep *step)
{
	const AppSpec *spec = &step->resource->app;

	for (size_t i = 0; i < spec->expose_count; i++)
	{
		char name[2 * NAME_MAX_BYTES + 2];
		char key_path[2 * NAME_MAX_BYTES];
		const EngineService *there;

		snprintf(name, sizeof(name), "%s-%s", spec->name, spec->exposes[i].name);
		snprintf(key_path, sizeof(key_path), "expose.%s", spec->exposes[i].name);
		there = engine_find_service(deployment->engine, spec->name_space, name);
		if (there != NULL && (there->spec.expose[0] == '\0' || strcmp(there->spec.target_name, spec->name) != 0))
			deploy_complain(deployment, step->resource, &spec->exposes[i].mark, key_path,
							"the service %s/%s exists already, %s%s", spec->name_space, name,
							there->spec.expose[0] == '\0' ? "a document of its own" : "of app ",
							there->spec.expose[0] == '\0' ? "" : there->spec.target_name);
	}
}

/* Only until the machine has started: what has run once is not needed any more. */
static void
deploy_check_init_scripts(Deployment *deployment, const DeployStep *step)
{
	const AppSpec *spec = &step->resource->app;
	char key_path[64];
	unsigned index = 0;
	Error error;

	if (spec->init_scripts == NULL || (step->machine != NULL && machine_has_started_once(step->machine)))
		return;
	for (unsigned i = 0; spec->init_scripts[i] != NULL; i++)
	{
		if (spec->init_scripts[i][0] == '/')
			continue;
		snprintf(key_path, sizeof(key_path), "init-scripts[%u]", i);
		deploy_complain(deployment, step->resource, NULL, key_path,
						"%s must be an absolute path: the directory of the file is not known", spec->init_scripts[i]);
		return;
	}
	if (init_scripts_check((const char *const *) spec->init_scripts, &index, &error) == 0)
		return;
	snprintf(key_path, sizeof(key_path), "init-scripts[%u]", index);
	deploy_complain(deployment, step->resource, NULL, key_path, "%s", error.message);
}

typedef struct SecretCheck
{
	Deployment *deployment;
	const DeployStep *step;
} SecretCheck;

/* What a cluster of the same file is given is there when the machines that name it start. */
static bool
deploy_makes_secret(const Deployment *deployment, const SecretName *name, const char *name_space)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const Resource *resource = &deployment->set.resources[i];

		if (resource->kind == RESOURCE_POSTGRES &&
			postgres_spec_makes_secret(&resource->postgres, name->kind, name_space, name->name))
			return true;
	}
	return false;
}

static int
deploy_check_secret(void *context, const SecretName *name, const char *key_path, const SourceMark *mark)
{
	const SecretCheck *check = context;
	const char *name_space = check->step->resource->head.name_space;
	const char *word = secret_kind_name(name->kind);

	if (!engine_has_secret(check->deployment->engine, name->kind, name_space, name->name) &&
		!deploy_makes_secret(check->deployment, name, name_space))
		deploy_complain(check->deployment, check->step->resource, mark, key_path,
						"namespace %s has no %s '%s'; set it: lttle %ss set %s --ns %s", name_space, word, name->name,
						word, name->name, name_space);
	return 0;
}

static void
deploy_check_machine(Deployment *deployment, DeployStep *step)
{
	const AppSpec *spec = &step->resource->app;

	SecretCheck check = {.deployment = deployment, .step = step};

	deploy_check_volumes(deployment, step);
	deploy_check_exposes(deployment, step);
	(void) app_spec_each_secret(spec, deploy_check_secret, &check);
	step->machine = engine_find_machine(deployment->engine, spec->name_space, spec->name);
	deploy_check_init_scripts(deployment, step);
	if (step->machine == NULL)
		return;
	if (step->machine->facts.delete_wanted)
		deploy_complain(deployment, step->resource, NULL, "name",
						"%s %s is being deleted; deploy again when it is gone",
						resource_kind_name(step->machine->spec.kind), step->machine->label);
	if (step->machine->spec.kind != spec->kind)
		deploy_complain(deployment, step->resource, NULL, "name", "%s exists as %s %s; delete it first",
						step->machine->label, step->machine->spec.kind == RESOURCE_APP ? "an" : "a",
						resource_kind_name(step->machine->spec.kind));
	app_spec_compare(&step->machine->spec, spec, &step->changes);
	machine_compare_secrets(step->machine, spec, &step->changes);
}

static void
deploy_check_service(Deployment *deployment, DeployStep *step)
{
	const ServiceSpec *spec = &step->resource->service;

	step->service = engine_find_service(deployment->engine, spec->name_space, spec->name);
	if (step->service == NULL)
		return;
	if (step->service->spec.expose[0] != '\0')
		deploy_complain(deployment, step->resource, NULL, "name", "the service %s/%s belongs to app %s",
						spec->name_space, spec->name, step->service->spec.target_name);
	service_spec_compare(&step->service->spec, spec, &step->changes);
}

bool
deploy_replaces(const Deployment *deployment, const Machine *machine)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (deployment->steps[i].machine == machine)
			return true;
	}
	return false;
}

/* The resource that holds a spec, or NULL: it is a deployed one's. */
static const Resource *
deploy_resource_of(const Deployment *deployment, const AppSpec *spec)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (&deployment->set.resources[i].app == spec)
			return &deployment->set.resources[i];
	}
	return NULL;
}

/*
 * Apps and machines, of the file and deployed ones that stay as they are, by what they depend on; other resources come
 * first. Machines that wait for each other are refused.
 */
static void
deploy_check_order(Deployment *deployment)
{
	size_t capacity = deployment->set.count;
	const AppSpec **specs;
	size_t *order;
	size_t count = 0;
	size_t of_file;
	size_t placed = 0;
	size_t at = 0;
	char *cycle = NULL;

	for (const Machine *machine = deployment->engine->machines; machine != NULL; machine = machine->next)
		capacity++;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	specs = memory_allocate((capacity + 1) * sizeof(*specs));
	order = memory_allocate((capacity + 1) * sizeof(*order));
	deployment->order = memory_allocate((deployment->set.count + 1) * sizeof(*deployment->order));
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (resource_is_machine(&deployment->set.resources[i]))
			specs[count++] = &deployment->set.resources[i].app;
		else
			deployment->order[placed++] = i;
	}
	of_file = count;
	for (const Machine *machine = deployment->engine->machines; machine != NULL; machine = machine->next)
	{
		if (!deploy_replaces(deployment, machine))
			specs[count++] = &machine->spec;
	}
	if (dependency_order(specs, count, order, &cycle, &at) < 0)
		deploy_complain(deployment, deploy_resource_of(deployment, specs[at < of_file ? at : 0]), NULL, "depends-on",
						"these wait for each other: %s", cycle);
	else
	{
		for (size_t i = 0; i < count; i++)
		{
			const Resource *resource = deploy_resource_of(deployment, specs[order[i]]);

			if (resource != NULL)
				deployment->order[placed++] = (size_t) (resource - deployment->set.resources);
		}
	}
	free(cycle);
	free(order);
	free(specs);
}

int
deploy_check(Deployment *deployment, const DeployRequest *request)
{
	DeployedResources deployed = {
		.context = deployment->engine, .find_volume = deploy_find_volume, .has_machine = deploy_has_machine};
	SecretSource source = {.find = engine_find_secret, .context = deployment->engine};
	Variables variables = request->variables;
	int result;

	variables.secrets = &source;
	result = resource_files_parse(request->files, request->file_count, &variables, &deployment->set,
								  &deployment->diagnostics);
	if (result < 0)
		return result;
	deploy_expand_clusters(&deployment->set);
	deployment->steps = memory_allocate(deployment->set.count * sizeof(*deployment->steps));
	result = resource_set_check_references(&deployment->set, &deployed, &deployment->diagnostics);
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		DeployStep *step = &deployment->steps[i];

		step->resource = &deployment->set.resources[i];
		if (step->resource->kind == RESOURCE_VOLUME || resource_is_machine(step->resource))
			deploy_check_owner(deployment, step->resource);
		if (step->resource->kind == RESOURCE_VOLUME)
			deploy_check_volume(deployment, step);
		else if (step->resource->kind == RESOURCE_SERVICE)
			deploy_check_service(deployment, step);
		else if (step->resource->kind == RESOURCE_POSTGRES)
			deploy_check_cluster(deployment, step);
		else
			deploy_check_machine(deployment, step);
	}
	deploy_check_credentials(deployment);
	deploy_check_reach(deployment);
	deploy_check_order(deployment);
	return deployment->diagnostics.count > 0 ? -EINVAL : result;
}
