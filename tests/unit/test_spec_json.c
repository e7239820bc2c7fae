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
	assert_int_equal(app_spec_from_json(json, &back, &err), 0);
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
		"{\"name\":\"a\",\"namespace\":\"default\",\"image\":\"i\",\"resources\":{\"cpu\":1,\"memory\":256},"
		"\"mode\":\"regular\",\"environment\":{},\"volumes\":[],\"expose\":{}}");
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
		"{\"name\":\"a\",\"namespace\":\"n\",\"image\":\"i:1\",\"resources\":{\"cpu\":2,\"memory\":512},"
		"\"mode\":{\"flash\":{\"strategy\":\"manual\",\"timeout\":\"1500ms\"}},"
		"\"environment\":{\"A\":\"a\\nä\",\"Z\":\"1\",\"x.y\":\"\"},"
		"\"volumes\":[{\"name\":\"v\",\"namespace\":\"n\",\"path\":\"/v\"},"
		"{\"name\":\"w\",\"namespace\":\"m\",\"path\":\"/w\"}],"
		"\"expose\":{\"z\":{\"port\":1,\"internal\":{\"port\":1},\"connection-tracking\":\"connection-aware\"},"
		"\"y\":{\"port\":2,\"internal\":{\"port\":3},"
		"\"connection-tracking\":{\"traffic-aware\":{\"inactivity-timeout\":\"90s\"}}}},"
		"\"command\":[\"x\",\"\",\"z\"]}");
}

/* What is not set is not there. */
static void
test_form_of_an_app_that_goes_to_disk(void **state)
{
	(void) state;
	assert_app_json(
		"app: {name: a, image: i, mode: {flash: {strategy: manual, snapshot: disk, hibernate-after: 90}}}",
		"{\"name\":\"a\",\"namespace\":\"default\",\"image\":\"i\",\"resources\":{\"cpu\":1,\"memory\":256},"
		"\"mode\":{\"flash\":{\"strategy\":\"manual\",\"timeout\":\"10s\",\"snapshot\":\"disk\","
		"\"hibernate-after\":\"90s\"}},\"environment\":{},\"volumes\":[],\"expose\":{}}");
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
		{"{\"name\":\"a\",\"image\":null}", "app.image: is missing; it must be the name of an image"},
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
		 "app: unknown key 'colour'; known keys: name, namespace, image, resources, mode, environment, volumes, "
		 "expose, command"},
		{"{\"a\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}", "is nested more than 16 levels deep"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		json_t *json = json_loads(cases[i].json, JSON_ALLOW_NUL, NULL);
		AppSpec spec = {.cpus = 4711};
		Error err = {0};

		assert_non_null(json);
		assert_int_equal(app_spec_from_json(json, &spec, &err), -EINVAL);
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
		cmocka_unit_test(test_form_of_an_app),	 cmocka_unit_test(test_form_of_an_app_that_goes_to_disk),
		cmocka_unit_test(test_form_of_a_volume), cmocka_unit_test(test_hostile_apps),
		cmocka_unit_test(test_hostile_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
