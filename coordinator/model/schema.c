/*
 * The format of files of resources as a JSON Schema (draft 2020-12), from the tables of keys, for editors. It says what
 * the tables say; what they cannot say, such as names that must be unique, only a deploy finds.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/keys.h"

#define NAME_PATTERN	   "^(?!.*--)[A-Za-z][A-Za-z0-9_-]{0,62}$"
#define SIZE_PATTERN	   "^[0-9]+([KMGT]i?B?)?$"
#define DURATION_PATTERN   "^([0-9]+|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
#define EXPRESSION_PATTERN "\\$\\{\\{"

static void
put(json_t *object, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(object, key, value) < 0)
		abort();
}

static json_t *
type_schema(const char *type)
{
	return json_pack("{s:s}", "type", type);
}

static json_t *
pattern_schema(const char *pattern)
{
	return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

/* Any value but a map or a list may be written as an expression. Takes the schema over. */
static json_t *
or_expression(json_t *schema)
{
	return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "$ref", "#/$defs/expression");
}

static json_t *
number_schema(const Key *key)
{
	return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t) key->minimum, "maximum",
					 (json_int_t) key->maximum);
}

/* Sizes and durations are numbers too. */
static json_t *
measure_schema(const char *pattern)
{
	return json_pack("{s:[{s:s, s:i}, o]}", "anyOf", "type", "integer", "minimum", 0, pattern_schema(pattern));
}

static json_t *
text_schema(void)
{
	return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
}

static json_t *keys_schema(const Key *keys);

static json_t *
choice_schema(const Key *key)
{
	json_t *words = json_array();
	json_t *maps = json_object();

	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		if (choice->value == CHOICE_NOT_OFFERED)
			continue;
		if (choice->argument == NULL)
			json_array_append_new(words, json_string(choice->word));
		if (choice->argument != NULL)
			put(maps, choice->word, or_expression(number_schema(choice->argument)));
		else if (choice->keys != NULL)
			put(maps, choice->word, keys_schema(choice->keys));
		else
			put(maps, choice->word, type_schema("null"));
	}
	return json_pack("{s:[{s:o}, {s:s, s:o, s:b, s:i, s:i}, {s:s}]}", "anyOf", "enum", words, "type", "object",
					 "properties", maps, "additionalProperties", 0, "minProperties", 1, "maxProperties", 1, "$ref",
					 "#/$defs/expression");
}

static json_t *
value_schema(const Key *key)
{
	switch (key->type)
	{
		case KEY_MAP:
		case KEY_OPTIONAL_MAP:
			return keys_schema(key->keys);
		case KEY_MAP_LIST:
			return json_pack("{s:s, s:I, s:o}", "type", "array", "maxItems", (json_int_t) key->maximum, "items",
							 keys_schema(key->keys));
		case KEY_NAMED_MAPS:
			return json_pack("{s:s, s:I, s:o, s:o}", "type", "object", "maxProperties", (json_int_t) key->maximum,
							 "propertyNames", pattern_schema(NAME_PATTERN), "additionalProperties",
							 keys_schema(key->keys));
		case KEY_CHOICE:
			return choice_schema(key);
		case KEY_ENVIRONMENT:
			return json_pack("{s:s, s:I, s:o}", "type", "object", "maxProperties", (json_int_t) key->maximum,
							 "additionalProperties", text_schema());
		case KEY_TEXT_LIST:
			return json_pack("{s:s, s:i, s:I, s:o}", "type", "array", "minItems", 1, "maxItems",
							 (json_int_t) key->maximum, "items", text_schema());
		case KEY_NAME:
			return or_expression(pattern_schema(NAME_PATTERN));
		case KEY_NUMBER:
			return or_expression(number_schema(key));
		case KEY_SIZE:
			return or_expression(measure_schema(SIZE_PATTERN));
		case KEY_DURATION:
			return or_expression(measure_schema(DURATION_PATTERN));
		case KEY_PATH:
			return or_expression(pattern_schema("^/"));
		case KEY_BOOLEAN:
			return or_expression(type_schema("boolean"));
		default:
			return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
	}
}

static json_t *
key_schema(const Key *key)
{
	json_t *schema = value_schema(key);

	put(schema, "description", json_string(key->doc));
	if (key->fallback != NULL)
		put(schema, "default", json_string(key->fallback));
	return schema;
}

/* A map in which nothing is required may be left empty. */
static json_t *
keys_schema(const Key *keys)
{
	json_t *properties = json_object();
	json_t *required = json_array();
	bool may_be_empty;

	for (const Key *key = keys; key->name != NULL; key++)
	{
		if (key->type == KEY_NOT_OFFERED)
			continue;
		put(properties, key->name, key_schema(key));
		if (key->required)
			json_array_append_new(required, json_string(key->name));
	}
	may_be_empty = json_array_size(required) == 0;
	return json_pack("{s:o, s:o, s:o, s:b}", "type",
					 may_be_empty ? json_pack("[s, s]", "object", "null") : json_string("object"), "properties",
					 properties, "required", required, "additionalProperties", 0);
}

json_t *
resource_schema(void)
{
	json_t *kinds = json_array();
	json_t *definitions = json_pack("{s:o}", "expression", pattern_schema(EXPRESSION_PATTERN));

	put(json_object_get(definitions, "expression"), "description", json_string("an expression: ${{ … }}"));
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		char reference[64];
		json_t *keys;

		if (kind->kind == CHOICE_NOT_OFFERED)
			continue;
		keys = keys_schema(kind->keys);
		put(keys, "description", json_string(kind->doc));
		if (kind->one_of[0] != NULL)
			put(keys, "oneOf",
				json_pack("[{s:[s]}, {s:[s]}]", "required", kind->one_of[0], "required", kind->one_of[1]));
		put(definitions, kind->name, keys);
		snprintf(reference, sizeof(reference), "#/$defs/%s", kind->name);
		json_array_append_new(kinds,
							  json_pack("{s:s, s:[s], s:{s:{s:s}}, s:b}", "type", "object", "required", kind->name,
										"properties", kind->name, "$ref", reference, "additionalProperties", 0));
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
					 "lttle resources", "description",
					 "One document of a file of resources; a file has several, separated by ---.", "oneOf", kinds,
					 "$defs", definitions);
}
