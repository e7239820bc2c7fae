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
		for (size_t j = 0; resource->kind == RESOURCE_APP && j < app->volume_count; j++)
			mentions_add(mentions,
						 (Mention){.key = memory_printf("%s/%s", app->volumes[j].name_space, app->volumes[j].name),
								   .app = app,
								   .place = j});
	}
	mentions_sort(mentions);
}

/* first: the first mention of this name. */
static void
check_use(const Mention *first, const Mention *use, VolumeExists exists, void *context, DiagnosticList *diagnostics)
{
	const VolumeMount *mount = &use->app->volumes[use->place];
	const Mention *owner = first->volume == NULL ? NULL : first + 1;
	char path[KEY_PATH_BYTES];

	snprintf(path, sizeof(path), "app.volumes[%zu].name", use->place);
	if (first->volume == NULL && !exists(context, mount->name_space, mount->name))
		diagnostic_add(diagnostics, mount->mark, path, "volume %s is neither in this file nor deployed", use->key);
	if (owner != NULL && owner != use && first->volume->mode == VOLUME_WRITEABLE)
		diagnostic_add(diagnostics, mount->mark, path,
					   "volume %s is writeable and mounted by app %s/%s already; only one app may write to it",
					   use->key, owner->app->name_space, owner->app->name);
}

static void
check_volumes(const ResourceSet *set, VolumeExists exists, void *context, DiagnosticList *diagnostics)
{
	Mentions mentions = {0};
	size_t first = 0;

	collect_volumes(set, &mentions);
	for (size_t i = 0; i < mentions.count; i++)
	{
		if (strcmp(mentions.items[first].key, mentions.items[i].key) != 0)
			first = i;
		if (mentions.items[i].volume == NULL)
			check_use(&mentions.items[first], &mentions.items[i], exists, context, diagnostics);
	}
	mentions_clear(&mentions);
}

/* "a" exposing "b-c" and "a-b" exposing "c" would be the same service. */
static void
check_services(const ResourceSet *set, DiagnosticList *diagnostics)
{
	Mentions mentions = {0};

	for (size_t i = 0; i < set->count; i++)
	{
		const AppSpec *app = &set->resources[i].app;

		for (size_t j = 0; set->resources[i].kind == RESOURCE_APP && j < app->expose_count; j++)
			mentions_add(&mentions,
						 (Mention){.key = memory_printf("%s/%s-%s", app->name_space, app->name, app->exposes[j].name),
								   .app = app,
								   .place = j});
	}
	mentions_sort(&mentions);
	for (size_t i = 1; i < mentions.count; i++)
	{
		const Mention *earlier = &mentions.items[i - 1];
		const Mention *mention = &mentions.items[i];
		const Expose *expose = &mention->app->exposes[mention->place];
		char path[KEY_PATH_BYTES];

		snprintf(path, sizeof(path), "app.expose.%s", expose->name);
		if (strcmp(earlier->key, mention->key) == 0)
			diagnostic_add(diagnostics, expose->mark, path, "the service %s exists already, of app %s/%s", mention->key,
						   earlier->app->name_space, earlier->app->name);
	}
	mentions_clear(&mentions);
}

int
resource_set_check_references(const ResourceSet *set, VolumeExists exists, void *context, DiagnosticList *diagnostics)
{
	DiagnosticList problems = {0};
	int result;

	check_volumes(set, exists, context, &problems);
	check_services(set, &problems);
	result = problems.count > 0 ? -EINVAL : 0;
	diagnostic_list_sort(&problems);
	diagnostic_list_append(diagnostics, &problems);
	diagnostic_list_clear(&problems);
	return result;
}
