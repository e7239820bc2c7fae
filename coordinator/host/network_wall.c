/* The wall around the machines; see network_wall.h and nft(8). */
#include "host/network_wall.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/network.h"
#include "host/nft.h"

/*
 * Names are asked for at the gateway's address, where the coordinator's resolver is, by machines and by the host. What
 * answers a client passes: only the first segment of a connection has SYN without ACK. `lo`: the host's own programs
 * use the gateway's address too. What is addressed to the loopback and comes from elsewhere is forged: links to
 * machines accept such addresses, since a client on the host's loopback is answered there (forward.h).
 */
static const char chain_input[] = "chain input { type filter hook input priority 0; policy accept;\n"
								  "iif lo accept\n"
								  "ip saddr != %s ip daddr %s meta l4proto { tcp, udp } th dport 53 drop\n"
								  "ip saddr != %s accept\n"
								  "ip daddr %s meta l4proto { tcp, udp } th dport 53 accept\n"
								  "tcp flags & (syn | ack) == syn reject with tcp reset\n"
								  "meta l4proto != { tcp, icmp } reject\n}\n"
								  "chain loopback { type filter hook prerouting priority -300; policy accept;\n"
								  "iif != lo ip daddr 127.0.0.0/8 drop\n}\n";

/*
 * Between machines: by the namespace of the one that opens. From outside: what was translated, and answers. To outside:
 * answers to what was translated, and the rest where the host forwards anyway: links to machines do it always.
 */
static const char chain_forward[] = "chain between {\n"
									"tcp flags & (syn | ack) != syn accept\n"
									"ip saddr vmap @sources\n"
									"reject with icmp type admin-prohibited\n}\n"
									"chain inward {\n"
									"%s"
									"tcp flags & (syn | ack) == syn reject with icmp type admin-prohibited\n}\n"
									"chain outward {\n"
									"%s%s}\n"
									"chain forward { type filter hook forward priority 0; policy accept;\n"
									"ip saddr %s ip daddr %s jump between\n"
									"ip daddr %s jump inward\n"
									"ip saddr %s jump outward\n}\n";

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

/* The first machine of the same namespace: its place in the list is the namespace's number. */
static size_t
namespace_number(const ExposurePlan *plan, const char *name_space)
{
	size_t i = 0;

	while (i < plan->machine_count && strcmp(plan->machines[i].name_space, name_space) != 0)
		i++;
	return i;
}

/* "10.88.0.5 . 5432" for every service that is open to the namespace. */
static void
append_open(Text *script, const ExposurePlan *plan, size_t number)
{
	const char *name_space = plan->machines[number].name_space;
	bool first = true;

	text_printf(script, "set open%zu { type ipv4_addr . inet_service;\n", number);
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];
		char address[16];

		if (strcmp(exposure->name_space, name_space) != 0)
			continue;
		network_format_address(exposure->address, address);
		text_printf(script, "%s%s . %u", first ? "elements = { " : ",\n", address, exposure->port);
		first = false;
	}
	text_append(script, first ? "}\n" : " }\n}\n");
	text_printf(script, "chain from%zu {\nip daddr . tcp dport @open%zu accept\n}\n", number, number);
}

static void
append_namespaces(Text *script, const ExposurePlan *plan)
{
	for (size_t i = 0; i < plan->machine_count; i++)
	{
		if (namespace_number(plan, plan->machines[i].name_space) == i)
			append_open(script, plan, i);
	}
	text_append(script, "map sources { type ipv4_addr : verdict;\n");
	for (size_t i = 0; i < plan->machine_count; i++)
	{
		char address[16];

		network_format_address(plan->machines[i].address, address);
		text_printf(script, "%s%s : jump from%zu", i == 0 ? "elements = { " : ",\n", address,
					namespace_number(plan, plan->machines[i].name_space));
	}
	text_append(script, plan->machine_count == 0 ? "}\n" : " }\n}\n");
}

/* Connections are tracked only where something is translated: it costs every packet of the host. */
static bool
plan_has_forward(const ExposurePlan *plan)
{
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		if (exposure_is_forward(&plan->exposures[i]))
			return true;
	}
	return false;
}

static void
append_table(Text *script, const HostLayout *layout, const ExposurePlan *plan, bool host_forwards)
{
	const char *translated = plan_has_forward(plan) ? "ct status dnat accept\n" : "";
	char address[16];
	char gateway[16];
	char subnet[24];

	network_format_address(layout->subnet_address, address);
	network_format_address(layout->subnet_address + 1, gateway);
	snprintf(subnet, sizeof(subnet), "%s/%u", address, layout->subnet_bits);
	text_printf(script, "table ip %s_wall {\n", layout->name_prefix);
	append_namespaces(script, plan);
	text_printf(script, chain_input, subnet, gateway, subnet, gateway);
	text_printf(script, chain_forward, translated, translated,
				host_forwards ? "" : "reject with icmp type admin-prohibited\n", subnet, subnet, subnet, subnet);
	text_append(script, "}\n");
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
network_wall_raise(const HostLayout *layout, const ExposurePlan *plan, bool host_forwards, Error *err)
{
	_cleanup_text_ Text script = {0};

	append_remove(&script, layout);
	append_table(&script, layout, plan, host_forwards);
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
