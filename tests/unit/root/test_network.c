/*
 * A machine's network as the kernel makes it (needs root): namespace, links, addresses and routes are
 * there, TCP goes through at once and without ARP, leftovers of a killed run are replaced, and nothing stays.
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
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/network.h"
#include "host/network_wall.h"
#include "root/fixture_janitor.h"
#include "root/fixture_network.h"

static HostLayout layout = {.subnet_address = 0x0a630000 /* 10.99.0.0 */,
							.subnet_bits = 24,
							.subnet6_address = {0xfd, 0x6c},
							.subnet6_bits = 64};
static MachineNetwork network;
static const ExposurePlan nothing = {0};

static int
plan(void **state)
{
	(void) state;
	snprintf(layout.run_directory, sizeof(layout.run_directory), "%s/XXXXXX", janitor_directory);
	if (mkdtemp(layout.run_directory) == NULL)
		return -1;
	strcpy(layout.name_prefix, "lth");
	return network_plan(&layout, "ns.machine", 7, &network, NULL);
}

static int
clean(void **state)
{
	Error err = {0};

	(void) state;
	if (network_remove(&network, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return file_remove_tree(layout.run_directory, NULL);
}

static char *
run(const char *const argv[])
{
	char *output = NULL;
	Error err = {0};

	check(process_run(argv, 20000, &output, &err), &err);
	return output;
}

static void
assert_shell(const char *command, const char *expected)
{
	const char *const argv[] = {"sh", "-c", command, NULL};
	_cleanup_free_ char *output = run(argv);

	assert_string_equal(output, expected);
}

static int
enter(void)
{
	_cleanup_fd_ int fd = -1;

	return network_open_namespace(&network, &fd, NULL) < 0 ? -1 : setns(fd, CLONE_NEWNET);
}

static int
look_inside(void *context, Error *err)
{
	const char *path = context;
	const char *const argv[] = {"sh", "-c",
								"ip -4 -o addr show dev eth0 | sed 's/ \\+/ /g' | cut -d' ' -f4; ip route; "
								"ip -4 neigh | cut -d' ' -f1-3,6; cat /proc/sys/net/ipv4/tcp_ehash_entries; "
								"ip -o link show lo | grep -c LOWER_UP",
								NULL};
	_cleanup_free_ char *output = NULL;
	_cleanup_file_ FILE *file = NULL;
	int result;

	if (enter() < 0)
		return error_set_errno(err, errno, "setns");
	result = process_run(argv, 20000, &output, err);
	if (result < 0)
		return result;
	file = fopen(path, "we");
	return file == NULL || fputs(output, file) < 0 ? error_set_errno(err, EIO, "%s", path) : 0;
}

static void
test_what_is_made(void **state)
{
	_cleanup_free_ char *found = NULL;
	char path[300];
	char expected[600];
	char command[400];
	char address[16];
	char gateway[16];
	Error err = {0};

	(void) state;
	assert_false(network_exists(&network));
	check(network_create(&network, &err), &err);
	assert_true(network_exists(&network));
	network_format_address(network.address, address);
	network_format_address(network.gateway, gateway);

	snprintf(path, sizeof(path), "%s/found", layout.run_directory);
	check(process_run_function(look_inside, path, &err), &err);
	check(file_read(path, 4096, &found, NULL, &err), &err);
	snprintf(expected, sizeof(expected),
			 "%s/32\ndefault via %s dev eth0 proto static src %s \n%s dev eth0 proto static scope link src %s \n"
			 "%s dev eth0 PERMANENT\n512\n1\n",
			 address, gateway, address, gateway, address, gateway);
	assert_string_equal(found, expected);

	snprintf(command, sizeof(command), "ip route show dev %s", network.host_link);
	snprintf(expected, sizeof(expected), "%s proto static scope link src %s \n", address, gateway);
	assert_shell(command, expected);
	snprintf(command, sizeof(command), "ip -4 neigh show dev %s | grep -c 'lladdr .* PERMANENT'", network.host_link);
	assert_shell(command, "1\n");
}

/* Runs a command in the machine's namespace and compares what it prints. */
static int
compare_inside(void *context, Error *err)
{
	const char *const *command_and_expected = context;
	const char *const argv[] = {"sh", "-c", command_and_expected[0], NULL};
	_cleanup_free_ char *output = NULL;
	int result;

	if (enter() < 0)
		return error_set_errno(err, errno, "setns");
	result = process_run(argv, 20000, &output, err);
	if (result == 0 && strcmp(output, command_and_expected[1]) != 0)
		return error_set(err, -EBADMSG, "'%s' is not '%s'", output, command_and_expected[1]);
	return result;
}

static void
assert_inside(const char *command, const char *expected)
{
	const char *context[] = {command, expected};
	Error err = {0};

	check(process_run_function(compare_inside, context, &err), &err);
}

#define GATEWAY6 "fd6c::a63:1"
#define MACHINE	 "10.99.0.8"
#define MACHINE6 "fd6c::a63:8"

/* No address of its own making, nobody asked for a router, no neighbour ever looked for. */
static void
test_ipv6_is_made(void **state)
{
	char command[400];
	Error err = {0};

	(void) state;
	check(network_create(&network, &err), &err);
	assert_inside("ip -6 -o addr show dev eth0 | sed 's/ \\+/ /g' | cut -d' ' -f4,7; "
				  "ip -6 route show table main | sed 's/ pref .*//'; ip -6 neigh | cut -d' ' -f1-3,6; "
				  "cd /proc/sys/net/ipv6/conf/eth0 && cat accept_ra autoconf router_solicitations accept_dad",
				  MACHINE6 "/128 nodad\n" GATEWAY6 " dev eth0 proto static metric 1024\ndefault via " GATEWAY6
						   " dev eth0 proto static metric 1024\n" GATEWAY6 " dev eth0 PERMANENT\n0\n0\n0\n0\n");
	snprintf(command, sizeof(command),
			 "ip -6 -o addr show dev %s | sed 's/ \\+/ /g' | cut -d' ' -f4; ip -6 route show dev %s table main |"
			 " cut -d' ' -f1; ip -6 neigh show dev %s | grep -c 'lladdr .* PERMANENT'",
			 network.host_link, network.host_link, network.host_link);
	assert_shell(command, GATEWAY6 "/128\n" MACHINE6 "\n1\n");
}

static void
test_ipv6_goes_through(void **state)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(5432)};
	struct sockaddr_in6 peer = {0};
	socklen_t peer_length = sizeof(peer);
	_cleanup_fd_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int listener = -1;
	_cleanup_fd_ int client = -1;
	_cleanup_fd_ int server = -1;
	char text[INET6_ADDRSTRLEN];
	char buffer[8] = "";
	Error err = {0};

	(void) state;
	check(network_create(&network, &err), &err);
	assert_true(home >= 0);
	assert_int_equal(enter(), 0);
	listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(bind(listener, (struct sockaddr *) &name, sizeof(name)), 0);
	assert_int_equal(listen(listener, 5), 0);

	client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(&name.sin6_addr, network.address6, sizeof(name.sin6_addr));
	assert_int_equal(connect(client, (struct sockaddr *) &name, sizeof(name)), 0);
	server = accept4(listener, (struct sockaddr *) &peer, &peer_length, SOCK_CLOEXEC);
	assert_true(server >= 0);
	inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
	assert_string_equal(text, GATEWAY6);
	assert_int_equal(write(server, "ping", 4), 4);
	assert_int_equal(recv(client, buffer, 4, MSG_WAITALL), 4);
	assert_string_equal(buffer, "ping");
}

