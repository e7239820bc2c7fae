/*
 * The gate of a machine on disk and its open sessions (needs root): their packets are dropped and never answered by a
 * reset, a word wakes the machine, an end does not, keepalives are answered, and what was said is there at once when
 * the machine is back. The server is really taken away; its sessions are carried over by TCP_REPAIR.
 */
#include "fixture_gate.h"

#include "host/netns.h"

#define LONG_PORT (FIXTURE_PORT + 1)

static void
survive_the_disk(int fd)
{
	client_ask(fd);
	gate_fall_to_disk();
	gate_expect_silence(50);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	assert_int_equal(client_unacknowledged(fd), 1);
	gate_wake();
	gate_expect_served(fd);
}

static void
test_session_survives_the_disk(void **state)
{
	(void) state;
	survive_the_disk(client_connect());
}

static void
test_ipv6_session_survives_the_disk(void **state)
{
	(void) state;
	survive_the_disk(client_connect_v6());
}

static void
test_many_sessions_survive_the_disk(void **state)
{
	int fds[GATE_MAX_CARRIED];

	(void) state;
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
		client_ask(fds[i] = i % 2 == 0 ? client_connect() : client_connect_v6());
	gate_fall_to_disk();
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
		client_send(fds[i], "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, 0);
	gate_wake();
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
		gate_expect_served(fds[i]);
}

/* The gate dies with the coordinator and another one takes its place, by the plan's file. */
static void
test_session_survives_the_coordinator(void **state)
{
	int fd = client_connect();
	GatePlan plan = {0};
	char path[128];
	Error err = {0};

	(void) state;
	client_ask(fd);
	snprintf(path, sizeof(path), "%s/gate.json", janitor_directory);
	gate_fall_to_disk();
	fixture_check(gate_plan_save(&gate_plan, path, &err), &err);
	gate_leave(gate);
	gate = NULL;
	client_send(fd, "Q", 1);
	fixture_check(gate_plan_load(path, &plan, &err), &err);
	gate_close_with(&plan, NULL);
	gate_plan_clear(&plan);
	/* Heard when the client sends again. */
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

/* ---- what does not wake ---- */

static void
test_ends_are_silent_and_arrive_later(void **state)
{
	int terminated = client_connect();
	int closed = client_connect();
	int reset = client_connect();
	int alive = client_connect();

	(void) state;
	client_ask(terminated);
	client_ask(closed);
	client_ask(reset);
	client_ask(alive);
	gate_fall_to_disk();
	client_send(terminated, "X\0\0\0\4", 5);
	close(closed);
	client_reset(reset);
	gate_expect_silence(700); /* and when they are sent again */
	client_send(alive, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(alive));
	gate_wake();
	gate_expect_served(alive);
	/* Their backends have heard of it, even of the reset, which no client sends twice: only the postmaster is left. */
	fixture_await(fixture_count_processes() == 1);
	close(terminated);
}

/* A server that is silent for longer than a client's keepalive allows would be taken for dead. */
static void
expect_keepalive(int fd, bool answered)
{
	int on = 1;
	int seconds = 1;
	int probes = 2;
	struct pollfd broken = {.fd = fd, .events = POLLIN};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)), 0);
	for (int i = 0; i < 500 && poll(&broken, 1, 0) == 0; i++)
		gate_expect_silence(10);
	assert_int_equal(poll(&broken, 1, 0), answered ? 0 : 1);
}

static void
keep_alive_on_disk(int fd)
{
	client_ask(fd);
	gate_fall_to_disk();
	expect_keepalive(fd, true);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	gate_wake();
	gate_expect_served(fd);
}

static void
test_keepalives_are_answered(void **state)
{
	(void) state;
	keep_alive_on_disk(client_connect());
}

static void
test_keepalives_by_ipv6_are_answered(void **state)
{
	(void) state;
	keep_alive_on_disk(client_connect_v6());
}

