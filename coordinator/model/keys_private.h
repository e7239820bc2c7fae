/* What the tables of keys (keys*.c) share. */
#ifndef MODEL_KEYS_PRIVATE_H
#define MODEL_KEYS_PRIVATE_H

#include "model/keys.h"

#define MIB	   UINT64_C(1048576)
#define SECOND UINT64_C(1000)
#define DAY	   (UINT64_C(86400) * SECOND)

#define FIELD(type, member) .offset = offsetof(type, member), .bytes = sizeof(((type *) 0)->member)
#define ARRAY(type, member, count, element)                                                                            \
	.offset = offsetof(type, member), .count_offset = offsetof(type, count), .bytes = sizeof(element)

#define TAGS_KEY(spec_type)                                                                                            \
	{                                                                                                                  \
		.name = "tags", .type = KEY_TEXT_LIST, .maximum = 64, FIELD(spec_type, tags),                                  \
		.example = "[database, production]", .doc = "Labels of your choice."                                           \
	}

/* The keys of `expose.NAME` are among those of a service. */
extern const Key internal_keys[];			/* of a ServiceBinding */
extern const Key external_keys[];			/* of a ServiceBinding */
extern const Choice connection_trackings[]; /* keys of a ServiceTracking */

/* A cluster's machine has some of the keys of an app. */
extern const Key resources_keys[]; /* of an AppSpec: cpu, memory */
extern const Key flash_keys[];	   /* of an AppSpec; the first one is `strategy` */
extern const Key expose_keys[];	   /* of an Expose; the first one is `port` */
extern const Choice restart_policies[];

#endif
