/*
 * One user or database of a cluster is added, changed or dropped: the cluster's file is changed so, and deployed as any
 * other. Before that the server is asked whether it would take it, so that a refusal leaves everything as it was.
 */
#include "engine/cluster_edit.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "engine/cluster_check.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "postgres/cluster_job.h"

/* A look at the server: of a change, or for its own sake. */
struct ClusterLook
{
	EngineCluster *cluster;
	PostgresSpec before; /* the cluster's, when it began */
	PostgresSpec wanted;
	char *file; /* what is deployed when nothing stands against it; NULL: nothing */
	PostgresOptions options;
	Job *work;
	EngineDone done;
	void *context;
	struct ClusterLook *next;
};

/* ---- deploying ---- */

typedef struct Deployed
{
	int result;
	Error error;
} Deployed;

/* What is wrong with the file is told as one sentence: there is no file that a line of it would mean. */
static void
deployed(void *context, int result, json_t *body, const DiagnosticList *diagnostics, const Error *err)
{
	Deployed *outcome = context;

	(void) body;
	outcome->result = result;
	if (result < 0 && diagnostics != NULL && diagnostics->count > 0)
		outcome->result =
			error_set(&outcome->error, result, "%s: %s", diagnostics->items[0].key_path, diagnostics->items[0].message);
	else if (err != NULL)
		outcome->error = *err;
}

static int
deploy_file(Engine *engine, const char *file, const PostgresOptions *options, bool dry_run, Error *err)
{
	const ResourceFile resource = {.name = "cluster", .text = file, .size = strlen(file)};
	const DeployRequest request = {.files = &resource, .file_count = 1, .options = *options, .dry_run = dry_run};
	Deployed outcome = {0};

	engine_deploy_from(engine, DEPLOY_STORE, &request, deployed, &outcome);
	if (outcome.result < 0)
		*err = outcome.error;
	return outcome.result;
}

/* ---- looking ---- */

static void
look_free(ClusterLook *look)
{
	ClusterLook **place = &look->cluster->looks;

	while (*place != look)
		place = &(*place)->next;
	*place = look->next;
	postgres_spec_clear(&look->before);
	postgres_spec_clear(&look->wanted);
	free(look->file);
	free(look);
}

void
cluster_cancel_looks(EngineCluster *cluster)
{
	while (cluster->looks != NULL)
	{
		ClusterLook *look = cluster->looks;
		Error error;

		job_cancel(look->work);
		error_set(&error, -ENOENT, "postgres %s/%s: is gone", cluster->spec.name_space, cluster->spec.name);
		look->done(look->context, -ENOENT, NULL, &error);
		look_free(look);
	}
}

static bool
has_changed(const ClusterLook *look)
{
	SpecChanges changes;
	bool any;

	postgres_spec_compare(&look->before, &look->cluster->spec, &changes);
	any = changes.count > 0;
	spec_changes_clear(&changes);
	return any;
}

static json_t *
lines_to_json(const char *lines)
{
	json_t *list = json_array();

	while (*lines != '\0')
	{
		size_t length = strcspn(lines, "\n");

		json_array_append_new(list, json_stringn_nocheck(lines, length));
		lines += length + (lines[length] == '\n');
	}
	return list;
}

/* Nothing stands against it, or nobody could be asked. */
static int
go_on(ClusterLook *look, json_t **ret_body, Error *err)
{
	EngineCluster *cluster = look->cluster;
	int result;

	if (has_changed(look))
		return error_set(err, -EBUSY, "postgres %s/%s: was changed meanwhile; try again", cluster->spec.name_space,
						 cluster->spec.name);
	result = deploy_file(cluster->engine, look->file, &look->options, false, err);
	if (result == 0)
		*ret_body = cluster_to_json(cluster);
	return result;
}

static void
looked(void *context, int result, const void *output, const Error *err)
{
	ClusterLook *look = context;
	const ClusterJobResult *seen = output;
	json_t *body = NULL;
	Error error = *err;

	look->work = NULL;
	if (result == 0 && look->file == NULL)
		body = json_pack("{s:o, s:o}", "drift", lines_to_json(seen->drift), "notes", lines_to_json(seen->notes));
	else if (result == 0)
		result = go_on(look, &body, &error);
	look->done(look->context, result, body, &error);
	json_decref(body);
	look_free(look);
}