/* Whatever is to answer for a machine can be put there before anybody reaches it. */
static void
test_apart_until_it_is_connected(void **state)
{
	char command[300];
	Error err = {0};

	(void) state;
	check(network_guard_subnet(&layout, true, &err), &err);
	snprintf(command, sizeof(command),
			 "for a in " MACHINE " " MACHINE6 "; do ip route get $a 2>&1 | grep -c %s; done; :", network.host_link);
	check(network_create_apart(&network, &err), &err);
	assert_false(network_exists(&network));
	assert_shell(command, "0\n0\n");
	check(network_connect(&network, &err), &err);
	assert_true(network_exists(&network));
	assert_shell(command, "1\n1\n");
	check(network_guard_subnet(&layout, false, &err), &err);
}

static void
test_without_ipv6(void **state)
{
	HostLayout only_v4 = layout;
	char command[100];
	Error err = {0};

	(void) state;
	only_v4.subnet6_bits = 0;
	check(network_plan(&only_v4, "ns.machine", 7, &network, &err), &err);
	check(network_create(&network, &err), &err);
	assert_inside("cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip -6 addr show dev eth0", "1\n");
	snprintf(command, sizeof(command), "cat /proc/sys/net/ipv6/conf/%s/disable_ipv6", network.host_link);
	assert_shell(command, "1\n");
}

