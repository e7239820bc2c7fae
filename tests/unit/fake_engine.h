/*
 * A double of the engine, for the tests of the API and of lttle: its objects are fixed, some names fail on purpose, and
 * deploy reads files with the real parser and remembers them. Everything but exec, which each program that includes
 * this has its own of. It says on standard output, a line each, what nobody outside could see.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/engine.h"
#include "fake_backups.h"
#include "fake_clusters.h"
#include "fake_secrets.h"

typedef struct Deployed
{
	json_t *spec;
	ResourceKind kind;
} Deployed;

struct Engine
{
	struct event_base *loop;
	const char *log_path;
	Deployed *deployed;
	size_t deployed_count;
	size_t deployed_capacity;
	EngineExec *execs;
	struct Later *laters;
};

static const char fixtures[] =
	"{\"apps\": [{\"name\": \"postgresql\", \"namespace\": \"samples\","
	"  \"image\": \"ghcr.io/lttle-cloud/postgres:17-flash\", \"resources\": {\"cpu\": 1, \"memory\": 256},"
	"  \"mode\": {\"flash\": {\"strategy\": \"manual\", \"timeout\": \"3s\"}},"
	"  \"environment\": {\"POSTGRES_USER\": \"user\", \"POSTGRES_PASSWORD\": \"password\", \"POSTGRES_DB\": \"db\"},"
	"  \"volumes\": [{\"name\": \"pgdata\", \"namespace\": \"samples\", \"path\": \"/var/lib/postgresql/data\"}],"
	"  \"expose\": {\"access\": {\"port\": 5432, \"internal\": {\"port\": 5432}}}, \"phase\": \"suspended\","
	"  \"address\": \"10.88.0.2\", \"restarts\": 0, \"exit-status\": null,"
	"  \"services\": [{\"name\": \"postgresql-access\", \"namespace\": \"samples\", \"bind\": \"tcp\", \"target\": {}, "
	"\"expose\": \"access\", \"port\": 5432,"
	"    \"host\": \"postgresql-access.samples.svc.lttle.local\", \"target-port\": 5432, \"protocol\": \"tcp\"}]},"
	" {\"name\": \"plain\", \"namespace\": \"other\", \"tags\": [\"team-a\", \"blue\"], \"image\": \"x\", "
	"\"resources\": {\"cpu\": 2, \"memory\": 64},"
	"  \"mode\": \"regular\", \"environment\": {\"WEIRD\": \"a\\u001b[31mb\\nc\"}, \"volumes\": [], \"expose\": {},"
	"  \"services\": [], \"command\": [\"sleep\", \"1 2\"], \"phase\": \"ready\","
	"  \"restarts\": 2, \"exit-status\": 137, \"last-error\": \"killed by signal 9\","
	"  \"last-words\": [\"oom \\u001b[1m\"]}],"
	"\"machines\": [{\"name\": \"postgresql\", \"namespace\": \"samples\", \"app\": \"postgresql\","
	"  \"phase\": \"suspended\", \"reason\": \"idle for 3s\", \"since-ms\": 1760210084000, \"awake-because\": null,"
	"  \"woken-by\": \"10.88.0.1:41234\", \"last-wake-ms\": 1760210080000, \"last-wake-took-us\": 842, \"suspends\": 7,"
	"  \"wakes\": 6, \"memory\": {\"resident-bytes\": 1572864, \"swapped-bytes\": 31457280, \"kernel-bytes\": 65536,"
	"  \"limit-bytes\": 268435456}, \"address\": \"10.88.0.2\", \"host-link\": \"lttle1\", \"pid\": 4242,"
	"  \"restarts\": 0, \"image\": \"ghcr.io/lttle-cloud/postgres:17-flash\", \"image-id\": "
	"\"sha256:0123456789abcdef\","
	"  \"exit-status\": null, \"last-error\": null, \"snapshot-problem\": null, \"sessions\": 1},"
	" {\"name\": \"redis-a\", \"namespace\": \"samples\", \"services\": [{\"name\": \"redis-a-web\", \"namespace\": "
	"\"samples\", \"bind\": \"tcp\","
	"  \"target\": {}, \"expose\": \"web\", \"port\": 6379, \"host\": \"redis-a-web.samples.svc.lttle.local\","
	"  \"target-port\": 6379, \"protocol\": \"tcp\"}], "
	"\"phase\": \"ready\", \"since-ms\": 1760210084000},"
	" {\"name\": \"redis-b\", \"namespace\": \"samples\", \"phase\": \"ready\", \"since-ms\": 1760210084000},"
	" {\"name\": \"busy\", \"namespace\": \"samples\", \"phase\": \"ready\", \"since-ms\": 1760210084000},"
	" {\"name\": \"ended\", \"namespace\": \"failed\", \"phase\": \"restarting\", \"since-ms\": 1760210084000,"
	"  \"restarts\": 2, \"exit-status\": 3, \"last-error\": \"exit status 3\","
	"  \"last-words\": [\"no \\t such\", \"file\"]}],"
	"\"volumes\": [{\"name\": \"pgdata\", \"namespace\": \"samples\", \"mode\": \"writeable\", \"size\": \"100Mi\","
	"  \"size-bytes\": 104857600, \"used-bytes\": 41943040, \"on-disk-bytes\": 50331648,"
	"  \"used-by\": [\"samples/postgresql\"]}],"
	"\"services\": [{\"name\": \"postgresql-access\", \"namespace\": \"samples\", \"expose\": \"access\","
	"  \"target\": {\"name\": \"postgresql\", \"port\": 5432}, \"bind\": {\"internal\": {\"port\": 5432}},"
	"  \"host\": \"postgresql-access.samples.svc.lttle.local\", \"port\": 5432, \"target-port\": 5432,"
	"  \"protocol\": \"tcp\", \"address\": \"10.88.0.2\", \"phase\": \"suspended\"},"
	" {\"name\": \"web\", \"namespace\": \"other\", \"target\": {\"name\": \"postgresql\", \"namespace\": \"samples\","
	"  \"port\": 5432, \"connection-tracking\": {\"traffic-aware\": {\"inactivity-timeout\": \"3s\","
	"  \"ignore\": {\"users\": [\"monitoring\"], \"application-names\": [\"check\", \"poll\"]}}}},"
	"  \"bind\": {\"external\": {\"protocol\": \"tls\", \"host\": \"db.example.com\", \"port\": 443}},"
	"  \"expose\": null, \"host\": \"db.example.com\", \"port\": 443, \"target-port\": 5432, \"protocol\": \"tls\","
	"  \"address\": \"10.88.0.2\", \"phase\": \"suspended\"}],"
	"\"images\": [{\"name\": \"ghcr.io/lttle-cloud/postgres:17-flash\", \"id\": \"sha256:0123456789abcdef0123\","
	"\"digest\": null, \"used-by\": [\"samples/postgresql\"],"
	"  \"size-bytes\": 104857600, \"created-ms\": 1760210084000}],"
	"\"events\": [{\"id\": 1, \"time-ms\": 1760210080000, \"namespace\": \"samples\", \"name\": \"postgresql\","
	"  \"phase\": \"ready\", \"reason\": \"connection of 10.88.0.1:41234\", \"took-us\": 842},"
	" {\"id\": 2, \"time-ms\": 1760210084000, \"namespace\": \"samples\", \"name\": \"postgresql\","
	"  \"phase\": \"suspended\", \"reason\": \"idle for 3s\", \"took-us\": null}],"
	"\"doctor\": {\"checks\": [{\"name\": \"cgroup freezer\", \"status\": \"ok\", \"finding\": \"v2\"},"
	"  {\"name\": \"swap\", \"status\": \"warning\", \"finding\": \"none\","
	"   \"consequence\": \"only file pages are given back\"},"
	"  {\"name\": \"CRIU\", \"status\": \"missing\", \"finding\": \"not installed\","
	"   \"consequence\": \"no hibernation\"}]}}";

/* What goes wrong with objects of these names. */
static const struct
{
	const char *name;
	int errnum;
} failing_names[] = {{"busy", EBUSY},	 {"late", ETIMEDOUT}, {"broken", EIO},
					 {"twin", ENOTUNIQ}, {"there", EEXIST},	  {"stopping", ECANCELED}};

