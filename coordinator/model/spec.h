/*
 * What a user wrote, checked and in plain structs: the resources `volume` and `app`. Key names, types, ranges and
 * defaults stand in the tables of model/keys.c, which also print docs/reference/resources.md.
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

#define NAME_MAX_BYTES 63

/* A place in a file, counted from 1; 0 when it does not come from a file. */
typedef struct SourceMark
{
	unsigned line;
	unsigned column;
} SourceMark;

typedef enum VolumeMode
{
	VOLUME_WRITEABLE,
	VOLUME_READ_ONLY
} VolumeMode;

typedef struct VolumeSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	VolumeMode mode;
	uint64_t size_bytes;
} VolumeSpec;

typedef enum MachineMode
{
	MODE_REGULAR,
	MODE_FLASH
} MachineMode;

typedef enum FlashStrategy
{
	STRATEGY_MANUAL
} FlashStrategy;

/* Where the manual trigger leads. */
typedef enum SnapshotPlace
{
	SNAPSHOT_MEMORY, /* suspended, its memory kept */
	SNAPSHOT_DISK	 /* hibernated */
} SnapshotPlace;

typedef enum ConnectionTracking
{
	TRACKING_CONNECTION_AWARE, /* an open connection keeps the machine awake */
	TRACKING_TRAFFIC_AWARE	   /* silent connections stay open and the machine sleeps under them */
} ConnectionTracking;

typedef struct EnvironmentVariable
{
	char *name;
	char *value;
} EnvironmentVariable;

typedef struct VolumeMount
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char *path;
	SourceMark mark; /* where it begins */
} VolumeMount;

typedef struct Expose
{
	char name[NAME_MAX_BYTES + 1];
	uint16_t port;			/* in the machine */
	uint16_t internal_port; /* of the service; the same as port unless given */
	ConnectionTracking tracking;
	uint64_t inactivity_timeout_ms; /* traffic-aware only: silence after which a connection no longer counts */
	SourceMark mark;
} Expose;

typedef struct AppSpec
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char *image;
	unsigned cpus;		 /* whole CPUs */
	uint64_t memory_mib; /* MiB */
	MachineMode mode;
	FlashStrategy strategy;			  /* flash only */
	uint64_t timeout_ms;			  /* flash only: suspend this long after the last activity */
	SnapshotPlace snapshot;			  /* flash only: where the manual trigger leads */
	uint64_t hibernate_after_ms;	  /* flash only: suspended machines go to disk after this; 0: never by time */
	EnvironmentVariable *environment; /* sorted by name */
	size_t environment_count;
	VolumeMount *volumes; /* in the file's order */
	size_t volume_count;
	Expose *exposes; /* in the file's order */
	size_t expose_count;
	char **command; /* NULL-terminated; NULL: the image's */
} AppSpec;

typedef enum ResourceKind
{
	RESOURCE_VOLUME,
	RESOURCE_APP
} ResourceKind;

const char *resource_kind_name(ResourceKind kind);

typedef struct Resource
{
	ResourceKind kind;
	unsigned line; /* in the file, from 1 */
	unsigned column;
	union
	{
		VolumeSpec volume;
		AppSpec app;
	};
} Resource;

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
	char key_path[128]; /* "app.resources.memory"; empty when it is about the file */
	char message[512];	/* what is wrong and what would be right */
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

/*
 * Reads all documents of a file. Everything that is wrong is collected, not only the first thing; ret_set is written
 * only when nothing is. Names must be unique in a file. References to volumes are the caller's to check, because they
 * may already be deployed: see resource_set_check_references.
 * Returns 0, or -EINVAL with at least one diagnostic. The input is untrusted: at most 1 MiB, bounded depth and
 * counts, no aliases (libyaml's billion laughs).
 */
int resource_set_parse(const char *text, size_t size, ResourceSet *ret_set, DiagnosticList *diagnostics) MUST_CHECK;
void resource_set_clear(ResourceSet *set);

/*
 * Checks that every volume that an app mounts is in the set or known to `exists`, and that no writeable volume is
 * mounted by two apps of the set. Adds diagnostics at the place of the reference.
 */
typedef bool (*VolumeExists)(void *context, const char *name_space, const char *name);
int resource_set_check_references(const ResourceSet *set, VolumeExists exists, void *context,
								  DiagnosticList *diagnostics) MUST_CHECK;

/* Deep copies and frees what a spec holds. */
void app_spec_copy(const AppSpec *from, AppSpec *ret_to);
void app_spec_clear(AppSpec *spec);

/* The JSON form: what the store keeps and the API shows. Keys are the YAML keys. The caller owns the result. */
struct json_t;
struct json_t *volume_spec_to_json(const VolumeSpec *spec);
struct json_t *app_spec_to_json(const AppSpec *spec);
int volume_spec_from_json(const struct json_t *json, VolumeSpec *ret_spec, Error *err) MUST_CHECK;
int app_spec_from_json(const struct json_t *json, AppSpec *ret_spec, Error *err) MUST_CHECK;

/*
 * What differs, one line a key, for people: "resources.memory: 256 MiB → 512 MiB". Returns the number of lines.
 * The values of environment variables are shown as in the guide's `app get`. needs_restart: whether a running machine
 * must be started anew for it to take effect (limits, time-outs and tracking are applied to the running one).
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

/* Writes docs/reference/resources.md from the key tables. */
void resource_reference_print(Text *out);

#endif
