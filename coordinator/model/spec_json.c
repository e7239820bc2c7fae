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
#include "model/key_struct.h"
#include "model/resource_read.h"
#include "model/spec.h"
#include "model/yaml_node.h"

json_t *
volume_spec_to_json(const VolumeSpec *spec)
{
	return keys_to_json(volume_keys, spec);
}

json_t *
app_spec_to_json(const AppSpec *spec)
{
	return keys_to_json(resource_kind_keys(spec->kind)->keys, spec);
}

json_t *
service_spec_to_json(const ServiceSpec *spec)
{
	return keys_to_json(service_keys, spec);
}

json_t *
postgres_spec_to_json(const PostgresSpec *spec)
{
	return keys_to_json(postgres_keys, spec);
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
app_spec_from_json(ResourceKind kind, const json_t *json, AppSpec *ret_spec, Error *err)
{
	Resource resource;
	int result = resource_from_json(kind, json, &resource, err);

	if (result == 0)
		*ret_spec = resource.app;
	return result;
}

int
service_spec_from_json(const json_t *json, ServiceSpec *ret_spec, Error *err)
{
	Resource resource;
	int result = resource_from_json(RESOURCE_SERVICE, json, &resource, err);

	if (result == 0)
		*ret_spec = resource.service;
	return result;
}

int
postgres_spec_from_json(const json_t *json, PostgresSpec *ret_spec, Error *err)
{
	Resource resource;
	int result = resource_from_json(RESOURCE_POSTGRES, json, &resource, err);

	if (result == 0)
		*ret_spec = resource.postgres;
	return result;
}
