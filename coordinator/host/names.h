/*
 * Names and places of one coordinator on a host. Several coordinators live side by side because every path, name
 * prefix and address range comes from here.
 */
#ifndef HOST_NAMES_H
#define HOST_NAMES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct HostLayout
{
	char state_directory[256]; /* /var/lib/lttle: survives a reboot */
	char run_directory[256];   /* /run/lttle: sockets, pins, the machines' run directories */
	char name_prefix[16];	   /* "lttle": cgroups <prefix>/..., nft table; [a-z][a-z0-9]*, at most 8 */
	uint32_t subnet_address;   /* host byte order */
	unsigned subnet_bits;	   /* prefix length, 8 to 28 */
	/* Network byte order; a machine's IPv6 address is this with its IPv4 address in the last four bytes. */
	unsigned char subnet6_address[16];
	unsigned subnet6_bits; /* prefix length, 8 to 96; 0: machines have no IPv6 address */
} HostLayout;

#endif
