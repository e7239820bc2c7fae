/*
 * Runs CRIU: one call, one process with a deadline, its log in the snapshot's directory. Used by snapshot*.c and
 * criu*.c alone. See criu(8).
 */
#ifndef HOST_CRIU_H
#define HOST_CRIU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/cgroup.h"

#define CRIU_NEEDED_MAJOR 4
#define CRIU_NEEDED_MINOR 2

/* Where set-up puts the CRIU that it builds, and the directory that this one keeps what it knows of the kernel in. */
#define CRIU_OWN_PROGRAM	   "/usr/local/lib/lttle/criu"
#define CRIU_OWN_RUN_DIRECTORY "/run/lttle-criu"

#define CRIU_NETWORK_FD 9 /* what --inherit-fd of a restore names */

typedef struct CriuRun
{
	const char *program;
	const char *const *arguments; /* after the program's name; NULL-terminated */
	const char *log_path;		  /* what --log-file makes of it; only read here */
	uint64_t timeout_ms;		  /* > 0 */
	bool is_dump;
	const char *mark_path; /* a file that is there while CRIU has the processes in hand, or was killed then */
	/* The machine's group. A restore joins it first; for a dump its processes are asked whose they are. */
	const CgroupHierarchy *cgroups;
	const char *cgroup;
	/* A restore: what CRIU binds and inherits first. */
	const char *root;
	const char *network_path;
	/* Called in the process that becomes CRIU, when it has joined the group; NULL: nothing. */
	int (*in_group)(const void *context, Error *err);
	const void *in_group_context;
} CriuRun;

/*
 * Runs it to its end. A dump goes on to its end when the caller is killed, because processes whose CRIU dies in the
 * middle lie in pieces; a restore dies with the caller.
 * Errors: -EIO: CRIU ended by itself and says that it failed; what it had in hand is as before. -EOWNERDEAD: it was
 * killed, or had to be killed at the deadline, in the middle. Others: it was never begun. The message ends with the
 * log's last lines.
 */
int criu_run(const CriuRun *run, Error *err) MUST_CHECK;

/*
 * CRIU asks the kernel for its features anew at each run, 55 ms of it, unless its run directory is in memory. Makes
 * that true for the CRIU of set-up, whose directory is its own. Idempotent. Failure costs time only.
 */
int criu_prepare_run_directory(Error *err) MUST_CHECK;

/* "4.2.1". ret_version: at least 32 bytes. */
int criu_read_version(const char *program, char *ret_version, Error *err) MUST_CHECK;

#endif
