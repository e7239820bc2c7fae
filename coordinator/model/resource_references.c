/*
 * What the resources of one file say of each other; see resource_set_check_references in spec.h. Everything is looked
 * up in sorted arrays, because a file within the limits can hold tens of thousands of references.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/spec.h"

/* A thing with a name that is said somewhere in the file. */
typedef struct Mention
{
	char *key; /* "namespace/name" */
	const AppSpec *app;
	const VolumeSpec *volume; /* the volume itself rather than a use of it */
	const Resource *service;  /* a document of its own rather than an app's */
	size_t place;			  /* in the app's volumes or exposes */
	size_t order;			  /* in the file */
} Mention;

typedef struct Mentions
{
	Mention *items;
	size_t count;
	size_t capacity;
} Mentions;

static void
mentions_add(Mentions *mentions, Mention mention)
{
	mentions->items = memory_grow(mentions->items, &mentions->capacity, mentions->count + 1, sizeof(Mention));
	mention.order = mentions->count;
	mentions->items[mentions->count++] = mention;
}

static void
mentions_clear(Mentions *mentions)
{
	for (size_t i = 0; i < mentions->count; i++)
		free(mentions->items[i].key);
	free(mentions->items);
	*mentions = (Mentions){0};
}

/* By name; of one name first the volume itself, then its uses in the order of the file. */
static int
compare_mentions(const void *left, const void *right)
{
	const Mention *a = left;
	const Mention *b = right;
	int order = strcmp(a->key, b->key);

	if (order != 0)
		return order;
	if ((a->volume == NULL) != (b->volume == NULL))
		return a->volume == NULL ? 1 : -1;
	return (a->order > b->order) - (a->order < b->order);
}

static void
mentions_sort(Mentions *mentions)
{
	if (mentions->count > 1)
		qsort(mentions->items, mentions->count, sizeof(Mention), compare_mentions);
}

static void
collect_volumes(const ResourceSet *set, Mentions *mentions)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const Resource *resource = &set->resources[i];
		const AppSpec *app = &resource->app;

		if (resource->kind == RESOURCE_VOLUME)
			mentions_add(mentions,
						 (Mention){.key = memory_printf("%s/%s", resource->volume.name_space, resource->volume.name),
								   .volume = &resource->volume});
		for (size_t j = 0; resource_is_machine(resource) && j < app->volume_count; j++)
			mentions_add(mentions,
						 (Mention){.key = memory_printf("%s/%s", app->volumes[j].name_space, app->volumes[j].name),
								   .app = app,
								   .place = j});
	}
	mentions_sort(mentions);
}

/* first: the first mention of this name. */
static void
check_use(const Mention *first, const Mention *use, const DeployedResources *deployed, DiagnosticList *diagnostics)
{
	const VolumeMount *mount = &use->app->volumes[use->place];
	const Mention *owner = first->volume == NULL ? first : first + 1;
	const VolumeSpec *volume = first->volume != NULL
								   ? first->volume
								   : deployed->find_volume(deployed->context, mount->name_space, mount->name);
	char path[KEY_PATH_BYTES];

	snprintf(path, sizeof(path), "%s.volumes[%zu].name", resource_kind_name(use->app->kind), use->place);
	if (volume == NULL)
		diagnostic_add(diagnostics, mount->mark, path, "volume %s is neither in this file nor deployed", use->key);
	else if (owner != use && volume->mode == VOLUME_WRITEABLE)
		diagnostic_add(diagnostics, mount->mark, path,
					   "volume %s is writeable and mounted by %s %s/%s already; only one may write to it", use->key,
					   resource_kind_name(owner->app->kind), owner->app->name_space, owner->app->name);
}

static void
check_volumes(const ResourceSet *set, const DeployedResources *deployed, DiagnosticList *diagnostics)
{
	Mentions mentions = {0};
	size_t first = 0;

	collect_volumes(set, &mentions);
	for (size_t i = 0; i < mentions.count; i++)
	{
		if (strcmp(mentions.items[first].key, mentions.items[i].key) != 0)
			first = i;
		if (mentions.items[i].volume == NULL)
			check_use(&mentions.items[first], &mentions.items[i], deployed, diagnostics);
	}
	mentions_clear(&mentions);
}

static int
compare_keys(const void *left, const void *right)
{
	return strcmp(((const Mention *) left)->key, ((const Mention *) right)->key);
}

