/*
 * Telling a cluster's server what its spec says, whenever the machine can be reached and the two differ; and those who
 * wait for the end of that.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "postgres/cluster_job.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "model/postgres_config.h"
#include "model/postgres_spec.h"

/* ---- the server's files ---- */

/* Written aside and renamed: the server may read it at any moment. */
static int
replace_file(const char *path, const char *text, mode_t mode, uid_t uid, gid_t gid, Error *err)
{
	_cleanup_free_ char *aside = memory_printf("%s.new", path);
	_cleanup_fd_ int fd = -1;
	size_t size = strlen(text);

	unlink(aside);
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, size) != (ssize_t) size || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0 ||
		rename(aside, path) < 0)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

static uint64_t
storage_bytes(const EngineCluster *cluster)
{
	char name[NAME_MAX_BYTES + 1];
	const EngineVolume *volume;

	postgres_spec_volume_name(&cluster->spec, name);
	volume = engine_find_volume(cluster->engine, cluster->spec.name_space, name);
	return volume != NULL ? volume->spec.size_bytes : postgres_spec_storage_bytes(&cluster->spec);
}

int
machine_write_cluster_files(Machine *machine, Error *err)
{
	const EngineCluster *cluster = engine_find_cluster(machine->engine, machine->spec.name_space, machine->spec.name);
	_cleanup_free_ char *config = memory_printf("%s/postgresql.conf", machine->paths.run_directory);
	_cleanup_free_ char *password_file = memory_printf("%s/superuser-password", machine->paths.run_directory);
	_cleanup_secret_ char *password = NULL;
	_cleanup_text_ Text text = {0};
	int result;

	/* Without a directory they are written when the machine is made. */
	if (cluster == NULL || access(machine->paths.run_directory, F_OK) < 0)
		return 0;
	postgres_config_print(&cluster->spec, storage_bytes(cluster), true, &text);
	result = cluster_superuser_password(machine->engine, &cluster->spec, &password, err);
	if (result == 0)
		result = replace_file(config, text_string(&text), 0440, 0, machine->image_config.gid, err);
	if (result == 0)
		result = replace_file(password_file, password, 0400, machine->image_config.uid, machine->image_config.gid, err);
	return result;
}

/* ---- waiting ---- */

struct ClusterWait
{
	EngineCluster *cluster;
	struct event *timer;
	EngineDone done;
	void *context;
	struct ClusterWait *next;
};

static void
wait_unlink(ClusterWait *wait)
{
	ClusterWait **place = &wait->cluster->waits;

	while (*place != wait)
		place = &(*place)->next;
	*place = wait->next;
}

/* It is in the list no more. */
static void
wait_finish(ClusterWait *wait, int result, const Error *err)
{
	json_t *body = result == 0 ? cluster_to_json(wait->cluster) : NULL;

	wait->done(wait->context, result, body, err);
	json_decref(body);
	event_free(wait->timer);
	free(wait);
}

static void
wait_timed_out(evutil_socket_t fd, short what, void *context)
{
	ClusterWait *wait = context;
	const PostgresSpec *spec = &wait->cluster->spec;
	Error error;

	(void) fd;
	(void) what;
	error_set(&error, -ETIMEDOUT, "postgres %s/%s: waited long enough; it is %s", spec->name_space, spec->name,
			  cluster_state_name(wait->cluster));
	wait_unlink(wait);
	wait_finish(wait, -ETIMEDOUT, &error);
}

void
cluster_settle_waits(EngineCluster *cluster, bool gone)
{
	const PostgresSpec *spec = &cluster->spec;

	while (cluster->waits != NULL && (gone || cluster->state == CLUSTER_READY || cluster->state == CLUSTER_FAILED))
	{
		ClusterWait *wait = cluster->waits;
		Error error = {0};
		int result = 0;

		if (gone)
			result = error_set(&error, -ENOENT, "postgres %s/%s: is gone", spec->name_space, spec->name);
		else if (cluster->state == CLUSTER_FAILED)
			result = error_set(&error, -EIO, "postgres %s/%s: %s", spec->name_space, spec->name, cluster->problem);
		cluster->waits = wait->next;
		wait_finish(wait, result, &error);
	}
}

