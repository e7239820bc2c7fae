/* Backups by schedule; see backups.h. */
#include "engine/backups.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "model/schedule.h"
#include "store/store_backups.h"

#define BACKUP_TIMEOUT_MS (UINT64_C(24) * 3600 * 1000)
#define KEEP_MOST		  100000

typedef struct Backup
{
	char name_space[NAME_MAX_BYTES + 1];
	char name[NAME_MAX_BYTES + 1];
	json_t *plan; /* as it was asked for, and with all that was not said */
	Schedule schedule;
	uint64_t since_ms; /* of the last run's begin, or of the schedule's */
	json_t *last;
	struct Backup *next;
} Backup;

/* What a run hands back. */
typedef struct BackupDone
{
	char file[2048];
	uint64_t bytes;
} BackupDone;

struct Backups
{
	Engine *engine;
	Backup *list;
	int timer_fd; /* by the real time, also when that is set; -1: there is none */
	struct event *timer;
	Job *job;		/* one at a time */
	Backup *worked; /* whose; NULL: it has been deleted meanwhile */
	uint64_t begin_ms;
};

static void backups_look(Backups *backups);

/* ---- one ---- */

static Backup *
backups_find(const Backups *backups, const char *name_space, const char *name)
{
	for (Backup *backup = backups == NULL ? NULL : backups->list; backup != NULL; backup = backup->next)
	{
		if (strcmp(backup->name_space, name_space) == 0 && strcmp(backup->name, name) == 0)
			return backup;
	}
	return NULL;
}

static void
backup_free(Backup *backup)
{
	json_decref(backup->plan);
	json_decref(backup->last);
	free(backup);
}

static const char *
plan_text(const Backup *backup, const char *key)
{
	const char *text = json_string_value(json_object_get(backup->plan, key));

	return text == NULL ? "" : text;
}

static uint64_t
plan_number(const Backup *backup, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(backup->plan, key));

	return number < 0 ? 0 : (uint64_t) number;
}

static int
backup_save(Backups *backups, const Backup *backup, Error *err)
{
	json_t *state = json_pack("{s:O, s:I, s:O?}", "plan", backup->plan, "since-ms", (json_int_t) backup->since_ms,
							  "last", backup->last);
	int result = store_put_backup(backups->engine->store, backup->name_space, backup->name, state, err);

	json_decref(state);
	return result;
}

static json_t *
backup_to_json(const Backups *backups, const Backup *backup)
{
	json_t *object = json_pack("{s:s, s:s, s:I, s:b, s:O?}", "namespace", backup->name_space, "name", backup->name,
							   "next-ms", (json_int_t) schedule_next(&backup->schedule, backup->since_ms), "running",
							   backups->worked == backup, "last", backup->last);

	json_object_update(object, backup->plan);
	return object;
}

/* Keeps the list in the order of namespace and name. */
static Backup *
backups_add(Backups *backups, const char *name_space, const char *name)
{
	Backup **place = &backups->list;
	Backup *backup = memory_allocate(sizeof(*backup));

	text_copy(backup->name_space, sizeof(backup->name_space), name_space);
	text_copy(backup->name, sizeof(backup->name), name);
	while (*place != NULL && (strcmp((*place)->name_space, name_space) < 0 ||
							  (strcmp((*place)->name_space, name_space) == 0 && strcmp((*place)->name, name) < 0)))
		place = &(*place)->next;
	backup->next = *place;
	*place = backup;
	return backup;
}

/* A run that is going on is ended: nobody wants it any more. */
static void
backups_drop(Backups *backups, Backup *backup)
{
	Backup **place = &backups->list;

	while (*place != backup)
		place = &(*place)->next;
	*place = backup->next;
	if (backups->worked == backup)
	{
		job_cancel(backups->job);
		backups->job = NULL;
		backups->worked = NULL;
	}
	backup_free(backup);
}

/* ---- a run ---- */

/* The client that belongs to this lttled, or else the one in PATH. */
static void
find_client(char path[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL && (size_t) (slash - path) + sizeof("/lttle") <= PATH_MAX)
	{
		text_copy(slash, sizeof("/lttle"), "/lttle");
		if (access(path, X_OK) == 0)
			return;
	}
	text_copy(path, PATH_MAX, "lttle");
}

