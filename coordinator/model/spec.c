/* What can be done with specs, each by its table of keys; see spec.h and key_struct.h. */
#include "model/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/key_struct.h"

static void
spec_copy(const Key *keys, const void *from, void *ret_to, size_t size)
{
	memcpy(ret_to, from, size);
	keys_own(keys, ret_to);
}

static void
spec_clear(const Key *keys, void *spec, size_t size)
{
	keys_free(keys, spec);
	memset(spec, 0, size);
}

void
volume_spec_copy(const VolumeSpec *from, VolumeSpec *ret_to)
{
	spec_copy(volume_keys, from, ret_to, sizeof(*ret_to));
}

void
volume_spec_clear(VolumeSpec *spec)
{
	spec_clear(volume_keys, spec, sizeof(*spec));
}

void
app_spec_copy(const AppSpec *from, AppSpec *ret_to)
{
	spec_copy(app_keys, from, ret_to, sizeof(*ret_to));
}

void
app_spec_clear(AppSpec *spec)
{
	spec_clear(app_keys, spec, sizeof(*spec));
}

void
service_spec_copy(const ServiceSpec *from, ServiceSpec *ret_to)
{
	spec_copy(service_keys, from, ret_to, sizeof(*ret_to));
}

void
service_spec_clear(ServiceSpec *spec)
{
	spec_clear(service_keys, spec, sizeof(*spec));
}

void
postgres_spec_copy(const PostgresSpec *from, PostgresSpec *ret_to)
{
	spec_copy(postgres_keys, from, ret_to, sizeof(*ret_to));
}

void
postgres_spec_clear(PostgresSpec *spec)
{
	spec_clear(postgres_keys, spec, sizeof(*spec));
}

void
service_spec_of_expose(const AppSpec *app, const Expose *expose, ServiceSpec *ret_service)
{
	char *name = memory_printf("%s-%s", app->name, expose->name);
	bool is_http =
		expose->is_external && (expose->bind.protocol == EXTERNAL_HTTP || expose->bind.protocol == EXTERNAL_HTTPS);
	ServiceSpec service = {.tags = app->tags,
						   .target_port = expose->port,
						   .target_protocol = is_http ? TARGET_HTTP : TARGET_TCP,
						   .tracking = expose->tracking,
						   .bind = expose->bind};

	memcpy(service.name_space, app->name_space, sizeof(service.name_space));
	text_copy(service.name, sizeof(service.name), name);
	free(name);
	memcpy(service.expose, expose->name, sizeof(service.expose));
	memcpy(service.target_name_space, app->name_space, sizeof(service.target_name_space));
	memcpy(service.target_name, app->name, sizeof(service.target_name));
	service_spec_copy(&service, ret_service);
}

bool
resource_is_machine(const Resource *resource)
{
	return resource->kind == RESOURCE_APP || resource->kind == RESOURCE_MACHINE;
}

void
resource_set_clear(ResourceSet *set)
{
	for (size_t i = 0; i < set->count; i++)
		keys_free(resource_kind_keys(set->resources[i].kind)->keys, &set->resources[i].head);
	free(set->resources);
	*set = (ResourceSet){0};
}

void
volume_spec_compare(const VolumeSpec *old_spec, const VolumeSpec *new_spec, SpecChanges *ret_changes)
{
	keys_compare(volume_keys, old_spec, new_spec, ret_changes);
}

void
app_spec_compare(const AppSpec *old_spec, const AppSpec *new_spec, SpecChanges *ret_changes)
{
	keys_compare(resource_kind_keys(new_spec->kind)->keys, old_spec, new_spec, ret_changes);
}

void
service_spec_compare(const ServiceSpec *old_spec, const ServiceSpec *new_spec, SpecChanges *ret_changes)
{
	keys_compare(service_keys, old_spec, new_spec, ret_changes);
}

void
postgres_spec_compare(const PostgresSpec *old_spec, const PostgresSpec *new_spec, SpecChanges *ret_changes)
{
	keys_compare(postgres_keys, old_spec, new_spec, ret_changes);
}

void
spec_changes_add(SpecChanges *changes, const char *line, bool needs_restart)
{
	changes->lines = memory_grow(changes->lines, &changes->capacity, changes->count + 1, sizeof(char *));
	changes->lines[changes->count++] = memory_duplicate(line);
	changes->needs_restart = changes->needs_restart || needs_restart;
}

void
spec_changes_clear(SpecChanges *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free(changes->lines[i]);
	free(changes->lines);
	*changes = (SpecChanges){0};
}
