/*
 * The launcher: one machine's first process in its own mount, PID, IPC, UTS and (pinned) network namespaces, in its
 * control group, with the image user's uid from the first instruction, no capability (an image's root: a few),
 * no_new_privs and a seccomp filter. Our own because a snapshot restores in 47 ms under it and in 77 to 132 ms under
 * runc; it reads the image's configuration and is no general OCI runtime.
 */
#ifndef HOST_LAUNCH_H
#define HOST_LAUNCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/cgroup.h"

typedef struct LaunchMount
{
	const char *source; /* on the host: a directory or file to bind */
	const char *target; /* absolute, in the machine; made when it isn't there */
	int read_only;
} LaunchMount;

typedef struct LaunchSpec
{
	const CgroupHierarchy *cgroups;
	const char *cgroup;		  /* made before */
	const char *network_path; /* pinned namespace */
	const char *root;		  /* the mounted overlay */
	const char *hostname;
	const char *resolv_conf;   /* text for /etc/resolv.conf, or NULL to leave the image's */
	const LaunchMount *mounts; /* volumes, the run directory at /run/lttle, secrets */
	size_t mount_count;
	const char *log_path;	 /* on the host: standard output and error are appended here; bound at /run/lttle.log */
	const char *const *argv; /* argv[0] is looked up in the environment's PATH inside the machine */
	const char *const *environment; /* KEY=value */
	const char *working_directory;	/* NULL: /; made when it isn't there */
	const char *const *volumes;		/* directories that the image wants, NULL-terminated, or NULL; made likewise */
	uid_t uid;
	gid_t gid;
	uint64_t shm_bytes; /* size of the tmpfs on /dev/shm; 0: none is made, because one of the mounts goes there */
} LaunchSpec;

/*
 * Starts the machine's first process and returns when its exec has succeeded. For a job's child: the process is then
 * a child of that child, and so of the coordinator (PR_SET_CHILD_SUBREAPER) as soon as the job ends.
 * Errors name the step ("exec /usr/bin/x: No such file or directory") and come from inside the machine as well.
 * Nothing is left running on failure.
 */
int launch_machine(const LaunchSpec *spec, pid_t *ret_pid, Error *err) MUST_CHECK;

typedef struct LaunchExecSpec
{
	const CgroupHierarchy *cgroups;
	const char *cgroup;
	pid_t machine_pid; /* the machine's first process; its namespaces are joined through a pidfd */
	const char *const *argv;
	const char *const *environment;
	const char *working_directory;
	uid_t uid;
	gid_t gid;
	int stdin_fd; /* the three descriptors become 0, 1, 2; a terminal becomes the controlling one when terminal is set
				   */
	int stdout_fd;
	int stderr_fd;
	int terminal;
} LaunchExecSpec;

/*
 * Starts one more process inside a running machine, under the same restrictions as its first. Returns at once, with a
 * child of the caller that joins the namespaces and execs; its exit status is the program's, 126 when it cannot be
 * executed, 127 when it is not found (POSIX's convention, as docker exec does), 125 when the machine could not be
 * entered; the reason is on stderr_fd then. The caller reaps *ret_pid.
 *
 * That child stays outside: it passes signals on (SIGTERM, SIGINT, SIGHUP, …) and ends as the program does, by a signal
 * too. Killing it kills the program. It and the program die with the caller.
 * The caller closes its own copies of the three descriptors when it wants to see their end.
 */
int launch_exec(const LaunchExecSpec *spec, pid_t *ret_pid, Error *err) MUST_CHECK;

#endif
