/* What may be done besides, when a cluster's server is brought to its spec. It is said by a person, each time anew. */
#ifndef MODEL_POSTGRES_OPTIONS_H
#define MODEL_POSTGRES_OPTIONS_H

#include <stdbool.h>

typedef struct PostgresOptions
{
	bool adopt;				/* take over roles and databases that are there and were not made here */
	bool repair;			/* undo what was changed by hand */
	bool drop_owned;		/* what users own that are dropped goes with them */
	char drop_database[64]; /* a database that goes, with its data and its sessions; empty: none */
	char reassign_to[64];	/* who gets what users own that are dropped; empty: nobody */
} PostgresOptions;

#endif
