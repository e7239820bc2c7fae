/* A process that cannot be confused with a later one; see pidref.h. */
#include "base/pidref.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static int
process_read_start_time(pid_t pid, uint64_t *ret_start_time, Error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	char *field;
	int result;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	result = file_read(path, 4096, &text, NULL, err);
	if (result == -ENOENT)
		return error_set(err, -ESRCH, "process %d: is gone", (int) pid);
	if (result < 0)
		return result;
	/* The command name may hold blanks and brackets; fields are counted from the last bracket, which ends field 2. */
	field = strrchr(text, ')');
	for (int number = 2; field != NULL && number < 22; number++)
		field = strchr(field + 1, ' ');
	if (field == NULL)
		return error_set(err, -EINVAL, "%s: unexpected format", path);
	*ret_start_time = strtoull(field + 1, NULL, 10);
	return 0;
}

int
pidref_open(pid_t pid, PidRef *ret_reference, Error *err)
{
	_cleanup_fd_ int fd = (int) syscall(SYS_pidfd_open, pid, 0);
	uint64_t start_time = 0;
	int result;

	if (fd < 0)
		return error_set_errno(err, errno, "process %d: pidfd_open", (int) pid);
	result = process_read_start_time(pid, &start_time, err);
	if (result < 0)
		return result;
	*ret_reference = (PidRef){.pid = pid, .start_time = start_time, .fd = steal_fd(&fd)};
	return 0;
}

int
pidref_reopen(pid_t pid, uint64_t start_time, PidRef *ret_reference, Error *err)
{
	PidRef reference;
	int result = pidref_open(pid, &reference, err);

	if (result < 0)
		return result;
	if (reference.start_time != start_time)
	{
		pidref_close(&reference);
		return error_set(err, -ESRCH, "process %d: is another one by now", (int) pid);
	}
	*ret_reference = reference;
	return 0;
}

int
pidref_kill(const PidRef *reference, int signal, Error *err)
{
	if (reference->fd < 0)
		return 0;
	if (syscall(SYS_pidfd_send_signal, reference->fd, signal, NULL, 0) < 0 && errno != ESRCH)
		return error_set_errno(err, errno, "process %d: send signal %d", (int) reference->pid, signal);
	return 0;
}

bool
pidref_is_alive(const PidRef *reference)
{
	struct pollfd poll_fd = {.fd = reference->fd, .events = POLLIN};

	/* A pidfd is readable from the moment its process has ended. */
	return reference->fd >= 0 && poll(&poll_fd, 1, 0) == 0;
}

void
pidref_close(PidRef *reference)
{
	if (reference->fd >= 0)
		close(reference->fd);
	*reference = PIDREF_NONE;
}
