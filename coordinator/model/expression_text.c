/* Expressions in the values of a document: where they stand, and putting the results in their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/expression.h"
#include "model/key_read.h"

#define OPENING "${{"
#define CLOSING "}}"

/* Where a byte of a value is. Exact for text in one line; other values are found by their beginning. */
static SourceMark
mark_within(const Node *node, const char *at)
{
	SourceMark mark = node->mark;

	if (mark.line == 0 || memchr(node->text, '\n', node->length) != NULL)
		return mark;
	mark.column += node->quoted;
	for (const char *c = node->text; c < at; c++)
		mark.column += ((unsigned char) *c & 0xc0) != 0x80;
	return mark;
}

/* The end of an expression: the first "}}" that does not stand in a literal. NULL: there is none. */
static const char *
find_closing(const char *at)
{
	char quote = '\0';

	for (; *at != '\0'; at++)
	{
		if (quote != '\0')
			quote = *at == quote ? '\0' : quote;
		else if (*at == '\'' || *at == '"')
			quote = *at;
		else if (strncmp(at, CLOSING, 2) == 0)
			return at;
	}
	return NULL;
}

static void
node_refuse(Node *node)
{
	Node refused = {.type = NODE_REFUSED, .mark = node->mark};

	node_clear(node);
	*node = refused;
}

/* Appends the value of the expression at `opening`. Returns what follows it, or NULL: it was reported. */
static const char *
append_value(const Node *node, const char *opening, const char *path, const Variables *variables, Text *out,
			 DiagnosticList *diagnostics)
{
	const char *inside = opening + strlen(OPENING);
	const char *closing = find_closing(inside);
	size_t offset = 0;
	char wrong[256] = "";
	char *value;

	if (closing == NULL)
	{
		diagnostic_add(diagnostics, mark_within(node, opening), path,
					   "an expression that begins with '${{' has no '}}'");
		return NULL;
	}
	value = expression_evaluate(inside, (size_t) (closing - inside), variables, &offset, wrong);
	if (value == NULL)
	{
		diagnostic_add(diagnostics, mark_within(node, inside + offset), path, "%s", wrong);
		return NULL;
	}
	text_append(out, value);
	free(value);
	return closing + strlen(CLOSING);
}

static void
expand_scalar(Node *node, const char *path, const Variables *variables, size_t *left_bytes, DiagnosticList *diagnostics)
{
	const char *at = node->text;
	const char *opening = strstr(at, OPENING);
	bool whole = opening == at;
	Text out = {0};

	if (opening == NULL)
		return;
	for (; opening != NULL; opening = strstr(at, OPENING))
	{
		text_append_bytes(&out, at, (size_t) (opening - at));
		/* "$${{" stands for "${{" itself. */
		if (opening > node->text && opening[-1] == '$')
		{
			text_append(&out, &OPENING[1]);
			at = opening + strlen(OPENING);
			whole = false;
			continue;
		}
		at = append_value(node, opening, path, variables, &out, diagnostics);
		if (at != NULL && out.length > *left_bytes)
		{
			diagnostic_add(diagnostics, node->mark, path, "the expressions of a deployment make too much text");
			at = NULL;
		}
		if (at == NULL)
		{
			text_clear(&out);
			node_refuse(node);
			return;
		}
		whole = whole && *at == '\0';
	}
	text_append(&out, at);
	*left_bytes -= out.length < *left_bytes ? out.length : *left_bytes;
	free(node->text);
	node->text = out.data == NULL ? memory_duplicate("") : out.data;
	node->length = strlen(node->text);
	node->quoted = node->quoted && !whole;
}

void
expressions_expand(Node *node, const char *path, const Variables *variables, size_t *left_bytes,
				   DiagnosticList *diagnostics)
{
	if (node->type == NODE_SCALAR)
		expand_scalar(node, path, variables, left_bytes, diagnostics);
	for (size_t i = 0; i < node->count; i++)
	{
		char below[KEY_PATH_BYTES + 16];

		if (node->type == NODE_MAP)
			key_path_join(below, path, node->keys[i].text);
		else
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
		expressions_expand(&node->items[i], below, variables, left_bytes, diagnostics);
	}
}
