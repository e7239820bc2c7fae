/*
 * The secrets and values that are made for a cluster: its users' credentials in its own namespace and in those that a
 * user's `namespaces` name, and where it is. All of them belong to the cluster; what is not wanted any more goes.
 *
 * A user's password is the text of the secret in the cluster's own namespace. The others are copies of it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "model/postgres_spec.h"
#include "postgres/password.h"

/* Names such as "postgres-host", for the oldest cluster of a namespace. */
#define COMMON_NAME "postgres"

/* While what is to be there is written, it is noted; what is found besides goes. */
typedef struct Credentials
{
	const EngineCluster *cluster;
	const PostgresSpec *spec; /* the cluster's, or one that it may get */
	Engine *engine;
	bool only_note;
	char owner[CLUSTER_OWNER_BYTES];
	char host[16];
	json_t *wanted; /* "KIND NAMESPACE/NAME" */
} Credentials;

void
cluster_secret_name(const PostgresSpec *spec, const char *user, const char *what, char *name)
{
	char label[NAME_MAX_BYTES + 1] = "";
	_cleanup_free_ char *whole = NULL;

	if (user != NULL)
		postgres_user_label(user, label);
	whole = memory_printf("%s%s%s-%s", spec->name, user == NULL ? "" : "-", label, what);
	text_copy(name, SECRET_NAME_MAX_BYTES + 1, whole);
}

/* The text of the secret, which is made when it is not there. */
static int
password_of(Engine *engine, const PostgresSpec *spec, const char *name, char **ret_password, Error *err)
{
	char owner[CLUSTER_OWNER_BYTES];
	char password[PASSWORD_CHARACTERS + 1];
	int result = engine_get_secret(engine, SECRET_KIND_SECRET, spec->name_space, name, ret_password, err);

	if (result != -ENOENT)
		return result;
	cluster_owner(spec, owner);
	password_generate(password);
	result = engine_put_secret(engine, SECRET_KIND_SECRET, spec->name_space, name, owner, password, err);
	if (result == 0)
		*ret_password = memory_duplicate(password);
	explicit_bzero(password, sizeof(password));
	return result;
}

int
cluster_superuser_password(Engine *engine, const PostgresSpec *spec, char **ret_password, Error *err)
{
	char name[SECRET_NAME_MAX_BYTES + 1];

	cluster_secret_name(spec, NULL, "superuser-password", name);
	return password_of(engine, spec, name, ret_password, err);
}

static void
note_wanted(Credentials *credentials, SecretKind kind, const char *name_space, const char *name)
{
	char *key = memory_printf("%s %s/%s", secret_kind_name(kind), name_space, name);

	json_object_set_new(credentials->wanted, key, json_true());
	free(key);
}

/* One that somebody has set by hand, or that another cluster has, stays as it is; it is told, and the rest goes on. */
static void
put(Credentials *credentials, SecretKind kind, const char *name_space, const char *name, const char *text)
{
	Error error;

	note_wanted(credentials, kind, name_space, name);
	if (!credentials->only_note &&
		engine_put_secret(credentials->engine, kind, name_space, name, credentials->owner, text, &error) < 0)
		log_warning("not written", "cluster", credentials->cluster->spec.name, "reason", error.message);
}

static void
put_user_in(Credentials *credentials, const PostgresUser *user, const char *name_space, const char *password)
{
	const PostgresSpec *spec = credentials->spec;
	char name[SECRET_NAME_MAX_BYTES + 1];
	char *url = cluster_url(user->name, password, credentials->host, POSTGRES_PORT, cluster_user_database(spec, user));

	cluster_secret_name(spec, user->name, "username", name);
	put(credentials, SECRET_KIND_SECRET, name_space, name, user->name);
	cluster_secret_name(spec, user->name, "password", name);
	put(credentials, SECRET_KIND_SECRET, name_space, name, password);
	cluster_secret_name(spec, user->name, "url", name);
	put(credentials, SECRET_KIND_SECRET, name_space, name, url);
	secret_text_free(url);
}

/* Where it is, and its first user, under the cluster's name or the common one. */
static void
put_place(Credentials *credentials, const char *prefix, const char *password)
{
	const PostgresSpec *spec = credentials->spec;
	const struct
	{
		SecretKind kind;
		const char *what;
		const char *text; /* NULL: there is none */
	} entries[] = {
		{SECRET_KIND_VALUE, "host", credentials->host},
		{SECRET_KIND_VALUE, "port", "5432"},
		{SECRET_KIND_VALUE, "database", spec->database},
		{SECRET_KIND_SECRET, "username", spec->user_count == 0 ? NULL : spec->users[0].name},
		{SECRET_KIND_SECRET, "password", spec->user_count == 0 ? NULL : password},
	};

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
	{
		char name[SECRET_NAME_MAX_BYTES + 1];

		snprintf(name, sizeof(name), "%.64s-%s", prefix, entries[i].what);
		if (entries[i].text != NULL)
			put(credentials, entries[i].kind, spec->name_space, name, entries[i].text);
	}
}

