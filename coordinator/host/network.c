/*
 * A machine's network; see network.h. The namespace and the machine's end are made by a forked child, which has moved
 * into the new namespace; the host's end is set up by the caller.
 *
 * The pin is a bind mount of the namespace in the host's own mount namespace. Another mount namespace that copied it
 * meanwhile keeps an empty network namespace alive at most: links are deleted by name, not left to the last unmount.
 */
#include "host/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/network_links.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

#define MACHINE_LINK "eth0"
/* A server without a capability may listen on any port of its own machine, as other runtimes of containers have it. */
#define FIRST_FREE_PORT_SYSCTL "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define CHILD_EHASH_SYSCTL	   "/proc/sys/net/ipv4/tcp_child_ehash_entries"
#define CHILD_EHASH_ENTRIES	   "512"
#define HARDWARE_MACHINE_SIDE  0x00
#define HARDWARE_HOST_SIDE	   0x01

void
network_format_address(uint32_t address, char text[16])
{
	snprintf(text, 16, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

void
network_format_address6(const MachineNetwork *network, char text[46])
{
	text[0] = '\0';
	if (network->has_ipv6)
		inet_ntop(AF_INET6, network->address6, text, 46);
}

bool
network_kernel_has_ipv6(void)
{
	return access("/proc/sys/net/ipv6/conf", F_OK) == 0;
}

static LinkAddress
address_v4(uint32_t address)
{
	LinkAddress result = {.family = AF_INET};
	uint32_t network_order = htonl(address);

	memcpy(result.bytes, &network_order, sizeof(network_order));
	return result;
}

static LinkAddress
address_v6(const unsigned char bytes[16])
{
	LinkAddress result = {.family = AF_INET6};

	memcpy(result.bytes, bytes, sizeof(result.bytes));
	return result;
}

/* The subnet's IPv6 address that goes with one of IPv4. */
static void
join_address6(const HostLayout *layout, uint32_t address, unsigned char ret_address6[16])
{
	uint32_t network_order = htonl(address);

	memcpy(ret_address6, layout->subnet6_address, 12);
	memcpy(ret_address6 + 12, &network_order, 4);
}

void
network_format_subnet6(const HostLayout *layout, char text[50])
{
	unsigned char joined[16];
	char address[INET6_ADDRSTRLEN] = "";

	join_address6(layout, layout->subnet_address, joined);
	inet_ntop(AF_INET6, joined, address, sizeof(address));
	snprintf(text, 50, "%s/%u", address, 96 + layout->subnet_bits);
}

/* Locally administered, and told by the machine's address, so that both ends know each other without ARP. */
static void
hardware_address(const MachineNetwork *network, uint8_t side, uint8_t hardware[LINK_ADDRESS_BYTES])
{
	hardware[0] = 0x02;
	hardware[1] = side;
	for (int i = 0; i < 4; i++)
		hardware[2 + i] = (uint8_t) (network->address >> (24 - 8 * i));
}

int
network_plan(const HostLayout *layout, const char *name, unsigned index, MachineNetwork *ret_network, Error *err)
{
	MachineNetwork network = {0};
	uint64_t last;

	if (layout->subnet_bits < 8 || layout->subnet_bits > 28)
		return error_set(err, -EINVAL, "subnet: /%u is not between /8 and /28", layout->subnet_bits);
	last = (UINT64_C(1) << (32 - layout->subnet_bits)) - 3; /* not the network, the gateway, the broadcast address */
	if (index < 1 || index > last)
		return error_set(err, -ERANGE, "machine %s: the subnet has addresses 1 to %llu, not %u", name,
						 (unsigned long long) last, index);
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		return error_set(err, -EINVAL, "machine '%s': is not a name", name);
	if ((size_t) snprintf(network.pin_path, sizeof(network.pin_path), "%s/netns/%s", layout->run_directory, name) >=
		sizeof(network.pin_path))
		return error_set(err, -ENAMETOOLONG, "machine %s: name is too long", name);
	if ((size_t) snprintf(network.host_link, sizeof(network.host_link), "%s%u", layout->name_prefix, index) >=
		sizeof(network.host_link))
		return error_set(err, -ENAMETOOLONG, "machine %s: link %s%u: name is too long", name, layout->name_prefix,
						 index);
	network.gateway = layout->subnet_address + 1;
	network.address = layout->subnet_address + 1 + index;
	network.has_ipv6 = layout->subnet6_bits != 0;
	if (network.has_ipv6)
	{
		join_address6(layout, network.address, network.address6);
		join_address6(layout, network.gateway, network.gateway6);
	}
	*ret_network = network;
	return 0;
}

/* One end's own address, and who is at the other end of its link. */
static int
end_add_addresses(struct nl_sock *socket, const char *link, const LinkAddress *own, const LinkAddress *other,
				  const uint8_t other_hardware[LINK_ADDRESS_BYTES], Error *err)
{
	int result = links_add_address(socket, link, own, err);

	return result == 0 ? links_add_neighbour(socket, link, other, other_hardware, err) : result;
}

static int
end_add_route(struct nl_sock *socket, const char *link, const LinkAddress *own, const LinkAddress *other, Error *err)
{
	/* IPv6 takes the only address of the link by itself, and accepts none as a preferred one before it is checked. */
	const LinkRoute to_other = {.destination = *other,
								.bits = other->family == AF_INET6 ? 128 : 32,
								.source = own->family == AF_INET ? *own : (LinkAddress){0}};

	return links_add_route(socket, link, &to_other, err);
}

/* The machine's default route. */
static int
end_add_default(struct nl_sock *socket, const char *link, const LinkAddress *own, const LinkAddress *gateway,
				Error *err)
{
	const LinkRoute to_all = {.destination.family = own->family,
							  .gateway = *gateway,
							  .source = own->family == AF_INET ? *own : (LinkAddress){0}};

	return links_add_route(socket, link, &to_all, err);
}

/* lo and eth0, by the child that lives in the namespace. */
static int
machine_side_set_up(const MachineNetwork *network, int host_namespace_fd, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	uint8_t machine_hardware[LINK_ADDRESS_BYTES];
	uint8_t host_hardware[LINK_ADDRESS_BYTES];
	LinkAddress own[] = {address_v4(network->address), address_v6(network->address6)};
	LinkAddress gateway[] = {address_v4(network->gateway), address_v6(network->gateway6)};
	int result = links_open(&socket, err);

	hardware_address(network, HARDWARE_MACHINE_SIDE, machine_hardware);
	hardware_address(network, HARDWARE_HOST_SIDE, host_hardware);
	if (result == 0)
		result = links_set_up(socket, "lo", err);
	if (result == 0)
		result = links_add_veth(socket, MACHINE_LINK, machine_hardware, network->host_link, host_hardware,
								host_namespace_fd, err);
	if (result == 0)
		result = network->has_ipv6 ? links_tame_ipv6(MACHINE_LINK, err) : links_silence_ipv6(MACHINE_LINK, err);
	if (result == 0)
		result = links_set_up(socket, MACHINE_LINK, err);
	for (int i = 0; result == 0 && i < (network->has_ipv6 ? 2 : 1); i++)
	{
		result = end_add_addresses(socket, MACHINE_LINK, &own[i], &gateway[i], host_hardware, err);
		if (result == 0)
			result = end_add_route(socket, MACHINE_LINK, &own[i], &gateway[i], err);
		if (result == 0)
			result = end_add_default(socket, MACHINE_LINK, &own[i], &gateway[i], err);
	}
	return result;
}

static int
host_side_set_up(const MachineNetwork *network, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	uint8_t machine_hardware[LINK_ADDRESS_BYTES];
	LinkAddress machine[] = {address_v4(network->address), address_v6(network->address6)};
	LinkAddress gateway[] = {address_v4(network->gateway), address_v6(network->gateway6)};
	int result = links_open(&socket, err);

	hardware_address(network, HARDWARE_MACHINE_SIDE, machine_hardware);
	if (result == 0)
		result =
			network->has_ipv6 ? links_tame_ipv6(network->host_link, err) : links_silence_ipv6(network->host_link, err);
	if (result == 0)
		result = links_set_up(socket, network->host_link, err);
	for (int i = 0; result == 0 && i < (network->has_ipv6 ? 2 : 1); i++)
		result = end_add_addresses(socket, network->host_link, &gateway[i], &machine[i], machine_hardware, err);
	return result;
}

/* Runs in the child. A namespace takes the size of its TCP table from its parent's setting, hence the one between. */
static int
namespace_make(void *context, Error *err)
{
	const MachineNetwork *network = context;
	_cleanup_fd_ int host_namespace_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int result;

	if (host_namespace_fd < 0)
		return error_set_errno(err, errno, "/proc/self/ns/net");
	if (unshare(CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "make a network namespace");
	result = file_write(CHILD_EHASH_SYSCTL, CHILD_EHASH_ENTRIES, err);
	if (result < 0 && result != -ENOENT) /* before Linux 6.2 all namespaces share one table */
		return result;
	if (unshare(CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "make a network namespace");
	result = file_write(FIRST_FREE_PORT_SYSCTL, "0", err);
	if (result < 0)
		return result;
	if (mount("/proc/self/ns/net", network->pin_path, NULL, MS_BIND, NULL) < 0)
		return error_set_errno(err, errno, "%s: bind the network namespace", network->pin_path);
	return machine_side_set_up(network, host_namespace_fd, err);
}

static int
pin_make_file(const char *path, Error *err)
{
	char directory[sizeof(((MachineNetwork *) NULL)->pin_path)];
	char *slash;
	int fd;
	int result;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	*slash = '\0';
	result = file_make_directory(directory, 0755, err);
	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	close(fd);
	return 0;
}

static int
pin_remove(const char *path, Error *err)
{
	/* More than one may lie there when an earlier run was killed. */
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return error_set_errno(err, errno, "%s: unmount", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "%s: remove", path);
	return 0;
}

int
network_create_apart(const MachineNetwork *network, Error *err)
{
	int result = network_remove(network, err);

	if (result == 0)
		result = pin_make_file(network->pin_path, err);
	if (result == 0)
		result = process_run_function(namespace_make, (void *) network, err);
	if (result == 0)
		result = host_side_set_up(network, err);
	if (result < 0 && network_remove(network, NULL) < 0)
		error_prefix(err, "network %s (which could not be taken back)", network->host_link);
	return result;
}

int
network_connect(const MachineNetwork *network, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	LinkAddress machine[] = {address_v4(network->address), address_v6(network->address6)};
	LinkAddress gateway[] = {address_v4(network->gateway), address_v6(network->gateway6)};
	int result = links_open(&socket, err);

	for (int i = 0; result == 0 && i < (network->has_ipv6 ? 2 : 1); i++)
		result = end_add_route(socket, network->host_link, &gateway[i], &machine[i], err);
	return result;
}

int
network_create(const MachineNetwork *network, Error *err)
{
	int result = network_create_apart(network, err);

	if (result < 0)
		return result;
	result = network_connect(network, err);
	if (result < 0 && network_remove(network, NULL) < 0)
		error_prefix(err, "network %s (which could not be taken back)", network->host_link);
	return result;
}

static bool
pin_exists(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == NSFS_MAGIC;
}

bool
network_exists(const MachineNetwork *network)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	LinkAddress address = address_v4(network->address);

	return pin_exists(network->pin_path) && links_open(&socket, NULL) == 0 &&
		   links_route_leads_to(socket, network->host_link, &address);
}

int
network_remove(const MachineNetwork *network, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	int result = links_open(&socket, err);

	if (result == 0)
		result = links_delete(socket, network->host_link, err);
	if (result == 0)
		result = pin_remove(network->pin_path, err);
	return result;
}

int
network_open_namespace(const MachineNetwork *network, int *ret_fd, Error *err)
{
	int fd;

	/* Without the bind mount there is an empty file, and setns would say no more than "Invalid argument". */
	if (!pin_exists(network->pin_path))
		return error_set(err, -ENOENT, "%s: there is no network namespace", network->pin_path);
	fd = open(network->pin_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", network->pin_path);
	*ret_fd = fd;
	return 0;
}

int
network_guard_subnet(const HostLayout *layout, bool guarded, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	LinkAddress subnet = address_v4(layout->subnet_address);
	int result = links_open(&socket, err);

	if (result == 0)
		result = links_set_unreachable(socket, &subnet, layout->subnet_bits, guarded, err);
	if (result == 0 && layout->subnet6_bits != 0)
	{
		unsigned char joined[16];

		join_address6(layout, layout->subnet_address, joined);
		subnet = address_v6(joined);
		result = links_set_unreachable(socket, &subnet, 96 + layout->subnet_bits, guarded, err);
	}
	return result;
}

int
network_hold_gateway(const HostLayout *layout, bool held, Error *err)
{
	_cleanup_(links_close) struct nl_sock *socket = NULL;
	LinkAddress gateway = address_v4(layout->subnet_address + 1);
	int result = links_open(&socket, err);

	return result < 0 ? result : links_hold_address(socket, "lo", &gateway, held, err);
}