static bool fake_engine_is_quiet;

static void
say(const char *format, const char *argument)
{
	if (fake_engine_is_quiet)
		return;
	printf(format, argument);
	putchar('\n');
	fflush(stdout);
}

static json_t *
fixture(const char *kind)
{
	json_t *all = json_loads(fixtures, 0, NULL);
	json_t *part = json_incref(json_object_get(all, kind));

	json_decref(all);
	return part;
}

static json_t *
list(const char *kind, const char *name_space)
{
	json_t *all = fixture(kind);
	json_t *wanted = json_array();
	json_t *object;
	size_t index;

	json_array_foreach(all, index, object)
	{
		const char *of = json_string_value(json_object_get(object, "namespace"));

		if (name_space == NULL || of == NULL || strcmp(of, name_space) == 0)
			json_array_append(wanted, object);
	}
	json_decref(all);
	return wanted;
}

static int
get(const char *kind, const char *what, const char *name_space, const char *name, json_t **ret_object, Error *err)
{
	json_t *all = list(kind, name_space);
	json_t *object;
	size_t index;

	json_array_foreach(all, index, object)
	{
		if (strcmp(json_string_value(json_object_get(object, "name")), name) == 0)
		{
			*ret_object = json_incref(object);
			json_decref(all);
			return 0;
		}
	}
	json_decref(all);
	return error_set(err, -ENOENT, "%s %s/%s: not found", what, name_space, name);
}

