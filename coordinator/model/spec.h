/*
 * What a user wrote, checked and in plain structs: the resources `volume`, `machine`, `app`, `service` and `postgres`.
 * Key names, types, ranges and defaults stand in the tables of model/keys*.c, which also print
 * docs/reference/resources.md, and by which specs are read, written as JSON, compared, copied and freed.
 *
 * Convention of the format: the lttle documents (https://docs.lttle.cloud), kebab-case keys, one top-level key per
 * YAML document that names the kind.
 */
#ifndef MODEL_SPEC_H
#define MODEL_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/secret.h"

#define NAME_MAX_BYTES 63

/* A place in a file, counted from 1; 0 when it does not come from a file. */
typedef struct SourceMark
{
	unsigned line;
	unsigned column;
	unsigned file; /* of those that are read together, from 0 */
} SourceMark;

typedef enum ResourceKind
{
	RESOURCE_VOLUME,
	RESOURCE_APP,
	RESOURCE_MACHINE, /* an AppSpec too, without exposes */
	RESOURCE_SERVICE,
	RESOURCE_POSTGRES
} ResourceKind;

/* What every spec begins with. */
typedef struct ResourceHead
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
} ResourceHead;

typedef enum VolumeMode
{
	VOLUME_WRITEABLE,
	VOLUME_READ_ONLY
} VolumeMode;

typedef struct VolumeSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char **tags; /* NULL-terminated; NULL: none. So in every spec. */
	VolumeMode mode;
	uint64_t size_bytes;
} VolumeSpec;

typedef enum MachineMode
{
	MODE_REGULAR,
	MODE_FLASH
} MachineMode;

/* What triggers the first snapshot-and-suspend. */
typedef enum FlashStrategy
{
	STRATEGY_MANUAL,		  /* the program itself, over the flash channel */
	STRATEGY_FIRST_LISTEN,	  /* the first listen(2) that succeeds */
	STRATEGY_NTH_LISTEN,	  /* the strategy_argument-th */
	STRATEGY_LISTEN_ON_PORT,  /* one on port strategy_argument */
	STRATEGY_USER_SPACE_READY /* the first process runs the image's program */
} FlashStrategy;

/* Where the first trigger leads. */
typedef enum SnapshotPlace
{
	SNAPSHOT_MEMORY, /* suspended, its memory kept */
	SNAPSHOT_DISK	 /* hibernated */
} SnapshotPlace;

/* What happens when the first process ends by itself. */
typedef enum RestartPolicy
{
	RESTART_ALWAYS,		/* it is started again, after a growing delay */
	RESTART_ON_FAILURE, /* the same, unless it ended with exit status 0: then it is stopped */
	RESTART_NEVER,		/* it is stopped */
	RESTART_REMOVE		/* the app or machine is deleted */
} RestartPolicy;

typedef enum ConnectionTracking
{
	TRACKING_CONNECTION_AWARE, /* an open connection keeps the machine awake */
	TRACKING_TRAFFIC_AWARE	   /* silent connections stay open and the machine sleeps under them */
} ConnectionTracking;

/* Which of a service's connections count. Sessions of PostgreSQL of an ignored user or application are served, and wake
 * the machine, but neither keep it awake nor count as activity. */
typedef struct ServiceTracking
{
	ConnectionTracking kind;
	uint64_t inactivity_timeout_ms; /* traffic-aware only: silence after which a connection no longer counts */
	char **ignored_users;
	char **ignored_applications;
} ServiceTracking;

typedef enum ServiceBind
{
	BIND_INTERNAL, /* a name and a port inside the host */
	BIND_EXTERNAL, /* a port of the host */
	BIND_TCP	   /* the machine's own address and port, no name */
} ServiceBind;

typedef enum ExternalProtocol
{
	EXTERNAL_TCP,
	EXTERNAL_TLS,
	EXTERNAL_HTTP,
	EXTERNAL_HTTPS
} ExternalProtocol;

#define SERVICE_HOST_BYTES 254

typedef struct ServiceBinding
{
	ServiceBind kind;
	uint16_t port;				   /* never 0; as a client sees it */
	char host[SERVICE_HOST_BYTES]; /* external: a host name or an address of the host; empty: the host itself */
	ExternalProtocol protocol;	   /* external only */
} ServiceBinding;

typedef enum TargetProtocol
{
	TARGET_TCP,
	TARGET_HTTP
} TargetProtocol;