/* The test above can fail: a gate that does not know the sequence number cannot answer. */
static void
test_unanswered_keepalives_end_the_session(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	gate_fall_to_disk();
	gate_leave(gate);
	for (size_t i = 0; i < gate_plan.session_count; i++)
		gate_plan.sessions[i].sequence_known = false;
	gate_close_with(&gate_plan, NULL);
	expect_keepalive(fd, false);
	close(fd);
}

/* ---- between the last look and the gate ---- */

static void
test_byte_before_the_gate_is_told(void **state)
{
	SocketSet sockets = {0};
	int fd = client_connect();
	DoorKnock knock;
	Error err = {0};

	(void) state;
	client_ask(fd);
	fixture_freeze();
	gate_collect(&sockets);
	fixture_check(gate_plan_from_sockets(&sockets, &gate_plan, &err), &err);
	client_send(fd, "Q", 1);
	fixture_await(client_unacknowledged(fd) == 0);
	gate_close_with(&gate_plan, &sockets);
	socket_set_clear(&sockets);
	assert_true(gate_was_late(gate, &knock));
	assert_string_equal(knock.kind, DOOR_KNOCK_SESSION);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	fixture_thaw();
	gate_open_again();
	gate_expect_served(fd);
}

static void
test_nobody_is_late_at_a_quiet_gate(void **state)
{
	int fd = client_connect();
	DoorKnock knock;

	(void) state;
	client_ask(fd);
	gate_freeze_and_close();
	assert_false(gate_was_late(gate, &knock));
	fixture_thaw();
	gate_open_again();
	close(fd);
}

/* ---- sessions that are given up ---- */

/* As CRIU leaves them when it is killed: in repair mode, in which no end is told. One client is silent, one has had its
 * bytes acknowledged, and one has sent them to the closed gate. */
static void
test_ended_sessions_are_told(void **state)
{
	int fds[] = {client_connect(), client_connect_v6(), client_connect()};
	SocketSet sockets = {0};
	Error err = {0};

	(void) state;
	for (size_t i = 0; i < 3; i++)
		client_ask(fds[i]);
	fixture_freeze();
	client_send(fds[1], "Q", 1);
	fixture_await(client_unacknowledged(fds[1]) == 0);
	gate_freeze_and_close();
	client_send(fds[2], "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fds[2]));
	gate_collect(&sockets);
	for (size_t i = 0; i < sockets.count; i++)
	{
		if (sockets.sockets[i].kind == SOCKET_CONNECTION)
			assert_int_equal(gate_repair_option(sockets.sockets[i].fd, TCP_REPAIR, 1), 0);
	}
	socket_set_clear(&sockets);
	fixture_check(gate_end_sessions(gate, &err), &err);
	for (size_t i = 0; i < 3; i++)
		gate_expect_reset(fds[i]);
}

static void
test_connection_before_the_gate_is_told(void **state)
{
	int fd;

	(void) state;
	fixture_freeze();
	fd = client_connect();
	client_send(fd, "Q", 1);
	gate_freeze_and_close();
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	fixture_thaw();
	gate_open_again();
	gate_expect_served(fd);
}

/* ---- replay ---- */

/* How often the client had to send its question again after the machine was back, until it had its answer. */
static unsigned
repetitions(bool replay)
{
	int fd = client_connect();
	char answer[2];
	unsigned before;
	unsigned count;

	client_ask(fd);
	gate_freeze_and_close();
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	gate_run_loop(350); /* the client's own next attempt is some hundred milliseconds away */
	fixture_thaw();
	before = client_retransmissions(fd);
	if (replay)
		gate_open_again();
	else
	{
		gate_free(gate);
		gate = NULL;
	}
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	count = client_retransmissions(fd) - before;
	client_ask(fd);
	close(fd);
	return count;
}

/* A busy host may let so much time pass that the client comes first, but not each time. */
static void
test_replay_is_quicker_than_the_client(void **state)
{
	bool was_quicker = false;

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		was_quicker = repetitions(true) == 0 || was_quicker;
		assert_true(repetitions(false) > 0);
	}
	assert_true(was_quicker);
}

/* In the machine's namespace. */
static int
listen_far(void *context, Error *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(LONG_PORT)};
	int *ret_fd = context;

	(void) err;
	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(*ret_fd, 1), 0);
	return 0;
}

