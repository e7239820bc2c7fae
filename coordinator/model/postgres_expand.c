/* The app and the volume that a cluster becomes; see postgres_spec.h. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/postgres_config.h"
#include "model/postgres_spec.h"

static char **
copy_texts(const char *const *from)
{
	char **texts;
	size_t count = 0;

	while (from != NULL && from[count] != NULL)
		count++;
	if (count == 0)
		return NULL;
	texts = memory_allocate((count + 1) * sizeof(*texts));
	for (size_t i = 0; i < count; i++)
		texts[i] = memory_duplicate(from[i]);
	return texts;
}

/* As the official image takes them; sorted by name, as every spec has it. */
static void
fill_environment(const PostgresSpec *spec, AppSpec *app)
{
	const EnvironmentVariable variables[] = {
		{.name = (char *) "PGDATA", .value = (char *) POSTGRES_DATA_DIRECTORY},
		{.name = (char *) "POSTGRES_DB", .value = spec->database},
		{.name = (char *) "POSTGRES_PASSWORD_FILE", .value = (char *) POSTGRES_PASSWORD_FILE},
	};
	size_t count = sizeof(variables) / sizeof(variables[0]);

	app->environment = memory_allocate(count * sizeof(*app->environment));
	for (size_t i = 0; i < count; i++)
		app->environment[i] = (EnvironmentVariable){.name = memory_duplicate(variables[i].name),
													.value = memory_duplicate(variables[i].value)};
	app->environment_count = count;
}

void
postgres_spec_expand(const PostgresSpec *spec, AppSpec *ret_app)
{
	static const char *const command[] = {"postgres", "-c", "config_file=" POSTGRES_CONFIG_FILE, NULL};
	PostgresSpec copy;
	AppSpec app;
	char image[256];
	/* The lists of exposes are the copy's, and become the app's. */
	postgres_spec_copy(spec, &copy);
	app = copy.machine;
	copy.machine = (AppSpec){0};
	postgres_spec_clear(&copy);
	app.kind = RESOURCE_APP;
	text_copy(app.name_space, sizeof(app.name_space), spec->name_space);
	text_copy(app.name, sizeof(app.name), spec->name);
	app.tags = copy_texts((const char *const *) spec->tags);
	app.init_scripts = copy_texts((const char *const *) spec->init_scripts);
	free(app.image);
	postgres_spec_image(spec, image);
	app.image = memory_duplicate(image);
	postgres_spec_resources(spec, &app.cpus, &app.memory_mib);
	fill_environment(spec, &app);
	app.volumes = memory_allocate(sizeof(*app.volumes));
	app.volume_count = 1;
	text_copy(app.volumes[0].name_space, sizeof(app.volumes[0].name_space), spec->name_space);
	postgres_spec_volume_name(spec, app.volumes[0].name);
	app.volumes[0].path = memory_duplicate(POSTGRES_DATA_DIRECTORY);
	app.command = copy_texts(command);
	*ret_app = app;
}

bool
postgres_spec_expand_volume(const PostgresSpec *spec, VolumeSpec *ret_volume)
{
	VolumeSpec volume = {.mode = VOLUME_WRITEABLE, .size_bytes = postgres_spec_storage_bytes(spec)};

	if (spec->volume[0] != '\0')
		return false;
	text_copy(volume.name_space, sizeof(volume.name_space), spec->name_space);
	postgres_spec_volume_name(spec, volume.name);
	*ret_volume = volume;
	return true;
}
