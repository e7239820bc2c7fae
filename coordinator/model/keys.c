/* The kinds of resources; see keys.h. */
#include "model/keys.h"

const KindKeys resource_kinds[] = {
	{.name = "volume",
	 .kind = RESOURCE_VOLUME,
	 .keys = volume_keys,
	 .doc = "A file system of a fixed size that outlives machines."},
	{.name = "app",
	 .kind = RESOURCE_APP,
	 .keys = app_keys,
	 .doc = "A machine and the services that make it reachable.",
	 .one_of = {"image", "build"}},
	{.name = "machine",
	 .kind = RESOURCE_MACHINE,
	 .keys = app_keys + 1,
	 .doc = "A machine. Services make it reachable; an app is both in one.",
	 .one_of = {"image", "build"}},
	{.name = "service",
	 .kind = RESOURCE_SERVICE,
	 .keys = service_keys,
	 .doc = "A way to a machine that is a document of its own."},
	{.name = "postgres",
	 .kind = RESOURCE_POSTGRES,
	 .keys = postgres_keys,
	 .doc = "A PostgreSQL cluster: an app, a volume, and users with their credentials."},
	{.name = "certificate",
	 .kind = CHOICE_NOT_OFFERED,
	 .doc = "lttle's hosted service orders and renews certificates; this host does not"},
	{.name = NULL},
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
