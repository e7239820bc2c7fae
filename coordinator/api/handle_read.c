/* Handlers that only look. */
#include <errno.h>
#include <jansson.h>

#include "api/call.h"
#include "api/handlers.h"

/* Answers with what the engine made, and gives it back. */
static void
reply_and_free(ApiCall *call, json_t *body)
{
	api_call_reply(call, body);
	json_decref(body);
}

void
handle_version(ApiCall *call)
{
	reply_and_free(call, json_pack("{s:s, s:s}", "version", LTTLE_VERSION, "api", "v1"));
}

static void
doctor_done(void *context, int result, json_t *body, const Error *err)
{
	ApiCall *call = context;

	if (result < 0)
		api_call_reply_error(call, result, err);
	else
		api_call_reply(call, body);
}

void
handle_doctor(ApiCall *call)
{
	engine_doctor(api_call_engine(call), doctor_done, call);
}

void
handle_list_apps(ApiCall *call)
{
	reply_and_free(call, engine_list_apps(api_call_engine(call), api_call_query(call, "namespace")));
}

void
handle_list_machines(ApiCall *call)
{
	reply_and_free(call, engine_list_machines(api_call_engine(call), api_call_query(call, "namespace")));
}

void
handle_list_services(ApiCall *call)
{
	reply_and_free(call, engine_list_services(api_call_engine(call), api_call_query(call, "namespace")));
}

void
handle_list_volumes(ApiCall *call)
{
	reply_and_free(call, engine_list_volumes(api_call_engine(call), api_call_query(call, "namespace")));
}

void
handle_list_images(ApiCall *call)
{
	reply_and_free(call, engine_list_images(api_call_engine(call)));
}

void
handle_list_namespaces(ApiCall *call)
{
	reply_and_free(call, engine_list_namespaces(api_call_engine(call)));
}

static void
reply_object(ApiCall *call, int result, json_t *body, const Error *err)
{
	if (result < 0)
		api_call_reply_error(call, result, err);
	else
		reply_and_free(call, body);
}

void
handle_get_app(ApiCall *call)
{
	json_t *app = NULL;
	Error error = {0};
	int result = engine_get_app(api_call_engine(call), api_call_parameter(call, "ns"), api_call_parameter(call, "name"),
								&app, &error);

	reply_object(call, result, app, &error);
}

void
handle_get_service(ApiCall *call)
{
	json_t *service = NULL;
	Error error = {0};
	int result = engine_get_service(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &service, &error);

	reply_object(call, result, service, &error);
}

void
handle_get_volume(ApiCall *call)
{
	json_t *volume = NULL;
	Error error = {0};
	int result = engine_get_volume(api_call_engine(call), api_call_parameter(call, "ns"),
								   api_call_parameter(call, "name"), &volume, &error);

	reply_object(call, result, volume, &error);
}

void
handle_get_machine(ApiCall *call)
{
	char name[NAME_MAX_BYTES + 1];
	json_t *machine = NULL;
	Error error = {0};
	int result = api_call_resolve_machine(call, name, &error);

	if (result == 0)
		result = engine_get_machine(api_call_engine(call), api_call_parameter(call, "ns"), name, &machine, &error);
	reply_object(call, result, machine, &error);
}
