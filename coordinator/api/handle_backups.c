/* Handlers of schedules of backups. */
#include <jansson.h>

#include "api/call.h"
#include "api/handlers.h"
#include "engine/backups.h"

void
handle_list_backups(ApiCall *call)
{
	api_call_finish_with(call, 0, engine_list_backups(api_call_engine(call), api_call_query(call, "namespace")), NULL);
}

void
handle_get_backup(ApiCall *call)
{
	json_t *backup = NULL;
	Error error = {0};
	int result = engine_show_backup(api_call_engine(call), api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &backup, &error);

	api_call_finish_with(call, result, backup, &error);
}

void
handle_put_backup(ApiCall *call)
{
	json_t *plan = NULL;
	json_t *backup = NULL;
	Error error = {0};
	int result = api_call_read_json(call, &plan, &error);

	if (result == 0)
		result = engine_put_backup(api_call_engine(call), api_call_parameter(call, "ns"),
								   api_call_parameter(call, "name"), plan, &backup, &error);
	api_call_finish_with(call, result, backup, &error);
	json_decref(plan);
}

void
handle_delete_backup(ApiCall *call)
{
	Error error = {0};
	int result = engine_remove_backup(api_call_engine(call), api_call_parameter(call, "ns"),
									  api_call_parameter(call, "name"), &error);

	api_call_finish(call, result, NULL, &error);
}