/* A connection into the machine's namespace whose both ends are the test's. */
static void
make_long_pair(int *ret_near, MachineSocket *ret_far)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(LONG_PORT)};
	socklen_t size = sizeof(ret_far->peer);
	int listener = -1;
	Error err = {0};

	fixture_check(netns_run(fixture.namespace_fd, listen_far, &listener, &err), &err);
	*ret_near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, FIXTURE_ADDRESS, &address.sin_addr);
	assert_int_equal(connect(*ret_near, (struct sockaddr *) &address, sizeof(address)), 0);
	*ret_far = (MachineSocket){.fd = accept(listener, NULL, NULL), .kind = SOCKET_CONNECTION};
	close(listener);
	assert_int_equal(getpeername(ret_far->fd, (struct sockaddr *) &ret_far->peer, &size), 0);
	fcntl(*ret_near, F_SETFL, O_NONBLOCK);
	fcntl(ret_far->fd, F_SETFL, O_NONBLOCK);
}

/* More than one frame, and frames that are longer than the link's MTU: nothing is lost, doubled or out of order. */
static void
test_long_message_arrives_whole(void **state)
{
	static unsigned char sent[200000];
	static unsigned char got[sizeof(sent)];
	MachineSocket far;
	SocketSet sockets = {.sockets = &far, .count = 1};
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	size_t received = 0;
	size_t written = 0;
	int near;
	Error err = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (unsigned char) (i * 7 + i / 251);
	make_long_pair(&near, &far);
	fixture_check(gate_plan_from_sockets(&sockets, &gate_plan, &err), &err);
	gate_close_with(&gate_plan, &sockets);
	written = (size_t) send(near, sent, sizeof(sent), MSG_NOSIGNAL);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(near));
	gate_run_loop(300);
	assert_int_equal(recv(far.fd, got, sizeof(got), 0), -1);
	gate_open_again();
	while (received < sizeof(sent))
	{
		ssize_t count = written < sizeof(sent) ? send(near, sent + written, sizeof(sent) - written, MSG_NOSIGNAL) : 0;

		written += count > 0 ? (size_t) count : 0;
		count = recv(far.fd, got + received, sizeof(got) - received, 0);
		received += count > 0 ? (size_t) count : 0;
		assert_true(clock_monotonic_ns() < deadline_ns);
	}
	assert_memory_equal(got, sent, sizeof(sent));
	close(near);
	close(far.fd);
}

/* A session that floods a closed gate fills its own share only. */
static void
test_flood_is_bounded(void **state)
{
	int fds[GATE_MAX_CARRIED];
	static char many[65536];

	(void) state;
	memset(many, 'Q', sizeof(many));
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
		client_ask(fds[i] = client_connect());
	gate_freeze_and_close();
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
		client_send(fds[i], many, sizeof(many));
	gate_expect_knock(DOOR_KNOCK_SESSION, 0);
	gate_run_loop(1000);
	fixture_thaw();
	gate_open_again();
	for (int i = 0; i < GATE_MAX_CARRIED; i++)
	{
		char answer[2];

		assert_int_equal(client_receive(fds[i], answer, sizeof(answer)), 2);
		close(fds[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		gate_test(test_session_survives_the_disk),
		gate_test(test_ipv6_session_survives_the_disk),
		gate_test(test_many_sessions_survive_the_disk),
		gate_test(test_session_survives_the_coordinator),
		gate_test(test_ends_are_silent_and_arrive_later),
		gate_test(test_keepalives_are_answered),
		gate_test(test_keepalives_by_ipv6_are_answered),
		gate_test(test_unanswered_keepalives_end_the_session),
		gate_test(test_byte_before_the_gate_is_told),
		gate_test(test_nobody_is_late_at_a_quiet_gate),
		gate_test(test_ended_sessions_are_told),
		gate_test(test_connection_before_the_gate_is_told),
		gate_test(test_replay_is_quicker_than_the_client),
		gate_test(test_long_message_arrives_whole),
		gate_test(test_flood_is_bounded),
	};

	return gate_run_tests("gate-sessions", tests);
}
