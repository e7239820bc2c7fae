/* Asks a PostgreSQL server what it thinks of a configuration; see config_check.h. */
#include "host/config_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/launch_confine.h"
#include "host/seccomp.h"

/* In the image. A data directory need not be one for -C, which prints a setting and ends (postmaster.c). */
#define DIRECTORY "/tmp"
#define FILE_NAME DIRECTORY "/checked.conf"

typedef struct Asking
{
	const ConfigCheck *check;
	const struct sock_fprog *filter;
	int said_fd; /* its standard error */
} Asking;

/* The image's root, read-only, with the file in a tmpfs of its own; seen by nobody else. */
static int
prepare_root(const ConfigCheck *check, Error *err)
{
	_cleanup_free_ char *directory = memory_printf("%s" DIRECTORY, check->root);
	_cleanup_free_ char *path = memory_printf("%s" FILE_NAME, check->root);
	_cleanup_fd_ int fd = -1;
	size_t size = strlen(check->text);

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount(check->root, check->root, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, check->root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		return error_set_errno(err, errno, "%s: mount", check->root);
	if (mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=8m") < 0)
		return error_set_errno(err, errno, "%s: mount", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, check->text, size) != (ssize_t) size || fchown(fd, check->uid, check->gid) < 0)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

/* In the grandchild, the first process of its namespace. Returns only when it fails. */
static int
become_server(const Asking *asking, Error *err)
{
	static const char file[] = "config_file=" FILE_NAME;
	static const char *const argv[] = {"postgres", "-D", DIRECTORY, "-c", file, "-C", "port", NULL};
	const ConfigCheck *check = asking->check;
	const Confinement confinement = {.uid = check->uid, .gid = check->gid, .filter = asking->filter};
	int result;

	if (dup2(asking->said_fd, STDERR_FILENO) < 0 || dup2(asking->said_fd, STDOUT_FILENO) < 0)
		return error_set_errno(err, errno, "standard error");
	result = launch_set_limits(err);
	if (result < 0)
		return result;
	if (chroot(check->root) < 0 || chdir("/") < 0)
		return error_set_errno(err, errno, "%s: chroot", check->root);
	process_reset_signals();
	result = launch_confine(&confinement, err);
	return result < 0 ? result : launch_exec_program(argv, check->environment, "/", err);
}

static int
ask(void *context, Error *err)
{
	const Asking *asking = context;
	int status = 0;
	pid_t pid;
	int result;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) < 0)
		return error_set_errno(err, errno, "unshare");
	result = prepare_root(asking->check, err);
	if (result < 0)
		return result;
	pid = fork();
	if (pid < 0)
		return error_set_errno(err, errno, "fork");
	if (pid == 0)
	{
		Error error;

		(void) !become_server(asking, &error);
		dprintf(asking->said_fd, "%s\n", error.message);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
	{
		if (errno != EINTR)
			return error_set_errno(err, errno, "wait");
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	/* PostgreSQL ends with 1 when it refuses; anything else is no answer. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		return error_set(err, -EINVAL, "the server refuses its configuration");
	return error_set(err, -EIO, "the server could not be asked");
}

static void
read_said(int fd, char *ret_said, size_t size)
{
	ssize_t got = pread(fd, ret_said, size - 1, 0);

	ret_said[got < 0 ? 0 : got] = '\0';
}

int
config_check_run(const ConfigCheck *check, char *ret_said, size_t size, Error *err)
{
	_cleanup_fd_ int said_fd = memfd_create("lttle-config-check", MFD_CLOEXEC);
	Asking asking = {.check = check, .said_fd = said_fd};
	int result;

	if (said_fd < 0)
		return error_set_errno(err, errno, "memfd");
	result = seccomp_filter_get(&asking.filter, err);
	if (result == 0)
		result = process_run_function(ask, &asking, err);
	read_said(said_fd, ret_said, size);
	if (result < 0 && result != -EINVAL && ret_said[0] != '\0')
		return error_set(err, result, "%s: %.300s", "the server could not be asked", ret_said);
	return result;
}
