/* Namespaces: a word that resources have in common. One is there as long as something is in it. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"
#include "engine/secrets.h"
#include "store/store_secrets.h"

/* ---- list ---- */

/* Counts one of this kind in the namespace, which comes into being with it. */
static void
count_in(json_t *namespaces, const char *name_space, const char *kind)
{
	json_t *entry = json_object_get(namespaces, name_space);

	if (entry == NULL)
	{
		entry = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "name", name_space, "clusters", 0, "apps", 0,
						  "machines", 0, "services", 0, "volumes", 0, "secrets", 0, "values", 0);
		json_object_set_new(namespaces, name_space, entry);
	}
	json_object_set_new(entry, kind, json_integer(json_integer_value(json_object_get(entry, kind)) + 1));
}

static int
count_secret(void *context, const SecretRecord *record)
{
	count_in(context, record->name_space, record->kind == SECRET_KIND_SECRET ? "secrets" : "values");
	return 0;
}

static json_t *
engine_count_namespaces(const Engine *engine)
{
	json_t *namespaces = json_object();
	Error error;

	for (const EngineCluster *cluster = engine->clusters; cluster != NULL; cluster = cluster->next)
		count_in(namespaces, cluster->spec.name_space, "clusters");
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		count_in(namespaces, machine->spec.name_space, "machines");
		if (machine->spec.kind == RESOURCE_APP)
			count_in(namespaces, machine->spec.name_space, "apps");
	}
	for (const EngineService *service = engine->services; service != NULL; service = service->next)
		count_in(namespaces, service->spec.name_space, "services");
	for (const EngineVolume *volume = engine->volumes; volume != NULL; volume = volume->next)
		count_in(namespaces, volume->spec.name_space, "volumes");
	if (store_each_secret(engine->store, SECRET_KIND_SECRET, NULL, count_secret, namespaces, &error) < 0 ||
		store_each_secret(engine->store, SECRET_KIND_VALUE, NULL, count_secret, namespaces, &error) < 0)
		log_error("secrets not counted", "reason", error.message);
	return namespaces;
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

json_t *
engine_list_namespaces(Engine *engine)
{
	json_t *namespaces = engine_count_namespaces(engine);
	size_t count = json_object_size(namespaces);
	const char **names = memory_allocate((count + 1) * sizeof(char *));
	json_t *array = json_array();
	const char *name;
	json_t *entry;
	size_t at = 0;

	json_object_foreach(namespaces, name, entry)
	{
		names[at++] = name;
	}
	qsort(names, count, sizeof(char *), compare_names);
	for (size_t i = 0; i < count; i++)
		json_array_append(array, json_object_get(namespaces, names[i]));
	free(names);
	json_decref(namespaces);
	return array;
}

/* ---- delete ---- */

typedef struct NamespaceDelete
{
	Engine *engine;
	char name[NAME_MAX_BYTES + 1];
	bool volumes;
	json_t *counts;	  /* what was deleted */
	unsigned waiting; /* for so many answers, and once for the function that asks */
	Error error;	  /* the first one; code 0: none */
	EngineDone done;
	void *context;
} NamespaceDelete;

static void namespace_delete_volumes(NamespaceDelete *deletion);
static void namespace_delete_secrets(NamespaceDelete *deletion);

/* One answer less is waited for; after the last one it goes on with the volumes, and ends. */
static void
namespace_settle(NamespaceDelete *deletion)
{
	if (--deletion->waiting > 0)
		return;
	if (deletion->volumes && deletion->error.code == 0)
	{
		namespace_delete_volumes(deletion);
		return;
	}
	/* Last, because machines that are still there could not start again without them. */
	if (deletion->error.code == 0)
		namespace_delete_secrets(deletion);
	deletion->done(deletion->context, deletion->error.code, deletion->counts, &deletion->error);
	json_decref(deletion->counts);
	free(deletion);
}

static void
namespace_part_deleted(void *context, int result, json_t *body, const Error *err)
{
	NamespaceDelete *deletion = context;

	(void) body;
	if (result < 0 && deletion->error.code == 0)
		deletion->error = *err;
	namespace_settle(deletion);
}

/* What belongs to something of another namespace stays with that. */
static void
namespace_delete_secrets(NamespaceDelete *deletion)
{
	static const SecretKind kinds[] = {SECRET_KIND_SECRET, SECRET_KIND_VALUE};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		json_t *secrets = engine_list_secrets(deletion->engine, kinds[i], deletion->name);
		const json_t *secret;
		json_int_t count = 0;
		size_t index;

		json_array_foreach(secrets, index, secret)
		{
			if (!json_is_null(json_object_get(secret, "owner")))
				continue;
			if (store_delete_secret(deletion->engine->store, kinds[i], deletion->name,
									json_string_value(json_object_get(secret, "name")), &deletion->error) < 0)
				break;
			count++;
		}
		json_decref(secrets);
		json_object_set_new(deletion->counts, kinds[i] == SECRET_KIND_SECRET ? "secrets" : "values",
							json_integer(count));
	}
}

