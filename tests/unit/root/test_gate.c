/*
 * The gate of a machine on disk and its new clients, with real sockets and a server that is really taken away (needs
 * root): nobody is refused, nobody is forgotten, and what is no client wakes nobody.
 */
#include "fixture_gate.h"

#include <dirent.h>

#include "host/gate_stub.h"
#include "host/port_share.h"

static void
test_new_client_is_handed_over(void **state)
{
	int fd;

	(void) state;
	gate_fall_to_disk();
	fd = client_connect();
	gate_expect_silence(50);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

static void
test_new_client_by_ipv6_is_handed_over(void **state)
{
	int fd;

	(void) state;
	gate_fall_to_disk();
	fd = client_connect_v6();
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

/* Speaks only after the machine is back: its handshake was with the stub. */
static void
test_silent_client_is_handed_over(void **state)
{
	int silent;
	int fd;

	(void) state;
	gate_fall_to_disk();
	silent = client_connect();
	fd = client_connect();
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
	client_send(silent, "Q", 1);
	gate_expect_served(silent);
}

/* A client that waits at the frozen server's own listener when that goes away comes to the stub, and is heard there. */
static void
test_client_between_gate_and_eviction(void **state)
{
	int fds[20];

	(void) state;
	gate_freeze_and_close();
	/* Some come to the server's listener, some to the stub: the kernel takes turns by a hash. */
	for (int i = 0; i < 20; i++)
		fds[i] = client_connect();
	for (int i = 0; i < 20; i++)
		client_send(fds[i], "Q", 1);
	gate_carry_sessions();
	gate_evict();
	gate_expect_knock(DOOR_KNOCK_CONNECTION, 0);
	gate_wake();
	for (int i = 0; i < 20; i++)
		gate_expect_served(fds[i]);
}

/* The dump failed: the same server goes on, and those who waited at the stub come to it. */
static void
test_gate_opens_over_the_thawed_server(void **state)
{
	int session = client_connect();
	int fds[20];

	(void) state;
	client_ask(session);
	gate_freeze_and_close();
	for (int i = 0; i < 20; i++)
		client_send(fds[i] = i % 2 == 0 ? client_connect() : client_connect_v6(), "Q", 1);
	client_send(session, "Q", 1);
	gate_expect_knock(NULL, 0);
	fixture_thaw();
	gate_open_again();
	for (int i = 0; i < 20; i++)
		gate_expect_served(fds[i]);
	gate_expect_served(session);
}

#define MANY_CLIENTS 200

static void
test_many_clients_at_once(void **state)
{
	static int fds[MANY_CLIENTS];

	(void) state;
	gate_fall_to_disk();
	for (int i = 0; i < MANY_CLIENTS; i++)
		client_send(fds[i] = i % 3 == 0 ? client_connect_v6() : client_connect(), "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, 0);
	gate_wake();
	for (int i = 0; i < MANY_CLIENTS; i++)
		gate_expect_served(fds[i]);
}

/* ---- probes ---- */

/* The gate must still hear a client, or the silence before proved nothing. */
static void
expect_still_listening(void)
{
	int fd = client_connect();

	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

static void
test_probes_are_silent(void **state)
{
	(void) state;
	gate_fall_to_disk();
	for (int i = 0; i < 20; i++)
	{
		close(client_connect());
		close(client_connect_v6());
		client_reset(client_connect());
	}
	gate_expect_silence(200);
	expect_still_listening();
}

static unsigned
count_silent(void)
{
	PendingConnections pending = {0};
	Error err = {0};
	int diag_fd = -1;

	fixture_check(sockdiag_open(fixture.namespace_fd, &diag_fd, &err), &err);
	fixture_check(sockdiag_count_pending(diag_fd, FIXTURE_PORT, &pending, &err), &err);
	close(diag_fd);
	return pending.silent;
}

static void
test_silent_probe_that_speaks_late_knocks(void **state)
{
	int fd;

	(void) state;
	gate_fall_to_disk();
	fd = client_connect();
	while (count_silent() == 0)
		gate_expect_silence(20);
	gate_expect_silence(100);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

/* Both come by the same link, and the end of a session is no client that wants to be served. */
static void
test_session_that_ends_beside_a_silent_probe_is_silent(void **state)
{
	int session = client_connect();
	int probe;

	(void) state;
	client_ask(session);
	gate_fall_to_disk();
	probe = client_connect();
	while (count_silent() == 0)
		gate_expect_silence(20);
	client_send(session, "X\0\0\0\4", 5);
	close(session);
	gate_expect_silence(1000); /* the kernel sends it again and again */
	client_send(probe, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(probe));
	gate_wake();
	gate_expect_served(probe);
}

/* A load balancer that looks every second for a quarter of an hour: a stub's queue must not fill, nor the machine wake.
 */
static void
test_many_probes_never_fill_the_queue(void **state)
{
	(void) state;
	gate_fall_to_disk();
	for (int i = 0; i < 3000; i++)
	{
		close(client_connect());
		if (i % 50 == 0)
			gate_expect_silence(1);
	}
	gate_expect_silence(50);
	expect_still_listening();
}

/* ---- the coordinator's end ---- */

/* Another process closes the gate over a machine that is on disk, and dies without a word. */
static void
close_gate_and_be_killed(const char *path)
{
	GatePlan plan = {0};
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
	{
		GateSpec spec = {
			.loop = event_base_new(),
			.namespace_fd = fixture.namespace_fd,
			.host_link = FIXTURE_LINK,
			.plan = &plan,
			.knocked = gate_note_knock,
		};
		Gate *own;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (gate_plan_load(path, &plan, NULL) < 0 || door_keeper_new(spec.loop, &spec.keeper, NULL) < 0 ||
			gate_close(&spec, NULL, &own, NULL) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int
connect_without_waiting(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(FIXTURE_PORT)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(FIXTURE_PORT)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, FIXTURE_ADDRESS, &v4.sin_addr);
	inet_pton(AF_INET6, "fd99::2", &v6.sin6_addr);
	assert_int_equal(connect(fd, family == AF_INET ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6,
							 family == AF_INET ? sizeof(v4) : sizeof(v6)),
					 -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* Runs the loop until the connection is there. */
static void
await_connected(int fd)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	int failure = 0;
	socklen_t size = sizeof(failure);

	while (poll(&poll_fd, 1, 0) == 0 && clock_monotonic_ns() < deadline_ns)
		gate_run_loop(2);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size), 0);
	assert_int_equal(failure, 0);
	assert_true((poll_fd.revents & POLLOUT) != 0);
}

/* Client and session that come while no coordinator lives are neither refused nor forgotten. */
static void
test_coordinator_that_is_killed_refuses_nobody(void **state)
{
	char path[128];
	GatePlan plan = {0};
	Error err = {0};
	int session = client_connect();
	int v4;
	int v6;
	struct pollfd refused[2];

	(void) state;
	client_ask(session);
	snprintf(path, sizeof(path), "%s/gate.json", janitor_directory);
	gate_fall_to_disk();
	fixture_check(gate_plan_save(&gate_plan, path, &err), &err);
	gate_leave(gate);
	gate = NULL;
	close_gate_and_be_killed(path);
	v4 = connect_without_waiting(AF_INET);
	v6 = connect_without_waiting(AF_INET6);
	client_send(session, "Q", 1);
	refused[0] = (struct pollfd){.fd = v4, .events = POLLOUT};
	refused[1] = (struct pollfd){.fd = v6, .events = POLLOUT};
	assert_int_equal(poll(refused, 2, 300), 0);
	fixture_check(gate_plan_load(path, &plan, &err), &err);
	gate_close_with(&plan, NULL);
	gate_plan_clear(&plan);
	await_connected(v4);
	await_connected(v6);
	client_send(v4, "Q", 1);
	client_send(v6, "Q", 1);
	gate_expect_knock(NULL, 0);
	gate_wake();
	gate_expect_served(v4);
	gate_expect_served(v6);
	gate_expect_served(session);
}

/* Without the gate's table the same client is refused: the test above can fail. */
static void
test_freed_gate_refuses(void **state)
{
	struct pollfd refused;

	(void) state;
	gate_fall_to_disk();
	gate_free(gate);
	gate = NULL;
	refused = (struct pollfd){.fd = connect_without_waiting(AF_INET), .events = POLLOUT};
	assert_int_equal(poll(&refused, 1, 2000), 1);
	assert_true((refused.revents & POLLERR) != 0);
	close(refused.fd);
}

/* ---- a cold start in place of a restore ---- */

/* The server binds as PostgreSQL does, without SO_REUSEPORT and as its own user. */
static void
test_cold_start_takes_the_clients_over(void **state)
{
	int session = client_connect();
	int silent[2];
	int fd;
	char byte;
	Error err = {0};

	(void) state;
	client_ask(session);
	fixture_server_stop();
	fixture_server_uid = 12345;
	fixture_server_start();
	close(session);
	session = client_connect();
	client_ask(session);
	client_ask(silent[0] = client_connect());
	client_ask(silent[1] = client_connect_v6());
	gate_fall_to_disk();
	gate_carried_count = 0;
	fd = client_connect();
	client_send(fd, "Q", 1);
	client_send(session, "Q", 1);
	gate_expect_knock(NULL, 0);
	fixture_check(gate_drop_sessions(gate, &err), &err);
	assert_int_equal(client_receive(session, &byte, 1), -ECONNRESET);
	close(session);
	for (size_t i = 0; i < 2; i++)
		gate_expect_reset(silent[i]);
	fixture_check(port_share_enable(fixture.cgroups, fixture.group, &err), &err);
	fixture_check(port_share_enable(fixture.cgroups, fixture.group, &err), &err);
	fixture_shares_ports = false;
	fixture_server_start();
	gate_open_again();
	gate_expect_served(fd);
}

/* For kernels that do not tell a listener what moved to it: a touch ends its wait, over both families. */
static void
test_touch_reaches_every_listener(void **state)
{
	SocketSet sockets = {0};
	struct pollfd waiting[2];
	size_t count = 0;
	Error err = {0};

	(void) state;
	fixture_freeze();
	gate_collect(&sockets);
	fixture_check(gate_plan_from_sockets(&sockets, &gate_plan, &err), &err);
	assert_int_equal(sockets.count, 2);
	for (; count < 2; count++)
		waiting[count] = (struct pollfd){.fd = sockets.sockets[count].fd, .events = POLLIN};
	assert_int_equal(poll(waiting, 2, 0), 0);
	gate_ports_touch(fixture.namespace_fd, &gate_plan);
	fixture_await(poll(waiting, 2, 0) == 2);
	socket_set_clear(&sockets);
	fixture_thaw();
	client_ask(client_connect());
}

/* ---- costs ---- */

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

static void
test_gate_holds_nothing_and_costs_nothing(void **state)
{
	size_t before = count_descriptors();
	uint64_t begin_ns;
	double used;

	(void) state;
	begin_ns = clock_monotonic_ns();
	gate_freeze_and_close();
	print_message("frozen and closed after %.1f ms\n", (double) (clock_monotonic_ns() - begin_ns) / NS_PER_MS);
	print_message("descriptors: %zu\n", count_descriptors() - before);
	gate_evict();
	gate_expect_silence(1500);
	used = gate_cpu_ms();
	gate_expect_silence(1000);
	used = gate_cpu_ms() - used;
	print_message("CPU in a second on disk: %.3f ms\n", used);
	assert_true(used < 20);
	gate_restore();
	begin_ns = clock_monotonic_ns();
	gate_open_again();
	print_message("opened after %.1f ms\n", (double) (clock_monotonic_ns() - begin_ns) / NS_PER_MS);
	fixture_await(count_descriptors() == before); /* the tap is closed in its own time */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		gate_test(test_new_client_is_handed_over),
		gate_test(test_new_client_by_ipv6_is_handed_over),
		gate_test(test_silent_client_is_handed_over),
		gate_test(test_client_between_gate_and_eviction),
		gate_test(test_gate_opens_over_the_thawed_server),
		gate_test(test_many_clients_at_once),
		gate_test(test_probes_are_silent),
		gate_test(test_silent_probe_that_speaks_late_knocks),
		gate_test(test_session_that_ends_beside_a_silent_probe_is_silent),
		gate_test(test_many_probes_never_fill_the_queue),
		gate_test(test_coordinator_that_is_killed_refuses_nobody),
		gate_test(test_freed_gate_refuses),
		gate_test(test_cold_start_takes_the_clients_over),
		gate_test(test_touch_reaches_every_listener),
		gate_test(test_gate_holds_nothing_and_costs_nothing),
	};

	return gate_run_tests("gate", tests);
}
