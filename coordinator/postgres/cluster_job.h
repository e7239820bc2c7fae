/* Bringing a cluster's server to what its spec says: the work of a job's child. */
#ifndef POSTGRES_CLUSTER_JOB_H
#define POSTGRES_CLUSTER_JOB_H

#include "base/error.h"
#include "model/postgres_options.h"
#include "model/spec.h"

/* All that the child needs; it must not touch the store. Texts belong to whoever starts the job. */
typedef struct ClusterJob
{
	const PostgresSpec *spec;
	const PostgresSpec *applied; /* NULL: nothing yet */
	char host[16];
	const char *superuser_password;
	const char *next_superuser_password; /* NULL, or the one that it gets */
	char *const *passwords;				 /* of the spec's users, in their order; NULL: of a check */
	const bool *rotated;				 /* which of them are there, but get this password now; NULL: none */
	PostgresOptions options;
	bool only_check; /* change nothing: see what stands against it, and what was changed by hand */
	uint64_t timeout_ms;
} ClusterJob;

/* Lines, separated by newlines; what does not fit is cut off. */
typedef struct ClusterJobResult
{
	char notes[1100];
	char drift[1100];
	char restart_for[400]; /* settings that count only at the next start: "shared_buffers, max_connections" */
} ClusterJobResult;

/*
 * A JobFunction. Waits until the server can be reached, has it read its settings, then makes users and databases what
 * they are to be. Errors: -EINVAL, -EEXIST, -EREMOTEIO: it refused, and will again; others: try again.
 */
int cluster_job_run(const void *input, void *output, Error *err) MUST_CHECK;

#endif
