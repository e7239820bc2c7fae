/*
 * Starts one more process inside a running machine; see launch.h. Two processes: a relay, which is the caller's child
 * and stays outside but for the PID namespace of its children, and the program, which joins the rest. The relay is in
 * no control group of the machine, so that freezing and listing the machine does not meet it.
 */
#include "host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "host/launch_confine.h"
#include "host/seccomp.h"

#define EXIT_NOT_ENTERED   125
#define EXIT_NOT_EXECUTED  126
#define EXIT_NOT_FOUND	   127
#define FIRST_FREE_FD	   10 /* above what becomes standard input and output */
#define PROGRAM_NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)

typedef struct Entrance
{
	const LaunchExecSpec *spec;
	const struct sock_fprog *filter;
	int machine_fd;	   /* pidfd */
	int life_read_fd;  /* end of file: the relay is dead */
	int life_write_fd; /* held by the relay alone */
} Entrance;

/* The three descriptors may overlap with 0 to 2 in any order, so they go up before they go down. */
static int
place_standard_streams(const LaunchExecSpec *spec, Error *err)
{
	const int wanted[] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
	int moved[3];

	for (int i = 0; i < 3; i++)
	{
		moved[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		if (moved[i] < 0)
			return error_set_errno(err, errno, "descriptor %d", wanted[i]);
	}
	for (int i = 0; i < 3; i++)
		if (dup2(moved[i], i) < 0)
			return error_set_errno(err, errno, "descriptor %d", i);
	if (spec->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		return error_set_errno(err, errno, "controlling terminal");
	return 0;
}

/* The request for a death signal comes after the last change of user, which cancels it. */
static int
follow_relay(const Entrance *entrance, Error *err)
{
	struct pollfd life = {.fd = entrance->life_read_fd, .events = POLLIN};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_set_errno(err, errno, "death signal");
	if (poll(&life, 1, 0) != 0) /* it died before the request */
		return error_set(err, -ECANCELED, "cancelled");
	return 0;
}

static int
program_enter(const Entrance *entrance, Error *err)
{
	const LaunchExecSpec *spec = entrance->spec;
	const Confinement confinement = {.uid = spec->uid, .gid = spec->gid, .filter = entrance->filter};
	int result;

	process_reset_signals();
	setsid();
	result = place_standard_streams(spec, err);
	if (result == 0)
		result = launch_set_limits(err);
	if (result == 0)
		result = cgroup_attach(spec->cgroups, spec->cgroup, 0, err);
	if (result < 0)
		return result;
	if (setns(entrance->machine_fd, PROGRAM_NAMESPACES) < 0)
		return error_set_errno(err, errno, "enter the machine");
	result = launch_confine(&confinement, err);
	if (result == 0)
		result = follow_relay(entrance, err);
	return result;
}

static _Noreturn void
program_run(const Entrance *entrance)
{
	const LaunchExecSpec *spec = entrance->spec;
	Error err = {0};
	int status = EXIT_NOT_ENTERED;

	close(entrance->life_write_fd);
	if (program_enter(entrance, &err) == 0)
		status = launch_exec_program(spec->argv, spec->environment, spec->working_directory, &err) == -ENOENT
					 ? EXIT_NOT_FOUND
					 : EXIT_NOT_EXECUTED;
	dprintf(STDERR_FILENO, "lttle: %s\n", err.message);
	_exit(status);
}

/* Ends as the program did. */
static _Noreturn void
relay_end(int status)
{
	const struct rlimit no_core = {0};
	sigset_t set;

	if (!WIFSIGNALED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	raise(WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + WTERMSIG(status)); /* a signal that ends nobody by default */
}

/* Every signal is blocked and taken by number: passed on, or, when a child has ended, looked at. */
static _Noreturn void
relay_run(pid_t program)
{
	sigset_t all;

	sigfillset(&all);
	for (;;)
	{
		siginfo_t information;
		int signal_number = sigwaitinfo(&all, &information);
		int status;

		if (signal_number < 0)
			continue;
		if (signal_number != SIGCHLD)
		{
			kill(program, signal_number);
			continue;
		}
		if (waitpid(program, &status, WNOHANG) == program)
			relay_end(status);
	}
}

/* The relay inherits what the daemon has open: other machines' sockets, clients. All of it must go. */
static void
relay_close_others(const Entrance *entrance)
{
	close_range(0, (unsigned) entrance->life_write_fd - 1, 0);
	close_range((unsigned) entrance->life_write_fd + 1, ~0U, 0);
}

static _Noreturn void
relay_start(Entrance *entrance, pid_t caller)
{
	sigset_t all;
	pid_t program;

	process_reset_signals();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid(); /* a terminal's or a service manager's group signal reaches the caller, who decides */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != caller)
		_exit(EXIT_NOT_ENTERED);
	if (setns(entrance->machine_fd, CLONE_NEWPID) < 0)
	{
		dprintf(entrance->spec->stderr_fd, "lttle: enter the machine: %m\n");
		_exit(EXIT_NOT_ENTERED);
	}
	program = fork();
	if (program == 0)
		program_run(entrance);
	if (program < 0)
	{
		dprintf(entrance->spec->stderr_fd, "lttle: fork: %m\n");
		_exit(EXIT_NOT_ENTERED);
	}
	relay_close_others(entrance);
	relay_run(program);
}

int
launch_exec(const LaunchExecSpec *spec, pid_t *ret_pid, Error *err)
{
	_cleanup_fd_ int machine_fd = (int) syscall(SYS_pidfd_open, spec->machine_pid, 0);
	_cleanup_fd_ int life_read_fd = -1;
	_cleanup_fd_ int life_write_fd = -1;
	Entrance entrance = {.spec = spec};
	pid_t caller = getpid();
	int ends[2];
	pid_t pid;
	int result;

	if (machine_fd < 0)
		return error_set_errno(err, errno, "process %d", (int) spec->machine_pid);
	result = seccomp_filter_get(&entrance.filter, err);
	if (result < 0)
		return result;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	life_read_fd = fcntl(ends[0], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	life_write_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	close(ends[0]);
	close(ends[1]);
	if (life_read_fd < 0 || life_write_fd < 0)
		return error_set_errno(err, errno, "pipe");
	entrance.machine_fd = machine_fd;
	entrance.life_read_fd = life_read_fd;
	entrance.life_write_fd = life_write_fd;
	pid = fork();
	if (pid < 0)
		return error_set_errno(err, errno, "fork");
	if (pid == 0)
		relay_start(&entrance, caller);
	*ret_pid = pid;
	return 0;
}