static bool
is_oldest(const EngineCluster *cluster)
{
	for (const EngineCluster *other = cluster->engine->clusters; other != NULL; other = other->next)
	{
		if (other == cluster || strcmp(other->spec.name_space, cluster->spec.name_space) != 0)
			continue;
		if (strcmp(other->spec.name, COMMON_NAME) == 0 || other->created_ms < cluster->created_ms ||
			(other->created_ms == cluster->created_ms && strcmp(other->spec.name, cluster->spec.name) < 0))
			return false;
	}
	return true;
}

static bool
is_place(const PostgresSpec *spec, const char *prefix, SecretKind kind, const char *name)
{
	static const struct
	{
		SecretKind kind;
		const char *what;
	} entries[] = {{SECRET_KIND_VALUE, "host"},
				   {SECRET_KIND_VALUE, "port"},
				   {SECRET_KIND_VALUE, "database"},
				   {SECRET_KIND_SECRET, "username"},
				   {SECRET_KIND_SECRET, "password"}};

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
	{
		char made[SECRET_NAME_MAX_BYTES + 1];

		snprintf(made, sizeof(made), "%.64s-%s", prefix, entries[i].what);
		if (kind == entries[i].kind && strcmp(name, made) == 0)
			return kind == SECRET_KIND_VALUE || spec->user_count > 0;
	}
	return false;
}

static bool
is_of_user(const PostgresSpec *spec, const PostgresUser *user, const char *name_space, const char *name)
{
	static const char *const kinds[] = {"username", "password", "url"};
	bool is_there = strcmp(name_space, spec->name_space) == 0;

	for (char **other = user->namespaces; other != NULL && *other != NULL; other++)
		is_there = is_there || strcmp(name_space, *other) == 0;
	for (size_t i = 0; is_there && i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		char made[SECRET_NAME_MAX_BYTES + 1];

		cluster_secret_name(spec, user->name, kinds[i], made);
		if (strcmp(name, made) == 0)
			return true;
	}
	return false;
}

bool
postgres_spec_makes_secret(const PostgresSpec *spec, SecretKind kind, const char *name_space, const char *name)
{
	for (size_t i = 0; kind == SECRET_KIND_SECRET && i < spec->user_count; i++)
	{
		if (is_of_user(spec, &spec->users[i], name_space, name))
			return true;
	}
	return strcmp(name_space, spec->name_space) == 0 &&
		   (is_place(spec, spec->name, kind, name) || is_place(spec, COMMON_NAME, kind, name));
}

static int
put_users(Credentials *credentials, Error *err)
{
	const PostgresSpec *spec = credentials->spec;
	int result = 0;

	for (size_t i = 0; result == 0 && i < spec->user_count; i++)
	{
		const PostgresUser *user = &spec->users[i];
		_cleanup_secret_ char *password = NULL;
		char name[SECRET_NAME_MAX_BYTES + 1];

		cluster_secret_name(spec, user->name, "password", name);
		if (credentials->only_note)
			password = memory_duplicate("");
		else
			result = password_of(credentials->engine, spec, name, &password, err);
		if (result < 0)
			break;
		put_user_in(credentials, user, spec->name_space, password);
		cluster_next_name(spec, user->name, name);
		note_wanted(credentials, SECRET_KIND_SECRET, spec->name_space, name);
		for (char **other = user->namespaces; other != NULL && *other != NULL; other++)
			put_user_in(credentials, user, *other, password);
		if (i > 0)
			continue;
		put_place(credentials, spec->name, password);
		if (is_oldest(credentials->cluster))
			put_place(credentials, COMMON_NAME, password);
	}
	if (result == 0 && spec->user_count == 0)
	{
		put_place(credentials, spec->name, NULL);
		if (is_oldest(credentials->cluster))
			put_place(credentials, COMMON_NAME, NULL);
	}
	return result;
}

/* Writes, or only notes, all that the cluster is to have. */
static int
put_all(Credentials *credentials, Error *err)
{
	const PostgresSpec *spec = credentials->spec;
	char name[SECRET_NAME_MAX_BYTES + 1];

	credentials->wanted = json_object();
	cluster_owner(spec, credentials->owner);
	cluster_secret_name(spec, NULL, "superuser-password", name);
	note_wanted(credentials, SECRET_KIND_SECRET, spec->name_space, name);
	cluster_next_name(spec, NULL, name);
	note_wanted(credentials, SECRET_KIND_SECRET, spec->name_space, name);
	for (size_t i = 0; i < spec->value_count; i++)
		put(credentials, SECRET_KIND_VALUE, spec->name_space, spec->values[i].name, spec->values[i].value);
	return put_users(credentials, err);
}

