/*
 * A database's documentation: what is in it and what it is for, of all that the user who connects may see. One
 * statement reads it as JSON; Markdown and HTML are written from that. Everything is sorted by names, so that the same
 * database gives the same bytes. Every name and comment is somebody else's text, and is escaped for what it stands in.
 */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <stddef.h>

#include "base/text.h"

struct json_t;

/* Its only row and column is the document; PostgreSQL 9.6 and later take it. */
extern const char inspect_sql[];

/* The parts that a page is made of. Texts are as they are in the database; a cell NULL is empty. */
typedef struct PageWriter
{
	void (*begin)(Text *page, const char *title);
	void (*heading)(Text *page, int level, const char *kind, const char *name); /* level: 1 the largest */
	void (*paragraph)(Text *page, const char *text);
	void (*code)(Text *page, const char *text);
	void (*table_begin)(Text *page, const char *const headers[], size_t count);
	void (*table_row)(Text *page, const char *const cells[], size_t count);
	void (*table_end)(Text *page);
	void (*end)(Text *page);
} PageWriter;

extern const PageWriter inspect_markdown;
extern const PageWriter inspect_html;

/* Appends the whole page. */
void inspect_write_page(const struct json_t *document, const PageWriter *writer, Text *page);

#endif
