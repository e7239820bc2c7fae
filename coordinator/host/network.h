/*
 * A machine's network: a network namespace pinned by a bind mount, a veth pair, a /32 route on the host. No bridge,
 * because bridges end at 1,024 ports. Built with libnl-route-3; every name carries the coordinator's prefix.
 *
 * Inside: eth0 with <address>/32, a link-scope route to the host's gateway address, default by it; lo is up.
 * On the host: link <prefix><index>, the gateway address (the subnet's first address) as /32 on it, a route to
 * <address>/32.
 * IPv6, where the layout has it, is the same with /128: no router is asked for, no address is made up by the kernel,
 * and none is tried for duplicates first.
 */
#ifndef HOST_NETWORK_H
#define HOST_NETWORK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/names.h"

typedef struct MachineNetwork
{
	char pin_path[320];		  /* <run>/netns/<name> */
	char host_link[IFNAMSIZ]; /* <prefix><index> */
	uint32_t address;		  /* host byte order */
	uint32_t gateway;		  /* host byte order */
	bool has_ipv6;
	unsigned char address6[16]; /* network byte order */
	unsigned char gateway6[16];
} MachineNetwork;

/* Says how the machine with this index (1 to 2^(32-bits)-3) is reached; touches nothing. */
int network_plan(const HostLayout *layout, const char *name, unsigned index, MachineNetwork *ret_network,
				 Error *err) MUST_CHECK;

/*
 * Makes namespace, pin, links, addresses and routes. What an earlier run that was killed left under the same names is
 * replaced. The namespace gets a TCP hash table of its own of 512 entries (tcp_child_ehash_entries of an intermediate
 * namespace, so that the host's sysctl stays as it is): a sock_diag dump then takes 27 µs, not 450.
 * Blocks for milliseconds (the kernel's RCU): for a job's child.
 */
int network_create(const MachineNetwork *network, Error *err) MUST_CHECK;

/*
 * The same in two steps, for a machine that sleeps: nothing reaches it before the host has the route, so that what is
 * to answer in its place can be put there first. Blocks for milliseconds too; the second step doesn't.
 */
int network_create_apart(const MachineNetwork *network, Error *err) MUST_CHECK;
int network_connect(const MachineNetwork *network, Error *err) MUST_CHECK;

/* True when pin, link and route are there. */
bool network_exists(const MachineNetwork *network);

/* Removes links and pin. What isn't there is no error. */
int network_remove(const MachineNetwork *network, Error *err) MUST_CHECK;

/* Opens the pinned namespace. The caller closes the descriptor. */
int network_open_namespace(const MachineNetwork *network, int *ret_fd, Error *err) MUST_CHECK;

/* True when the kernel has IPv6; without it a layout must not have it either. */
bool network_kernel_has_ipv6(void);

/*
 * Refuses what goes to an address of the subnet that no machine has: without it the packet would leave by the default
 * route, and somebody else could answer in the name of a machine that has been deleted. guarded: on or off.
 */
int network_guard_subnet(const HostLayout *layout, bool guarded, Error *err) MUST_CHECK;

/*
 * The gateway's address on the host's loopback as well: it is there whatever machines come and go, for what listens on
 * it. held: on or off.
 */
int network_hold_gateway(const HostLayout *layout, bool held, Error *err) MUST_CHECK;

/* Writes "10.88.0.5" into text of at least 16 bytes. */
void network_format_address(uint32_t address, char text[16]);

/* The part of the IPv6 network in which the machines are: "fd6c:7474:6c65::a58:0/112", into at least 50 bytes. */
void network_format_subnet6(const HostLayout *layout, char text[50]);

/* Writes "fd6c:7474:6c65::a58:5", or nothing for a machine without, into text of at least 46 bytes. */
void network_format_address6(const MachineNetwork *network, char text[46]);

#endif
