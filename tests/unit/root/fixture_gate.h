/*
 * A gate around the test machine of fixture_machine.h: closing it over the frozen server, taking the server away and
 * bringing it back as a dump and a restore do, and waiting for a knock. Sessions are carried over by TCP_REPAIR, as
 * CRIU carries them.
 */
#ifndef TESTS_FIXTURE_GATE_H
#define TESTS_FIXTURE_GATE_H

#include "fixture_machine.h"

#include <event2/event.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "host/gate.h"
#include "host/sockets.h"

#ifndef TCP_REPAIR_OFF_NO_WP
#define TCP_REPAIR_OFF_NO_WP -1
#endif

#define GATE_MAX_CARRIED 16

/* What of a session a restore needs. */
typedef struct CarriedSession
{
	struct sockaddr_storage local;
	struct sockaddr_storage peer;
	unsigned sequences[2]; /* by queue: TCP_SEND_QUEUE, TCP_RECV_QUEUE */
	int mss;
	unsigned stamp;
	struct tcp_repair_window window;
	struct tcp_info info;
} CarriedSession;

static struct event_base *gate_loop;
static DoorKeeper *gate_keeper;
static Gate *gate;
static GatePlan gate_plan;
static unsigned gate_knocks;
static DoorKnock gate_last_knock;
static CarriedSession gate_carried[GATE_MAX_CARRIED];
static size_t gate_carried_count;

static inline void
gate_note_knock(void *context, const DoorKnock *knock)
{
	(void) context;
	gate_knocks++;
	gate_last_knock = *knock;
}

static inline void
gate_run_loop(int milliseconds)
{
	struct timeval wait = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(gate_loop, &wait);
	event_base_dispatch(gate_loop);
}

/* kind: NULL: any; port: the client's, 0: any. */
static inline void
gate_expect_knock(const char *kind, unsigned port)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	char suffix[16];

	while (gate_knocks == 0 && clock_monotonic_ns() < deadline_ns)
		gate_run_loop(1);
	assert_int_equal(gate_knocks, 1);
	if (kind != NULL)
		assert_string_equal(gate_last_knock.kind, kind);
	if (port == 0)
		return;
	snprintf(suffix, sizeof(suffix), ":%u", port);
	assert_true(strlen(gate_last_knock.peer) > strlen(suffix));
	assert_string_equal(gate_last_knock.peer + strlen(gate_last_knock.peer) - strlen(suffix), suffix);
}

/* Nobody knocks for a while. That the gate still listens is proven by the caller, who lets somebody knock later. */
static inline void
gate_expect_silence(int milliseconds)
{
	gate_run_loop(milliseconds);
	assert_int_equal(gate_knocks, 0);
}

static inline void
gate_collect(SocketSet *ret_sockets)
{
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};

	fixture_check(cgroup_list_processes(fixture.cgroups, fixture.group, &pids, &count, &err), &err);
	fixture_check(socket_set_collect(pids, count, ret_sockets, &err), &err);
	free(pids);
}

static inline void
gate_close_with(const GatePlan *plan, const SocketSet *sockets)
{
	GateSpec spec = {
		.loop = gate_loop,
		.keeper = gate_keeper,
		.namespace_fd = fixture.namespace_fd,
		.host_link = FIXTURE_LINK,
		.plan = plan,
		.server_uid = fixture_server_uid,
		.server_gid = fixture_server_uid,
		.knocked = gate_note_knock,
	};
	Error err = {0};

	gate_knocks = 0;
	fixture_check(gate_close(&spec, sockets, &gate, &err), &err);
}

/* Freezes the server and closes the gate over it. */
static inline void
gate_freeze_and_close(void)
{
	SocketSet sockets = {0};
	Error err = {0};

	fixture_freeze();
	gate_collect(&sockets);
	gate_plan_clear(&gate_plan);
	fixture_check(gate_plan_from_sockets(&sockets, &gate_plan, &err), &err);
	gate_close_with(&gate_plan, &sockets);
	socket_set_clear(&sockets);
}

