/* One resource from a tree of nodes; see resource_read.h. */
#include "model/resource_read.h"

#include <stdio.h>
#include <string.h>

#include "model/diagnostics.h"
#include "model/key_read.h"

const char *
resource_name_space(const Resource *resource)
{
	return resource->kind == RESOURCE_APP ? resource->app.name_space : resource->volume.name_space;
}

const char *
resource_name(const Resource *resource)
{
	return resource->kind == RESOURCE_APP ? resource->app.name : resource->volume.name;
}

void
resource_clear(Resource *resource)
{
	if (resource->kind == RESOURCE_APP)
		app_spec_clear(&resource->app);
}

/* Whether a path is another one, or lies below it. */
static bool
is_same_or_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	return strncmp(path, above, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* What the launcher mounts itself: a volume can be neither there, nor above, nor below. */
static const char *
find_reserved(const char *path)
{
	static const char *const reserved[] = {"/proc", "/sys", "/dev", "/run/lttle"};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
	{
		if (is_same_or_below(path, reserved[i]) || is_same_or_below(reserved[i], path))
			return reserved[i];
	}
	return NULL;
}

static void
finish_volumes(AppSpec *app, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->volume_count; i++)
	{
		VolumeMount *mount = &app->volumes[i];
		char path[KEY_PATH_BYTES];
		const char *reserved;

		if (mount->name_space[0] == '\0')
			memcpy(mount->name_space, app->name_space, sizeof(mount->name_space));
		snprintf(path, sizeof(path), "app.volumes[%zu]", i);
		reserved = mount->path == NULL ? NULL : find_reserved(mount->path);
		if (reserved != NULL)
			diagnostic_add(diagnostics, mount->mark, path, "no volume can be mounted at '%.200s': the machine needs %s",
						   mount->path, reserved);
		for (size_t j = 0; j < i; j++)
		{
			const VolumeMount *other = &app->volumes[j];

			if (mount->name[0] != '\0' && strcmp(mount->name, other->name) == 0 &&
				strcmp(mount->name_space, other->name_space) == 0)
				diagnostic_add(diagnostics, mount->mark, path, "volume %s/%s is mounted twice", mount->name_space,
							   mount->name);
			if (mount->path != NULL && other->path != NULL && strcmp(mount->path, other->path) == 0)
				diagnostic_add(diagnostics, mount->mark, path, "two volumes are mounted at '%s'", mount->path);
		}
	}
}

static void
finish_exposes(AppSpec *app, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->expose_count; i++)
	{
		Expose *expose = &app->exposes[i];
		char path[KEY_PATH_BYTES];

		key_path_join(path, "app.expose", expose->name);
		if (expose->internal_port == 0)
			expose->internal_port = expose->port;
		/* The service's name is one label of a host name. */
		if (strlen(app->name) + 1 + strlen(expose->name) > NAME_MAX_BYTES)
			diagnostic_add(diagnostics, expose->mark, path, "the service's name '%s-%s' is longer than 63 characters",
						   app->name, expose->name);
	}
}

void
resource_read(ResourceKind kind, const Node *map, SourceMark owner, Resource *ret_resource, DiagnosticList *diagnostics)
{
	const KindKeys *keys = resource_kind_keys(kind);

	*ret_resource = (Resource){.kind = kind, .line = owner.line, .column = owner.column};
	if (kind == RESOURCE_VOLUME)
	{
		keys_read(keys->keys, map, owner, keys->name, &ret_resource->volume, diagnostics);
		return;
	}
	keys_read(keys->keys, map, owner, keys->name, &ret_resource->app, diagnostics);
	finish_volumes(&ret_resource->app, diagnostics);
	finish_exposes(&ret_resource->app, diagnostics);
}
