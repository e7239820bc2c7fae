/* Handlers of PostgreSQL clusters. Making and changing one is a deploy. */
#include <jansson.h>

#include "api/call.h"
#include "api/handlers.h"

void
handle_list_clusters(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_clusters(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_get_cluster(ApiCall *call)
{
	json_t *cluster = NULL;
	Error error = {0};
	int result = engine_get_cluster(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &cluster, &error);

	api_call_finish_with(call, result, cluster, &error);
}

void
handle_get_cluster_file(ApiCall *call)
{
	json_t *spec = NULL;
	Error error = {0};
	int result = engine_get_cluster_spec(api_call_engine(call), api_call_parameter(call, "ns"),
										 api_call_parameter(call, "name"), &spec, &error);

	api_call_finish_with(call, result, spec, &error);
}

void
handle_delete_cluster(ApiCall *call)
{
	bool volumes = false;
	Error error = {0};
	int result = api_call_query_flag(call, "volumes", &volumes, &error);

	if (result < 0)
		api_call_reply_error(call, result, &error);
	else
		engine_delete_cluster(api_call_engine(call), api_call_parameter(call, "ns"), api_call_parameter(call, "name"),
							  volumes, api_call_finish, call);
}

void
handle_get_access(ApiCall *call)
{
	ClusterAccessQuery query = {.name_space = api_call_parameter(call, "ns"),
								.name = api_call_parameter(call, "name"),
								.user = api_call_query(call, "user"),
								.from = api_call_query(call, "from")};
	json_t *access = NULL;
	Error error = {0};
	int result = api_call_query_flag(call, "localhost", &query.local, &error);

	if (result == 0)
		result = engine_get_access(api_call_engine(call), &query, &access, &error);
	api_call_finish_with(call, result, access, &error);
}
