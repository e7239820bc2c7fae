/* Requests to the coordinator; see api.h. */
#include "cli/api.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/output.h"
#include "model/spec.h"

/* What an error of the API means for scripts. The codes are those of api/status.c. */
static const struct
{
	const char *code;
	ExitCode exit;
} error_exits[] = {
	{"not-found", EXIT_CODE_NOT_FOUND}, {"busy", EXIT_CODE_REFUSED},	   {"exists", EXIT_CODE_REFUSED},
	{"ambiguous", EXIT_CODE_REFUSED},	{"overloaded", EXIT_CODE_REFUSED}, {"stopping", EXIT_CODE_NO_COORDINATOR},
};

const char *
member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

double
member_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

bool
member_is_set(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value != NULL && !json_is_null(value);
}

void
api_path(Text *target, const CliInvocation *invocation, const char *kind, const char *name, const char *tail)
{
	text_append(target, "/v1/namespaces/");
	http_append_encoded(target, cli_namespace(invocation));
	text_printf(target, "/%s/", kind);
	http_append_encoded(target, name);
	text_append(target, tail);
}

void
api_append_query(Text *target, const char *key, const char *value)
{
	if (value == NULL)
		return;
	text_printf(target, "%c%s=", strchr(text_string(target), '?') == NULL ? '?' : '&', key);
	http_append_encoded(target, value);
}

int
api_read_timeout(const CliInvocation *invocation, const char *standard, uint64_t *ret_ms)
{
	const char *timeout = cli_has(invocation, OPTION_TIMEOUT) ? invocation->values[OPTION_TIMEOUT] : standard;
	const char *problem = duration_parse(timeout, ret_ms);

	if (problem == NULL)
		return EXIT_CODE_OK;
	output_complain("--timeout: '%s' %s", timeout, problem);
	return EXIT_CODE_USAGE;
}

int
api_append_timeout(Text *target, const CliInvocation *invocation, const char *standard)
{
	char number[32];
	uint64_t timeout_ms;
	int code = api_read_timeout(invocation, standard, &timeout_ms);

	if (code != EXIT_CODE_OK)
		return code;
	snprintf(number, sizeof(number), "%" PRIu64, timeout_ms);
	api_append_query(target, "timeout-ms", number);
	return EXIT_CODE_OK;
}

int
api_report_connection(const Error *err)
{
	output_complain("%s", err->message);
	return err->code == -ECONNREFUSED ? EXIT_CODE_NO_COORDINATOR : EXIT_CODE_FAILURE;
}

int
api_report(const ApiAnswer *answer)
{
	const json_t *error = json_object_get(answer->body, "error");
	const char *code = member_text(error, "code");
	const char *message = member_text(error, "message");

	if (message[0] == '\0')
		output_complain("the coordinator answered with status %d", answer->status);
	else
		output_complain("%s", message);
	for (size_t i = 0; i < sizeof(error_exits) / sizeof(error_exits[0]); i++)
	{
		if (strcmp(error_exits[i].code, code) == 0)
			return error_exits[i].exit;
	}
	return EXIT_CODE_FAILURE;
}

void
api_answer_clear(ApiAnswer *answer)
{
	json_decref(answer->body);
	answer->body = NULL;
}

int
api_send(const CliInvocation *invocation, const char *method, const char *target, const char *body, size_t body_bytes,
		 ApiAnswer *ret_answer)
{
	const HttpRequest request = {.socket_path = cli_socket(invocation),
								 .method = method,
								 .target = target,
								 .body = body,
								 .body_bytes = body_bytes};
	_cleanup_text_ Text text = {0};
	HttpStream stream;
	Error error;
	int result = http_open(&request, &stream, &error);

	if (result < 0)
		return api_report_connection(&error);
	result = http_read_all(&stream, &text, &error);
	http_close(&stream);
	if (result < 0)
		return api_report_connection(&error);
	*ret_answer = (ApiAnswer){.status = stream.status, .body = json_loads(text_string(&text), 0, NULL)};
	if (stream.status == 200 && ret_answer->body == NULL)
	{
		output_complain("the coordinator's answer is no JSON");
		return EXIT_CODE_FAILURE;
	}
	return EXIT_CODE_OK;
}

