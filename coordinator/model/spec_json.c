/*
 * Specs as JSON and back. The keys are those of the YAML, and what comes back goes through the same tables, so that
 * JSON from a database or a client is checked exactly as a file is.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/keys.h"
#include "model/resource_read.h"
#include "model/spec.h"
#include "model/yaml_node.h"

/* jansson fails on memory and on text that is no UTF-8. The text was UTF-8 when it was read. */
static json_t *
json_must(json_t *json)
{
	if (json == NULL)
	{
		fputs("JSON: out of memory\n", stderr);
		abort();
	}
	return json;
}

static void
put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, json_must(value)) < 0)
		abort();
}

static json_t *
size_json(uint64_t bytes)
{
	char text[32];

	size_format(bytes, text);
	return json_string(text);
}

static json_t *
duration_json(uint64_t ms)
{
	char text[32];

	duration_format(ms, text);
	return json_string(text);
}

static const char *
choice_word(const Key *keys, const char *name, int value)
{
	while (strcmp(keys->name, name) != 0)
		keys++;
	for (const Choice *choice = keys->choices; choice->word != NULL; choice++)
	{
		if (choice->value == value)
			return choice->word;
	}
	abort();
}

json_t *
volume_spec_to_json(const VolumeSpec *spec)
{
	json_t *json = json_must(json_object());

	put(json, "name", json_string(spec->name));
	put(json, "namespace", json_string(spec->name_space));
	put(json, "mode", json_string(choice_word(resource_kind_keys(RESOURCE_VOLUME)->keys, "mode", (int) spec->mode)));
	put(json, "size", size_json(spec->size_bytes));
	return json;
}

static json_t *
mode_json(const AppSpec *spec)
{
	json_t *flash;

	if (spec->mode == MODE_REGULAR)
		return json_string("regular");
	flash = json_must(json_object());
	put(flash, "strategy", json_string("manual"));
	put(flash, "timeout", duration_json(spec->timeout_ms));
	if (spec->snapshot == SNAPSHOT_DISK)
		put(flash, "snapshot", json_string("disk"));
	if (spec->hibernate_after_ms > 0)
		put(flash, "hibernate-after", duration_json(spec->hibernate_after_ms));
	return json_pack("{s:o}", "flash", flash);
}

static json_t *
expose_json(const Expose *expose)
{
	json_t *json = json_must(json_object());

	put(json, "port", json_integer(expose->port));
	put(json, "internal", json_pack("{s:i}", "port", (int) expose->internal_port));
	if (expose->tracking == TRACKING_CONNECTION_AWARE)
		put(json, "connection-tracking", json_string("connection-aware"));
	else
		put(json, "connection-tracking",
			json_pack("{s:{s:o}}", "traffic-aware", "inactivity-timeout",
					  json_must(duration_json(expose->inactivity_timeout_ms))));
	return json;
}

static json_t *
volumes_json(const AppSpec *spec)
{
	json_t *list = json_must(json_array());

	for (size_t i = 0; i < spec->volume_count; i++)
	{
		json_t *mount = json_must(json_object());

		put(mount, "name", json_string(spec->volumes[i].name));
		put(mount, "namespace", json_string(spec->volumes[i].name_space));
		put(mount, "path", json_string(spec->volumes[i].path));
		json_array_append_new(list, mount);
	}
	return list;
}

json_t *
app_spec_to_json(const AppSpec *spec)
{
	json_t *json = json_must(json_object());
	json_t *part;

	put(json, "name", json_string(spec->name));
	put(json, "namespace", json_string(spec->name_space));
	put(json, "image", json_string(spec->image));
	put(json, "resources",
		json_pack("{s:I, s:I}", "cpu", (json_int_t) spec->cpus, "memory", (json_int_t) spec->memory_mib));
	put(json, "mode", mode_json(spec));
	part = json_must(json_object());
	for (size_t i = 0; i < spec->environment_count; i++)
		put(part, spec->environment[i].name, json_string(spec->environment[i].value));
	put(json, "environment", part);
	put(json, "volumes", volumes_json(spec));
	part = json_must(json_object());
	for (size_t i = 0; i < spec->expose_count; i++)
		put(part, spec->exposes[i].name, expose_json(&spec->exposes[i]));
	put(json, "expose", part);
	if (spec->command == NULL)
		return json;
	part = json_must(json_array());
	for (char **argument = spec->command; *argument != NULL; argument++)
		json_array_append_new(part, json_must(json_string(*argument)));
	put(json, "command", part);
	return json;
}

