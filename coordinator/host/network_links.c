/* Links, addresses, routes and neighbours by libnl-route; see network_links.h. */
#include "host/network_links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static void
cleanup_address(struct nl_addr **address)
{
	if (*address != NULL)
		nl_addr_put(*address);
}

static void
cleanup_link(struct rtnl_link **link)
{
	if (*link != NULL)
		rtnl_link_put(*link);
}

static void
cleanup_link_address(struct rtnl_addr **address)
{
	if (*address != NULL)
		rtnl_addr_put(*address);
}

static void
cleanup_route(struct rtnl_route **route)
{
	if (*route != NULL)
		rtnl_route_put(*route);
}

static void
cleanup_neighbour(struct rtnl_neigh **neighbour)
{
	if (*neighbour != NULL)
		rtnl_neigh_put(*neighbour);
}

/* libnl has error numbers of its own. */
static int
set_netlink_error(Error *err, int code, const char *name, const char *step)
{
	int number = EIO;

	switch (-code)
	{
		case NLE_EXIST:
			number = EEXIST;
			break;
		case NLE_PERM:
		case NLE_NOACCESS:
			number = EPERM;
			break;
		case NLE_NODEV:
		case NLE_OBJ_NOTFOUND:
			number = ENODEV;
			break;
		case NLE_NOMEM:
			number = ENOMEM;
			break;
		case NLE_OPNOTSUPP:
			number = EOPNOTSUPP;
			break;
		default:
			break;
	}
	return error_set(err, -number, "link %s: %s: %s", name, step, nl_geterror(code));
}

static unsigned
address_bits(const LinkAddress *address)
{
	return address->family == AF_INET6 ? 128 : 32;
}

static struct nl_addr *
address_new(const LinkAddress *address, unsigned bits)
{
	struct nl_addr *built = nl_addr_build(address->family, address->bytes, address_bits(address) / 8);

	if (built != NULL)
		nl_addr_set_prefixlen(built, (int) bits);
	return built;
}

static int
link_index(const char *name, unsigned *ret_index, Error *err)
{
	unsigned index = if_nametoindex(name);

	if (index == 0)
		return error_set_errno(err, errno, "link %s", name);
	*ret_index = index;
	return 0;
}

int
links_open(struct nl_sock **ret_socket, Error *err)
{
	struct nl_sock *socket = nl_socket_alloc();
	int code;

	if (socket == NULL)
		return error_set_errno(err, ENOMEM, "netlink");
	code = nl_connect(socket, NETLINK_ROUTE);
	if (code < 0)
	{
		nl_socket_free(socket);
		return error_set(err, -EIO, "netlink: %s", nl_geterror(code));
	}
	*ret_socket = socket;
	return 0;
}

void
links_close(struct nl_sock **socket)
{
	if (*socket != NULL)
		nl_socket_free(*socket);
}

