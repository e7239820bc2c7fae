/* A program that works for the coordinator; see helper.h. */
#include "host/helper.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/pidref.h"
#include "base/process.h"
#include "base/text.h"

#define RECORD_MAX_BYTES  65536
#define EXIT_NOT_STARTED  127
#define EXIT_NOT_RECORDED 126

struct Helper
{
	HelperSpec spec; /* argv and record_path are its own */
	char **argv;
	char *record_path;
	PidRef process;
	struct event *exit_event;
	struct event *restart_timer;
	uint64_t delay_ms;
	uint64_t started_ns;
};

static void helper_run(Helper *helper);

pid_t
helper_pid(const Helper *helper)
{
	return helper == NULL ? 0 : helper->process.pid;
}

/* The arguments, a line each, as they stand in the record after its first line. */
static void
append_arguments(Text *text, char *const argv[])
{
	for (size_t i = 0; argv[i] != NULL; i++)
		text_printf(text, "%s\n", argv[i]);
}

/*
 * By the child itself, before it becomes the program: a coordinator that dies at any moment leaves none that runs and
 * that the next one does not know of.
 */
static int
write_own_record(const Helper *helper)
{
	_cleanup_text_ Text text = {0};
	PidRef self;
	int result = pidref_open(getpid(), &self, NULL);

	if (result < 0)
		return result;
	text_printf(&text, "%d %" PRIu64 "\n", (int) self.pid, self.start_time);
	append_arguments(&text, helper->argv);
	return file_replace(helper->record_path, text_string(&text), text.length, 0600, NULL);
}

/* The process on record, if it lives. argv: NULL, or the arguments that it must have been started with. */
static int
record_open(const char *path, char *const argv[], PidRef *ret_process, bool *ret_same)
{
	_cleanup_free_ char *record = NULL;
	_cleanup_text_ Text wanted = {0};
	const char *arguments;
	uint64_t start_time;
	int pid;
	int result = file_read(path, RECORD_MAX_BYTES, &record, NULL, NULL);

	if (result < 0)
		return result;
	arguments = strchr(record, '\n');
	if (arguments == NULL || sscanf(record, "%d %" SCNu64, &pid, &start_time) != 2 || pid <= 1)
		return -EINVAL;
	if (argv != NULL)
		append_arguments(&wanted, argv);
	*ret_same = argv != NULL && strcmp(arguments + 1, text_string(&wanted)) == 0;
	return pidref_reopen(pid, start_time, ret_process, NULL);
}

static void
helper_schedule(Helper *helper, const char *why)
{
	uint64_t ran_ms = helper->started_ns == 0 ? 0 : (clock_monotonic_ns() - helper->started_ns) / NS_PER_MS;
	struct timeval delay;

	if (ran_ms > helper->spec.longest_ms)
		helper->delay_ms = helper->spec.shortest_ms;
	delay = (struct timeval){.tv_sec = (time_t) (helper->delay_ms / 1000),
							 .tv_usec = (suseconds_t) (helper->delay_ms % 1000 * 1000)};
	event_add(helper->restart_timer, &delay);
	helper->spec.ended(helper->spec.context, why, helper->delay_ms);
	helper->delay_ms *= 2;
	if (helper->delay_ms > helper->spec.longest_ms)
		helper->delay_ms = helper->spec.longest_ms;
}

static void
helper_stop_watching(Helper *helper)
{
	if (helper->exit_event != NULL)
		event_free(helper->exit_event);
	helper->exit_event = NULL;
	pidref_close(&helper->process);
	helper->process = PIDREF_NONE;
}

static void
helper_handle_exit(evutil_socket_t fd, short what, void *context)
{
	Helper *helper = context;
	char why[96] = "it has ended";
	int status;

	(void) fd;
	(void) what;
	if (child_take_status(helper->process.pid, &status))
	{
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_STARTED)
			snprintf(why, sizeof(why), "%.60s cannot be run: is it installed?", helper->argv[0]);
		else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_RECORDED)
			snprintf(why, sizeof(why), "its record cannot be written beside the coordinator's socket");
		else if (WIFEXITED(status))
			snprintf(why, sizeof(why), "it has ended with exit status %d", WEXITSTATUS(status));
		else if (WIFSIGNALED(status))
			snprintf(why, sizeof(why), "it was killed by signal %d", WTERMSIG(status));
	}
	helper_stop_watching(helper);
	unlink(helper->record_path);
	helper_schedule(helper, why);
}