/* A way to a machine: from a `service` document, or from an entry of app.expose (service_spec_of_expose). */
typedef struct ServiceSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char **tags;
	char expose[NAME_MAX_BYTES + 1]; /* the entry of app.expose that it stands for; empty: a document of its own */
	char target_name_space[NAME_MAX_BYTES + 1];
	char target_name[NAME_MAX_BYTES + 1]; /* a machine or an app */
	uint16_t target_port;
	TargetProtocol target_protocol;
	ServiceTracking tracking;
	ServiceBinding bind;
} ServiceSpec;

typedef struct EnvironmentVariable
{
	char *name;
	char *value;
	SourceMark mark; /* of the name */
} EnvironmentVariable;

typedef struct VolumeMount
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char *path;
	SourceMark mark; /* where it begins */
} VolumeMount;

/* A secret of the machine's namespace as a file in it. */
typedef struct SecretFile
{
	char name[SECRET_NAME_MAX_BYTES + 1];
	char *path;
	SourceMark mark;
} SecretFile;

typedef struct Dependency
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1]; /* a machine or an app */
	SourceMark mark;
} Dependency;

typedef struct Expose
{
	char name[NAME_MAX_BYTES + 1];
	uint16_t port; /* in the machine */
	bool is_internal;
	bool is_external;
	ServiceBinding bind;
	ServiceTracking tracking;
	SourceMark mark;
} Expose;

typedef enum BuildKind
{
	BUILD_NONE,
	BUILD_DOCKER
} BuildKind;

typedef struct BuildSpec
{
	BuildKind kind;
	char *context;	  /* as written; relative to the directory of the file */
	char *dockerfile; /* relative to the context */
	EnvironmentVariable *arguments;
	size_t argument_count;
} BuildSpec;

/* An app, or a machine. */
typedef struct AppSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char **tags;
	ResourceKind kind; /* RESOURCE_APP or RESOURCE_MACHINE */
	char *image;	   /* NULL: it is built */
	BuildSpec build;
	Dependency *dependencies; /* in the file's order */
	size_t dependency_count;
	unsigned cpus;		 /* whole CPUs */
	uint64_t memory_mib; /* MiB */
	MachineMode mode;
	FlashStrategy strategy;			  /* flash only */
	unsigned strategy_argument;		  /* of nth-listen and listen-on-port */
	uint64_t timeout_ms;			  /* flash only: suspend this long after the last activity */
	SnapshotPlace snapshot;			  /* flash only: where the manual trigger leads */
	uint64_t hibernate_after_ms;	  /* flash only: suspended machines go to disk after this; 0: never by time */
	RestartPolicy restart_policy;	  /* when the first process ends by itself */
	EnvironmentVariable *environment; /* sorted by name; the values are templates, see expression.h */
	size_t environment_count;
	SecretFile *secrets; /* in the file's order */
	size_t secret_count;
	VolumeMount *volumes; /* in the file's order */
	size_t volume_count;
	Expose *exposes; /* in the file's order */
	size_t expose_count;
	char **command;		 /* NULL-terminated; NULL: the image's */
	char **init_scripts; /* files and directories of the host; absolute, where the file's own directory is known */
} AppSpec;

/* What a user of a cluster may do in a database. */
typedef enum PostgresLevel
{
	POSTGRES_LEVEL_NONE, /* never of a spec that was read */
	POSTGRES_OWNER,		 /* owns the database */
	POSTGRES_READWRITE,	 /* reads and writes the tables of the schemas, also later ones */
	POSTGRES_READONLY,	 /* reads them */
	POSTGRES_METADATA	 /* may see what there is in them, and how it is made, through a group role */
} PostgresLevel;

typedef struct PostgresAccess
{
	char *database; /* never NULL in a spec that was read, and one of the cluster's */
	char **schemas; /* NULL: of an owner; otherwise never in a spec that was read */
	PostgresLevel level;
	SourceMark mark;
} PostgresAccess;

typedef struct PostgresUser
{
	char *name;		   /* 1 to 63 bytes, anything but control characters: to be quoted in SQL */
	char **roles;	   /* NULL: Login and Inherit; see postgres_user_roles */
	char **namespaces; /* that get the credentials besides the cluster's own; NULL: none */
	PostgresAccess *access;
	size_t access_count;
	SourceMark mark;
} PostgresUser;

typedef struct PostgresDatabase
{
	char *name;	 /* as of a user */
	char *owner; /* a user of the cluster; NULL: the superuser */
	SourceMark mark;
} PostgresDatabase;

/* Named amounts of processors, memory and storage. */
typedef enum PostgresSize
{
	POSTGRES_SIZE_NONE, /* `resources` says it */
	POSTGRES_TINY,
	POSTGRES_SMALL,
	POSTGRES_MEDIUM,
	POSTGRES_LARGE,
	POSTGRES_HUGE
} PostgresSize;

