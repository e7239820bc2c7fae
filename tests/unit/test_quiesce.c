/*
 * The last look before a machine sleeps: the decision over pages, processes and sockets that are put together here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "host/quiesce.h"

#define NOW_NS	   (1000 * NS_PER_SECOND)
#define POSTMASTER 5001
#define BACKEND	   5057
#define WORKER	   5058
#define PSQL	   5059 /* a client inside the machine; no slot */

/* A quiet machine: a listener, and one session that has rested for a minute. Each test disturbs it in one point. */
static ActivitySlot slots[2];
static ActivityPage page;
static MachineSocket sockets[4];
static SocketSet set;
static PendingConnections pending;
static ActivityPolicy policy;
static MachineProcess processes[] = {{.pid = POSTMASTER, .inner_pid = 1},
									 {.pid = BACKEND, .inner_pid = 57},
									 {.pid = WORKER, .inner_pid = 58},
									 {.pid = PSQL, .inner_pid = 59}};

static struct sockaddr_storage
internet_peer(const char *address, uint16_t port)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *) &storage;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, address, &v4->sin_addr), 1);
	return storage;
}

static struct sockaddr_storage
unix_peer(const char *path)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_un *local = (struct sockaddr_un *) &storage;

	local->sun_family = AF_UNIX;
	strcpy(local->sun_path, path);
	return storage;
}

static int
setup(void **state)
{
	(void) state;
	slots[0] = (ActivitySlot){.pid = 57,
							  .kind = LTTLE_KIND_CLIENT,
							  .state = LTTLE_STATE_IDLE,
							  .since_ns = NOW_NS - 60 * NS_PER_SECOND,
							  .wait = ACTIVITY_WAIT_CLIENT};
	slots[1] = (ActivitySlot){.pid = 58, .kind = LTTLE_KIND_BACKGROUND_WORKER, .state = LTTLE_STATE_IDLE};
	page = (ActivityPage){.slots = slots, .slot_count = 2, .transaction_hold_ms = 60000};
	policy = (ActivityPolicy){.now_ns = NOW_NS};
	sockets[0] = (MachineSocket){.fd = -1, .pid = POSTMASTER, .kind = SOCKET_LISTENER, .local_port = 5432};
	sockets[1] = (MachineSocket){.fd = -1,
								 .pid = BACKEND,
								 .kind = SOCKET_CONNECTION,
								 .local_port = 5432,
								 .peer = internet_peer("10.88.0.1", 51234),
								 .received_bytes = 300};
	set = (SocketSet){.sockets = sockets, .count = 2};
	pending = (PendingConnections){0};
	return 0;
}

static QuiesceView
view_all(void)
{
	return (QuiesceView){
		.page = &page,
		.processes = processes,
		.process_count = sizeof(processes) / sizeof(processes[0]),
		.sockets = &set,
		.pending = &pending,
		.policy = &policy,
	};
}

/* As of a plain machine: no page, only processes and sockets. */
static QuiesceReport
look_at_plain(void)
{
	QuiesceView view = view_all();
	QuiesceReport report;

	view.page = NULL;
	quiesce_decide_plain(&view, &report);
	return report;
}

static QuiesceReport
decide(void)
{
	QuiesceView view = view_all();
	QuiesceReport report;

	memset(&report, 0xee, sizeof(report));
	quiesce_decide(&view, &report);
	assert_int_equal(report.quiet, report.verdict.reason == ACTIVITY_NONE);
	return report;
}

static void
expect_busy(ActivityReason reason, const char *detail)
{
	QuiesceReport report = decide();

	assert_false(report.quiet);
	assert_string_equal(activity_reason_name(report.verdict.reason), activity_reason_name(reason));
	if (detail != NULL)
		assert_string_equal(report.verdict.detail, detail);
}

static void
expect_quiet(void)
{
	QuiesceReport report = decide();

	if (!report.quiet)
		fail_msg("%s: %s", activity_reason_name(report.verdict.reason), report.verdict.detail);
}

static MachineSocket *
add_socket(MachineSocket socket)
{
	sockets[set.count] = socket;
	sockets[set.count].fd = -1;
	return &sockets[set.count++];
}

