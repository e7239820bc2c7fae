/* Waiting for a phase. A client that leaves takes its wait along. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/text.h"

#define WAIT_STANDARD_MS 60000
#define WAIT_MOST_MS	 (24 * 3600 * UINT64_C(1000))

typedef struct PhaseWait
{
	ApiCall *call;
	EngineWait *wait; /* NULL: engine_wait_phase has not returned yet */
	bool starting;
	bool over;
} PhaseWait;

static void
wait_done(void *context, int result, json_t *body, const Error *err)
{
	PhaseWait *phase_wait = context;

	if (result < 0)
		api_call_reply_error(phase_wait->call, result, err);
	else
		api_call_reply(phase_wait->call, body);
	phase_wait->over = true;
	if (!phase_wait->starting)
		free(phase_wait);
}

static void
wait_handle_gone(void *context)
{
	PhaseWait *phase_wait = context;

	engine_wait_cancel(phase_wait->wait);
	free(phase_wait);
}

void
handle_wait(ApiCall *call)
{
	const char *phase = api_call_query(call, "phase");
	char name[NAME_MAX_BYTES + 1];
	PhaseWait *phase_wait;
	uint64_t timeout_ms = 0;
	Error error = {0};
	int result = api_call_resolve_machine(call, name, &error);

	if (result == 0 && (phase == NULL || phase[0] == '\0'))
		result = error_set(&error, -EINVAL, "phase: must be given");
	if (result == 0)
		result = api_call_query_number(call, "timeout-ms", WAIT_STANDARD_MS, WAIT_MOST_MS, &timeout_ms, &error);
	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		return;
	}
	phase_wait = memory_allocate(sizeof(*phase_wait));
	*phase_wait = (PhaseWait){.call = call, .starting = true};
	phase_wait->wait = engine_wait_phase(api_call_engine(call), api_call_parameter(call, "ns"), name, phase, timeout_ms,
										 wait_done, phase_wait);
	phase_wait->starting = false;
	if (phase_wait->over)
		free(phase_wait);
	else
		api_call_on_gone(call, wait_handle_gone, phase_wait);
}
