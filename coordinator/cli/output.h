/*
 * How results look: listings with right-aligned keys, tables with upper-case headers, sizes, times, colours. Text from
 * machines is shown with its control characters escaped, so that it cannot talk to the user's terminal.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

/* "lttle: …" on standard error, red on a terminal. */
void output_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line on standard output, green on a terminal: something has succeeded. */
void output_succeed(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Indented JSON on standard output. */
void output_json(const struct json_t *json);

/* Colours for standard output; "" when it is no terminal or NO_COLOR is set. */
const char *output_green(void);
const char *output_yellow(void);
const char *output_red(void);
const char *output_plain(void);

/* Keys with their values: add all, then print, which also frees. */
typedef struct Listing
{
	struct ListingRow *rows;
	size_t count;
	size_t capacity;
} Listing;
/* key "" continues the row before. */
void listing_add(Listing *listing, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
void listing_print(Listing *listing);

/* A table: headers, then cells row by row, then print, which also frees. */
typedef struct Table
{
	size_t columns;
	char **cells;
	size_t count;
	size_t capacity;
} Table;
void table_begin(Table *table, size_t columns, const char *const headers[]);
void table_add(Table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(Table *table);
/* Prints, and frees, a table of one row whose columns but the last are at least so wide. headers NULL in table_begin
 * leaves them out. */
void table_print_row(Table *table, const int widths[]);

/* text: 48 bytes each. */
#define OUTPUT_TEXT_BYTES 48
/* "12.3 MiB" */
void output_format_bytes(double bytes, char text[OUTPUT_TEXT_BYTES]);
/* "3m5s": the two biggest units */
void output_format_age(double ms, char text[OUTPUT_TEXT_BYTES]);
/* "2025-10-11 19:14:44", local time */
void output_format_time(double epoch_ms, char text[OUTPUT_TEXT_BYTES]);
/* "0.84 ms" */
void output_format_took(double us, char text[OUTPUT_TEXT_BYTES]);

#endif
