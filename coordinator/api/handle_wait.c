/* Waiting for a machine's phase, or for a cluster to be usable. A client that leaves takes its wait along. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/text.h"

#define PHASE_STANDARD_MS	60000
#define CLUSTER_STANDARD_MS 600000
#define WAIT_MOST_MS		(24 * 3600 * UINT64_C(1000))

/* Of the engine's waits there is one, and none before the engine has returned it. */
typedef struct Wait
{
	ApiCall *call;
	EngineWait *phase;
	ClusterWait *cluster;
	bool starting;
	bool over;
} Wait;

static void
wait_done(void *context, int result, struct json_t *body, const Error *err)
{
	Wait *wait = context;

	api_call_finish(wait->call, result, body, err);
	wait->over = true;
	if (!wait->starting)
		free(wait);
}

static void
wait_handle_gone(void *context)
{
	Wait *wait = context;

	if (wait->phase != NULL)
		engine_wait_cancel(wait->phase);
	else
		engine_cancel_cluster_wait(wait->cluster);
	free(wait);
}

static Wait *
wait_new(ApiCall *call)
{
	Wait *wait = memory_allocate(sizeof(*wait));

	*wait = (Wait){.call = call, .starting = true};
	return wait;
}

/* The engine has returned; it may have answered already. */
static void
wait_started(Wait *wait)
{
	wait->starting = false;
	if (wait->over)
		free(wait);
	else
		api_call_on_gone(wait->call, wait_handle_gone, wait);
}

void
handle_wait(ApiCall *call)
{
	const char *phase = api_call_query(call, "phase");
	char name[NAME_MAX_BYTES + 1];
	Wait *wait;
	uint64_t timeout_ms = 0;
	Error error = {0};
	int result = api_call_resolve_machine(call, name, &error);

	if (result == 0 && (phase == NULL || phase[0] == '\0'))
		result = error_set(&error, -EINVAL, "phase: must be given");
	if (result == 0)
		result = api_call_query_number(call, "timeout-ms", PHASE_STANDARD_MS, WAIT_MOST_MS, &timeout_ms, &error);
	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		return;
	}
	wait = wait_new(call);
	wait->phase = engine_wait_phase(api_call_engine(call), api_call_parameter(call, "ns"), name, phase, timeout_ms,
									wait_done, wait);
	wait_started(wait);
}

void
handle_wait_cluster(ApiCall *call)
{
	Wait *wait;
	uint64_t timeout_ms = 0;
	Error error = {0};
	int result = api_call_query_number(call, "timeout-ms", CLUSTER_STANDARD_MS, WAIT_MOST_MS, &timeout_ms, &error);

	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		return;
	}
	wait = wait_new(call);
	wait->cluster = engine_wait_cluster(api_call_engine(call), api_call_parameter(call, "ns"),
										api_call_parameter(call, "name"), timeout_ms, wait_done, wait);
	wait_started(wait);
}
