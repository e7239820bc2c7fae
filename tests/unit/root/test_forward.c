/*
 * What passes to machines and between them, as the kernel does it (needs root): ports of the host from the loopback and
 * from outside, ports under another number, and services that are open to a namespace and to no other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/forward.h"
#include "host/forward_links.h"
#include "host/network.h"
#include "host/network_wall.h"
#include "host/port_owner.h"
#include "root/fixture_janitor.h"
#include "root/fixture_network.h"

#define LOOPBACK	0x7f000001
#define OUTSIDE		0xc0000201 /* 192.0.2.1, the host's */
#define SECOND_ADDR 0xc6336401 /* 198.51.100.1, the host's too */

/* Machines 0 and 1 are neighbours in one namespace, 2 is a stranger; 3 is the world outside of the host. */
#define MACHINES 4
enum
{
	SERVER,
	NEIGHBOUR,
	STRANGER,
	WORLD
};

static HostLayout layout = {.subnet_address = 0x0a630000 /* 10.99.0.0 */, .subnet_bits = 24};
static MachineNetwork networks[MACHINES];
static ExposedMachine machines[3];
static int server_fd = -1;

static void
shell(const char *command)
{
	const char *const argv[] = {"sh", "-c", command, NULL};
	Error err = {0};

	check(process_run(argv, 20000, NULL, &err), &err);
}

static int
setup(void **state)
{
	static const char *const namespaces[] = {"samples", "samples", "others"};
	HostLayout world = {.subnet_address = 0xc0000200, .subnet_bits = 24};
	Error err = {0};

	(void) state;
	snprintf(layout.run_directory, sizeof(layout.run_directory), "%s/XXXXXX", janitor_directory);
	if (mkdtemp(layout.run_directory) == NULL)
		return -1;
	strcpy(layout.name_prefix, "ltf");
	snprintf(world.run_directory, sizeof(world.run_directory), "%s", layout.run_directory);
	strcpy(world.name_prefix, "ltw");
	for (unsigned i = 0; i < 3; i++)
	{
		char name[20];

		snprintf(name, sizeof(name), "machine%u", i);
		check(network_plan(&layout, name, i + 1, &networks[i], &err), &err);
		check(network_create(&networks[i], &err), &err);
		snprintf(machines[i].name_space, sizeof(machines[i].name_space), "%s", namespaces[i]);
		memcpy(machines[i].link, networks[i].host_link, sizeof(machines[i].link));
		machines[i].address = networks[i].address;
	}
	/* Outside is another namespace at the end of a link, whose address of the host is 192.0.2.1. */
	check(network_plan(&world, "world", 1, &networks[WORLD], &err), &err);
	check(network_create(&networks[WORLD], &err), &err);
	shell("ip link set lo up; ip addr add 198.51.100.1/32 dev lo; echo 1 >/proc/sys/net/ipv4/ip_forward; "
		  "echo 0 >/proc/sys/net/ipv4/ip_forward");
	server_fd = listen_in(&networks[SERVER], 5432);
	return 0;
}

static int
clean(void **state)
{
	(void) state;
	close(server_fd);
	for (int i = 0; i < MACHINES; i++)
	{
		if (network_remove(&networks[i], NULL) < 0)
			return -1;
	}
	if (forward_apply(&layout, &(ExposurePlan){0}, NULL) < 0 ||
		forward_open_links(&layout, &(ExposurePlan){0}, NULL) < 0 || network_wall_remove(&layout, NULL) < 0)
		return -1;
	shell("test -z \"$(nft list tables)\"; ip addr del 198.51.100.1/32 dev lo");
	return file_remove_tree(layout.run_directory, NULL);
}

static Exposure
exposure_of_server(const char *name_space)
{
	Exposure exposure = {.address = networks[SERVER].address, .port = 5432};

	snprintf(exposure.name_space, sizeof(exposure.name_space), "%s", name_space);
	snprintf(exposure.name, sizeof(exposure.name), "access");
	return exposure;
}

static Exposure
forward_to_server(uint32_t host_address, uint16_t host_port)
{
	Exposure exposure = exposure_of_server("samples");

	exposure.is_external = true;
	exposure.protocol = EXPOSURE_TCP;
	exposure.host_address = host_address;
	exposure.host_port = host_port;
	return exposure;
}

