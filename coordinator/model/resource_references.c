/* What the resources of one file say of each other; see resource_set_check_references in spec.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/diagnostics.h"
#include "model/spec.h"

static const VolumeSpec *
find_volume(const ResourceSet *set, const VolumeMount *mount)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const VolumeSpec *volume = &set->resources[i].volume;

		if (set->resources[i].kind == RESOURCE_VOLUME && strcmp(volume->name, mount->name) == 0 &&
			strcmp(volume->name_space, mount->name_space) == 0)
			return volume;
	}
	return NULL;
}

/* The first app of the set that mounts the same volume, if that is not `app` itself. */
static const AppSpec *
find_other_user(const ResourceSet *set, const AppSpec *app, const VolumeMount *mount)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const AppSpec *other = &set->resources[i].app;

		if (set->resources[i].kind != RESOURCE_APP)
			continue;
		if (other == app)
			return NULL;
		for (size_t j = 0; j < other->volume_count; j++)
		{
			if (strcmp(other->volumes[j].name, mount->name) == 0 &&
				strcmp(other->volumes[j].name_space, mount->name_space) == 0)
				return other;
		}
	}
	return NULL;
}

static void
check_volumes(const ResourceSet *set, const AppSpec *app, VolumeExists exists, void *context,
			  DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->volume_count; i++)
	{
		const VolumeMount *mount = &app->volumes[i];
		const VolumeSpec *volume = find_volume(set, mount);
		const AppSpec *other;
		char path[KEY_PATH_BYTES];

		snprintf(path, sizeof(path), "app.volumes[%zu].name", i);
		if (volume == NULL && !exists(context, mount->name_space, mount->name))
			diagnostic_add(diagnostics, mount->mark, path, "volume %s/%s is neither in this file nor deployed",
						   mount->name_space, mount->name);
		if (volume == NULL || volume->mode != VOLUME_WRITEABLE)
			continue;
		other = find_other_user(set, app, mount);
		if (other != NULL)
			diagnostic_add(diagnostics, mount->mark, path,
						   "volume %s/%s is writeable and mounted by app %s/%s already; only one app may write to it",
						   mount->name_space, mount->name, other->name_space, other->name);
	}
}

/* "a" exposing "b-c" and "a-b" exposing "c" would be the same service. */
static void
check_services(const ResourceSet *set, size_t index, DiagnosticList *diagnostics)
{
	const AppSpec *app = &set->resources[index].app;

	for (size_t i = 0; i < index; i++)
	{
		const AppSpec *other = &set->resources[i].app;

		if (set->resources[i].kind != RESOURCE_APP || strcmp(app->name_space, other->name_space) != 0)
			continue;
		for (size_t j = 0; j < app->expose_count * other->expose_count; j++)
		{
			const Expose *mine = &app->exposes[j / other->expose_count];
			const Expose *theirs = &other->exposes[j % other->expose_count];
			char name[2 * NAME_MAX_BYTES + 2];
			char other_name[2 * NAME_MAX_BYTES + 2];
			char path[KEY_PATH_BYTES];

			snprintf(name, sizeof(name), "%s-%s", app->name, mine->name);
			snprintf(other_name, sizeof(other_name), "%s-%s", other->name, theirs->name);
			snprintf(path, sizeof(path), "app.expose.%s", mine->name);
			if (strcmp(name, other_name) == 0)
				diagnostic_add(diagnostics, mine->mark, path, "the service %s/%s exists already, of app %s/%s",
							   app->name_space, name, other->name_space, other->name);
		}
	}
}

int
resource_set_check_references(const ResourceSet *set, VolumeExists exists, void *context, DiagnosticList *diagnostics)
{
	DiagnosticList problems = {0};
	int result;

	for (size_t i = 0; i < set->count; i++)
	{
		if (set->resources[i].kind != RESOURCE_APP)
			continue;
		check_volumes(set, &set->resources[i].app, exists, context, &problems);
		check_services(set, i, &problems);
	}
	result = problems.count > 0 ? -EINVAL : 0;
	diagnostic_list_sort(&problems);
	diagnostic_list_append(diagnostics, &problems);
	diagnostic_list_clear(&problems);
	return result;
}
