/* Files of resources that are taken: every key, every way of writing it, defaults, the documents' order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture_data.h"
#include "fixture_resources.h"

#define APP "app:\n  name: a\n  image: i\n"

static void
test_file_of_the_guide(void **state)
{
	char *text = data_read("examples/postgresql.lttle.yaml");
	ResourceSet set = parse_good(text);
	const VolumeSpec *volume = &set.resources[0].volume;
	const AppSpec *app = &set.resources[1].app;

	(void) state;
	assert_int_equal(set.count, 2);
	assert_int_equal(set.resources[0].kind, RESOURCE_VOLUME);
	assert_string_equal(volume->name, "pgdata");
	assert_string_equal(volume->name_space, "samples");
	assert_int_equal(volume->mode, VOLUME_WRITEABLE);
	assert_int_equal(volume->size_bytes, 104857600);
	assert_int_equal(set.resources[1].kind, RESOURCE_APP);
	assert_string_equal(app->name, "postgresql");
	assert_string_equal(app->name_space, "samples");
	assert_string_equal(app->image, "ghcr.io/lttle-cloud/postgres:17-flash");
	assert_int_equal(app->cpus, 1);
	assert_int_equal(app->memory_mib, 256);
	assert_int_equal(app->mode, MODE_FLASH);
	assert_int_equal(app->strategy, STRATEGY_MANUAL);
	assert_int_equal(app->timeout_ms, 3000);
	assert_int_equal(app->environment_count, 3);
	assert_string_equal(app->environment[0].name, "POSTGRES_DB");
	assert_string_equal(app->environment[0].value, "db");
	assert_string_equal(app->environment[1].name, "POSTGRES_PASSWORD");
	assert_string_equal(app->environment[1].value, "password");
	assert_string_equal(app->environment[2].name, "POSTGRES_USER");
	assert_string_equal(app->environment[2].value, "user");
	assert_int_equal(app->volume_count, 1);
	assert_string_equal(app->volumes[0].name_space, "samples");
	assert_string_equal(app->volumes[0].name, "pgdata");
	assert_string_equal(app->volumes[0].path, "/var/lib/postgresql/data");
	assert_int_equal(app->expose_count, 1);
	assert_string_equal(app->exposes[0].name, "access");
	assert_int_equal(app->exposes[0].port, 5432);
	assert_int_equal(app->exposes[0].bind.port, 5432);
	assert_int_equal(app->exposes[0].tracking.kind, TRACKING_CONNECTION_AWARE);
	assert_null(app->command);
	resource_set_clear(&set);
	free(text);
}

static void
test_traffic_aware_example_differs_in_tracking_alone(void **state)
{
	char *guide_text = data_read("examples/postgresql.lttle.yaml");
	char *text = data_read("examples/traffic-aware.lttle.yaml");
	ResourceSet guide = parse_good(guide_text);
	ResourceSet set = parse_good(text);
	SpecChanges changes;

	(void) state;
	assert_int_equal(set.count, 2);
	volume_spec_compare(&guide.resources[0].volume, &set.resources[0].volume, &changes);
	assert_int_equal(changes.count, 0);
	app_spec_compare(&guide.resources[1].app, &set.resources[1].app, &changes);
	assert_int_equal(changes.count, 2);
	assert_string_equal(changes.lines[0], "expose.access.connection-tracking: connection-aware → traffic-aware");
	assert_string_equal(changes.lines[1],
						"expose.access.connection-tracking.traffic-aware.inactivity-timeout: (none) → 2s");
	spec_changes_clear(&changes);
	resource_set_clear(&set);
	resource_set_clear(&guide);
	free(text);
	free(guide_text);
}

static void
test_defaults_of_an_app(void **state)
{
	ResourceSet set = parse_good(APP);
	const AppSpec *app = &set.resources[0].app;

	(void) state;
	assert_string_equal(app->name_space, "default");
	assert_int_equal(app->cpus, 1);
	assert_int_equal(app->memory_mib, 256);
	assert_int_equal(app->mode, MODE_REGULAR);
	assert_int_equal(app->environment_count, 0);
	assert_int_equal(app->volume_count, 0);
	assert_int_equal(app->expose_count, 0);
	assert_null(app->command);
	assert_int_equal(set.resources[0].mark.line, 1);
	assert_int_equal(set.resources[0].mark.column, 1);
	resource_set_clear(&set);
}

static void
test_defaults_of_a_volume(void **state)
{
	ResourceSet set = parse_good("volume: {name: v, size: 16Mi}");

	(void) state;
	assert_string_equal(set.resources[0].volume.name_space, "default");
	assert_int_equal(set.resources[0].volume.mode, VOLUME_WRITEABLE);
	assert_int_equal(set.resources[0].volume.size_bytes, 16777216);
	resource_set_clear(&set);
}

static void
test_volume_modes_and_sizes(void **state)
{
	ResourceSet set = parse_good("volume: {name: v, mode: read-only, size: \"1GB\"}");

	(void) state;
	assert_int_equal(set.resources[0].volume.mode, VOLUME_READ_ONLY);
	assert_int_equal(set.resources[0].volume.size_bytes, 1000000000);
	resource_set_clear(&set);
	set = parse_good("volume: {name: v, size: 16777216}");
	assert_int_equal(set.resources[0].volume.size_bytes, 16777216);
	resource_set_clear(&set);
	set = parse_good("volume: {name: v, size: 16Ti}");
	assert_true(set.resources[0].volume.size_bytes == UINT64_C(17592186044416));
	resource_set_clear(&set);
}

static void
test_limits_of_resources(void **state)
{
	ResourceSet set = parse_good(APP "  resources: {cpu: 24, memory: 1048576}\n");

	(void) state;
	assert_int_equal(set.resources[0].app.cpus, 24);
	assert_int_equal(set.resources[0].app.memory_mib, 1048576);
	resource_set_clear(&set);
	set = parse_good(APP "  resources: {cpu: 1, memory: 64}\n");
	assert_int_equal(set.resources[0].app.memory_mib, 64);
	resource_set_clear(&set);
}

static void
test_timeouts(void **state)
{
	static const struct
	{
		const char *written;
		uint64_t ms;
	} cases[] = {
		{"timeout: 3", 3000}, {"timeout: 3s", 3000},	   {"timeout: \"3s\"", 3000}, {"timeout: \"3\"", 3000},
		{"timeout: 1", 1000}, {"timeout: 1h30m", 5400000}, {"timeout: 1500ms", 1500}, {"timeout: 30d", 2592000000},
		{"timeout:", 10000},  {"timeout: ~", 10000},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *yaml = memory_printf(APP "  mode:\n    flash:\n      strategy: manual\n      %s\n", cases[i].written);
		ResourceSet set = parse_good(yaml);

		assert_int_equal(set.resources[0].app.mode, MODE_FLASH);
		assert_true(set.resources[0].app.timeout_ms == cases[i].ms);
		resource_set_clear(&set);
		free(yaml);
	}
}

static void
test_where_a_snapshot_goes(void **state)
{
	static const struct
	{
		const char *written;
		SnapshotPlace place;
	} cases[] = {
		{"timeout: 3", SNAPSHOT_MEMORY},
		{"snapshot:", SNAPSHOT_MEMORY},
		{"snapshot: memory", SNAPSHOT_MEMORY},
		{"snapshot: disk", SNAPSHOT_DISK},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *yaml = memory_printf(APP "  mode:\n    flash:\n      strategy: manual\n      %s\n", cases[i].written);
		ResourceSet set = parse_good(yaml);

		assert_int_equal(set.resources[0].app.snapshot, cases[i].place);
		resource_set_clear(&set);
		free(yaml);
	}
}

static void
test_mode_regular(void **state)
{
	ResourceSet set = parse_good(APP "  mode: regular\n");

	(void) state;
	assert_int_equal(set.resources[0].app.mode, MODE_REGULAR);
	assert_int_equal(set.resources[0].app.timeout_ms, 0);
	resource_set_clear(&set);
}

static void
test_environment_is_text_and_sorted(void **state)
{
	static const EnvironmentVariable expected[] = {
		{.name = "A", .value = ""},
		{.name = "B", .value = "1.50"},
		{.name = "C", .value = "yes"},
		{.name = "D", .value = "0x1F"},
		{.name = "E", .value = "true"},
		{.name = "F", .value = "a\nb\n"},
		{.name = "_g", .value = "a: b # no comment"},
		{.name = "my.setting", .value = "null"},
	};
	ResourceSet set = parse_good(APP "  environment:\n"
									 "    _g: 'a: b # no comment'\n"
									 "    B: 1.50\n"
									 "    A: \"\"\n"
									 "    E: true\n"
									 "    D: 0x1F\n"
									 "    C: yes\n"
									 "    \"my.setting\": \"null\"\n"
									 "    F: |\n"
									 "      a\n"
									 "      b\n");
	const AppSpec *app = &set.resources[0].app;

	(void) state;
	assert_int_equal(app->environment_count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < app->environment_count; i++)
	{
		assert_string_equal(app->environment[i].name, expected[i].name);
		assert_string_equal(app->environment[i].value, expected[i].value);
	}
	resource_set_clear(&set);
}

static void
test_volumes_keep_their_order(void **state)
{
	ResourceSet set = parse_good(APP "  namespace: here\n"
									 "  volumes:\n"
									 "    - {name: z, path: /z/}\n"
									 "    - name: a\n"
									 "      namespace: there\n"
									 "      path: /z/a\n");
	const AppSpec *app = &set.resources[0].app;

	(void) state;
	assert_int_equal(app->volume_count, 2);
	assert_string_equal(app->volumes[0].name, "z");
	assert_string_equal(app->volumes[0].name_space, "here");
	assert_string_equal(app->volumes[0].path, "/z");
	assert_string_equal(app->volumes[1].name, "a");
	assert_string_equal(app->volumes[1].name_space, "there");
	assert_string_equal(app->volumes[1].path, "/z/a");
	assert_int_equal(app->volumes[1].mark.line, 7);
	assert_int_equal(app->volumes[1].mark.column, 7);
	resource_set_clear(&set);
}

static void
test_exposes(void **state)
{
	ResourceSet set =
		parse_good(APP "  expose:\n"
					   "    z: {port: 1}\n"
					   "    y: {port: 2, internal: {port: 3}, connection-tracking: connection-aware}\n"
					   "    x: {port: 65535, internal: , connection-tracking: traffic-aware}\n"
					   "    w:\n"
					   "      port: 4\n"
					   "      connection-tracking:\n"
					   "        traffic-aware:\n"
					   "          inactivity-timeout: 1500ms\n"
					   "    v: {port: 5, connection-tracking: {traffic-aware: {}}}\n"
					   "    u: {port: 6, connection-tracking: {traffic-aware: {inactivity-timeout: 2}}}\n");
	static const struct
	{
		const char *name;
		unsigned port;
		unsigned internal_port;
		ConnectionTracking tracking;
		uint64_t inactivity_timeout_ms;
		SourceMark mark;
	} expected[] = {
		{"z", 1, 1, TRACKING_CONNECTION_AWARE, 0, {5, 5, 0}},
		{"y", 2, 3, TRACKING_CONNECTION_AWARE, 0, {6, 5, 0}},
		{"x", 65535, 65535, TRACKING_TRAFFIC_AWARE, 10000, {7, 5, 0}},
		{"w", 4, 4, TRACKING_TRAFFIC_AWARE, 1500, {8, 5, 0}},
		{"v", 5, 5, TRACKING_TRAFFIC_AWARE, 10000, {13, 5, 0}},
		{"u", 6, 6, TRACKING_TRAFFIC_AWARE, 2000, {14, 5, 0}},
	};
	const AppSpec *app = &set.resources[0].app;

	(void) state;
	assert_int_equal(app->expose_count, 6);
	for (size_t i = 0; i < app->expose_count; i++)
	{
		assert_string_equal(app->exposes[i].name, expected[i].name);
		assert_int_equal(app->exposes[i].port, expected[i].port);
		assert_int_equal(app->exposes[i].bind.port, expected[i].internal_port);
		assert_int_equal(app->exposes[i].tracking.kind, expected[i].tracking);
		assert_int_equal(app->exposes[i].tracking.inactivity_timeout_ms, expected[i].inactivity_timeout_ms);
		assert_int_equal(app->exposes[i].mark.line, expected[i].mark.line);
		assert_int_equal(app->exposes[i].mark.column, expected[i].mark.column);
	}
	resource_set_clear(&set);
}

/* The file with every key of every kind: what it says, and what follows where it says nothing. */
static void
test_every_key(void **state)
{
	char *text = data_read("tests/unit/data/every-key.lttle.yaml");
	ResourceSet set = parse_good(text);
	const AppSpec *db = &set.resources[2].app;
	const AppSpec *built = &set.resources[3].app;
	const ServiceSpec *service = &set.resources[7].service;
	const Expose *expose;

	(void) state;
	assert_int_equal(set.count, 9);
	assert_string_equal(set.resources[0].volume.tags[1], "two words");
	assert_null(set.resources[0].volume.tags[2]);
	assert_null(set.resources[1].volume.tags);
	assert_int_equal(db->kind, RESOURCE_APP);
	assert_string_equal(db->tags[1], "ä");
	assert_int_equal(db->dependency_count, 2);
	assert_string_equal(db->dependencies[0].name, "first");
	assert_string_equal(db->dependencies[0].name_space, "n");
	assert_int_equal(db->restart_policy, RESTART_ON_FAILURE);
	assert_int_equal(db->build.kind, BUILD_NONE);
	expose = &db->exposes[0];
	assert_int_equal(expose->bind.kind, BIND_INTERNAL);
	assert_int_equal(expose->bind.port, 5432);
	expose = &db->exposes[2];
	assert_int_equal(expose->bind.kind, BIND_EXTERNAL);
	assert_int_equal(expose->bind.protocol, EXTERNAL_TCP);
	assert_string_equal(expose->bind.host, "127.0.0.1");
	assert_int_equal(expose->bind.port, 15432);
	expose = &db->exposes[3];
	assert_int_equal(expose->bind.protocol, EXTERNAL_TLS);
	assert_int_equal(expose->bind.port, 5432);
	assert_int_equal(expose->tracking.kind, TRACKING_TRAFFIC_AWARE);
	assert_int_equal(expose->tracking.inactivity_timeout_ms, 2000);
	assert_string_equal(expose->tracking.ignored_users[0], "monitoring");
	assert_string_equal(expose->tracking.ignored_applications[1], "a b");
	assert_int_equal(db->exposes[4].bind.port, 80);
	assert_int_equal(db->exposes[5].bind.port, 443);
	assert_string_equal(db->exposes[5].tracking.ignored_users[0], "monitoring");
	assert_int_equal(built->kind, RESOURCE_MACHINE);
	assert_null(built->image);
	assert_int_equal(built->build.kind, BUILD_DOCKER);
	assert_string_equal(built->build.context, "./server");
	assert_string_equal(built->build.dockerfile, "Dockerfile.production");
	assert_string_equal(built->build.arguments[0].name, "VERSION");
	assert_string_equal(built->build.arguments[0].value, "3");
	assert_int_equal(built->strategy, STRATEGY_FIRST_LISTEN);
	assert_int_equal(built->timeout_ms, 10000);
	assert_int_equal(built->restart_policy, RESTART_NEVER);
	assert_int_equal(set.resources[4].app.strategy, STRATEGY_NTH_LISTEN);
	assert_int_equal(set.resources[4].app.strategy_argument, 3);
	assert_int_equal(set.resources[4].app.restart_policy, RESTART_REMOVE);
	assert_string_equal(set.resources[5].app.build.context, ".");
	assert_string_equal(set.resources[5].app.build.dockerfile, "Dockerfile");
	assert_int_equal(set.resources[5].app.strategy, STRATEGY_LISTEN_ON_PORT);
	assert_int_equal(set.resources[5].app.strategy_argument, 80);
	assert_int_equal(set.resources[6].app.strategy, STRATEGY_USER_SPACE_READY);
	assert_string_equal(service->name_space, "other");
	assert_string_equal(service->target_name_space, "n");
	assert_int_equal(service->target_port, 5432);
	assert_int_equal(service->tracking.inactivity_timeout_ms, 60000);
	assert_int_equal(service->bind.kind, BIND_INTERNAL);
	assert_int_equal(service->bind.port, 5433);
	service = &set.resources[8].service;
	assert_string_equal(service->target_name_space, "n");
	assert_int_equal(service->target_protocol, TARGET_HTTP);
	assert_int_equal(service->bind.kind, BIND_TCP);
	assert_int_equal(service->bind.port, 80);
	resource_set_clear(&set);
	free(text);
}

