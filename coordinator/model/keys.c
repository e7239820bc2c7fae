/* The keys of the resources `volume` and `app`; see keys.h. */
#include "model/keys.h"

#define MIB	   UINT64_C(1048576)
#define SECOND UINT64_C(1000)
#define DAY	   (UINT64_C(86400) * SECOND)

#define FIELD(type, member) .offset = offsetof(type, member), .bytes = sizeof(((type *) 0)->member)
#define ARRAY(type, member, count, element)                                                                            \
	.offset = offsetof(type, member), .count_offset = offsetof(type, count), .bytes = sizeof(element)

#define TAGS_KEY                                                                                                       \
	{                                                                                                                  \
		.name = "tags", .type = KEY_NOT_OFFERED, .doc = "Labels for searching."                                        \
	}

static const Choice volume_modes[] = {
	{.word = "writeable", .value = VOLUME_WRITEABLE, .doc = "one app may write to it"},
	{.word = "read-only", .value = VOLUME_READ_ONLY, .doc = "any number of apps may read it"},
	{0},
};

static const Key volume_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(VolumeSpec, name),
	 .example = "pgdata",
	 .doc = "The name of the volume, unique in its namespace."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback = "default",
	 FIELD(VolumeSpec, name_space),
	 .example = "samples",
	 .doc = "The namespace that it belongs to."},
	{.name = "mode",
	 .type = KEY_CHOICE,
	 .fallback = "writeable",
	 .choices = volume_modes,
	 FIELD(VolumeSpec, mode),
	 .example = "writeable",
	 .doc = "Whether machines may write to it."},
	{.name = "size",
	 .type = KEY_SIZE,
	 .required = true,
	 .minimum = 16 * MIB,
	 .maximum = 16 * MIB * MIB,
	 FIELD(VolumeSpec, size_bytes),
	 .example = "100Mi",
	 .doc = "How much it holds. A real limit: writing more fails with \"No space left on device\"."},
	TAGS_KEY,
	{0},
};

static const Key resources_keys[] = {
	{.name = "cpu",
	 .type = KEY_NUMBER,
	 .fallback = "1",
	 .minimum = 1,
	 .maximum = 24,
	 FIELD(AppSpec, cpus),
	 .example = "1",
	 .doc = "How many CPUs the machine may use at once."},
	{.name = "memory",
	 .type = KEY_NUMBER,
	 .fallback = "256",
	 .minimum = 64,
	 .maximum = MIB,
	 .unit = "MiB",
	 FIELD(AppSpec, memory_mib),
	 .example = "256",
	 .doc = "How much memory the machine may use."},
	{0},
};

static const Choice flash_strategies[] = {
	{.word = "manual",
	 .value = STRATEGY_MANUAL,
	 .doc = "the extension `lttle_pg` triggers the first snapshot-and-suspend when PostgreSQL is ready"},
	{.word = "first-listen", .value = CHOICE_NOT_OFFERED},
	{.word = "nth-listen", .value = CHOICE_NOT_OFFERED},
	{.word = "listen-on-port", .value = CHOICE_NOT_OFFERED},
	{0},
};

static const Choice snapshot_places[] = {
	{.word = "memory", .value = SNAPSHOT_MEMORY, .doc = "the machine is suspended, and its memory kept"},
	{.word = "disk",
	 .value = SNAPSHOT_DISK,
	 .doc = "the machine is hibernated: a snapshot on disk, no process, no memory"},
	{0},
};

static const Key flash_keys[] = {
	{.name = "strategy",
	 .type = KEY_CHOICE,
	 .required = true,
	 .choices = flash_strategies,
	 FIELD(AppSpec, strategy),
	 .example = "manual",
	 .doc = "What triggers the first snapshot-and-suspend."},
	{.name = "timeout",
	 .type = KEY_DURATION,
	 .fallback = "10s",
	 .minimum = 10,
	 .maximum = 30 * DAY,
	 FIELD(AppSpec, timeout_ms),
	 .example = "3",
	 .doc = "The machine suspends this long after its last activity."},
	{.name = "snapshot",
	 .type = KEY_CHOICE,
	 .fallback = "memory",
	 .choices = snapshot_places,
	 FIELD(AppSpec, snapshot),
	 .example = "disk",
	 .doc = "Where the manual trigger leads: the first one, when PostgreSQL is ready, and `lttle.flash_snapshot()`."},
	{.name = "hibernate-after",
	 .type = KEY_DURATION,
	 .fallback_note = "never by time",
	 .minimum = 10,
	 .maximum = 365 * DAY,
	 FIELD(AppSpec, hibernate_after_ms),
	 .example = "15m",
	 .doc = "A machine that has been suspended for this long goes to disk."},
	{0},
};

static const Choice machine_modes[] = {
	{.word = "regular", .value = MODE_REGULAR, .doc = "never suspended"},
	{.word = "flash", .value = MODE_FLASH, .keys = flash_keys, .doc = "suspends by itself and wakes on traffic"},
	{0},
};

static const Key volume_mount_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(VolumeMount, name),
	 .example = "pgdata",
	 .doc = "The volume's name."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback_note = "the app's",
	 FIELD(VolumeMount, name_space),
	 .example = "samples",
	 .doc = "The volume's namespace."},
	{.name = "path",
	 .type = KEY_PATH,
	 .required = true,
	 FIELD(VolumeMount, path),
	 .example = "/var/lib/postgresql/data",
	 .doc = "Where it is mounted in the machine."},
	{0},
};

