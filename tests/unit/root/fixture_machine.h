/*
 * A small machine for the tests of the host layer: a network namespace joined to the test's own by a veth pair, a
 * control group, and a server in both that behaves at its sockets as PostgreSQL's postmaster does (accept, fork, close;
 * a child reads messages and answers them, and ends at Terminate or the end of its connection).
 *
 * The test itself moves into a network namespace of its own first, so the host's links and addresses stay as they are.
 * Everything ends with the test's processes except the control group, which fixture_stop removes, or the janitor when
 * the test was killed.
 */
#ifndef TESTS_FIXTURE_MACHINE_H
#define TESTS_FIXTURE_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/cgroup.h"
#include "lttle/activity_page.h"
#include "fixture_janitor.h"

#define FIXTURE_PORT		5432
#define FIXTURE_ADDRESS		"10.99.0.2"
#define FIXTURE_LINK		"ltwhost"
#define FIXTURE_BACKLOG		64
#define FIXTURE_TIMEOUT_NS	(20 * NS_PER_SECOND)
#define FIXTURE_SLOTS		64
#define FIXTURE_CLIENT_READ 0x06000000u

typedef struct FixtureMachine
{
	CgroupHierarchy *cgroups;
	char prefix[32];
	char group[64];
	pid_t holder; /* keeps the namespace */
	int namespace_fd;
	pid_t server; /* the postmaster; 0: none */
} FixtureMachine;

static FixtureMachine fixture = {.namespace_fd = -1};

static inline void
fixture_check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

/* Runs a command of the test's set-up. */
static inline void
fixture_shell(const char *command)
{
	int status = system(command);

	if (status != 0)
		fail_msg("'%s' ended with status %d", command, status);
}

/* Polls until the condition holds; fails with its text after the deadline. */
#define fixture_await(condition)                                                                                       \
	do                                                                                                                 \
	{                                                                                                                  \
		uint64_t deadline_ns_ = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;                                             \
		while (!(condition))                                                                                           \
		{                                                                                                              \
			if (clock_monotonic_ns() > deadline_ns_)                                                                   \
				fail_msg("never true: %s", #condition);                                                                \
			poll(NULL, 0, 1);                                                                                          \
		}                                                                                                              \
	} while (0)

/* Moves the test into a network namespace of its own and makes the machine's beside it. Once in a test program. */
static inline void
fixture_network_start(void)
{
	char command[256];
	char path[64];
	int ready[2];
	char byte;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fixture_shell("ip link set lo up");
	/* As a machine's namespace has it. */
	fixture_shell("echo 512 >/proc/sys/net/ipv4/tcp_child_ehash_entries");
	assert_int_equal(pipe(ready), 0);
	fixture.holder = fork();
	assert_true(fixture.holder >= 0);
	if (fixture.holder == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		close(ready[0]);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int) fixture.holder);
	fixture.namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fixture.namespace_fd >= 0);
	snprintf(command, sizeof(command),
			 "ip link add " FIXTURE_LINK " type veth peer name eth0 netns %d && "
			 "ip address add 10.99.0.1/24 dev " FIXTURE_LINK " && ip link set " FIXTURE_LINK " up",
			 (int) fixture.holder);
	fixture_shell(command);
	snprintf(command, sizeof(command),
			 "nsenter -t %d -n sh -c 'ip address add " FIXTURE_ADDRESS "/24 dev eth0; ip link set eth0 up; "
			 "ip link set lo up; ip -6 address add fd99::2/64 dev eth0 nodad'",
			 (int) fixture.holder);
	fixture_shell(command);
	fixture_shell("ip -6 address add fd99::1/64 dev " FIXTURE_LINK " nodad");
}

/* Ends what is in a group and removes it; the kernel takes a moment to let ended processes go. */
static inline void
fixture_remove_group(const char *group)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	Error err = {0};

	if (cgroup_kill(fixture.cgroups, group, &err) < 0)
		print_error("%s\n", err.message);
	while (cgroup_remove(fixture.cgroups, group, &err) < 0)
	{
		if (clock_monotonic_ns() > deadline_ns)
		{
			print_error("%s\n", err.message);
			return;
		}
		poll(NULL, 0, 2);
	}
}

