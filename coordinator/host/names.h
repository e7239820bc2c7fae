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
} HostLayout;

#endif