json_t *
engine_list_apps(Engine *engine, const char *name_space)
{
	(void) engine;
	return list("apps", name_space);
}

json_t *
engine_list_machines(Engine *engine, const char *name_space)
{
	(void) engine;
	return list("machines", name_space);
}

json_t *
engine_list_volumes(Engine *engine, const char *name_space)
{
	(void) engine;
	return list("volumes", name_space);
}

json_t *
engine_list_services(Engine *engine, const char *name_space)
{
	(void) engine;
	return list("services", name_space);
}

json_t *
engine_list_namespaces(Engine *engine)
{
	(void) engine;
	return json_pack("[{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, {s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}]", "name",
					 "other", "clusters", 0, "apps", 1, "machines", 1, "services", 0, "volumes", 0, "secrets", 0,
					 "values", 0, "name", "samples", "clusters", 0, "apps", 1, "machines", 4, "services", 1, "volumes",
					 1, "secrets", 2, "values", 0);
}

json_t *
engine_list_images(Engine *engine)
{
	(void) engine;
	return fixture("images");
}

json_t *
engine_list_events(Engine *engine, const char *name_space, const char *name, unsigned last)
{
	json_t *all = list("events", name_space);

	(void) engine;
	if (name != NULL && strcmp(name, "postgresql") != 0)
		json_array_clear(all);
	while (json_array_size(all) > last)
		json_array_remove(all, 0);
	return all;
}

/* ---- following: who follows machine "postgresql" hears of it twice more, a turn of the loop later each ---- */

struct EngineFollow
{
	EngineEvent event;
	void *context;
	struct event *timer;
	unsigned told;
};

static void
follow_tell(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval soon = {0};
	EngineFollow *follow = context;
	json_t *event = json_pack("{s:i, s:I, s:s, s:s, s:s, s:s, s:n}", "id", 3 + follow->told, "time-ms",
							  (json_int_t) 1760210090000, "namespace", "samples", "name", "postgresql", "phase",
							  follow->told == 0 ? "booting" : "ready", "reason", "as told", "took-us");

	(void) fd;
	(void) what;
	if (++follow->told < 2)
		evtimer_add(follow->timer, &soon);
	follow->event(follow->context, event);
	json_decref(event);
}

