/*
 * The engine: all machines of this coordinator, and everything that can be asked of them. The API layer is its only
 * user besides main. Everything runs in the event loop's thread; what takes time ends in a callback, which may also
 * be called before the function returns.
 *
 * JSON that comes from here is the API's (docs/openapi.yaml describes it); objects are the caller's to decref.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "model/postgres_options.h"
#include "model/settings.h"
#include "model/spec.h"

struct event_base;
struct json_t;

typedef struct Engine Engine;

/* Opens the store, cleans up what a killed coordinator left, adopts machines that live. */
int engine_start(struct event_base *loop, const Settings *settings, Engine **ret_engine, Error *err) MUST_CHECK;

/* Lets go of everything without stopping a machine: they go on, frozen ones stay frozen and are adopted again. */
void engine_free(Engine *engine);

/* result: 0 or negative errno; body: NULL or the answer, borrowed. -ENOENT, -EEXIST, -EBUSY, -EINVAL and -ETIMEDOUT
 * mean what they say; anything else is a failure of the host. */
typedef void (*EngineDone)(void *context, int result, struct json_t *body, const Error *err);

/*
 * Deploys files: checks all of them, then applies all of them. Diagnostics say which file by its number in the request.
 * On success the body is {"results": [{"kind", "namespace", "name", "action": "created"|"changed"|"unchanged",
 * "changes": ["resources.memory: 256 MiB → 512 MiB", …]}, …]} in the file's order. Machines start in the background.
 */
typedef void (*EngineDeployed)(void *context, int result, struct json_t *body, const DiagnosticList *diagnostics,
							   const Error *err);
typedef struct DeployRequest
{
	const ResourceFile *files; /* all or nothing of them */
	size_t file_count;
	Variables variables;
	PostgresOptions options; /* for the clusters of the files */
	bool dry_run;			 /* changes nothing; the body's changes of what is new are all that it says */
} DeployRequest;
/* The request, and what it names, must live until it is done. */
void engine_deploy(Engine *engine, const DeployRequest *request, EngineDeployed done, void *context);

/*
 * PostgreSQL clusters. "state" is "starting", "applying", "ready" or "failed" (with "problem"); "notes" what the last
 * change has done, "drift" what somebody has made otherwise by hand.
 */
struct json_t *engine_list_clusters(Engine *engine, const char *name_space);
int engine_get_cluster(Engine *engine, const char *name_space, const char *name, struct json_t **ret_cluster,
					   Error *err) MUST_CHECK;
/* As a document of a file: {"postgres": …}. */
int engine_get_cluster_spec(Engine *engine, const char *name_space, const char *name, struct json_t **ret_spec,
							Error *err) MUST_CHECK;
/* With its app, services and secrets; its volume, with the data, only with `volume`. Done when they are gone, with
 * {"volume": name, "volume-deleted"}. */
void engine_delete_cluster(Engine *engine, const char *name_space, const char *name, bool volume, EngineDone done,
						   void *context);

/* A change of one user or database of a cluster: of its file, which is then deployed. */
typedef enum ClusterEdit
{
	CLUSTER_ADD_USER,
	CLUSTER_EDIT_USER,
	CLUSTER_DROP_USER,
	CLUSTER_ADD_DATABASE,
	CLUSTER_EDIT_DATABASE,
	CLUSTER_DROP_DATABASE
} ClusterEdit;
typedef struct ClusterChange
{
	const char *name_space;
	const char *name;
	ClusterEdit edit;
	const char *what;		   /* the user or database */
	const struct json_t *keys; /* as in a file, without the name; null takes one away. NULL: none */
	PostgresOptions options;
} ClusterChange;
/*
 * Looks first, on the server, whether anything stands against it, where that can be reached; then stores and applies
 * it. Done when it is stored, with the cluster; engine_wait_cluster tells the rest. Errors: -EINVAL; -ENOENT; -EEXIST:
 * it is there, or the server refuses; -EBUSY: the cluster was changed meanwhile.
 */
void engine_change_cluster(Engine *engine, const ClusterChange *change, EngineDone done, void *context);

/* Looks what somebody has made otherwise by hand, and wakes the server for it. Done with {"drift": […], "notes": […]}.
 */
