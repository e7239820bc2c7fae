/* Handlers of secrets and values: the same, but for their kind. */
#include <errno.h>
#include <jansson.h>

#include "api/call.h"
#include "api/handlers.h"
#include "engine/secrets.h"

static void
reply_list(ApiCall *call, SecretKind kind)
{
	api_call_finish_with(call, 0, engine_list_secrets(api_call_engine(call), kind, api_call_query(call, "namespace")),
						 NULL);
}

static void
reply_one(ApiCall *call, SecretKind kind)
{
	json_t *secret = NULL;
	Error error = {0};
	int result = engine_show_secret(api_call_engine(call), kind, api_call_parameter(call, "ns"),
									api_call_parameter(call, "name"), &secret, &error);

	api_call_finish_with(call, result, secret, &error);
}

static void
put(ApiCall *call, SecretKind kind)
{
	json_t *body = NULL;
	const char *text;
	Error error = {0};
	int result = api_call_read_json(call, &body, &error);

	if (result == 0 && json_unpack(body, "{s:s !}", "value", &text) < 0)
		result = error_set(&error, -EINVAL, "body: must be {\"value\": text} and nothing else");
	if (result == 0)
		result = engine_put_secret(api_call_engine(call), kind, api_call_parameter(call, "ns"),
								   api_call_parameter(call, "name"), NULL, text, &error);
	api_call_finish(call, result, NULL, &error);
	json_decref(body);
}

static void
delete_one(ApiCall *call, SecretKind kind)
{
	Error error = {0};
	int result = engine_remove_secret(api_call_engine(call), kind, api_call_parameter(call, "ns"),
									  api_call_parameter(call, "name"), NULL, &error);

	api_call_finish(call, result, NULL, &error);
}

void
handle_list_secrets(ApiCall *call)
{
	reply_list(call, SECRET_KIND_SECRET);
}

void
handle_get_secret(ApiCall *call)
{
	reply_one(call, SECRET_KIND_SECRET);
}

void
handle_put_secret(ApiCall *call)
{
	put(call, SECRET_KIND_SECRET);
}

void
handle_delete_secret(ApiCall *call)
{
	delete_one(call, SECRET_KIND_SECRET);
}

void
handle_list_values(ApiCall *call)
{
	reply_list(call, SECRET_KIND_VALUE);
}

void
handle_get_value(ApiCall *call)
{
	reply_one(call, SECRET_KIND_VALUE);
}

void
handle_put_value(ApiCall *call)
{
	put(call, SECRET_KIND_VALUE);
}

void
handle_delete_value(ApiCall *call)
{
	delete_one(call, SECRET_KIND_VALUE);
}
