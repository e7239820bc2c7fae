/* JSON as YAML; see yaml_write.h. */
#include "model/yaml_write.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void write_value(const json_t *value, unsigned depth, Text *out);

/* Text that YAML reads as nothing else: begins with a letter, holds nothing special, is no word of its own. */
static bool
is_plain(const char *text)
{
	static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};

	if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || *text == '/' || *text == '_'))
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strcasecmp(words[i], text) == 0)
			return false;
	}
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(text);
}

/* YAML takes JSON's quotes and escapes as they are. */
static void
write_scalar(const json_t *value, Text *out)
{
	char *text;

	if (json_is_string(value) && is_plain(json_string_value(value)))
	{
		text_append(out, json_string_value(value));
		return;
	}
	text = json_dumps(value, JSON_ENCODE_ANY);
	text_append(out, text == NULL ? "null" : text);
	free(text);
}

static bool
is_empty(const json_t *value)
{
	return (json_is_object(value) && json_object_size(value) == 0) ||
		   (json_is_array(value) && json_array_size(value) == 0);
}

static void
write_indent(unsigned depth, Text *out)
{
	text_printf(out, "%*s", (int) (2 * depth), "");
}

/* The first key of a map in a list stands behind the dash. */
static void
write_map(const json_t *map, unsigned depth, bool behind_dash, Text *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) map, key, value)
	{
		json_t *name = json_string(key);

		if (!behind_dash)
			write_indent(depth, out);
		behind_dash = false;
		write_scalar(name, out);
		json_decref(name);
		text_append(out, ":");
		write_value(value, depth + 1, out);
	}
}

static void
write_list(const json_t *list, unsigned depth, Text *out)
{
	const json_t *item;
	size_t index;

	json_array_foreach(list, index, item)
	{
		write_indent(depth, out);
		text_append(out, "-");
		if (json_is_object(item) && !is_empty(item))
		{
			text_append(out, " ");
			write_map(item, depth + 1, true, out);
		}
		else
			write_value(item, depth + 1, out);
	}
}

/* What stands behind "key:" or "-". */
static void
write_value(const json_t *value, unsigned depth, Text *out)
{
	if (json_is_object(value) && !is_empty(value))
	{
		text_append(out, "\n");
		write_map(value, depth, false, out);
	}
	else if (json_is_array(value) && !is_empty(value))
	{
		text_append(out, "\n");
		write_list(value, depth, out);
	}
	else
	{
		text_append(out, " ");
		write_scalar(value, out);
		text_append(out, "\n");
	}
}

void
yaml_write(const json_t *object, Text *out)
{
	write_map(object, 0, false, out);
}
