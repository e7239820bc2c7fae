/*
 * The door of a sleeping machine, with real sockets and a really frozen server (needs root): what knocks, what does
 * not, and that a closed door leaves nothing behind. The loop runs in the test's own process.
 */
#include "fixture_machine.h"

#include <dirent.h>
#include <event2/event.h>
#include <time.h>

#include "host/door.h"
#include "host/sockets.h"

#define DEFER_SECONDS 1

static struct event_base *loop;
static DoorKeeper *keeper;
static Door *door;
static unsigned knocks;
static DoorKnock last_knock;
static bool close_at_knock;

static void
note_knock(void *context, const DoorKnock *knock)
{
	(void) context;
	knocks++;
	last_knock = *knock;
	if (close_at_knock)
	{
		door_close(door);
		door = NULL;
	}
}

/* Freezes the server, sets the deferral and opens the door. */
static void
fall_asleep(void)
{
	SocketSet sockets = {0};
	DoorSpec spec = {
		.sockets = &sockets,
		.namespace_fd = fixture.namespace_fd,
		.host_link = FIXTURE_LINK,
		.knocked = note_knock,
	};
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};

	fixture_freeze();
	fixture_check(cgroup_list_processes(fixture.cgroups, fixture.group, &pids, &count, &err), &err);
	fixture_check(socket_set_collect(pids, count, &sockets, &err), &err);
	free(pids);
	socket_set_defer_accept(&sockets, DEFER_SECONDS);
	knocks = 0;
	fixture_check(door_open(keeper, &spec, &door, &err), &err);
	assert_int_equal(sockets.count, 0);
}

static void
wake_up(void)
{
	door_close(door);
	door = NULL;
	fixture_thaw();
}

static void
run_loop_once(int wait_ms)
{
	struct timeval wait = {.tv_usec = wait_ms * 1000};

	event_base_loopexit(loop, &wait);
	event_base_dispatch(loop);
}

/* Runs the loop until somebody has knocked. */
static void
expect_knock(const char *kind, unsigned port)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	char suffix[16];

	while (knocks == 0 && clock_monotonic_ns() < deadline_ns)
		run_loop_once(2);
	assert_int_equal(knocks, 1);
	assert_string_equal(last_knock.kind, kind);
	if (port == 0)
		return;
	snprintf(suffix, sizeof(suffix), ":%u", port);
	assert_true(strlen(last_knock.peer) > strlen(suffix));
	assert_string_equal(last_knock.peer + strlen(last_knock.peer) - strlen(suffix), suffix);
}

/*
 * Runs the loop for a while and expects nobody. Proof that the door still listens is left to the caller, who lets
 * somebody knock afterwards.
 */
static void
expect_silence(int milliseconds)
{
	run_loop_once(milliseconds);
	assert_int_equal(knocks, 0);
}

static double
cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double) used.tv_sec * 1e3 + (double) used.tv_nsec / 1e6;
}

/* The door must still hear a new client, or the silence before proved nothing. */
static void
expect_still_listening(void)
{
	int fd = client_connect();

	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	wake_up();
	client_ask(fd);
	close(fd);
}

static unsigned
count_pending(bool silent)
{
	PendingConnections pending = {0};
	Error err = {0};
	int diag_fd = -1;
	int result = sockdiag_open(fixture.namespace_fd, &diag_fd, &err);

	if (result >= 0)
	{
		result = sockdiag_count_pending(diag_fd, FIXTURE_PORT, &pending, &err);
		close(diag_fd);
	}
	fixture_check(result, &err);
	return silent ? pending.silent : pending.finished;
}

static void
test_new_client_knocks(void **state)
{
	char answer[2];
	int fd;

	(void) state;
	fall_asleep();
	fd = client_connect();
	expect_silence(50);
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	assert_memory_equal(last_knock.peer, "10.99.0.1:", 10);
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	client_ask(fd);
	close(fd);
}

static void
test_new_client_by_ipv6_knocks(void **state)
{
	char answer[2];
	int fd;

	(void) state;
	fall_asleep();
	fd = client_connect_v6();
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	assert_memory_equal(last_knock.peer, "[fd99::1]:", 10);
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	close(fd);
}

