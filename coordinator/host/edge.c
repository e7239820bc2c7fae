/* HAProxy's configuration; see edge.h and HAProxy's configuration manual. */
#include "host/edge.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/network.h"

#define CHECK_TIMEOUT_MS 30000
#define CONFIG_MAX_BYTES ((size_t) 16 << 20)

/*
 * A connect waits for as long as a cold start may take. Sessions may be silent for as long as they like: 24 days is the
 * longest that HAProxy knows; keepalive finds clients that are gone, and a machine's kernel answers it while it sleeps.
 */
static const char global_part[] = "global\n"
								  "  user %s\n"
								  "  stats socket %s/edge/haproxy.sock mode 600 level admin expose-fd listeners\n"
								  "  ssl-default-bind-options ssl-min-ver TLSv1.2\n"
								  "\n"
								  "defaults\n"
								  "  mode tcp\n"
								  "  timeout connect 5m\n"
								  "  timeout client 24d\n"
								  "  timeout server 24d\n"
								  "  timeout tunnel 24d\n"
								  "  timeout http-request 30s\n"
								  "  timeout http-keep-alive 60s\n"
								  "  option clitcpka\n"
								  "  option srvtcpka\n";

/* For who asks for a name that nobody has. */
static const char nobody_part[] =
	"\nbackend nobody\n"
	"  mode http\n"
	"  http-request return status 404 content-type text/plain string \"no such host\\n\"\n";

bool
edge_serves(const Exposure *exposure)
{
	return exposure->is_external && exposure->protocol != EXPOSURE_TCP;
}

bool
edge_is_needed(const ExposurePlan *plan)
{
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		if (edge_serves(&plan->exposures[i]))
			return true;
	}
	return false;
}

static bool
is_http(const Exposure *exposure)
{
	return exposure->protocol == EXPOSURE_HTTP || exposure->protocol == EXPOSURE_HTTPS;
}

static bool
speaks_tls(const Exposure *exposure)
{
	return exposure->protocol == EXPOSURE_HTTPS || (exposure->protocol == EXPOSURE_TLS && exposure->has_certificate);
}

static void
config_path(const HostLayout *layout, char path[320])
{
	snprintf(path, 320, "%s/edge/haproxy.cfg", layout->run_directory);
}

void
edge_record_path(const HostLayout *layout, char path[320])
{
	snprintf(path, 320, "%s/haproxy.pid", layout->run_directory);
}

char **
edge_arguments(const HostLayout *layout)
{
	char **arguments = memory_allocate(6 * sizeof(*arguments));
	char path[320];

	config_path(layout, path);
	arguments[0] = memory_duplicate("haproxy");
	arguments[1] = memory_duplicate("-W"); /* a master, which hands the listeners from worker to worker */
	arguments[2] = memory_duplicate("-q");
	arguments[3] = memory_duplicate("-f");
	arguments[4] = memory_duplicate(path);
	return arguments;
}

bool
edge_find_certificate(const char *directory, const char *host, char ret_path[512])
{
	const char *domain = strchr(host, '.');

	if (host[0] == '\0')
		host = "localhost";
	if ((size_t) snprintf(ret_path, 512, "%s/%s.pem", directory, host) < 512 && access(ret_path, R_OK) == 0)
		return true;
	return domain != NULL && (size_t) snprintf(ret_path, 512, "%s/_%s.pem", directory, domain) < 512 &&
		   access(ret_path, R_OK) == 0;
}

/* A service without a host name, or with an address in its place, is for whoever comes to the port. */
static bool
is_for_everybody(const Exposure *exposure)
{
	return exposure->host[0] == '\0' || exposure->host[strspn(exposure->host, "0123456789.")] == '\0';
}

static bool
same_port(const Exposure *a, const Exposure *b)
{
	return edge_serves(b) && a->host_address == b->host_address && a->host_port == b->host_port;
}

