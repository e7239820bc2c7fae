/* A change of one user or database in the JSON form of a cluster's spec. Pure: values in, values out. */
#ifndef ENGINE_CLUSTER_EDIT_H
#define ENGINE_CLUSTER_EDIT_H

#include "engine/engine.h"

struct json_t;

/*
 * Makes the change in `spec`. applied: what the server has last been brought to, NULL: nothing; what is only there can
 * still be dropped. Errors: -EEXIST: to be added, and there; -ENOENT; -EINVAL: cannot be dropped, or keys that are
 * wrong.
 */
int cluster_edit_spec(struct json_t *spec, const PostgresSpec *applied, const ClusterChange *change,
					  Error *err) MUST_CHECK;

#endif