/* A service of app.expose is one like any other. */
static void
test_service_of_an_expose(void **state)
{
	ResourceSet set =
		parse_good("app: {name: a, namespace: n, image: i, tags: [t], expose: {web: {port: 80, external:\n"
				   "  {protocol: https, host: h}, connection-tracking: {traffic-aware:\n"
				   "  {ignore: {users: [u]}}}}}}");
	ServiceSpec service;

	(void) state;
	service_spec_of_expose(&set.resources[0].app, &set.resources[0].app.exposes[0], &service);
	resource_set_clear(&set);
	assert_string_equal(service.name_space, "n");
	assert_string_equal(service.name, "a-web");
	assert_string_equal(service.tags[0], "t");
	assert_string_equal(service.expose, "web");
	assert_string_equal(service.target_name_space, "n");
	assert_string_equal(service.target_name, "a");
	assert_int_equal(service.target_port, 80);
	assert_int_equal(service.target_protocol, TARGET_HTTP);
	assert_int_equal(service.tracking.kind, TRACKING_TRAFFIC_AWARE);
	assert_string_equal(service.tracking.ignored_users[0], "u");
	assert_int_equal(service.bind.kind, BIND_EXTERNAL);
	assert_int_equal(service.bind.port, 443);
	assert_string_equal(service.bind.host, "h");
	service_spec_clear(&service);
	assert_null(service.tags);
}