static void
test_rest_is_quiet(void **state)
{
	(void) state;
	expect_quiet();
	assert_int_equal(decide().sessions, 1);
	page.slot_count = 0;
	set.count = 1;
	expect_quiet();
	assert_int_equal(decide().sessions, 0);
}

static void
test_page_decides_first(void **state)
{
	(void) state;
	slots[0].state = LTTLE_STATE_ACTIVE;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, for 60 s");
	slots[0].state = LTTLE_STATE_IDLE;
	slots[0].lock_count = 1;
	expect_busy(ACTIVITY_LOCK, NULL);
	slots[0].lock_count = 0;
	policy.connection_aware = true;
	expect_busy(ACTIVITY_CONNECTION, NULL);
}

/* Between taking a message off the socket and the first hook the page still says idle. */
static void
test_wait_event_closes_the_gap(void **state)
{
	(void) state;
	slots[0].wait = ACTIVITY_WAIT_OTHER;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, does not wait for its client");
	slots[0].wait = ACTIVITY_WAIT_UNKNOWN;
	expect_busy(ACTIVITY_STATEMENT, NULL);
	/* That holds without a TCP connection too: a session over the Unix socket. */
	set.count = 1;
	expect_busy(ACTIVITY_STATEMENT, NULL);
	slots[0].pid = 60;
	expect_quiet();
}

/* vfork's parent cannot be stopped by a tracer before its child has begun its program. */
static void
test_a_process_that_starts_a_program_is_busy(void **state)
{
	(void) state;
	processes[2].spawning = true;
	expect_busy(ACTIVITY_WORKER, "process 5058, starts a program");
	assert_string_equal(look_at_plain().verdict.detail, "process 5058, starts a program");
	processes[2].spawning = false;
	expect_quiet();
	assert_true(look_at_plain().quiet);
}

/* Its time-out has passed, and it has not had the processor since. */
static void
test_a_session_with_a_signal_to_take_is_busy(void **state)
{
	(void) state;
	processes[2].signalled = true;
	expect_quiet(); /* a worker's latch may be set at any time */
	processes[1].signalled = true;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, has not taken a signal yet");
	processes[1].signalled = false;
	processes[2].signalled = false;
	expect_quiet();
}

static void
test_transaction_past_its_hold(void **state)
{
	(void) state;
	slots[0].state = LTTLE_STATE_IN_TRANSACTION;
	slots[0].since_ns = NOW_NS - 59 * NS_PER_SECOND;
	expect_busy(ACTIVITY_TRANSACTION, NULL);
	slots[0].since_ns = NOW_NS - 60 * NS_PER_SECOND;
	expect_quiet();
	slots[0].wait = ACTIVITY_WAIT_OTHER;
	expect_busy(ACTIVITY_STATEMENT, NULL);
}

static void
test_unread_input(void **state)
{
	(void) state;
	sockets[1].unread_bytes = 1;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, 1 bytes of its client are unread");
	slots[0].since_ns = 1; /* however long it rests */
	expect_busy(ACTIVITY_STATEMENT, NULL);
}

static void
test_output_on_its_way_counts_for_five_seconds(void **state)
{
	(void) state;
	sockets[1].unsent_bytes = 4096;
	slots[0].since_ns = NOW_NS - 4 * NS_PER_SECOND;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, 4096 bytes are on their way to its client");
	slots[0].since_ns = NOW_NS - 5 * NS_PER_SECOND;
	expect_quiet();
	slots[0].since_ns = UINT64_MAX;
	expect_busy(ACTIVITY_STATEMENT, NULL);
}

static void
test_login_is_busy_once_the_client_has_spoken(void **state)
{
	(void) state;
	/* Accepted, not yet forked: the postmaster has it; or forked, and no slot yet. */
	for (pid_t holder = POSTMASTER; holder <= PSQL; holder += PSQL - POSTMASTER)
	{
		sockets[1].pid = holder;
		sockets[1].received_bytes = 300;
		expect_busy(ACTIVITY_LOGIN, NULL);
		sockets[1].received_bytes = 0;
		expect_quiet();
	}
	sockets[1].pid = 6000; /* not even one of the processes any more */
	sockets[1].received_bytes = 8;
	expect_busy(ACTIVITY_LOGIN, "process 6000, with a client that is no session yet");
}

