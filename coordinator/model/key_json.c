/* A struct that a table of keys describes, as JSON; see key_struct.h. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/key_struct.h"

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

static const void *
field_of(const void *source, size_t offset)
{
	return (const char *) source + offset;
}

static json_t *
text_list_json(char *const *texts)
{
	json_t *list;

	if (texts == NULL)
		return NULL;
	list = json_must(json_array());
	for (; *texts != NULL; texts++)
		json_array_append_new(list, json_must(json_string(*texts)));
	return list;
}

static json_t *
environment_json(const Key *key, const void *source)
{
	const EnvironmentVariable *variables = *(EnvironmentVariable *const *) field_of(source, key->offset);
	size_t count = *(const size_t *) field_of(source, key->count_offset);
	json_t *object = json_must(json_object());

	for (size_t i = 0; i < count; i++)
		put(object, variables[i].name, json_string(variables[i].value));
	return object;
}

static json_t *
array_json(const Key *key, const void *source)
{
	const char *element = *(char *const *) field_of(source, key->offset);
	size_t count = *(const size_t *) field_of(source, key->count_offset);
	bool named = key->type == KEY_NAMED_MAPS;
	json_t *array = json_must(named ? json_object() : json_array());

	for (size_t i = 0; i < count; i++, element += key->bytes)
	{
		if (named)
			put(array, element, keys_to_json(key->keys, element));
		else
			json_array_append_new(array, keys_to_json(key->keys, element));
	}
	return array;
}

/* A value that a user could not have written is the one of a key that isn't there. */
static json_t *
number_json(const Key *key, const void *source)
{
	uint64_t number = key_number(key, source);
	char text[32];

	if (number < key->minimum)
		return NULL;
	if (key->type == KEY_NUMBER)
		return json_integer((json_int_t) number);
	if (key->type == KEY_SIZE)
		size_format(number, text);
	else
		duration_format(number, text);
	return json_string(text);
}

static json_t *
choice_json(const Key *key, const void *source)
{
	const Choice *choice = key_choice(key, source);
	const void *below = field_of(source, key->base);
	json_t *map = NULL;

	if (choice == NULL || (key->brief && key->fallback != NULL && strcmp(choice->word, key->fallback) == 0))
		return NULL;
	if (choice->argument != NULL)
		map = number_json(choice->argument, below);
	else if (choice->keys != NULL)
		map = keys_to_json(choice->keys, below);
	if (map == NULL || (json_is_object(map) && json_object_size(map) == 0))
	{
		json_decref(map);
		return json_string(choice->word);
	}
	return json_pack("{s:o}", choice->word, map);
}

static json_t *
value_json(const Key *key, const void *source)
{
	const void *field = field_of(source, key->offset);
	json_t *map;

	switch (key->type)
	{
		case KEY_MAP:
			map = keys_to_json(key->keys, field_of(source, key->base));
			if (json_object_size(map) > 0)
				return map;
			json_decref(map);
			return NULL;
		case KEY_OPTIONAL_MAP:
			return *(const bool *) field ? keys_to_json(key->keys, field_of(source, key->base)) : NULL;
		case KEY_MAP_LIST:
		case KEY_NAMED_MAPS:
			return array_json(key, source);
		case KEY_CHOICE:
			return choice_json(key, source);
		case KEY_ENVIRONMENT:
			return environment_json(key, source);
		case KEY_TEXT_LIST:
			return text_list_json(*(char *const *const *) field);
		case KEY_TEXT:
		case KEY_IMAGE:
		case KEY_PATH:
			return *(char *const *) field == NULL ? NULL : json_string(*(char *const *) field);
		case KEY_NUMBER:
		case KEY_SIZE:
		case KEY_DURATION:
			return number_json(key, source);
		case KEY_NAME:
		case KEY_WORD:
			return *(const char *) field == '\0' ? NULL : json_string(field);
		case KEY_BOOLEAN:
			return json_boolean(*(const bool *) field);
		default:
			return NULL;
	}
}

json_t *
keys_to_json(const Key *keys, const void *source)
{
	json_t *object = json_must(json_object());

	for (const Key *key = keys; key->name != NULL; key++)
	{
		json_t *value = value_json(key, source);

		if (value != NULL)
			put(object, key->name, value);
	}
	return object;
}
