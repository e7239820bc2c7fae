/* A page in HTML that needs nothing else, and runs nothing; see inspect.h. */
#include <ctype.h>
#include <string.h>

#include "cli/inspect.h"

static const char style[] = "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
							"table{border-collapse:collapse;margin:.75rem 0}"
							"th,td{border:1px solid #ccc;padding:.25rem .6rem;text-align:left;vertical-align:top}"
							"th{background:#f3f3f3}pre{background:#f6f6f6;padding:.75rem;overflow:auto}"
							".kind{color:#666;font-weight:normal}";

static void
append_escaped(Text *page, const char *text, const char *newline)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '&')
			text_append(page, "&amp;");
		else if (*text == '<')
			text_append(page, "&lt;");
		else if (*text == '>')
			text_append(page, "&gt;");
		else if (*text == '"')
			text_append(page, "&quot;");
		else if (*text == '\'')
			text_append(page, "&#39;");
		else if (*text == '\n')
			text_append(page, newline);
		else if (((unsigned char) *text < 0x20 && *text != '\t') || *text == 0x7f)
			text_append(page, "\xef\xbf\xbd");
		else
			text_append_bytes(page, text, 1);
	}
}

static void
begin(Text *page, const char *title)
{
	text_append(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>");
	append_escaped(page, title, " ");
	text_printf(page, "</title>\n<style>%s</style>\n</head>\n<body>\n", style);
}

static void
heading(Text *page, int level, const char *kind, const char *name)
{
	text_printf(page, "<h%d><span class=\"kind\">%c%s</span> ", level, toupper((unsigned char) kind[0]), kind + 1);
	append_escaped(page, name, "<br>");
	text_printf(page, "</h%d>\n", level);
}

static void
element(Text *page, const char *name, const char *text)
{
	text_printf(page, "<%s>", name);
	append_escaped(page, text, "<br>");
	text_printf(page, "</%s>", name);
}

static void
paragraph(Text *page, const char *text)
{
	element(page, "p", text);
	text_append(page, "\n");
}

static void
code(Text *page, const char *text)
{
	text_append(page, "<pre><code>");
	append_escaped(page, text, "\n");
	text_append(page, "</code></pre>\n");
}

static void
row(Text *page, const char *name, const char *const cells[], size_t count)
{
	text_append(page, "<tr>");
	for (size_t i = 0; i < count; i++)
		element(page, name, cells[i] != NULL ? cells[i] : "");
	text_append(page, "</tr>\n");
}

static void
table_begin(Text *page, const char *const headers[], size_t count)
{
	text_append(page, "<table>\n<thead>");
	row(page, "th", headers, count);
	text_append(page, "</thead>\n<tbody>\n");
}

static void
table_row(Text *page, const char *const cells[], size_t count)
{
	row(page, "td", cells, count);
}

static void
table_end(Text *page)
{
	text_append(page, "</tbody>\n</table>\n");
}

static void
end(Text *page)
{
	text_append(page, "</body>\n</html>\n");
}

const PageWriter inspect_html = {begin, heading, paragraph, code, table_begin, table_row, table_end, end};