static const Key internal_keys[] = {
	{.name = "port",
	 .type = KEY_NUMBER,
	 .fallback_note = "the machine's port",
	 .minimum = 1,
	 .maximum = 65535,
	 FIELD(Expose, internal_port),
	 .example = "5432",
	 .doc = "The port of the service."},
	{0},
};

static const Key traffic_aware_keys[] = {
	{.name = "inactivity-timeout",
	 .type = KEY_DURATION,
	 .fallback = "10s",
	 .minimum = 10,
	 .maximum = 30 * DAY,
	 FIELD(Expose, inactivity_timeout_ms),
	 .example = "10",
	 .doc = "A connection that was silent for this long no longer counts as activity."},
	{0},
};

static const Choice connection_trackings[] = {
	{.word = "connection-aware",
	 .value = TRACKING_CONNECTION_AWARE,
	 .doc = "an open connection keeps the machine awake"},
	{.word = "traffic-aware",
	 .value = TRACKING_TRAFFIC_AWARE,
	 .keys = traffic_aware_keys,
	 .doc = "silent connections stay open and the machine sleeps under them"},
	{0},
};

static const Key expose_keys[] = {
	{.name = "port",
	 .type = KEY_NUMBER,
	 .required = true,
	 .minimum = 1,
	 .maximum = 65535,
	 FIELD(Expose, port),
	 .example = "5432",
	 .doc = "The TCP port that the server listens on in the machine."},
	{.name = "internal",
	 .type = KEY_MAP,
	 .keys = internal_keys,
	 .doc = "Reachable inside the host, as `<app>-<name>.<namespace>.svc.lttle.local`."},
	{.name = "connection-tracking",
	 .type = KEY_CHOICE,
	 .fallback = "connection-aware",
	 .choices = connection_trackings,
	 FIELD(Expose, tracking),
	 .example = "connection-aware",
	 .doc = "Which connections keep the machine awake."},
	{.name = "external", .type = KEY_NOT_OFFERED, .doc = "Reachable from outside the host."},
	{0},
};

static const Key app_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(AppSpec, name),
	 .example = "postgresql",
	 .doc = "The name of the app and of its machine, unique in its namespace."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback = "default",
	 FIELD(AppSpec, name_space),
	 .example = "samples",
	 .doc = "The namespace that it belongs to."},
	{.name = "image",
	 .type = KEY_IMAGE,
	 .required = true,
	 FIELD(AppSpec, image),
	 .example = "ghcr.io/lttle-cloud/postgres:17-flash",
	 .doc = "The OCI image that the machine runs."},
	{.name = "resources", .type = KEY_MAP, .keys = resources_keys, .doc = "What the machine may use."},
	{.name = "mode",
	 .type = KEY_CHOICE,
	 .fallback = "regular",
	 .choices = machine_modes,
	 FIELD(AppSpec, mode),
	 .example = "regular",
	 .doc = "Whether the machine suspends."},
	{.name = "environment",
	 .type = KEY_ENVIRONMENT,
	 .maximum = 1000,
	 ARRAY(AppSpec, environment, environment_count, EnvironmentVariable),
	 .doc = "Environment variables. Numbers and booleans are taken as they are written."},
	{.name = "volumes",
	 .type = KEY_MAP_LIST,
	 .maximum = 32,
	 .keys = volume_mount_keys,
	 ARRAY(AppSpec, volumes, volume_count, VolumeMount),
	 .mark_offset = offsetof(VolumeMount, mark),
	 .doc = "The volumes that the machine gets."},
	{.name = "expose",
	 .type = KEY_NAMED_MAPS,
	 .maximum = 64,
	 .keys = expose_keys,
	 ARRAY(AppSpec, exposes, expose_count, Expose),
	 .mark_offset = offsetof(Expose, mark),
	 .doc = "The services: a map from a name of your choice. `access` of the app `postgresql` becomes the service "
			"`postgresql-access`."},
	{.name = "command",
	 .type = KEY_TEXT_LIST,
	 .fallback_note = "the image's",
	 .maximum = 256,
	 FIELD(AppSpec, command),
	 .example = "[postgres, -c, log_statement=all]",
	 .doc = "The command and its arguments, given to the image's entrypoint."},
	TAGS_KEY,
	{.name = "build", .type = KEY_NOT_OFFERED, .doc = "Building an image at deployment."},
	{.name = "restart-policy",
	 .type = KEY_NOT_OFFERED,
	 .doc = "A machine that ends is always started again, at growing intervals."},
	{.name = "depends-on", .type = KEY_NOT_OFFERED, .doc = "Waiting for other machines."},
	{0},
};

const KindKeys resource_kinds[] = {
	{"volume", RESOURCE_VOLUME, volume_keys, "A file system of a fixed size that outlives machines."},
	{"app", RESOURCE_APP, app_keys, "A machine and the services that make it reachable."},
	{"machine", CHOICE_NOT_OFFERED, NULL, NULL},
	{"service", CHOICE_NOT_OFFERED, NULL, NULL},
	{"certificate", CHOICE_NOT_OFFERED, NULL, NULL},
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
