/*
 * A document as a tree of nodes that know their place in the file. Built from YAML by libyaml, or from JSON (without
 * places), so that one reader (key_read.h) checks both.
 *
 * The input is untrusted. Depth is bounded; aliases, anchors and tags are refused; every map's keys are text.
 */
#ifndef MODEL_YAML_NODE_H
#define MODEL_YAML_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/spec.h"

#define NODE_MAX_DEPTH 16

typedef enum NodeType
{
	NODE_NULL, /* nothing, "~" or "null", unquoted */
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP,
	NODE_REFUSED /* has been reported; whoever meets it says nothing more */
} NodeType;

typedef struct Node
{
	NodeType type;
	SourceMark mark;
	bool quoted; /* scalar: written in quotes or as a block */
	char *text;	 /* scalar: NUL-terminated, no NUL inside; otherwise NULL */
	size_t length;
	struct Node *keys;	/* map: scalars, in the file's order, each once */
	struct Node *items; /* list: elements; map: values */
	size_t count;
	size_t key_capacity;
	size_t item_capacity;
} Node;

void node_clear(Node *node);

/* Room for one more element; returns it. ret_key: the new key of a map, or NULL for a list. */
Node *node_append(Node *parent, Node **ret_key);

/* The value of a key, or NULL. ret_key: NULL, or receives the key's node. */
const Node *node_find(const Node *map, const char *key, const Node **ret_key);

/* A scalar node of a copy of text. */
Node node_scalar(const char *text, bool quoted);

typedef struct NodeDocuments
{
	Node *items;
	size_t count;
	size_t capacity;
} NodeDocuments;

/*
 * Reads all documents. file: for the marks. Returns 0, or -EINVAL when the text is no YAML at all (the diagnostics then
 * end there). What is YAML and refused is in the diagnostics and the tree has NODE_REFUSED in its place.
 */
int node_documents_parse(const char *text, size_t size, unsigned file, NodeDocuments *ret_documents,
						 DiagnosticList *diagnostics) MUST_CHECK;
void node_documents_clear(NodeDocuments *documents);

#endif
