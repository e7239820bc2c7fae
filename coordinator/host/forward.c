/* Ports of the host that lead to machines; see forward.h and nft(8). */
#include "host/forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/forward_links.h"
#include "host/network.h"
#include "host/nft.h"

typedef bool (*ExposureTest)(const Exposure *exposure);

static bool
is_at_one_address(const Exposure *exposure)
{
	return exposure_is_forward(exposure) && exposure->host_address != 0;
}

static bool
is_at_every_address(const Exposure *exposure)
{
	return exposure_is_forward(exposure) && exposure->host_address == 0;
}

static bool
plan_has(const ExposurePlan *plan, ExposureTest test)
{
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		if (test(&plan->exposures[i]))
			return true;
	}
	return false;
}

/* "192.0.2.1 . 5433 : 10.88.0.5 . 5432", or without the address where it is all of them. */
static void
append_element(Text *script, const Exposure *exposure, ExposureTest test)
{
	char address[16];
	char from[16];

	network_format_address(exposure->address, address);
	if (test == is_at_every_address)
	{
		text_printf(script, "%u : %s . %u", exposure->host_port, address, exposure->port);
		return;
	}
	network_format_address(test == is_at_one_address ? exposure->host_address : exposure->address, from);
	text_printf(script, "%s . %u : %s . %u", from,
				test == is_at_one_address ? exposure->host_port : exposure->internal_port, address, exposure->port);
}

static void
append_map(Text *script, const char *name, const char *key, const ExposurePlan *plan, ExposureTest test)
{
	bool first = true;

	text_printf(script, "map %s { type %s : ipv4_addr . inet_service;\n", name, key);
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		if (!test(&plan->exposures[i]))
			continue;
		text_append(script, first ? "elements = { " : ",\n");
		append_element(script, &plan->exposures[i], test);
		first = false;
	}
	text_append(script, first ? "}\n" : " }\n}\n");
}

/*
 * A number of a machine's own holds for other machines and the host, not for who would route there from outside. What
 * comes from the loopback takes the gateway's address, or the machine would answer to itself.
 */
static const char chains[] = "chain prerouting { type nat hook prerouting priority -100; policy accept;\n"
							 "dnat ip to ip daddr . tcp dport map @host\n"
							 "fib daddr type local dnat ip to tcp dport map @everywhere\n"
							 "ip saddr %s dnat ip to ip daddr . tcp dport map @renumbered\n}\n"
							 "chain output { type nat hook output priority -100; policy accept;\n"
							 "dnat ip to ip daddr . tcp dport map @host\n"
							 "fib daddr type local dnat ip to tcp dport map @everywhere\n"
							 "dnat ip to ip daddr . tcp dport map @renumbered\n}\n"
							 "chain postrouting { type nat hook postrouting priority 100; policy accept;\n"
							 "ip saddr 127.0.0.0/8 ip daddr %s masquerade\n}\n";

int
forward_apply(const HostLayout *layout, const ExposurePlan *plan, Error *err)
{
	_cleanup_text_ Text script = {0};
	const char *prefix = layout->name_prefix;
	char address[16];
	char subnet[24];

	network_format_address(layout->subnet_address, address);
	snprintf(subnet, sizeof(subnet), "%s/%u", address, layout->subnet_bits);
	text_printf(&script, "add table ip %s_forward\ndelete table ip %s_forward\n", prefix, prefix);
	if (plan_has(plan, exposure_is_forward) || plan_has(plan, exposure_is_renumbered))
	{
		text_printf(&script, "table ip %s_forward {\n", prefix);
		append_map(&script, "host", "ipv4_addr . inet_service", plan, is_at_one_address);
		append_map(&script, "everywhere", "inet_service", plan, is_at_every_address);
		append_map(&script, "renumbered", "ipv4_addr . inet_service", plan, exposure_is_renumbered);
		text_printf(&script, chains, subnet, subnet);
		text_append(&script, "}\n");
	}
	return nft_run(-1, text_string(&script), err);
}

bool
forward_host_forwards(void)
{
	uint64_t value = 0;

	return file_read_number("/proc/sys/net/ipv4/ip_forward", &value, NULL) == 0 && value != 0;
}

static bool
machine_is_on_loopback(const ExposurePlan *plan, uint32_t address)
{
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];

		if (exposure->address == address && exposure_is_forward(exposure) &&
			(exposure_is_loopback(exposure) || exposure->host_address == 0))
			return true;
	}
	return false;
}

int
forward_open_link(const char *link, uint32_t address, const ExposurePlan *plan, Error *err)
{
	int result = link_set_flag(link, "forwarding", true, err);

	if (result == 0)
		result = link_set_flag(link, "route_localnet", machine_is_on_loopback(plan, address), err);
	return result == -ENOENT ? 0 : result;
}

int
forward_open_links(const HostLayout *layout, const ExposurePlan *plan, Error *err)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < plan->machine_count; i++)
		result = forward_open_link(plan->machines[i].link, plan->machines[i].address, plan, err);
	return result < 0 ? result : outside_links_open(layout, plan, err);
}