EngineFollow *
engine_follow_events(Engine *engine, const char *name_space, const char *name, EngineEvent event, void *context)
{
	static const struct timeval soon = {0};
	EngineFollow *follow = memory_allocate(sizeof(*follow));

	(void) name_space;
	*follow = (EngineFollow){.event = event, .context = context};
	follow->timer = evtimer_new(engine->loop, follow_tell, follow);
	if (name == NULL || strcmp(name, "postgresql") == 0)
		evtimer_add(follow->timer, &soon);
	return follow;
}

void
engine_follow_cancel(EngineFollow *follow)
{
	say("%s", "events no longer followed");
	event_free(follow->timer);
	free(follow);
}

int
engine_get_app(Engine *engine, const char *name_space, const char *name, json_t **ret_app, Error *err)
{
	(void) engine;
	return get("apps", "app", name_space, name, ret_app, err);
}

int
engine_get_machine(Engine *engine, const char *name_space, const char *name, json_t **ret_machine, Error *err)
{
	(void) engine;
	return get("machines", "machine", name_space, name, ret_machine, err);
}

int
engine_get_volume(Engine *engine, const char *name_space, const char *name, json_t **ret_volume, Error *err)
{
	(void) engine;
	return get("volumes", "volume", name_space, name, ret_volume, err);
}

int
engine_get_service(Engine *engine, const char *name_space, const char *name, json_t **ret_service, Error *err)
{
	(void) engine;
	return get("services", "service", name_space, name, ret_service, err);
}

int
engine_resolve_machine(Engine *engine, const char *name_space, const char *name, bool prefix,
					   char ret_name[NAME_MAX_BYTES + 1], Error *err)
{
	json_t *all = list("machines", name_space);
	json_t *object;
	size_t index;
	unsigned found = 0;
	const char *only = NULL;

	(void) engine;
	json_array_foreach(all, index, object)
	{
		const char *of = json_string_value(json_object_get(object, "name"));

		if (strcmp(of, name) != 0 && (!prefix || strncmp(of, name, strlen(name)) != 0))
			continue;
		only = of;
		found++;
	}
	if (found == 1)
		snprintf(ret_name, NAME_MAX_BYTES + 1, "%s", only);
	json_decref(all);
	if (found == 0)
		return error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	return found == 1 ? 0 : error_set(err, -ENOTUNIQ, "machine %s/%s: fits several", name_space, name);
}

int
engine_log_path(Engine *engine, const char *name_space, const char *name, char ret_path[512], Error *err)
{
	(void) name_space;
	(void) name;
	(void) err;
	snprintf(ret_path, 512, "%s", engine->log_path);
	return 0;
}

/* ---- changes: done one turn of the loop later, as the real engine often does ---- */

typedef struct Later
{
	Engine *engine;
	struct Later *next;
	struct event *event;
	EngineDone done;
	void *context;
	int result;
	char name[256];
	json_t *body;
} Later;

static void
later_run(evutil_socket_t fd, short what, void *context)
{
	Later *later = context;
	Later **place = &later->engine->laters;
	Error error = {0};

	(void) fd;
	(void) what;
	while (*place != later)
		place = &(*place)->next;
	*place = later->next;
	if (later->result < 0)
		error_set(&error, later->result, "%s: fails on purpose", later->name);
	later->done(later->context, later->result, later->body, &error);
	json_decref(later->body);
	event_free(later->event);
	free(later);
}

