/* From nodes to structs, as the tables say; see key_read.h. Scalars are in key_value.c. */
#include "model/key_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_value.h"

void
key_path_join(char out[KEY_PATH_BYTES], const char *path, const char *name)
{
	char joined[KEY_PATH_BYTES];

	snprintf(joined, sizeof(joined), "%s%s%s", path, path[0] == '\0' ? "" : ".", name);
	memcpy(out, joined, sizeof(joined));
}

static void *
field_of(void *target, size_t offset)
{
	return (char *) target + offset;
}

/* Says that a value is of the wrong kind. */
static void
refuse_value(const Key *key, const Node *node, const char *path, DiagnosticList *diagnostics)
{
	char expected[200];
	char found[QUOTED_BYTES + 32];

	if (node->type == NODE_REFUSED)
		return;
	key_describe(key, expected, sizeof(expected));
	node_describe(node, found, sizeof(found));
	diagnostic_add(diagnostics, node->mark, path, "must be %s, but is %s", expected, found);
}

/* Room for one more element of the array of structs that key describes. */
static void *
array_append(const Key *key, void *target)
{
	void **array = field_of(target, key->offset);
	size_t *count = field_of(target, key->count_offset);
	char *grown = realloc(*array, (*count + 1) * key->bytes);

	if (grown == NULL)
		abort();
	*array = grown;
	memset(grown + *count * key->bytes, 0, key->bytes);
	return grown + (*count)++ * key->bytes;
}

static bool
is_too_long(const Key *key, const Node *node, const char *path, DiagnosticList *diagnostics)
{
	if (node->count <= key->maximum)
		return false;
	diagnostic_add(diagnostics, node->mark, path, "has %zu entries; at most %llu are taken", node->count,
				   (unsigned long long) key->maximum);
	return true;
}

/* A map below a key or in a list; anything else is refused. */
static void
read_map(const Key *key, const Node *node, SourceMark owner, const char *path, void *target,
		 DiagnosticList *diagnostics)
{
	if (node->type == NODE_MAP || node->type == NODE_NULL)
		keys_read(key->keys, node, owner, path, field_of(target, key->base), diagnostics);
	else if (node->type != NODE_REFUSED)
	{
		char found[QUOTED_BYTES + 32];

		node_describe(node, found, sizeof(found));
		diagnostic_add(diagnostics, node->mark, path, "must be a map, but is %s", found);
	}
}

static void
read_map_list(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	if (node->type != NODE_LIST)
	{
		refuse_value(key, node, path, diagnostics);
		return;
	}
	if (is_too_long(key, node, path, diagnostics))
		return;
	for (size_t i = 0; i < node->count; i++)
	{
		void *element = array_append(key, target);
		SourceMark mark = node->items[i].mark;
		char below[KEY_PATH_BYTES + 16];

		snprintf(below, sizeof(below), "%s[%zu]", path, i);
		memcpy(field_of(element, key->mark_offset), &mark, sizeof(mark));
		read_map(key, &node->items[i], mark, below, element, diagnostics);
	}
}

static void
read_named_maps(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	if (node->type != NODE_MAP)
	{
		refuse_value(key, node, path, diagnostics);
		return;
	}
	if (is_too_long(key, node, path, diagnostics))
		return;
	for (size_t i = 0; i < node->count; i++)
	{
		const Node *name = &node->keys[i];
		void *element;
		char below[KEY_PATH_BYTES];

		if (name->type == NODE_REFUSED)
			continue;
		element = array_append(key, target);
		key_path_join(below, path, name->text);
		memcpy(field_of(element, key->mark_offset), &name->mark, sizeof(name->mark));
		value_read_name(name, below, element, diagnostics);
		read_map(key, &node->items[i], name->mark, below, element, diagnostics);
	}
}