static void
test_connect_and_close_is_silent(void **state)
{
	int fd;

	(void) state;
	fall_asleep();
	fd = client_connect();
	close(fd);
	fixture_await(count_pending(false) == 1);
	expect_silence(50);
	expect_still_listening();
}

static void
test_connect_and_reset_is_silent(void **state)
{
	(void) state;
	fall_asleep();
	for (int i = 0; i < 20; i++)
		client_reset(client_connect());
	expect_silence(100);
	expect_still_listening();
}

/* The hole: the kernel puts a silent connection into the accept queue when the deferral ends; later it speaks. */
static void
expect_late_speaker_knocks(int fd)
{
	char answer[2];

	while (count_pending(true) == 0)
		expect_silence(20);
	expect_silence(100);
	assert_int_equal(fixture_is_frozen(), true);
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	close(fd);
}

static void
test_silent_connection_that_speaks_late_knocks(void **state)
{
	(void) state;
	fall_asleep();
	expect_late_speaker_knocks(client_connect());
}

static void
test_silent_ipv6_connection_that_speaks_late_knocks(void **state)
{
	(void) state;
	fall_asleep();
	expect_late_speaker_knocks(client_connect_v6());
}

/* As before, but it was promoted before the door was opened: there is no event for it at all, only the first look. */
static void
test_connection_promoted_before_the_door_opens(void **state)
{
	SocketSet sockets = {0};
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};
	int fd;

	(void) state;
	fixture_freeze();
	fixture_check(cgroup_list_processes(fixture.cgroups, fixture.group, &pids, &count, &err), &err);
	fixture_check(socket_set_collect(pids, count, &sockets, &err), &err);
	free(pids);
	socket_set_defer_accept(&sockets, 0);
	socket_set_clear(&sockets);
	fd = client_connect();
	fixture_await(count_pending(true) == 1);
	fall_asleep();
	expect_late_speaker_knocks(fd);
}

/* While the tap is open, what open sessions say as their end is still no knock. */
static void
test_tap_leaves_sessions_alone(void **state)
{
	int session = client_connect();
	int silent;

	(void) state;
	client_ask(session);
	fall_asleep();
	silent = client_connect();
	while (count_pending(true) == 0)
		expect_silence(20);
	expect_silence(50);
	client_send(session, "X\0\0\0\4", 5);
	expect_silence(100);
	close(session);
	expect_silence(100);
	expect_late_speaker_knocks(silent);
}

static void
test_session_byte_knocks(void **state)
{
	int fd = client_connect();
	char answer[2];

	(void) state;
	client_ask(fd);
	fall_asleep();
	expect_silence(50);
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	client_ask(fd);
	close(fd);
}

/* What comes between the last look and the door is there already. */
static void
test_byte_before_the_door_opens_knocks(void **state)
{
	int fd = client_connect();
	char answer[2];

	(void) state;
	client_ask(fd);
	fixture_freeze();
	client_send(fd, "Q", 1);
	fall_asleep();
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	close(fd);
}

static void
test_connection_before_the_door_opens_knocks(void **state)
{
	char answer[2];
	int fd;

	(void) state;
	fixture_freeze();
	fd = client_connect();
	client_send(fd, "Q", 1);
	fall_asleep();
	expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	wake_up();
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	close(fd);
}

static void
test_end_of_a_session_is_silent(void **state)
{
	int terminated = client_connect();
	int closed = client_connect();
	int reset = client_connect();
	int terminated_and_closed = client_connect();
	double used;

	(void) state;
	client_ask(terminated);
	client_ask(closed);
	client_ask(reset);
	client_ask(terminated_and_closed);
	fall_asleep();
	client_send(terminated, "X\0\0\0\4", 5);
	close(closed);
	client_reset(reset);
	client_send(terminated_and_closed, "X\0\0\0\4", 5);
	close(terminated_and_closed);
	expect_silence(100);
	/* None of the four may be reported again and again. */
	used = cpu_ms();
	expect_silence(300);
	assert_true(cpu_ms() - used < 100);
	expect_still_listening();
	close(terminated);
	fixture_await(fixture_count_processes() == 1);
}