static inline int
fixture_group_start(void)
{
	CgroupLimits none = {0};
	Error err = {0};

	snprintf(fixture.prefix, sizeof(fixture.prefix), "%s", janitor_cgroup_prefix);
	snprintf(fixture.group, sizeof(fixture.group), "%s/" JANITOR_GROUP_NAME, fixture.prefix);
	if (cgroup_hierarchy_open("/sys/fs/cgroup", &fixture.cgroups, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	if (cgroup_create(fixture.cgroups, fixture.group, &none, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

/* ---- the server ---- */

/* The server shares its ports (SO_REUSEPORT), as one that was restored from a snapshot does. */
static bool fixture_shares_ports;

/* Whose the server is; 0: root. */
static uid_t fixture_server_uid;

static inline int
fixture_listen(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(FIXTURE_PORT)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(FIXTURE_PORT)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		_exit(90);
	if (fixture_shares_ports && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		_exit(95);
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		_exit(91);
	if (bind(fd, family == AF_INET ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6,
			 family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0 ||
		listen(fd, FIXTURE_BACKLOG) < 0)
		_exit(92);
	return fd;
}

/* The activity page that the backends write, when a test wants one; set up before the server is started. */
typedef struct FixturePage
{
	LttleActivityHeader header;
	LttleActivitySlot slots[FIXTURE_SLOTS];
	_Atomic uint32_t taken; /* behind the page's end, as far as a reader knows */
} FixturePage;

static FixturePage *fixture_page;

/* What a backend of PostgreSQL keeps in my_wait_event_info. */
static volatile uint32_t fixture_wait_event;

/* Creates the page's file and maps it. */
static inline void
fixture_page_start(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(FixturePage)), 0);
	fixture_page = mmap(NULL, sizeof(FixturePage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(fixture_page != MAP_FAILED);
	close(fd);
	fixture_page->header = (LttleActivityHeader){
		.magic = LTTLE_ACTIVITY_MAGIC,
		.version = LTTLE_ACTIVITY_VERSION,
		.header_size = sizeof(LttleActivityHeader),
		.slot_size = sizeof(LttleActivitySlot),
		.slot_count = FIXTURE_SLOTS,
		.client_read_event = FIXTURE_CLIENT_READ,
		.transaction_hold_ms = 60000,
	};
}

static inline LttleActivitySlot *
fixture_take_slot(void)
{
	LttleActivitySlot *slot;

	if (fixture_page == NULL)
		return NULL;
	slot = &fixture_page->slots[atomic_fetch_add(&fixture_page->taken, 1) % FIXTURE_SLOTS];
	slot->kind = LTTLE_KIND_CLIENT;
	slot->wait_event_address = (uint64_t) (uintptr_t) &fixture_wait_event;
	slot->since_ns = clock_monotonic_ns();
	slot->pid = (uint32_t) getpid();
	return slot;
}

/*
 * A backend: answers every message with "ok", ends at Terminate and at the end of its connection. A message that begins
 * with 'B' keeps it in a statement for good, one with 'W' off its wait without a word on the page, as between a message
 * and the first hook; neither is answered. Its slot is taken when the first message has come: that was the login.
 */
static inline void
fixture_serve(int fd)
{
	LttleActivitySlot *slot = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
	{
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		char bytes[64];
		ssize_t got;

		/* As PostgreSQL does it: the wait event is over before a byte is taken off the socket. */
		fixture_wait_event = FIXTURE_CLIENT_READ;
		poll(&poll_fd, 1, -1);
		fixture_wait_event = 0;
		got = read(fd, bytes, sizeof(bytes));
		if (got <= 0 || bytes[0] == 'X')
			_exit(0);
		if (slot == NULL)
			slot = fixture_take_slot();
		if (slot != NULL)
			slot->state = bytes[0] == 'B' ? LTTLE_STATE_ACTIVE : LTTLE_STATE_IDLE;
		while (bytes[0] == 'B' || bytes[0] == 'W')
			pause();
		if (write(fd, "ok", 2) != 2)
			_exit(0);
		if (slot != NULL)
		{
			slot->since_ns = clock_monotonic_ns();
			slot->statements++;
		}
	}
}

static inline void
fixture_postmaster(int ready_fd)
{
	struct pollfd listeners[2];

	signal(SIGCHLD, SIG_IGN);
	if (setns(fixture.namespace_fd, CLONE_NEWNET) < 0 ||
		cgroup_attach(fixture.cgroups, fixture.group, getpid(), NULL) < 0)
		_exit(93);
	if (fixture_server_uid != 0 && setresuid(fixture_server_uid, fixture_server_uid, fixture_server_uid) < 0)
		_exit(96);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten with the change of user */
	listeners[0] = (struct pollfd){.fd = fixture_listen(AF_INET), .events = POLLIN};
	listeners[1] = (struct pollfd){.fd = fixture_listen(AF_INET6), .events = POLLIN};
	if (write(ready_fd, "r", 1) != 1)
		_exit(94);
	close(ready_fd);
	for (;;)
	{
		poll(listeners, 2, -1);
		for (int i = 0; i < 2; i++)
		{
			int fd = listeners[i].revents & POLLIN ? accept(listeners[i].fd, NULL, NULL) : -1;

			if (fd < 0)
				continue;
			if (fork() == 0)
			{
				close(listeners[0].fd);
				close(listeners[1].fd);
				fixture_serve(fd);
			}
			close(fd);
		}
	}
}

static inline void
fixture_server_start(void)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	fixture.server = fork();
	assert_true(fixture.server >= 0);
	if (fixture.server == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		fixture_postmaster(ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static inline bool
fixture_is_frozen(void)
{
	int fd = -1;
	bool frozen = false;
	bool populated = false;

	if (cgroup_open_events(fixture.cgroups, fixture.group, &fd, NULL) < 0)
		return false;
	if (cgroup_read_events(fd, &frozen, &populated, NULL) < 0)
		frozen = false;
	close(fd);
	return frozen;
}

static inline bool
fixture_is_empty(void)
{
	int fd = -1;
	bool frozen = false;
	bool populated = true;

	if (cgroup_open_events(fixture.cgroups, fixture.group, &fd, NULL) < 0)
		return true;
	if (cgroup_read_events(fd, &frozen, &populated, NULL) < 0)
		populated = false;
	close(fd);
	return !populated;
}

static inline void
fixture_freeze(void)
{
	Error err = {0};

	fixture_check(cgroup_set_frozen(fixture.cgroups, fixture.group, true, &err), &err);
	fixture_await(fixture_is_frozen());
}

static inline void
fixture_thaw(void)
{
	Error err = {0};

	fixture_check(cgroup_set_frozen(fixture.cgroups, fixture.group, false, &err), &err);
}

static inline size_t
fixture_count_processes(void)
{
	pid_t *pids = NULL;
	size_t count = 0;

	if (cgroup_list_processes(fixture.cgroups, fixture.group, &pids, &count, NULL) < 0)
		return 0;
	free(pids);
	return count;
}

/* Ends the server. Works on a frozen group too, and after a test that failed in its middle. */
static inline void
fixture_server_stop(void)
{
	uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_TIMEOUT_NS;
	Error err = {0};

	if (cgroup_kill(fixture.cgroups, fixture.group, &err) < 0 ||
		cgroup_set_frozen(fixture.cgroups, fixture.group, false, &err) < 0)
		print_error("%s\n", err.message);
	if (fixture.server > 0)
		waitpid(fixture.server, NULL, 0);
	fixture.server = 0;
	while (!fixture_is_empty() && clock_monotonic_ns() < deadline_ns)
		poll(NULL, 0, 1);
}

static inline int
fixture_stop(void)
{
	Error err = {0};
	int result = 0;

	fixture_server_stop();
	if (cgroup_remove(fixture.cgroups, fixture.group, &err) < 0 ||
		cgroup_remove(fixture.cgroups, fixture.prefix, &err) < 0)
	{
		print_error("%s\n", err.message);
		result = -1;
	}
	cgroup_hierarchy_free(fixture.cgroups);
	if (fixture.namespace_fd >= 0)
		close(fixture.namespace_fd);
	if (fixture.holder > 0)
	{
		kill(fixture.holder, SIGKILL);
		waitpid(fixture.holder, NULL, 0);
	}
	return result;
}

/* ---- clients ---- */

static inline int
client_connect(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(FIXTURE_PORT)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	assert_true(fd >= 0);
	inet_pton(AF_INET, FIXTURE_ADDRESS, &address.sin_addr);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		fail_msg("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static inline int
client_connect_v6(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(FIXTURE_PORT)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET6, "fd99::2", &address.sin6_addr);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

static inline void
client_send(int fd, const void *bytes, size_t size)
{
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t) size);
}

/* Waits for bytes or the end of the connection. Returns what recv(2) does; -ETIMEDOUT at the deadline. */
static inline ssize_t
client_receive(int fd, void *bytes, size_t size)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	ssize_t got;

	if (poll(&poll_fd, 1, (int) (FIXTURE_TIMEOUT_NS / NS_PER_MS)) != 1)
		return -ETIMEDOUT;
	got = recv(fd, bytes, size, 0);
	return got < 0 ? -errno : got;
}

/* Asks and expects the answer. */
static inline void
client_ask(int fd)
{
	char answer[2];

	client_send(fd, "Q", 1);
	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	assert_memory_equal(answer, "ok", 2);
}

/* Closes with RST instead of FIN. */
static inline void
client_reset(int fd)
{
	struct linger abort_at_close = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof(abort_at_close));
	close(fd);
}

/* The local port, for comparing with what a knock says. */
static inline unsigned
client_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
	return ntohs(((struct sockaddr_in *) &address)->sin_port);
}

#endif
