/* Owning what a spec holds: copies and frees; see spec.h. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/spec.h"

static char **
copy_texts(char **from)
{
	size_t count = 0;
	char **copy;

	if (from == NULL)
		return NULL;
	while (from[count] != NULL)
		count++;
	copy = memory_allocate((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_duplicate(from[i]);
	return copy;
}

static char *
copy_text(const char *from)
{
	return from == NULL ? NULL : memory_duplicate(from);
}

void
app_spec_copy(const AppSpec *from, AppSpec *ret_to)
{
	AppSpec copy = *from;

	copy.image = copy_text(from->image);
	copy.environment = memory_allocate(from->environment_count * sizeof(*copy.environment));
	for (size_t i = 0; i < from->environment_count; i++)
	{
		copy.environment[i].name = memory_duplicate(from->environment[i].name);
		copy.environment[i].value = memory_duplicate(from->environment[i].value);
	}
	copy.volumes = memory_allocate(from->volume_count * sizeof(*copy.volumes));
	for (size_t i = 0; i < from->volume_count; i++)
	{
		copy.volumes[i] = from->volumes[i];
		copy.volumes[i].path = copy_text(from->volumes[i].path);
	}
	copy.exposes = memory_allocate(from->expose_count * sizeof(*copy.exposes));
	for (size_t i = 0; i < from->expose_count; i++)
		copy.exposes[i] = from->exposes[i];
	copy.command = copy_texts(from->command);
	*ret_to = copy;
}

void
app_spec_clear(AppSpec *spec)
{
	for (size_t i = 0; i < spec->environment_count; i++)
	{
		free(spec->environment[i].name);
		free(spec->environment[i].value);
	}
	for (size_t i = 0; i < spec->volume_count; i++)
		free(spec->volumes[i].path);
	for (char **argument = spec->command; argument != NULL && *argument != NULL; argument++)
		free(*argument);
	free(spec->image);
	free(spec->environment);
	free(spec->volumes);
	free(spec->exposes);
	free(spec->command);
	*spec = (AppSpec){0};
}

void
resource_set_clear(ResourceSet *set)
{
	for (size_t i = 0; i < set->count; i++)
	{
		if (set->resources[i].kind == RESOURCE_APP)
			app_spec_clear(&set->resources[i].app);
	}
	free(set->resources);
	*set = (ResourceSet){0};
}