void engine_check_cluster(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);

/*
 * Gives a user ("postgres": the superuser) another password. It is kept beside the one that holds until the server has
 * taken it, so that one of them is always right; what a crash interrupts is ended at the next start.
 * Errors: -ENOENT. engine_wait_cluster tells when it is done.
 */
int engine_rotate_password(Engine *engine, const char *name_space, const char *name, const char *user,
						   Error *err) MUST_CHECK;

/* How a user reaches a cluster. Never wakes it. */
typedef struct ClusterAccessQuery
{
	const char *name_space;
	const char *name;
	const char *user; /* NULL: the first one; "postgres": the superuser */
	const char *from; /* the namespace that asks: -ENOENT when it has no credentials. NULL: the cluster's own */
	bool local;		  /* by a port on 127.0.0.1, which is made when there is none */
} ClusterAccessQuery;
/* {"host", "port", "user", "password", "database", "url"}. */
int engine_get_access(Engine *engine, const ClusterAccessQuery *query, struct json_t **ret_access,
					  Error *err) MUST_CHECK;

/* Waits until a cluster is what its file says. Done with the cluster; -EIO with the problem when it is "failed";
 * -ETIMEDOUT; -ENOENT. NULL: it is done already. */
typedef struct ClusterWait ClusterWait;
ClusterWait *engine_wait_cluster(Engine *engine, const char *name_space, const char *name, uint64_t timeout_ms,
								 EngineDone done, void *context);
void engine_cancel_cluster_wait(ClusterWait *wait);

/* Names: with prefix, `name` may be a unique prefix of a machine's name; -ENOENT, or -ENOTUNIQ when it fits several
 * (the message lists them). */
int engine_resolve_machine(Engine *engine, const char *name_space, const char *name, bool prefix,
						   char ret_name[NAME_MAX_BYTES + 1], Error *err) MUST_CHECK;

/* name_space NULL: all. A JSON array / an object. */
struct json_t *engine_list_apps(Engine *engine, const char *name_space);
struct json_t *engine_list_machines(Engine *engine, const char *name_space);
struct json_t *engine_list_volumes(Engine *engine, const char *name_space);
struct json_t *engine_list_services(Engine *engine, const char *name_space);
struct json_t *engine_list_images(Engine *engine);
struct json_t *engine_list_namespaces(Engine *engine);
struct json_t *engine_list_events(Engine *engine, const char *name_space, const char *name, unsigned last);

/* Calls event for every event from now on, borrowed as engine_list_events has it, until it is cancelled (before the
 * engine is freed; also from within event). name_space and name NULL: of all. */
typedef struct EngineFollow EngineFollow;
typedef void (*EngineEvent)(void *context, struct json_t *event);
EngineFollow *engine_follow_events(Engine *engine, const char *name_space, const char *name, EngineEvent event,
								   void *context);
void engine_follow_cancel(EngineFollow *follow);

int engine_get_app(Engine *engine, const char *name_space, const char *name, struct json_t **ret_app,
				   Error *err) MUST_CHECK;
int engine_get_machine(Engine *engine, const char *name_space, const char *name, struct json_t **ret_machine,
					   Error *err) MUST_CHECK;
int engine_get_volume(Engine *engine, const char *name_space, const char *name, struct json_t **ret_volume,
					  Error *err) MUST_CHECK;
int engine_get_service(Engine *engine, const char *name_space, const char *name, struct json_t **ret_service,
					   Error *err) MUST_CHECK;