static void
apply(Exposure *exposures, size_t count)
{
	ExposurePlan plan = {.machines = machines, .machine_count = 3, .exposures = exposures, .exposure_count = count};
	Error err = {0};

	check(network_wall_raise(&layout, &plan, forward_host_forwards(), &err), &err);
	check(forward_apply(&layout, &plan, &err), &err);
	check(forward_open_links(&layout, &plan, &err), &err);
}

static int
try_connect(const MachineNetwork *from, uint32_t address, uint16_t port)
{
	return connect_from(from, address, port);
}

static int
try_connect_within(const MachineNetwork *from, uint32_t address, uint16_t port, int seconds)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	struct timeval patience = {.tv_sec = seconds};
	_cleanup_fd_ int fd = socket_in(from, AF_INET);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	return connect(fd, (struct sockaddr *) &name, sizeof(name)) < 0 ? errno : 0;
}

/* Connects, and returns the address that the server sees its client under. */
static uint32_t
connect_and_see(const MachineNetwork *from, uint32_t address, uint16_t port, int *ret_client, int *ret_server)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	struct sockaddr_in6 peer = {0};
	socklen_t length = sizeof(peer);
	int client = socket_in(from, AF_INET);
	int server;
	uint32_t seen;

	if (connect(client, (struct sockaddr *) &name, sizeof(name)) < 0)
		fail_msg("connect: %s", strerror(errno));
	server = accept4(server_fd, (struct sockaddr *) &peer, &length, SOCK_CLOEXEC);
	assert_true(server >= 0);
	memcpy(&seen, peer.sin6_addr.s6_addr + 12, 4);
	*ret_client = client;
	*ret_server = server;
	return ntohl(seen);
}

static void
assert_they_talk(int client, int server)
{
	char buffer[8] = "";

	assert_int_equal(write(client, "ping", 4), 4);
	assert_int_equal(recv(server, buffer, 4, MSG_WAITALL), 4);
	assert_string_equal(buffer, "ping");
	assert_int_equal(write(server, "pong", 4), 4);
	assert_int_equal(recv(client, buffer, 4, MSG_WAITALL), 4);
	assert_string_equal(buffer, "pong");
}

static void
assert_reached(const MachineNetwork *from, uint32_t address, uint16_t port, uint32_t seen_as)
{
	_cleanup_fd_ int client = -1;
	_cleanup_fd_ int server = -1;

	assert_int_equal(connect_and_see(from, address, port, &client, &server), seen_as);
	assert_they_talk(client, server);
}

static void
test_a_port_of_the_loopback(void **state)
{
	Exposure exposures[] = {forward_to_server(LOOPBACK, 6000)};

	(void) state;
	apply(exposures, 1);
	assert_reached(NULL, LOOPBACK, 6000, networks[SERVER].gateway);
	assert_int_equal(try_connect(NULL, LOOPBACK, 6001), ECONNREFUSED);
	assert_int_equal(try_connect(NULL, OUTSIDE, 6000), ECONNREFUSED);
	/* It is the host's loopback alone, for whoever comes from elsewhere. */
	assert_int_equal(try_connect(&networks[WORLD], OUTSIDE, 6000), ECONNREFUSED);
	assert_int_equal(try_connect(&networks[NEIGHBOUR], networks[SERVER].gateway, 6000), ECONNREFUSED);
}

static void
test_a_port_of_an_outside_address(void **state)
{
	Exposure exposures[] = {forward_to_server(OUTSIDE, 6000)};

	(void) state;
	apply(exposures, 1);
	assert_reached(&networks[WORLD], OUTSIDE, 6000, networks[WORLD].address);
	assert_reached(NULL, OUTSIDE, 6000, OUTSIDE);
	assert_int_equal(try_connect(NULL, SECOND_ADDR, 6000), ECONNREFUSED);
	assert_int_equal(try_connect(&networks[WORLD], OUTSIDE, 5432), ECONNREFUSED);
	/* Whoever knows the machine's address does not get there past the port. */
	assert_int_equal(try_connect(&networks[WORLD], networks[SERVER].address, 5432), EHOSTUNREACH);
}