static int node_from_json(const json_t *json, unsigned depth, Node *ret_node, Error *err);

static int
map_from_json(const json_t *json, unsigned depth, Node *ret_node, Error *err)
{
	const char *key;
	json_t *value;

	ret_node->type = NODE_MAP;
	/* The macro wants a pointer to non-const; nothing is changed. */
	json_object_foreach((json_t *) json, key, value)
	{
		Node *key_node;
		Node *slot = node_append(ret_node, &key_node);
		int result;

		*key_node = node_scalar(key, true);
		result = node_from_json(value, depth, slot, err);
		if (result < 0)
			return result;
	}
	return 0;
}

static int
list_from_json(const json_t *json, unsigned depth, Node *ret_node, Error *err)
{
	ret_node->type = NODE_LIST;
	for (size_t i = 0; i < json_array_size(json); i++)
	{
		int result = node_from_json(json_array_get(json, i), depth, node_append(ret_node, NULL), err);

		if (result < 0)
			return result;
	}
	return 0;
}

static int
node_from_json(const json_t *json, unsigned depth, Node *ret_node, Error *err)
{
	char number[64];
	char *real;

	if (depth >= NODE_MAX_DEPTH)
		return error_set(err, -EINVAL, "is nested more than %d levels deep", NODE_MAX_DEPTH);
	switch (json_typeof(json))
	{
		case JSON_OBJECT:
			return map_from_json(json, depth + 1, ret_node, err);
		case JSON_ARRAY:
			return list_from_json(json, depth + 1, ret_node, err);
		case JSON_STRING:
			if (strlen(json_string_value(json)) != json_string_length(json))
				return error_set(err, -EINVAL, "text must not hold a NUL byte");
			*ret_node = node_scalar(json_string_value(json), true);
			return 0;
		case JSON_INTEGER:
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
			*ret_node = node_scalar(number, false);
			return 0;
		case JSON_REAL:
			real = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
			*ret_node = node_scalar(real == NULL ? "" : real, false);
			free(real);
			return 0;
		case JSON_TRUE:
		case JSON_FALSE:
			*ret_node = node_scalar(json_is_true(json) ? "true" : "false", false);
			return 0;
		default:
			return 0;
	}
}

/* Reads a resource; the first problem becomes the error. */
static int
resource_from_json(ResourceKind kind, const json_t *json, Resource *ret_resource, Error *err)
{
	DiagnosticList problems = {0};
	Node node = {0};
	int result;

	if (!json_is_object(json))
		return error_set(err, -EINVAL, "%s: must be a map", resource_kind_name(kind));
	result = node_from_json(json, 0, &node, err);
	if (result < 0)
	{
		node_clear(&node);
		return result;
	}
	resource_read(kind, &node, (SourceMark){0}, ret_resource, &problems);
	node_clear(&node);
	if (problems.count > 0)
	{
		result = error_set(err, -EINVAL, "%s: %s", problems.items[0].key_path, problems.items[0].message);
		resource_clear(ret_resource);
	}
	diagnostic_list_clear(&problems);
	return result;
}

int
volume_spec_from_json(const json_t *json, VolumeSpec *ret_spec, Error *err)
{
	Resource resource;
	int result = resource_from_json(RESOURCE_VOLUME, json, &resource, err);

	if (result == 0)
		*ret_spec = resource.volume;
	return result;
}

int
app_spec_from_json(const json_t *json, AppSpec *ret_spec, Error *err)
{
	Resource resource;
	int result = resource_from_json(RESOURCE_APP, json, &resource, err);

	if (result == 0)
		*ret_spec = resource.app;
	return result;
}
