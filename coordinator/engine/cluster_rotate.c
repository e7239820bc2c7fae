/*
 * Another password for a user. PostgreSQL knows one password a role, so there is a moment between its commit and our
 * store's. The new one is therefore stored first, in a secret of its own; then it is set; then it takes the old one's
 * place. Whatever is interrupted is done again from the secret, which comes to the same.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "engine/clusters.h"
#include "engine/secrets.h"
#include "model/postgres_spec.h"
#include "postgres/password.h"

void
cluster_next_name(const PostgresSpec *spec, const char *user, char *name)
{
	/* No label of a user makes these of another one's names, which end with "-password". */
	cluster_secret_name(spec, user, user == NULL ? "superuser-password_next" : "password_next", name);
}

bool
cluster_is_rotating(const EngineCluster *cluster, const char *user)
{
	char name[SECRET_NAME_MAX_BYTES + 1];

	cluster_next_name(&cluster->spec, user, name);
	return engine_has_secret(cluster->engine, SECRET_KIND_SECRET, cluster->spec.name_space, name);
}

bool
cluster_is_rotating_any(const EngineCluster *cluster)
{
	bool any = cluster_is_rotating(cluster, NULL);

	for (size_t i = 0; !any && i < cluster->spec.user_count; i++)
		any = cluster_is_rotating(cluster, cluster->spec.users[i].name);
	return any;
}

/* The old one's secret gets the new text, and only then the new one's goes. */
static int
finish_user(EngineCluster *cluster, const char *user, Error *err)
{
	const char *name_space = cluster->spec.name_space;
	_cleanup_secret_ char *password = NULL;
	char owner[CLUSTER_OWNER_BYTES];
	char next[SECRET_NAME_MAX_BYTES + 1];
	char name[SECRET_NAME_MAX_BYTES + 1];
	int result;

	cluster_owner(&cluster->spec, owner);
	cluster_next_name(&cluster->spec, user, next);
	cluster_secret_name(&cluster->spec, user, user == NULL ? "superuser-password" : "password", name);
	result = engine_get_secret(cluster->engine, SECRET_KIND_SECRET, name_space, next, &password, err);
	if (result == -ENOENT)
		return 0;
	if (result == 0)
		result = engine_put_secret(cluster->engine, SECRET_KIND_SECRET, name_space, name, owner, password, err);
	if (result == 0)
		result = cluster_write_credentials(cluster, err);
	if (result == 0)
		result = engine_remove_secret(cluster->engine, SECRET_KIND_SECRET, name_space, next, owner, err);
	if (result == 0)
		log_info("password changed", "namespace", name_space, "cluster", cluster->spec.name, "user",
				 user == NULL ? POSTGRES_SUPERUSER : user);
	return result;
}

int
cluster_finish_rotation(EngineCluster *cluster, Error *err)
{
	int result = finish_user(cluster, NULL, err);

	for (size_t i = 0; result == 0 && i < cluster->spec.user_count; i++)
		result = finish_user(cluster, cluster->spec.users[i].name, err);
	return result;
}

int
engine_rotate_password(Engine *engine, const char *name_space, const char *name, const char *user, Error *err)
{
	EngineCluster *cluster = engine_find_cluster(engine, name_space, name);
	bool is_superuser = strcmp(user, POSTGRES_SUPERUSER) == 0;
	char owner[CLUSTER_OWNER_BYTES];
	char next[SECRET_NAME_MAX_BYTES + 1];
	char password[PASSWORD_CHARACTERS + 1];
	int result;

	if (cluster == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: not found", name_space, name);
	if (!is_superuser && postgres_spec_find_user(&cluster->spec, user) == NULL)
		return error_set(err, -ENOENT, "postgres %s/%s: has no user %s", name_space, name, user);
	cluster_owner(&cluster->spec, owner);
	cluster_next_name(&cluster->spec, is_superuser ? NULL : user, next);
	password_generate(password);
	result = engine_put_secret(engine, SECRET_KIND_SECRET, name_space, next, owner, password, err);
	explicit_bzero(password, sizeof(password));
	if (result < 0)
		return result;
	cluster_begin_change(cluster);
	return 0;
}
