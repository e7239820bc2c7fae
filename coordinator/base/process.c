/*
 * Runs a program to its end; see process.h. The program leads a process group of its own, so that a deadline ends its
 * helpers too, and gets SIGKILL when the caller dies, so that a job that is killed leaves nothing behind.
 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/patient_fork.h"
#include "base/clock.h"
#include "base/text.h"

#define OUTPUT_MAX_BYTES   1048576UL
#define COMPLAINT_BYTES	   400 /* of standard error, in an error message */
#define COMPLAINT_KEEP	   4096
#define EXEC_FAILED_STATUS 127
#define DEFAULT_PATH	   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct Pipe
{
	int read_fd;
	int write_fd;
} Pipe;

typedef struct Running
{
	const char *name;
	pid_t pid;
	int pidfd;
	Pipe output;	/* standard output; not opened when it goes where standard error goes */
	Pipe complaint; /* standard error */
	Pipe failure;	/* closed by exec; carries errno when there was none */
	Text output_text;
	Text complaint_text;
} Running;

static void
pipe_close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
running_clear(Running *running)
{
	Pipe *pipes[] = {&running->output, &running->complaint, &running->failure};

	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++)
	{
		pipe_close_end(&pipes[i]->read_fd);
		pipe_close_end(&pipes[i]->write_fd);
	}
	pipe_close_end(&running->pidfd);
	if (running->pid > 0)
	{
		kill(-running->pid, SIGKILL);
		while (waitpid(running->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	text_clear(&running->output_text);
	text_clear(&running->complaint_text);
}

static int
pipe_open(Pipe *target, Error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	target->read_fd = ends[0];
	target->write_fd = ends[1];
	return 0;
}

void
process_reset_signals(void)
{
	/* The kernel's own struct sigaction, all zero: default action. Not by sigaction(3), which refuses the two signals
	 * that the C library keeps for itself, and some parents hand them down ignored. */
	static const unsigned long default_action[4];
	sigset_t none;

	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		syscall(SYS_rt_sigaction, signal_number, default_action, NULL, sizeof(unsigned long));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *
environment_find(const char *const environment[], const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; environment[i] != NULL; i++)
		if (strncmp(environment[i], name, length) == 0 && environment[i][length] == '=')
			return environment[i] + length + 1;
	return NULL;
}

int
process_exec(const char *const argv[], const char *const environment[])
{
	const char *search = environment_find(environment, "PATH");
	int result = -ENOENT;

	if (strchr(argv[0], '/') != NULL)
	{
		execve(argv[0], (char *const *) argv, (char *const *) environment);
		return -errno;
	}
	if (search == NULL || argv[0][0] == '\0')
		search = argv[0][0] == '\0' ? "" : DEFAULT_PATH;
	while (*search != '\0')
	{
		size_t length = strcspn(search, ":");
		char path[PATH_MAX];

		if (length > 0 &&
			(size_t) snprintf(path, sizeof(path), "%.*s/%s", (int) length, search, argv[0]) < sizeof(path))
		{
			execve(path, (char *const *) argv, (char *const *) environment);
			/* A file that may not be run is remembered, but a later directory may have a better one. */
			if (errno != ENOENT && errno != ENOTDIR && (errno != EACCES || access(path, F_OK) == 0))
				result = -errno;
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return result;
		}
		search += length + (search[length] == ':');
	}
	return result;
}

static _Noreturn void
child_exec(const Running *running, const char *const argv[], pid_t parent)
{
	int output_fd = running->output.write_fd >= 0 ? running->output.write_fd : running->complaint.write_fd;
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int problem;

	setpgid(0, 0);
	process_reset_signals();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the request above */
		_exit(EXEC_FAILED_STATUS);
	if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(output_fd, STDOUT_FILENO) >= 0 &&
		dup2(running->complaint.write_fd, STDERR_FILENO) >= 0)
		problem = -process_exec(argv, (const char *const *) environ);
	else
		problem = errno;
	if (write(running->failure.write_fd, &problem, sizeof(problem)) < 0)
		_exit(EXEC_FAILED_STATUS + 1);
	_exit(EXEC_FAILED_STATUS);
}

/* Starts the child and learns whether its exec succeeded. */
static int
running_start(Running *running, const char *const argv[], Error *err)
{
	pid_t parent = getpid();
	int problem = 0;
	ssize_t got;

	running->pid = fork_patiently(fork);
	if (running->pid < 0)
		return error_set_errno(err, errno, "%s: fork", running->name);
	if (running->pid == 0)
		child_exec(running, argv, parent);
	setpgid(running->pid, running->pid); /* here as well: whoever comes first, the group is there before a kill */
	running->pidfd = (int) syscall(SYS_pidfd_open, running->pid, 0);
	if (running->pidfd < 0)
		return error_set_errno(err, errno, "%s: pidfd_open", running->name);
	pipe_close_end(&running->output.write_fd);
	pipe_close_end(&running->complaint.write_fd);
	pipe_close_end(&running->failure.write_fd);
	do
		got = read(running->failure.read_fd, &problem, sizeof(problem));
	while (got < 0 && errno == EINTR);
	if (got == (ssize_t) sizeof(problem))
	{
		if (problem == ENOENT)
			return error_set(err, -ENOENT, "%s: program not found", running->name);
		return error_set_errno(err, problem, "%s: exec", running->name);
	}
	return 0;
}

/* Reads what is there. Closes the end at end of file. */
static int
collect(int *fd, Text *text, size_t keep_last, const char *name, Error *err)
{
	char buffer[16384];
	ssize_t got = read(*fd, buffer, sizeof(buffer));

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got <= 0)
	{
		pipe_close_end(fd);
		return 0;
	}
	text_append_bytes(text, buffer, (size_t) got);
	if (keep_last > 0 && text->length > keep_last * 2)
	{
		memmove(text->data, text->data + text->length - keep_last, keep_last + 1);
		text->length = keep_last;
	}
	if (keep_last == 0 && text->length > OUTPUT_MAX_BYTES)
		return error_set(err, -EFBIG, "%s: printed more than %lu bytes", name, OUTPUT_MAX_BYTES);
	return 0;
}

