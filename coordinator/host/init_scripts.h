/*
 * Scripts that an image runs at its first start: copied from the host into /docker-entrypoint-initdb.d of a machine's
 * root, beside those that the image brings along. The official image of PostgreSQL and ours read that directory, and
 * only while the database is made.
 */
#ifndef HOST_INIT_SCRIPTS_H
#define HOST_INIT_SCRIPTS_H

#include <stdbool.h>

#include "base/error.h"

#define INIT_SCRIPTS_TARGET "docker-entrypoint-initdb.d"

typedef struct InitScripts
{
	const char *const *sources; /* absolute paths of files and directories, NULL-terminated */
	const char *kept;			/* a directory for copies, made when it isn't there; what it holds is replaced */
	const char *root;			/* the machine's mounted root */
	bool may_be_gone;			/* a source that isn't there any more is no error: what was kept is used */
} InitScripts;

/*
 * Whether the sources can be used: each is a script, or a directory with at least one, and no two scripts have the same
 * name. ret_index: of the source that can't. Reads names only, so that the event loop may call it.
 */
int init_scripts_check(const char *const *sources, unsigned *ret_index, Error *err) MUST_CHECK;

/* Copies the sources into `kept`, and from there into the root; earlier ones that are none any more go. For a job's
 * child. */
int init_scripts_install(const InitScripts *scripts, Error *err) MUST_CHECK;

#endif