/* Refused here, not sent by the default route; a machine's own route is the longer one. Twice is no error. */
static void
test_guarded_subnets(void **state)
{
	Error err = {0};

	(void) state;
	assert_shell("ip link set lo up", "");
	for (int i = 0; i < 2; i++)
		check(network_guard_subnet(&layout, true, &err), &err);
	check(network_create(&network, &err), &err);
	assert_shell("ip route show type unreachable; ip -6 route show type unreachable | sed 's/ pref .*//'",
				 "unreachable 10.99.0.0/24 proto static scope link metric 4294967295 \n"
				 "unreachable fd6c::a63:0/120 dev lo proto static metric 4294967295\n");
	assert_shell("ip -6 route get " MACHINE6 " | grep -c ' dev lth7 '; ip -6 route get fd6c::a63:9 2>&1 | cut -d: -f2",
				 "1\n No route to host\n");
	for (int i = 0; i < 2; i++)
		check(network_guard_subnet(&layout, false, &err), &err);
	assert_shell("ip route show type unreachable; ip -6 route show type unreachable", "");
}

/* A connection right after the creation: a lost first packet would cost a second. */
static void
test_tcp_goes_through(void **state)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(5432)};
	struct sockaddr_in peer = {0};
	socklen_t peer_length = sizeof(peer);
	_cleanup_fd_ int home = -1;
	_cleanup_fd_ int listener = -1;
	_cleanup_fd_ int client = -1;
	_cleanup_fd_ int server = -1;
	char text[16];
	char expected[16];
	Error err = {0};

	(void) state;
	check(network_create(&network, &err), &err);
	/* A socket belongs to the namespace in which it was made. */
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(home >= 0);
	assert_int_equal(enter(), 0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(bind(listener, (struct sockaddr *) &name, sizeof(name)), 0);
	assert_int_equal(listen(listener, 5), 0);

	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	name.sin_addr.s_addr = htonl(network.address);
	assert_int_equal(connect(client, (struct sockaddr *) &name, sizeof(name)), 0);
	server = accept4(listener, (struct sockaddr *) &peer, &peer_length, SOCK_CLOEXEC);
	assert_true(server >= 0);
	network_format_address(ntohl(peer.sin_addr.s_addr), text);
	network_format_address(network.gateway, expected);
	assert_string_equal(text, expected);
	assert_int_equal(write(client, "ping", 4), 4);
	{
		char buffer[8] = "";

		assert_int_equal(recv(server, buffer, 4, MSG_WAITALL), 4);
		assert_string_equal(buffer, "ping");
	}
}