static inline void
gate_open_again(void)
{
	Gate *closed = gate;
	Error err = {0};

	gate = NULL;
	fixture_check(gate_open(closed, &err), &err);
}

static inline int
gate_repair_option(int fd, int option, int value)
{
	return setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
}

/* "Dump": notes what the sessions are, as CRIU does, and leaves the frozen server's sockets as they are. */
static inline void
gate_carry_sessions(void)
{
	SocketSet sockets = {0};

	gate_collect(&sockets);
	gate_carried_count = 0;
	for (size_t i = 0; i < sockets.count; i++)
	{
		const MachineSocket *socket = &sockets.sockets[i];
		CarriedSession *session = &gate_carried[gate_carried_count];
		socklen_t size = sizeof(session->local);

		if (socket->kind != SOCKET_CONNECTION)
			continue;
		assert_true(gate_carried_count < GATE_MAX_CARRIED);
		session->peer = socket->peer;
		assert_int_equal(getsockname(socket->fd, (struct sockaddr *) &session->local, &size), 0);
		size = sizeof(session->info);
		assert_int_equal(getsockopt(socket->fd, IPPROTO_TCP, TCP_INFO, &session->info, &size), 0);
		assert_int_equal(gate_repair_option(socket->fd, TCP_REPAIR, 1), 0);
		for (int queue = TCP_RECV_QUEUE; queue <= TCP_SEND_QUEUE; queue++)
		{
			size = sizeof(unsigned);
			assert_int_equal(gate_repair_option(socket->fd, TCP_REPAIR_QUEUE, queue), 0);
			assert_int_equal(
				getsockopt(socket->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &session->sequences[queue - TCP_RECV_QUEUE], &size),
				0);
		}
		size = sizeof(session->window);
		assert_int_equal(getsockopt(socket->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &session->window, &size), 0);
		size = sizeof(int);
		assert_int_equal(getsockopt(socket->fd, IPPROTO_TCP, TCP_MAXSEG, &session->mss, &size), 0);
		assert_int_equal(getsockopt(socket->fd, IPPROTO_TCP, TCP_TIMESTAMP, &session->stamp, &size), 0);
		assert_int_equal(gate_repair_option(socket->fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP), 0);
		gate_carried_count++;
	}
	socket_set_clear(&sockets);
}

/* "Evict": ends the frozen server, whose sockets send FINs that nobody gets, and clears what is left of them. */
static inline void
gate_evict(void)
{
	Error err = {0};

	fixture_server_stop();
	fixture_check(gate_clear_sockets(gate, &err), &err);
}

/* In the machine: makes a session's socket anew and serves it. */
static inline void
gate_revive_session(const CarriedSession *session, int ready_fd)
{
	const struct tcp_info *info = &session->info;
	bool stamps = (info->tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
	struct tcp_repair_opt options[] = {
		{.opt_code = 2 /* MSS */, .opt_val = (unsigned) session->mss},
		{.opt_code = 3 /* window scale */, .opt_val = (unsigned) (info->tcpi_snd_wscale | info->tcpi_rcv_wscale << 16)},
		{.opt_code = 4 /* SACK */},
		{.opt_code = 8 /* time stamps */},
	};
	socklen_t size = session->local.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int fd = socket(session->local.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0 || gate_repair_option(fd, TCP_REPAIR, 1) < 0)
		_exit(80);
	for (int queue = TCP_RECV_QUEUE; queue <= TCP_SEND_QUEUE; queue++)
	{
		if (gate_repair_option(fd, TCP_REPAIR_QUEUE, queue) < 0 ||
			gate_repair_option(fd, TCP_QUEUE_SEQ, (int) session->sequences[queue - TCP_RECV_QUEUE]) < 0)
			_exit(81);
	}
	if (bind(fd, (const struct sockaddr *) &session->local, size) < 0)
		_exit(82);
	if (connect(fd, (const struct sockaddr *) &session->peer, size) < 0)
		_exit(83);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, (socklen_t) ((stamps ? 4 : 3) * sizeof(options[0]))) <
			0 ||
		(stamps && gate_repair_option(fd, TCP_TIMESTAMP, (int) session->stamp) < 0) ||
		setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &session->window, sizeof(session->window)) < 0 ||
		gate_repair_option(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP) < 0)
		_exit(84);
	/* Leaving repair mode forgets it, and the listeners could not be bound beside the session. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		_exit(85);
	if (fork() == 0)
	{
		close(ready_fd);
		fixture_serve(fd);
	}
	close(fd);
}

/* The test's clients are none of the server's: a client's end would not be one while a copy of its socket is open. */
static inline void
gate_close_others(int ready_fd)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && fd != ready_fd && fd != fixture.namespace_fd && fd != dirfd(directory))
			close(fd);
	}
	if (directory == NULL || closedir(directory) < 0)
		_exit(78);
}

