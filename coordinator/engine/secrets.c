/* Secrets and values of namespaces: who may change them, and how the API shows them; see secrets.h. */
#include "engine/secrets.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/machine_secrets.h"
#include "store/store_secrets.h"

static int
check_text(SecretKind kind, const char *name, const char *text, Error *err)
{
	json_t *as_json;

	if (strnlen(text, SECRET_TEXT_MAX_BYTES + 1) > SECRET_TEXT_MAX_BYTES)
		return error_set(err, -EINVAL, "%s %s: is longer than %d KiB", secret_kind_name(kind), name,
						 SECRET_TEXT_MAX_BYTES / 1024);
	as_json = json_string(text);
	if (as_json == NULL)
		return error_set(err, -EINVAL, "%s %s: must be UTF-8 text", secret_kind_name(kind), name);
	json_decref(as_json);
	return 0;
}

/* -EBUSY when somebody else has one of this name; 0 also when nobody has. */
static int
check_owner(Engine *engine, const SecretRecord *wanted, Error *err)
{
	SecretRecord there;
	int result = store_get_secret(engine->store, wanted->kind, wanted->name_space, wanted->name, &there, NULL, err);

	if (result < 0)
		return result == -ENOENT ? 0 : result;
	if (strcmp(there.owner, wanted->owner) == 0)
		return 0;
	if (there.owner[0] == '\0')
		return error_set(err, -EBUSY, "%s %s/%s: is there already, set by hand", secret_kind_name(wanted->kind),
						 wanted->name_space, wanted->name);
	return error_set(err, -EBUSY, "%s %s/%s: belongs to %s, and is changed only with it",
					 secret_kind_name(wanted->kind), wanted->name_space, wanted->name, there.owner);
}

int
engine_put_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
				  const char *text, Error *err)
{
	SecretRecord record = {.kind = kind};
	const char *wrong = secret_name_check(name);
	int result;

	if (wrong == NULL)
		wrong = name_check(name_space);
	if (wrong != NULL)
		return error_set(err, -EINVAL, "%s %.64s/%.128s: %s", secret_kind_name(kind), name_space, name, wrong);
	if (owner != NULL && strlen(owner) >= sizeof(record.owner))
		return error_set(err, -EINVAL, "%s %s/%s: its owner's name is too long", secret_kind_name(kind), name_space,
						 name);
	text_copy(record.name_space, sizeof(record.name_space), name_space);
	text_copy(record.name, sizeof(record.name), name);
	text_copy(record.owner, sizeof(record.owner), owner == NULL ? "" : owner);
	result = check_text(kind, name, text, err);
	if (result == 0)
		result = check_owner(engine, &record, err);
	return result == 0 ? store_put_secret(engine->store, &record, text, err) : result;
}

int
engine_get_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, char **ret_text,
				  Error *err)
{
	return store_get_secret(engine->store, kind, name_space, name, NULL, ret_text, err);
}

char *
engine_find_secret(void *engine, SecretKind kind, const char *name_space, const char *name, char ret_wrong[256])
{
	const char *word = secret_kind_name(kind);
	char *text = NULL;
	Error error = {0};
	int result = engine_get_secret(engine, kind, name_space, name, &text, &error);

	if (result == -ENOENT && !engine_has_secret(engine, kind, name_space, name))
		snprintf(ret_wrong, 256, "namespace %s has no %s '%.100s'; set it: lttle %ss set %.100s --ns %s", name_space,
				 word, name, word, name, name_space);
	else if (result < 0)
		snprintf(ret_wrong, 256, "%.250s", error.message);
	return text;
}

bool
engine_has_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name)
{
	return store_get_secret(engine->store, kind, name_space, name, NULL, NULL, NULL) == 0;
}

int
engine_remove_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
					 Error *err)
{
	SecretRecord record = {.kind = kind};
	const Machine *user;
	int result = store_get_secret(engine->store, kind, name_space, name, NULL, NULL, err);

	if (result < 0)
		return result;
	text_copy(record.name_space, sizeof(record.name_space), name_space);
	text_copy(record.name, sizeof(record.name), name);
	text_copy(record.owner, sizeof(record.owner), owner == NULL ? "" : owner);
	result = check_owner(engine, &record, err);
	user = engine_find_secret_user(engine, kind, name_space, name);
	if (result == 0 && user != NULL)
		return error_set(err, -EBUSY, "%s %s/%s: %s uses it", secret_kind_name(kind), name_space, name, user->label);
	return result == 0 ? store_delete_secret(engine->store, kind, name_space, name, err) : result;
}

int
engine_remove_owned_secrets(Engine *engine, const char *owner, Error *err)
{
	if (owner[0] == '\0')
		return error_set(err, -EINVAL, "secrets: an owner has a name");
	return store_delete_secrets_of(engine->store, owner, err);
}

static json_t *
secret_to_json(const SecretRecord *record)
{
	return json_pack("{s:s, s:s, s:o, s:I}", "namespace", record->name_space, "name", record->name, "owner",
					 record->owner[0] == '\0' ? json_null() : json_string(record->owner), "changed-ms",
					 (json_int_t) record->changed_ms);
}

static int
append_secret(void *context, const SecretRecord *record)
{
	json_array_append_new(context, secret_to_json(record));
	return 0;
}

json_t *
engine_list_secrets(Engine *engine, SecretKind kind, const char *name_space)
{
	json_t *array = json_array();
	json_t *entry;
	size_t index;
	Error error;

	if (store_each_secret(engine->store, kind, name_space, append_secret, array, &error) < 0)
		log_error("secrets not listed", "reason", error.message);
	if (kind == SECRET_KIND_SECRET)
		return array;
	json_array_foreach(array, index, entry)
	{
		_cleanup_secret_ char *text = NULL;

		if (engine_get_secret(engine, kind, json_string_value(json_object_get(entry, "namespace")),
							  json_string_value(json_object_get(entry, "name")), &text, &error) < 0)
			log_error("value not shown", "reason", error.message);
		json_object_set_new(entry, "value", text == NULL ? json_null() : json_string(text));
	}
	return array;
}

int
engine_show_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, json_t **ret_secret,
				   Error *err)
{
	_cleanup_secret_ char *text = NULL;
	SecretRecord record;
	int result = store_get_secret(engine->store, kind, name_space, name, &record, &text, err);

	if (result < 0)
		return result;
	*ret_secret = secret_to_json(&record);
	json_object_set_new(*ret_secret, "value", json_string(text));
	return 0;
}
