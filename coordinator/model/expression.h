/*
 * Expressions in the text of a file: ${{ var.name }}, ${{ env.NAME }}, ${{ namespace }}, ${{ git.commitSha }}, with the
 * functions of strings that CEL has under the same names: ${{ git.commitSha.substring(0, 7).upperAscii() }}. They are
 * worked out after the YAML was read, so that no value can change the structure of a file.
 *
 * ${{ secret.name }} and ${{ value.name }} in the environment of a machine are left in the text, which is then a
 * template: worked out at each start of the machine, so that no secret is in any file or database. In a template "$${{"
 * stands for "${{"; a text without "${{" is its own template.
 */
#ifndef MODEL_EXPRESSION_H
#define MODEL_EXPRESSION_H

#include "model/spec.h"
#include "model/yaml_node.h"

/*
 * Replaces the expressions in all values below node; keys are left as they are. What cannot be worked out is reported
 * at its place, and the value becomes NODE_REFUSED. A value that is nothing but one expression counts as unquoted, so
 * that it can be a number. path: of the node. left_bytes: how much text may still be made; what is used is taken off.
 */
void expressions_expand(Node *node, const char *path, const Variables *variables, size_t *left_bytes,
						DiagnosticList *diagnostics);

/* A secret or value that an expression names; with an empty name it names none. */
typedef struct SecretName
{
	SecretKind kind;
	char name[SECRET_NAME_MAX_BYTES + 1];
} SecretName;

/* Calls function for each secret and value that a template names, as often as it does. Negative stops, and is returned.
 */
typedef int (*TemplateFunction)(void *context, const SecretName *name);
int template_each_secret(const char *text, TemplateFunction function, void *context);

/* Works a template out. Returns the text, for the caller to give back with secret_text_free, or NULL and what is wrong.
 */
char *template_resolve(const char *text, const SecretSource *source, char ret_wrong[256]);

/* The template that stands for a text as it is. The caller frees. */
char *template_of_text(const char *text);

/*
 * Works one expression out, without its braces. Returns the text, which the caller frees, or NULL and what is wrong:
 * ret_offset bytes from its beginning.
 */
char *expression_evaluate(const char *text, size_t length, const Variables *variables, size_t *ret_offset,
						  char ret_wrong[256]);

/* When an expression is worked out. */
typedef enum ExpressionMoment
{
	EXPRESSION_AT_DEPLOY, /* values are known, secrets are refused */
	EXPRESSION_KEPT,	  /* a secret or value is for later: the text is empty, and ret_kept says which */
	EXPRESSION_AT_START	  /* both are known */
} ExpressionMoment;

/* The same at a moment; expression_evaluate is at deploy. ret_kept: NULL when it isn't wanted. */
char *expression_read(const char *text, size_t length, const Variables *variables, ExpressionMoment moment,
					  SecretName *ret_kept, size_t *ret_offset, char ret_wrong[256]);

/* One line a function, for the reference. */
void expression_reference_print(Text *out);

#endif
