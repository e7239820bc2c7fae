/* From YAML text to trees of nodes; see yaml_node.h. */
#include "model/yaml_node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/text.h"
#include "model/diagnostics.h"

#define DIRECTIVES_MAX 100

typedef struct Builder
{
	yaml_parser_t parser;
	const char *text;
	size_t size;
	unsigned file;
	DiagnosticList *diagnostics;
} Builder;

void
node_clear(Node *node)
{
	for (size_t i = 0; i < node->count; i++)
	{
		if (node->keys != NULL)
			node_clear(&node->keys[i]);
		node_clear(&node->items[i]);
	}
	free(node->keys);
	free(node->items);
	free(node->text);
	*node = (Node){0};
}

Node *
node_append(Node *parent, Node **ret_key)
{
	parent->items = memory_grow(parent->items, &parent->item_capacity, parent->count + 1, sizeof(Node));
	if (ret_key != NULL)
	{
		parent->keys = memory_grow(parent->keys, &parent->key_capacity, parent->count + 1, sizeof(Node));
		*ret_key = &parent->keys[parent->count];
	}
	return &parent->items[parent->count++];
}

const Node *
node_find(const Node *map, const char *key, const Node **ret_key)
{
	if (map->type != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
	{
		if (strcmp(map->keys[i].text, key) != 0)
			continue;
		if (ret_key != NULL)
			*ret_key = &map->keys[i];
		return &map->items[i];
	}
	return NULL;
}

Node
node_scalar(const char *text, bool quoted)
{
	return (Node){.type = NODE_SCALAR, .text = memory_duplicate(text), .length = strlen(text), .quoted = quoted};
}

static SourceMark
mark_of(const Builder *builder, yaml_mark_t mark)
{
	return (SourceMark){(unsigned) mark.line + 1, (unsigned) mark.column + 1, builder->file};
}

/* Where a byte is. libyaml gives only the offset when it cannot even decode the text. */
static SourceMark
mark_of_offset(const Builder *builder, size_t offset)
{
	SourceMark mark = {1, 1, builder->file};

	for (size_t i = 0; i < offset && i < builder->size; i++)
	{
		unsigned char c = (unsigned char) builder->text[i];

		if (c == '\n')
		{
			mark.line++;
			mark.column = 1;
		}
		else if ((c & 0xc0) != 0x80)
			mark.column++;
	}
	return mark;
}

/* Whether the character at a mark is a tab. libyaml's index counts characters, so the place is looked up by line. */
static bool
is_tab_at(const Builder *builder, yaml_mark_t mark)
{
	const char *end = builder->text + builder->size;
	const char *c = builder->text;

	for (size_t line = 0; line < mark.line; line++)
	{
		c = memchr(c, '\n', (size_t) (end - c));
		if (c == NULL)
			return false;
		c++;
	}
	for (size_t column = 0; c < end && column < mark.column; c++)
	{
		if (((unsigned char) c[0] & 0xc0) != 0x80)
			column++;
	}
	return c < end && *c == '\t';
}

static int
report_syntax(Builder *builder)
{
	yaml_parser_t *parser = &builder->parser;
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_READER_ERROR)
	{
		diagnostic_add(builder->diagnostics, mark_of_offset(builder, parser->problem_offset), "",
					   "is not valid YAML: %s", parser->problem);
		return -EINVAL;
	}
	if (is_tab_at(builder, mark))
	{
		diagnostic_add(builder->diagnostics, mark_of(builder, mark), "",
					   "is not valid YAML: there is a tab; indent with spaces");
		return -EINVAL;
	}
	if (parser->context != NULL && parser->context_mark.line != mark.line)
		diagnostic_add(builder->diagnostics, mark_of(builder, mark), "",
					   "is not valid YAML: %s (%s that begins at line %zu)", parser->problem, parser->context,
					   parser->context_mark.line + 1);
	else
		diagnostic_add(builder->diagnostics, mark_of(builder, mark), "", "is not valid YAML: %s",
					   parser->problem == NULL ? "cannot be read" : parser->problem);
	return -EINVAL;
}

static int
next_event(Builder *builder, yaml_event_t *ret_event)
{
	if (!yaml_parser_parse(&builder->parser, ret_event))
		return report_syntax(builder);
	return 0;
}

/* Anchors and tags are reported; NULL means that there is none. */
static void
refuse_decorations(Builder *builder, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		diagnostic_add(builder->diagnostics, mark_of(builder, event->start_mark), "",
					   "anchors and aliases are not taken; write the value out");
	if (tag != NULL)
		diagnostic_add(builder->diagnostics, mark_of(builder, event->start_mark), "",
					   "tags such as '!!str' are not taken; put text in quotes instead");
}

