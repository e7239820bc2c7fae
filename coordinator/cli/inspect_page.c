/* A database's documentation as a page; see inspect.h. What it is written in is the writer's matter. */
#include <jansson.h>
#include <string.h>

#include "cli/api.h"
#include "cli/inspect.h"

#define CELLS_MAX 8

typedef struct Page
{
	const PageWriter *writer;
	Text *text;
} Page;

/* NULL when it is not there, or empty. */
static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL && text[0] != '\0' ? text : NULL;
}

static void
page_comment(const Page *page, const json_t *object)
{
	if (text_of(object, "comment") != NULL)
		page->writer->paragraph(page->text, text_of(object, "comment"));
}

/* ---- tables whose cells are members ---- */

typedef struct Cell
{
	const char *header;
	const char *(*text)(const json_t *row); /* NULL: the member */
	const char *member;
} Cell;

/* Leaves out columns that no row has anything in, and the table when there is no row. */
static void
page_table(const Page *page, const json_t *rows, const Cell *cells)
{
	const Cell *shown[CELLS_MAX];
	const char *texts[CELLS_MAX];
	size_t count = 0;
	const json_t *row;
	size_t index;

	for (const Cell *cell = cells; cell->header != NULL && count < CELLS_MAX; cell++)
	{
		bool used = false;

		json_array_foreach((json_t *) rows, index, row)
		{
			used = used || (cell->text != NULL ? cell->text(row) : text_of(row, cell->member)) != NULL;
		}
		if (!used)
			continue;
		texts[count] = cell->header;
		shown[count++] = cell;
	}
	if (count == 0)
		return;
	page->writer->table_begin(page->text, texts, count);
	json_array_foreach((json_t *) rows, index, row)
	{
		for (size_t i = 0; i < count; i++)
			texts[i] = shown[i]->text != NULL ? shown[i]->text(row) : text_of(row, shown[i]->member);
		page->writer->table_row(page->text, texts, count);
	}
	page->writer->table_end(page->text);
}

static const char *
nullable_text(const json_t *column)
{
	return json_is_true(json_object_get(column, "nullable")) ? "yes" : "no";
}

static const char *
identity_text(const json_t *column)
{
	const char *identity = text_of(column, "identity");

	if (identity == NULL)
		return NULL;
	return strcmp(identity, "always") == 0 ? "identity, always" : "identity, by default";
}

static const char *
default_text(const json_t *column)
{
	return text_of(column, "default") != NULL ? text_of(column, "default") : identity_text(column);
}

static const char *
unique_text(const json_t *index)
{
	return json_is_true(json_object_get(index, "unique")) ? "yes" : NULL;
}

static const Cell column_cells[] = {
	{"Column", NULL, "name"},
	{"Type", NULL, "type"},
	{"Null", nullable_text, NULL},
	{"Default", default_text, NULL},
	{"Generated as", NULL, "generated"},
	{"Comment", NULL, "comment"},
	{0},
};

static const Cell view_column_cells[] = {
	{"Column", NULL, "name"}, {"Type", NULL, "type"}, {"Comment", NULL, "comment"}, {0}};

static const Cell key_cells[] = {{"Key", NULL, "name"},
								 {"Kind", NULL, "kind"},
								 {"Definition", NULL, "definition"},
								 {"Comment", NULL, "comment"},
								 {0}};

static const Cell index_cells[] = {{"Index", NULL, "name"},
								   {"Unique", unique_text, NULL},
								   {"Definition", NULL, "definition"},
								   {"Comment", NULL, "comment"},
								   {0}};

static const Cell function_cells[] = {
	{"Function", NULL, "name"},
	{"Kind", NULL, "kind"},
	{"Arguments", NULL, "arguments"},
	{"Returns", NULL, "returns"},
	{"Language", NULL, "language"},
	{"Comment", NULL, "comment"},
	{0},
};

static const Cell enum_cells[] = {{"Value", NULL, "value"}, {0}};

/* ---- the page ---- */

/* Tables, or views: a view's columns have less to say, and it has no keys; a table has no definition. */
static void
page_relations(const Page *page, const json_t *relations, const Cell *cells)
{
	const json_t *relation;
	size_t index;

	json_array_foreach((json_t *) relations, index, relation)
	{
		page->writer->heading(page->text, 3, member_text(relation, "kind"), member_text(relation, "name"));
		page_comment(page, relation);
		page_table(page, json_object_get(relation, "columns"), cells);
		page_table(page, json_object_get(relation, "keys"), key_cells);
		page_table(page, json_object_get(relation, "indexes"), index_cells);
		if (text_of(relation, "definition") != NULL)
			page->writer->code(page->text, text_of(relation, "definition"));
	}
}

static void
page_enums(const Page *page, const json_t *enums)
{
	const json_t *type;
	const json_t *value;
	size_t index;
	size_t at;

	json_array_foreach((json_t *) enums, index, type)
	{
		json_t *rows = json_array();

		page->writer->heading(page->text, 3, "enum", member_text(type, "name"));
		page_comment(page, type);
		json_array_foreach(json_object_get(type, "values"), at, value)
		{
			json_array_append_new(rows, json_pack("{s:O}", "value", value));
		}
		page_table(page, rows, enum_cells);
		json_decref(rows);
	}
}

void
inspect_write_page(const json_t *document, const PageWriter *writer, Text *page_text)
{
	const Page page = {writer, page_text};
	const json_t *schema;
	size_t index;

	writer->begin(page_text, member_text(document, "database"));
	writer->heading(page_text, 1, "database", member_text(document, "database"));
	page_comment(&page, document);
	json_array_foreach(json_object_get(document, "schemas"), index, schema)
	{
		const json_t *functions = json_object_get(schema, "functions");

		writer->heading(page_text, 2, "schema", member_text(schema, "name"));
		page_comment(&page, schema);
		page_relations(&page, json_object_get(schema, "tables"), column_cells);
		page_relations(&page, json_object_get(schema, "views"), view_column_cells);
		page_enums(&page, json_object_get(schema, "enums"));
		if (json_array_size(functions) > 0)
			writer->heading(page_text, 3, "functions", "");
		page_table(&page, functions, function_cells);
	}
	writer->end(page_text);
}
