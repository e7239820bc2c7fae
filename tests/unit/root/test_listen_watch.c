/*
 * How listening is noticed (needs root): real processes in a real control group, which listen on TCP ports of loopback
 * in a network namespace of the test's own; and what the watch tells of them, to a reader that comes early and to one
 * that comes late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/listen_watch.h"
#include "loop.h"
#include "root/fixture_janitor.h"

#define FIRST_PORT 4001

typedef struct Seen
{
	uint16_t ports[LISTEN_WATCH_MAX];
	size_t count;
	size_t wanted;
} Seen;

static CgroupHierarchy *hierarchy;
static struct event_base *loop;
static char group[64];

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
make_group(void **state)
{
	CgroupLimits none = {0};
	Error err = {0};

	(void) state;
	snprintf(group, sizeof(group), "%s/" JANITOR_GROUP_NAME, janitor_cgroup_prefix);
	if (cgroup_create(hierarchy, group, &none, &err) == 0)
		return 0;
	print_error("%s\n", err.message);
	return -1;
}

static int
remove_group(void **state)
{
	(void) state;
	janitor_remove_groups();
	return 0;
}

/* Listens on so many ports, IPv4 and IPv6 in turn, in the group or beside it, and ends. */
static void
listen_in_child(bool in_group, unsigned count)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
	{
		if (in_group && cgroup_attach(hierarchy, group, 0, NULL) < 0)
			_exit(1);
		for (unsigned i = 0; i < count; i++)
		{
			bool v6 = i % 2 == 1;
			struct sockaddr_in6 address6 = {
				.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) (FIRST_PORT + i)), .sin6_addr = in6addr_any};
			struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t) (FIRST_PORT + i))};
			int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

			if (bind(fd, v6 ? (struct sockaddr *) &address6 : (struct sockaddr *) &address4,
					 v6 ? sizeof(address6) : sizeof(address4)) < 0 ||
				listen(fd, 10) < 0 || close(fd) < 0)
				_exit(2);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void
note_ports(void *context, const uint16_t *ports, size_t count)
{
	Seen *seen = context;

	memcpy(seen->ports, ports, count * sizeof(*ports));
	seen->count = count;
}

static bool
has_seen_enough(void *context)
{
	const Seen *seen = context;

	return seen->count >= seen->wanted;
}

static void
assert_ports(const Seen *seen, size_t count)
{
	assert_int_equal(seen->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(seen->ports[i], FIRST_PORT + i);
}

static void
test_each_listen_is_told_in_order(void **state)
{
	Seen seen = {.wanted = 1};
	ListenWatch *watch;
	Error err = {0};

	(void) state;
	check(listen_watch_attach(hierarchy, group, &err), &err);
	check(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), &err);
	loop_run_ready(loop);
	assert_int_equal(seen.count, 0);
	listen_in_child(true, 1);
	assert_true(loop_run_until(loop, has_seen_enough, &seen));
	assert_ports(&seen, 1);
	/* The ring is not emptied, and still wakes its reader. */
	seen.count = 0;
	seen.wanted = 4;
	listen_in_child(true, 3);
	assert_true(loop_run_until(loop, has_seen_enough, &seen));
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.ports[0], FIRST_PORT);
	assert_int_equal(seen.ports[3], FIRST_PORT + 2);
	listen_watch_close(watch);
}

static void
test_a_reader_that_comes_late_misses_nothing(void **state)
{
	Seen seen = {.wanted = 5};
	ListenWatch *watch;
	Error err = {0};

	(void) state;
	check(listen_watch_attach(hierarchy, group, &err), &err);
	listen_in_child(true, 5);
	for (int i = 0; i < 2; i++)
	{
		seen.count = 0;
		check(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), &err);
		assert_true(loop_run_until(loop, has_seen_enough, &seen));
		assert_ports(&seen, 5);
		listen_watch_close(watch);
	}
}

static void
test_others_do_not_count(void **state)
{
	Seen seen = {.wanted = 1};
	ListenWatch *watch;
	Error err = {0};

	(void) state;
	check(listen_watch_attach(hierarchy, group, &err), &err);
	check(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), &err);
	listen_in_child(false, 3);
	listen_in_child(true, 1);
	assert_true(loop_run_until(loop, has_seen_enough, &seen));
	assert_ports(&seen, 1);
	listen_watch_close(watch);
}

static void
test_a_flood_fills_the_ring_and_harms_nobody(void **state)
{
	Seen seen = {.wanted = LISTEN_WATCH_MAX};
	ListenWatch *watch;
	Error err = {0};

	(void) state;
	check(listen_watch_attach(hierarchy, group, &err), &err);
	listen_in_child(true, LISTEN_WATCH_MAX + 50);
	check(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), &err);
	assert_true(loop_run_until(loop, has_seen_enough, &seen));
	assert_ports(&seen, LISTEN_WATCH_MAX);
	listen_watch_close(watch);
}

static void
test_detached_and_attached_anew(void **state)
{
	Seen seen = {.wanted = 1};
	ListenWatch *watch;
	Error err = {0};

	(void) state;
	assert_int_equal(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), -ENOENT);
	check(listen_watch_detach(hierarchy, group, &err), &err); /* none is there */
	check(listen_watch_attach(hierarchy, group, &err), &err);
	listen_in_child(true, 3);
	check(listen_watch_attach(hierarchy, group, &err), &err);
	listen_in_child(true, 1);
	check(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), &err);
	assert_true(loop_run_until(loop, has_seen_enough, &seen));
	assert_ports(&seen, 1);
	listen_watch_close(watch);
	check(listen_watch_detach(hierarchy, group, &err), &err);
	listen_in_child(true, 1);
	assert_int_equal(listen_watch_open(loop, hierarchy, group, note_ports, &seen, &watch, &err), -ENOENT);
	check(listen_watch_detach(hierarchy, "lttle-nobody/nothing", &err), &err);
}

#define with_group(test) cmocka_unit_test_setup_teardown(test, make_group, remove_group)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_group(test_each_listen_is_told_in_order), with_group(test_a_reader_that_comes_late_misses_nothing),
		with_group(test_others_do_not_count),		   with_group(test_a_flood_fills_the_ring_and_harms_nobody),
		with_group(test_detached_and_attached_anew),
	};
	Error err = {0};
	int failed;

	if (janitor_start("listen") < 0 || unshare(CLONE_NEWNET) < 0)
	{
		perror("set up");
		return 1;
	}
	alarm(300);
	if (cgroup_hierarchy_open("/sys/fs/cgroup", &hierarchy, &err) < 0)
	{
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	loop = event_base_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(loop);
	cgroup_hierarchy_free(hierarchy);
	return failed;
}
