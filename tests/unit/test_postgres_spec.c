/* The resource `postgres`: what is read of it, what follows from it, what is refused, and what is said of a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "fixture_data.h"
#include "fixture_resources.h"
#include "model/postgres_read.h"
#include "model/postgres_spec.h"

/* Two lines; what follows begins at line 3. */
#define CLUSTER "postgres:\n  name: c\n"

static void
test_defaults(void **state)
{
	ResourceSet set = parse_good(CLUSTER);
	const PostgresSpec *spec = &set.resources[0].postgres;
	unsigned cpus;
	uint64_t memory_mib;
	char image[256];
	char volume[NAME_MAX_BYTES + 1];

	(void) state;
	assert_int_equal(set.resources[0].kind, RESOURCE_POSTGRES);
	assert_string_equal(spec->name_space, "default");
	assert_int_equal(spec->version, 17);
	assert_int_equal(spec->size, POSTGRES_SMALL);
	postgres_spec_resources(spec, &cpus, &memory_mib);
	assert_int_equal(cpus, 1);
	assert_int_equal(memory_mib, 512);
	assert_int_equal(postgres_spec_storage_bytes(spec), UINT64_C(5) << 30);
	postgres_spec_image(spec, image);
	assert_string_equal(image, "ghcr.io/lttle-cloud/postgres:17-flash");
	postgres_spec_volume_name(spec, volume);
	assert_string_equal(volume, "c-data");
	assert_string_equal(spec->database, "postgres");
	assert_int_equal(spec->machine.mode, MODE_FLASH);
	assert_int_equal(spec->machine.strategy, STRATEGY_MANUAL);
	assert_int_equal(spec->machine.timeout_ms, 10000);
	assert_int_equal(spec->machine.expose_count, 1);
	assert_string_equal(spec->machine.exposes[0].name, "access");
	assert_int_equal(spec->machine.exposes[0].bind.port, 5432);
	assert_true(spec->machine.exposes[0].is_internal);
	resource_set_clear(&set);
}

static void
test_users(void **state)
{
	ResourceSet set =
		parse_good(CLUSTER "  database: shop\n  databases: [{name: \"B b\", owner: second}]\n"
						   "  users:\n  - name: first\n  - {name: second, roles: [login, Createdb]}\n"
						   "  - name: \"it's\"\n    namespaces: [web]\n"
						   "    access: [{level: readonly}, {database: \"B b\", schemas: [s], level: metadata}]\n");
	const PostgresSpec *spec = &set.resources[0].postgres;
	const PostgresUser *third = postgres_spec_find_user(spec, "it's");

	(void) state;
	/* Whoever is named first, and asks for nothing, has the database. */
	assert_int_equal(spec->users[0].access_count, 1);
	assert_string_equal(spec->users[0].access[0].database, "shop");
	assert_int_equal(spec->users[0].access[0].level, POSTGRES_OWNER);
	assert_int_equal(postgres_user_roles(&spec->users[0]), POSTGRES_ROLE_LOGIN | POSTGRES_ROLE_INHERIT);
	assert_int_equal(spec->users[1].access_count, 0);
	assert_int_equal(postgres_user_roles(&spec->users[1]), POSTGRES_ROLE_LOGIN | POSTGRES_ROLE_CREATEDB);
	assert_non_null(third);
	assert_string_equal(third->namespaces[0], "web");
	assert_string_equal(third->access[0].database, "shop");
	assert_string_equal(third->access[0].schemas[0], "public");
	assert_string_equal(third->access[1].schemas[0], "s");
	assert_null(postgres_spec_find_user(spec, "nobody"));
	resource_set_clear(&set);
}

