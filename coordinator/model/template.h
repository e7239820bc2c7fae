/* Going through a text with expressions, from one to the next, and writing such a text; see expression.h. */
#ifndef MODEL_TEMPLATE_H
#define MODEL_TEMPLATE_H

#include <stdbool.h>

#include "base/text.h"

#define TEMPLATE_OPENING "${{"
#define TEMPLATE_CLOSING "}}"

typedef struct TemplateScan
{
	const char *start; /* of the text */
	const char *at;	   /* what follows the expression; at first the start */
	const char *opening;
	const char *inside;
	const char *closing; /* NULL: the expression has no end, and nothing can follow */
} TemplateScan;

/* Goes on to the next expression. What stands before it is appended to plain, "$${{" as "${{". False: there is no more,
 * and the rest has been appended. */
bool template_scan(TemplateScan *scan, Text *plain);

/* Appends what stands for a text in a template; an_expression_follows: right behind it. */
void template_append_text(Text *out, const char *text, bool an_expression_follows);

#endif
