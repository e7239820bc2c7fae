/*
 * Asks a PostgreSQL server what it thinks of a configuration: its own program, of the image that a machine will run,
 * reads the file and ends. It runs as the image's user in namespaces of its own, without network, on a read-only root,
 * under the restrictions of a machine's process.
 */
#ifndef HOST_CONFIG_CHECK_H
#define HOST_CONFIG_CHECK_H

#include <sys/types.h>

#include "base/error.h"

typedef struct ConfigCheck
{
	const char *root;				/* the image's, unpacked */
	const char *const *environment; /* the image's: NAME=value; its PATH leads to `postgres` */
	uid_t uid;
	gid_t gid;
	const char *text; /* of the file */
} ConfigCheck;

/*
 * For a job's child. ret_said: at least size bytes; what the server said, a line a message, the end cut off.
 * Returns 0 when it takes the file; -EINVAL with ret_said when it does not; others: it could not be asked.
 */
int config_check_run(const ConfigCheck *check, char *ret_said, size_t size, Error *err) MUST_CHECK;

#endif
