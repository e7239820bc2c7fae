/* The configuration of a cluster's server: what follows from its size, what the user has set, and whose fault it is
 * when the server refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "fixture_data.h"
#include "fixture_resources.h"
#include "model/postgres_config.h"
#include "model/yaml_write.h"

#define GIB (UINT64_C(1) << 30)

static void
test_tuning_follows_memory_and_storage(void **state)
{
	static const struct
	{
		uint64_t memory_mib;
		uint64_t storage_bytes;
		PostgresTuning tuning; /* buffers, cache, maintenance, work (KiB), connections, wal, least wal */
	} cases[] = {
		{64, GIB, {16, 48, 8, 1024, 50, 256, 64}},
		{256, GIB, {64, 192, 16, 1310, 50, 256, 64}},
		{512, 5 * GIB, {128, 384, 32, 1310, 100, 512, 80}},
		{2048, 20 * GIB, {512, 1536, 128, 2621, 200, 1024, 80}},
		{8192, 100 * GIB, {2048, 6144, 512, 5242, 400, 4096, 80}},
		{32768, 500 * GIB, {8192, 24576, 2048, 20971, 400, 8192, 80}},
		/* A quarter of a small volume at most, and two segments at least. */
		{32768, GIB / 4, {8192, 24576, 2048, 20971, 400, 64, 32}},
		{256, GIB / 16, {64, 192, 16, 1310, 50, 32, 32}},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PostgresTuning tuning = postgres_tuning(cases[i].memory_mib, cases[i].storage_bytes);

		assert_int_equal(tuning.shared_buffers_mib, cases[i].tuning.shared_buffers_mib);
		assert_int_equal(tuning.effective_cache_size_mib, cases[i].tuning.effective_cache_size_mib);
		assert_int_equal(tuning.maintenance_work_mem_mib, cases[i].tuning.maintenance_work_mem_mib);
		assert_int_equal(tuning.work_mem_kib, cases[i].tuning.work_mem_kib);
		assert_int_equal(tuning.max_connections, cases[i].tuning.max_connections);
		assert_int_equal(tuning.max_wal_size_mib, cases[i].tuning.max_wal_size_mib);
		assert_int_equal(tuning.min_wal_size_mib, cases[i].tuning.min_wal_size_mib);
	}
}

static void
test_the_file(void **state)
{
	ResourceSet set = parse_good("postgres:\n  name: c\n  size: tiny\n  parameters:\n    search_path: \"it's\\\\\"\n"
								 "    shared_preload_libraries: pg_stat_statements\n    work_mem: 8MB\n");
	const PostgresSpec *spec = &set.resources[0].postgres;
	Text with_data = {0};
	Text without = {0};

	(void) state;
	postgres_config_print(spec, GIB, true, &with_data);
	assert_string_equal(text_string(&with_data),
						"# Written by lttled; the keys are those of the cluster's file.\n"
						"include '/var/lib/postgresql/data/postgresql.conf'\n"
						"shared_buffers = 64MB\neffective_cache_size = 192MB\nmaintenance_work_mem = 16MB\n"
						"work_mem = 1310kB\nmax_connections = 50\nmax_wal_size = 256MB\nmin_wal_size = 64MB\n"
						"search_path = 'it''s\\\\'\nshared_preload_libraries = 'lttle_pg,pg_stat_statements'\n"
						"work_mem = '8MB'\n");
	postgres_config_print(spec, GIB, false, &without);
	assert_null(strstr(text_string(&without), "include"));
	text_clear(&with_data);
	text_clear(&without);
	resource_set_clear(&set);
}

