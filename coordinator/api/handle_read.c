/* Handlers that only look. */
#include <errno.h>
#include <jansson.h>

#include "api/call.h"
#include "api/handlers.h"

void
handle_version(ApiCall *call)
{
	api_call_finish_with(call, 0, json_pack("{s:s, s:s}", "version", LTTLE_VERSION, "api", "v1"), NULL);
}

void
handle_doctor(ApiCall *call)
{
	engine_doctor(api_call_engine(call), api_call_finish, call);
}

void
handle_list_apps(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_apps(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_list_machines(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_machines(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_list_services(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_services(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_list_volumes(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_volumes(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_list_images(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_images(api_call_engine(call)), NULL);
}

void
handle_list_namespaces(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_namespaces(api_call_engine(call)), NULL);
}

void
handle_get_app(ApiCall *call)
{
	json_t *app = NULL;
	Error error = {0};
	int result = engine_get_app(api_call_engine(call), api_call_parameter(call, "ns"), api_call_parameter(call, "name"),
								&app, &error);

	api_call_finish_with(call, result, app, &error);
}

void
handle_get_service(ApiCall *call)
{
	json_t *service = NULL;
	Error error = {0};
	int result = engine_get_service(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &service, &error);

	api_call_finish_with(call, result, service, &error);
}

void
handle_get_volume(ApiCall *call)
{
	json_t *volume = NULL;
	Error error = {0};
	int result = engine_get_volume(api_call_engine(call), api_call_parameter(call, "ns"),
								   api_call_parameter(call, "name"), &volume, &error);

	api_call_finish_with(call, result, volume, &error);
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
	api_call_finish_with(call, result, machine, &error);
}