/* Stops the machine, gives everything back, forgets the app. Done when nothing is left. */
void engine_delete_app(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* The same for a machine without an app; -EBUSY for one with an app. */
void engine_delete_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* -EBUSY (with the app's name) while an app uses it. */
void engine_delete_volume(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* Only one that is a document of its own; -EBUSY (with the app's name) otherwise. */
void engine_delete_service(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);

/* All apps, machines, services, secrets and values of the namespace, with `volumes` its volumes too. Done when nothing
 * is left of them, with {"apps", "machines", "services", "volumes", "secrets", "values"}: how many. -ENOENT when there
 * is nothing in it; -EBUSY, and nothing is deleted, when a machine of another namespace uses a volume that is to go. */
void engine_delete_namespace(Engine *engine, const char *name, bool volumes, EngineDone done, void *context);

/* Stops it in order and starts it again. Done when it is ready, or has failed. */
void engine_restart_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* Suspends it now. -EBUSY with the reason when it is not quiet. Done when frozen. */
void engine_suspend_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* Writes it to disk now, from ready or suspended. -EBUSY with the reason when it is not quiet. Done when hibernated. */
void engine_hibernate_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);
/* Wakes it (also starts a stopped one). Done when it runs; it goes back to sleep by its own rules. */
void engine_wake_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);

/*
 * Before the host shuts down: puts every machine on disk, and stops in order what has not come there within
 * timeout_ms; stopping takes as long as the setting says, then it is killed. Until this coordinator ends nothing new
 * starts (-EBUSY), and the next one starts nothing that nobody asks for. Done when every machine is at rest, with
 * {"machines": [{"namespace", "name", "outcome": "hibernated"|"stopped"|"killed"|"unfinished", "phase",
 * "not-on-disk-because", "took-ms"}, …]}. -EBUSY while another drain runs.
 */
void engine_drain(Engine *engine, uint64_t timeout_ms, EngineDone done, void *context);

/*
 * Imports an image under a name from skopeo's notation of a source, e.g. "oci-archive:/path"; "docker://" and the name
 * itself asks its registry what the name stands for now. Done with {"name", "id", "digest": what the registry calls it,
 * or null, "changed": whether the name stood for nothing or for another image before}. Machines keep what they run.
 */
void engine_import_image(Engine *engine, const char *name, const char *source, EngineDone done, void *context);

/* -ENOENT; -EBUSY, with who it is, while a machine was deployed with this name, and while images are fetched. */
void engine_remove_image(Engine *engine, const char *name, EngineDone done, void *context);
/* Removes every image that no machine was deployed with, and what no name stands for any more: {"removed": [names]}. */
void engine_prune_images(Engine *engine, EngineDone done, void *context);

/*
 * Waits for a phase. Done at once when it is in it; -ETIMEDOUT after timeout_ms; -ENOENT when the machine goes away;
 * -EIO with the reason when it is in phase error instead, which it leaves only when somebody asks. The body is the
 * machine.
 */
typedef struct EngineWait EngineWait;
EngineWait *engine_wait_phase(Engine *engine, const char *name_space, const char *name, const char *phase,
							  uint64_t timeout_ms, EngineDone done, void *context);
/* Cancels a wait whose done has not been called. */
void engine_wait_cancel(EngineWait *wait);

/* Where the machine's log is. -ENOENT. */
int engine_log_path(Engine *engine, const char *name_space, const char *name, char ret_path[512],
					Error *err) MUST_CHECK;

/*
 * Runs a program in a machine. Wakes it first and keeps it awake until the program has ended. The descriptors are
 * borrowed: the caller may close its copies in `started`. With terminal they are one side of a pseudo-terminal.
 */
typedef struct EngineExec EngineExec;
typedef struct EngineExecSpec
{
	const char *name_space;
	const char *name;
	const char *const *argv;		/* NULL-terminated, copied */
	const char *const *environment; /* extra KEY=value such as TERM, NULL-terminated; NULL: none */
	bool terminal;
	int stdin_fd;
	int stdout_fd;
	int stderr_fd;
	/* result 0: it runs. Otherwise nothing more is called. */
	void (*started)(void *context, int result, const Error *err);
	/* exit_status as a shell gives it: 0 to 255, 128 + signal. */
	void (*exited)(void *context, int exit_status);
	void *context;
} EngineExecSpec;
EngineExec *engine_exec(Engine *engine, const EngineExecSpec *spec);
/* The client has gone: ends the program (SIGHUP, then SIGKILL after 5 s). started and exited are no longer called. */
void engine_exec_cancel(EngineExec *exec);

/* What `lttle doctor` shows: {"checks": [{"name", "status": "ok"|"warning"|"missing", "finding", "consequence"}]}.
 * Probes in a child. */
void engine_doctor(Engine *engine, EngineDone done, void *context);

#endif
