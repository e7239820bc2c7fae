/*
 * PostgreSQL clusters as the engine keeps them: a spec, and the machine of the same namespace and name, whose volume,
 * secrets and services go with it. Private to the engine's folder.
 *
 * Whatever changes a cluster is written down first. What its server has to be told (users, databases, settings) follows
 * as a job, whenever the machine can be reached and the server is not yet what the spec says.
 */
#ifndef ENGINE_CLUSTERS_H
#define ENGINE_CLUSTERS_H

#include "base/job.h"
#include "engine/engine_private.h"

typedef enum ClusterState
{
	CLUSTER_STARTING, /* the server has not been ready since the last change */
	CLUSTER_APPLYING, /* it is being told */
	CLUSTER_READY,	  /* it is what the spec says */
	CLUSTER_FAILED	  /* it refused, or could not be reached: see `problem` */
} ClusterState;

typedef struct ClusterLook ClusterLook;

struct EngineCluster
{
	Engine *engine;
	PostgresSpec spec;
	uint64_t created_ms;
	PostgresSpec applied; /* what the server has last been brought to; only with has_applied */
	bool has_applied;
	PostgresSpec applying; /* what the last job was started with */
	ClusterState state;
	char problem[640];	  /* empty: none */
	struct json_t *notes; /* what the last application did, and what somebody has made otherwise: a list of texts */
	struct json_t *drift;
	Job *work;				 /* of CLUSTER_APPLYING */
	bool apply_again;		 /* something has changed while it ran */
	PostgresOptions options; /* of the change that is to be applied */
	ClusterLook *looks;		 /* see cluster_change.c */
	ClusterWait *waits;
	struct EngineCluster *next;
};

#define CLUSTER_OWNER_BYTES (2 * NAME_MAX_BYTES + 16)
/* "postgres/NAMESPACE/NAME": whom its secrets belong to. */
void cluster_owner(const PostgresSpec *spec, char ret_owner[CLUSTER_OWNER_BYTES]);

EngineCluster *engine_find_cluster(Engine *engine, const char *name_space, const char *name);
/* The cluster whose app or volume this is, or NULL. */
EngineCluster *engine_find_volume_cluster(Engine *engine, const char *name_space, const char *name);
Machine *cluster_machine(const EngineCluster *cluster); /* NULL: it is gone */

/* In the list, with this spec; what belongs to it follows by engine_settle_cluster. */
EngineCluster *engine_put_cluster(Engine *engine, const PostgresSpec *spec, uint64_t created_ms);
int engine_load_clusters(Engine *engine, Error *err) MUST_CHECK;
void engine_free_clusters(Engine *engine);
/* Its machine is gone: it goes too, with its secrets. */
void engine_forget_cluster(Engine *engine, const char *name_space, const char *name);

/* clusters_deploy.c: within the transaction, and after it. */
int cluster_store(Engine *engine, const PostgresSpec *spec, Error *err) MUST_CHECK;
void cluster_deployed(Engine *engine, const PostgresSpec *spec, const PostgresOptions *options);

/* cluster_credentials.c */
/* The superuser's password, made at the first call. The caller frees by secret_text_free. */
int cluster_superuser_password(Engine *engine, const PostgresSpec *spec, char **ret_password, Error *err) MUST_CHECK;
/* Makes what users and namespaces are to have. */
int cluster_write_credentials(EngineCluster *cluster, Error *err) MUST_CHECK;
/* Takes away what they are not to have any more, where no machine uses it. */
void cluster_tidy_credentials(EngineCluster *cluster);
/* Calls function for each secret and value that the cluster has, and would not have with this spec. */
typedef void (*TakenSecret)(void *context, SecretKind kind, const char *name_space, const char *name);
void cluster_each_taken(const EngineCluster *cluster, const PostgresSpec *spec, TakenSecret function, void *context);
void cluster_remove_credentials(Engine *engine, const PostgresSpec *spec);
/* A volume is gone: if it was a cluster's that is gone too, so is what was kept for it. */
void engine_forget_cluster_data(Engine *engine, const char *name_space, const char *volume);
/* The secret of a user in a cluster's own namespace. name: SECRET_NAME_MAX_BYTES + 1. */
void cluster_secret_name(const PostgresSpec *spec, const char *user, const char *what, char *name);
/* Whether a cluster of this spec is given a secret or value of this name in this namespace. */
bool postgres_spec_makes_secret(const PostgresSpec *spec, SecretKind kind, const char *name_space, const char *name);

/* cluster_url.c */
/* "postgresql://USER:PASSWORD@HOST:PORT/DATABASE", encoded; to be freed by secret_text_free. */
char *cluster_url(const char *user, const char *password, const char *host, unsigned port, const char *database);
/* The database that a user's connection string names. user NULL: the superuser. */
const char *cluster_user_database(const PostgresSpec *spec, const PostgresUser *user);

/* cluster_rotate.c: passwords that are being set, each in a secret beside the one that holds. user NULL: the superuser
 */
bool cluster_is_rotating(const EngineCluster *cluster, const char *user);
bool cluster_is_rotating_any(const EngineCluster *cluster);
/* The name of the secret: SECRET_NAME_MAX_BYTES + 1. */
void cluster_next_name(const PostgresSpec *spec, const char *user, char *name);
/* The server has taken them: they are those that hold. */
int cluster_finish_rotation(EngineCluster *cluster, Error *err) MUST_CHECK;

/* cluster_change.c */
/* Looks on the server, and wakes it for that, what stands against a spec, and what was changed by hand: done with
 * {"drift": […], "notes": […]}, or with -EEXIST or -EINVAL: it would refuse. -EBUSY, and never done: it cannot be
 * reached now. */
int cluster_look(EngineCluster *cluster, const PostgresSpec *wanted, const PostgresOptions *options, EngineDone done,
				 void *context, Error *err) MUST_CHECK;
/* Ends those who wait for a look: -ENOENT. */
void cluster_cancel_looks(EngineCluster *cluster);

/* cluster_local_port.c */
/* A port on 127.0.0.1 that leads to the server; made at the first call. -EBUSY: none is free. */
int cluster_local_port(EngineCluster *cluster, uint16_t *ret_port, Error *err) MUST_CHECK;
void cluster_remove_local_port(const EngineCluster *cluster);

/* clusters_json.c */
const char *cluster_state_name(const EngineCluster *cluster);
struct json_t *cluster_to_json(const EngineCluster *cluster);

/* cluster_apply.c */
/* A machine is in another phase: its cluster, if it has one, may go on. */
void engine_settle_cluster(Engine *engine, const Machine *machine);
/* Whether the server is what the spec says, as far as anybody knows. */
bool cluster_is_applied(const EngineCluster *cluster);
void cluster_apply(EngineCluster *cluster);
/* As cluster_apply, of one that may have failed before. */
void cluster_begin_change(EngineCluster *cluster);
/* Whether a connection would reach the machine's server, or wake it. */
bool cluster_can_be_reached(const Machine *machine);
/* Whether a connection would be answered, be it late: also on the way to sleep, to disk, and back. */
bool cluster_is_served(const Machine *machine);
#define CLUSTER_JOB_TIMEOUT_MS (2 * 60 * 1000)
/* The job's own deadline comes first, so that it can say what it waited for. */
#define CLUSTER_JOB_KILL_MS (CLUSTER_JOB_TIMEOUT_MS + 15 * 1000)
/* Writes the files that the machine's server reads, into its run directory. */
int machine_write_cluster_files(Machine *machine, Error *err) MUST_CHECK;
void cluster_settle_waits(EngineCluster *cluster, bool gone);

#endif
