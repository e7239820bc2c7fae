/*
 * The coordinator's memory: SQLite, <state>/lttle.db, WAL mode. Specs are kept as JSON; the machine's phase is written
 * before it is acted on and again afterwards, so that a crash between the two is seen at the next start.
 * What is read back is checked: a row that does not parse is reported and left out, never trusted.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "model/spec.h"

typedef struct Store Store;

/* Opens or creates the database and brings its schema up to date. One process at a time: -EBUSY when another
 * coordinator has it (a record lock on <state>/lock, held until store_close; forked children do not inherit it). */
int store_open(const char *state_directory, Store **ret_store, Error *err) MUST_CHECK;
void store_close(Store *store);

/* A transaction around several changes: all or nothing. */
int store_begin(Store *store, Error *err) MUST_CHECK;
int store_commit(Store *store, Error *err) MUST_CHECK;
void store_rollback(Store *store);

int store_put_volume(Store *store, const VolumeSpec *spec, Error *err) MUST_CHECK;
int store_delete_volume(Store *store, const char *name_space, const char *name, Error *err) MUST_CHECK;
int store_put_app(Store *store, const AppSpec *spec, Error *err) MUST_CHECK; /* or machine */
int store_delete_app(Store *store, const char *name_space, const char *name,
					 Error *err) MUST_CHECK;										 /* and its machine */
int store_put_service(Store *store, const ServiceSpec *spec, Error *err) MUST_CHECK; /* a document of its own */
int store_delete_service(Store *store, const char *name_space, const char *name, Error *err) MUST_CHECK;

/* A PostgreSQL cluster, and the spec that its server has last been brought to. */
typedef struct ClusterRecord
{
	PostgresSpec spec;
	uint64_t created_ms;  /* ms since the epoch */
	PostgresSpec applied; /* only with has_applied */
	bool has_applied;
} ClusterRecord;
int store_put_cluster(Store *store, const PostgresSpec *spec, uint64_t created_ms,
					  Error *err) MUST_CHECK; /* created_ms counts only for a new one */
int store_note_cluster_applied(Store *store, const PostgresSpec *spec, Error *err) MUST_CHECK;
int store_delete_cluster(Store *store, const char *name_space, const char *name, Error *err) MUST_CHECK;

/* Functions that are called for each: 0 goes on, a negative number stops and is returned. */
typedef int (*StoreVolumeFunction)(void *context, const VolumeSpec *spec);
typedef int (*StoreAppFunction)(void *context, const AppSpec *spec);
typedef int (*StoreServiceFunction)(void *context, const ServiceSpec *spec);
typedef int (*StoreClusterFunction)(void *context, const ClusterRecord *record);
/* Calls function for each, in the order of namespace and name. problem(): a row that was left out, and why. */
typedef void (*StoreProblemFunction)(void *context, const char *what);
int store_each_volume(Store *store, StoreVolumeFunction function, StoreProblemFunction problem, void *context,
					  Error *err) MUST_CHECK;
int store_each_app(Store *store, StoreAppFunction function, StoreProblemFunction problem, void *context,
				   Error *err) MUST_CHECK;
int store_each_service(Store *store, StoreServiceFunction function, StoreProblemFunction problem, void *context,
					   Error *err) MUST_CHECK;

int store_each_cluster(Store *store, StoreClusterFunction function, StoreProblemFunction problem, void *context,
					   Error *err) MUST_CHECK;

/* What the store knows of a machine (one per app, of the same namespace and name). Times: ms since the epoch. */
typedef struct MachineRecord
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char phase[24];
	char reason[640];	 /* why it is in this phase */
	uint64_t since_ms;	 /* in this phase since */
	unsigned index;		 /* of the address; 0: none yet */
	pid_t pid;			 /* 0: no process */
	uint64_t start_time; /* of the process, for PidRef */
	uint64_t suspends;
	uint64_t wakes;
	uint64_t last_wake_ms; /* 0: never */
	uint64_t last_wake_us; /* how long it took, microseconds from knock to thawed */
	char woken_by[128];
	unsigned restarts;
	bool delete_wanted;		   /* deletion has begun and must be ended */
	char image_id[80];		   /* digest that it runs, "sha256:…" */
	uint64_t secrets_revision; /* no secret or value was changed later than this when it was started */
	unsigned ended;			   /* the last run's status as of waitpid(2), plus one; 0: not known */
	uid_t server_uid;		   /* who bound its ports when it was last looked at; for an image that begins as root */
} MachineRecord;

/* -ENOENT when there is no such app; -EEXIST when another machine has the index. */
int store_put_machine(Store *store, const MachineRecord *record, Error *err) MUST_CHECK;

/* The same, and it has reached the disk when this returns: milliseconds. */
int store_put_machine_durably(Store *store, const MachineRecord *record, Error *err) MUST_CHECK;
int store_get_machine(Store *store, const char *name_space, const char *name, MachineRecord *ret_record,
					  Error *err) MUST_CHECK; /* -ENOENT; -EBADMSG when the row is damaged */

/* The smallest index from 1 that no machine has, at most `max`. -ENOSPC. */
int store_free_index(Store *store, unsigned max, unsigned *ret_index, Error *err) MUST_CHECK;

/* The event log: one line a change of phase. The last 10,000 are kept. */
typedef struct EventRecord
{
	uint64_t id;
	uint64_t time_ms;
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	char phase[24];
	char reason[640];
	uint64_t took_us; /* 0: nothing was measured */
} EventRecord;
int store_add_event(Store *store, EventRecord *event, Error *err) MUST_CHECK; /* gives it its id */
typedef int (*StoreEventFunction)(void *context, const EventRecord *event);
int store_each_event(Store *store, const char *name_space, const char *name, unsigned last, StoreEventFunction function,
					 void *context, Error *err) MUST_CHECK; /* the last so many, oldest first; NULL names: all */

/* Images that are unpacked: name ("ghcr.io/…:17-flash") to id and root. */
typedef struct ImageRecord
{
	char name[256];
	char id[80];			/* digest of the manifest, "sha256:…" */
	char root[400];			/* the unpacked root file system */
	char source_digest[80]; /* what its registry calls it; empty: it comes from none */
	char *config_json;		/* the OCI image configuration; owned by the record */
	uint64_t created_ms;
} ImageRecord;
int store_put_image(Store *store, const ImageRecord *image, Error *err) MUST_CHECK;
int store_get_image(Store *store, const char *name, ImageRecord *ret_image, Error *err) MUST_CHECK; /* -ENOENT */
int store_delete_image(Store *store, const char *name, Error *err) MUST_CHECK;
typedef int (*StoreImageFunction)(void *context, const ImageRecord *image);
int store_each_image(Store *store, StoreImageFunction function, void *context, Error *err) MUST_CHECK;
void image_record_clear(ImageRecord *image);

#endif
