/* Expressions in the values of a document: where they stand, and putting the results in their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/expression.h"
#include "model/key_read.h"
#include "model/template.h"

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

static void
node_refuse(Node *node)
{
	Node refused = {.type = NODE_REFUSED, .mark = node->mark};

	node_clear(node);
	*node = refused;
}

/* Whether secrets and values in the value of this key are for the machine's start. */
static bool
is_template(const char *path)
{
	static const char *const prefixes[] = {"app.environment.", "machine.environment."};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
	{
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* What a value becomes. In a template `plain` is what follows the last expression that is kept. */
typedef struct Result
{
	bool is_template;
	Text plain;
	Text out;
} Result;

static void
result_clear(Result *result)
{
	text_clear(&result->plain);
	text_clear(&result->out);
}

/* Appends the value of an expression, or keeps it. False: it was reported. */
static bool
append_value(const Node *node, const TemplateScan *scan, const char *path, const Variables *variables, Result *result,
			 DiagnosticList *diagnostics)
{
	ExpressionMoment moment = result->is_template ? EXPRESSION_KEPT : EXPRESSION_AT_DEPLOY;
	SecretName kept = {0};
	size_t offset = 0;
	char wrong[256] = "";
	char *value;

	if (scan->closing == NULL)
	{
		diagnostic_add(diagnostics, mark_within(node, scan->opening), path,
					   "an expression that begins with '${{' has no '}}'");
		return false;
	}
	value = expression_read(scan->inside, (size_t) (scan->closing - scan->inside), variables, moment, &kept, &offset,
							wrong);
	if (value == NULL)
	{
		diagnostic_add(diagnostics, mark_within(node, scan->inside + offset), path, "%s", wrong);
		return false;
	}
	if (kept.name[0] == '\0')
		text_append(&result->plain, value);
	else
	{
		template_append_text(&result->out, text_string(&result->plain), true);
		text_clear(&result->plain);
		text_append_bytes(&result->out, scan->opening, (size_t) (scan->at - scan->opening));
	}
	free(value);
	return true;
}

static void
expand_scalar(Node *node, const char *path, const Variables *variables, size_t *left_bytes, DiagnosticList *diagnostics)
{
	TemplateScan scan = {.start = node->text, .at = node->text};
	Result result = {.is_template = is_template(path)};
	bool is_first = true;
	bool whole = false;

	if (strstr(node->text, TEMPLATE_OPENING) == NULL)
		return;
	while (template_scan(&scan, &result.plain))
	{
		if (!append_value(node, &scan, path, variables, &result, diagnostics))
		{
			result_clear(&result);
			node_refuse(node);
			return;
		}
		if (result.plain.length + result.out.length > *left_bytes)
		{
			diagnostic_add(diagnostics, node->mark, path, "the expressions of a deployment make too much text");
			result_clear(&result);
			node_refuse(node);
			return;
		}
		whole = is_first && scan.opening == node->text && *scan.at == '\0';
		is_first = false;
	}
	if (result.is_template)
		template_append_text(&result.out, text_string(&result.plain), false);
	else
	{
		Text plain = result.plain;

		result.plain = (Text){0};
		result.out = plain;
	}
	*left_bytes -= result.out.length < *left_bytes ? result.out.length : *left_bytes;
	free(node->text);
	node->text = memory_duplicate(text_string(&result.out));
	node->length = strlen(node->text);
	node->quoted = node->quoted && !whole;
	result_clear(&result);
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