ClusterWait *
engine_wait_cluster(Engine *engine, const char *name_space, const char *name, uint64_t timeout_ms, EngineDone done,
					void *context)
{
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);
	ClusterWait *wait;
	Error error;
	bool over;

	if (cluster == NULL)
	{
		error_set(&error, -ENOENT, "postgres %s/%s: not found", name_space, name);
		done(context, -ENOENT, NULL, &error);
		return NULL;
	}
	over = cluster->state == CLUSTER_READY || cluster->state == CLUSTER_FAILED;
	wait = memory_allocate(sizeof(*wait));
	*wait = (ClusterWait){.cluster = cluster, .done = done, .context = context, .next = cluster->waits};
	wait->timer = evtimer_new(engine->loop, wait_timed_out, wait);
	cluster->waits = wait;
	machine_start_timer(wait->timer, timeout_ms);
	cluster_settle_waits(cluster, false);
	return over ? NULL : wait;
}

void
engine_cancel_cluster_wait(ClusterWait *wait)
{
	wait_unlink(wait);
	event_free(wait->timer);
	free(wait);
}

/* ---- applying ---- */

bool
cluster_is_applied(const EngineCluster *cluster)
{
	SpecChanges changes;
	bool same;

	if (!cluster->has_applied || cluster_is_rotating_any(cluster) || cluster->options.repair ||
		cluster->options.adopt || cluster->options.drop_database[0] != '\0')
		return false;
	postgres_spec_compare(&cluster->applied, &cluster->spec, &changes);
	same = changes.count == 0;
	spec_changes_clear(&changes);
	return same;
}

static void
fail(EngineCluster *cluster, const char *problem)
{
	cluster->state = CLUSTER_FAILED;
	text_copy(cluster->problem, sizeof(cluster->problem), problem);
	text_make_printable(cluster->problem);
	log_warning("cluster is not as its file says", "namespace", cluster->spec.name_space, "cluster", cluster->spec.name,
				"reason", problem);
	cluster_settle_waits(cluster, false);
}

static void
take_lines(json_t **list, const char *lines)
{
	json_decref(*list);
	*list = json_array();
	while (*lines != '\0')
	{
		size_t length = strcspn(lines, "\n");

		json_array_append_new(*list, json_stringn_nocheck(lines, length));
		lines += length + (lines[length] == '\n');
	}
}

static void
restart_for(EngineCluster *cluster, const char *settings)
{
	Machine *machine = cluster_machine(cluster);
	char *note = memory_printf("the server was started anew for %s", settings);

	json_array_append_new(cluster->notes, json_string(note));
	if (machine != NULL)
	{
		cluster->state = CLUSTER_STARTING;
		machine->facts.restart_wanted = true;
		machine_dispatch(machine, EVENT_STOP, note);
	}
	free(note);
}

/* The spec that the job began with: meanwhile there may be another one. */
static void
note_applied(EngineCluster *cluster)
{
	Error error;

	if (cluster->has_applied)
		postgres_spec_clear(&cluster->applied);
	postgres_spec_copy(&cluster->applying, &cluster->applied);
	cluster->has_applied = true;
	if (store_note_cluster_applied(cluster->engine->store, &cluster->applied, &error) < 0)
		log_warning("not noted", "cluster", cluster->spec.name, "reason", error.message);
}

static void
applied(void *context, int result, const void *output, const Error *err)
{
	EngineCluster *cluster = context;
	const ClusterJobResult *done = output;
	Error error;

	cluster->work = NULL;
	if (result == 0)
		note_applied(cluster);
	if (cluster->apply_again)
	{
		cluster->apply_again = false;
		cluster->state = CLUSTER_STARTING;
		cluster_apply(cluster);
		return;
	}
	if (result < 0)
	{
		fail(cluster, err->message);
		return;
	}
	cluster->options = (PostgresOptions){0};
	if (cluster_finish_rotation(cluster, &error) < 0)
		log_warning("a new password was not noted", "cluster", cluster->spec.name, "reason", error.message);
	take_lines(&cluster->notes, done->notes);
	take_lines(&cluster->drift, done->drift);
	cluster->state = CLUSTER_READY;
	cluster->problem[0] = '\0';
	log_info("cluster is as its file says", "namespace", cluster->spec.name_space, "cluster", cluster->spec.name);
	if (done->restart_for[0] != '\0')
		restart_for(cluster, done->restart_for);
	cluster_settle_waits(cluster, false);
}

/* The password that holds, or the one that is to. user NULL: the superuser. */
static int
find_password(EngineCluster *cluster, const char *user, bool next, char **ret_password, Error *err)
{
	char name[SECRET_NAME_MAX_BYTES + 1];

	if (next)
		cluster_next_name(&cluster->spec, user, name);
	else
		cluster_secret_name(&cluster->spec, user, user == NULL ? "superuser-password" : "password", name);
	return engine_get_secret(cluster->engine, SECRET_KIND_SECRET, cluster->spec.name_space, name, ret_password, err);
}

/* What a job gets, for as long as it is being started. */
typedef struct JobInput
{
	ClusterJob job;
	char *superuser_password;
	char *next_superuser_password;
	char **passwords;
	bool *rotated;
} JobInput;