/* What a file of a certificate is now: a renewed one makes another configuration, which is read anew. */
static void
append_stamp(Text *stamps, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0)
		text_printf(stamps, "  # %s: %lld bytes of %lld.%09ld\n", path, (long long) status.st_size,
					(long long) status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

static void
append_bind(Text *config, const ExposurePlan *plan, const Exposure *first, const char *certificates)
{
	_cleanup_text_ Text stamps = {0};
	char address[16];

	network_format_address(first->host_address, address);
	text_printf(config, "  bind %s:%u", address, first->host_port);
	if (speaks_tls(first))
	{
		text_append(config, " ssl");
		for (size_t i = 0; i < plan->exposure_count; i++)
		{
			char path[512];

			if (same_port(first, &plan->exposures[i]) &&
				edge_find_certificate(certificates, plan->exposures[i].host, path))
			{
				text_printf(config, " crt %s", path);
				append_stamp(&stamps, path);
			}
		}
		text_append(config, is_http(first) ? " alpn h2,http/1.1" : " alpn postgresql");
	}
	text_printf(config, "\n%s", text_string(&stamps));
}

/* What the client's wish is read from. */
static const char *
wish_of(const Exposure *exposure)
{
	if (is_http(exposure))
		return "req.hdr(host),field(1,:)";
	return speaks_tls(exposure) ? "ssl_fc_sni" : "req.ssl_sni";
}

static void
append_frontend(Text *config, const ExposurePlan *plan, const Exposure *first, const char *certificates)
{
	text_printf(config, "\nfrontend port_%08x_%u\n  mode %s\n", first->host_address, first->host_port,
				is_http(first) ? "http" : "tcp");
	append_bind(config, plan, first, certificates);
	if (is_http(first))
		text_append(config, "  option http-server-close\n  option forwardfor\n");
	if (first->protocol == EXPOSURE_HTTPS)
		text_append(config, "  http-request set-header X-Forwarded-Proto https\n");
	else if (first->protocol == EXPOSURE_HTTP)
		text_append(config, "  http-request set-header X-Forwarded-Proto http\n");
	else if (!speaks_tls(first))
		text_append(config, "  tcp-request inspect-delay 30s\n"
							"  tcp-request content accept if { req.ssl_hello_type 1 }\n"
							"  tcp-request content reject if WAIT_END\n");
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];

		if (!same_port(first, exposure))
			continue;
		if (is_for_everybody(exposure))
			text_printf(config, "  default_backend %s.%s\n", exposure->name_space, exposure->name);
		else
			text_printf(config, "  use_backend %s.%s if { %s -i %s }\n", exposure->name_space, exposure->name,
						wish_of(exposure), exposure->host);
	}
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		if (same_port(first, &plan->exposures[i]) && is_for_everybody(&plan->exposures[i]))
			return;
	}
	if (is_http(first))
		text_append(config, "  default_backend nobody\n");
}

static void
append_config(Text *config, const HostLayout *layout, const ExposurePlan *plan, const char *certificates)
{
	text_append(config, "# Written by lttled, anew whenever a service changes.\n");
	text_printf(config, global_part, getpwnam("haproxy") != NULL ? "haproxy" : "nobody", layout->run_directory);
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		size_t before = 0;

		if (!edge_serves(&plan->exposures[i]))
			continue;
		while (!same_port(&plan->exposures[i], &plan->exposures[before]))
			before++;
		if (before == i)
			append_frontend(config, plan, &plan->exposures[i], certificates);
	}
	for (size_t i = 0; i < plan->exposure_count; i++)
	{
		const Exposure *exposure = &plan->exposures[i];
		char address[16];

		if (!edge_serves(exposure))
			continue;
		network_format_address(exposure->address, address);
		text_printf(config, "\nbackend %s.%s\n  mode %s\n  server machine %s:%u\n", exposure->name_space,
					exposure->name, is_http(exposure) ? "http" : "tcp", address, exposure->port);
	}
	text_append(config, nobody_part);
}

static int
check_config(const char *path, Error *err)
{
	const char *const argv[] = {"haproxy", "-c", "-q", "-f", path, NULL};
	int result = process_run(argv, CHECK_TIMEOUT_MS, NULL, err);

	return result == -ENOENT ? error_set(err, -ENOENT, "haproxy: is not installed") : result;
}

int
edge_write(const HostLayout *layout, const ExposurePlan *plan, const char *certificates, bool *ret_changed, Error *err)
{
	_cleanup_text_ Text config = {0};
	_cleanup_free_ char *before = NULL;
	char path[320];
	char next[328];
	int result;

	config_path(layout, path);
	snprintf(next, sizeof(next), "%s.next", path);
	append_config(&config, layout, plan, certificates);
	if (file_read(path, CONFIG_MAX_BYTES, &before, NULL, NULL) == 0 && strcmp(before, text_string(&config)) == 0)
	{
		*ret_changed = false;
		return 0;
	}
	snprintf(path, sizeof(path), "%s/edge", layout->run_directory);
	result = file_make_directory(path, 0700, err);
	config_path(layout, path);
	if (result == 0)
		result = file_replace(next, text_string(&config), config.length, 0600, err);
	if (result == 0)
		result = check_config(next, err);
	if (result == 0 && rename(next, path) < 0)
		result = error_set_errno(err, errno, "%s", path);
	if (result == 0)
		*ret_changed = true;
	return result;
}