static void
test_every_address(void **state)
{
	Exposure exposures[] = {forward_to_server(0, 6000)};

	(void) state;
	apply(exposures, 1);
	assert_reached(&networks[WORLD], OUTSIDE, 6000, networks[WORLD].address);
	assert_reached(NULL, LOOPBACK, 6000, networks[SERVER].gateway);
	assert_reached(NULL, SECOND_ADDR, 6000, SECOND_ADDR);
}

/* The link that carries the bound address forwards for as long as that is needed, to machines and to nobody else. */
static void
test_the_host_becomes_no_router(void **state)
{
	Exposure exposures[] = {forward_to_server(OUTSIDE, 6000)};
	_cleanup_fd_ int listener = listen_in(&networks[WORLD], 7000);

	(void) state;
	shell("test $(cat /proc/sys/net/ipv4/conf/ltw1/forwarding) = 0");
	apply(exposures, 1);
	shell("test $(cat /proc/sys/net/ipv4/conf/ltw1/forwarding) = 1; test $(cat /proc/sys/net/ipv4/ip_forward) = 0; "
		  "nft list table ip ltf_outside | grep -q 'ip daddr != 10.99.0.0/24 drop'");
	/* A machine still reaches nobody outside. */
	assert_int_equal(try_connect(&networks[SERVER], networks[WORLD].address, 7000), EHOSTUNREACH);
	apply(exposures, 0);
	shell("test $(cat /proc/sys/net/ipv4/conf/ltw1/forwarding) = 0; ! nft list table ip ltf_outside 2>/dev/null");
}

static void
test_another_number(void **state)
{
	Exposure exposures[] = {exposure_of_server("samples")};

	(void) state;
	exposures[0].internal_port = 80;
	apply(exposures, 1);
	assert_reached(NULL, networks[SERVER].address, 80, networks[SERVER].gateway);
	assert_reached(NULL, networks[SERVER].address, 5432, networks[SERVER].gateway);
	assert_reached(&networks[NEIGHBOUR], networks[SERVER].address, 80, networks[NEIGHBOUR].address);
	assert_int_equal(try_connect(&networks[STRANGER], networks[SERVER].address, 80), EHOSTUNREACH);
	/* Also where the host forwards from outside. */
	shell("echo 1 >/proc/sys/net/ipv4/conf/ltw1/forwarding");
	assert_int_equal(try_connect(&networks[WORLD], networks[SERVER].address, 80), EHOSTUNREACH);
}

static void
test_services_are_open_to_their_namespace(void **state)
{
	Exposure exposures[] = {exposure_of_server("samples"), exposure_of_server("others")};
	_cleanup_fd_ int not_exposed = listen_in(&networks[SERVER], 5433);

	(void) state;
	apply(exposures, 0);
	assert_int_equal(try_connect(&networks[NEIGHBOUR], networks[SERVER].address, 5432), EHOSTUNREACH);
	apply(exposures, 1);
	assert_reached(&networks[NEIGHBOUR], networks[SERVER].address, 5432, networks[NEIGHBOUR].address);
	assert_int_equal(try_connect(&networks[STRANGER], networks[SERVER].address, 5432), EHOSTUNREACH);
	assert_int_equal(try_connect(&networks[NEIGHBOUR], networks[SERVER].address, 5433), EHOSTUNREACH);
	/* A service of the other namespace that leads here opens it there as well. */
	apply(exposures, 2);
	assert_reached(&networks[STRANGER], networks[SERVER].address, 5432, networks[STRANGER].address);
}

/* A machine's own port of the host does not lead around the wall. */
static void
test_a_port_of_the_host_opens_no_namespace(void **state)
{
	Exposure exposures[] = {forward_to_server(OUTSIDE, 6000)};

	(void) state;
	apply(exposures, 1);
	assert_int_equal(try_connect(&networks[STRANGER], OUTSIDE, 6000), EHOSTUNREACH);
	assert_reached(&networks[NEIGHBOUR], OUTSIDE, 6000, networks[NEIGHBOUR].address);
}