/* Enough for every option below. */
typedef struct Words
{
	const char *list[24];
	size_t count;
} Words;

static void
add(Words *words, const char *option, const char *value)
{
	words->list[words->count++] = option;
	if (value != NULL)
		words->list[words->count++] = value;
}

/* For a job's child, whose exit frees it. */
static void
backup_command(const Backups *backups, Words *words)
{
	const Backup *backup = backups->worked;
	char *client = memory_allocate(PATH_MAX);

	find_client(client);
	add(words, client, NULL);
	add(words, "--socket", backups->engine->settings.socket_path);
	add(words, "postgres", "backup");
	add(words, "--json", NULL);
	add(words, "--namespace", backup->name_space);
	add(words, "--output", plan_text(backup, "directory"));
	add(words, "--format", plan_text(backup, "format"));
	if (plan_text(backup, "database")[0] != '\0')
		add(words, "--database", plan_text(backup, "database"));
	if (plan_number(backup, "keep") > 0)
		add(words, "--keep", memory_printf("%" PRIu64, plan_number(backup, "keep")));
	if (plan_number(backup, "keep-for-ms") > 0)
		add(words, "--keep-for", memory_printf("%" PRIu64 "ms", plan_number(backup, "keep-for-ms")));
	add(words, "--", backup->name);
}

static int
backup_job(const void *input, void *output, Error *err)
{
	const Backups *backups = input;
	_cleanup_free_ char *printed = NULL;
	BackupDone *done = output;
	Words words = {0};
	json_t *told;
	json_int_t bytes = 0;
	const char *file = "";
	int result = file_make_directory(plan_text(backups->worked, "directory"), 0700, err);

	backup_command(backups, &words);
	if (result == 0)
		result = process_run(words.list, BACKUP_TIMEOUT_MS, &printed, err);
	if (result < 0)
		return result;
	told = json_loads(printed, 0, NULL);
	if (json_unpack(told, "{s:s, s:I}", "file", &file, "bytes", &bytes) < 0)
		return error_set(err, -EPROTO, "lttle postgres backup has told nothing of its file");
	text_copy(done->file, sizeof(done->file), file);
	done->bytes = (uint64_t) bytes;
	json_decref(told);
	return 0;
}

static void
backup_done(void *context, int result, const void *output, const Error *err)
{
	Backups *backups = context;
	Backup *backup = backups->worked;
	const BackupDone *done = output;
	uint64_t now_ms = clock_realtime_ms();
	uint64_t took_ms = now_ms > backups->begin_ms ? now_ms - backups->begin_ms : 0;
	Error error;

	backups->job = NULL;
	backups->worked = NULL;
	json_decref(backup->last);
	if (result == 0)
		backup->last =
			json_pack("{s:I, s:I, s:b, s:s, s:I}", "time-ms", (json_int_t) backups->begin_ms, "took-ms",
					  (json_int_t) took_ms, "ok", true, "file", done->file, "bytes", (json_int_t) done->bytes);
	else
	{
		backup->last = json_pack("{s:I, s:I, s:b, s:s%}", "time-ms", (json_int_t) backups->begin_ms, "took-ms",
								 (json_int_t) took_ms, "ok", false, "error", err->message, strlen(err->message));
		log_error("a backup has failed", "namespace", backup->name_space, "machine", backup->name, "reason",
				  err->message);
	}
	backup->since_ms = backups->begin_ms;
	if (backup_save(backups, backup, &error) < 0)
		log_error("a backup was not noted", "machine", backup->name, "reason", error.message);
	backups_look(backups);
}

static void
backups_start(Backups *backups, Backup *backup)
{
	JobSpec spec = {.name = "backup",
					.function = backup_job,
					.input = backups,
					.output_bytes = sizeof(BackupDone),
					.timeout_ms = BACKUP_TIMEOUT_MS + 60000,
					.done = backup_done,
					.context = backups,
					.patient = true};
	Error error;

	backups->worked = backup;
	backups->begin_ms = clock_realtime_ms();
	if (job_start(backups->engine->loop, &spec, &backups->job, &error) < 0)
		backup_done(backups, error.code, NULL, &error);
}

/* ---- the alarm ---- */