static int
start_look(ClusterLook *look, const Machine *machine, Error *err)
{
	EngineCluster *cluster = look->cluster;
	_cleanup_secret_ char *password = NULL;
	_cleanup_secret_ char *next = NULL;
	char name[SECRET_NAME_MAX_BYTES + 1];
	ClusterJob job = {.spec = &look->wanted,
					  .applied = cluster->has_applied ? &cluster->applied : NULL,
					  .options = look->options,
					  .only_check = true,
					  .timeout_ms = CLUSTER_JOB_TIMEOUT_MS};
	JobSpec spec = {.name = "look at the cluster's server",
					.function = cluster_job_run,
					.input = &job,
					.output_bytes = sizeof(ClusterJobResult),
					.timeout_ms = CLUSTER_JOB_KILL_MS,
					.done = looked,
					.context = look};
	int result = cluster_superuser_password(cluster->engine, &cluster->spec, &password, err);

	cluster_next_name(&cluster->spec, NULL, name);
	if (result == 0 && cluster_is_rotating(cluster, NULL))
		result = engine_get_secret(cluster->engine, SECRET_KIND_SECRET, cluster->spec.name_space, name, &next, err);
	job.superuser_password = password;
	job.next_superuser_password = next;
	network_format_address(machine->network.address, job.host);
	return result < 0 ? result : job_start(cluster->engine->loop, &spec, &look->work, err);
}

/* file NULL: only to look. Takes it. */
static ClusterLook *
look_new(EngineCluster *cluster, char *file, EngineDone done, void *context)
{
	ClusterLook *look = memory_allocate(sizeof(*look));

	*look = (ClusterLook){.cluster = cluster, .file = file, .done = done, .context = context, .next = cluster->looks};
	postgres_spec_copy(&cluster->spec, &look->before);
	cluster->looks = look;
	return look;
}

/* ---- what others call ---- */

int
cluster_look(EngineCluster *cluster, const PostgresSpec *wanted, const PostgresOptions *options, EngineDone done,
			 void *context, Error *err)
{
	const Machine *machine = cluster_machine(cluster);
	ClusterLook *look;
	int result;

	if (machine == NULL || !cluster_is_served(machine))
		return error_set(err, -EBUSY, "postgres %s/%s: cannot be reached: it is %s", cluster->spec.name_space,
						 cluster->spec.name, machine == NULL ? "gone" : phase_name(machine->phase));
	look = look_new(cluster, NULL, done, context);
	postgres_spec_copy(wanted, &look->wanted);
	look->options = *options;
	result = start_look(look, machine, err);
	if (result < 0)
		look_free(look);
	return result;
}

void
engine_check_cluster(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);
	const PostgresOptions options = {0};
	Error error = {0};
	int result = cluster == NULL ? error_set(&error, -ENOENT, "postgres %s/%s: not found", name_space, name)
								 : cluster_look(cluster, &cluster->spec, &options, done, context, &error);

	if (result < 0)
		done(context, result, NULL, &error);
}

/* What a file that a deployment would take says, with its defaults. */
static int
read_file(const char *file, PostgresSpec *ret_spec, Error *err)
{
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};
	int result = resource_set_parse(file, strlen(file), &set, &diagnostics);

	diagnostic_list_clear(&diagnostics);
	if (result < 0)
		return error_set(err, result, "the cluster's file cannot be read again");
	postgres_spec_copy(&set.resources[0].postgres, ret_spec);
	resource_set_clear(&set);
	return 0;
}

/* The file as it shall be, and what it says, checked as a deployment's. */
static int
prepare(const EngineCluster *cluster, const ClusterChange *change, char **ret_file, PostgresSpec *ret_wanted,
		Error *err)
{
	_cleanup_free_ char *file = NULL;
	json_t *spec = postgres_spec_to_json(&cluster->spec);
	json_t *document;
	int result = cluster_edit_spec(spec, cluster->has_applied ? &cluster->applied : NULL, change, err);

	document = json_pack("{s:O}", "postgres", spec);
	file = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (result == 0)
		result = deploy_file(cluster->engine, file, &change->options, true, err);
	if (result == 0)
		result = read_file(file, ret_wanted, err);
	json_decref(spec);
	if (result == 0)
		*ret_file = steal_pointer(&file);
	return result;
}

/* Takes file and wanted. -EINPROGRESS: done is called later. */
static int
begin_change(EngineCluster *cluster, const ClusterChange *change, char *file, const PostgresSpec *wanted,
			 EngineDone done, void *context, json_t **ret_body, Error *err)
{
	const Machine *machine = cluster_machine(cluster);
	ClusterLook *look = look_new(cluster, file, done, context);
	int result;

	look->wanted = *wanted;
	look->options = change->options;
	if (machine != NULL && cluster_is_served(machine))
	{
		result = start_look(look, machine, err);
		if (result == 0)
			return -EINPROGRESS;
	}
	else
		result = go_on(look, ret_body, err);
	look_free(look);
	return result;
}

void
engine_change_cluster(Engine *engine, const ClusterChange *change, EngineDone done, void *context)
{
	EngineCluster *cluster = engine_find_cluster(engine, change->name_space, change->name);
	PostgresSpec wanted = {0};
	json_t *body = NULL;
	char *file = NULL;
	Error error = {0};
	int result;

	if (cluster == NULL)
		result = error_set(&error, -ENOENT, "postgres %s/%s: not found", change->name_space, change->name);
	else
		result = prepare(cluster, change, &file, &wanted, &error);
	if (result == 0)
		result = begin_change(cluster, change, file, &wanted, done, context, &body, &error);
	if (result != -EINPROGRESS)
		done(context, result, body, &error);
	json_decref(body);
}
