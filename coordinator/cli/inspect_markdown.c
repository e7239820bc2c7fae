/* A page in Markdown (CommonMark with GitHub's tables); see inspect.h. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "cli/inspect.h"

/* What would mean something: backslashes take it away. '_' does only at a word's edge. */
static const char specials[] = "\\`*[]|~#!$";

static void
append_escaped(Text *page, const char *text)
{
	bool inside_word = false;

	for (const char *at = text; *at != '\0'; at++)
	{
		bool word_goes_on = isalnum((unsigned char) at[1]) || at[1] == '_';

		if (*at == '\n')
			text_append(page, "<br>");
		else if (*at == '<' || *at == '>' || *at == '&')
			text_append(page, *at == '<' ? "&lt;" : *at == '>' ? "&gt;" : "&amp;");
		else if (*at == '\t' || *at == '\r')
			text_append(page, " ");
		else if ((unsigned char) *at < 0x20 || *at == 0x7f)
			text_append(page, "\xef\xbf\xbd");
		else
		{
			if (strchr(specials, *at) != NULL || (*at == '_' && !(inside_word && word_goes_on)))
				text_append(page, "\\");
			text_append_bytes(page, at, 1);
		}
		inside_word = isalnum((unsigned char) *at) || *at == '_';
	}
}

/* What begins a line could also begin a list, a rule or a numbered item. */
static void
append_line(Text *page, const char *text)
{
	size_t digits = strspn(text, "0123456789");

	text += strspn(text, " \t\r\n");
	if (digits > 0 && (text[digits] == '.' || text[digits] == ')'))
	{
		text_append_bytes(page, text, digits);
		text += digits;
		text_append(page, "\\");
		text_append_bytes(page, text++, 1);
	}
	else if (*text != '\0' && strchr("-+=", *text) != NULL)
		text_append(page, "\\");
	append_escaped(page, text);
}

static void
begin(Text *page, const char *title)
{
	(void) page;
	(void) title;
}

static void
heading(Text *page, int level, const char *kind, const char *name)
{
	if (page->length > 0)
		text_append(page, "\n");
	for (int i = 0; i < level; i++)
		text_append(page, "#");
	text_printf(page, " %c%s", toupper((unsigned char) kind[0]), kind + 1);
	if (name[0] != '\0')
	{
		text_append(page, " ");
		append_escaped(page, name);
	}
	text_append(page, "\n");
}

static void
paragraph(Text *page, const char *text)
{
	text_append(page, "\n");
	append_line(page, text);
	text_append(page, "\n");
}

/* A fence is longer than any run of its character in the text. */
static void
code(Text *page, const char *text)
{
	size_t longest = 2;
	size_t run = 0;

	for (const char *at = text; *at != '\0'; at++)
	{
		run = *at == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	text_append(page, "\n");
	for (size_t i = 0; i <= longest; i++)
		text_append(page, "`");
	text_printf(page, "sql\n%s\n", text);
	for (size_t i = 0; i <= longest; i++)
		text_append(page, "`");
	text_append(page, "\n");
}

static void
table_row(Text *page, const char *const cells[], size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		text_append(page, i == 0 ? "| " : " | ");
		append_escaped(page, cells[i] != NULL ? cells[i] : "");
	}
	text_append(page, " |\n");
}

static void
table_begin(Text *page, const char *const headers[], size_t count)
{
	text_append(page, "\n");
	table_row(page, headers, count);
	for (size_t i = 0; i < count; i++)
		text_append(page, i == 0 ? "| ---" : " | ---");
	text_append(page, " |\n");
}

static void
nothing(Text *page)
{
	(void) page;
}

const PageWriter inspect_markdown = {begin, heading, paragraph, code, table_begin, table_row, nothing, nothing};