/* A PostgreSQL cluster: it becomes an app, a volume and secrets; see postgres_spec.h. */
typedef struct PostgresSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char **tags;
	unsigned version;				 /* major */
	PostgresSize size;				 /* POSTGRES_SIZE_NONE with has_resources, and only then */
	bool has_resources;				 /* machine.cpus and .memory_mib are written */
	uint64_t storage_bytes;			 /* 0: as the size says; see postgres_spec_storage_bytes */
	char volume[NAME_MAX_BYTES + 1]; /* one that is deployed by itself; empty: the cluster's own, NAME-data */
	char *database;					 /* the one that is made at the first start; never NULL in a spec that was read */
	PostgresDatabase *databases;	 /* others */
	size_t database_count;
	PostgresUser *users;
	size_t user_count;
	char **init_scripts;			 /* files or directories; relative ones as placed by resource_files_parse */
	EnvironmentVariable *parameters; /* of postgresql.conf; sorted by name */
	size_t parameter_count;
	EnvironmentVariable *values; /* for the namespace; sorted by name */
	size_t value_count;
	AppSpec machine; /* only image (NULL: postgres_spec_image), cpus and memory_mib (0: as the size says), mode, exposes
						and restart_policy */
} PostgresSpec;

const char *resource_kind_name(ResourceKind kind);

typedef struct Resource
{
	ResourceKind kind;
	bool of_cluster; /* app, volume: not written, but made for a cluster; its place is the cluster's */
	SourceMark mark; /* of the kind's key */
	union
	{
		ResourceHead head;
		VolumeSpec volume;
		AppSpec app; /* also of a machine */
		ServiceSpec service;
		PostgresSpec postgres;
	};
} Resource;

/* Whether it is an app or a machine. */
bool resource_is_machine(const Resource *resource);

typedef struct ResourceSet
{
	Resource *resources; /* in the file's order */
	size_t count;
} ResourceSet;

/* One thing that is wrong with a file. Line and column count from 1. */
typedef struct Diagnostic
{
	unsigned line;
	unsigned column;
	unsigned file;		/* as in SourceMark */
	char key_path[128]; /* "app.resources.memory"; empty when it is about the file */
	char message[768];	/* what is wrong and what would be right */
} Diagnostic;

typedef struct DiagnosticList
{
	Diagnostic *items;
	size_t count;
	size_t capacity;
} DiagnosticList;

/* A list holds at most 100; the 100th then says that the rest is not shown. */
#define DIAGNOSTICS_MAX 100
void diagnostic_list_add(DiagnosticList *list, const Diagnostic *diagnostic);
void diagnostic_list_clear(DiagnosticList *list);

/* "FILE:LINE:COLUMN: KEY.PATH: message", one diagnostic, no newline. The caller frees. */
char *diagnostic_format(const char *file, const Diagnostic *diagnostic);

/* One of the files that are deployed together. */
typedef struct ResourceFile
{
	const char *name;	   /* as the user calls it, for messages */
	const char *directory; /* absolute; what `build` is relative to; NULL: not known */
	const char *text;
	size_t size;
} ResourceFile;

/* What expressions can say; see expression.h. */
typedef struct Variables
{
	const EnvironmentVariable *vars;
	size_t var_count;
	const EnvironmentVariable *env;
	size_t env_count;
	const char *name_space;		 /* NULL: "default" */
	const char *commit_sha;		 /* NULL: not known */
	const SecretSource *secrets; /* of values, and of secrets at a machine's start; NULL: none is known */
} Variables;

/*
 * Reads files that belong together, as resource_set_parse reads one; expressions are worked out. A name must be unique
 * in all of them.
 */
int resource_files_parse(const ResourceFile *files, size_t count, const Variables *variables, ResourceSet *ret_set,
						 DiagnosticList *diagnostics) MUST_CHECK;

/*
 * Reads all documents of a file. Everything that is wrong is collected, not only the first thing; ret_set is written
 * only when nothing is. Names must be unique in a file. References are the caller's to check, because what they name
 * may already be deployed: see resource_set_check_references.
 * Returns 0, or -EINVAL with at least one diagnostic. The input is untrusted: at most 1 MiB, bounded depth and
 * counts, no aliases (libyaml's billion laughs).
 */
int resource_set_parse(const char *text, size_t size, ResourceSet *ret_set, DiagnosticList *diagnostics) MUST_CHECK;
void resource_set_clear(ResourceSet *set);

