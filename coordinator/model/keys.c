/* The kinds of resources; see keys.h. */
#include "model/keys.h"

const KindKeys resource_kinds[] = {
	{"volume", RESOURCE_VOLUME, volume_keys, "A file system of a fixed size that outlives machines."},
	{"app", RESOURCE_APP, app_keys, "A machine and the services that make it reachable."},
	{"machine", RESOURCE_MACHINE, app_keys + 1, "A machine. Services make it reachable; an app is both in one."},
	{"service", RESOURCE_SERVICE, service_keys, "A way to a machine that is a document of its own."},
	{"postgres", RESOURCE_POSTGRES, postgres_keys,
	 "A PostgreSQL cluster: an app, a volume, and users with their credentials."},
	{"certificate", CHOICE_NOT_OFFERED, NULL,
	 "lttle's hosted service orders and renews certificates; this host does not"},
	{0},
};

const KindKeys *
resource_kind_keys(ResourceKind kind)
{
	const KindKeys *entry = resource_kinds;

	while (entry->kind != (int) kind)
		entry++;
	return entry;
}

const char *
resource_kind_name(ResourceKind kind)
{
	return resource_kind_keys(kind)->name;
}
