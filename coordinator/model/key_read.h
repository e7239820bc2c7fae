/* Reads a tree of nodes into a struct, as a table of keys says, and reports everything that is wrong with it. */
#ifndef MODEL_KEY_READ_H
#define MODEL_KEY_READ_H

#include "model/keys.h"
#include "model/yaml_node.h"

/*
 * map: a NODE_MAP, or NODE_NULL for nothing at all: then the defaults remain. owner: where something that is missing
 * is reported. path: of the map, "" at the top. target: zeroed; what was read is in it even after problems, so that
 * the caller always clears it.
 */
void keys_read(const Key *keys, const Node *map, SourceMark owner, const char *path, void *target,
			   DiagnosticList *diagnostics);

/* What a value must be: "a whole number of MiB from 64 to 1048576". */
void key_describe(const Key *key, char *buffer, size_t size);

/* "<path>.<name>" */
void key_path_join(char out[128], const char *path, const char *name);

#endif
