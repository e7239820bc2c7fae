/* Handlers that change something. The engine finishes what it began, also when the client has gone. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/text.h"

#define DRAIN_STANDARD_MS 90000
#define DRAIN_MOST_MS	  (24 * 3600 * UINT64_C(1000))

typedef void (*EngineChange)(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context);

static void
change_named(ApiCall *call, EngineChange change)
{
	change(api_call_engine(call), api_call_parameter(call, "ns"), api_call_parameter(call, "name"), api_call_finish,
		   call);
}

void
handle_delete_app(ApiCall *call)
{
	change_named(call, engine_delete_app);
}

void
handle_delete_service(ApiCall *call)
{
	change_named(call, engine_delete_service);
}

void
handle_delete_machine(ApiCall *call)
{
	change_named(call, engine_delete_machine);
}

void
handle_delete_volume(ApiCall *call)
{
	change_named(call, engine_delete_volume);
}

void
handle_delete_namespace(ApiCall *call)
{
	bool volumes;
	Error error = {0};
	int result = api_call_query_flag(call, "volumes", &volumes, &error);

	if (result < 0)
		api_call_reply_error(call, result, &error);
	else
		engine_delete_namespace(api_call_engine(call), api_call_parameter(call, "ns"), volumes, api_call_finish, call);
}

void
handle_restart_machine(ApiCall *call)
{
	change_named(call, engine_restart_machine);
}

void
handle_hibernate_machine(ApiCall *call)
{
	change_named(call, engine_hibernate_machine);
}

void
handle_suspend_machine(ApiCall *call)
{
	change_named(call, engine_suspend_machine);
}

void
handle_wake_machine(ApiCall *call)
{
	change_named(call, engine_wake_machine);
}

void
handle_drain(ApiCall *call)
{
	uint64_t timeout_ms = 0;
	Error error = {0};
	int result = api_call_query_number(call, "timeout-ms", DRAIN_STANDARD_MS, DRAIN_MOST_MS, &timeout_ms, &error);

	if (result < 0)
		api_call_reply_error(call, result, &error);
	else
		engine_drain(api_call_engine(call), timeout_ms, api_call_finish, call);
}

void
handle_import_image(ApiCall *call)
{
	const char *name;
	const char *source;
	json_t *body;
	Error error = {0};
	int result = api_call_read_json(call, &body, &error);

	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		return;
	}
	if (json_unpack(body, "{s:s, s:s !}", "name", &name, "source", &source) < 0)
	{
		result = error_set(&error, -EINVAL, "body: must be {\"name\": text, \"source\": text} and nothing else");
		api_call_reply_error(call, result, &error);
	}
	else
		engine_import_image(api_call_engine(call), name, source, api_call_finish, call);
	json_decref(body);
}

void
handle_remove_image(ApiCall *call)
{
	const char *name = api_call_query(call, "name");
	Error error = {0};

	if (name == NULL || *name == '\0')
		api_call_reply_error(call, error_set(&error, -EINVAL, "name: is missing"), &error);
	else
		engine_remove_image(api_call_engine(call), name, api_call_finish, call);
}

void
handle_prune_images(ApiCall *call)
{
	engine_prune_images(api_call_engine(call), api_call_finish, call);
}