/* Calls function for each that the cluster has and is not to have. */
static void
each_unwanted(const Credentials *credentials, SecretKind kind, TakenSecret function, void *context)
{
	json_t *list = engine_list_secrets(credentials->engine, kind, NULL);
	const json_t *entry;
	size_t index;

	json_array_foreach(list, index, entry)
	{
		const char *owner = json_string_value(json_object_get(entry, "owner"));
		const char *name_space = json_string_value(json_object_get(entry, "namespace"));
		const char *name = json_string_value(json_object_get(entry, "name"));
		char *key = memory_printf("%s %s/%s", secret_kind_name(kind), name_space, name);

		if (owner != NULL && strcmp(owner, credentials->owner) == 0 &&
			json_object_get(credentials->wanted, key) == NULL)
			function(context, kind, name_space, name);
		free(key);
	}
	json_decref(list);
}

int
cluster_write_credentials(EngineCluster *cluster, Error *err)
{
	const Machine *machine = cluster_machine(cluster);
	Credentials credentials = {.cluster = cluster, .spec = &cluster->spec, .engine = cluster->engine};
	int result;

	if (machine == NULL)
		return 0;
	network_format_address(machine->network.address, credentials.host);
	result = put_all(&credentials, err);
	json_decref(credentials.wanted);
	return result;
}

void
cluster_each_taken(const EngineCluster *cluster, const PostgresSpec *spec, TakenSecret function, void *context)
{
	Credentials credentials = {.cluster = cluster, .spec = spec, .engine = cluster->engine, .only_note = true};

	if (put_all(&credentials, NULL) == 0)
	{
		each_unwanted(&credentials, SECRET_KIND_SECRET, function, context);
		each_unwanted(&credentials, SECRET_KIND_VALUE, function, context);
	}
	json_decref(credentials.wanted);
}

static void
take_away(void *context, SecretKind kind, const char *name_space, const char *name)
{
	EngineCluster *cluster = context;
	char owner[CLUSTER_OWNER_BYTES];
	Error error;

	cluster_owner(&cluster->spec, owner);
	if (engine_remove_secret(cluster->engine, kind, name_space, name, owner, &error) < 0)
		log_warning("not taken away", "cluster", cluster->spec.name, "reason", error.message);
}

void
cluster_tidy_credentials(EngineCluster *cluster)
{
	cluster_each_taken(cluster, &cluster->spec, take_away, cluster);
}

/* The superuser's password stays for as long as the volume does: the data knows no other one. */
void
cluster_remove_credentials(Engine *engine, const PostgresSpec *spec)
{
	_cleanup_secret_ char *password = NULL;
	char owner[CLUSTER_OWNER_BYTES];
	char name[SECRET_NAME_MAX_BYTES + 1];
	Error error;

	cluster_owner(spec, owner);
	cluster_secret_name(spec, NULL, "superuser-password", name);
	if (engine_get_secret(engine, SECRET_KIND_SECRET, spec->name_space, name, &password, NULL) < 0)
		password = NULL;
	if (engine_remove_owned_secrets(engine, owner, &error) < 0)
		log_warning("credentials not removed", "cluster", spec->name, "reason", error.message);
	if (password != NULL &&
		engine_put_secret(engine, SECRET_KIND_SECRET, spec->name_space, name, owner, password, &error) < 0)
		log_warning("the superuser's password was not kept", "cluster", spec->name, "reason", error.message);
}

/* The superuser's password has been kept for the data, which is gone. */
void
engine_forget_cluster_data(Engine *engine, const char *name_space, const char *volume)
{
	static const char suffix[] = "-data";
	size_t length = strlen(volume);
	PostgresSpec spec = {0};
	char owner[CLUSTER_OWNER_BYTES];
	Error error;

	if (length < sizeof(suffix) || strcmp(volume + length - strlen(suffix), suffix) != 0)
		return;
	text_copy(spec.name_space, sizeof(spec.name_space), name_space);
	snprintf(spec.name, sizeof(spec.name), "%.*s", (int) (length - strlen(suffix)), volume);
	if (engine_find_cluster(engine, name_space, spec.name) != NULL)
		return;
	cluster_owner(&spec, owner);
	if (engine_remove_owned_secrets(engine, owner, &error) < 0)
		log_warning("credentials not removed", "cluster", spec.name, "reason", error.message);
}