static void
test_command(void **state)
{
	ResourceSet set = parse_good(APP "  command: [postgres, -c, 'log_statement=all', 1]\n");
	char **command = set.resources[0].app.command;

	(void) state;
	assert_string_equal(command[0], "postgres");
	assert_string_equal(command[1], "-c");
	assert_string_equal(command[2], "log_statement=all");
	assert_string_equal(command[3], "1");
	assert_null(command[4]);
	resource_set_clear(&set);
}

static void
test_image_names(void **state)
{
	static const char *const images[] = {"postgres", "nginx:1.21", "localhost:5000/a/b:c",
										 "ghcr.io/lttle-cloud/postgres@sha256:0123456789abcdef"};

	(void) state;
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
	{
		char *yaml = memory_printf("app: {name: a, image: \"%s\"}", images[i]);
		ResourceSet set = parse_good(yaml);

		assert_string_equal(set.resources[0].app.image, images[i]);
		resource_set_clear(&set);
		free(yaml);
	}
}

static void
test_empty_optional_keys_are_defaults(void **state)
{
	ResourceSet set = parse_good(APP "  namespace:\n  resources:\n  mode: ~\n  environment: null\n  volumes:\n"
									 "  expose:\n  command:\n");
	const AppSpec *app = &set.resources[0].app;

	(void) state;
	assert_string_equal(app->name_space, "default");
	assert_int_equal(app->memory_mib, 256);
	assert_int_equal(app->expose_count, 0);
	assert_null(app->command);
	resource_set_clear(&set);
}