/* What is deployed already, for resource_set_check_references. */
typedef struct DeployedResources
{
	void *context;
	const VolumeSpec *(*find_volume)(void *context, const char *name_space, const char *name); /* NULL: none */
	bool (*has_machine)(void *context, const char *name_space, const char *name);			   /* or app */
} DeployedResources;

/*
 * Checks that every volume that is mounted and every machine that is targeted is in the set or deployed, that no
 * writeable volume is mounted by two machines of the set, and that no two resources of it make the same service. Adds
 * diagnostics at the place of the reference. What machines depend on is deploy_order's to check.
 */
int resource_set_check_references(const ResourceSet *set, const DeployedResources *deployed,
								  DiagnosticList *diagnostics) MUST_CHECK;

/* Deep copies and frees what a spec holds. */
void volume_spec_copy(const VolumeSpec *from, VolumeSpec *ret_to);
void volume_spec_clear(VolumeSpec *spec);
void app_spec_copy(const AppSpec *from, AppSpec *ret_to);
void app_spec_clear(AppSpec *spec);
void service_spec_copy(const ServiceSpec *from, ServiceSpec *ret_to);
void service_spec_clear(ServiceSpec *spec);
void postgres_spec_copy(const PostgresSpec *from, PostgresSpec *ret_to);
void postgres_spec_clear(PostgresSpec *spec);

/* The service that an entry of app.expose stands for: "<app>-<name>" in the app's namespace. A deep copy. */
void service_spec_of_expose(const AppSpec *app, const Expose *expose, ServiceSpec *ret_service);

/* The JSON form: what the store keeps and the API shows. Keys are the YAML keys. The caller owns the result. */
struct json_t;
struct json_t *volume_spec_to_json(const VolumeSpec *spec);
struct json_t *app_spec_to_json(const AppSpec *spec);
struct json_t *service_spec_to_json(const ServiceSpec *spec);
struct json_t *postgres_spec_to_json(const PostgresSpec *spec);
int volume_spec_from_json(const struct json_t *json, VolumeSpec *ret_spec, Error *err) MUST_CHECK;
/* kind: RESOURCE_APP or RESOURCE_MACHINE */
int app_spec_from_json(ResourceKind kind, const struct json_t *json, AppSpec *ret_spec, Error *err) MUST_CHECK;
int service_spec_from_json(const struct json_t *json, ServiceSpec *ret_spec, Error *err) MUST_CHECK;
int postgres_spec_from_json(const struct json_t *json, PostgresSpec *ret_spec, Error *err) MUST_CHECK;

/*
 * What differs, one line a key, for people: "resources.memory: 256 MiB → 512 MiB". needs_restart: whether a running
 * machine must be started anew for it to take effect (limits, time-outs and tracking are applied to the running one).
 * old_spec NULL: what is written in the new one, "resources.memory: 256 MiB".
 */
typedef struct SpecChanges
{
	char **lines;
	size_t count;
	bool needs_restart;
	size_t capacity;
} SpecChanges;
void app_spec_compare(const AppSpec *old_spec, const AppSpec *new_spec, SpecChanges *ret_changes);
void volume_spec_compare(const VolumeSpec *old_spec, const VolumeSpec *new_spec, SpecChanges *ret_changes);
void service_spec_compare(const ServiceSpec *old_spec, const ServiceSpec *new_spec, SpecChanges *ret_changes);
void postgres_spec_compare(const PostgresSpec *old_spec, const PostgresSpec *new_spec, SpecChanges *ret_changes);
/* Adds what only the caller knows. */
void spec_changes_add(SpecChanges *changes, const char *line, bool needs_restart);
void spec_changes_clear(SpecChanges *changes);

/* Names: begin with a letter; letters, digits, '-', '_'; no "--"; at most 63. NULL or what is wrong with it. */
const char *name_check(const char *name);

/* Sizes: "100Mi", "5GB", "50M". Ki Mi Gi Ti (or KiB …) are powers of 1024; K M G T (or KB …) powers of 1000; a bare
 * number is bytes. Returns NULL, or what is wrong with it (a static string). */
const char *size_parse(const char *text, uint64_t *ret_bytes);

/* Durations: "3s", "500ms", "2m", "1h", "1d", "1h30m", or a bare number of seconds. */
const char *duration_parse(const char *text, uint64_t *ret_ms);

/* "100Mi", "3s": the shortest form that reads back to the same. text: at least 32 bytes. */
void size_format(uint64_t bytes, char text[32]);
void duration_format(uint64_t ms, char text[32]);

/* The format of a document as a JSON Schema, from the key tables. The caller owns the result. */
struct json_t *resource_schema(void);

/* Writes docs/reference/resources.md from the key tables. */
void resource_reference_print(Text *out);

#endif
