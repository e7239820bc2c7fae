/* Finds and runs CRIU; see criu.h and the half of snapshot.h that is about the program. */
#include "host/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/patient_fork.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/criu_owner.h"
#include "host/snapshot.h"

#define VERSION_TIMEOUT_MS	  10000
#define LOG_MAX_BYTES		  (4 << 20)
#define LOG_LINES_SHOWN		  3
#define DISK_FULL_BYTES		  (1 << 20)
#define MAX_ARGUMENTS		  208
#define EXEC_FAILED_STATUS	  127
#define RUN_DIRECTORY_OPTIONS "size=1m,mode=0700"

int
criu_read_version(const char *program, char *ret_version, Error *err)
{
	const char *const argv[] = {program, "--version", NULL};
	_cleanup_free_ char *output = NULL;
	char version[32] = "";
	int result = process_run(argv, VERSION_TIMEOUT_MS, &output, err);

	if (result < 0)
		return result;
	if (sscanf(output, "Version: %31s", version) != 1)
		return error_set(err, -EINVAL, "%s: does not say its version", program);
	memcpy(ret_version, version, sizeof(version));
	return 0;
}

static bool
version_is_enough(const char *version)
{
	int major_number = 0;
	int minor_number = 0;

	return sscanf(version, "%d.%d", &major_number, &minor_number) == 2 &&
		   (major_number > CRIU_NEEDED_MAJOR ||
			(major_number == CRIU_NEEDED_MAJOR && minor_number >= CRIU_NEEDED_MINOR));
}

/* The program's path, so that what was looked at is also what is run later. */
static int
find_in_path(const char *name, char path[PATH_MAX])
{
	const char *search = getenv("PATH");

	while (search != NULL && *search != '\0')
	{
		size_t length = strcspn(search, ":");

		snprintf(path, PATH_MAX, "%.*s/%s", (int) length, search, name);
		if (length > 0 && access(path, X_OK) == 0)
			return 0;
		search += length + (search[length] == ':');
	}
	return -ENOENT;
}

int
criu_find(const char *configured, char *ret_path, char *ret_version, Error *err)
{
	bool is_configured = configured != NULL && configured[0] != '\0';
	char path[PATH_MAX];
	char version[32];
	int result;

	if (is_configured)
		snprintf(path, sizeof(path), "%s", configured);
	else if (access(CRIU_OWN_PROGRAM, X_OK) == 0)
		snprintf(path, sizeof(path), "%s", CRIU_OWN_PROGRAM);
	else if (find_in_path("criu", path) < 0)
		return error_set(err, -ENOENT, "CRIU is not installed; \"make setup\" builds the one that snapshots need");
	if (strlen(path) >= 256)
		return error_set(err, -ENAMETOOLONG, "%.60s...: the path of CRIU is too long", path);
	result = criu_read_version(path, version, err);
	if (result < 0)
		return is_configured && result == -ENOENT
				   ? error_set(err, -ENOENT, "%s: there is no such program; the settings name it as CRIU", path)
				   : result;
	if (!version_is_enough(version))
		return error_set(err, -ENOENT, "%s is CRIU %s; snapshots need %d.%d or later, which \"make setup\" builds",
						 path, version, CRIU_NEEDED_MAJOR, CRIU_NEEDED_MINOR);
	memcpy(ret_path, path, strlen(path) + 1);
	memcpy(ret_version, version, sizeof(version));
	return 0;
}