static const Choice *
find_choice(const Key *key, const Node *word, const char *path, DiagnosticList *diagnostics)
{
	const char *words[16];
	size_t count = 0;
	char expected[200];
	char quoted[QUOTED_BYTES];
	const char *meant;

	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		if (strcmp(choice->word, word->text) == 0 && choice->value != CHOICE_NOT_OFFERED)
			return choice;
		key_describe(key, expected, sizeof(expected));
		if (strcmp(choice->word, word->text) == 0)
		{
			diagnostic_add(diagnostics, word->mark, path, "'%s' is not offered by a single host: %s; it must be %s",
						   choice->word, choice->doc, expected);
			return NULL;
		}
		if (choice->value != CHOICE_NOT_OFFERED)
			words[count++] = choice->word;
	}
	words[count] = NULL;
	meant = word_suggest(word->text, words);
	text_quote(word->text, word->length, quoted);
	if (meant != NULL)
		diagnostic_add(diagnostics, word->mark, path, "must be %s, but is %s; did you mean '%s'?", expected, quoted,
					   meant);
	else
		diagnostic_add(diagnostics, word->mark, path, "must be %s, but is %s", expected, quoted);
	return NULL;
}

/* `nth-listen: 3` */
static void
read_argument(const Choice *choice, const Node *word, const Node *value, const char *path, void *target,
			  DiagnosticList *diagnostics)
{
	char expected[200];

	key_describe(choice->argument, expected, sizeof(expected));
	if (value->type == NODE_NULL)
		diagnostic_add(diagnostics, word->mark, path, "needs a value, %s; write '%s: %s'", expected, choice->word,
					   choice->argument->example);
	else if (value->type != NODE_SCALAR)
		refuse_value(choice->argument, value, path, diagnostics);
	else
		value_read_scalar(choice->argument, value, path, target, diagnostics);
}

/* `mode: regular`, `mode: {flash: {…}}`. */
static void
read_choice(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	static const Node nothing = {.type = NODE_NULL};
	const Node *word = node;
	const Node *details = &nothing;
	const Choice *choice;
	char below[KEY_PATH_BYTES];

	if (node->type == NODE_MAP && node->count == 1 && node->keys[0].type == NODE_SCALAR)
	{
		word = &node->keys[0];
		details = &node->items[0];
	}
	else if (node->type == NODE_MAP && node->count > 1)
	{
		diagnostic_add(diagnostics, node->keys[1].mark, path, "takes one choice, but this map has %zu", node->count);
		return;
	}
	else if (node->type != NODE_SCALAR)
	{
		refuse_value(key, node, path, diagnostics);
		return;
	}
	choice = find_choice(key, word, path, diagnostics);
	if (choice == NULL)
		return;
	memcpy(field_of(target, key->offset), &choice->value, sizeof(choice->value));
	key_path_join(below, path, choice->word);
	if (choice->argument != NULL)
		read_argument(choice, word, details, below, field_of(target, key->base), diagnostics);
	else if (choice->keys != NULL)
		read_map(&(Key){.type = KEY_MAP, .keys = choice->keys, .base = key->base}, details, word->mark, below, target,
				 diagnostics);
	else if (details->type != NODE_NULL)
		diagnostic_add(diagnostics, details->mark, below, "has no keys of its own; write '%s: %s'", key->name,
					   choice->word);
}

