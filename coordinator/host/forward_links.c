/* IPv4 switches of links; see forward_links.h and the kernel's ip-sysctl.rst. */
#include "host/forward_links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/forward.h"
#include "host/network.h"
#include "host/nft.h"

#define RECORD_MAX_BYTES 65536

typedef struct LinkNames
{
	char (*names)[IFNAMSIZ];
	size_t count;
	size_t capacity;
} LinkNames;

static void
link_names_clear(LinkNames *links)
{
	free(links->names);
}

static bool
link_names_have(const LinkNames *links, const char *name)
{
	for (size_t i = 0; i < links->count; i++)
	{
		if (strcmp(links->names[i], name) == 0)
			return true;
	}
	return false;
}

static void
link_names_add(LinkNames *links, const char *name)
{
	if (link_names_have(links, name))
		return;
	links->names = memory_grow(links->names, &links->capacity, links->count + 1, sizeof(*links->names));
	snprintf(links->names[links->count++], IFNAMSIZ, "%s", name);
}

static void
link_flag_path(const char *link, const char *flag, char path[128])
{
	snprintf(path, 128, "/proc/sys/net/ipv4/conf/%s/%s", link, flag);
}

int
link_set_flag(const char *link, const char *flag, bool on, Error *err)
{
	char path[128];
	uint64_t value;
	int result;

	link_flag_path(link, flag, path);
	result = file_read_number(path, &value, err);
	if (result < 0 || (value != 0) == on)
		return result;
	return file_write(path, on ? "1" : "0", err);
}

static bool
plan_binds(const ExposurePlan *plan, uint32_t address)
{
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];

		if (exposure_is_forward(exposure) && !exposure_is_loopback(exposure) &&
			(exposure->host_address == 0 || exposure->host_address == address))
			return true;
	}
	return false;
}

/* The links with an address that is bound, those to machines left out: they have the gateway's address. */
static int
find_outside_links(const HostLayout *layout, const ExposurePlan *plan, LinkNames *ret_links, Error *err)
{
	struct ifaddrs *addresses = NULL;

	if (getifaddrs(&addresses) < 0)
		return error_set_errno(err, errno, "addresses of the host");
	for (struct ifaddrs *at = addresses; at != NULL; at = at->ifa_next)
	{
		uint32_t address;

		if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_LOOPBACK) != 0)
			continue;
		address = ntohl(((struct sockaddr_in *) (void *) at->ifa_addr)->sin_addr.s_addr);
		if (address != layout->subnet_address + 1 && plan_binds(plan, address))
			link_names_add(ret_links, at->ifa_name);
	}
	freeifaddrs(addresses);
	return 0;
}

static int
record_read(const char *path, LinkNames *ret_links, Error *err)
{
	_cleanup_free_ char *text = NULL;
	char *rest = NULL;
	int result = file_read(path, RECORD_MAX_BYTES, &text, NULL, err);

	if (result < 0)
		return result == -ENOENT ? 0 : result;
	for (char *name = strtok_r(text, "\n", &rest); name != NULL; name = strtok_r(NULL, "\n", &rest))
		link_names_add(ret_links, name);
	return 0;
}

static int
record_write(const char *path, const LinkNames *links, Error *err)
{
	_cleanup_text_ Text text = {0};

	if (links->count == 0)
		return unlink(path) < 0 && errno != ENOENT ? error_set_errno(err, errno, "%s", path) : 0;
	for (size_t i = 0; i < links->count; i++)
		text_printf(&text, "%s\n", links->names[i]);
	return file_replace(path, text_string(&text), text.length, 0600, err);
}

/* A link that forwards on our account forwards to machines, and to nobody else. */
static int
guard_outside_links(const HostLayout *layout, const LinkNames *links, Error *err)
{
	_cleanup_text_ Text script = {0};
	const char *prefix = layout->name_prefix;
	char address[16];

	network_format_address(layout->subnet_address, address);
	text_printf(&script, "add table ip %s_outside\ndelete table ip %s_outside\n", prefix, prefix);
	if (links->count > 0)
	{
		text_printf(&script, "table ip %s_outside {\nchain forward { type filter hook forward priority -1;\niifname { ",
					prefix);
		for (size_t i = 0; i < links->count; i++)
			text_printf(&script, "%s\"%s\"", i == 0 ? "" : ", ", links->names[i]);
		text_printf(&script, " } ip daddr != %s/%u drop\n}\n}\n", address, layout->subnet_bits);
	}
	return nft_run(-1, text_string(&script), err);
}

static int
close_links(const LinkNames *were, const LinkNames *are, Error *err)
{
	int result = 0;

	if (forward_host_forwards())
		return 0;
	for (size_t i = 0; result == 0 && i < were->count; i++)
	{
		if (!link_names_have(are, were->names[i]))
			result = link_set_flag(were->names[i], "forwarding", false, err);
		if (result == -ENOENT)
			result = 0;
	}
	return result;
}

/* Those that forward by somebody else's will are not ours to guard or to set back. */
static void
leave_out_strangers(const LinkNames *were, LinkNames *links)
{
	size_t kept = 0;

	for (size_t i = 0; i < links->count; i++)
	{
		char path[128];
		uint64_t value = 0;

		link_flag_path(links->names[i], "forwarding", path);
		if (!link_names_have(were, links->names[i]) && file_read_number(path, &value, NULL) == 0 && value != 0)
			continue;
		memmove(links->names[kept++], links->names[i], IFNAMSIZ);
	}
	links->count = kept;
}

int
outside_links_open(const HostLayout *layout, const ExposurePlan *plan, Error *err)
{
	_cleanup_(link_names_clear) LinkNames were = {0};
	_cleanup_(link_names_clear) LinkNames are = {0};
	char path[sizeof(layout->run_directory) + 16];
	int result;

	snprintf(path, sizeof(path), "%s/forwarding", layout->run_directory);
	result = record_read(path, &were, err);
	if (result == 0)
		result = find_outside_links(layout, plan, &are, err);
	if (result < 0 || (were.count == 0 && are.count == 0))
		return result;
	leave_out_strangers(&were, &are);
	/* The record before the switch, and the guard before both: a coordinator that dies in between leaves no link open.
	 */
	result = guard_outside_links(layout, &are, err);
	if (result == 0)
		result = close_links(&were, &are, err);
	if (result == 0)
		result = record_write(path, &are, err);
	for (size_t i = 0; result == 0 && i < are.count; i++)
		result = link_set_flag(are.names[i], "forwarding", true, err);
	return result;
}
