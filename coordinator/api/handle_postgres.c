/* Handlers of PostgreSQL clusters. Making and changing one is a deploy. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/text.h"

#define WAIT_STANDARD_MS 600000
#define WAIT_MOST_MS	 (24 * 3600 * UINT64_C(1000))

static void
reply(ApiCall *call, int result, json_t *body, const Error *err)
{
	if (result < 0)
		api_call_reply_error(call, result, err);
	else
		api_call_reply(call, body);
	json_decref(body);
}

void
handle_list_clusters(ApiCall *call)
{
	reply(call, 0, engine_list_clusters(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_get_cluster(ApiCall *call)
{
	json_t *cluster = NULL;
	Error error = {0};
	int result = engine_get_cluster(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &cluster, &error);

	reply(call, result, cluster, &error);
}

void
handle_get_cluster_file(ApiCall *call)
{
	json_t *spec = NULL;
	Error error = {0};
	int result = engine_get_cluster_spec(api_call_engine(call), api_call_parameter(call, "ns"),
										 api_call_parameter(call, "name"), &spec, &error);

	reply(call, result, spec, &error);
}

static void
deleted(void *context, int result, json_t *body, const Error *err)
{
	reply(context, result, body == NULL ? NULL : json_incref(body), err);
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
							  volumes, deleted, call);
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
	reply(call, result, access, &error);
}

/* ---- waiting ---- */

typedef struct Wait
{
	ApiCall *call;
	ClusterWait *wait;
	bool starting;
	bool over;
} Wait;

static void
wait_done(void *context, int result, json_t *body, const Error *err)
{
	Wait *wait = context;

	reply(wait->call, result, body == NULL ? NULL : json_incref(body), err);
	wait->over = true;
	if (!wait->starting)
		free(wait);
}

static void
wait_gone(void *context)
{
	Wait *wait = context;

	engine_cancel_cluster_wait(wait->wait);
	free(wait);
}

void
handle_wait_cluster(ApiCall *call)
{
	uint64_t timeout_ms = 0;
	Wait *wait;
	Error error = {0};

	if (api_call_query_number(call, "timeout-ms", WAIT_STANDARD_MS, WAIT_MOST_MS, &timeout_ms, &error) < 0)
	{
		api_call_reply_error(call, error.code, &error);
		return;
	}
	wait = memory_allocate(sizeof(*wait));
	*wait = (Wait){.call = call, .starting = true};
	wait->wait = engine_wait_cluster(api_call_engine(call), api_call_parameter(call, "ns"),
									 api_call_parameter(call, "name"), timeout_ms, wait_done, wait);
	wait->starting = false;
	if (wait->over)
		free(wait);
	else
		api_call_on_gone(call, wait_gone, wait);
}