static bool
has_machine(const Mentions *machines, const DeployedResources *deployed, const char *name_space, const char *name)
{
	Mention wanted = {.key = memory_printf("%s/%s", name_space, name)};
	bool found = machines->count > 0 &&
				 bsearch(&wanted, machines->items, machines->count, sizeof(Mention), compare_keys) != NULL;

	free(wanted.key);
	return found || deployed->has_machine(deployed->context, name_space, name);
}

/* What services lead to, and what machines wait for. */
static void
check_machines(const ResourceSet *set, const DeployedResources *deployed, DiagnosticList *diagnostics)
{
	Mentions machines = {0};

	for (size_t i = 0; i < set->count; i++)
	{
		const Resource *resource = &set->resources[i];

		if (resource_is_machine(resource))
			mentions_add(&machines,
						 (Mention){.key = memory_printf("%s/%s", resource->head.name_space, resource->head.name)});
	}
	mentions_sort(&machines);
	for (size_t i = 0; i < set->count; i++)
	{
		const Resource *resource = &set->resources[i];
		const ServiceSpec *service = &resource->service;

		if (resource->kind == RESOURCE_SERVICE &&
			!has_machine(&machines, deployed, service->target_name_space, service->target_name))
			diagnostic_add(diagnostics, resource->mark, "service.target.name",
						   "%s/%s is neither in this file nor deployed", service->target_name_space,
						   service->target_name);
		for (size_t j = 0; resource_is_machine(resource) && j < resource->app.dependency_count; j++)
		{
			const Dependency *dependency = &resource->app.dependencies[j];
			char path[KEY_PATH_BYTES];

			snprintf(path, sizeof(path), "%s.depends-on[%zu].name", resource_kind_name(resource->kind), j);
			if (!has_machine(&machines, deployed, dependency->name_space, dependency->name))
				diagnostic_add(diagnostics, dependency->mark, path, "%s/%s is neither in this file nor deployed",
							   dependency->name_space, dependency->name);
		}
	}
	mentions_clear(&machines);
}

static void
refuse_same_service(const Mention *earlier, const Mention *mention, DiagnosticList *diagnostics)
{
	char path[KEY_PATH_BYTES] = "service.name";
	SourceMark mark;
	char owner[2 * NAME_MAX_BYTES + 16];

	if (mention->service != NULL)
		mark = mention->service->mark;
	else
	{
		mark = mention->app->exposes[mention->place].mark;
		snprintf(path, sizeof(path), "app.expose.%s", mention->app->exposes[mention->place].name);
	}
	if (earlier->service != NULL)
		snprintf(owner, sizeof(owner), "at line %u", earlier->service->mark.line);
	else
		snprintf(owner, sizeof(owner), "of app %s/%s", earlier->app->name_space, earlier->app->name);
	diagnostic_add(diagnostics, mark, path, "the service %s exists already, %s", mention->key, owner);
}

/* "a" exposing "b-c" and "a-b" exposing "c" would be the same service. */
static void
check_services(const ResourceSet *set, DiagnosticList *diagnostics)
{
	Mentions mentions = {0};

	for (size_t i = 0; i < set->count; i++)
	{
		const AppSpec *app = &set->resources[i].app;

		if (set->resources[i].kind == RESOURCE_SERVICE)
			mentions_add(&mentions, (Mention){.key = memory_printf("%s/%s", set->resources[i].head.name_space,
																   set->resources[i].head.name),
											  .service = &set->resources[i]});
		for (size_t j = 0; set->resources[i].kind == RESOURCE_APP && j < app->expose_count; j++)
			mentions_add(&mentions,
						 (Mention){.key = memory_printf("%s/%s-%s", app->name_space, app->name, app->exposes[j].name),
								   .app = app,
								   .place = j});
	}
	mentions_sort(&mentions);
	for (size_t i = 1; i < mentions.count; i++)
	{
		if (strcmp(mentions.items[i - 1].key, mentions.items[i].key) == 0)
			refuse_same_service(&mentions.items[i - 1], &mentions.items[i], diagnostics);
	}
	mentions_clear(&mentions);
}

int
resource_set_check_references(const ResourceSet *set, const DeployedResources *deployed, DiagnosticList *diagnostics)
{
	DiagnosticList problems = {0};
	int result;

	check_volumes(set, deployed, &problems);
	check_machines(set, deployed, &problems);
	check_services(set, &problems);
	result = problems.count > 0 ? -EINVAL : 0;
	diagnostic_list_sort(&problems);
	diagnostic_list_append(diagnostics, &problems);
	diagnostic_list_clear(&problems);
	return result;
}
