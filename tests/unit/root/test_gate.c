/*
 * The gate of a machine on disk, with real sockets and a server that is really taken away (needs root): nobody is
 * refused, nobody is forgotten, and what is no client wakes nobody.
 */
#include "fixture_gate.h"

/* ---- new clients ---- */

static void
expect_served(int fd)
{
	char answer[2];

	assert_int_equal(client_receive(fd, answer, sizeof(answer)), 2);
	assert_memory_equal(answer, "ok", 2);
	client_ask(fd);
	close(fd);
}

static void
fall_to_disk(void)
{
	gate_freeze_and_close();
	gate_carry_sessions();
	gate_evict();
}

static void
test_new_client_is_handed_over(void **state)
{
	int fd;

	(void) state;
	fall_to_disk();
	fd = client_connect();
	gate_expect_silence(50);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	expect_served(fd);
}

static void
test_new_client_by_ipv6_is_handed_over(void **state)
{
	int fd;

	(void) state;
	fall_to_disk();
	fd = client_connect_v6();
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_CONNECTION, client_port(fd));
	gate_wake();
	expect_served(fd);
}

/* ---- open sessions ---- */

static void
test_session_survives_the_disk(void **state)
{
	int fd = client_connect();

	(void) state;
	client_ask(fd);
	fall_to_disk();
	gate_expect_silence(50);
	client_send(fd, "Q", 1);
	gate_expect_knock(DOOR_KNOCK_SESSION, client_port(fd));
	assert_int_equal(client_unacknowledged(fd), 1);
	gate_wake();
	expect_served(fd);
}

static int
setup(void **state)
{
	(void) state;
	gate_carried_count = 0;
	fixture_shares_ports = false;
	fixture_server_start();
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	gate_free(gate);
	gate = NULL;
	gate_plan_clear(&gate_plan);
	fixture_server_stop();
	return 0;
}

static int
group_setup(void **state)
{
	Error err = {0};

	(void) state;
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

static int
group_teardown(void **state)
{
	(void) state;
	door_keeper_free(gate_keeper);
	event_base_free(gate_loop);
	return fixture_stop();
}

#define gate_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		gate_test(test_new_client_is_handed_over),
		gate_test(test_new_client_by_ipv6_is_handed_over),
		gate_test(test_session_survives_the_disk),
	};

	/* A hang must not outlive the run. */
	alarm(300);
	if (janitor_start("gate") < 0)
		return 1;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