/* Takes over body. */
static void
answer_later(Engine *engine, const char *name, json_t *body, EngineDone done, void *context)
{
	Later *later = memory_allocate(sizeof(*later));
	struct timeval delay = {.tv_sec = strcmp(name, "slow") == 0 ? 3600 : 0};

	*later = (Later){.engine = engine, .next = engine->laters, .done = done, .context = context, .body = body};
	engine->laters = later;
	snprintf(later->name, sizeof(later->name), "%s", name);
	for (size_t i = 0; i < sizeof(failing_names) / sizeof(failing_names[0]); i++)
	{
		if (strcmp(failing_names[i].name, name) == 0)
			later->result = -failing_names[i].errnum;
	}
	later->event = evtimer_new(engine->loop, later_run, later);
	evtimer_add(later->event, &delay);
}

static void
change(Engine *engine, const char *what, const char *kind, const char *name_space, const char *name, EngineDone done,
	   void *context)
{
	char line[256];
	json_t *object = NULL;

	snprintf(line, sizeof(line), "%s %s/%s", what, name_space, name);
	say("%s", line);
	if (kind != NULL && get(kind, what, name_space, name, &object, NULL) < 0)
		object = NULL;
	answer_later(engine, name, object, done, context);
}

void
engine_delete_app(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "delete app", NULL, name_space, name, done, context);
}

void
engine_delete_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "delete machine", NULL, name_space, name, done, context);
}

void
engine_delete_volume(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "delete volume", NULL, name_space, name, done, context);
}

void
engine_delete_service(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "delete service", NULL, name_space, name, done, context);
}

void
engine_delete_namespace(Engine *engine, const char *name, bool volumes, EngineDone done, void *context)
{
	say(volumes ? "delete namespace %s and volumes" : "delete namespace %s", name);
	answer_later(engine, name,
				 json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "clusters", 0, "apps", 1, "machines", 4, "services",
						   0, "volumes", volumes ? 1 : 0, "secrets", 2, "values", 0),
				 done, context);
}

void
engine_restart_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "restart", "machines", name_space, name, done, context);
}

void
engine_hibernate_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "hibernate", "machines", name_space, name, done, context);
}

void
engine_suspend_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "suspend", "machines", name_space, name, done, context);
}

void
engine_wake_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	change(engine, "wake", "machines", name_space, name, done, context);
}

void
engine_drain(Engine *engine, uint64_t timeout_ms, EngineDone done, void *context)
{
	char number[32];
	json_t *machines =
		json_pack("[{s:s, s:s, s:s, s:s, s:n, s:i}, {s:s, s:s, s:s, s:s, s:s, s:i}]", "namespace", "samples", "name",
				  "postgresql", "outcome", "hibernated", "phase", "hibernated", "not-on-disk-because", "took-ms", 420,
				  "namespace", "samples", "name", "slow", "outcome", timeout_ms < 1000 ? "killed" : "stopped", "phase",
				  "stopped", "not-on-disk-because", "statement: pid 57, for 3 s", "took-ms", 1500);

	snprintf(number, sizeof(number), "%llu", (unsigned long long) timeout_ms);
	say("drain %s", number);
	answer_later(engine, "drain", json_pack("{s:o}", "machines", machines), done, context);
}

void
engine_import_image(Engine *engine, const char *name, const char *source, EngineDone done, void *context)
{
	say("import %s", source);
	answer_later(engine, name, json_pack("{s:s, s:s}", "name", name, "id", "sha256:0123456789abcdef0123"), done,
				 context);
}

void
engine_remove_image(Engine *engine, const char *name, EngineDone done, void *context)
{
	say("remove image %s", name);
	answer_later(engine, name, NULL, done, context);
}

void
engine_prune_images(Engine *engine, EngineDone done, void *context)
{
	say("%s", "prune images");
	answer_later(engine, "prune", json_pack("{s:[s]}", "removed", "old:1"), done, context);
}

void
engine_doctor(Engine *engine, EngineDone done, void *context)
{
	answer_later(engine, "doctor", fixture("doctor"), done, context);
}

/* ---- wait ---- */

struct EngineWait
{
	struct event *timer;
	EngineDone done;
	void *context;
};

