/*
 * Duplicates of a frozen server's sockets, what sock_diag says, and the last look over a real machine (needs root).
 */
#include "fixture_machine.h"

#include <sys/stat.h>
#include <sys/un.h>

#include "host/quiesce.h"
#include "host/sockets.h"

static char page_path[96];
static SocketSet sockets;

static void
collect(void)
{
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};

	socket_set_clear(&sockets);
	fixture_check(cgroup_list_processes(fixture.cgroups, fixture.group, &pids, &count, &err), &err);
	fixture_check(socket_set_collect(pids, count, &sockets, &err), &err);
	free(pids);
}

static const MachineSocket *
find_client(int client_fd)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), ":%u", client_port(client_fd));
	for (size_t i = 0; i < sockets.count; i++)
	{
		char peer[64];

		socket_format_peer(&sockets.sockets[i].peer, peer);
		if (sockets.sockets[i].kind == SOCKET_CONNECTION && strlen(peer) > strlen(suffix) &&
			strcmp(peer + strlen(peer) - strlen(suffix), suffix) == 0)
			return &sockets.sockets[i];
	}
	fail_msg("no socket of client %s", suffix);
	return NULL;
}

static size_t
count_kind(MachineSocketKind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < sockets.count; i++)
		count += sockets.sockets[i].kind == kind;
	return count;
}

static QuiesceReport
inspect(bool connection_aware)
{
	char network_path[32];
	QuiesceSpec spec = {
		.cgroups = fixture.cgroups,
		.cgroup = fixture.group,
		.activity_path = page_path,
		.network_path = network_path,
		.policy = {.connection_aware = connection_aware, .now_ns = clock_monotonic_ns()},
	};
	QuiesceReport report;
	Error err = {0};

	snprintf(network_path, sizeof(network_path), "/proc/self/fd/%d", fixture.namespace_fd);
	socket_set_clear(&sockets);
	fixture_check(quiesce_inspect(&spec, &report, &sockets, &err), &err);
	if (!report.quiet)
		assert_int_equal(sockets.count, 0);
	return report;
}

/* Freezes at a moment when the last look has nothing against it, as the engine does: thaws and tries again. */
static QuiesceReport
freeze_at_rest(void)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	QuiesceReport report;

	for (;;)
	{
		fixture_freeze();
		report = inspect(false);
		if (report.quiet)
			return report;
		if (clock_monotonic_ns() > deadline_ns)
			fail_msg("%s: %s", activity_reason_name(report.verdict.reason), report.verdict.detail);
		fixture_thaw();
		poll(NULL, 0, 1);
	}
}

static void
expect_busy(ActivityReason reason)
{
	QuiesceReport report = inspect(false);

	assert_false(report.quiet);
	assert_string_equal(activity_reason_name(report.verdict.reason), activity_reason_name(reason));
}

static void
test_collects_each_socket_once(void **state)
{
	int first = client_connect();
	int second = client_connect_v6();

	(void) state;
	client_ask(first);
	client_ask(second);
	fixture_freeze();
	collect();
	assert_int_equal(count_kind(SOCKET_LISTENER), 2);
	assert_int_equal(count_kind(SOCKET_CONNECTION), 2);
	assert_int_equal(find_client(first)->local_port, FIXTURE_PORT);
	assert_true(find_client(first)->pid != fixture.server);
	assert_true(find_client(first)->pid != find_client(second)->pid);
	assert_int_equal(find_client(first)->received_bytes, 1);
	assert_int_equal(find_client(first)->unread_bytes, 0);
	assert_int_equal(find_client(first)->unsent_bytes, 0);
	for (size_t i = 0; i < sockets.count; i++)
		assert_true(fcntl(sockets.sockets[i].fd, F_GETFD) & FD_CLOEXEC);
	assert_true(socket_set_listens_on(&sockets, FIXTURE_PORT));
	assert_false(socket_set_listens_on(&sockets, FIXTURE_PORT + 1));
	close(first);
	close(second);
}

static void
test_queues_are_seen(void **state)
{
	int fd = client_connect();
	int silent = client_connect();

	(void) state;
	client_ask(fd);
	fixture_await(fixture_count_processes() == 3);
	freeze_at_rest();
	client_send(fd, "1234567", 7);
	do
		collect();
	while (find_client(fd)->unread_bytes == 0);
	assert_int_equal(find_client(fd)->unread_bytes, 7);
	assert_int_equal(find_client(fd)->received_bytes, 8);
	assert_int_equal(find_client(silent)->received_bytes, 0);
	close(fd);
	close(silent);
}