static int
fill_input(EngineCluster *cluster, const Machine *machine, JobInput *input, Error *err)
{
	size_t count = cluster->spec.user_count;
	int result = cluster_superuser_password(cluster->engine, &cluster->spec, &input->superuser_password, err);

	input->passwords = memory_allocate((count + 1) * sizeof(*input->passwords));
	input->rotated = memory_allocate((count + 1) * sizeof(*input->rotated));
	if (result == 0 && cluster_is_rotating(cluster, NULL))
		result = find_password(cluster, NULL, true, &input->next_superuser_password, err);
	for (size_t i = 0; result == 0 && i < count; i++)
	{
		input->rotated[i] = cluster_is_rotating(cluster, cluster->spec.users[i].name);
		result = find_password(cluster, cluster->spec.users[i].name, input->rotated[i], &input->passwords[i], err);
	}
	input->job = (ClusterJob){.spec = &cluster->spec,
							  .applied = cluster->has_applied ? &cluster->applied : NULL,
							  .superuser_password = input->superuser_password,
							  .next_superuser_password = input->next_superuser_password,
							  .passwords = input->passwords,
							  .rotated = input->rotated,
							  .options = cluster->options,
							  .timeout_ms = CLUSTER_JOB_TIMEOUT_MS};
	network_format_address(machine->network.address, input->job.host);
	return result;
}

static void
clear_input(JobInput *input, size_t count)
{
	for (size_t i = 0; i < count; i++)
		secret_text_free(input->passwords[i]);
	free(input->passwords);
	free(input->rotated);
	secret_text_free(input->superuser_password);
	secret_text_free(input->next_superuser_password);
}

static void
start_job(EngineCluster *cluster, const Machine *machine)
{
	JobInput input = {0};
	JobSpec spec = {.name = "apply the cluster's file",
					.function = cluster_job_run,
					.input = &input.job,
					.output_bytes = sizeof(ClusterJobResult),
					.timeout_ms = CLUSTER_JOB_KILL_MS,
					.done = applied,
					.context = cluster};
	Error error;
	int result = fill_input(cluster, machine, &input, &error);

	if (result == 0)
		result = job_start(cluster->engine->loop, &spec, &cluster->work, &error);
	clear_input(&input, cluster->spec.user_count);
	if (result < 0)
	{
		fail(cluster, error.message);
		return;
	}
	cluster->state = CLUSTER_APPLYING;
	postgres_spec_clear(&cluster->applying);
	postgres_spec_copy(&cluster->spec, &cluster->applying);
}

/* Whether a connection would reach the server, or wake it. */
bool
cluster_can_be_reached(const Machine *machine)
{
	return !machine->facts.delete_wanted && !machine->facts.restart_wanted &&
		   (machine->phase == PHASE_READY || machine->phase == PHASE_SUSPENDED || machine->phase == PHASE_HIBERNATED ||
			machine->phase == PHASE_GROWING);
}

/* Between the two phases are those of sleep and disk alone; see fsm.h. */
bool
cluster_is_served(const Machine *machine)
{
	return !machine->facts.delete_wanted && !machine->facts.restart_wanted && machine->phase >= PHASE_READY &&
		   machine->phase <= PHASE_RESUMING;
}

void
cluster_apply(EngineCluster *cluster)
{
	const Machine *machine = cluster_machine(cluster);

	if (cluster->work != NULL)
	{
		cluster->apply_again = true;
		return;
	}
	if (machine == NULL || !cluster_can_be_reached(machine))
		return;
	if (!cluster_is_applied(cluster))
		start_job(cluster, machine);
	else
	{
		cluster->state = CLUSTER_READY;
		cluster_settle_waits(cluster, false);
	}
}

void
cluster_begin_change(EngineCluster *cluster)
{
	cluster->state = CLUSTER_STARTING;
	cluster->problem[0] = '\0';
	cluster_apply(cluster);
}

void
engine_settle_cluster(Engine *engine, const Machine *machine)
{
	EngineCluster *cluster = engine_find_cluster(engine, machine->spec.name_space, machine->spec.name);

	if (cluster == NULL || cluster->work != NULL)
		return;
	if (machine->phase == PHASE_ERROR)
		fail(cluster, machine->last_error[0] != '\0' ? machine->last_error : machine->record.reason);
	/* One that refused would refuse again: it is told again when its file is deployed again. */
	else if (cluster->state == CLUSTER_STARTING ||
			 (cluster->state == CLUSTER_FAILED && machine->phase == PHASE_READY && cluster_is_applied(cluster)))
		cluster_apply(cluster);
}
