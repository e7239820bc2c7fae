/* What is wrong with a file, as a list; see spec.h and diagnostics.h. */
#include "model/diagnostics.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

void
diagnostic_list_add(DiagnosticList *list, const Diagnostic *diagnostic)
{
	if (list->count >= DIAGNOSTICS_MAX)
		return;
	list->items = memory_grow(list->items, &list->capacity, list->count + 1, sizeof(Diagnostic));
	list->items[list->count] = *diagnostic;
	if (list->count == DIAGNOSTICS_MAX - 1)
	{
		Diagnostic *last = &list->items[list->count];

		last->key_path[0] = '\0';
		snprintf(last->message, sizeof(last->message), "there are more problems than these; the rest is not shown");
	}
	list->count++;
}

void
diagnostic_list_clear(DiagnosticList *list)
{
	free(list->items);
	*list = (DiagnosticList){0};
}

void
diagnostic_add(DiagnosticList *list, SourceMark mark, const char *key_path, const char *format, ...)
{
	Diagnostic diagnostic = {.line = mark.line, .column = mark.column, .file = mark.file};
	va_list arguments;

	snprintf(diagnostic.key_path, sizeof(diagnostic.key_path), "%s", key_path);
	va_start(arguments, format);
	vsnprintf(diagnostic.message, sizeof(diagnostic.message), format, arguments);
	va_end(arguments);
	/* Both may quote the user's text, whole or cut. */
	text_make_printable(diagnostic.key_path);
	text_make_printable(diagnostic.message);
	diagnostic_list_add(list, &diagnostic);
}

void
diagnostic_list_append(DiagnosticList *to, const DiagnosticList *from)
{
	for (size_t i = 0; i < from->count; i++)
		diagnostic_list_add(to, &from->items[i]);
}

static bool
is_behind(const Diagnostic *a, const Diagnostic *b)
{
	if (a->file != b->file)
		return a->file > b->file;
	return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* Insertion sort: stable, and a list has at most DIAGNOSTICS_MAX entries. */
void
diagnostic_list_sort(DiagnosticList *list)
{
	for (size_t i = 1; i < list->count; i++)
	{
		Diagnostic moving = list->items[i];
		size_t place = i;

		while (place > 0 && is_behind(&list->items[place - 1], &moving))
		{
			list->items[place] = list->items[place - 1];
			place--;
		}
		list->items[place] = moving;
	}
}

char *
diagnostic_format(const char *file, const Diagnostic *diagnostic)
{
	return memory_printf("%s:%u:%u: %s%s%s", file, diagnostic->line, diagnostic->column, diagnostic->key_path,
						 diagnostic->key_path[0] == '\0' ? "" : ": ", diagnostic->message);
}

const char *
text_quote(const char *text, size_t length, char buffer[QUOTED_BYTES])
{
	size_t room = QUOTED_BYTES - sizeof("'...'");
	size_t used = 0;

	buffer[used++] = '\'';
	for (size_t i = 0; i < length && used <= room; i++)
	{
		bool control = (unsigned char) text[i] < 0x20 || text[i] == 0x7f;

		buffer[used++] = '?';
		if (!control)
			buffer[used - 1] = text[i];
	}
	if (used - 1 < length)
	{
		/* Never cut a UTF-8 sequence in two. */
		while (used > 1 && ((unsigned char) text[used - 1] & 0xc0) == 0x80)
			used--;
		memcpy(buffer + used, "...", 3);
		used += 3;
	}
	buffer[used++] = '\'';
	buffer[used] = '\0';
	return buffer;
}

/* Edit distance with neighbours swapped as one step (optimal string alignment). */
static unsigned
word_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned table[33][33];

	for (size_t i = 0; i <= a_length; i++)
		table[i][0] = (unsigned) i;
	for (size_t j = 0; j <= b_length; j++)
		table[0][j] = (unsigned) j;
	for (size_t i = 1; i <= a_length; i++)
	{
		for (size_t j = 1; j <= b_length; j++)
		{
			unsigned best = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);

			if (table[i - 1][j] + 1 < best)
				best = table[i - 1][j] + 1;
			if (table[i][j - 1] + 1 < best)
				best = table[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && table[i - 2][j - 2] + 1 < best)
				best = table[i - 2][j - 2] + 1;
			table[i][j] = best;
		}
	}
	return table[a_length][b_length];
}

const char *
word_suggest(const char *written, const char *const *words)
{
	size_t length = strlen(written);
	const char *best = NULL;
	unsigned best_distance = 3;

	if (length == 0 || length > 32)
		return NULL;
	for (; *words != NULL; words++)
	{
		size_t word_length = strlen(*words);
		unsigned distance;

		if (word_length > 32)
			continue;
		if (strcasecmp(written, *words) == 0)
			return *words;
		distance = word_distance(written, length, *words, word_length);
		if (distance < best_distance && distance * 2 < word_length)
		{
			best = *words;
			best_distance = distance;
		}
	}
	return best;
}