static void
test_more_memory_than_there_is(void **state)
{
	static const struct
	{
		const char *name;
		const char *value;
		bool exceeds; /* of a GiB */
	} cases[] = {
		{"shared_buffers", "900GB", true},
		{"shared_buffers", "1GB", false},
		{"shared_buffers", "1.5 GB ", true},
		{"Shared_Buffers", "1025MB", true},
		{"shared_buffers", "131072", false},
		{"shared_buffers", "131073", true},
		{"shared_buffers", "0x20001", true},
		{"shared_buffers", "1073741825B", true},
		{"work_mem", "1048576", false},
		{"work_mem", "1048577kB", true},
		{"min_dynamic_shared_memory", "1025", true},
		{"autovacuum_work_mem", "-1", false},
		{"maintenance_work_mem", "1TB", true},
		/* An estimate; what is no amount of memory; what PostgreSQL does not read itself. */
		{"effective_cache_size", "900GB", false},
		{"max_wal_size", "900GB", false},
		{"shared_buffers", "900gb", false},
		{"shared_buffers", "much", false},
		{"shared_buffers", "900GB of it", false},
		{"shared_buffers", "", false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const EnvironmentVariable parameter = {.name = (char *) cases[i].name, .value = (char *) cases[i].value};

		if (postgres_parameter_exceeds(&parameter, 1024) != cases[i].exceeds)
			fail_msg("%s: %s", cases[i].name, cases[i].value);
	}
}

static void
assert_blamed(const char *said, const char *expected)
{
	ResourceSet set = parse_good("postgres:\n  name: c\n  parameters:\n    wal_level: much\n    work_mem: abc\n");
	DiagnosticList diagnostics = {0};
	char *complaints;

	postgres_config_blame(&set.resources[0].postgres, said, set.resources[0].mark, &diagnostics);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(complaints, expected);
	free(complaints);
	resource_set_clear(&set);
}

static void
test_who_is_to_blame(void **state)
{
	(void) state;
	assert_blamed(
		"2026-11-21 21:58:36 GMT [1] LOG:  skipping missing configuration file \"/tmp/postgresql.auto.conf\"\n"
		"2026-11-21 21:58:36 GMT [1] LOG:  invalid value for parameter \"wal_level\": \"much\"\n"
		"2026-11-21 21:58:36 GMT [1] HINT:  Available values: minimal, replica, logical.\n"
		"2026-11-21 21:58:36 GMT [1] LOG:  invalid value for parameter \"work_mem\": \"abc\"\n"
		"2026-11-21 21:58:36 GMT [1] FATAL:  configuration file \"/tmp/x.conf\" contains errors\n",
		"f:4:5: postgres.parameters.wal_level: PostgreSQL says: invalid value for parameter \"wal_level\": "
		"\"much\"; Available values: minimal, replica, logical.\n"
		"f:5:5: postgres.parameters.work_mem: PostgreSQL says: invalid value for parameter \"work_mem\": "
		"\"abc\"");
	assert_blamed("x LOG:  unrecognized configuration parameter \"work_mem\" in file \"/tmp/x.conf\" line 4\n",
				  "f:5:5: postgres.parameters.work_mem: PostgreSQL says: unrecognized configuration parameter "
				  "\"work_mem\"");
	assert_blamed("x FATAL:  out of luck\n", "f:1:1: postgres: PostgreSQL says: out of luck");
	assert_blamed("nothing that is known", "f:1:1: postgres: nothing that is known");
}

static void
test_json_becomes_yaml_that_reads_back(void **state)
{
	json_t *json = json_pack("{s:{s:s, s:s, s:i, s:[{s:s, s:[s, s]}, {s:s}], s:{s:s, s:s}}}", "postgres", "name", "c",
							 "database", "12: \"x\"\n#", "version", 16, "users", "name", "true", "roles", "Login",
							 "Createdb", "name", "a b", "parameters", "work_mem", "8MB", "a.b", "");
	Text yaml = {0};
	ResourceSet set;

	(void) state;
	yaml_write(json, &yaml);
	assert_string_equal(text_string(&yaml), "postgres:\n  name: c\n  database: \"12: \\\"x\\\"\\n#\"\n  version: 16\n"
											"  users:\n    - name: \"true\"\n      roles:\n        - Login\n"
											"        - Createdb\n    - name: \"a b\"\n  parameters:\n"
											"    work_mem: \"8MB\"\n    a.b: \"\"\n");
	text_clear(&yaml);
	json_object_set_new(json_object_get(json, "postgres"), "database", json_string("12: \"x\"#"));
	yaml_write(json, &yaml);
	set = parse_good(text_string(&yaml));
	assert_string_equal(set.resources[0].postgres.database, "12: \"x\"#");
	assert_string_equal(set.resources[0].postgres.users[0].name, "true");
	assert_string_equal(set.resources[0].postgres.parameters[0].value, "");
	resource_set_clear(&set);
	text_clear(&yaml);
	json_decref(json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tuning_follows_memory_and_storage), cmocka_unit_test(test_the_file),
		cmocka_unit_test(test_more_memory_than_there_is),		  cmocka_unit_test(test_who_is_to_blame),
		cmocka_unit_test(test_json_becomes_yaml_that_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
