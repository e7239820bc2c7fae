/* A double of engine/secrets.h over an array in memory, for fake_engine.h. A secret named "owned" belongs to a cluster;
 * "broken" cannot be read. */
#ifndef FAKE_SECRETS_H
#define FAKE_SECRETS_H

#include "engine/secrets.h"

/* {"kind", "namespace", "name", "owner", "changed-ms", "value"}, … */
static json_t *fake_secrets;

static json_t *
fake_secret_find(SecretKind kind, const char *name_space, const char *name)
{
	json_t *object;
	size_t index;

	json_array_foreach(fake_secrets, index, object)
	{
		if (json_integer_value(json_object_get(object, "kind")) == (json_int_t) kind &&
			strcmp(json_string_value(json_object_get(object, "namespace")), name_space) == 0 &&
			strcmp(json_string_value(json_object_get(object, "name")), name) == 0)
			return object;
	}
	return NULL;
}

static json_t *
fake_secret_copy(const json_t *object, bool with_value)
{
	json_t *copy = json_copy((json_t *) object);

	json_object_del(copy, "kind");
	if (!with_value)
		json_object_del(copy, "value");
	return copy;
}

static int
fake_secret_check(SecretKind kind, const char *name_space, const char *name, Error *err)
{
	if (strcmp(name, "owned") == 0)
		return error_set(err, -EBUSY, "%s %s/%s: belongs to postgres/%s/db", secret_kind_name(kind), name_space, name,
						 name_space);
	return 0;
}

int
engine_put_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
				  const char *text, Error *err)
{
	const char *wrong = secret_name_check(name);
	json_t *there = fake_secret_find(kind, name_space, name);

	(void) engine;
	(void) owner;
	if (wrong != NULL)
		return error_set(err, -EINVAL, "%s %s/%s: %s", secret_kind_name(kind), name_space, name, wrong);
	if (fake_secret_check(kind, name_space, name, err) < 0)
		return -EBUSY;
	if (fake_secrets == NULL)
		fake_secrets = json_array();
	if (there != NULL)
		json_object_set_new(there, "value", json_string(text));
	else
		json_array_append_new(fake_secrets, json_pack("{s:i, s:s, s:s, s:n, s:I, s:s}", "kind", (int) kind, "namespace",
													  name_space, "name", name, "owner", "changed-ms",
													  (json_int_t) 1760210084000, "value", text));
	return 0;
}

int
engine_remove_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
					 Error *err)
{
	json_t *object;
	size_t index;

	(void) engine;
	(void) owner;
	if (fake_secret_check(kind, name_space, name, err) < 0)
		return -EBUSY;
	json_array_foreach(fake_secrets, index, object)
	{
		if (object != fake_secret_find(kind, name_space, name))
			continue;
		json_array_remove(fake_secrets, index);
		return 0;
	}
	return error_set(err, -ENOENT, "%s %s/%s: does not exist", secret_kind_name(kind), name_space, name);
}

json_t *
engine_list_secrets(Engine *engine, SecretKind kind, const char *name_space)
{
	json_t *array = json_array();
	const json_t *object;
	size_t index;

	(void) engine;
	json_array_foreach(fake_secrets, index, object)
	{
		if (json_integer_value(json_object_get(object, "kind")) == (json_int_t) kind &&
			(name_space == NULL || strcmp(json_string_value(json_object_get(object, "namespace")), name_space) == 0))
			json_array_append_new(array, fake_secret_copy(object, kind == SECRET_KIND_VALUE));
	}
	return array;
}

int
engine_show_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, json_t **ret_secret,
				   Error *err)
{
	const json_t *there = fake_secret_find(kind, name_space, name);

	(void) engine;
	if (strcmp(name, "broken") == 0)
		return error_set(err, -EBADMSG, "secret/%s/broken: cannot be decrypted", name_space);
	if (there == NULL)
		return error_set(err, -ENOENT, "%s %s/%s: does not exist", secret_kind_name(kind), name_space, name);
	*ret_secret = fake_secret_copy(there, true);
	return 0;
}

static void
fake_secrets_end(void)
{
	json_decref(fake_secrets);
	fake_secrets = NULL;
}

#endif