static void
test_several_documents(void **state)
{
	ResourceSet set = parse_good("# a comment\n---\n---\n" APP "---\nvolume: {name: a, size: 1Gi}\n...\n---\n"
								 "app: {name: a, namespace: other, image: i}\n---\n");

	(void) state;
	assert_int_equal(set.count, 3);
	assert_int_equal(set.resources[0].kind, RESOURCE_APP);
	assert_int_equal(set.resources[0].mark.line, 4);
	assert_int_equal(set.resources[1].kind, RESOURCE_VOLUME);
	assert_int_equal(set.resources[1].mark.line, 8);
	assert_string_equal(set.resources[2].app.name_space, "other");
	resource_set_clear(&set);
}

static void
test_copy_is_deep(void **state)
{
	char *text = data_read("examples/postgresql.lttle.yaml");
	ResourceSet set = parse_good(text);
	AppSpec copy;
	SpecChanges changes;

	(void) state;
	app_spec_copy(&set.resources[1].app, &copy);
	resource_set_clear(&set);
	set = parse_good(text);
	app_spec_compare(&set.resources[1].app, &copy, &changes);
	assert_int_equal(changes.count, 0);
	spec_changes_clear(&changes);
	app_spec_clear(&copy);
	resource_set_clear(&set);
	free(text);
}

