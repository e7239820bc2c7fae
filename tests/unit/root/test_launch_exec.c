/*
 * Programs started inside a running machine (needs root): exit statuses, streams, terminal, the same restrictions as
 * the first process, and that a program ends when the process outside is killed.
 */
#include "root/fixture_launch.h"

#include <pty.h>
#include <sys/prctl.h>
#include <termios.h>

typedef struct Result
{
	int status;
	char output[8192];
	char complaint[2048];
} Result;

/* The machine of each test sleeps, so that programs can be started in it. */
static int
set_up(void **state)
{
	static const char *const argv[] = {"sleep", "1000", NULL};
	Error err = {0};
	int result = machine_set_up(state);

	if (result < 0)
		return result;
	machine.spec.argv = argv;
	return launch_machine(&machine.spec, &machine.pid, &err) < 0 ? fixture_fail(&err) : 0;
}

static LaunchExecSpec
exec_spec(const char *const argv[], int in, int out, int complaint)
{
	return (LaunchExecSpec){
		.cgroups = machine.cgroups,
		.cgroup = machine.group,
		.machine_pid = machine.pid,
		.argv = argv,
		.environment = machine_environment,
		.uid = machine.spec.uid,
		.gid = machine.spec.gid,
		.stdin_fd = in,
		.stdout_fd = out,
		.stderr_fd = complaint,
	};
}

static size_t
read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;

	while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t) got;
	text[length] = '\0';
	return length;
}

static void
run(const char *const argv[], Result *ret_result)
{
	int out[2];
	int complaint[2];
	_cleanup_fd_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t pid = 0;
	Error err = {0};

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(complaint, O_CLOEXEC), 0);
	{
		LaunchExecSpec spec = exec_spec(argv, in, out[1], complaint[1]);

		check(launch_exec(&spec, &pid, &err), &err);
	}
	close(out[1]);
	close(complaint[1]);
	read_all(out[0], ret_result->output, sizeof(ret_result->output));
	read_all(complaint[0], ret_result->complaint, sizeof(ret_result->complaint));
	close(out[0]);
	close(complaint[0]);
	assert_int_equal(waitpid(pid, &ret_result->status, 0), pid);
}

static void
run_script(const char *script, Result *ret_result)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	run(argv, ret_result);
}

static void
test_exit_statuses(void **state)
{
	static const struct
	{
		const char *argv[4];
		int status;
		const char *complaint;
	} cases[] = {
		{{"true", NULL}, 0, ""},
		{{"sh", "-c", "echo why >&2; exit 3", NULL}, 3, "why\n"},
		{{"/etc/hostname", NULL}, 126, "lttle: exec /etc/hostname: Permission denied\n"},
		{{"lttle-no-such", NULL}, 127, "lttle: exec lttle-no-such: No such file or directory\n"},
	};
	Result result;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		run(cases[i].argv, &result);
		assert_string_equal(result.complaint, cases[i].complaint);
		assert_true(WIFEXITED(result.status));
		assert_int_equal(WEXITSTATUS(result.status), cases[i].status);
	}
}

static void
test_death_by_signal_is_passed_on(void **state)
{
	Result result;

	(void) state;
	run_script("kill -TERM $$", &result);
	assert_true(WIFSIGNALED(result.status));
	assert_int_equal(WTERMSIG(result.status), SIGTERM);
	run_script("kill -KILL $$", &result);
	assert_true(WIFSIGNALED(result.status));
	assert_int_equal(WTERMSIG(result.status), SIGKILL);
}

/* The same as the first process in everything that restricts it, and in the same namespaces. */
static void
test_restrictions(void **state)
{
	Result result;

	(void) state;
	run_script("grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|SigIgn):' /proc/self/status",
			   &result);
	assert_string_equal(result.output, "Uid:\t1234\t1234\t1234\t1234\nGid:\t1235\t1235\t1235\t1235\nGroups:\t \n"
									   "SigIgn:\t0000000000000000\n"
									   "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
									   "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
									   "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n");
	run_script("hostname; cat /proc/1/comm; echo $NAME; for n in mnt pid ipc uts net; do "
			   "[ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] && echo same; done; "
			   "ls /proc/self/fd | wc -l; unshare -U true 2>/dev/null || echo refused",
			   &result);
	assert_string_equal(result.output, "postgresql\nsleep\nvalue\nsame\nsame\nsame\nsame\nsame\n4\nrefused\n");
}