/* A message that only begins like Terminate, or has something after it, is a message. */
static void
test_more_than_terminate_knocks(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	fall_asleep();
	client_send(fd, "X\0\0\0\4Q", 6);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	close(fd);
}

static void
test_half_of_terminate_knocks(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	fall_asleep();
	client_send(fd, "X\0", 2);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	close(fd);
}

static void
test_byte_after_terminate_knocks(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	fall_asleep();
	client_send(fd, "X\0\0\0\4", 5);
	expect_silence(50);
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	close(fd);
}

/* Urgent data leaves a socket readable without anything to read: neither a spin nor deafness may come of it. */
static void
test_urgent_data_does_not_spin(void **state)
{
	int fd = client_connect();
	double used;

	(void) state;
	client_ask(fd);
	fall_asleep();
	assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
	run_loop_once(50);
	used = cpu_ms();
	run_loop_once(200);
	assert_true(cpu_ms() - used < 100);
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	wake_up();
	close(fd);
}

static void
test_many_ended_sessions_knock_for_housekeeping(void **state)
{
	int fds[DOOR_MAX_ENDED_SESSIONS];

	(void) state;
	for (int i = 0; i < DOOR_MAX_ENDED_SESSIONS; i++)
		client_ask(fds[i] = client_connect());
	fall_asleep();
	for (int i = 0; i < DOOR_MAX_ENDED_SESSIONS - 1; i++)
		close(fds[i]);
	expect_silence(100);
	close(fds[DOOR_MAX_ENDED_SESSIONS - 1]);
	expect_knock(DOOR_KNOCK_HOUSEKEEPING, 0);
	assert_string_equal(last_knock.peer, "");
	wake_up();
	fixture_await(fixture_count_processes() == 1);
}

/* Bare probes fill the accept queue of a server that does not accept; a client must never meet a full one. */
static void
test_probes_never_fill_the_queue(void **state)
{
	int probes = 0;

	(void) state;
	fall_asleep();
	for (; knocks == 0 && probes < FIXTURE_BACKLOG; probes++)
	{
		close(client_connect());
		run_loop_once(2);
	}
	expect_knock(DOOR_KNOCK_HOUSEKEEPING, 0);
	assert_in_range(probes, FIXTURE_BACKLOG / 2 - 1, FIXTURE_BACKLOG / 2 + 4);
	wake_up();
	fixture_await(fixture_count_processes() == 1);
}

/* A knock is told once, and a door may be closed from within it. */
static void
test_door_closed_in_its_own_knock(void **state)
{
	int fds[8];

	(void) state;
	for (int i = 0; i < 8; i++)
		client_ask(fds[i] = client_connect());
	fall_asleep();
	for (int i = 0; i < 8; i++)
		client_send(fds[i], "Q", 1);
	close_at_knock = true;
	expect_knock(DOOR_KNOCK_SESSION, 0);
	close_at_knock = false;
	assert_null(door);
	run_loop_once(50);
	assert_int_equal(knocks, 1);
	fixture_thaw();
	for (int i = 0; i < 8; i++)
	{
		char answer[2];

		assert_int_equal(client_receive(fds[i], answer, sizeof(answer)), 2);
		close(fds[i]);
	}
}

static void
test_open_door_after_a_knock_costs_nothing(void **state)
{
	int fd = client_connect();
	double used;

	(void) state;
	client_ask(fd);
	fall_asleep();
	client_send(fd, "Q", 1);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	used = cpu_ms();
	run_loop_once(300);
	assert_int_equal(knocks, 1);
	assert_true(cpu_ms() - used < 100);
	wake_up();
	close(fd);
}

static size_t
count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