static const VolumeSpec *
exists_shared(void *context, const char *name_space, const char *name)
{
	static const VolumeSpec deployed = {.mode = VOLUME_WRITEABLE};

	(*(unsigned *) context)++;
	return strcmp(name_space, "default") == 0 && strcmp(name, "deployed") == 0 ? &deployed : NULL;
}

static const VolumeSpec *
no_volume(void *context, const char *name_space, const char *name)
{
	(void) context;
	(void) name_space;
	(void) name;
	return NULL;
}

static bool
has_deployed(void *context, const char *name_space, const char *name)
{
	(void) context;
	return strcmp(name_space, "default") == 0 && strcmp(name, "deployed") == 0;
}

static void
test_references_to_machines(void **state)
{
	ResourceSet set = parse_good("app: {name: a, image: i, depends-on: [{name: m}, {name: nobody},\n"
								 "  {name: deployed}], expose: {x: {port: 1}}}\n"
								 "---\n"
								 "machine: {name: m, image: i, depends-on: [{name: a, namespace: other}]}\n"
								 "---\n"
								 "service: {name: s, target: {name: m, port: 1}, bind: tcp}\n"
								 "---\n"
								 "service: {name: t, target: {name: m, namespace: other, port: 1}, bind: tcp}\n"
								 "---\n"
								 "service: {name: a-x, target: {name: deployed, port: 1}, bind: tcp}\n");
	DeployedResources deployed = {.find_volume = no_volume, .has_machine = has_deployed};
	DiagnosticList diagnostics = {0};
	char *complaints;

	(void) state;
	assert_int_equal(resource_set_check_references(&set, &deployed, &diagnostics), -EINVAL);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(complaints,
						"f:1:50: app.depends-on[1].name: default/nobody is neither in this file nor deployed\n"
						"f:4:43: machine.depends-on[0].name: other/a is neither in this file nor deployed\n"
						"f:8:1: service.target.name: other/m is neither in this file nor deployed\n"
						"f:10:1: service.name: the service default/a-x exists already, of app default/a");
	free(complaints);
	resource_set_clear(&set);
}