/* In a machine whose image's user is root: the few capabilities of its first process, and not the coordinator's. */
static void
test_restrictions_of_root(void **state)
{
	Result result;

	(void) state;
	machine.spec.uid = 0;
	machine.spec.gid = 0;
	run_script("grep -E '^(Uid|Cap...|NoNewPrivs|Seccomp):' /proc/self/status", &result);
	assert_string_equal(result.output, "Uid:\t0\t0\t0\t0\n"
									   "CapInh:\t0000000000000000\nCapPrm:\t00000000000004fb\n"
									   "CapEff:\t00000000000004fb\nCapBnd:\t00000000000004fb\n"
									   "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
}

static void
test_streams(void **state)
{
	const char *const argv[] = {"cat", NULL};
	int in[2];
	int out[2];
	char text[64];
	pid_t pid = 0;
	int status = 0;
	LaunchExecSpec spec;
	Error err = {0};

	(void) state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec = exec_spec(argv, in[0], out[1], out[1]);
	check(launch_exec(&spec, &pid, &err), &err);
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], "through", 7), 7);
	close(in[1]); /* its end must be seen inside: nobody else may hold it */
	read_all(out[0], text, sizeof(text));
	close(out[0]);
	assert_string_equal(text, "through");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The program is the machine's: its limits count it, and the machine's own list shows it and not the relay. */
static void
test_control_group(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo up; exec sleep 1000", NULL};
	int out[2];
	char text[4];
	pid_t pid = 0;
	pid_t *pids = NULL;
	size_t count = 0;
	LaunchExecSpec spec;
	Error err = {0};

	(void) state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec = exec_spec(argv, out[0], out[1], out[1]);
	check(launch_exec(&spec, &pid, &err), &err);
	close(out[1]);
	assert_int_equal(read(out[0], text, 3), 3);
	close(out[0]);
	check(cgroup_list_processes(machine.cgroups, machine.group, &pids, &count, &err), &err);
	assert_int_equal(count, 2);
	assert_true(pids[0] != pid && pids[1] != pid);
	free(pids);
}

/* Starts a program that says its number inside and stays; the end of the pipe is its end. */
static pid_t
start_sleeper(const char *script, int *ret_out_fd)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	_cleanup_fd_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2];
	char text[4];
	pid_t pid = 0;
	LaunchExecSpec spec;
	Error err = {0};

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec = exec_spec(argv, in, out[1], out[1]);
	check(launch_exec(&spec, &pid, &err), &err);
	close(out[1]);
	assert_int_equal(read(out[0], text, 3), 3);
	*ret_out_fd = out[0];
	return pid;
}

static void
assert_ends(int out_fd)
{
	char byte;

	assert_int_equal(read(out_fd, &byte, 1), 0); /* alarm() ends a test that waits for ever */
	close(out_fd);
}

static void
test_killing_it_ends_the_program(void **state)
{
	int status = 0;
	int out_fd;
	pid_t pid = start_sleeper("echo up; exec sleep 1000", &out_fd);

	(void) state;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ends(out_fd);
}

static void
test_killing_it_ends_a_frozen_program(void **state)
{
	int status = 0;
	int out_fd;
	int events_fd = -1;
	pid_t pid = start_sleeper("echo up; exec sleep 1000", &out_fd);
	bool frozen = false;
	bool populated;
	Error err = {0};

	(void) state;
	check(cgroup_set_frozen(machine.cgroups, machine.group, true, &err), &err);
	check(cgroup_open_events(machine.cgroups, machine.group, &events_fd, &err), &err);
	for (;;)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};

		check(cgroup_read_events(events_fd, &frozen, &populated, &err), &err);
		if (frozen)
			break;
		poll(&polled, 1, 1000);
	}
	close(events_fd);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ends(out_fd);
}

