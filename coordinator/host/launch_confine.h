/*
 * Gives up everything that a machine's process must not have, in the process itself, right before its exec. Used by
 * launch.c and launch_exec.c alone, so that a machine's first process and every later one are under the same rules.
 */
#ifndef HOST_LAUNCH_CONFINE_H
#define HOST_LAUNCH_CONFINE_H

#include <sys/types.h>

#include "base/error.h"

struct sock_fprog;

typedef struct Confinement
{
	uid_t uid;
	gid_t gid;
	const struct sock_fprog *filter;
} Confinement;

/* Open files and core dumps; a protection from the OOM killer that a daemon may have is not passed on. Needs the
 * host's /proc. */
int launch_set_limits(Error *err) MUST_CHECK;

/*
 * Capabilities (bounding and ambient set too), user, groups, no_new_privs, seccomp filter. A uid of 0 keeps the few
 * capabilities by which the programs of an image own their files and become other users; any other uid keeps none. A
 * death signal (PR_SET_PDEATHSIG) is lost by it.
 */
int launch_confine(const Confinement *confinement, Error *err) MUST_CHECK;

/* chdir, close everything but 0, 1 and 2 at exec, exec. Returns a negative errno only, and sets err. */
int launch_exec_program(const char *const argv[], const char *const environment[], const char *working_directory,
						Error *err) MUST_CHECK;

#endif
