/* The keys of the resource `service`, and those that an app's `expose` shares with it; see keys.h. */
#include <arpa/inet.h>
#include <string.h>

#include "model/keys_private.h"

const Key internal_keys[] = {
	{.name = "port",
	 .type = KEY_NUMBER,
	 .fallback_note = "the machine's port",
	 .minimum = 1,
	 .maximum = 65535,
	 FIELD(ServiceBinding, port),
	 .example = "5432",
	 .doc = "The port of the service."},
	{0},
};

/* A host name, or an address. NULL or what is wrong with it. */
static const char *
check_host(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];
	size_t label = 0;

	if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
		return NULL;
	for (const char *c = text; *c != '\0'; c++)
	{
		bool alphanumeric = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (*c == '.' ? label == 0 || c[-1] == '-' : !alphanumeric && (*c != '-' || label == 0))
			return "must be a host name such as db.example.com, or an address";
		label = *c == '.' ? 0 : label + 1;
		if (label > 63)
			return "a part of a host name has at most 63 characters";
	}
	if (label == 0 || text[strlen(text) - 1] == '-')
		return "must be a host name such as db.example.com, or an address";
	return NULL;
}

static const Choice external_protocols[] = {
	{.word = "tcp", .value = EXTERNAL_TCP, .doc = "bytes, as they come"},
	{.word = "tls", .value = EXTERNAL_TLS, .doc = "TLS, told apart by the host name that clients ask for (SNI)"},
	{.word = "http", .value = EXTERNAL_HTTP, .doc = "HTTP, told apart by the host name that clients ask for"},
	{.word = "https", .value = EXTERNAL_HTTPS, .doc = "the same within TLS"},
	{0},
};

const Key external_keys[] = {
	{.name = "protocol",
	 .type = KEY_CHOICE,
	 .required = true,
	 .choices = external_protocols,
	 FIELD(ServiceBinding, protocol),
	 .example = "tcp",
	 .doc = "What clients speak."},
	{.name = "host",
	 .type = KEY_WORD,
	 .check = check_host,
	 .fallback_note = "`localhost`",
	 FIELD(ServiceBinding, host),
	 .example = "db.example.com",
	 .doc = "The host name that clients ask for; with `tcp` an address of this host to listen on, or `localhost`."},
	{.name = "port",
	 .type = KEY_NUMBER,
	 .fallback_note = "80 for `http`, 443 for `https`, else the machine's port",
	 .minimum = 1,
	 .maximum = 65535,
	 FIELD(ServiceBinding, port),
	 .example = "5432",
	 .doc = "The port of the host."},
	{0},
};

static const Key ignore_keys[] = {
	{.name = "users",
	 .type = KEY_TEXT_LIST,
	 .fallback_note = "nobody",
	 .maximum = 64,
	 FIELD(ServiceTracking, ignored_users),
	 .example = "[monitoring]",
	 .doc = "Users of PostgreSQL."},
	{.name = "application-names",
	 .type = KEY_TEXT_LIST,
	 .fallback_note = "none",
	 .maximum = 64,
	 FIELD(ServiceTracking, ignored_applications),
	 .example = "[pgbouncer-check]",
	 .doc = "Values of `application_name`."},
	{0},
};

#define IGNORE_KEY                                                                                                     \
	{                                                                                                                  \
		.name = "ignore", .type = KEY_MAP, .keys = ignore_keys,                                                        \
		.doc = "Sessions of PostgreSQL that are served, and wake the machine, but neither keep it awake nor count as " \
			   "activity: monitoring, pollers."                                                                        \
	}

static const Key connection_aware_keys[] = {IGNORE_KEY, {0}};

static const Key traffic_aware_keys[] = {
	{.name = "inactivity-timeout",
	 .type = KEY_DURATION,
	 .fallback = "10s",
	 .minimum = 10,
	 .maximum = 30 * DAY,
	 FIELD(ServiceTracking, inactivity_timeout_ms),
	 .example = "10",
	 .doc = "A connection that was silent for this long no longer counts as activity."},
	IGNORE_KEY,
	{0},
};

const Choice connection_trackings[] = {
	{.word = "connection-aware",
	 .value = TRACKING_CONNECTION_AWARE,
	 .keys = connection_aware_keys,
	 .doc = "an open connection keeps the machine awake"},
	{.word = "traffic-aware",
	 .value = TRACKING_TRAFFIC_AWARE,
	 .keys = traffic_aware_keys,
	 .doc = "silent connections stay open and the machine sleeps under them"},
	{0},
};

static const Choice target_protocols[] = {
	{.word = "tcp", .value = TARGET_TCP, .doc = "bytes; what PostgreSQL, Redis and most others need"},
	{.word = "http", .value = TARGET_HTTP, .doc = "HTTP"},
	{0},
};

static const Key target_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(ServiceSpec, target_name),
	 .example = "postgresql",
	 .doc = "The machine, or the app."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback_note = "the service's",
	 FIELD(ServiceSpec, target_name_space),
	 .example = "samples",
	 .doc = "Its namespace."},
	{.name = "port",
	 .type = KEY_NUMBER,
	 .required = true,
	 .minimum = 1,
	 .maximum = 65535,
	 FIELD(ServiceSpec, target_port),
	 .example = "5432",
	 .doc = "The TCP port that the server listens on in the machine."},
	{.name = "protocol",
	 .type = KEY_CHOICE,
	 .fallback = "tcp",
	 .choices = target_protocols,
	 FIELD(ServiceSpec, target_protocol),
	 .example = "tcp",
	 .doc = "What the server speaks."},
	{.name = "connection-tracking",
	 .type = KEY_CHOICE,
	 .fallback = "connection-aware",
	 .choices = connection_trackings,
	 .base = offsetof(ServiceSpec, tracking),
	 FIELD(ServiceSpec, tracking.kind),
	 .example = "connection-aware",
	 .doc = "Which connections keep the machine awake."},
	{0},
};

static const Choice service_binds[] = {
	{.word = "internal",
	 .value = BIND_INTERNAL,
	 .keys = internal_keys,
	 .doc = "reachable inside the host, as `<name>.<namespace>.svc.lttle.local`"},
	{.word = "external", .value = BIND_EXTERNAL, .keys = external_keys, .doc = "reachable by a port of the host"},
	{.word = "tcp", .value = BIND_TCP, .doc = "reachable at the machine's own address and port, without a name"},
	{0},
};

const Key service_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(ServiceSpec, name),
	 .example = "db",
	 .doc = "The name of the service, unique in its namespace."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback = "default",
	 FIELD(ServiceSpec, name_space),
	 .example = "samples",
	 .doc = "The namespace that it belongs to."},
	TAGS_KEY(ServiceSpec),
	{.name = "target", .type = KEY_MAP, .keys = target_keys, .doc = "Where it leads to."},
	{.name = "bind",
	 .type = KEY_CHOICE,
	 .required = true,
	 .choices = service_binds,
	 .base = offsetof(ServiceSpec, bind),
	 FIELD(ServiceSpec, bind.kind),
	 .example = "internal",
	 .doc = "Where it is reachable."},
	{0},
};