static void
wait_time_out(evutil_socket_t fd, short what, void *context)
{
	EngineWait *wait = context;
	Error error;

	(void) fd;
	(void) what;
	error_set(&error, -ETIMEDOUT, "machine: waited long enough");
	wait->done(wait->context, -ETIMEDOUT, NULL, &error);
	event_free(wait->timer);
	free(wait);
}

EngineWait *
engine_wait_phase(Engine *engine, const char *name_space, const char *name, const char *phase, uint64_t timeout_ms,
				  EngineDone done, void *context)
{
	EngineWait *wait;
	json_t *machine = NULL;
	Error error = {0};
	int result = engine_get_machine(engine, name_space, name, &machine, &error);
	struct timeval timeout = {(time_t) (timeout_ms / 1000), (suseconds_t) (timeout_ms % 1000 * 1000)};

	if (result == 0 && strcmp(name, "ended") == 0)
		result = error_set(&error, -EIO, "machine %s/%s: is error: exit status 3", name_space, name);
	if (result < 0 || strcmp(json_string_value(json_object_get(machine, "phase")), phase) == 0)
	{
		done(context, result, machine, &error);
		json_decref(machine);
		return NULL;
	}
	json_decref(machine);
	wait = memory_allocate(sizeof(*wait));
	*wait = (EngineWait){.done = done, .context = context};
	wait->timer = evtimer_new(engine->loop, wait_time_out, wait);
	evtimer_add(wait->timer, &timeout);
	say("waiting for %s", phase);
	return wait;
}

void
engine_wait_cancel(EngineWait *wait)
{
	say("%s", "wait cancelled");
	event_free(wait->timer);
	free(wait);
}

/* ---- deploy ---- */

static const Deployed *
find_deployed(const Engine *engine, ResourceKind kind, const char *name_space, const char *name)
{
	for (size_t i = 0; i < engine->deployed_count; i++)
	{
		const json_t *spec = engine->deployed[i].spec;

		if (engine->deployed[i].kind == kind && strcmp(json_string_value(json_object_get(spec, "name")), name) == 0 &&
			strcmp(json_string_value(json_object_get(spec, "namespace")), name_space) == 0)
			return &engine->deployed[i];
	}
	return NULL;
}

/* ---- clusters ---- */

static json_t *
fake_cluster_spec(Engine *engine, const char *name_space, const char *name)
{
	const Deployed *deployed = find_deployed(engine, RESOURCE_POSTGRES, name_space, name);

	return deployed == NULL ? NULL : deployed->spec;
}

static void
fake_cluster_drop(Engine *engine, const char *name_space, const char *name)
{
	size_t at = (size_t) (find_deployed(engine, RESOURCE_POSTGRES, name_space, name) - engine->deployed);

	json_decref(engine->deployed[at].spec);
	engine->deployed[at] = engine->deployed[--engine->deployed_count];
}

json_t *
engine_list_clusters(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (size_t i = 0; i < engine->deployed_count; i++)
	{
		const json_t *spec = engine->deployed[i].spec;

		if (engine->deployed[i].kind == RESOURCE_POSTGRES &&
			(name_space == NULL || strcmp(name_space, json_string_value(json_object_get(spec, "namespace"))) == 0))
			json_array_append_new(array, fake_cluster_to_json(spec));
	}
	return array;
}