/* What a killed run left, complete or in parts, is replaced. */
static void
test_leftovers_are_replaced(void **state)
{
	struct stat before;
	struct stat after;
	Error err = {0};

	(void) state;
	check(network_create(&network, &err), &err);
	assert_int_equal(stat(network.pin_path, &before), 0);
	check(network_create(&network, &err), &err);
	assert_int_equal(stat(network.pin_path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_true(network_exists(&network));

	/* The link alone is gone. */
	{
		const char *const argv[] = {"ip", "link", "delete", network.host_link, NULL};

		check(process_run(argv, 20000, NULL, &err), &err);
	}
	assert_false(network_exists(&network));
	check(network_create(&network, &err), &err);
	assert_true(network_exists(&network));
}

static void
test_nothing_stays(void **state)
{
	int fd = -1;
	char *mounts = NULL;
	Error err = {0};

	(void) state;
	check(network_create(&network, &err), &err);
	check(network_open_namespace(&network, &fd, &err), &err);
	close(fd);
	check(network_remove(&network, &err), &err);
	check(network_remove(&network, &err), &err);
	assert_int_equal(if_nametoindex(network.host_link), 0);
	assert_int_equal(access(network.pin_path, F_OK), -1);
	assert_int_equal(network_open_namespace(&network, &fd, &err), -ENOENT);
	check(file_read("/proc/self/mountinfo", 16 * 1024 * 1024, &mounts, NULL, &err), &err);
	assert_null(strstr(mounts, layout.run_directory));
	free(mounts);
}

/* Several coordinators' networks and several machines live side by side, all with the same gateway address. */
static void
test_two_machines(void **state)
{
	MachineNetwork other;
	Error err = {0};

	(void) state;
	check(network_plan(&layout, "ns.other", 8, &other, &err), &err);
	check(network_create(&network, &err), &err);
	check(network_create(&other, &err), &err);
	assert_true(network_exists(&network));
	assert_true(network_exists(&other));
	check(network_remove(&other, &err), &err);
	assert_false(network_exists(&other));
	assert_true(network_exists(&network));
}

/* A failure half way gives back what was made: here the kernel refuses the host link's name. */
static void
test_failure_leaves_nothing(void **state)
{
	MachineNetwork broken = network;
	Error err = {0};

	(void) state;
	strcpy(broken.host_link, "a/b");
	assert_true(network_create(&broken, &err) < 0);
	assert_true(strlen(err.message) > 0);
	assert_int_equal(access(broken.pin_path, F_OK), -1);
}

/* ---- the wall ---- */

/* source: NULL, or an address that need not be the machine's own. */
static int
connect6_from(const MachineNetwork *machine, const unsigned char address[16], uint16_t port, const char *source)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in6 own = {.sin6_family = AF_INET6};
	struct timeval patience = {.tv_sec = 1};
	_cleanup_fd_ int fd = socket_in(machine, AF_INET6);
	int on = 1;

	memcpy(&name.sin6_addr, address, sizeof(name.sin6_addr));
	if (source != NULL)
	{
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)), 0);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
		assert_int_equal(inet_pton(AF_INET6, source, &own.sin6_addr), 1);
		assert_int_equal(bind(fd, (struct sockaddr *) &own, sizeof(own)), 0);
	}
	return connect(fd, (struct sockaddr *) &name, sizeof(name)) < 0 ? errno : 0;
}

/*
 * On a host that forwards, as one with other containers does, a machine reaches its neighbours and the host's services
 * unless the wall is there. The host and its clients reach the machines in either case.
 */