static void
helper_watch(Helper *helper)
{
	helper->started_ns = clock_monotonic_ns();
	helper->exit_event = event_new(helper->spec.loop, helper->process.fd, EV_READ, helper_handle_exit, helper);
	event_add(helper->exit_event, NULL);
}

static void
block_signal(int number)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, number);
	sigprocmask(SIG_BLOCK, &one, NULL);
}

/* The child: nothing of the coordinator's but standard output and error, and not its protection from the OOM killer. */
static void
become_program(const Helper *helper)
{
	int fd;

	process_reset_signals();
	/* A reload that is asked for before the program has its handlers must not end it. dnsmasq reads its files after it
	 * has them; HAProxy reads them before, and takes a blocked SIGUSR2 as soon as it runs. */
	signal(SIGHUP, SIG_IGN);
	block_signal(SIGUSR2);
	setsid();
	(void) !file_write("/proc/self/oom_score_adj", "0", NULL);
	unsetenv("NOTIFY_SOCKET");
	fd = open("/dev/null", O_RDONLY);
	if (fd >= 0)
		dup2(fd, STDIN_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (write_own_record(helper) < 0)
		_exit(EXIT_NOT_RECORDED);
	process_exec((const char *const *) helper->argv, (const char *const *) environ);
	_exit(EXIT_NOT_STARTED);
}

static void
helper_run(Helper *helper)
{
	Error error = {0};
	pid_t pid = fork();

	if (pid == 0)
		become_program(helper);
	if (pid < 0)
		error_set_errno(&error, errno, "fork");
	else if (pidref_open(pid, &helper->process, &error) == 0)
	{
		helper_watch(helper);
		return;
	}
	helper->process = PIDREF_NONE;
	helper_schedule(helper, error.message);
}

static void
helper_handle_timer(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	helper_run(context);
}

static char **
copy_arguments(const char *const argv[])
{
	size_t count = 0;
	char **copy;

	while (argv[count] != NULL)
		count++;
	copy = memory_allocate((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_duplicate(argv[i]);
	return copy;
}

Helper *
helper_open(const HelperSpec *spec)
{
	Helper *helper = memory_allocate(sizeof(*helper));
	bool same = false;

	helper->spec = *spec;
	helper->argv = copy_arguments(spec->argv);
	helper->record_path = memory_duplicate(spec->record_path);
	helper->process = PIDREF_NONE;
	helper->delay_ms = spec->shortest_ms;
	helper->restart_timer = evtimer_new(spec->loop, helper_handle_timer, helper);
	if (record_open(helper->record_path, helper->argv, &helper->process, &same) < 0)
		helper->process = PIDREF_NONE;
	else if (same)
	{
		helper_watch(helper);
		return helper;
	}
	/* Another coordinator's arguments. It lets go of its ports in a moment; until then the new one is tried again. */
	(void) pidref_kill(&helper->process, SIGTERM, NULL);
	pidref_close(&helper->process);
	helper->process = PIDREF_NONE;
	helper_run(helper);
	return helper;
}

void
helper_signal(const Helper *helper, int number)
{
	if (helper != NULL && helper->process.pid > 0)
		(void) pidref_kill(&helper->process, number, NULL);
}

void
helper_leave(Helper *helper)
{
	if (helper == NULL)
		return;
	helper_stop_watching(helper);
	event_free(helper->restart_timer);
	for (size_t i = 0; helper->argv[i] != NULL; i++)
		free(helper->argv[i]);
	free(helper->argv);
	free(helper->record_path);
	free(helper);
}

void
helper_end(Helper *helper)
{
	if (helper == NULL)
		return;
	helper_signal(helper, SIGTERM);
	unlink(helper->record_path);
	helper_leave(helper);
}

void
helper_end_recorded(const char *record_path)
{
	PidRef process = PIDREF_NONE;
	bool same;

	if (record_open(record_path, NULL, &process, &same) == 0)
	{
		(void) pidref_kill(&process, SIGTERM, NULL);
		pidref_close(&process);
	}
	unlink(record_path);
}