/* "Restore": a server on the same ports, and the carried sessions in it. */
static inline void
gate_restore(void)
{
	int ready[2];
	char byte;

	fixture_shares_ports = true;
	assert_int_equal(pipe(ready), 0);
	fixture.server = fork();
	assert_true(fixture.server >= 0);
	if (fixture.server == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		gate_close_others(ready[1]);
		if (setns(fixture.namespace_fd, CLONE_NEWNET) < 0 ||
			cgroup_attach(fixture.cgroups, fixture.group, getpid(), NULL) < 0)
			_exit(79);
		for (size_t i = 0; i < gate_carried_count; i++)
			gate_revive_session(&gate_carried[i], ready[1]);
		fixture_postmaster(ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
	{
		int status = 0;

		waitpid(fixture.server, &status, 0);
		fixture.server = 0;
		fail_msg("the restored server ended with status %d", WEXITSTATUS(status));
	}
	close(ready[0]);
	gate_carried_count = 0;
}

static inline void
gate_wake(void)
{
	gate_restore();
	gate_open_again();
}

/* Bytes that a client has sent and the machine has not acknowledged. */
static inline int
client_unacknowledged(int fd)
{
	int bytes = -1;

	assert_int_equal(ioctl(fd, SIOCOUTQ, &bytes), 0);
	return bytes;
}

/* How often the client's kernel has sent anything again. */
static inline unsigned
client_retransmissions(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_total_retrans;
}

/* From running to disk. */
static inline void
gate_fall_to_disk(void)
{
	gate_freeze_and_close();
	gate_carry_sessions();
	gate_evict();
}

/* The answer to what a client asked while the machine slept, and to one more question. Closes. */
static inline void
gate_expect_served(int fd)
{
	char answer[2];

	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	assert_memory_equal(answer, "ok", 2);
	client_ask(fd);
	close(fd);
}

/* The client is told that its session is over, though it sends nothing; it is closed then. */
static inline void
gate_expect_reset(int fd)
{
	struct pollfd told = {.fd = fd, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&told, 1, 10000), 1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static inline double
gate_cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double) used.tv_sec * 1e3 + (double) used.tv_nsec / 1e6;
}

static inline int
gate_setup(void **state)
{
	(void) state;
	gate_carried_count = 0;
	fixture_shares_ports = false;
	fixture_server_uid = 0;
	fixture_server_start();
	return 0;
}

static inline int
gate_teardown(void **state)
{
	(void) state;
	gate_free(gate);
	gate = NULL;
	gate_plan_clear(&gate_plan);
	fixture_server_stop();
	return 0;
}

static inline int
gate_group_setup(void **state)
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
	gate_loop = event_base_new();
	if (gate_loop == NULL || door_keeper_new(gate_loop, &gate_keeper, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static inline int
gate_group_teardown(void **state)
{
	(void) state;
	door_keeper_free(gate_keeper);
	event_base_free(gate_loop);
	return fixture_stop();
}

#define gate_test(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)

/* A hang must not outlive the run. */
#define gate_run_tests(name, tests)                                                                                    \
	(alarm(300), janitor_start(name) < 0 ? 1 : cmocka_run_group_tests(tests, gate_group_setup, gate_group_teardown))

#endif
