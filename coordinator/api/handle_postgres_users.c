/* Handlers of a cluster's users and databases: each is a change of its file, which is deployed. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/text.h"

static int
read_name(const ApiCall *call, const char *key, char *ret_name, size_t size, Error *err)
{
	const char *name = api_call_query(call, key);

	if (name == NULL)
		return 0;
	if (*name == '\0' || strlen(name) >= size)
		return error_set(err, -EINVAL, "%s: must have 1 to %zu bytes", key, size - 1);
	text_copy(ret_name, size, name);
	return 0;
}

static int
read_options(const ApiCall *call, PostgresOptions *options, Error *err)
{
	int result = api_call_query_flag(call, "adopt", &options->adopt, err);

	if (result == 0)
		result = api_call_query_flag(call, "repair", &options->repair, err);
	if (result == 0)
		result = api_call_query_flag(call, "drop-owned", &options->drop_owned, err);
	if (result == 0)
		result = read_name(call, "reassign-to", options->reassign_to, sizeof(options->reassign_to), err);
	if (result == 0 && options->drop_owned && options->reassign_to[0] != '\0')
		return error_set(err, -EINVAL, "drop-owned and reassign-to: only one of them");
	return result;
}

/* what NULL: it is the body's name. The keys of the body are the change's. */
static void
change(ApiCall *call, ClusterEdit edit, const char *what, bool has_body)
{
	ClusterChange change = {.name_space = api_call_parameter(call, "ns"),
							.name = api_call_parameter(call, "name"),
							.edit = edit,
							.what = what};
	json_t *body = NULL;
	json_t *name = NULL;
	Error error = {0};
	int result = read_options(call, &change.options, &error);

	if (result == 0 && edit == CLUSTER_DROP_DATABASE)
	{
		if (strlen(what) >= sizeof(change.options.drop_database))
			result = error_set(&error, -EINVAL, "a database's name has at most 63 bytes");
		text_copy(change.options.drop_database, sizeof(change.options.drop_database), what);
	}
	if (result == 0 && has_body)
		result = api_call_read_json(call, &body, &error);
	if (result == 0 && what == NULL)
	{
		name = json_incref(json_object_get(body, "name"));
		if (!json_is_string(name))
			result = error_set(&error, -EINVAL, "body: must have a name");
		change.what = json_string_value(name);
		json_object_del(body, "name");
	}
	change.keys = body;
	if (result < 0)
		api_call_reply_error(call, result, &error);
	else
		engine_change_cluster(api_call_engine(call), &change, api_call_finish, call);
	json_decref(name);
	json_decref(body);
}

void
handle_add_cluster_user(ApiCall *call)
{
	change(call, CLUSTER_ADD_USER, NULL, true);
}

void
handle_edit_cluster_user(ApiCall *call)
{
	change(call, CLUSTER_EDIT_USER, api_call_parameter(call, "user"), true);
}

void
handle_drop_cluster_user(ApiCall *call)
{
	change(call, CLUSTER_DROP_USER, api_call_parameter(call, "user"), false);
}

void
handle_add_cluster_database(ApiCall *call)
{
	change(call, CLUSTER_ADD_DATABASE, NULL, true);
}

void
handle_edit_cluster_database(ApiCall *call)
{
	change(call, CLUSTER_EDIT_DATABASE, api_call_parameter(call, "database"), true);
}

void
handle_drop_cluster_database(ApiCall *call)
{
	change(call, CLUSTER_DROP_DATABASE, api_call_parameter(call, "database"), false);
}

void
handle_rotate_password(ApiCall *call)
{
	json_t *cluster = NULL;
	Error error = {0};
	int result = engine_rotate_password(api_call_engine(call), api_call_parameter(call, "ns"),
										api_call_parameter(call, "name"), api_call_parameter(call, "user"), &error);

	if (result == 0)
		result = engine_get_cluster(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &cluster, &error);
	api_call_finish_with(call, result, cluster, &error);
}

void
handle_check_cluster(ApiCall *call)
{
	engine_check_cluster(api_call_engine(call), api_call_parameter(call, "ns"), api_call_parameter(call, "name"),
						 api_call_finish, call);
}