/* The names of volumes: the list changes while they are deleted. */
static void
namespace_delete_volumes(NamespaceDelete *deletion)
{
	json_t *names = json_array();
	const json_t *name;
	size_t index;

	deletion->volumes = false;
	deletion->waiting = 1;
	for (const EngineVolume *volume = deletion->engine->volumes; volume != NULL; volume = volume->next)
	{
		if (strcmp(volume->spec.name_space, deletion->name) == 0)
			json_array_append_new(names, json_string(volume->spec.name));
	}
	json_object_set_new(deletion->counts, "volumes", json_integer((json_int_t) json_array_size(names)));
	json_array_foreach(names, index, name)
	{
		deletion->waiting++;
		engine_delete_volume(deletion->engine, deletion->name, json_string_value(name), namespace_part_deleted,
							 deletion);
	}
	json_decref(names);
	namespace_settle(deletion);
}

static void
namespace_delete_services(NamespaceDelete *deletion)
{
	EngineService *next;
	unsigned count = 0;

	for (EngineService *service = deletion->engine->services; service != NULL; service = next)
	{
		next = service->next;
		if (strcmp(service->spec.name_space, deletion->name) != 0 || service->spec.expose[0] != '\0')
			continue;
		count++;
		deletion->waiting++;
		engine_delete_service(deletion->engine, deletion->name, service->spec.name, namespace_part_deleted, deletion);
	}
	json_object_set_new(deletion->counts, "services", json_integer(count));
}

static void
namespace_delete_machines(NamespaceDelete *deletion)
{
	json_int_t clusters = 0;
	json_int_t apps = 0;
	json_int_t machines = 0;
	Machine *next;

	/* Each goes with its machine. */
	for (const EngineCluster *cluster = deletion->engine->clusters; cluster != NULL; cluster = cluster->next)
		clusters += strcmp(cluster->spec.name_space, deletion->name) == 0;
	json_object_set_new(deletion->counts, "clusters", json_integer(clusters));
	for (Machine *machine = deletion->engine->machines; machine != NULL; machine = next)
	{
		next = machine->next;
		if (strcmp(machine->spec.name_space, deletion->name) != 0)
			continue;
		machines++;
		apps += machine->spec.kind == RESOURCE_APP;
		deletion->waiting++;
		machine_delete(machine, namespace_part_deleted, deletion);
	}
	json_object_set_new(deletion->counts, "apps", json_integer(apps));
	json_object_set_new(deletion->counts, "machines", json_integer(machines));
}

/* A volume that a machine of another namespace has mounted cannot go, and then nothing does. */
static int
namespace_check_volumes(const Engine *engine, const char *name_space, Error *err)
{
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, name_space) == 0)
			continue;
		for (size_t i = 0; i < machine->spec.volume_count; i++)
		{
			if (strcmp(machine->spec.volumes[i].name_space, name_space) == 0)
				return error_set(err, -EBUSY, "namespace %s: its volume %s is in use by %s", name_space,
								 machine->spec.volumes[i].name, machine->label);
		}
	}
	return 0;
}

void
engine_delete_namespace(Engine *engine, const char *name, bool volumes, EngineDone done, void *context)
{
	NamespaceDelete *deletion;
	json_t *namespaces = engine_count_namespaces(engine);
	Error error = {0};
	int result = 0;

	if (json_object_get(namespaces, name) == NULL)
		result = error_set(&error, -ENOENT, "namespace %s: there is nothing in it", name);
	json_decref(namespaces);
	if (result == 0 && volumes)
		result = namespace_check_volumes(engine, name, &error);
	if (result < 0)
	{
		done(context, result, NULL, &error);
		return;
	}
	deletion = memory_allocate(sizeof(*deletion));
	*deletion = (NamespaceDelete){.engine = engine,
								  .volumes = volumes,
								  .counts = json_pack("{s:i, s:i, s:i}", "volumes", 0, "secrets", 0, "values", 0),
								  .waiting = 1,
								  .done = done,
								  .context = context};
	text_copy(deletion->name, sizeof(deletion->name), name);
	namespace_delete_services(deletion);
	namespace_delete_machines(deletion);
	namespace_settle(deletion);
}