static void
test_wall(void **state)
{
	_cleanup_fd_ int neighbours = -1;
	_cleanup_fd_ int hosts = -1;
	_cleanup_fd_ int resolver = -1;
	MachineNetwork other;
	Error err = {0};

	(void) state;
	check(network_plan(&layout, "ns.other", 8, &other, &err), &err);
	check(network_create(&network, &err), &err);
	check(network_create(&other, &err), &err);
	check(file_write("/proc/sys/net/ipv4/ip_forward", "1", &err), &err);
	assert_shell("ip link set lo up", "");
	neighbours = listen_in(&other, 5432);
	hosts = listen_in(NULL, 7777);
	resolver = listen_in(NULL, 53);

	/* What it is for. */
	assert_int_equal(connect_from(&network, other.address, 5432), 0);
	assert_int_equal(connect_from(&network, network.gateway, 7777), 0);

	for (int again = 0; again < 2; again++)
	{
		check(network_wall_raise(&layout, &nothing, true, &err), &err);
		assert_int_equal(connect_from(&network, other.address, 5432), EHOSTUNREACH);
		assert_int_equal(connect_from(&network, network.gateway, 7777), ECONNREFUSED);
		assert_int_equal(connect_from(&network, network.gateway, 53), 0);
		assert_int_equal(connect_from(NULL, other.address, 5432), 0);
		assert_int_equal(connect_from(NULL, network.gateway, 7777), 0);
		assert_int_equal(connect_from(&other, other.address, 5432), 0);
	}
	for (int again = 0; again < 2; again++)
		check(network_wall_remove(&layout, &err), &err);
	assert_shell("nft list tables", "");
	assert_int_equal(connect_from(&network, other.address, 5432), 0);
	check(network_remove(&other, &err), &err);
}

/* As above; and a machine can send from an address that is not its own (IPV6_FREEBIND), which opens it nothing. */
static void
test_wall_of_ipv6(void **state)
{
	_cleanup_fd_ int neighbours = -1;
	_cleanup_fd_ int hosts = -1;
	_cleanup_fd_ int resolver = -1;
	MachineNetwork other;
	Error err = {0};

	(void) state;
	check(network_plan(&layout, "ns.other", 8, &other, &err), &err);
	check(network_create(&network, &err), &err);
	check(network_create(&other, &err), &err);
	check(file_write("/proc/sys/net/ipv6/conf/all/forwarding", "1", &err), &err);
	assert_shell("ip link set lo up", "");
	neighbours = listen_in(&other, 5432);
	hosts = listen_in(NULL, 7777);
	resolver = listen_in(NULL, 53);
	assert_int_equal(connect6_from(&network, other.address6, 5432, NULL), 0);
	assert_int_equal(connect6_from(&network, network.gateway6, 7777, NULL), 0);

	check(network_wall_raise(&layout, &nothing, true, &err), &err);
	assert_int_equal(connect6_from(&network, other.address6, 5432, NULL), EACCES);
	assert_int_equal(connect6_from(&network, other.address6, 5432, "fd99::1"), EINPROGRESS);
	assert_int_equal(connect6_from(&network, network.gateway6, 7777, NULL), ECONNREFUSED);
	assert_int_equal(connect6_from(&network, network.gateway6, 7777, "fd99::1"), EINPROGRESS);
	assert_int_equal(connect6_from(&network, network.gateway6, 53, NULL), 0);
	assert_int_equal(connect6_from(NULL, other.address6, 5432, NULL), 0);
	assert_int_equal(connect6_from(NULL, network.gateway6, 7777, NULL), 0);
	for (int again = 0; again < 2; again++)
		check(network_wall_remove(&layout, &err), &err);
	assert_shell("nft list tables", "");
	check(network_remove(&other, &err), &err);
	check(file_write("/proc/sys/net/ipv6/conf/all/forwarding", "0", &err), &err);
}

#define with_plan(test) cmocka_unit_test_setup_teardown(test, plan, clean)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_plan(test_what_is_made),
		with_plan(test_ipv6_is_made),
		with_plan(test_ipv6_goes_through),
		with_plan(test_without_ipv6),
		with_plan(test_apart_until_it_is_connected),
		with_plan(test_guarded_subnets),
		with_plan(test_tcp_goes_through),
		with_plan(test_leftovers_are_replaced),
		with_plan(test_nothing_stays),
		with_plan(test_two_machines),
		with_plan(test_failure_leaves_nothing),
		with_plan(test_wall),
		with_plan(test_wall_of_ipv6),
	};

	if (janitor_start("network") < 0)
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