/* A backend that ends after the wake ends its client's connection: no duplicate is left to keep it open. */
static void
test_closed_door_holds_nothing(void **state)
{
	size_t before = count_descriptors();
	int fd = client_connect();
	char byte;

	(void) state;
	client_ask(fd);
	fall_asleep();
	assert_true(count_descriptors() > before + 3);
	client_send(fd, "X\0\0\0\4", 5);
	expect_silence(50);
	wake_up();
	assert_int_equal(client_receive(fd, &byte, 1), 0);
	close(fd);
	assert_int_equal(count_descriptors(), before);
}

/* After the server is gone its port must be free: a held listener would take its clients in and never serve them. */
static void
test_closed_door_frees_the_port(void **state)
{
	(void) state;
	fall_asleep();
	wake_up();
	fixture_server_stop();
	fixture_server_start();
	client_ask(client_connect());
}

#define MANY_SESSIONS 2000

static void
test_thousands_of_sessions_cost_nothing(void **state)
{
	static int fds[MANY_SESSIONS];
	uint64_t begin_ns;
	double used;

	(void) state;
	for (int i = 0; i < MANY_SESSIONS; i++)
		client_ask(fds[i] = client_connect());
	begin_ns = clock_monotonic_ns();
	fall_asleep();
	print_message("%d sessions: frozen, collected and watched after %.1f ms\n", MANY_SESSIONS,
				  (double) (clock_monotonic_ns() - begin_ns) / NS_PER_MS);
	run_loop_once(10);
	used = cpu_ms();
	expect_silence(1000);
	used = cpu_ms() - used;
	print_message("CPU in a second of sleep: %.3f ms\n", used);
	assert_true(used < 20);
	client_send(fds[MANY_SESSIONS / 2], "Q", 1);
	expect_knock(DOOR_KNOCK_SESSION, client_port(fds[MANY_SESSIONS / 2]));
	begin_ns = clock_monotonic_ns();
	wake_up();
	print_message("closed and thawed after %.1f ms\n", (double) (clock_monotonic_ns() - begin_ns) / NS_PER_MS);
	for (int i = 0; i < MANY_SESSIONS; i++)
		close(fds[i]);
	fixture_await(fixture_count_processes() == 1);
}

static int
setup(void **state)
{
	(void) state;
	knocks = 0;
	close_at_knock = false;
	fixture_server_start();
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	door_close(door);
	door = NULL;
	fixture_server_stop();
	return 0;
}

static int
group_setup(void **state)
{
	struct rlimit files;
	Error err = {0};

	(void) state;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	fixture_network_start();
	if (fixture_group_start() < 0)
		return -1;
	loop = event_base_new();
	if (loop == NULL || door_keeper_new(loop, &keeper, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int
group_teardown(void **state)
{
	(void) state;
	door_keeper_free(keeper);
	event_base_free(loop);
	return fixture_stop();
}

#define door_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		door_test(test_new_client_knocks),
		door_test(test_new_client_by_ipv6_knocks),
		door_test(test_connect_and_close_is_silent),
		door_test(test_connect_and_reset_is_silent),
		door_test(test_silent_connection_that_speaks_late_knocks),
		door_test(test_silent_ipv6_connection_that_speaks_late_knocks),
		door_test(test_connection_promoted_before_the_door_opens),
		door_test(test_tap_leaves_sessions_alone),
		door_test(test_session_byte_knocks),
		door_test(test_byte_before_the_door_opens_knocks),
		door_test(test_connection_before_the_door_opens_knocks),
		door_test(test_end_of_a_session_is_silent),
		door_test(test_more_than_terminate_knocks),
		door_test(test_half_of_terminate_knocks),
		door_test(test_byte_after_terminate_knocks),
		door_test(test_urgent_data_does_not_spin),
		door_test(test_many_ended_sessions_knock_for_housekeeping),
		door_test(test_probes_never_fill_the_queue),
		door_test(test_door_closed_in_its_own_knock),
		door_test(test_open_door_after_a_knock_costs_nothing),
		door_test(test_closed_door_holds_nothing),
		door_test(test_closed_door_frees_the_port),
		door_test(test_thousands_of_sessions_cost_nothing),
	};

	alarm(300);
	if (janitor_start("door") < 0)
		return 1;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
