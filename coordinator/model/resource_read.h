/* One resource from a tree of nodes: the keys by the tables, then what the tables cannot say. */
#ifndef MODEL_RESOURCE_READ_H
#define MODEL_RESOURCE_READ_H

#include "model/yaml_node.h"

/*
 * map: what stands below the kind (NODE_MAP or NODE_NULL). owner: of the kind's key. ret_resource is always written
 * and to be cleared by the caller, also after problems.
 */
void resource_read(ResourceKind kind, const Node *map, SourceMark owner, Resource *ret_resource,
				   DiagnosticList *diagnostics);

void resource_clear(Resource *resource);

#endif