static void
read_value(const Key *key, const Node *node, SourceMark owner, const char *path, void *target,
		   DiagnosticList *diagnostics)
{
	switch (key->type)
	{
		case KEY_OPTIONAL_MAP:
			*(bool *) field_of(target, key->offset) = true;
			read_map(key, node, owner, path, target, diagnostics);
			break;
		case KEY_MAP:
			read_map(key, node, owner, path, target, diagnostics);
			break;
		case KEY_MAP_LIST:
			read_map_list(key, node, path, target, diagnostics);
			break;
		case KEY_NAMED_MAPS:
			read_named_maps(key, node, path, target, diagnostics);
			break;
		case KEY_CHOICE:
			read_choice(key, node, path, target, diagnostics);
			break;
		case KEY_TEXT_LIST:
		case KEY_ENVIRONMENT:
			if (node->type != (key->type == KEY_TEXT_LIST ? NODE_LIST : NODE_MAP))
				refuse_value(key, node, path, diagnostics);
			else if (is_too_long(key, node, path, diagnostics))
				break;
			else if (key->type == KEY_TEXT_LIST)
				value_read_text_list(key, node, path, field_of(target, key->offset), diagnostics);
			else
				value_read_environment(key, node, path, field_of(target, key->offset),
									   field_of(target, key->count_offset), diagnostics);
			break;
		default:
			if (node->type != NODE_SCALAR)
				refuse_value(key, node, path, diagnostics);
			else
				value_read_scalar(key, node, path, target, diagnostics);
			break;
	}
}

/* The value of a key that isn't there. */
static void
read_fallback(const Key *key, SourceMark owner, const char *path, void *target, DiagnosticList *diagnostics)
{
	static const Node nothing = {.type = NODE_NULL};

	if (key->required)
	{
		char expected[200];

		key_describe(key, expected, sizeof(expected));
		diagnostic_add(diagnostics, owner, path, "is missing; it must be %s", expected);
	}
	else if (key->type == KEY_MAP)
		keys_read(key->keys, &nothing, owner, path, field_of(target, key->base), diagnostics);
	else if (key->fallback != NULL)
	{
		Node node = node_scalar(key->fallback, false);

		read_value(key, &node, owner, path, target, diagnostics);
		node_clear(&node);
	}
}

static void
refuse_unknown_keys(const Key *keys, const Node *map, const char *path, DiagnosticList *diagnostics)
{
	const char *words[64];
	char listed[384] = "";
	size_t count = 0;

	for (const Key *key = keys; key->name != NULL; key++)
	{
		if (key->type == KEY_NOT_OFFERED)
			continue;
		snprintf(listed + strlen(listed), sizeof(listed) - strlen(listed), "%s%s", count == 0 ? "" : ", ", key->name);
		words[count++] = key->name;
	}
	words[count] = NULL;
	for (size_t i = 0; i < map->count; i++)
	{
		const Node *written = &map->keys[i];
		const Key *key = keys;
		char quoted[QUOTED_BYTES];
		const char *meant;

		while (key->name != NULL && strcmp(key->name, written->text) != 0)
			key++;
		if (key->name != NULL || written->type == NODE_REFUSED)
			continue;
		meant = word_suggest(written->text, words);
		text_quote(written->text, written->length, quoted);
		if (meant != NULL)
			diagnostic_add(diagnostics, written->mark, path, "unknown key %s; did you mean '%s'?", quoted, meant);
		else
			diagnostic_add(diagnostics, written->mark, path, "unknown key %s; known keys: %s", quoted, listed);
	}
}

void
keys_read(const Key *keys, const Node *map, SourceMark owner, const char *path, void *target,
		  DiagnosticList *diagnostics)
{
	if (map->type == NODE_MAP)
		refuse_unknown_keys(keys, map, path, diagnostics);
	for (const Key *key = keys; key->name != NULL; key++)
	{
		const Node *written = NULL;
		const Node *value = node_find(map, key->name, &written);
		char below[KEY_PATH_BYTES];

		key_path_join(below, path, key->name);
		if (key->type == KEY_NOT_OFFERED)
		{
			if (value != NULL)
				diagnostic_add(diagnostics, written->mark, below, "is not offered by a single host: %s", key->doc);
		}
		else if (value == NULL || (value->type == NODE_NULL && key->type != KEY_OPTIONAL_MAP))
			read_fallback(key, written == NULL ? owner : written->mark, below, target, diagnostics);
		else
			read_value(key, value, written->mark, below, target, diagnostics);
	}
}
