/* Whether the services of a deployment can be reachable beside each other, those that are there, and the host's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/deploy_private.h"
#include "engine/reach.h"

/* A service that the deployment makes, and where it is written. */
typedef struct NewService
{
	ServiceSpec spec;
	const Resource *resource;
	const SourceMark *mark; /* NULL: the resource's own */
	char key_path[NAME_MAX_BYTES + 16];
} NewService;

typedef struct NewServices
{
	NewService *items;
	size_t count;
	size_t capacity;
} NewServices;

static NewService *
services_add(NewServices *services, const Resource *resource)
{
	NewService *service;

	services->items = memory_grow(services->items, &services->capacity, services->count + 1, sizeof(*services->items));
	service = &services->items[services->count++];
	service->resource = resource;
	return service;
}

static void
services_collect(const ResourceSet *set, NewServices *services)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const Resource *resource = &set->resources[i];

		if (resource->kind == RESOURCE_SERVICE)
		{
			NewService *service = services_add(services, resource);

			service_spec_copy(&resource->service, &service->spec);
			snprintf(service->key_path, sizeof(service->key_path), "bind");
		}
		for (size_t k = 0; resource_is_machine(resource) && k < resource->app.expose_count; k++)
		{
			NewService *service = services_add(services, resource);

			service_spec_of_expose(&resource->app, &resource->app.exposes[k], &service->spec);
			service->mark = &resource->app.exposes[k].mark;
			snprintf(service->key_path, sizeof(service->key_path), "expose.%s", resource->app.exposes[k].name);
		}
	}
}

static void
services_clear(NewServices *services)
{
	for (size_t i = 0; i < services->count; i++)
		service_spec_clear(&services->items[i].spec);
	free(services->items);
}

/* Whether a deployed service is still there afterwards, as it is. */
static bool
stays_as_it_is(const ResourceSet *set, const NewServices *services, const ServiceSpec *deployed)
{
	for (size_t i = 0; i < services->count; i++)
	{
		if (strcmp(services->items[i].spec.name_space, deployed->name_space) == 0 &&
			strcmp(services->items[i].spec.name, deployed->name) == 0)
			return false;
	}
	for (size_t i = 0; deployed->expose[0] != '\0' && i < set->count; i++)
	{
		if (resource_is_machine(&set->resources[i]) &&
			strcmp(set->resources[i].head.name_space, deployed->target_name_space) == 0 &&
			strcmp(set->resources[i].head.name, deployed->target_name) == 0)
			return false;
	}
	return true;
}

static const char *
find_problem(Deployment *deployment, const NewServices *services, size_t index, char problem[320])
{
	Engine *engine = deployment->engine;
	const ServiceSpec *spec = &services->items[index].spec;
	const char *found = NULL;

	for (size_t i = 0; i < index && found == NULL; i++)
		found = reach_find_conflict(engine, spec, &services->items[i].spec, problem);
	for (const EngineService *other = engine->services; other != NULL && found == NULL; other = other->next)
	{
		if (stays_as_it_is(&deployment->set, services, &other->spec))
			found = reach_find_conflict(engine, spec, &other->spec, problem);
	}
	return found != NULL ? found : reach_find_problem(engine, spec, problem);
}

void
deploy_check_reach(Deployment *deployment)
{
	NewServices services = {0};

	services_collect(&deployment->set, &services);
	for (size_t i = 0; i < services.count; i++)
	{
		const NewService *service = &services.items[i];
		char problem[320];

		if (find_problem(deployment, &services, i, problem) != NULL)
			deploy_complain(deployment, service->resource, service->mark, service->key_path, "%s", problem);
	}
	services_clear(&services);
}
