/* Specs as JSON: the exact form, that it reads back to the same, and that hostile JSON is refused as a file would be.
 */
#include <errno.h>
#include <jansson.h>
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

static void
assert_app_json(const char *yaml, const char *expected)
{
	ResourceSet set = parse_good(yaml);
	json_t *json = app_spec_to_json(&set.resources[0].app);
	char *text = json_dumps(json, JSON_COMPACT);
	AppSpec back;
	SpecChanges changes;
	Error err = {0};

	assert_string_equal(text, expected);
	assert_int_equal(app_spec_from_json(RESOURCE_APP, json, &back, &err), 0);
	app_spec_compare(&set.resources[0].app, &back, &changes);
	assert_int_equal(changes.count, 0);
	spec_changes_clear(&changes);
	app_spec_clear(&back);
	free(text);
	json_decref(json);
	resource_set_clear(&set);
}

static void
test_form_of_an_app(void **state)
{
	(void) state;
	assert_app_json(
		"app: {name: a, image: i}",
		"{\"expose\":{},\"name\":\"a\",\"namespace\":\"default\",\"image\":\"i\",\"resources\":{\"cpu\":1,\"memory\":"
		"256},"
		"\"mode\":\"regular\",\"environment\":{},\"secrets\":[],\"volumes\":[],\"restart-policy\":\"always\",\"depends-"
		"on\":[]}");
	assert_app_json(
		"app:\n"
		"  name: a\n"
		"  namespace: n\n"
		"  image: i:1\n"
		"  resources: {cpu: 2, memory: 512}\n"
		"  mode: {flash: {strategy: manual, timeout: 1500ms}}\n"
		"  environment: {Z: 1, A: \"a\\nä\", \"x.y\": \"\"}\n"
		"  volumes: [{name: v, path: /v}, {name: w, namespace: m, path: /w}]\n"
		"  expose:\n"
		"    z: {port: 1}\n"
		"    y: {port: 2, internal: {port: 3}, connection-tracking: {traffic-aware: {inactivity-timeout: 90}}}\n"
		"  command: [x, \"\", z]\n",
		"{\"expose\":{\"z\":{\"port\":1,\"internal\":{\"port\":1},\"connection-tracking\":\"connection-aware\"},"
		"\"y\":{\"port\":2,\"internal\":{\"port\":3},"
		"\"connection-tracking\":{\"traffic-aware\":{\"inactivity-timeout\":\"90s\"}}}},"
		"\"name\":\"a\",\"namespace\":\"n\",\"image\":\"i:1\",\"resources\":{\"cpu\":2,\"memory\":512},"
		"\"mode\":{\"flash\":{\"strategy\":\"manual\",\"timeout\":\"1500ms\"}},"
		"\"environment\":{\"A\":\"a\\nä\",\"Z\":\"1\",\"x.y\":\"\"},\"secrets\":[],"
		"\"volumes\":[{\"name\":\"v\",\"namespace\":\"n\",\"path\":\"/v\"},"
		"{\"name\":\"w\",\"namespace\":\"m\",\"path\":\"/w\"}],"
		"\"command\":[\"x\",\"\",\"z\"],\"restart-policy\":\"always\",\"depends-on\":[]}");
}

/* What is not set is not there. */
static void
test_form_of_an_app_that_goes_to_disk(void **state)
{
	(void) state;
	assert_app_json(
		"app: {name: a, image: i, mode: {flash: {strategy: manual, snapshot: disk, hibernate-after: 90}}}",
		"{\"expose\":{},\"name\":\"a\",\"namespace\":\"default\",\"image\":\"i\",\"resources\":{\"cpu\":1,"
		"\"memory\":256},"
		"\"mode\":{\"flash\":{\"strategy\":\"manual\",\"timeout\":\"10s\",\"snapshot\":\"disk\","
		"\"hibernate-after\":\"90s\"}},\"environment\":{},\"secrets\":[],\"volumes\":[],\"restart-policy\":\"always\","
		"\"depends-on\":[]}");
}

/* Everything that can be written, of all kinds, comes back as it was. */
static void
test_every_key_comes_back(void **state)
{
	char *text = data_read("tests/unit/data/every-key.lttle.yaml");
	ResourceSet set = parse_good(text);
	Error err = {0};

	(void) state;
	for (size_t i = 0; i < set.count; i++)
	{
		const Resource *resource = &set.resources[i];
		SpecChanges changes = {.count = 4711};
		VolumeSpec volume = {0};
		ServiceSpec service = {0};
		AppSpec app = {0};
		json_t *json;
		int result;

		if (resource->kind == RESOURCE_VOLUME)
		{
			json = volume_spec_to_json(&resource->volume);
			result = volume_spec_from_json(json, &volume, &err);
			volume_spec_compare(&resource->volume, &volume, &changes);
		}
		else if (resource->kind == RESOURCE_SERVICE)
		{
			json = service_spec_to_json(&resource->service);
			result = service_spec_from_json(json, &service, &err);
			service_spec_compare(&resource->service, &service, &changes);
		}
		else
		{
			json = app_spec_to_json(&resource->app);
			result = app_spec_from_json(resource->kind, json, &app, &err);
			app_spec_compare(&resource->app, &app, &changes);
		}
		if (result < 0)
			fail_msg("%s", err.message);
		if (changes.count != 0)
			fail_msg("%s", changes.lines[0]);
		spec_changes_clear(&changes);
		volume_spec_clear(&volume);
		service_spec_clear(&service);
		app_spec_clear(&app);
		json_decref(json);
	}
	assert_int_equal(set.count, 9);
	resource_set_clear(&set);
	free(text);
}

