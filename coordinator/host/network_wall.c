/* The wall around the machines; see network_wall.h and nft(8). */
#include "host/network_wall.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/network.h"
#include "host/nft.h"

/*
 * Names are asked for at the host's resolver, which may be a program of this host. What answers a client passes: only
 * the first segment of a connection has SYN without ACK. `lo`: the host's own programs use the gateway's address too.
 */
static const char chains[] = "chain input { type filter hook input priority 0; policy accept;\n"
							 "ip saddr != %s accept\n"
							 "iif lo accept\n"
							 "meta l4proto { tcp, udp } th dport 53 accept\n"
							 "tcp flags & (syn | ack) == syn reject with tcp reset\n"
							 "meta l4proto != { tcp, icmp } reject\n}\n"
							 "chain forward { type filter hook forward priority 0; policy accept;\n"
							 "ip saddr %s ip daddr %s reject with icmp type admin-prohibited\n}\n";

/*
 * IPv6 lets any program send from an address that is not its own (IPV6_FREEBIND), so it is the link that tells who
 * sends, and nothing passes that comes from elsewhere.
 */
static void
append_table6(Text *script, const HostLayout *layout)
{
	const char *prefix = layout->name_prefix;
	char subnet[50];

	network_format_subnet6(layout, subnet);
	text_printf(script,
				"table ip6 %s_wall {\nchain input { type filter hook input priority 0; policy accept;\n"
				"iifname != \"%s*\" accept\n"
				"ip6 saddr != %s drop\n"
				"meta l4proto { tcp, udp } th dport 53 accept\n"
				"tcp flags & (syn | ack) == syn reject with tcp reset\n"
				"meta l4proto != { tcp, ipv6-icmp } reject\n}\n",
				prefix, prefix, subnet);
	text_printf(script,
				"chain forward { type filter hook forward priority 0; policy accept;\n"
				"iifname != \"%s*\" accept\n"
				"ip6 saddr != %s drop\n"
				"ip6 daddr %s reject with icmpv6 type admin-prohibited\n}\n}\n",
				prefix, subnet, subnet);
}

/* "add" before "delete": the table may be there or not. */
static void
append_remove(Text *script, const HostLayout *layout)
{
	text_printf(script, "add table ip %s_wall\ndelete table ip %s_wall\n", layout->name_prefix, layout->name_prefix);
	if (layout->subnet6_bits != 0)
		text_printf(script, "add table ip6 %s_wall\ndelete table ip6 %s_wall\n", layout->name_prefix,
					layout->name_prefix);
}

int
network_wall_raise(const HostLayout *layout, Error *err)
{
	_cleanup_text_ Text script = {0};
	char address[16];
	char subnet[24];

	network_format_address(layout->subnet_address, address);
	snprintf(subnet, sizeof(subnet), "%s/%u", address, layout->subnet_bits);
	append_remove(&script, layout);
	text_printf(&script, "table ip %s_wall {\n", layout->name_prefix);
	text_printf(&script, chains, subnet, subnet, subnet);
	text_append(&script, "}\n");
	if (layout->subnet6_bits != 0)
		append_table6(&script, layout);
	return nft_run(-1, text_string(&script), err);
}

int
network_wall_remove(const HostLayout *layout, Error *err)
{
	_cleanup_text_ Text script = {0};

	append_remove(&script, layout);
	return nft_run(-1, text_string(&script), err);
}