int
api_request(const CliInvocation *invocation, const char *method, const char *target, json_t **ret_body)
{
	ApiAnswer answer = {0};
	int code = api_send(invocation, method, target, NULL, 0, &answer);

	if (code != EXIT_CODE_OK)
		return code;
	if (answer.status != 200)
	{
		code = api_report(&answer);
		api_answer_clear(&answer);
		return code;
	}
	*ret_body = answer.body;
	return EXIT_CODE_OK;
}

int
api_list(const CliInvocation *invocation, const char *kind, json_t **ret_array)
{
	_cleanup_text_ Text target = {0};

	text_printf(&target, "/v1/%s", kind);
	api_append_query(&target, "namespace", cli_namespace_or_all(invocation));
	return api_request(invocation, "GET", text_string(&target), ret_array);
}

int
api_show(const CliInvocation *invocation, int code, json_t *answer, void (*print)(const json_t *answer))
{
	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(answer);
	else
		print(answer);
	json_decref(answer);
	return EXIT_CODE_OK;
}

/* The full name of the only one that begins with prefix. False with a complaint when there are several. */
static int
find_by_prefix(const json_t *array, const char *prefix, const char **ret_name)
{
	_cleanup_text_ Text names = {0};
	const json_t *object;
	size_t index;
	size_t found = 0;

	json_array_foreach((json_t *) array, index, object)
	{
		const char *name = member_text(object, "name");

		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		text_printf(&names, "%s%s", found > 0 ? ", " : "", name);
		*ret_name = name;
		found++;
	}
	if (found <= 1)
		return EXIT_CODE_OK;
	output_complain("'%s' is the beginning of several: %s", prefix, text_string(&names));
	return EXIT_CODE_REFUSED;
}

/* Asks for the list and looks for the only one that begins so. *ret_name stays NULL when there is none. */
static int
resolve_prefix(const CliInvocation *invocation, const char *kind, const char *prefix, char **ret_name)
{
	_cleanup_text_ Text target = {0};
	const char *name = NULL;
	json_t *array;
	int code;

	text_printf(&target, "/v1/%s", kind);
	api_append_query(&target, "namespace", cli_namespace(invocation));
	code = api_request(invocation, "GET", text_string(&target), &array);
	if (code != EXIT_CODE_OK)
		return code;
	code = find_by_prefix(array, prefix, &name);
	if (code == EXIT_CODE_OK && name != NULL)
		*ret_name = memory_duplicate(name);
	json_decref(array);
	return code;
}

int
api_get_by_prefix(const CliInvocation *invocation, const char *kind, const char *name, json_t **ret_object)
{
	_cleanup_text_ Text target = {0};
	_cleanup_free_ char *full = NULL;
	ApiAnswer answer = {0};
	int code;

	api_path(&target, invocation, kind, name, "");
	code = api_send(invocation, "GET", text_string(&target), NULL, 0, &answer);
	if (code == EXIT_CODE_OK && answer.status == 404)
	{
		code = resolve_prefix(invocation, kind, name, &full);
		if (code == EXIT_CODE_OK && full != NULL)
		{
			api_answer_clear(&answer);
			text_clear(&target);
			api_path(&target, invocation, kind, full, "");
			code = api_send(invocation, "GET", text_string(&target), NULL, 0, &answer);
		}
	}
	if (code == EXIT_CODE_OK && answer.status != 200)
		code = api_report(&answer);
	if (code == EXIT_CODE_OK)
		*ret_object = answer.body;
	else
		api_answer_clear(&answer);
	return code;
}

int
api_report_refusal(HttpStream *stream)
{
	_cleanup_text_ Text text = {0};
	ApiAnswer answer = {.status = stream->status};
	Error error;
	int code;

	if (http_read_all(stream, &text, &error) < 0)
		return api_report_connection(&error);
	answer.body = json_loads(text_string(&text), 0, NULL);
	code = api_report(&answer);
	api_answer_clear(&answer);
	return code;
}