static void
test_connections_that_a_session_opened(void **state)
{
	MachineSocket *outgoing = add_socket((MachineSocket){.pid = BACKEND,
														 .kind = SOCKET_CONNECTION,
														 .local_port = 40000,
														 .peer = internet_peer("192.0.2.7", 5432),
														 .received_bytes = 1000});

	(void) state;
	expect_quiet();
	/* The other server said good-bye long ago; the session will see at its next statement. */
	outgoing->unread_bytes = 90;
	expect_quiet();
	slots[0].state = LTTLE_STATE_ACTIVE;
	expect_busy(ACTIVITY_STATEMENT, NULL);
}

static void
test_connections_that_a_worker_opened(void **state)
{
	MachineSocket *outgoing = add_socket((MachineSocket){.pid = WORKER,
														 .kind = SOCKET_CONNECTION,
														 .local_port = 40000,
														 .peer = internet_peer("192.0.2.7", 443),
														 .received_bytes = 1000});

	(void) state;
	expect_quiet();
	outgoing->unread_bytes = 1;
	expect_busy(ACTIVITY_WORKER, "process 5058, with a connection that it opened");
	outgoing->unread_bytes = 0;
	/* A process without a slot, such as the receiver of a standby, may do anything at any time. */
	outgoing->pid = POSTMASTER;
	expect_busy(ACTIVITY_WORKER, NULL);
}

/* A client inside the machine, connected by loopback: all that counts is seen at the server's end. */
static void
test_inner_client_by_loopback(void **state)
{
	MachineSocket *client = add_socket((MachineSocket){.pid = PSQL,
													   .kind = SOCKET_CONNECTION,
													   .local_port = 40000,
													   .peer = internet_peer("127.0.0.1", 5432),
													   .received_bytes = 500});

	(void) state;
	sockets[1].peer = internet_peer("127.0.0.1", 40000);
	expect_quiet();
	client->unread_bytes = 100; /* an answer that a script reads at leisure */
	expect_quiet();
	client->unsent_bytes = 8;
	expect_busy(ACTIVITY_LOGIN, "process 5059, 8 bytes on their way to the server");
	client->unsent_bytes = 0;
	/* Another port of the machine is none of the server's. */
	client->peer = internet_peer("127.0.0.1", 8080);
	expect_busy(ACTIVITY_WORKER, NULL);
}

static void
test_unix_sessions(void **state)
{
	MachineSocket *server;
	MachineSocket *client;

	(void) state;
	set.count = 1;
	server = add_socket((MachineSocket){.pid = BACKEND, .kind = SOCKET_UNIX_CONNECTION, .peer = unix_peer("")});
	client = add_socket((MachineSocket){
		.pid = PSQL, .kind = SOCKET_UNIX_CONNECTION, .peer = unix_peer("/var/run/postgresql/.s.PGSQL.5432")});
	expect_quiet();
	server->unread_bytes = 5;
	expect_busy(ACTIVITY_STATEMENT, "pid 57, 5 bytes of its client are unread");
	server->unread_bytes = 0;
	server->unsent_bytes = 5;
	expect_quiet();
	slots[0].since_ns = NOW_NS;
	expect_busy(ACTIVITY_STATEMENT, NULL);
	server->unsent_bytes = 0;
	/* Not accepted yet: there is only the client's end. */
	server->pid = PSQL;
	client->unsent_bytes = 300;
	expect_busy(ACTIVITY_LOGIN, NULL);
	/* Other programs' sockets are nobody's business. */
	client->peer = unix_peer("/run/other.sock");
	expect_quiet();
}

static void
test_walsender(void **state)
{
	(void) state;
	slots[0].kind = LTTLE_KIND_WALSENDER;
	expect_quiet();
	slots[0].wait = ACTIVITY_WAIT_OTHER;
	expect_busy(ACTIVITY_REPLICATION, NULL);
}

