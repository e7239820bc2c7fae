/*
 * Files of resources. Whatever is written, it is either refused with places and words that can be shown, or taken; and
 * what was taken survives the way through its JSON form, which is what the store keeps.
 */
#include "fuzz.h"

#include "model/spec.h"

static void
check_volume(const VolumeSpec *volume)
{
	json_t *json = volume_spec_to_json(volume);
	SpecChanges changes = {0};
	VolumeSpec again = {0};

	FUZZ_CHECK(name_check(volume->name) == NULL);
	FUZZ_CHECK(name_check(volume->name_space) == NULL);
	FUZZ_CHECK(volume_spec_from_json(json, &again, NULL) == 0);
	volume_spec_compare(volume, &again, &changes);
	FUZZ_CHECK(changes.count == 0);
	spec_changes_clear(&changes);
	volume_spec_clear(&again);
	json_decref(json);
}

static void
check_service(const ServiceSpec *service)
{
	json_t *json = service_spec_to_json(service);
	SpecChanges changes = {0};
	ServiceSpec again = {0};
	ServiceSpec copy = {0};

	FUZZ_CHECK(name_check(service->name) == NULL);
	FUZZ_CHECK(name_check(service->target_name) == NULL && name_check(service->target_name_space) == NULL);
	FUZZ_CHECK(service->bind.port > 0 && service->target_port > 0);
	FUZZ_CHECK(service_spec_from_json(json, &again, NULL) == 0);
	service_spec_copy(&again, &copy);
	service_spec_compare(service, &copy, &changes);
	FUZZ_CHECK(changes.count == 0);
	spec_changes_clear(&changes);
	service_spec_clear(&copy);
	service_spec_clear(&again);
	json_decref(json);
}

static void
check_exposes(const AppSpec *app)
{
	for (size_t i = 0; i < app->expose_count; i++)
	{
		ServiceSpec service;

		service_spec_of_expose(app, &app->exposes[i], &service);
		check_service(&service);
		service_spec_clear(&service);
	}
}

static void
check_app(const AppSpec *app)
{
	json_t *json = app_spec_to_json(app);
	SpecChanges changes = {0};
	AppSpec again = {0};
	AppSpec copy = {0};

	FUZZ_CHECK(name_check(app->name) == NULL);
	FUZZ_CHECK(name_check(app->name_space) == NULL);
	for (size_t i = 0; i < app->volume_count; i++)
		FUZZ_CHECK(app->volumes[i].path[0] == '/');
	for (size_t i = 0; i < app->secret_count; i++)
		FUZZ_CHECK(app->secrets[i].path[0] == '/' && secret_name_check(app->secrets[i].name) == NULL);
	FUZZ_CHECK(app_spec_from_json(app->kind, json, &again, NULL) == 0);
	app_spec_copy(&again, &copy);
	app_spec_compare(app, &copy, &changes);
	FUZZ_CHECK(changes.count == 0);
	spec_changes_clear(&changes);
	app_spec_clear(&copy);
	app_spec_clear(&again);
	json_decref(json);
}

static void
check_postgres(const PostgresSpec *postgres)
{
	json_t *json = postgres_spec_to_json(postgres);
	SpecChanges changes = {0};
	PostgresSpec again = {0};
	PostgresSpec copy = {0};

	FUZZ_CHECK(name_check(postgres->name) == NULL);
	FUZZ_CHECK(name_check(postgres->name_space) == NULL);
	FUZZ_CHECK(postgres_spec_from_json(json, &again, NULL) == 0);
	postgres_spec_copy(&again, &copy);
	postgres_spec_compare(postgres, &copy, &changes);
	FUZZ_CHECK(changes.count == 0);
	spec_changes_clear(&changes);
	postgres_spec_clear(&copy);
	postgres_spec_clear(&again);
	json_decref(json);
}

/* Every other one is there already. */
static bool
is_there(void *context, const char *name_space, const char *name)
{
	(void) context;
	return (strlen(name_space) + strlen(name)) % 2 == 0;
}

static const VolumeSpec *
find_volume(void *context, const char *name_space, const char *name)
{
	static const VolumeSpec volume;

	return is_there(context, name_space, name) ? &volume : NULL;
}

static void
check_diagnostics(const DiagnosticList *diagnostics)
{
	FUZZ_CHECK(diagnostics->count <= DIAGNOSTICS_MAX);
	for (size_t i = 0; i < diagnostics->count; i++)
	{
		char *line = diagnostic_format("f", &diagnostics->items[i]);

		FUZZ_CHECK(diagnostics->items[i].line > 0 && diagnostics->items[i].column > 0);
		FUZZ_CHECK(fuzz_text_is_clean(line));
		free(line);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	ResourceSet set = {.count = 4711};
	DeployedResources deployed = {.find_volume = find_volume, .has_machine = is_there};
	DiagnosticList diagnostics = {0};

	if (resource_set_parse((const char *) bytes, size, &set, &diagnostics) < 0)
	{
		FUZZ_CHECK(diagnostics.count > 0);
		FUZZ_CHECK(set.count == 4711);
	}
	else
	{
		FUZZ_CHECK(diagnostics.count == 0 && set.count > 0);
		for (size_t i = 0; i < set.count; i++)
		{
			if (set.resources[i].kind == RESOURCE_VOLUME)
				check_volume(&set.resources[i].volume);
			else if (set.resources[i].kind == RESOURCE_SERVICE)
				check_service(&set.resources[i].service);
			else if (set.resources[i].kind == RESOURCE_POSTGRES)
				check_postgres(&set.resources[i].postgres);
			else
			{
				check_app(&set.resources[i].app);
				check_exposes(&set.resources[i].app);
			}
		}
		if (resource_set_check_references(&set, &deployed, &diagnostics) < 0)
			FUZZ_CHECK(diagnostics.count > 0);
		resource_set_clear(&set);
	}
	check_diagnostics(&diagnostics);
	diagnostic_list_clear(&diagnostics);
	return 0;
}