int
links_add_veth(struct nl_sock *socket, const char *name, const uint8_t hardware[LINK_ADDRESS_BYTES],
			   const char *peer_name, const uint8_t peer_hardware[LINK_ADDRESS_BYTES], int peer_namespace_fd,
			   Error *err)
{
	_cleanup_(cleanup_link) struct rtnl_link *link = rtnl_link_veth_alloc();
	_cleanup_(cleanup_link) struct rtnl_link *peer = link == NULL ? NULL : rtnl_link_veth_get_peer(link);
	_cleanup_(cleanup_address) struct nl_addr *address = nl_addr_build(AF_LLC, hardware, LINK_ADDRESS_BYTES);
	_cleanup_(cleanup_address) struct nl_addr *peer_address = nl_addr_build(AF_LLC, peer_hardware, LINK_ADDRESS_BYTES);
	int code;

	if (link == NULL || peer == NULL || address == NULL || peer_address == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	rtnl_link_set_name(link, name);
	rtnl_link_set_addr(link, address);
	rtnl_link_set_name(peer, peer_name);
	rtnl_link_set_addr(peer, peer_address);
	rtnl_link_set_ns_fd(peer, peer_namespace_fd);
	code = rtnl_link_add(socket, link, NLM_F_CREATE | NLM_F_EXCL);
	return code < 0 ? set_netlink_error(err, code, peer_name, "add veth pair") : 0;
}

int
links_delete(struct nl_sock *socket, const char *name, Error *err)
{
	_cleanup_(cleanup_link) struct rtnl_link *link = rtnl_link_alloc();
	int code;

	if (link == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	if (if_nametoindex(name) == 0)
		return 0;
	rtnl_link_set_name(link, name);
	code = rtnl_link_delete(socket, link);
	if (code < 0 && code != -NLE_NODEV && code != -NLE_OBJ_NOTFOUND)
		return set_netlink_error(err, code, name, "delete");
	return 0;
}

int
links_set_up(struct nl_sock *socket, const char *name, Error *err)
{
	_cleanup_(cleanup_link) struct rtnl_link *link = rtnl_link_alloc();
	_cleanup_(cleanup_link) struct rtnl_link *change = rtnl_link_alloc();
	unsigned index = 0;
	int code;
	int result = link_index(name, &index, err);

	if (result < 0)
		return result;
	if (link == NULL || change == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	rtnl_link_set_ifindex(link, (int) index);
	rtnl_link_set_flags(change, IFF_UP);
	code = rtnl_link_change(socket, link, change, 0);
	return code < 0 ? set_netlink_error(err, code, name, "set up") : 0;
}

int
links_silence_ipv6(const char *name, Error *err)
{
	char path[128];
	int result;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	result = file_write(path, "1", err);
	return result == -ENOENT ? 0 : result; /* a kernel without IPv6 */
}

int
links_tame_ipv6(const char *name, Error *err)
{
	static const struct
	{
		const char *name;
		const char *value;
	} settings[] = {
		{"addr_gen_mode", "1"}, /* no link-local address */
		{"accept_ra", "0"},		{"autoconf", "0"},		{"router_solicitations", "0"},
		{"accept_dad", "0"},	{"dad_transmits", "0"}, {"disable_ipv6", "0"},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		char path[128];
		int result;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, settings[i].name);
		result = file_write(path, settings[i].value, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int
links_add_address(struct nl_sock *socket, const char *name, const LinkAddress *address, Error *err)
{
	_cleanup_(cleanup_link_address) struct rtnl_addr *entry = rtnl_addr_alloc();
	_cleanup_(cleanup_address) struct nl_addr *local = address_new(address, address_bits(address));
	unsigned index = 0;
	int code;
	int result = link_index(name, &index, err);

	if (result < 0)
		return result;
	if (entry == NULL || local == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	rtnl_addr_set_ifindex(entry, (int) index);
	rtnl_addr_set_family(entry, address->family);
	if (address->family == AF_INET6)
		rtnl_addr_set_flags(entry, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
	code = rtnl_addr_set_local(entry, local);
	if (code == 0)
		code = rtnl_addr_add(socket, entry, 0);
	return code < 0 ? set_netlink_error(err, code, name, "add address") : 0;
}

int
links_hold_address(struct nl_sock *socket, const char *name, const LinkAddress *address, bool held, Error *err)
{
	_cleanup_(cleanup_link_address) struct rtnl_addr *entry = rtnl_addr_alloc();
	_cleanup_(cleanup_address) struct nl_addr *local = address_new(address, address_bits(address));
	unsigned index = 0;
	int code;
	int result = link_index(name, &index, err);

	if (result < 0)
		return result;
	if (entry == NULL || local == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	rtnl_addr_set_ifindex(entry, (int) index);
	rtnl_addr_set_family(entry, address->family);
	code = rtnl_addr_set_local(entry, local);
	if (code == 0)
		code = held ? rtnl_addr_add(socket, entry, 0) : rtnl_addr_delete(socket, entry, 0);
	if (code == (held ? -NLE_EXIST : -NLE_NOADDR))
		code = 0;
	return code < 0 ? set_netlink_error(err, code, name, held ? "add address" : "remove address") : 0;
}

int
links_add_route(struct nl_sock *socket, const char *name, const LinkRoute *route, Error *err)
{
	_cleanup_(cleanup_route) struct rtnl_route *entry = rtnl_route_alloc();
	_cleanup_(cleanup_address) struct nl_addr *destination = address_new(&route->destination, route->bits);
	_cleanup_(cleanup_address) struct nl_addr *gateway = address_new(&route->gateway, address_bits(&route->gateway));
	_cleanup_(cleanup_address) struct nl_addr *source = address_new(&route->source, address_bits(&route->source));
	bool by_gateway = route->gateway.family != 0;
	struct rtnl_nexthop *hop;
	unsigned index = 0;
	int code;
	int result = link_index(name, &index, err);

	if (result < 0)
		return result;
	hop = rtnl_route_nh_alloc();
	if (entry == NULL || destination == NULL || gateway == NULL || source == NULL || hop == NULL)
	{
		if (hop != NULL)
			rtnl_route_nh_free(hop);
		return error_set_errno(err, ENOMEM, "link %s", name);
	}
	rtnl_route_nh_set_ifindex(hop, (int) index);
	if (by_gateway)
		rtnl_route_nh_set_gateway(hop, gateway);
	rtnl_route_add_nexthop(entry, hop); /* the route owns it now */
	rtnl_route_set_family(entry, (uint8_t) route->destination.family);
	rtnl_route_set_table(entry, RT_TABLE_MAIN);
	rtnl_route_set_protocol(entry, RTPROT_STATIC);
	rtnl_route_set_scope(entry,
						 by_gateway || route->destination.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
	code = rtnl_route_set_dst(entry, destination);
	if (code == 0 && route->source.family != 0)
		code = rtnl_route_set_pref_src(entry, source);
	if (code == 0)
		code = rtnl_route_add(socket, entry, NLM_F_CREATE | NLM_F_EXCL);
	return code < 0 ? set_netlink_error(err, code, name, "add route") : 0;
}

int
links_add_neighbour(struct nl_sock *socket, const char *name, const LinkAddress *address,
					const uint8_t hardware[LINK_ADDRESS_BYTES], Error *err)
{
	_cleanup_(cleanup_neighbour) struct rtnl_neigh *entry = rtnl_neigh_alloc();
	_cleanup_(cleanup_address) struct nl_addr *destination = address_new(address, address_bits(address));
	_cleanup_(cleanup_address) struct nl_addr *link_address = nl_addr_build(AF_LLC, hardware, LINK_ADDRESS_BYTES);
	unsigned index = 0;
	int code;
	int result = link_index(name, &index, err);

	if (result < 0)
		return result;
	if (entry == NULL || destination == NULL || link_address == NULL)
		return error_set_errno(err, ENOMEM, "link %s", name);
	rtnl_neigh_set_ifindex(entry, (int) index);
	rtnl_neigh_set_lladdr(entry, link_address);
	rtnl_neigh_set_state(entry, NUD_PERMANENT);
	code = rtnl_neigh_set_dst(entry, destination);
	if (code == 0)
		code = rtnl_neigh_add(socket, entry, NLM_F_CREATE | NLM_F_REPLACE);
	return code < 0 ? set_netlink_error(err, code, name, "add neighbour") : 0;
}

bool
links_route_leads_to(struct nl_sock *socket, const char *name, const LinkAddress *address)
{
	_cleanup_(cleanup_address) struct nl_addr *destination = address_new(address, address_bits(address));
	_cleanup_(cleanup_route) struct rtnl_route *found = NULL;
	struct rtnl_nexthop *hop;
	unsigned index = if_nametoindex(name);

	if (index == 0 || destination == NULL || rtnl_route_lookup(socket, destination, &found) < 0 || found == NULL)
		return false;
	hop = rtnl_route_nexthop_n(found, 0);
	return hop != NULL && rtnl_route_nh_get_ifindex(hop) == (int) index;
}

/* With the worst metric there is, so that any other route to the same destination wins. */
int
links_set_unreachable(struct nl_sock *socket, const LinkAddress *address, unsigned bits, bool unreachable, Error *err)
{
	_cleanup_(cleanup_route) struct rtnl_route *entry = rtnl_route_alloc();
	_cleanup_(cleanup_address) struct nl_addr *destination = address_new(address, bits);
	int code;

	if (entry == NULL || destination == NULL)
		return error_set_errno(err, ENOMEM, "unreachable route");
	rtnl_route_set_family(entry, (uint8_t) address->family);
	rtnl_route_set_table(entry, RT_TABLE_MAIN);
	rtnl_route_set_protocol(entry, RTPROT_STATIC);
	rtnl_route_set_type(entry, RTN_UNREACHABLE);
	rtnl_route_set_priority(entry, UINT32_MAX);
	code = rtnl_route_set_dst(entry, destination);
	if (code == 0)
		code = unreachable ? rtnl_route_add(socket, entry, NLM_F_CREATE | NLM_F_EXCL)
						   : rtnl_route_delete(socket, entry, 0);
	if (code == -NLE_EXIST || (!unreachable && (code == -NLE_OBJ_NOTFOUND || code == -NLE_FAILURE)))
		code = 0;
	return code < 0 ? set_netlink_error(err, code, "subnet", "unreachable route") : 0;
}