/* The link is down when the server answers: its bytes stay on their way. */
static void
test_output_on_its_way_is_seen(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	fixture_freeze();
	client_send(fd, "Q", 1);
	fixture_shell("ip link set " FIXTURE_LINK " down");
	do
	{
		fixture_thaw();
		fixture_freeze();
		collect();
	} while (find_client(fd)->unread_bytes > 0 || fixture_page->slots[0].statements < 2);
	assert_int_equal(find_client(fd)->unsent_bytes, 2);
	assert_int_equal(inspect(false).verdict.reason, ACTIVITY_STATEMENT);
	/* A client that is gone for good does not keep the server awake. */
	fixture_page->slots[0].since_ns = clock_monotonic_ns() - 6 * NS_PER_SECOND;
	assert_true(inspect(false).quiet);
	assert_int_equal(find_client(fd)->unsent_bytes, 2);
	fixture_shell("ip link set " FIXTURE_LINK " up && ip -6 address replace fd99::1/64 dev " FIXTURE_LINK " nodad");
	close(fd);
}

static void
test_dead_processes_are_passed_over(void **state)
{
	pid_t pids[] = {INT32_MAX, fixture.server};
	Error err = {0};

	(void) state;
	socket_set_clear(&sockets);
	fixture_check(socket_set_collect(pids, 2, &sockets, &err), &err);
	assert_int_equal(sockets.count, 2);
	socket_set_clear(&sockets);
	assert_int_equal(sockets.count, 0);
	fixture_check(socket_set_collect(NULL, 0, &sockets, &err), &err);
	assert_int_equal(sockets.count, 0);
}

