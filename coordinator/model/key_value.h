/* Reading of single values for key_read.c: scalars, lists of text, environments. */
#ifndef MODEL_KEY_VALUE_H
#define MODEL_KEY_VALUE_H

#include "model/keys.h"
#include "model/yaml_node.h"

/* "a map", "a list", "empty" or the text in quotes. */
void node_describe(const Node *node, char *buffer, size_t size);

/* Reads one scalar into its place in target. */
void value_read_scalar(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics);

/* Reads a name into a char[NAME_MAX_BYTES + 1]. */
void value_read_name(const Node *node, const char *path, char *name, DiagnosticList *diagnostics);

/* Reads a list of text into a NULL-terminated array; the caller owns it. */
void value_read_text_list(const Key *key, const Node *list, const char *path, char ***ret_texts,
						  DiagnosticList *diagnostics);

/* Reads a map of text to text, sorted by name; the caller owns it. */
void value_read_environment(const Key *key, const Node *map, const char *path, EnvironmentVariable **ret_variables,
							size_t *ret_count, DiagnosticList *diagnostics);

#endif
