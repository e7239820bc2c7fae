/* See cluster_edit.h. */
#include "engine/cluster_edit.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "model/postgres_spec.h"

static bool
is_user(ClusterEdit edit)
{
	return edit == CLUSTER_ADD_USER || edit == CLUSTER_EDIT_USER || edit == CLUSTER_DROP_USER;
}

/* The list of users or databases, made when there is none. Borrowed. */
static json_t *
list_of(json_t *spec, const char *key)
{
	json_t *list = json_object_get(spec, key);

	if (!json_is_array(list))
	{
		list = json_array();
		json_object_set_new(spec, key, list);
	}
	return list;
}

/* Its place in the list; the list's size when it is not in it. */
static size_t
find(const json_t *list, const char *name)
{
	size_t index = 0;

	while (index < json_array_size(list))
	{
		const char *other = json_string_value(json_object_get(json_array_get(list, index), "name"));

		if (other != NULL && strcmp(other, name) == 0)
			break;
		index++;
	}
	return index;
}

static int
set_keys(json_t *entry, const json_t *keys, Error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) keys, key, value)
	{
		if (strcmp(key, "name") == 0)
			return error_set(err, -EINVAL, "name: cannot be changed");
		if (json_is_null(value))
			json_object_del(entry, key);
		else
			json_object_set(entry, key, value);
	}
	return 0;
}

/* Databases that a user owned who goes: their heir's, or the superuser's. */
static void
pass_databases_on(json_t *spec, const ClusterChange *change)
{
	json_t *database;
	size_t index;

	json_array_foreach(json_object_get(spec, "databases"), index, database)
	{
		const char *owner = json_string_value(json_object_get(database, "owner"));

		if (owner == NULL || strcmp(owner, change->what) != 0)
			continue;
		if (change->options.reassign_to[0] == '\0' || strcmp(change->options.reassign_to, POSTGRES_SUPERUSER) == 0)
			json_object_del(database, "owner");
		else
			json_object_set_new(database, "owner", json_string(change->options.reassign_to));
	}
}

/* Access to a database that goes. */
static void
forget_access(json_t *spec, const char *database)
{
	json_t *user;
	size_t index;

	json_array_foreach(json_object_get(spec, "users"), index, user)
	{
		json_t *access = json_object_get(user, "access");

		for (size_t i = json_array_size(access); i > 0; i--)
		{
			const char *other = json_string_value(json_object_get(json_array_get(access, i - 1), "database"));

			if (other != NULL && strcmp(other, database) == 0)
				json_array_remove(access, i - 1);
		}
	}
}

static int
drop(json_t *spec, json_t *list, size_t index, const PostgresSpec *applied, const ClusterChange *change, Error *err)
{
	bool was_applied =
		is_user(change->edit) && applied != NULL && postgres_spec_find_user(applied, change->what) != NULL;

	if (change->edit == CLUSTER_DROP_DATABASE &&
		strcmp(change->what, json_string_value(json_object_get(spec, "database"))) == 0)
		return error_set(err, -EINVAL, "database %s: is the one that the cluster was made with, and goes with it",
						 change->what);
	/* A database that the file does not name any more may still be there: the server knows. */
	if (index == json_array_size(list) && is_user(change->edit) && !was_applied)
		return error_set(err, -ENOENT, "postgres %s/%s: has no user %s", change->name_space, change->name,
						 change->what);
	if (index < json_array_size(list))
		json_array_remove(list, index);
	if (change->edit == CLUSTER_DROP_USER)
		pass_databases_on(spec, change);
	else
		forget_access(spec, change->what);
	return 0;
}

int
cluster_edit_spec(json_t *spec, const PostgresSpec *applied, const ClusterChange *change, Error *err)
{
	const char *word = is_user(change->edit) ? "user" : "database";
	json_t *list = list_of(spec, is_user(change->edit) ? "users" : "databases");
	size_t index = find(list, change->what);
	bool is_there = index < json_array_size(list);

	if (change->edit == CLUSTER_DROP_USER || change->edit == CLUSTER_DROP_DATABASE)
		return drop(spec, list, index, applied, change, err);
	if (change->edit == CLUSTER_ADD_USER || change->edit == CLUSTER_ADD_DATABASE)
	{
		if (is_there)
			return error_set(err, -EEXIST, "postgres %s/%s: has a %s %s already", change->name_space, change->name,
							 word, change->what);
		json_array_append_new(list, json_pack("{s:s}", "name", change->what));
	}
	else if (!is_there)
		return error_set(err, -ENOENT, "postgres %s/%s: has no %s %s", change->name_space, change->name, word,
						 change->what);
	return set_keys(json_array_get(list, index), change->keys, err);
}
