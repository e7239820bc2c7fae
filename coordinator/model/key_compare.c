/* What differs between two structs that a table of keys describes, for people; see key_struct.h and spec.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_read.h"
#include "model/key_struct.h"

#define NOTHING "(none)"

/* One value of a spec. */
typedef struct Line
{
	char *path;
	char *text;	   /* as it is shown */
	char *exact;   /* differs where the value does; NULL: as text */
	bool restarts; /* see Key */
	bool implied;  /* is brief, and has its default */
} Line;

typedef struct Lines
{
	Line *items;
	size_t count;
	size_t capacity;
} Lines;

/* Where a walk is. */
typedef struct Walk
{
	Lines *lines;
	bool restarts;
} Walk;

static const void *
field_of(const void *source, size_t offset)
{
	return (const char *) source + offset;
}

/* Takes text and exact over. */
static Line *
lines_add(Walk *walk, const char *path, char *text, char *exact)
{
	Lines *lines = walk->lines;
	Line *line;

	lines->items = memory_grow(lines->items, &lines->capacity, lines->count + 1, sizeof(Line));
	line = &lines->items[lines->count++];
	*line = (Line){.path = memory_duplicate(path), .text = text, .exact = exact, .restarts = walk->restarts};
	return line;
}

static void
lines_clear(Lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
	{
		free(lines->items[i].path);
		free(lines->items[i].text);
		free(lines->items[i].exact);
	}
	free(lines->items);
}

static char *
texts_join(char *const *texts, const char *separator)
{
	Text joined = {0};

	for (char *const *text = texts; *text != NULL; text++)
		text_printf(&joined, "%s%s", text == texts ? "" : separator, *text);
	return joined.data == NULL ? memory_duplicate("") : joined.data;
}

static char *
number_text(const Key *key, const void *source)
{
	uint64_t number = key_number(key, source);
	char text[32];

	if (number < key->minimum)
		return NULL;
	if (key->type == KEY_NUMBER)
		return memory_printf("%" PRIu64 "%s%s", number, key->unit == NULL ? "" : " ",
							 key->unit == NULL ? "" : key->unit);
	if (key->type == KEY_SIZE)
		size_format(number, text);
	else
		duration_format(number, text);
	return memory_duplicate(text);
}

static void walk_keys(Walk *walk, const Key *keys, const char *path, const void *source);

static void
walk_choice(Walk *walk, const Key *key, const char *path, const void *source)
{
	const Choice *choice = key_choice(key, source);
	const void *below = field_of(source, key->base);
	char below_path[KEY_PATH_BYTES];
	char *argument;
	Line *line;

	if (choice == NULL)
		return;
	argument = choice->argument == NULL ? NULL : number_text(choice->argument, below);
	line = lines_add(
		walk, path,
		memory_printf("%s%s%s", choice->word, argument == NULL ? "" : ": ", argument == NULL ? "" : argument), NULL);
	line->implied = key->brief && key->fallback != NULL && strcmp(choice->word, key->fallback) == 0;
	free(argument);
	if (choice->keys == NULL)
		return;
	key_path_join(below_path, path, choice->word);
	walk_keys(walk, choice->keys, below_path, below);
}

static void
walk_environment(Walk *walk, const Key *key, const char *path, const void *source)
{
	const EnvironmentVariable *variables = *(EnvironmentVariable *const *) field_of(source, key->offset);
	size_t count = *(const size_t *) field_of(source, key->count_offset);

	for (size_t i = 0; i < count; i++)
	{
		char *below = memory_printf("%s.%s", path, variables[i].name);

		lines_add(walk, below, memory_duplicate(variables[i].value), NULL);
		free(below);
	}
}

/* What is at "NAMESPACE/NAME": its other keys in one line. */
static void
walk_reference(Walk *walk, const Key *keys, const char *path, const char *element)
{
	const ResourceHead *head = (const ResourceHead *) element;
	Lines lines = {0};
	Walk inner = {.lines = &lines};
	Text text = {0};
	char *below = memory_printf("%s.%s/%s", path, head->name_space, head->name);

	walk_keys(&inner, keys, "", element);
	for (size_t i = 0; i < lines.count; i++)
	{
		if (strcmp(lines.items[i].path, "name") != 0 && strcmp(lines.items[i].path, "namespace") != 0)
			text_printf(&text, "%s%s", text.length == 0 ? "" : ", ", lines.items[i].text);
	}
	lines_add(walk, below, text.data == NULL ? memory_duplicate(head->name) : text.data, NULL);
	free(below);
	lines_clear(&lines);
}

/* What is told apart by a text of its own: each of its other keys in a line. */
static void
walk_named(Walk *walk, const Key *keys, const char *path, const char *element)
{
	const void *field = field_of(element, keys->offset);
	const char *name = keys->type == KEY_TEXT ? *(char *const *) field : field;
	char below[KEY_PATH_BYTES];
	size_t before = walk->lines->count;

	key_path_join(below, path, name == NULL ? "" : name);
	walk_keys(walk, keys + 1, below, element);
	if (walk->lines->count == before)
		lines_add(walk, below, memory_duplicate("there"), NULL);
}