static json_t *
deploy_compare(const Deployed *old, const Resource *resource, bool dry_run)
{
	SpecChanges changes = {0};
	json_t *lines = json_array();
	VolumeSpec old_volume;
	AppSpec old_app;
	PostgresSpec old_cluster;

	if (old == NULL && !dry_run)
		return lines;
	if (old == NULL && resource->kind == RESOURCE_VOLUME)
		volume_spec_compare(NULL, &resource->volume, &changes);
	if (old != NULL && resource->kind == RESOURCE_VOLUME && volume_spec_from_json(old->spec, &old_volume, NULL) == 0)
	{
		volume_spec_compare(&old_volume, &resource->volume, &changes);
		volume_spec_clear(&old_volume);
	}
	if (old != NULL && resource->kind == RESOURCE_APP &&
		app_spec_from_json(RESOURCE_APP, old->spec, &old_app, NULL) == 0)
	{
		app_spec_compare(&old_app, &resource->app, &changes);
		app_spec_clear(&old_app);
	}
	if (old != NULL && resource->kind == RESOURCE_POSTGRES &&
		postgres_spec_from_json(old->spec, &old_cluster, NULL) == 0)
	{
		postgres_spec_compare(&old_cluster, &resource->postgres, &changes);
		postgres_spec_clear(&old_cluster);
	}
	for (size_t i = 0; i < changes.count; i++)
		json_array_append_new(lines, json_string(changes.lines[i]));
	spec_changes_clear(&changes);
	return lines;
}

static json_t *
deploy_resource(Engine *engine, const Resource *resource, bool dry_run)
{
	const char *name = resource->head.name;
	const char *name_space = resource->head.name_space;
	const Deployed *old = find_deployed(engine, resource->kind, name_space, name);
	json_t *changes = deploy_compare(old, resource, dry_run);
	json_t *notes = json_array();
	const char *action = "created";
	json_t *spec = resource->kind == RESOURCE_VOLUME	 ? volume_spec_to_json(&resource->volume)
				   : resource->kind == RESOURCE_SERVICE	 ? service_spec_to_json(&resource->service)
				   : resource->kind == RESOURCE_POSTGRES ? postgres_spec_to_json(&resource->postgres)
														 : app_spec_to_json(&resource->app);

	if (old != NULL)
	{
		action = json_array_size(changes) > 0 ? "changed" : "unchanged";
		if (!dry_run)
			json_object_update(old->spec, spec);
		json_decref(spec);
	}
	else if (dry_run)
		json_decref(spec);
	else
	{
		engine->deployed = memory_grow(engine->deployed, &engine->deployed_capacity, engine->deployed_count + 1,
									   sizeof(*engine->deployed));
		engine->deployed[engine->deployed_count++] = (Deployed){.kind = resource->kind, .spec = spec};
	}
	/* A name for one whose image is a registry's. */
	if (old != NULL && strcmp(name, "moving") == 0)
		json_array_append_new(notes, json_string("image: its registry is asked"));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "kind", resource_kind_name(resource->kind), "namespace",
					 name_space, "name", name, "action", action, "changes", changes, "notes", notes);
}

void
engine_deploy(Engine *engine, const DeployRequest *request, EngineDeployed done, void *context)
{
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};
	json_t *results;
	json_t *body;

	if (resource_files_parse(request->files, request->file_count, &request->variables, &set, &diagnostics) < 0)
	{
		done(context, -EINVAL, NULL, &diagnostics, NULL);
		diagnostic_list_clear(&diagnostics);
		return;
	}
	results = json_array();
	for (size_t i = 0; i < set.count; i++)
		json_array_append_new(results, deploy_resource(engine, &set.resources[i], request->dry_run));
	resource_set_clear(&set);
	body = json_pack("{s:o}", "results", results);
	done(context, 0, body, &diagnostics, NULL);
	json_decref(body);
}

/* ---- the end ---- */

/* As engine_free does it: what is under way is answered. Programs are for whoever started them. */
static inline void
fake_engine_end(Engine *engine)
{
	while (engine->laters != NULL)
	{
		engine->laters->result = -ECANCELED;
		later_run(-1, 0, engine->laters);
	}
	for (size_t i = 0; i < engine->deployed_count; i++)
		json_decref(engine->deployed[i].spec);
	free(engine->deployed);
	engine->deployed = NULL;
	engine->deployed_count = engine->deployed_capacity = 0;
	fake_secrets_end();
	fake_backups_end();
}

#endif
