/*
 * Starts a machine's first process; see launch.h. The child is made with clone3 in its new namespaces and does
 * everything itself, the control group and the network namespace included; what goes wrong comes back through a pipe
 * that exec closes.
 */
#include "host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/patient_fork.h"
#include "base/process.h"
#include "host/launch_confine.h"
#include "host/launch_mounts.h"
#include "host/seccomp.h"

#define FIRST_FREE_FD 10 /* above what becomes standard input and output */

static int
child_join(const LaunchSpec *spec, int namespace_fd, Error *err)
{
	int result = cgroup_attach(spec->cgroups, spec->cgroup, 0, err); /* 0: itself, whatever its number is outside */

	if (result < 0)
		return result;
	if (setns(namespace_fd, CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "%s: enter the network namespace", spec->network_path);
	if (sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return error_set_errno(err, errno, "host name %s", spec->hostname);
	return 0;
}

/*
 * As long as it isn't a machine's process it goes with the launcher; confining it ends that. One that died before the
 * request reads no more: from within the new PID namespace nobody outside has a number to ask for.
 */
static void
child_follow_launcher(int report_fd)
{
	struct pollfd life = {.fd = report_fd};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&life, 1, 0) != 0)
		_exit(1);
}

/* Returns on failure only. */
static int
child_run(const LaunchSpec *spec, int namespace_fd, const struct sock_fprog *filter, Error *err)
{
	const Confinement confinement = {.uid = spec->uid, .gid = spec->gid, .filter = filter};
	int result;

	process_reset_signals();
	setsid();
	result = launch_set_limits(err);
	if (result == 0)
		result = child_join(spec, namespace_fd, err);
	if (result == 0)
		result = launch_build_root(spec, err);
	if (result == 0)
		result = launch_confine(&confinement, err);
	if (result == 0)
	{
		prctl(PR_SET_PDEATHSIG, 0); /* an image whose user is root changes no user, and would keep it */
		result = launch_exec_program(spec->argv, spec->environment, spec->working_directory, err);
	}
	return result;
}

static pid_t
clone_into_namespaces(void)
{
	struct clone_args arguments = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
		.exit_signal = SIGCHLD,
	};

	return (pid_t) syscall(SYS_clone3, &arguments, sizeof(arguments));
}

/* Waits for the exec: an end of file, or an Error. */
static int
await_exec(pid_t pid, int report_fd, Error *err)
{
	Error problem = {0};
	ssize_t got;

	do
		got = read(report_fd, &problem, sizeof(problem));
	while (got < 0 && errno == EINTR);
	/* Killed before its exec it closes the pipe too; the caller sees that as any end of the first process. */
	if (got == 0)
		return 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t) sizeof(problem))
		return error_set(err, -EIO, "the first process died without an answer");
	if (err != NULL)
		*err = problem;
	return problem.code < 0 ? problem.code : -EIO;
}

int
launch_machine(const LaunchSpec *spec, pid_t *ret_pid, Error *err)
{
	_cleanup_fd_ int namespace_fd = open(spec->network_path, O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int report_read_fd = -1;
	_cleanup_fd_ int report_write_fd = -1;
	const struct sock_fprog *filter;
	int ends[2];
	pid_t pid;
	int result = seccomp_filter_get(&filter, err);

	if (result < 0)
		return result;
	if (namespace_fd < 0)
		return error_set_errno(err, errno, "%s", spec->network_path);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	report_read_fd = ends[0];
	report_write_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	close(ends[1]);
	if (report_write_fd < 0)
		return error_set_errno(err, errno, "pipe");
	pid = fork_patiently(clone_into_namespaces);
	if (pid < 0)
		return error_set_errno(err, errno, "make namespaces");
	if (pid == 0)
	{
		Error problem = {0};

		close(report_read_fd);
		child_follow_launcher(report_write_fd);
		problem.code = child_run(spec, namespace_fd, filter, &problem);
		_exit(write(report_write_fd, &problem, sizeof(problem)) == (ssize_t) sizeof(problem) ? 1 : 2);
	}
	close(steal_fd(&report_write_fd));
	result = await_exec(pid, report_read_fd, err);
	if (result < 0)
		return result;
	*ret_pid = pid;
	return 0;
}