static bool
is_null_word(const char *text, size_t length)
{
	return length == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
		   strcmp(text, "NULL") == 0;
}

static void
build_scalar(Builder *builder, const yaml_event_t *event, Node *ret_node)
{
	const char *value = (const char *) event->data.scalar.value;
	size_t length = event->data.scalar.length;

	ret_node->mark = mark_of(builder, event->start_mark);
	refuse_decorations(builder, event, event->data.scalar.anchor, event->data.scalar.tag);
	if (memchr(value, '\0', length) != NULL)
	{
		diagnostic_add(builder->diagnostics, ret_node->mark, "", "text must not hold a NUL byte");
		ret_node->type = NODE_REFUSED;
		return;
	}
	ret_node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!ret_node->quoted && is_null_word(value, length))
	{
		ret_node->type = NODE_NULL;
		return;
	}
	ret_node->type = NODE_SCALAR;
	ret_node->text = memory_duplicate(value);
	ret_node->length = length;
}

static int build_node(Builder *builder, const yaml_event_t *event, unsigned depth, Node *ret_node);

static int
build_list(Builder *builder, unsigned depth, Node *ret_node)
{
	for (;;)
	{
		yaml_event_t event;
		int result = next_event(builder, &event);

		if (result < 0)
			return result;
		if (event.type == YAML_SEQUENCE_END_EVENT)
		{
			yaml_event_delete(&event);
			return 0;
		}
		result = build_node(builder, &event, depth, node_append(ret_node, NULL));
		yaml_event_delete(&event);
		if (result < 0)
			return result;
	}
}

/* A key must be text. What isn't is reported and gets an empty name, which no table knows. */
static void
check_key(Builder *builder, Node *key)
{
	if (key->type == NODE_SCALAR)
		return;
	if (key->type != NODE_REFUSED)
		diagnostic_add(builder->diagnostics, key->mark, "", "a key must be text");
	*key = (Node){.type = NODE_REFUSED, .mark = key->mark, .text = memory_duplicate("")};
}

static int
build_map(Builder *builder, unsigned depth, Node *ret_node)
{
	for (;;)
	{
		yaml_event_t event;
		Node key = {0};
		Node value = {0};
		Node *slot;
		Node *key_slot;
		int result = next_event(builder, &event);

		if (result < 0)
			return result;
		if (event.type == YAML_MAPPING_END_EVENT)
		{
			yaml_event_delete(&event);
			return 0;
		}
		result = build_node(builder, &event, depth, &key);
		yaml_event_delete(&event);
		if (result == 0)
			result = next_event(builder, &event);
		if (result == 0)
		{
			result = build_node(builder, &event, depth, &value);
			yaml_event_delete(&event);
		}
		if (result < 0)
		{
			node_clear(&key);
			node_clear(&value);
			return result;
		}
		if (key.type == NODE_MAP || key.type == NODE_LIST)
		{
			Node empty = {.type = NODE_NULL, .mark = key.mark};

			node_clear(&key);
			key = empty;
		}
		check_key(builder, &key);
		slot = node_append(ret_node, &key_slot);
		*slot = value;
		*key_slot = key;
	}
}