static void
test_labels(void **state)
{
	static const struct
	{
		const char *user;
		const char *label;
	} cases[] = {
		{"app", "app"},			  {"a b", "a-b"}, {"a--b ", "a-b"},
		{"we \"ird\"", "we-ird"}, {"1", "1"},	  {"\xc3\xa4", "user-199de0e2"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char label[NAME_MAX_BYTES + 1];

		postgres_user_label(cases[i].user, label);
		assert_string_equal(label, cases[i].label);
	}
}

static void
test_refused(void **state)
{
	static const struct
	{
		const char *yaml;
		const char *complaints;
	} cases[] = {
		{"  users: [{name: u, roles: [Admin]}]\n",
		 "f:3:29: postgres.users[0].roles[0]: must be 'Superuser', 'Createdb', 'Createrole', 'Inherit', 'Login', "
		 "'Replication' or 'Bypassrls', but this is 'Admin'"},
		{"  users: [{name: u, access: [{level: write}]}]\n",
		 "f:3:38: postgres.users[0].access[0].level: must be 'owner', 'readwrite', 'readonly' or 'metadata', but is "
		 "'write'"},
		{"  users: [{name: u, access: [{level: readonly, database: b}]}]\n",
		 "f:3:30: postgres.users[0].access[0]: the database 'b' is none of this cluster"},
		{"  users: [{name: u}, {name: u}]\n", "f:3:22: postgres.users[1]: the user 'u' appears twice"},
		{"  users: [{name: a b}, {name: a-b}]\n",
		 "f:3:24: postgres.users[1]: the secrets of 'a-b' would have the names of those of 'a b': 'c-a-b-password'; "
		 "rename one"},
		{"  users: [{name: postgres}]\n",
		 "f:3:18: postgres.users[0].name: this is the cluster's superuser, which is there in any case and belongs to "
		 "the coordinator, but this is 'postgres'"},
		{"  users: [{name: pg_x}]\n", "f:3:18: postgres.users[0].name: PostgreSQL keeps names that begin with 'pg_' "
									  "to itself, but this is 'pg_x'"},
		{"  users: [{name: a}, {name: b, access: [{level: owner}]}, {name: d, access: [{level: owner}]}]\n",
		 "f:3:41: postgres.users[1].access[0]: the database 'postgres' belongs to 'd' already\n"
		 "f:3:78: postgres.users[2].access[0]: the database 'postgres' belongs to 'b' already"},
		{"  databases: [{name: d, owner: x}]\n",
		 "f:3:15: postgres.databases[0]: the owner 'x' is no user of this cluster"},
		{"  databases: [{name: d}, {name: d}]\n", "f:3:26: postgres.databases[1]: the database 'd' appears twice"},
		{"  parameters:\n    checkpoint_segments: 16\n",
		 "f:4:5: postgres.parameters.checkpoint_segments: checkpoint_segments was removed in PostgreSQL 9.5; write "
		 "max_wal_size (a segment was 16MB: 3 * segments * 16MB)"},
		{"  parameters: {port: 1}\n",
		 "f:3:16: postgres.parameters.port: port belongs to the coordinator, which reaches "
		 "the server and its files by it; leave it out"},
		{"  parameters: {\"a b\": 1}\n",
		 "f:3:16: postgres.parameters: the name of a parameter holds letters, digits and '_', and for an extension's a "
		 "'.', but this is 'a b'"},
		{"  version: 14\n", "f:3:12: postgres.version: must be a whole number from 15 to 18, but is '14'"},
		{"  size: small\n  resources: {memory: 256}\n",
		 "f:1:1: postgres.size: stands beside `resources`; leave one of them out"},
		{"  size: gigantic\n", "f:3:9: postgres.size: must be 'tiny', 'small', 'medium', 'large' or 'huge', but is "
							   "'gigantic'"},
		{"  volume: v\n  storage: 1Gi\n",
		 "f:1:1: postgres.storage: stands beside a `volume`, which has a size of its own"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *yaml = memory_printf(CLUSTER "%s", cases[i].yaml);

		assert_refused(yaml, cases[i].complaints);
		free(yaml);
	}
}

static void
test_removed_by_version(void **state)
{
	(void) state;
	assert_null(postgres_parameter_refusal("old_snapshot_threshold", 16));
	assert_non_null(strstr(postgres_parameter_refusal("old_snapshot_threshold", 17), "removed in PostgreSQL 17"));
	assert_non_null(strstr(postgres_parameter_refusal("Checkpoint_Segments", 15), "max_wal_size"));
	assert_null(postgres_parameter_refusal("max_wal_size", 17));
}

static void
assert_changes(const char *old_yaml, const char *new_yaml, const char *expected)
{
	char *whole_old = memory_printf(CLUSTER "%s", old_yaml);
	char *whole_new = memory_printf(CLUSTER "%s", new_yaml);
	ResourceSet old_set = parse_good(whole_old);
	ResourceSet new_set = parse_good(whole_new);
	SpecChanges changes;
	Text lines = {0};

	postgres_spec_compare(&old_set.resources[0].postgres, &new_set.resources[0].postgres, &changes);
	for (size_t i = 0; i < changes.count; i++)
		text_printf(&lines, "%s%s", i == 0 ? "" : "\n", changes.lines[i]);
	assert_string_equal(text_string(&lines), expected);
	text_clear(&lines);
	spec_changes_clear(&changes);
	resource_set_clear(&new_set);
	resource_set_clear(&old_set);
	free(whole_old);
	free(whole_new);
}

static void
test_changes(void **state)
{
	(void) state;
	assert_changes("  size: small\n", "", "");
	assert_changes("  size: small\n", "  size: tiny\n", "size: small → tiny");
	assert_changes("  parameters: {work_mem: 4MB}\n", "  parameters: {work_mem: 8MB}\n",
				   "parameters.work_mem: 4MB → 8MB");
	assert_changes("  users: [{name: a}]\n", "  users: [{name: a}, {name: b}]\n", "users.b: (none) → there");
	assert_changes("  users: [{name: a}, {name: b, namespaces: [x]}]\n",
				   "  users: [{name: a}, {name: b, namespaces: [x, y]}]\n", "users.b.namespaces: x → x y");
	assert_changes("  users: [{name: a}, {name: b, access: [{level: readonly}]}]\n",
				   "  users: [{name: a}, {name: b, access: [{level: readwrite}]}]\n",
				   "users.b.access.postgres.level: readonly → readwrite");
}

static void
test_json_and_back(void **state)
{
	ResourceSet set = parse_good(
		CLUSTER
		"  resources: {cpu: 2, memory: 300}\n  storage: 70Mi\n  database: shop\n"
		"  users: [{name: a, roles: [Superuser]}, {name: \"b\\\"\", access: [{level: metadata, schemas: [x]}]}]\n"
		"  init-scripts: [/i]\n  parameters: {work_mem: 4MB, a.b: 1}\n  values: {k: v}\n  restart-policy: never\n"
		"  mode: {flash: {timeout: 3, hibernate-after: 1m}}\n  expose: {e: {external: {protocol: tcp, port: 99}}}\n");
	json_t *json = postgres_spec_to_json(&set.resources[0].postgres);
	PostgresSpec back;
	PostgresSpec copy;
	SpecChanges changes;
	Error err = {0};

	(void) state;
	if (postgres_spec_from_json(json, &back, &err) < 0)
		fail_msg("%s", err.message);
	postgres_spec_copy(&back, &copy);
	postgres_spec_clear(&back);
	postgres_spec_compare(&set.resources[0].postgres, &copy, &changes);
	assert_int_equal(changes.count, 0);
	assert_int_equal(copy.machine.exposes[0].bind.port, 99);
	assert_int_equal(copy.machine.memory_mib, 300);
	spec_changes_clear(&changes);
	postgres_spec_clear(&copy);
	json_decref(json);
	resource_set_clear(&set);
}

static void
test_what_it_becomes(void **state)
{
	ResourceSet set =
		parse_good(CLUSTER "  namespace: n\n  tags: [t]\n  size: medium\n  database: shop\n"
						   "  init-scripts: [/i/a.sql, /i/b]\n  mode: regular\n  restart-policy: never\n");
	const PostgresSpec *spec = &set.resources[0].postgres;
	VolumeSpec volume;
	AppSpec app;

	(void) state;
	postgres_spec_expand(spec, &app);
	assert_int_equal(app.kind, RESOURCE_APP);
	assert_string_equal(app.name_space, "n");
	assert_string_equal(app.name, "c");
	assert_string_equal(app.tags[0], "t");
	assert_string_equal(app.image, "ghcr.io/lttle-cloud/postgres:17-flash");
	assert_int_equal(app.cpus, 2);
	assert_int_equal(app.memory_mib, 2048);
	assert_int_equal(app.mode, MODE_REGULAR);
	assert_int_equal(app.restart_policy, RESTART_NEVER);
	assert_string_equal(app.init_scripts[0], "/i/a.sql");
	assert_string_equal(app.init_scripts[1], "/i/b");
	assert_null(app.init_scripts[2]);
	assert_string_equal(app.volumes[0].name, "c-data");
	assert_string_equal(app.command[2], "config_file=/run/lttle/postgresql.conf");
	assert_null(app.command[3]);
	assert_string_equal(app.environment[1].name, "POSTGRES_DB");
	assert_string_equal(app.environment[1].value, "shop");
	assert_int_equal(app.exposes[0].port, 5432);
	assert_true(postgres_spec_expand_volume(spec, &volume));
	assert_int_equal(volume.size_bytes, UINT64_C(20) << 30);
	app_spec_clear(&app);
	resource_set_clear(&set);
	/* One with a volume of its own makes none. */
	set = parse_good(CLUSTER "  volume: mine\n");
	postgres_spec_expand(&set.resources[0].postgres, &app);
	assert_string_equal(app.volumes[0].name, "mine");
	assert_false(postgres_spec_expand_volume(&set.resources[0].postgres, &volume));
	app_spec_clear(&app);
	resource_set_clear(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_json_and_back),
		cmocka_unit_test(test_removed_by_version),
		cmocka_unit_test(test_what_it_becomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