static void
test_references(void **state)
{
	ResourceSet set = parse_good("volume: {name: w, size: 16Mi}\n"
								 "---\n"
								 "volume: {name: r, size: 16Mi, mode: read-only}\n"
								 "---\n"
								 "app: {name: a, image: i, volumes: [{name: w, path: /w}, {name: r, path: /r},\n"
								 "  {name: deployed, path: /d}, {name: nowhere, path: /n},\n"
								 "  {name: w, namespace: other, path: /o}], expose: {b-c: {port: 1}}}\n"
								 "---\n"
								 "app: {name: a-b, image: i, volumes: [{name: w, path: /w}, {name: r, path: /r}],\n"
								 "  expose: {d: {port: 2}, c: {port: 1}}}\n");
	DiagnosticList diagnostics = {0};
	unsigned asked = 0;
	DeployedResources deployed = {.context = &asked, .find_volume = exists_shared, .has_machine = has_deployed};
	char *complaints;

	(void) state;
	assert_int_equal(resource_set_check_references(&set, &deployed, &diagnostics), -EINVAL);
	assert_int_equal(asked, 3);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(complaints,
						"f:6:31: app.volumes[3].name: volume default/nowhere is neither in this file nor deployed\n"
						"f:7:3: app.volumes[4].name: volume other/w is neither in this file nor deployed\n"
						"f:9:38: app.volumes[0].name: volume default/w is writeable and mounted by app default/a "
						"already; only one may write to it\n"
						"f:10:26: app.expose.c: the service default/a-b-c exists already, of app default/a");
	free(complaints);
	resource_set_clear(&set);
	set = parse_good("app: {name: a, image: i, volumes: [{name: deployed, path: /d}]}");
	assert_int_equal(resource_set_check_references(&set, &deployed, &diagnostics), 0);
	assert_int_equal(diagnostics.count, 0);
	resource_set_clear(&set);
	/* Two new ones cannot share what is deployed and writeable either. */
	set = parse_good("app: {name: a, image: i, volumes: [{name: deployed, path: /d}]}\n---\n"
					 "machine: {name: b, image: i, volumes: [{name: deployed, path: /d}]}");
	assert_int_equal(resource_set_check_references(&set, &deployed, &diagnostics), -EINVAL);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(complaints,
						"f:3:40: machine.volumes[0].name: volume default/deployed is writeable and mounted by "
						"app default/a already; only one may write to it");
	free(complaints);
	resource_set_clear(&set);
}