/* A client whose first words lie in the listener's queue has not been served; one that is silent wants nothing yet. */
static void
test_who_waits_to_be_accepted(void **state)
{
	(void) state;
	pending = (PendingConnections){.silent = 3, .finished = 2, .listening = internet_peer("10.88.0.9", 4711)};
	expect_quiet();
	pending.speaking = 1;
	pending.speaker = internet_peer("10.88.0.7", 51235);
	expect_busy(ACTIVITY_LOGIN, "client 10.88.0.7:51235 waits to be accepted");
}

/* ---- a plain machine ---- */

static void
test_plain_sockets_decide(void **state)
{
	QuiesceReport report = look_at_plain();

	(void) state;
	assert_true(report.quiet);
	assert_int_equal(report.sessions, 1);
	sockets[1].unread_bytes = 7;
	report = look_at_plain();
	assert_false(report.quiet);
	assert_int_equal(report.verdict.reason, ACTIVITY_STATEMENT);
	assert_string_equal(report.verdict.detail, "process 5057, 7 bytes of its client are unread");
	sockets[1].unread_bytes = 0;
	sockets[1].unsent_bytes = 9;
	sockets[1].sent_ago_ms = 4999;
	report = look_at_plain();
	assert_false(report.quiet);
	assert_string_equal(report.verdict.detail, "process 5057, 9 bytes are on their way to its client");
	sockets[1].sent_ago_ms = 5000; /* a client that vanished without a word */
	assert_true(look_at_plain().quiet);
	/* Its server may be the one that speaks first. */
	pending = (PendingConnections){.silent = 1, .listening = internet_peer("10.88.0.9", 4711)};
	assert_string_equal(look_at_plain().verdict.detail, "client 10.88.0.9:4711 waits to be accepted");
}

static void
test_plain_clients_count_where_connections_do(void **state)
{
	QuiesceReport report;

	(void) state;
	policy.connection_aware = true;
	report = look_at_plain();
	assert_false(report.quiet);
	assert_int_equal(report.verdict.reason, ACTIVITY_CONNECTION);
	sockets[1].local_port = 40000; /* it opened the connection itself */
	report = look_at_plain();
	assert_true(report.quiet);
	assert_int_equal(report.sessions, 0);
	sockets[1].unread_bytes = 1;
	assert_false(look_at_plain().quiet);
}

static void
test_plain_processes_talk_to_each_other(void **state)
{
	(void) state;
	policy.connection_aware = true;
	sockets[1].peer = internet_peer("127.0.0.1", 40000);
	assert_true(look_at_plain().quiet); /* no client from outside */
	sockets[1].unsent_bytes = 5;
	assert_true(look_at_plain().quiet); /* it is seen as unread at the other end */
	sockets[1].unread_bytes = 5;
	assert_false(look_at_plain().quiet);
	sockets[1].kind = SOCKET_UNIX_CONNECTION;
	sockets[1].peer = unix_peer("");
	assert_false(look_at_plain().quiet);
	sockets[1].unread_bytes = 0;
	assert_true(look_at_plain().quiet);
}

#define quiesce_test(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		quiesce_test(test_rest_is_quiet),
		quiesce_test(test_page_decides_first),
		quiesce_test(test_wait_event_closes_the_gap),
		quiesce_test(test_a_process_that_starts_a_program_is_busy),
		quiesce_test(test_a_session_with_a_signal_to_take_is_busy),
		quiesce_test(test_transaction_past_its_hold),
		quiesce_test(test_unread_input),
		quiesce_test(test_output_on_its_way_counts_for_five_seconds),
		quiesce_test(test_login_is_busy_once_the_client_has_spoken),
		quiesce_test(test_connections_that_a_session_opened),
		quiesce_test(test_connections_that_a_worker_opened),
		quiesce_test(test_inner_client_by_loopback),
		quiesce_test(test_unix_sessions),
		quiesce_test(test_walsender),
		quiesce_test(test_who_waits_to_be_accepted),
		quiesce_test(test_plain_sockets_decide),
		quiesce_test(test_plain_clients_count_where_connections_do),
		quiesce_test(test_plain_processes_talk_to_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
