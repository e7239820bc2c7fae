/*
 * Expressions in the text of a file: ${{ var.name }}, ${{ env.NAME }}, ${{ namespace }}, ${{ git.commitSha }}, with the
 * functions of strings that CEL has under the same names: ${{ git.commitSha.substring(0, 7).upperAscii() }}. They are
 * worked out after the YAML was read, so that no value can change the structure of a file.
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

/*
 * Works one expression out, without its braces. Returns the text, which the caller frees, or NULL and what is wrong:
 * ret_offset bytes from its beginning.
 */
char *expression_evaluate(const char *text, size_t length, const Variables *variables, size_t *ret_offset,
						  char ret_wrong[256]);

/* One line a function, for the reference. */
void expression_reference_print(Text *out);

#endif