static void
test_reference_page_names_every_key(void **state)
{
	static const char *const keys[] = {
		"volume.name",
		"volume.namespace",
		"volume.mode",
		"volume.size",
		"app.name",
		"app.namespace",
		"app.image",
		"app.resources.cpu",
		"app.resources.memory",
		"app.mode.flash.strategy",
		"app.mode.flash.timeout",
		"app.mode.flash.snapshot",
		"app.mode.flash.hibernate-after",
		"app.environment",
		"app.volumes[].name",
		"app.volumes[].namespace",
		"app.volumes[].path",
		"app.expose.NAME.port",
		"app.expose.NAME.internal.port",
		"app.expose.NAME.connection-tracking",
		"app.expose.NAME.connection-tracking.traffic-aware.inactivity-timeout",
		"app.command",
		"app.init-scripts",
		"app.tags",
		"app.build.docker.context",
		"app.build.docker.dockerfile",
		"app.build.docker.args",
		"app.restart-policy",
		"app.depends-on[].name",
		"app.depends-on[].namespace",
		"app.expose.NAME.external.host",
		"app.expose.NAME.external.port",
		"app.expose.NAME.external.protocol",
		"app.expose.NAME.connection-tracking.connection-aware.ignore.users",
		"app.expose.NAME.connection-tracking.traffic-aware.ignore.application-names",
		"machine.name",
		"service.target.name",
		"service.target.namespace",
		"service.target.port",
		"service.target.protocol",
		"service.target.connection-tracking",
		"service.bind",
		"service.bind.internal.port",
		"service.bind.external.host",
	};
	Text page = {0};

	(void) state;
	resource_reference_print(&page);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		char *cell = memory_printf("\n| `%s` | ", keys[i]);

		if (strstr(text_string(&page), cell) == NULL)
			fail_msg("the page does not describe %s", keys[i]);
		free(cell);
	}
	assert_non_null(strstr(text_string(&page), "whole number, MiB | 64 to 1048576 | `256`"));
	assert_non_null(strstr(text_string(&page), "- the kind `certificate`"));
	text_clear(&page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_of_the_guide),
		cmocka_unit_test(test_traffic_aware_example_differs_in_tracking_alone),
		cmocka_unit_test(test_defaults_of_an_app),
		cmocka_unit_test(test_defaults_of_a_volume),
		cmocka_unit_test(test_volume_modes_and_sizes),
		cmocka_unit_test(test_limits_of_resources),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_where_a_snapshot_goes),
		cmocka_unit_test(test_mode_regular),
		cmocka_unit_test(test_environment_is_text_and_sorted),
		cmocka_unit_test(test_volumes_keep_their_order),
		cmocka_unit_test(test_exposes),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_image_names),
		cmocka_unit_test(test_empty_optional_keys_are_defaults),
		cmocka_unit_test(test_several_documents),
		cmocka_unit_test(test_copy_is_deep),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_service_of_an_expose),
		cmocka_unit_test(test_references_to_machines),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_reference_page_names_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