static void
test_connections_outlive_a_change(void **state)
{
	Exposure exposures[] = {forward_to_server(LOOPBACK, 6000), forward_to_server(LOOPBACK, 6001)};
	_cleanup_fd_ int client = -1;
	_cleanup_fd_ int server = -1;

	(void) state;
	apply(exposures, 1);
	connect_and_see(NULL, LOOPBACK, 6000, &client, &server);
	apply(exposures, 2);
	assert_they_talk(client, server);
	apply(exposures + 1, 1);
	assert_they_talk(client, server);
	assert_int_equal(try_connect(NULL, LOOPBACK, 6000), ECONNREFUSED);
	assert_reached(NULL, LOOPBACK, 6001, networks[SERVER].gateway);
}

/* The link accepts loopback addresses for the answers to a client there; from the machine itself nothing may use it. */
static void
test_the_hosts_loopback_stays_closed_to_machines(void **state)
{
	Exposure exposures[] = {forward_to_server(LOOPBACK, 6000)};
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(7777), .sin_addr.s_addr = htonl(LOOPBACK)};
	struct timeval patience = {.tv_sec = 1};
	_cleanup_fd_ int hosts = listen_in(NULL, 7777);
	_cleanup_fd_ int fd = socket_in(&networks[SERVER], AF_INET);

	(void) state;
	apply(exposures, 1);
	shell("test $(cat /proc/sys/net/ipv4/conf/ltf1/route_localnet) = 1; "
		  "test $(cat /proc/sys/net/ipv4/conf/ltf2/route_localnet) = 0");
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &name, sizeof(name)), -1);
	assert_true(errno == EINPROGRESS || errno == EINVAL || errno == ENETUNREACH || errno == EHOSTUNREACH);
}

/* What listens on the gateway's address is for machines and the host; others have no route there, but could make one.
 */
static void
test_the_resolvers_port_is_closed_to_the_outside(void **state)
{
	_cleanup_fd_ int resolver = -1;

	(void) state;
	check(network_hold_gateway(&layout, true, NULL), &(Error){0});
	resolver = listen_in(NULL, 53);
	assert_int_equal(try_connect_within(&networks[WORLD], networks[SERVER].gateway, 53, 1), 0);
	apply(NULL, 0);
	assert_int_equal(try_connect_within(&networks[WORLD], networks[SERVER].gateway, 53, 1), EINPROGRESS);
	assert_int_equal(try_connect(&networks[STRANGER], networks[SERVER].gateway, 53), 0);
	assert_int_equal(try_connect(NULL, networks[SERVER].gateway, 53), 0);
	/* There is nothing else for machines at this address, and no other address of the host has a resolver for them. */
	assert_int_equal(try_connect(&networks[STRANGER], OUTSIDE, 53), ECONNREFUSED);
	check(network_hold_gateway(&layout, false, NULL), &(Error){0});
}

static void
test_who_listens(void **state)
{
	_cleanup_fd_ int everywhere = listen_in(NULL, 7777);
	char expected[64];
	char owner[PORT_OWNER_BYTES] = "";
	Error err = {0};

	(void) state;
	snprintf(expected, sizeof(expected), "test_forward (pid %d)", getpid());
	assert_int_equal(port_find_owner(LOOPBACK, 7777, 0, owner, &err), 1);
	assert_string_equal(owner, expected);
	assert_int_equal(port_find_owner(0, 7777, 0, owner, &err), 1);
	assert_int_equal(port_find_owner(LOOPBACK, 7778, 0, owner, &err), 0);
	assert_int_equal(port_find_owner(LOOPBACK, 7777, getpid(), owner, &err), 0);
}

#define with_machines(test) cmocka_unit_test_setup_teardown(test, setup, clean)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_machines(test_a_port_of_the_loopback),
		with_machines(test_a_port_of_an_outside_address),
		with_machines(test_every_address),
		with_machines(test_the_host_becomes_no_router),
		with_machines(test_another_number),
		with_machines(test_services_are_open_to_their_namespace),
		with_machines(test_a_port_of_the_host_opens_no_namespace),
		with_machines(test_connections_outlive_a_change),
		with_machines(test_the_hosts_loopback_stays_closed_to_machines),
		with_machines(test_the_resolvers_port_is_closed_to_the_outside),
		with_machines(test_who_listens),
	};

	if (janitor_start("forward") < 0)
	{
		perror("janitor");
		return 1;
	}
	/* The "host" is a network and a mount namespace of the test: nothing of it outlives the test, however it ends. */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
	{
		perror("unshare");
		return 1;
	}
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