static bool
is_in_memory(const char *path)
{
	struct statfs system;

	return statfs(path, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

int
criu_prepare_run_directory(Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	int result;

	if (is_in_memory(CRIU_OWN_RUN_DIRECTORY))
		return 0;
	result = file_make_directory(CRIU_OWN_RUN_DIRECTORY, 0700, err);
	if (result < 0)
		return result;
	/* Of several that come at once, one mounts it. */
	lock_fd = open(CRIU_OWN_RUN_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
		return error_set_errno(err, errno, CRIU_OWN_RUN_DIRECTORY);
	if (!is_in_memory(CRIU_OWN_RUN_DIRECTORY) && mount("lttle-criu", CRIU_OWN_RUN_DIRECTORY, "tmpfs",
													   MS_NOSUID | MS_NODEV | MS_NOEXEC, RUN_DIRECTORY_OPTIONS) < 0)
		return error_set_errno(err, errno, "mount " CRIU_OWN_RUN_DIRECTORY);
	return 0;
}

/* ---- in the process that becomes CRIU ---- */

/* prlimit(2) on another user's process needs CAP_SYS_RESOURCE or that user's real ids; the effective ones stay root's.
 */
static int
become_related(const CriuRun *run, Error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int result;

	if (process_has_capability(CAP_SYS_RESOURCE))
		return 0;
	result = criu_find_owner(run->cgroups, run->cgroup, &uid, &gid, err);
	if (result < 0)
		return result;
	if (setresgid(gid, (gid_t) -1, (gid_t) -1) < 0 || setresuid(uid, (uid_t) -1, (uid_t) -1) < 0)
		return error_set_errno(err, errno, "take the real user %u", (unsigned) uid);
	return 0;
}

/* The restored root is a copy of this mount, so it has to be one, and private; it goes with the process. */
static int
bind_root(const char *root, Error *err)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(err, errno, "mount namespace");
	if (mount(root, root, NULL, MS_BIND, NULL) < 0)
		return error_set_errno(err, errno, "mount %s", root);
	return 0;
}

static int
inherit_network(const char *path, Error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	if (fd == CRIU_NETWORK_FD)
		return fcntl(fd, F_SETFD, 0) < 0 ? error_set_errno(err, errno, "%s", path) : 0;
	if (dup2(fd, CRIU_NETWORK_FD) < 0)
		return error_set_errno(err, errno, "%s", path);
	close(fd);
	return 0;
}

static int
prepare(const CriuRun *run, Error *err)
{
	struct rlimit open_files;
	int result = 0;

	/* CRIU wants all that it can get, and may not raise the hard limit everywhere. */
	if (getrlimit(RLIMIT_NOFILE, &open_files) == 0)
	{
		open_files.rlim_cur = open_files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &open_files);
	}
	if (run->network_path != NULL)
		result = inherit_network(run->network_path, err);
	if (result == 0 && run->root != NULL)
		result = bind_root(run->root, err);
	if (result == 0 && !run->is_dump)
		result = cgroup_attach(run->cgroups, run->cgroup, 0, err);
	if (result == 0 && run->in_group != NULL)
		result = run->in_group(run->in_group_context, err);
	if (result == 0 && run->is_dump)
		result = become_related(run, err);
	return result;
}

/* What goes wrong before the exec comes back through the pipe that the exec closes. */
static _Noreturn void
child_become(const CriuRun *run, const char *const argv[], int report_fd, pid_t parent)
{
	Error problem = {0};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	setpgid(0, 0); /* with what it forks, which would outlive it: a child that it traces, stopped for ever */
	process_reset_signals();
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
		dup2(null_fd, STDERR_FILENO) < 0)
		problem.code = error_set_errno(&problem, errno, "/dev/null");
	if (problem.code == 0)
		problem.code = prepare(run, &problem);
	if (problem.code == 0)
	{
		/* Images hold the machine's memory; CRIU itself would let everybody read them. */
		if (run->is_dump)
			umask(077);
		/* After the last change of user, which cancels it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXEC_FAILED_STATUS);
		problem.code =
			error_set_errno(&problem, -process_exec(argv, (const char *const *) environ), "exec %s", argv[0]);
	}
	_exit(write(report_fd, &problem, sizeof(problem)) == (ssize_t) sizeof(problem) ? EXEC_FAILED_STATUS : 1);
}

/* ---- in the process that waits for it ---- */

/* A log that could not be written says nothing about the reason for that. */
static bool
is_disk_full(const char *path)
{
	struct statvfs status;

	return statvfs(path, &status) == 0 && (uint64_t) status.f_bavail * status.f_frsize < DISK_FULL_BYTES;
}

/* The last lines that tell why. What CRIU says about a limit that it may not raise is not why. */
static void
append_log(const char *path, Error *err)
{
	_cleanup_free_ char *log = NULL;
	const char *shown[LOG_LINES_SHOWN] = {NULL};
	char message[ERROR_MESSAGE_BYTES];
	size_t used;
	char *rest;

	if (err == NULL || path == NULL)
		return;
	if (is_disk_full(path))
		error_prefix(err, "%s", strerror(ENOSPC));
	if (file_read(path, LOG_MAX_BYTES, &log, NULL, NULL) < 0)
		return;
	rest = log;
	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
	{
		if (strstr(line, "Error") == NULL || strstr(line, "RLIMIT_NOFILE") != NULL)
			continue;
		memmove(&shown[0], &shown[1], sizeof(shown) - sizeof(shown[0]));
		shown[LOG_LINES_SHOWN - 1] = line;
	}
	used = (size_t) snprintf(message, sizeof(message), "%s", err->message);
	for (size_t i = 0; i < LOG_LINES_SHOWN; i++)
		if (shown[i] != NULL && used < sizeof(message))
			used += (size_t) snprintf(message + used, sizeof(message) - used, "; %s", shown[i]);
	memcpy(err->message, message, sizeof(message));
}

static int
wait_for_end(const CriuRun *run, pid_t pid, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + run->timeout_ms * NS_PER_MS;
	_cleanup_fd_ int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
	struct pollfd polled = {.fd = pidfd, .events = POLLIN};
	siginfo_t ending = {0};
	bool is_late = false;
	int status;

	while (pidfd >= 0 && !is_late)
	{
		uint64_t now_ns = clock_monotonic_ns();

		is_late = now_ns >= deadline_ns || fault_hit(FAULT_CRIU_LATE, NULL) < 0;
		if (poll(&polled, 1, is_late ? 0 : (int) ((deadline_ns - now_ns) / NS_PER_MS) + 1) > 0)
			break;
	}
	if (pidfd < 0 || polled.revents == 0)
		kill(pid, SIGKILL);
	/* Before it is reaped, as long as the group's number is its own. */
	if (waitid(P_PID, (id_t) pid, &ending, WEXITED | WNOWAIT) == 0 && ending.si_code != CLD_EXITED)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "criu: waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return error_set(err, -EIO, "criu %s: exit status %d", run->arguments[0], WEXITSTATUS(status));
	if (is_late)
		return error_set(err, -EOWNERDEAD, "criu %s: did not end within %llu ms", run->arguments[0],
						 (unsigned long long) run->timeout_ms);
	return error_set(err, -EOWNERDEAD, "criu %s: ended by signal %d", run->arguments[0], WTERMSIG(status));
}

static int
set_mark(const CriuRun *run, Error *err)
{
	_cleanup_fd_ int fd = -1;

	if (run->mark_path == NULL)
		return 0;
	fd = open(run->mark_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? error_set_errno(err, errno, "%s", run->mark_path) : 0;
}

static int
supervise(void *context, Error *err)
{
	const CriuRun *run = context;
	_cleanup_fd_ int report_fd = -1;
	const char *argv[MAX_ARGUMENTS] = {run->program};
	Error problem = {0};
	pid_t parent;
	int ends[2];
	ssize_t got;
	pid_t pid;
	int result;

	if (run->is_dump)
	{
		/* Out of reach of what ends a job; see criu.h. */
		prctl(PR_SET_PDEATHSIG, 0);
		setsid();
	}
	for (size_t i = 0; run->arguments[i] != NULL; i++)
	{
		if (i + 2 >= MAX_ARGUMENTS)
			return error_set(err, -E2BIG, "criu: too many mounts");
		argv[i + 1] = run->arguments[i];
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	report_fd = ends[0];
	result = set_mark(run, err);
	if (result < 0)
	{
		close(ends[1]);
		return result;
	}
	parent = getpid();
	pid = fork_patiently(fork);
	if (pid == 0)
		child_become(run, argv, ends[1], parent);
	close(ends[1]);
	if (pid < 0)
		return error_set_errno(err, errno, "criu: fork");
	do
		got = read(report_fd, &problem, sizeof(problem));
	while (got < 0 && errno == EINTR);
	result = wait_for_end(run, pid, err);
	if (run->mark_path != NULL && result != -EOWNERDEAD)
		unlink(run->mark_path);
	if (got == (ssize_t) sizeof(problem))
	{
		*err = problem;
		error_prefix(err, "criu %s", run->arguments[0]);
		return problem.code;
	}
	if (result < 0)
		append_log(run->log_path, err);
	return result;
}

int
criu_run(const CriuRun *run, Error *err)
{
	int result = strcmp(run->program, CRIU_OWN_PROGRAM) == 0 ? criu_prepare_run_directory(err) : 0;

	/* Without it CRIU is slower, and no less right: what went wrong is forgotten. */
	result = process_run_function(supervise, (void *) (uintptr_t) run, err);
	if (result < 0 && run->mark_path != NULL && access(run->mark_path, F_OK) == 0)
		result = err != NULL ? (err->code = -EOWNERDEAD) : -EOWNERDEAD;
	return result;
}