static void
walk_array(Walk *walk, const Key *key, const char *path, const void *source)
{
	const char *element = *(char *const *) field_of(source, key->offset);
	size_t count = *(const size_t *) field_of(source, key->count_offset);

	for (size_t i = 0; i < count; i++, element += key->bytes)
	{
		char below[KEY_PATH_BYTES];

		if (key->type == KEY_MAP_LIST && (key->keys->type == KEY_TEXT || key->keys->type == KEY_WORD))
		{
			walk_named(walk, key->keys, path, element);
			continue;
		}
		if (key->type == KEY_MAP_LIST)
		{
			walk_reference(walk, key->keys, path, element);
			continue;
		}
		key_path_join(below, path, element);
		walk_keys(walk, key->keys, below, element);
	}
}

static void
walk_text(Walk *walk, const char *path, const char *text)
{
	if (text != NULL && *text != '\0')
		lines_add(walk, path, memory_duplicate(text), NULL);
}

static void
walk_value(Walk *walk, const Key *key, const char *path, const void *source)
{
	const void *field = field_of(source, key->offset);
	char *const *texts;
	char *text;

	switch (key->type)
	{
		case KEY_OPTIONAL_MAP:
		case KEY_MAP:
			if (key->type == KEY_MAP || *(const bool *) field)
				walk_keys(walk, key->keys, path, field_of(source, key->base));
			break;
		case KEY_MAP_LIST:
		case KEY_NAMED_MAPS:
			walk_array(walk, key, path, source);
			break;
		case KEY_CHOICE:
			walk_choice(walk, key, path, source);
			break;
		case KEY_ENVIRONMENT:
			walk_environment(walk, key, path, source);
			break;
		case KEY_TEXT_LIST:
			texts = *(char *const *const *) field;
			if (texts != NULL)
				lines_add(walk, path, texts_join(texts, " "), texts_join(texts, "\x1f"));
			break;
		case KEY_TEXT:
		case KEY_IMAGE:
		case KEY_PATH:
			walk_text(walk, path, *(char *const *) field);
			break;
		case KEY_NUMBER:
		case KEY_SIZE:
		case KEY_DURATION:
			text = number_text(key, source);
			if (text != NULL)
				lines_add(walk, path, text, NULL);
			break;
		case KEY_NAME:
		case KEY_WORD:
			walk_text(walk, path, field);
			break;
		default:
			break;
	}
}

static void
walk_keys(Walk *walk, const Key *keys, const char *path, const void *source)
{
	bool restarts = walk->restarts;

	for (const Key *key = keys; key->name != NULL; key++)
	{
		char below[KEY_PATH_BYTES];

		key_path_join(below, path, key->name);
		walk->restarts = restarts || key->restarts;
		walk_value(walk, key, below, source);
	}
	walk->restarts = restarts;
}

/* Both orders are nearly the same: the search begins where the last one ended. */
static const Line *
lines_find(const Lines *lines, size_t *cursor, const char *path)
{
	for (size_t i = 0; i < lines->count; i++)
	{
		size_t at = (*cursor + i) % lines->count;

		if (strcmp(lines->items[at].path, path) == 0)
		{
			*cursor = at + 1;
			return &lines->items[at];
		}
	}
	return NULL;
}

static void
changes_add(SpecChanges *changes, const Line *line, char *text)
{
	changes->lines = memory_grow(changes->lines, &changes->capacity, changes->count + 1, sizeof(char *));
	changes->lines[changes->count++] = memory_printf("%s: %s", line->path, text);
	changes->needs_restart = changes->needs_restart || line->restarts;
	free(text);
}

static void
compare_line(SpecChanges *changes, const Line *old_line, const Line *new_line)
{
	const Line *line = old_line != NULL ? old_line : new_line;

	if (old_line == NULL || new_line == NULL)
	{
		if (!line->implied)
			changes_add(changes, line,
						memory_printf("%s → %s", old_line == NULL ? NOTHING : old_line->text,
									  new_line == NULL ? NOTHING : new_line->text));
	}
	else if (strcmp(old_line->text, new_line->text) != 0)
		changes_add(changes, line, memory_printf("%s → %s", old_line->text, new_line->text));
	/* ["a b"] and ["a", "b"] look alike in one line and differ all the same. */
	else if (line->exact != NULL && strcmp(old_line->exact, new_line->exact) != 0)
		changes_add(changes, line, memory_duplicate("the same words → divided in another way"));
}

void
keys_compare(const Key *keys, const void *old_source, const void *new_source, SpecChanges *ret_changes)
{
	SpecChanges changes = {0};
	Lines old_lines = {0};
	Lines new_lines = {0};
	size_t cursor = 0;

	walk_keys(&(Walk){.lines = &new_lines}, keys, "", new_source);
	if (old_source != NULL)
		walk_keys(&(Walk){.lines = &old_lines}, keys, "", old_source);
	for (size_t i = 0; i < old_lines.count; i++)
		compare_line(&changes, &old_lines.items[i], lines_find(&new_lines, &cursor, old_lines.items[i].path));
	cursor = 0;
	for (size_t i = 0; i < new_lines.count; i++)
	{
		const Line *line = &new_lines.items[i];

		if (old_source == NULL && !line->implied)
			changes_add(&changes, line, memory_duplicate(line->text));
		else if (old_source != NULL && lines_find(&old_lines, &cursor, line->path) == NULL)
			compare_line(&changes, NULL, line);
	}
	lines_clear(&new_lines);
	lines_clear(&old_lines);
	*ret_changes = changes;
}
