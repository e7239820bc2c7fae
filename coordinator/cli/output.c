/* How results look; see output.h. */
#include "cli/output.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define COLUMN_GAP 3

typedef struct ListingRow
{
	char *key;
	char *value;
} ListingRow;

/* ---- colours ---- */

static bool
has_colours(int fd)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(fd) && (no_color == NULL || no_color[0] == '\0');
}

static const char *
colour(const char *sequence)
{
	return has_colours(STDOUT_FILENO) ? sequence : "";
}

const char *
output_green(void)
{
	return colour("\033[32m");
}

const char *
output_yellow(void)
{
	return colour("\033[33m");
}

const char *
output_red(void)
{
	return colour("\033[31m");
}

const char *
output_plain(void)
{
	return colour("\033[0m");
}

/* ---- text ---- */

/* Control characters as \n, \t or \x1b. The caller frees. */
static char *
text_escape(const char *text)
{
	Text escaped = {0};

	for (const char *at = text; *at != '\0'; at++)
	{
		if (*at == '\n')
			text_append(&escaped, "\\n");
		else if (*at == '\t')
			text_append(&escaped, "\\t");
		else if ((unsigned char) *at < 0x20 || *at == 0x7f)
			text_printf(&escaped, "\\x%02x", (unsigned char) *at);
		else
			text_append_bytes(&escaped, at, 1);
	}
	return escaped.data != NULL ? escaped.data : memory_duplicate("");
}

static char *
format_escaped(const char *format, va_list arguments)
{
	char *plain = NULL;
	char *escaped;

	if (vasprintf(&plain, format, arguments) < 0)
		abort();
	escaped = text_escape(plain);
	free(plain);
	return escaped;
}

/* How many columns it takes: UTF-8 continuation bytes take none. */
static size_t
text_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char) *text & 0xc0) != 0x80;
	return width;
}

void
output_complain(const char *format, ...)
{
	bool coloured = has_colours(STDERR_FILENO);
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = format_escaped(format, arguments);
	va_end(arguments);
	fflush(stdout);
	fprintf(stderr, "%slttle: %s%s\n", coloured ? "\033[31m" : "", text, coloured ? "\033[0m" : "");
	free(text);
}

void
output_succeed(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = format_escaped(format, arguments);
	va_end(arguments);
	printf("%s%s%s\n", output_green(), text, output_plain());
	free(text);
}

void
output_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- listings ---- */

void
listing_add(Listing *listing, const char *key, const char *format, ...)
{
	va_list arguments;

	listing->rows = memory_grow(listing->rows, &listing->capacity, listing->count + 1, sizeof(ListingRow));
	va_start(arguments, format);
	listing->rows[listing->count++] =
		(ListingRow){.key = memory_duplicate(key), .value = format_escaped(format, arguments)};
	va_end(arguments);
}

void
listing_print(Listing *listing)
{
	int width = 0;

	for (size_t i = 0; i < listing->count; i++)
	{
		int length = (int) strlen(listing->rows[i].key);

		width = length > width ? length : width;
	}
	for (size_t i = 0; i < listing->count; i++)
	{
		ListingRow *row = &listing->rows[i];

		if (row->key[0] == '\0')
			printf("%*s  %s\n", width + 2, "", row->value);
		else
			printf("%*s:%s%s\n", width + 2, row->key, row->value[0] != '\0' ? " " : "", row->value);
		free(row->key);
		free(row->value);
	}
	free(listing->rows);
	*listing = (Listing){0};
}

/* ---- tables ---- */

static void
table_append(Table *table, char *cell)
{
	table->cells = memory_grow(table->cells, &table->capacity, table->count + 1, sizeof(char *));
	table->cells[table->count++] = cell;
}

void
table_begin(Table *table, size_t columns, const char *const headers[])
{
	*table = (Table){.columns = columns};
	for (size_t i = 0; headers != NULL && i < columns; i++)
		table_append(table, memory_duplicate(headers[i]));
}

void
table_add(Table *table, const char *format, ...)
{
	va_list arguments;
	char *cell;

	va_start(arguments, format);
	cell = format_escaped(format, arguments);
	va_end(arguments);
	if (cell[0] == '\0')
	{
		free(cell);
		cell = memory_duplicate("-");
	}
	table_append(table, cell);
}

static size_t
table_column_width(const Table *table, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < table->count; i += table->columns)
	{
		size_t cell = text_width(table->cells[i]);

		width = cell > width ? cell : width;
	}
	return width;
}

void
table_print(Table *table)
{
	size_t *widths = memory_allocate(table->columns * sizeof(size_t));
	size_t column = 0;

	for (size_t i = 0; i < table->columns; i++)
		widths[i] = table_column_width(table, i);
	for (size_t i = 0; i < table->count; i++)
	{
		bool last = column + 1 == table->columns;
		int padding = (int) (widths[column] - text_width(table->cells[i]) + COLUMN_GAP);

		printf("%s%*s", table->cells[i], last ? 0 : padding, last ? "\n" : "");
		free(table->cells[i]);
		column = last ? 0 : column + 1;
	}
	free(widths);
	free(table->cells);
	*table = (Table){0};
}

void
table_print_row(Table *table, const int widths[])
{
	for (size_t i = 0; i < table->count; i++)
	{
		bool last = i + 1 == table->columns;
		int padding = last ? 0 : widths[i] - (int) text_width(table->cells[i]);

		printf("%s%*s", table->cells[i], (padding > 0 ? padding : 0) + (last ? 0 : COLUMN_GAP), "");
		free(table->cells[i]);
	}
	putchar('\n');
	free(table->cells);
	*table = (Table){0};
}

/* ---- values ---- */

void
output_format_bytes(double bytes, char text[OUTPUT_TEXT_BYTES])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]))
	{
		bytes /= 1024;
		unit++;
	}
	snprintf(text, OUTPUT_TEXT_BYTES, bytes == (double) (uint64_t) bytes ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void
output_format_age(double ms, char text[OUTPUT_TEXT_BYTES])
{
	static const struct
	{
		uint64_t seconds;
		char letter;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	uint64_t seconds = ms > 0 ? (uint64_t) (ms / 1000) : 0;
	size_t unit = 0;

	while (unit < 3 && seconds < units[unit].seconds)
		unit++;
	if (unit == 3)
		snprintf(text, OUTPUT_TEXT_BYTES, "%llus", (unsigned long long) seconds);
	else
		snprintf(text, OUTPUT_TEXT_BYTES, "%llu%c%llu%c", (unsigned long long) (seconds / units[unit].seconds),
				 units[unit].letter, (unsigned long long) (seconds % units[unit].seconds / units[unit + 1].seconds),
				 units[unit + 1].letter);
}

void
output_format_time(double epoch_ms, char text[OUTPUT_TEXT_BYTES])
{
	time_t seconds = (time_t) (epoch_ms / 1000);
	struct tm local;

	text[0] = '\0';
	if (localtime_r(&seconds, &local) != NULL)
		strftime(text, OUTPUT_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &local);
}

void
output_format_took(double us, char text[OUTPUT_TEXT_BYTES])
{
	if (us < 1000000)
		snprintf(text, OUTPUT_TEXT_BYTES, "%.2f ms", us / 1000);
	else
		snprintf(text, OUTPUT_TEXT_BYTES, "%.1f s", us / 1000000);
}