/*
 * Reads both pipes until the program has ended. What a helper that it left in the background still holds open is not
 * waited for.
 */
static int
running_follow(Running *running, uint64_t timeout_ms, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
	bool ended = false;

	for (;;)
	{
		struct pollfd polled[] = {
			{.fd = running->output.read_fd, .events = POLLIN},
			{.fd = running->complaint.read_fd, .events = POLLIN},
			{.fd = ended ? -1 : running->pidfd, .events = POLLIN},
		};
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t left_ms = now_ns >= deadline_ns ? 0 : (deadline_ns - now_ns) / NS_PER_MS + 1;
		int ready = poll(polled, 3, ended ? 0 : (left_ms > 60000 ? 60000 : (int) left_ms));
		int result = 0;

		if (ready < 0 && errno != EINTR)
			return error_set_errno(err, errno, "%s: poll", running->name);
		if (ended && (ready == 0 || left_ms == 0))
			return 0;
		if (left_ms == 0 && polled[2].revents == 0)
			return error_set(err, -ETIMEDOUT, "%s: did not end within %llu ms", running->name,
							 (unsigned long long) timeout_ms);
		if (ready <= 0)
			continue;
		if (polled[0].revents != 0)
			result = collect(&running->output.read_fd, &running->output_text, 0, running->name, err);
		if (result == 0 && polled[1].revents != 0)
			result = collect(&running->complaint.read_fd, &running->complaint_text, COMPLAINT_KEEP, running->name, err);
		if (result < 0)
			return result;
		if (polled[2].revents != 0)
			ended = true;
	}
}

/* The last lines of standard error, in one line. */
static void
complaint_format(const Text *text, char line[COMPLAINT_BYTES + 1])
{
	const char *start = text_string(text);
	size_t length = text->length;

	while (length > 0 && strchr(" \t\r\n", start[length - 1]) != NULL)
		length--;
	if (length > COMPLAINT_BYTES)
	{
		const char *break_at;

		start += length - COMPLAINT_BYTES;
		length = COMPLAINT_BYTES;
		break_at = memchr(start, '\n', length);
		if (break_at != NULL)
		{
			length -= (size_t) (break_at + 1 - start);
			start = break_at + 1;
		}
	}
	memcpy(line, start, length);
	line[length] = '\0';
	for (char *at = line; *at != '\0'; at++)
		if (*at == '\n' || *at == '\r' || *at == '\t')
			*at = ' ';
}

static int
running_end(Running *running, Error *err)
{
	char complaint[COMPLAINT_BYTES + 1];
	int status;

	while (waitpid(running->pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "%s: waitpid", running->name);
	running->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	complaint_format(&running->complaint_text, complaint);
	if (WIFSIGNALED(status))
		return error_set(err, -EIO, "%s: ended by signal %d%s%s", running->name, WTERMSIG(status),
						 complaint[0] == '\0' ? "" : ": ", complaint);
	return error_set(err, -EIO, "%s: exit status %d%s%s", running->name, WEXITSTATUS(status),
					 complaint[0] == '\0' ? "" : ": ", complaint);
}

int
process_run(const char *const argv[], uint64_t timeout_ms, char **ret_output, Error *err)
{
	_cleanup_(running_clear) Running running = {
		.name = argv[0],
		.pidfd = -1,
		.output = {-1, -1},
		.complaint = {-1, -1},
		.failure = {-1, -1},
	};
	int result = pipe_open(&running.complaint, err);

	if (result == 0)
		result = pipe_open(&running.failure, err);
	if (result == 0 && ret_output != NULL)
		result = pipe_open(&running.output, err);
	if (result == 0)
		result = running_start(&running, argv, err);
	if (result == 0)
		result = running_follow(&running, timeout_ms, err);
	if (result == 0)
		result = running_end(&running, err);
	if (result < 0)
		return result;
	if (ret_output != NULL)
	{
		text_append(&running.output_text, "");
		*ret_output = steal_pointer(&running.output_text.data);
	}
	return 0;
}

/* Small enough to be written and read in one piece. */
typedef struct FunctionAnswer
{
	int result;
	Error err;
} FunctionAnswer;

int
process_run_function(int (*function)(void *context, Error *err), void *context, Error *err)
{
	FunctionAnswer answer = {0};
	Pipe report = {-1, -1};
	pid_t parent = getpid();
	ssize_t got;
	pid_t pid;
	int result = pipe_open(&report, err);

	if (result < 0)
		return result;
	pid = fork_patiently(fork);
	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) /* it died before the request above */
			_exit(1);
		answer.result = function(context, &answer.err);
		_exit(write(report.write_fd, &answer, sizeof(answer)) == (ssize_t) sizeof(answer) ? 0 : 1);
	}
	if (pid < 0)
		result = error_set_errno(err, errno, "fork");
	close(report.write_fd);
	do
		got = read(report.read_fd, &answer, sizeof(answer));
	while (got < 0 && errno == EINTR);
	close(report.read_fd);
	if (pid < 0)
		return result;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t) sizeof(answer))
		return error_set(err, -EIO, "a child process died without an answer");
	if (answer.result < 0 && err != NULL)
		*err = answer.err;
	return answer.result;
}

bool
process_has_capability(unsigned number)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &header, data) == 0 && (data[number / 32].effective & (1U << (number % 32))) != 0;
}
