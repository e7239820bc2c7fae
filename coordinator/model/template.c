/* Texts with expressions in them, which are worked out later; see template.h and expression.h. */
#include "model/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/expression.h"

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
		else if (strncmp(at, TEMPLATE_CLOSING, 2) == 0)
			return at;
	}
	return NULL;
}

bool
template_scan(TemplateScan *scan, Text *plain)
{
	for (;;)
	{
		const char *opening = strstr(scan->at, TEMPLATE_OPENING);

		if (opening == NULL)
		{
			text_append(plain, scan->at);
			return false;
		}
		text_append_bytes(plain, scan->at, (size_t) (opening - scan->at));
		scan->inside = opening + strlen(TEMPLATE_OPENING);
		if (opening == scan->start || opening[-1] != '$')
		{
			scan->opening = opening;
			scan->closing = find_closing(scan->inside);
			scan->at = scan->closing == NULL ? scan->inside : scan->closing + strlen(TEMPLATE_CLOSING);
			return true;
		}
		text_append(plain, &TEMPLATE_OPENING[1]);
		scan->at = scan->inside;
	}
}

void
template_append_text(Text *out, const char *text, bool an_expression_follows)
{
	size_t length = strlen(text);
	size_t end = length;
	const char *at = text;
	const char *opening;

	/* A '$' before an expression would make text of it. */
	while (an_expression_follows && end > 0 && text[end - 1] == '$')
		end--;
	while ((opening = strstr(at, TEMPLATE_OPENING)) != NULL)
	{
		text_append_bytes(out, at, (size_t) (opening - at));
		text_append(out, "$" TEMPLATE_OPENING);
		at = opening + strlen(TEMPLATE_OPENING);
	}
	text_append_bytes(out, at, (size_t) (text + end - at));
	if (end < length)
		text_printf(out, TEMPLATE_OPENING " '%s' " TEMPLATE_CLOSING, text + end);
}

char *
template_of_text(const char *text)
{
	Text out = {0};

	template_append_text(&out, text, false);
	return out.data == NULL ? memory_duplicate("") : out.data;
}

int
template_each_secret(const char *text, TemplateFunction function, void *context)
{
	TemplateScan scan = {.start = text, .at = text};
	Variables none = {0};
	Text plain = {0};
	int result = 0;

	while (result >= 0 && template_scan(&scan, &plain) && scan.closing != NULL)
	{
		SecretName name = {0};
		size_t offset;
		char wrong[256];

		free(expression_read(scan.inside, (size_t) (scan.closing - scan.inside), &none, EXPRESSION_KEPT, &name, &offset,
							 wrong));
		if (name.name[0] != '\0')
			result = function(context, &name);
	}
	text_clear(&plain);
	return result < 0 ? result : 0;
}

char *
template_resolve(const char *text, const SecretSource *source, char ret_wrong[256])
{
	TemplateScan scan = {.start = text, .at = text};
	Variables variables = {.secrets = source};
	bool is_wrong = false;
	Text out = {0};

	while (!is_wrong && template_scan(&scan, &out))
	{
		size_t offset;
		char *value = NULL;

		if (scan.closing == NULL)
			snprintf(ret_wrong, 256, "an expression that begins with '${{' has no '}}'");
		else
			value = expression_read(scan.inside, (size_t) (scan.closing - scan.inside), &variables, EXPRESSION_AT_START,
									NULL, &offset, ret_wrong);
		is_wrong = value == NULL;
		if (value != NULL)
			text_append(&out, value);
		secret_text_free(value);
	}
	if (!is_wrong)
		return out.data == NULL ? memory_duplicate("") : out.data;
	secret_text_free(out.data);
	return NULL;
}
