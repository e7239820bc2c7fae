/* Names of services; see resolver.h and dnsmasq(8). */
#include "host/resolver.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/network.h"

#define NAMES_MAX_BYTES ((size_t) 64 << 20)

static void
names_path(const HostLayout *layout, char path[320])
{
	snprintf(path, 320, "%s/names/hosts", layout->run_directory);
}

void
resolver_record_path(const HostLayout *layout, char path[320])
{
	snprintf(path, 320, "%s/dnsmasq.pid", layout->run_directory);
}

/* It gives up root after its start, and then reads the file as this user. Debian's package makes one. */
static const char *
user_name(void)
{
	return getpwnam("dnsmasq") != NULL ? "dnsmasq" : "nobody";
}

char **
resolver_arguments(const HostLayout *layout)
{
	char **arguments = memory_allocate(20 * sizeof(*arguments));
	char gateway[16];
	char path[320];
	size_t count = 0;

	network_format_address(layout->subnet_address + 1, gateway);
	names_path(layout, path);
	arguments[count++] = memory_duplicate("dnsmasq");
	arguments[count++] = memory_duplicate("--keep-in-foreground");
	arguments[count++] = memory_duplicate("--conf-file=/dev/null");
	arguments[count++] = memory_duplicate("--pid-file=");
	arguments[count++] = memory_duplicate("--log-facility=-");
	arguments[count++] = memory_printf("--user=%s", user_name());
	arguments[count++] = memory_duplicate("--bind-interfaces");
	arguments[count++] = memory_printf("--listen-address=%s", gateway);
	arguments[count++] = memory_duplicate("--no-hosts");
	arguments[count++] = memory_printf("--addn-hosts=%s", path);
	arguments[count++] = memory_duplicate("--local=/" RESOLVER_DOMAIN "/");
	arguments[count++] = memory_duplicate("--dns-loop-detect");
	arguments[count++] = memory_duplicate("--no-ident");
	return arguments;
}

int
resolver_write_names(const HostLayout *layout, const ExposurePlan *plan, bool *ret_changed, Error *err)
{
	_cleanup_text_ Text names = {0};
	_cleanup_free_ char *before = NULL;
	char directory[300];
	char path[320];
	int result;

	names_path(layout, path);
	snprintf(directory, sizeof(directory), "%s/names", layout->run_directory);
	text_append(&names, "# Services of lttled, written anew whenever one changes.\n");
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];
		char address[16];

		if (!exposure->has_name)
			continue;
		network_format_address(exposure->address, address);
		text_printf(&names, "%s %s.%s." RESOLVER_DOMAIN "\n", address, exposure->name, exposure->name_space);
	}
	result = file_read(path, NAMES_MAX_BYTES, &before, NULL, err);
	if (result < 0 && result != -ENOENT)
		return result;
	if (result == 0 && strcmp(before, text_string(&names)) == 0)
	{
		*ret_changed = false;
		return 0;
	}
	result = file_make_directory(directory, 0755, err);
	if (result == 0)
		result = file_replace(path, text_string(&names), names.length, 0644, err);
	if (result == 0)
		*ret_changed = true;
	return result;
}

void
resolver_print_machine_conf(const HostLayout *layout, const char *name_space, Text *out)
{
	char gateway[16];

	network_format_address(layout->subnet_address + 1, gateway);
	text_printf(out, "nameserver %s\nsearch %s." RESOLVER_DOMAIN "\n", gateway, name_space);
}
