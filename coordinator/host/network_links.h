/*
 * Links, addresses, routes and neighbours of one end of a veth pair, by libnl-route. Everything happens in the network
 * namespace of the calling process at the time of links_open. Only network.c includes this.
 */
#ifndef HOST_NETWORK_LINKS_H
#define HOST_NETWORK_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct nl_sock;

#define LINK_ADDRESS_BYTES 6

/* An address of either family. */
typedef struct LinkAddress
{
	int family;				 /* AF_INET, AF_INET6; 0: none */
	unsigned char bytes[16]; /* network byte order; 4 of them count, or all 16 */
} LinkAddress;

int links_open(struct nl_sock **ret_socket, Error *err) MUST_CHECK;
void links_close(struct nl_sock **socket); /* for _cleanup_ */

/* One end of the pair here, the other one at birth in the namespace peer_namespace_fd. */
int links_add_veth(struct nl_sock *socket, const char *name, const uint8_t hardware[LINK_ADDRESS_BYTES],
				   const char *peer_name, const uint8_t peer_hardware[LINK_ADDRESS_BYTES], int peer_namespace_fd,
				   Error *err) MUST_CHECK;

/* A link that isn't there is no error. With its last end a veth pair is gone. */
int links_delete(struct nl_sock *socket, const char *name, Error *err) MUST_CHECK;

int links_set_up(struct nl_sock *socket, const char *name, Error *err) MUST_CHECK;

/* No addresses of its own, no router solicitations, no duplicate address detection. Before links_set_up. */
int links_silence_ipv6(const char *name, Error *err) MUST_CHECK;

/* IPv6 with the addresses that it is given, and nothing of its own accord. Before links_set_up. */
int links_tame_ipv6(const char *name, Error *err) MUST_CHECK;

/* As /32 or /128; one of IPv6 without duplicate address detection, and only once the link is up. */
int links_add_address(struct nl_sock *socket, const char *name, const LinkAddress *address, Error *err) MUST_CHECK;

/* Adds or removes an address of IPv4. One that is there, or isn't, is no error. */
int links_hold_address(struct nl_sock *socket, const char *name, const LinkAddress *address, bool held,
					   Error *err) MUST_CHECK;

typedef struct LinkRoute
{
	LinkAddress destination;
	unsigned bits;		 /* 0: the default route */
	LinkAddress gateway; /* none: on the link itself */
	LinkAddress source;	 /* preferred source address; none: the kernel's choice */
} LinkRoute;

int links_add_route(struct nl_sock *socket, const char *name, const LinkRoute *route, Error *err) MUST_CHECK;

/* Adds or removes a route that refuses the whole prefix. One that is there, or isn't, is no error. */
int links_set_unreachable(struct nl_sock *socket, const LinkAddress *address, unsigned bits, bool unreachable,
						  Error *err) MUST_CHECK;

/* A neighbour that is known for ever, so that neither side ever asks by ARP or ND. */
int links_add_neighbour(struct nl_sock *socket, const char *name, const LinkAddress *address,
						const uint8_t hardware[LINK_ADDRESS_BYTES], Error *err) MUST_CHECK;

/* True when the kernel would send to this address through this link. */
bool links_route_leads_to(struct nl_sock *socket, const char *name, const LinkAddress *address);

#endif