static void
test_form_of_a_service(void **state)
{
	ResourceSet set =
		parse_good("service: {name: s, target: {name: m, port: 1, connection-tracking: {connection-aware:\n"
				   "  {ignore: {users: [a, b]}}}}, bind: {external: {protocol: http, host: h.example}}}");
	json_t *json = service_spec_to_json(&set.resources[0].service);
	char *text = json_dumps(json, JSON_COMPACT);

	(void) state;
	assert_string_equal(text,
						"{\"name\":\"s\",\"namespace\":\"default\",\"target\":{\"name\":\"m\",\"namespace\":"
						"\"default\",\"port\":1,\"protocol\":\"tcp\",\"connection-tracking\":{\"connection-aware\":"
						"{\"ignore\":{\"users\":[\"a\",\"b\"]}}}},\"bind\":{\"external\":{\"protocol\":\"http\","
						"\"host\":\"h.example\",\"port\":80}}}");
	free(text);
	json_decref(json);
	resource_set_clear(&set);
}

static void
test_form_of_a_volume(void **state)
{
	ResourceSet set = parse_good("volume: {name: v, namespace: n, mode: read-only, size: 1GB}");
	json_t *json = volume_spec_to_json(&set.resources[0].volume);
	char *text = json_dumps(json, JSON_COMPACT);
	VolumeSpec back;
	Error err = {0};

	(void) state;
	assert_string_equal(text, "{\"name\":\"v\",\"namespace\":\"n\",\"mode\":\"read-only\",\"size\":\"1G\"}");
	assert_int_equal(volume_spec_from_json(json, &back, &err), 0);
	assert_string_equal(back.name, "v");
	assert_string_equal(back.name_space, "n");
	assert_int_equal(back.mode, VOLUME_READ_ONLY);
	assert_int_equal(back.size_bytes, 1000000000);
	free(text);
	json_decref(json);
	resource_set_clear(&set);
}

static void
test_hostile_apps(void **state)
{
	static const struct
	{
		const char *json;
		const char *message;
	} cases[] = {
		{"[]", "app: must be a map"},
		{"{}", "app.name: is missing; it must be a name"},
		{"{\"name\":\"../a\",\"image\":\"i\"}", "app.name: a name must begin with a letter, but this is '../a'"},
		{"{\"name\":1,\"image\":\"i\"}", "app.name: a name must begin with a letter, but this is '1'"},
		{"{\"name\":\"a\",\"image\":null}",
		 "app.image: is missing; it must be the name of an image, or there is a 'build'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"resources\":{\"cpu\":\"1\"}}",
		 "app.resources.cpu: must be a whole number from 1 to 24, but is text: '1'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"resources\":{\"memory\":-1}}",
		 "app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is '-1'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"resources\":{\"memory\":1e3}}",
		 "app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is '1000.0'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"mode\":\"asleep\"}",
		 "app.mode: must be 'regular' or 'flash', but is 'asleep'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"environment\":{\"A=B\":\"c\"}}",
		 "app.environment: the name of a variable must not hold '=' or control characters, but this is 'A=B'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"environment\":{\"A\":\"b\\u0000c\"}}", "text must not hold a NUL byte"},
		{"{\"name\":\"a\",\"image\":\"i\",\"volumes\":[{\"name\":\"v\",\"path\":\"/../etc\"}]}",
		 "app.volumes[0].path: a path must not hold '.' or '..', but this is '/../etc'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"expose\":{\"e\":{\"port\":70000}}}",
		 "app.expose.e.port: must be a whole number from 1 to 65535, but is '70000'"},
		{"{\"name\":\"a\",\"image\":\"i\",\"command\":[1,true,null]}", "app.command[2]: must be text, but is empty"},
		{"{\"name\":\"a\",\"image\":\"i\",\"colour\":\"red\"}",
		 "app: unknown key 'colour'; known keys: expose, name, namespace, tags, image, build, resources, mode, "
		 "environment, secrets, volumes, command, init-scripts, restart-policy, depends-on"},
		{"{\"a\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}", "is nested more than 16 levels deep"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t *json = json_loads(cases[i].json, JSON_ALLOW_NUL, NULL);
		AppSpec spec = {.cpus = 4711};
		Error err = {0};

		assert_non_null(json);
		assert_int_equal(app_spec_from_json(RESOURCE_APP, json, &spec, &err), -EINVAL);
		assert_string_equal(err.message, cases[i].message);
		assert_int_equal(spec.cpus, 4711);
		json_decref(json);
	}
}

static void
test_hostile_volumes(void **state)
{
	static const char *const texts[] = {
		"\"v\"",
		"{\"name\":\"v\"}",
		"{\"name\":\"v\",\"size\":\"1\"}",
		"{\"name\":\"v\",\"size\":99999999999999999999999}",
		"{\"name\":\"v\",\"size\":\"16Mi\",\"mode\":\"\"}",
		"{\"name\":\"v\",\"size\":\"16Mi\",\"namespace\":{}}",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		json_t *json = json_loads(texts[i], JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
		VolumeSpec spec;
		Error err = {0};

		assert_int_equal(volume_spec_from_json(json, &spec, &err), -EINVAL);
		assert_int_equal(err.code, -EINVAL);
		json_decref(json);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form_of_an_app),		 cmocka_unit_test(test_form_of_an_app_that_goes_to_disk),
		cmocka_unit_test(test_every_key_comes_back), cmocka_unit_test(test_form_of_a_service),
		cmocka_unit_test(test_form_of_a_volume),	 cmocka_unit_test(test_hostile_apps),
		cmocka_unit_test(test_hostile_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
