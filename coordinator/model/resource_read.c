/* One resource from a tree of nodes; see resource_read.h. */
#include "model/resource_read.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_read.h"
#include "model/key_struct.h"
#include "model/postgres_read.h"

void
resource_clear(Resource *resource)
{
	keys_free(resource_kind_keys(resource->kind)->keys, &resource->head);
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
		snprintf(path, sizeof(path), "%s.volumes[%zu]", resource_kind_name(app->kind), i);
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

/* Its file lies where no other mount is in its way. */
static void
check_secret_path(const AppSpec *app, size_t index, const char *path, DiagnosticList *diagnostics)
{
	const SecretFile *file = &app->secrets[index];
	const char *reserved = find_reserved(file->path);

	if (reserved != NULL)
		diagnostic_add(diagnostics, file->mark, path, "no secret can be at '%.200s': the machine needs %s", file->path,
					   reserved);
	for (size_t i = 0; i < app->volume_count; i++)
	{
		if (app->volumes[i].path != NULL && is_same_or_below(app->volumes[i].path, file->path))
			diagnostic_add(diagnostics, file->mark, path, "'%.200s' is a file, but volume %s is mounted at '%.200s'",
						   file->path, app->volumes[i].name, app->volumes[i].path);
	}
	for (size_t i = 0; i < index; i++)
	{
		if (app->secrets[i].path != NULL &&
			(is_same_or_below(app->secrets[i].path, file->path) || is_same_or_below(file->path, app->secrets[i].path)))
			diagnostic_add(diagnostics, file->mark, path, "'%.200s' is in the way of the secret at '%.200s'",
						   file->path, app->secrets[i].path);
	}
}

static void
finish_secrets(AppSpec *app, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->secret_count; i++)
	{
		SecretFile *file = &app->secrets[i];
		char path[KEY_PATH_BYTES];

		if (file->path == NULL && file->name[0] != '\0')
			file->path = memory_printf(SECRET_DIRECTORY "/%s", file->name);
		snprintf(path, sizeof(path), "%s.secrets[%zu]", resource_kind_name(app->kind), i);
		if (file->path != NULL)
			check_secret_path(app, i, path, diagnostics);
	}
}

/* What tcp and tls give on the outside is what the machine gives; web servers have ports of their own. */
static void
finish_binding(ServiceBinding *bind, uint16_t target_port)
{
	if (bind->port != 0)
		return;
	bind->port = target_port;
	if (bind->kind == BIND_EXTERNAL && bind->protocol == EXTERNAL_HTTP)
		bind->port = 80;
	if (bind->kind == BIND_EXTERNAL && bind->protocol == EXTERNAL_HTTPS)
		bind->port = 443;
}

/* Who speaks by host name needs one. */
static void
check_binding(const ServiceBinding *bind, SourceMark mark, const char *path, DiagnosticList *diagnostics)
{
	if (bind->kind == BIND_EXTERNAL && bind->protocol != EXTERNAL_TCP && bind->host[0] == '\0')
		diagnostic_add(diagnostics, mark, path,
					   "is missing; with this protocol it must be the host name that clients ask for");
}

static void
finish_exposes(AppSpec *app, const char *kind, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->expose_count; i++)
	{
		Expose *expose = &app->exposes[i];
		char path[KEY_PATH_BYTES];
		char host_path[KEY_PATH_BYTES];

		key_path_join(path, kind, "expose");
		key_path_join(path, path, expose->name);
		key_path_join(host_path, path, "external.host");
		if (expose->is_internal && expose->is_external)
			diagnostic_add(diagnostics, expose->mark, path,
						   "is 'internal' and 'external'; write two entries, one for each");
		if (!expose->is_external)
			expose->is_internal = true;
		expose->bind.kind = expose->is_external ? BIND_EXTERNAL : BIND_INTERNAL;
		finish_binding(&expose->bind, expose->port);
		check_binding(&expose->bind, expose->mark, host_path, diagnostics);
		/* The service's name is one label of a host name. */
		if (strlen(app->name) + 1 + strlen(expose->name) > NAME_MAX_BYTES)
			diagnostic_add(diagnostics, expose->mark, path, "the service's name '%s-%s' is longer than 63 characters",
						   app->name, expose->name);
	}
}

static void
finish_dependencies(AppSpec *app, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < app->dependency_count; i++)
	{
		Dependency *dependency = &app->dependencies[i];
		char path[KEY_PATH_BYTES];

		if (dependency->name_space[0] == '\0')
			memcpy(dependency->name_space, app->name_space, sizeof(dependency->name_space));
		snprintf(path, sizeof(path), "%s.depends-on[%zu]", resource_kind_name(app->kind), i);
		for (size_t j = 0; j < i; j++)
		{
			if (dependency->name[0] != '\0' && strcmp(dependency->name, app->dependencies[j].name) == 0 &&
				strcmp(dependency->name_space, app->dependencies[j].name_space) == 0)
				diagnostic_add(diagnostics, dependency->mark, path, "%s/%s is named twice", dependency->name_space,
							   dependency->name);
		}
	}
}

static bool
is_written(const Node *map, const char *key)
{
	const Node *value = node_find(map, key, NULL);

	return value != NULL && value->type != NODE_NULL;
}

static void
finish_image(const AppSpec *app, SourceMark owner, const Node *map, DiagnosticList *diagnostics)
{
	const char *kind = resource_kind_name(app->kind);
	const char *const *one_of = resource_kind_keys(app->kind)->one_of;
	char path[KEY_PATH_BYTES];

	key_path_join(path, kind, "image");
	/* One that was written and refused is not missing. */
	if (!is_written(map, one_of[0]) && !is_written(map, one_of[1]))
		diagnostic_add(diagnostics, owner, path, "is missing; it must be the name of an image, or there is a 'build'");
	if (app->image != NULL && app->build.kind != BUILD_NONE)
		diagnostic_add(diagnostics, owner, path, "stands beside a 'build'; leave one of them out");
}

static void
finish_service(ServiceSpec *service, SourceMark owner, DiagnosticList *diagnostics)
{
	if (service->target_name_space[0] == '\0')
		memcpy(service->target_name_space, service->name_space, sizeof(service->target_name_space));
	finish_binding(&service->bind, service->target_port);
	check_binding(&service->bind, owner, "service.bind.external.host", diagnostics);
}

void
resource_read(ResourceKind kind, const Node *map, SourceMark owner, Resource *ret_resource, DiagnosticList *diagnostics)
{
	const KindKeys *keys = resource_kind_keys(kind);

	*ret_resource = (Resource){.kind = kind, .mark = owner};
	keys_read(keys->keys, map, owner, keys->name, &ret_resource->head, diagnostics);
	if (resource_is_machine(ret_resource))
	{
		ret_resource->app.kind = kind;
		finish_image(&ret_resource->app, owner, map, diagnostics);
		finish_volumes(&ret_resource->app, diagnostics);
		finish_secrets(&ret_resource->app, diagnostics);
		finish_dependencies(&ret_resource->app, diagnostics);
		finish_exposes(&ret_resource->app, "app", diagnostics);
	}
	else if (kind == RESOURCE_SERVICE)
		finish_service(&ret_resource->service, owner, diagnostics);
	else if (kind == RESOURCE_POSTGRES)
	{
		AppSpec *machine = &ret_resource->postgres.machine;

		postgres_spec_finish(&ret_resource->postgres, owner, diagnostics);
		text_copy(machine->name, sizeof(machine->name), ret_resource->postgres.name);
		finish_exposes(machine, "postgres", diagnostics);
	}
}
