/* A double of engine/backups.h over an array in memory, for fake_engine.h. Of what is backed up every day the last one
 * has failed; the server "nobody" is not there. */
#ifndef FAKE_BACKUPS_H
#define FAKE_BACKUPS_H

#include "engine/backups.h"

static json_t *fake_backups;

static json_t *
fake_backup_find(const char *name_space, const char *name, size_t *ret_index)
{
	json_t *object;
	size_t index;

	json_array_foreach(fake_backups, index, object)
	{
		if (strcmp(json_string_value(json_object_get(object, "namespace")), name_space) == 0 &&
			strcmp(json_string_value(json_object_get(object, "name")), name) == 0)
		{
			*ret_index = index;
			return object;
		}
	}
	return NULL;
}

int
engine_show_backup(Engine *engine, const char *name_space, const char *name, json_t **ret_backup, Error *err)
{
	size_t index;
	json_t *found = fake_backup_find(name_space, name, &index);

	(void) engine;
	if (found == NULL)
		return error_set(err, -ENOENT, "%s/%s: has no schedule of backups", name_space, name);
	*ret_backup = json_incref(found);
	return 0;
}

int
engine_remove_backup(Engine *engine, const char *name_space, const char *name, Error *err)
{
	json_t *found;
	size_t index;
	int result = engine_show_backup(engine, name_space, name, &found, err);

	if (result < 0)
		return result;
	json_decref(found);
	fake_backup_find(name_space, name, &index);
	json_array_remove(fake_backups, index);
	return 0;
}

int
engine_put_backup(Engine *engine, const char *name_space, const char *name, const json_t *plan, json_t **ret_backup,
				  Error *err)
{
	const char *schedule = json_string_value(json_object_get(plan, "schedule"));
	json_t *last = NULL;
	json_t *object;
	size_t index;

	(void) engine;
	if (schedule == NULL)
		return error_set(err, -EINVAL, "body: must be {\"schedule\": text}");
	if (strcmp(name, "nobody") == 0)
		return error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	if (strcmp(schedule, "1d") == 0)
		last = json_pack("{s:I, s:I, s:b, s:s}", "time-ms", (json_int_t) 1760210084000, "took-ms", (json_int_t) 12,
						 "ok", false, "error", "pg_dump\nhas failed");
	object = json_pack("{s:s, s:s, s:I, s:b, s:o?, s:s, s:s}", "namespace", name_space, "name", name, "next-ms",
					   (json_int_t) 1760210084000, "running", false, "last", last, "directory", "/state/backups",
					   "format", "custom");
	json_object_update(object, (json_t *) plan);
	if (fake_backups == NULL)
		fake_backups = json_array();
	if (fake_backup_find(name_space, name, &index) != NULL)
		json_array_remove(fake_backups, index);
	json_array_append(fake_backups, object);
	*ret_backup = object;
	return 0;
}

json_t *
engine_list_backups(Engine *engine, const char *name_space)
{
	json_t *list = json_array();
	json_t *object;
	size_t index;

	(void) engine;
	json_array_foreach(fake_backups, index, object)
	{
		if (name_space == NULL || strcmp(json_string_value(json_object_get(object, "namespace")), name_space) == 0)
			json_array_append(list, object);
	}
	return list;
}

static void
fake_backups_end(void)
{
	json_decref(fake_backups);
	fake_backups = NULL;
}

#endif