static void
backups_set_alarm(const Backups *backups, uint64_t at_ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t) (at_ms / 1000), .tv_nsec = (long) (at_ms % 1000) * 1000000}};

	if (at_ms == 0)
		when.it_value.tv_sec = 1; /* long ago: at once */
	if (backups->timer_fd >= 0 &&
		timerfd_settime(backups->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL) < 0)
		log_error("no alarm for backups", "reason", strerror(errno));
}

/* Starts what is due, or sets the alarm for what will be. While one runs, its end looks again. */
static void
backups_look(Backups *backups)
{
	uint64_t now_ms = clock_realtime_ms();
	Backup *first = NULL;
	uint64_t first_ms = 0;

	if (backups->job != NULL || backups->worked != NULL || backups->engine->drain != NULL)
		return;
	for (Backup *backup = backups->list; backup != NULL; backup = backup->next)
	{
		uint64_t next_ms;

		if (backup->since_ms > now_ms) /* the clock has been set back */
			backup->since_ms = now_ms;
		next_ms = schedule_next(&backup->schedule, backup->since_ms);
		if (first == NULL || next_ms < first_ms)
		{
			first = backup;
			first_ms = next_ms;
		}
	}
	if (first != NULL && first_ms <= now_ms)
		backups_start(backups, first);
	else if (first != NULL)
		backups_set_alarm(backups, first_ms);
}

/* Also when somebody has set the clock (ECANCELED). */
static void
backups_handle_alarm(evutil_socket_t fd, short what, void *context)
{
	uint64_t times;

	(void) what;
	(void) !read(fd, &times, sizeof(times));
	backups_look(context);
}

static Backups *
backups_new(Engine *engine)
{
	Backups *backups = memory_allocate(sizeof(*backups));

	backups->engine = engine;
	backups->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (backups->timer_fd < 0)
		log_error("no alarm for backups", "reason", strerror(errno));
	else
	{
		backups->timer =
			event_new(engine->loop, backups->timer_fd, EV_READ | EV_PERSIST, backups_handle_alarm, backups);
		event_add(backups->timer, NULL);
	}
	return backups;
}

/* ---- what was asked for ---- */

static int
plan_check(const json_t *plan, Schedule *ret_schedule, Error *err)
{
	const char *schedule;
	const char *directory = "/";
	const char *database = "x";
	const char *format = "custom";
	json_int_t keep = 1;
	json_int_t keep_for_ms = 1;
	const char *problem;

	if (json_unpack((json_t *) plan, "{s:s, s?s, s?s, s?s, s?I, s?I !}", "schedule", &schedule, "directory", &directory,
					"database", &database, "format", &format, "keep", &keep, "keep-for-ms", &keep_for_ms) < 0)
		return error_set(err, -EINVAL,
						 "body: must be {\"schedule\": text} with \"directory\", \"database\", \"format\", \"keep\" or "
						 "\"keep-for-ms\", and nothing else");
	problem = schedule_parse(schedule, ret_schedule);
	if (problem != NULL)
		return error_set(err, -EINVAL, "schedule '%.64s': %s", schedule, problem);
	if (directory[0] != '/' || strlen(directory) > 1024)
		return error_set(err, -EINVAL, "directory: must be an absolute path");
	if (database[0] == '\0')
		return error_set(err, -EINVAL, "database: must not be empty");
	if (strcmp(format, "custom") != 0 && strcmp(format, "plain") != 0)
		return error_set(err, -EINVAL, "format: must be custom or plain");
	if (keep < 1 || keep > KEEP_MOST || keep_for_ms < 1)
		return error_set(err, -EINVAL, "keep: must be from 1 to %d", KEEP_MOST);
	return 0;
}

/* The plan with what was not said. The caller decrefs. */
static json_t *
plan_complete(const Engine *engine, const char *name_space, const char *name, const json_t *plan)
{
	json_t *whole = json_copy((json_t *) plan);
	_cleanup_free_ char *directory =
		memory_printf("%s/backups/%s/%s", engine->layout.state_directory, name_space, name);

	if (json_object_get(whole, "directory") == NULL)
		json_object_set_new(whole, "directory", json_string(directory));
	if (json_object_get(whole, "format") == NULL)
		json_object_set_new(whole, "format", json_string("custom"));
	return whole;
}