static int
build_collection(Builder *builder, const yaml_event_t *event, unsigned depth, Node *ret_node)
{
	ret_node->mark = mark_of(builder, event->start_mark);
	if (depth >= NODE_MAX_DEPTH)
	{
		diagnostic_add(builder->diagnostics, ret_node->mark, "", "is nested more than %d levels deep", NODE_MAX_DEPTH);
		return -EINVAL;
	}
	if (event->type == YAML_MAPPING_START_EVENT)
	{
		refuse_decorations(builder, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
		ret_node->type = NODE_MAP;
		return build_map(builder, depth + 1, ret_node);
	}
	refuse_decorations(builder, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
	ret_node->type = NODE_LIST;
	return build_list(builder, depth + 1, ret_node);
}

static int
build_node(Builder *builder, const yaml_event_t *event, unsigned depth, Node *ret_node)
{
	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			build_scalar(builder, event, ret_node);
			return 0;
		case YAML_ALIAS_EVENT:
			ret_node->mark = mark_of(builder, event->start_mark);
			ret_node->type = NODE_REFUSED;
			diagnostic_add(builder->diagnostics, ret_node->mark, "",
						   "anchors and aliases are not taken; write the value out");
			return 0;
		default:
			return build_collection(builder, event, depth, ret_node);
	}
}

typedef struct KeyPlace
{
	const char *text;
	size_t index;
} KeyPlace;

static int
compare_places(const void *left, const void *right)
{
	const KeyPlace *a = left;
	const KeyPlace *b = right;
	int order = strcmp(a->text, b->text);

	return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* Reports keys that appear twice in one map, anywhere below node. Sorted, because a hostile file has many. */
static void
refuse_duplicates(Builder *builder, const Node *node, const char *path)
{
	KeyPlace *places;

	if (node->type == NODE_MAP && node->count > 1)
	{
		places = memory_allocate(node->count * sizeof(*places));
		for (size_t i = 0; i < node->count; i++)
			places[i] = (KeyPlace){node->keys[i].text, i};
		qsort(places, node->count, sizeof(*places), compare_places);
		for (size_t i = 1; i < node->count; i++)
		{
			const Node *key = &node->keys[places[i].index];
			char quoted[QUOTED_BYTES];

			if (key->type != NODE_REFUSED && strcmp(places[i - 1].text, places[i].text) == 0)
				diagnostic_add(builder->diagnostics, key->mark, path, "key %s appears twice; the first is at line %u",
							   text_quote(key->text, key->length, quoted), node->keys[places[i - 1].index].mark.line);
		}
		free(places);
	}
	for (size_t i = 0; i < node->count; i++)
	{
		char below[KEY_PATH_BYTES];

		if (node->type == NODE_MAP)
			snprintf(below, sizeof(below), "%s%s%s", path, path[0] == '\0' ? "" : ".", node->keys[i].text);
		else
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
		refuse_duplicates(builder, &node->items[i], below);
	}
}

static int
build_documents(Builder *builder, NodeDocuments *documents)
{
	for (;;)
	{
		yaml_event_t event;
		yaml_event_type_t type;
		int result = next_event(builder, &event);

		if (result < 0)
			return result;
		type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT &&
			event.data.document_start.tag_directives.start != event.data.document_start.tag_directives.end)
			diagnostic_add(builder->diagnostics, mark_of(builder, event.start_mark), "",
						   "%%TAG directives are not taken");
		if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT && type != YAML_DOCUMENT_START_EVENT &&
			type != YAML_DOCUMENT_END_EVENT)
		{
			Node *document;

			documents->items = memory_grow(documents->items, &documents->capacity, documents->count + 1, sizeof(Node));
			document = &documents->items[documents->count++];
			result = build_node(builder, &event, 0, document);
			if (result == 0)
				refuse_duplicates(builder, document, "");
		}
		yaml_event_delete(&event);
		if (result < 0 || type == YAML_STREAM_END_EVENT)
			return result;
	}
}

/*
 * libyaml compares each %TAG directive with all before it: a file of nothing else would keep it busy for a quarter of a
 * minute. Tags are refused anyway; this bounds the time before that can be said.
 */
static bool
has_many_directives(const Builder *builder)
{
	static const char directive[] = "%TAG";
	const char *end = builder->text + builder->size;
	const char *found = builder->text;

	for (unsigned count = 0; count < DIRECTIVES_MAX; count++)
	{
		found = memmem(found, (size_t) (end - found), directive, sizeof(directive) - 1);
		if (found == NULL)
			return false;
		found++;
	}
	diagnostic_add(builder->diagnostics, (SourceMark){1, 1, builder->file}, "", "holds more than %d times '%s'",
				   DIRECTIVES_MAX - 1, directive);
	return true;
}

int
node_documents_parse(const char *text, size_t size, unsigned file, NodeDocuments *ret_documents,
					 DiagnosticList *diagnostics)
{
	Builder builder = {.text = text, .size = size, .file = file, .diagnostics = diagnostics};
	NodeDocuments documents = {0};
	int result;

	if (has_many_directives(&builder))
		return -EINVAL;
	if (!yaml_parser_initialize(&builder.parser))
		abort();
	yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&builder.parser, (const unsigned char *) text, size);
	result = build_documents(&builder, &documents);
	yaml_parser_delete(&builder.parser);
	if (result < 0)
	{
		node_documents_clear(&documents);
		return result;
	}
	*ret_documents = documents;
	return 0;
}

void
node_documents_clear(NodeDocuments *documents)
{
	for (size_t i = 0; i < documents->count; i++)
		node_clear(&documents->items[i]);
	free(documents->items);
	*documents = (NodeDocuments){0};
}