static void
test_signals_are_passed_on(void **state)
{
	char text[64];
	int status = 0;
	int out_fd;
	pid_t pid = start_sleeper("trap 'echo got usr1; exit 7' USR1; echo up; while :; do sleep 0.05; done", &out_fd);

	(void) state;
	assert_int_equal(kill(pid, SIGUSR1), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	read_all(out_fd, text, sizeof(text));
	close(out_fd);
	assert_string_equal(text, "got usr1\n");
	pid = start_sleeper("echo up; exec sleep 1000", &out_fd);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_ends(out_fd);
}

/* The coordinator is killed: nothing of its exec sessions stays, and the machine does. */
static void
test_it_dies_with_the_caller(void **state)
{
	int out[2];
	char text[4];
	pid_t caller;

	(void) state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	caller = fork();
	if (caller == 0)
	{
		const char *const argv[] = {"sh", "-c", "echo up; exec sleep 1000", NULL};
		LaunchExecSpec spec = exec_spec(argv, out[0], out[1], out[1]);
		pid_t pid;

		if (launch_exec(&spec, &pid, NULL) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(out[1]);
	assert_int_equal(read(out[0], text, 3), 3);
	assert_int_equal(kill(caller, SIGKILL), 0);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	assert_ends(out[0]);
	assert_int_equal(kill(machine.pid, 0), 0);
}

/* When the machine ends, the program does too, and the caller hears of it. */
static void
test_it_ends_with_the_machine(void **state)
{
	int status = 0;
	int out_fd;
	pid_t pid = start_sleeper("echo up; exec sleep 1000", &out_fd);

	(void) state;
	assert_int_equal(kill(machine.pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_ends(out_fd);
	machine_wait();
	{
		const char *const argv[] = {"true", NULL};
		LaunchExecSpec spec = exec_spec(argv, 0, 1, 2);
		Error err = {0};

		spec.machine_pid = 999999999;
		assert_true(launch_exec(&spec, &pid, &err) < 0);
		assert_true(strlen(err.message) > 0);
	}
}

static void
test_terminal(void **state)
{
	/* /dev/tty opens only where there is a controlling terminal; the program leads its foreground group. */
	const char *const argv[] = {"sh", "-c",
								"echo to-tty >/dev/tty; stty size; "
								"awk '{print ($5 == $1 && $6 == $1 && $7 != 0 && $8 == $1)}' /proc/$$/stat; "
								"read -r line; echo got $line; exit 5",
								NULL};
	struct winsize size = {.ws_row = 33, .ws_col = 77};
	int master = -1;
	int slave = -1;
	char text[512];
	pid_t pid = 0;
	int status = 0;
	LaunchExecSpec spec;
	Error err = {0};

	(void) state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	spec = exec_spec(argv, slave, slave, slave);
	spec.terminal = 1;
	check(launch_exec(&spec, &pid, &err), &err);
	close(slave);
	assert_int_equal(write(master, "typed\n", 6), 6);
	read_all(master, text, sizeof(text)); /* EIO at the end of the session */
	close(master);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 5);
	assert_non_null(strstr(text, "to-tty\r\n"));
	assert_non_null(strstr(text, "33 77\r\n"));
	assert_non_null(strstr(text, "1\r\n"));
	assert_non_null(strstr(text, "got typed\r\n"));
}

/* Ctrl-C reaches the program through the terminal. */
static void
test_terminal_interrupt(void **state)
{
	const char *const argv[] = {"sleep", "1000", NULL};
	int master = -1;
	int slave = -1;
	char text[64];
	pid_t pid = 0;
	int status = 0;
	uint64_t deadline;
	LaunchExecSpec spec;
	Error err = {0};

	(void) state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	spec = exec_spec(argv, slave, slave, slave);
	spec.terminal = 1;
	check(launch_exec(&spec, &pid, &err), &err);
	close(slave);
	/* An interrupt that comes before the session has its terminal interrupts nobody. */
	deadline = clock_monotonic_ns() + 20 * NS_PER_SECOND;
	while (tcgetpgrp(master) <= 0)
	{
		assert_true(clock_monotonic_ns() < deadline);
		usleep(1000);
	}
	assert_int_equal(write(master, "\003", 1), 1);
	read_all(master, text, sizeof(text));
	close(master);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
}

#define with_machine(test) cmocka_unit_test_setup_teardown(test, set_up, machine_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_machine(test_exit_statuses),
		with_machine(test_death_by_signal_is_passed_on),
		with_machine(test_restrictions),
		with_machine(test_restrictions_of_root),
		with_machine(test_streams),
		with_machine(test_control_group),
		with_machine(test_killing_it_ends_the_program),
		with_machine(test_killing_it_ends_a_frozen_program),
		with_machine(test_signals_are_passed_on),
		with_machine(test_it_dies_with_the_caller),
		with_machine(test_it_ends_with_the_machine),
		with_machine(test_terminal),
		with_machine(test_terminal_interrupt),
	};

	if (fixture_enter_namespaces() < 0)
		return 1;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