int
engine_put_backup(Engine *engine, const char *name_space, const char *name, const json_t *plan, json_t **ret_backup,
				  Error *err)
{
	Backups *backups = engine->backups;
	Backup *backup = backups_find(backups, name_space, name);
	Schedule schedule;
	int result = plan_check(plan, &schedule, err);

	if (result == 0 && engine_find_machine(engine, name_space, name) == NULL)
		result = error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	if (result < 0)
		return result;
	if (backup == NULL)
		backup = backups_add(backups, name_space, name);
	json_decref(backup->plan);
	backup->plan = plan_complete(engine, name_space, name, plan);
	backup->schedule = schedule;
	backup->since_ms = clock_realtime_ms();
	result = backup_save(backups, backup, err);
	if (result < 0)
	{
		backups_drop(backups, backup);
		return result;
	}
	backups_look(backups);
	*ret_backup = backup_to_json(backups, backup);
	return 0;
}

int
engine_remove_backup(Engine *engine, const char *name_space, const char *name, Error *err)
{
	Backup *backup = backups_find(engine->backups, name_space, name);
	int result;

	if (backup == NULL)
		return error_set(err, -ENOENT, "%s/%s: has no schedule of backups", name_space, name);
	result = store_delete_backup(engine->store, name_space, name, err);
	if (result < 0)
		return result;
	backups_drop(engine->backups, backup);
	backups_look(engine->backups);
	return 0;
}

int
engine_show_backup(Engine *engine, const char *name_space, const char *name, json_t **ret_backup, Error *err)
{
	const Backup *backup = backups_find(engine->backups, name_space, name);

	if (backup == NULL)
		return error_set(err, -ENOENT, "%s/%s: has no schedule of backups", name_space, name);
	*ret_backup = backup_to_json(engine->backups, backup);
	return 0;
}

json_t *
engine_list_backups(Engine *engine, const char *name_space)
{
	json_t *list = json_array();

	for (const Backup *backup = engine->backups == NULL ? NULL : engine->backups->list; backup != NULL;
		 backup = backup->next)
	{
		if (name_space == NULL || strcmp(backup->name_space, name_space) == 0)
			json_array_append_new(list, backup_to_json(engine->backups, backup));
	}
	return list;
}

/* ---- the engine's life ---- */

static void
backups_load_one(void *context, const char *name_space, const char *name, const json_t *state)
{
	Backups *backups = context;
	json_t *plan = json_object_get(state, "plan");
	json_t *last = json_object_get(state, "last");
	Schedule schedule;
	Backup *backup;
	Error error;

	if (plan_check(plan, &schedule, &error) < 0)
	{
		log_error("a schedule of backups was left out", "namespace", name_space, "machine", name, "reason",
				  error.message);
		return;
	}
	backup = backups_add(backups, name_space, name);
	backup->plan = json_incref(plan);
	backup->last = json_is_object(last) ? json_incref(last) : NULL;
	backup->schedule = schedule;
	backup->since_ms = (uint64_t) json_integer_value(json_object_get(state, "since-ms"));
}

int
engine_load_backups(Engine *engine, Error *err)
{
	int result;

	engine->backups = backups_new(engine);
	result = store_each_backup(engine->store, backups_load_one, engine->backups, err);
	/* By the loop: the API, which a run asks, is not there yet. */
	if (result == 0 && engine->backups->list != NULL)
		backups_set_alarm(engine->backups, 0);
	return result;
}

void
engine_end_backups(Engine *engine)
{
	Backups *backups = engine->backups;

	engine->backups = NULL;
	if (backups == NULL)
		return;
	job_cancel(backups->job);
	while (backups->list != NULL)
	{
		Backup *next = backups->list->next;

		backup_free(backups->list);
		backups->list = next;
	}
	if (backups->timer != NULL)
		event_free(backups->timer);
	if (backups->timer_fd >= 0)
		close(backups->timer_fd);
	free(backups);
}

void
engine_forget_backup(Engine *engine, const char *name_space, const char *name)
{
	Error error;

	if (backups_find(engine->backups, name_space, name) != NULL &&
		engine_remove_backup(engine, name_space, name, &error) < 0)
		log_error("a schedule of backups was not removed", "machine", name, "reason", error.message);
}