/* With no descriptors left the set would be incomplete, and a client unheard: that is an error. */
static void
test_no_descriptors_left_is_an_error(void **state)
{
	struct rlimit before;
	struct rlimit tight;
	Error err = {0};
	int next = dup(0);
	int result;

	(void) state;
	close(next);
	socket_set_clear(&sockets);
	getrlimit(RLIMIT_NOFILE, &before);
	/* Room for /proc and one pidfd, then for one duplicate. */
	tight = (struct rlimit){.rlim_cur = (rlim_t) next + 2, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &tight);
	result = socket_set_collect(&fixture.server, 1, &sockets, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(result, -EMFILE);
	assert_int_equal(sockets.count, 0);
	assert_int_equal(dup(0), next);
	close(next);
}

static void
test_defer_accept_reaches_the_listeners(void **state)
{
	(void) state;
	collect();
	socket_set_defer_accept(&sockets, 30);
	for (size_t i = 0; i < sockets.count; i++)
	{
		int seconds = 0;
		socklen_t size = sizeof(seconds);

		assert_int_equal(getsockopt(sockets.sockets[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &size), 0);
		assert_true(seconds >= 30);
	}
}

static void
expect_peer(const char *address, uint16_t port, int family, const char *expected)
{
	struct sockaddr_storage peer = {.ss_family = (sa_family_t) family};
	char text[64];

	if (family == AF_INET)
	{
		((struct sockaddr_in *) &peer)->sin_port = htons(port);
		inet_pton(family, address, &((struct sockaddr_in *) &peer)->sin_addr);
	}
	else if (family == AF_INET6)
	{
		((struct sockaddr_in6 *) &peer)->sin6_port = htons(port);
		inet_pton(family, address, &((struct sockaddr_in6 *) &peer)->sin6_addr);
	}
	socket_format_peer(&peer, text);
	assert_string_equal(text, expected);
}

static void
test_peers_are_formatted(void **state)
{
	(void) state;
	expect_peer("10.88.0.1", 51234, AF_INET, "10.88.0.1:51234");
	expect_peer("fd00::1", 51234, AF_INET6, "[fd00::1]:51234");
	expect_peer("::ffff:10.88.0.1", 51234, AF_INET6, "10.88.0.1:51234");
	expect_peer("", 0, AF_UNIX, "local");
	expect_peer("", 0, AF_UNSPEC, "unknown");
}

static void
test_same_peer(void **state)
{
	struct sockaddr_storage v4 = {.ss_family = AF_INET};
	struct sockaddr_storage mapped = {.ss_family = AF_INET6};
	struct sockaddr_storage none = {.ss_family = AF_UNIX};

	(void) state;
	((struct sockaddr_in *) &v4)->sin_port = ((struct sockaddr_in6 *) &mapped)->sin6_port = htons(7);
	inet_pton(AF_INET, "10.88.0.1", &((struct sockaddr_in *) &v4)->sin_addr);
	inet_pton(AF_INET6, "::ffff:10.88.0.1", &((struct sockaddr_in6 *) &mapped)->sin6_addr);
	assert_true(socket_same_peer(&v4, &mapped));
	((struct sockaddr_in *) &v4)->sin_port = htons(8);
	assert_false(socket_same_peer(&v4, &mapped));
	assert_false(socket_same_peer(&none, &none));
}

/* ---- sock_diag ---- */

static PendingConnections
pending_on(uint16_t port)
{
	PendingConnections pending = {0};
	Error err = {0};
	int fd = -1;

	fixture_check(sockdiag_open(fixture.namespace_fd, &fd, &err), &err);
	fixture_check(sockdiag_count_pending(fd, port, &pending, &err), &err);
	close(fd);
	return pending;
}

static void
test_pending_connections_are_told_apart(void **state)
{
	PendingConnections pending;
	int speaking;
	int spoke_and_closed;
	int silent;
	char peer[64];
	char expected[64];

	(void) state;
	fixture_freeze();
	speaking = client_connect();
	client_send(speaking, "Q", 1);
	silent = client_connect();
	client_reset(client_connect());
	close(client_connect());
	fixture_await(pending_on(FIXTURE_PORT).finished == 1 && pending_on(FIXTURE_PORT).speaking == 1);
	pending = pending_on(FIXTURE_PORT);
	assert_int_equal(pending.silent, 1);
	socket_format_peer(&pending.speaker, peer);
	snprintf(expected, sizeof(expected), "10.99.0.1:%u", client_port(speaking));
	assert_string_equal(peer, expected);
	assert_int_equal(pending_on(FIXTURE_PORT + 1).speaking, 0);
	assert_int_equal(pending_on(FIXTURE_PORT + 1).silent, 0);
	assert_int_equal(pending_on(SOCKDIAG_ANY_PORT).speaking, 1);
	/* Data and then the end is still data. */
	spoke_and_closed = client_connect();
	client_send(spoke_and_closed, "Q", 1);
	close(spoke_and_closed);
	fixture_await(pending_on(FIXTURE_PORT).speaking == 2);
	assert_int_equal(pending_on(FIXTURE_PORT).finished, 1);
	close(speaking);
	close(silent);
}

static void
test_ports_are_counted(void **state)
{
	unsigned listening = 99;
	unsigned established = 99;
	int clients[3];
	Error err = {0};
	int fd = -1;

	(void) state;
	for (int i = 0; i < 3; i++)
		client_ask(clients[i] = client_connect());
	fixture_check(sockdiag_open(fixture.namespace_fd, &fd, &err), &err);
	fixture_check(sockdiag_count_port(fd, FIXTURE_PORT, &listening, &established, NULL, &err), &err);
	assert_int_equal(listening, 2);
	assert_int_equal(established, 3);
	fixture_check(sockdiag_count_port(fd, FIXTURE_PORT + 1, &listening, NULL, NULL, &err), &err);
	assert_int_equal(listening, 0);
	close(fd);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}

static void
test_sockdiag_comes_home(void **state)
{
	struct stat before;
	struct stat after;
	Error err = {0};
	int fd = -1;

	(void) state;
	assert_int_equal(stat("/proc/thread-self/ns/net", &before), 0);
	fixture_check(sockdiag_open(fixture.namespace_fd, &fd, &err), &err);
	close(fd);
	assert_int_equal(stat("/proc/thread-self/ns/net", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	/* What is no namespace is refused. */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(sockdiag_open(fd, &(int){-1}, &err) < 0);
	close(fd);
}

/* ---- the last look ---- */

static void
test_inspect_rest(void **state)
{
	int fd = client_connect();
	int silent = client_connect();
	QuiesceReport report;

	(void) state;
	client_ask(fd);
	fixture_await(fixture_count_processes() == 3);
	report = freeze_at_rest();
	assert_int_equal(report.sessions, 1);
	assert_int_equal(sockets.count, 4);
	assert_int_equal(inspect(true).verdict.reason, ACTIVITY_CONNECTION);
	close(fd);
	close(silent);
}

static void
test_inspect_statement(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	client_send(fd, "B", 1);
	fixture_await(fixture_page->slots[0].state == LTTLE_STATE_ACTIVE);
	fixture_freeze();
	expect_busy(ACTIVITY_STATEMENT);
	close(fd);
}

static void
test_inspect_unread_input(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	freeze_at_rest();
	client_send(fd, "Q", 1);
	fixture_await(!inspect(false).quiet);
	expect_busy(ACTIVITY_STATEMENT);
	close(fd);
}

/* The page says idle and the queue is empty, and yet a statement is about to run. */
static void
test_inspect_message_taken_but_not_noted(void **state)
{
	int fd = client_connect();
	QuiesceReport report;

	(void) state;
	client_ask(fd);
	client_send(fd, "W", 1);
	do
	{
		fixture_thaw();
		fixture_freeze();
		collect();
	} while (find_client(fd)->received_bytes < 2 || find_client(fd)->unread_bytes > 0);
	report = inspect(false);
	assert_int_equal(fixture_page->slots[0].state, LTTLE_STATE_IDLE);
	assert_false(report.quiet);
	assert_non_null(strstr(report.verdict.detail, "does not wait for its client"));
	close(fd);
}

/* A client that has spoken, and no slot yet. */
static void
test_inspect_login(void **state)
{
	int fd = client_connect();

	(void) state;
	fixture_await(fixture_count_processes() == 2);
	freeze_at_rest();
	client_send(fd, "Q", 1);
	fixture_await(!inspect(false).quiet);
	expect_busy(ACTIVITY_LOGIN);
	close(fd);
}

/* In the queue of a server that was frozen before it came to it. One that is silent waits for nothing. */
static void
test_inspect_a_client_that_nobody_has_accepted(void **state)
{
	int silent;
	int speaking;

	(void) state;
	freeze_at_rest();
	silent = client_connect();
	fixture_await(pending_on(FIXTURE_PORT).silent == 1);
	assert_true(inspect(false).quiet);
	speaking = client_connect();
	client_send(speaking, "Q", 1);
	fixture_await(pending_on(FIXTURE_PORT).speaking == 1);
	expect_busy(ACTIVITY_LOGIN);
	assert_non_null(strstr(inspect(false).verdict.detail, "waits to be accepted"));
	close(speaking);
	close(silent);
}

static void
test_inspect_without_a_page(void **state)
{
	QuiesceSpec spec = {.cgroups = fixture.cgroups, .cgroup = fixture.group, .activity_path = "/nowhere/activity"};
	QuiesceReport report;
	Error err = {0};

	(void) state;
	fixture_freeze();
	assert_int_equal(quiesce_inspect(&spec, &report, &sockets, &err), -ENOENT);
	assert_string_equal(err.message, "/nowhere/activity: No such file or directory");
}

static void
test_speed(void **state)
{
	int fds[10];
	uint64_t begin_ns;
	Error err = {0};
	int fd = -1;

	(void) state;
	for (int i = 0; i < 10; i++)
		client_ask(fds[i] = client_connect());
	freeze_at_rest();
	begin_ns = clock_monotonic_ns();
	for (int i = 0; i < 100; i++)
		inspect(false);
	print_message("last look with 10 sessions: %.0f us\n", (double) (clock_monotonic_ns() - begin_ns) / 100e3);
	begin_ns = clock_monotonic_ns();
	for (int i = 0; i < 100; i++)
	{
		fixture_check(sockdiag_open(fixture.namespace_fd, &fd, &err), &err);
		close(fd);
	}
	print_message("sock_diag socket opened: %.0f us\n", (double) (clock_monotonic_ns() - begin_ns) / 100e3);
	fixture_check(sockdiag_open(fixture.namespace_fd, &fd, &err), &err);
	begin_ns = clock_monotonic_ns();
	for (int i = 0; i < 100; i++)
	{
		PendingConnections pending;

		fixture_check(sockdiag_count_pending(fd, FIXTURE_PORT, &pending, &err), &err);
	}
	print_message("pending connections counted: %.0f us\n", (double) (clock_monotonic_ns() - begin_ns) / 100e3);
	close(fd);
	for (int i = 0; i < 10; i++)
		close(fds[i]);
}

static int
setup(void **state)
{
	(void) state;
	fixture_page_start(page_path);
	fixture_server_start();
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	socket_set_clear(&sockets);
	fixture_server_stop();
	munmap(fixture_page, sizeof(*fixture_page));
	return 0;
}

static int
group_setup(void **state)
{
	(void) state;
	snprintf(page_path, sizeof(page_path), "%s/activity", janitor_directory);
	fixture_network_start();
	return fixture_group_start();
}

static int
group_teardown(void **state)
{
	(void) state;
	return fixture_stop();
}

#define sockets_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		sockets_test(test_collects_each_socket_once),
		sockets_test(test_queues_are_seen),
		sockets_test(test_output_on_its_way_is_seen),
		sockets_test(test_dead_processes_are_passed_over),
		sockets_test(test_no_descriptors_left_is_an_error),
		sockets_test(test_defer_accept_reaches_the_listeners),
		cmocka_unit_test(test_peers_are_formatted),
		cmocka_unit_test(test_same_peer),
		sockets_test(test_pending_connections_are_told_apart),
		sockets_test(test_ports_are_counted),
		sockets_test(test_sockdiag_comes_home),
		sockets_test(test_inspect_rest),
		sockets_test(test_inspect_statement),
		sockets_test(test_inspect_unread_input),
		sockets_test(test_inspect_message_taken_but_not_noted),
		sockets_test(test_inspect_login),
		sockets_test(test_inspect_a_client_that_nobody_has_accepted),
		sockets_test(test_inspect_without_a_page),
		sockets_test(test_speed),
	};

	alarm(300);
	if (janitor_start("sockets") < 0)
		return 1;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
