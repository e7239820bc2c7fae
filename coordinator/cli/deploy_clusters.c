/* Waiting for the PostgreSQL clusters of a deploy; see deploy_watch.h. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/deploy_watch.h"

static int
wait_for(const CliInvocation *invocation, json_t *result, uint64_t timeout_ms)
{
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	const json_t *note;
	size_t index;
	int code;

	text_append(&target, "/v1/namespaces/");
	http_append_encoded(&target, member_text(result, "namespace"));
	text_append(&target, "/postgres/");
	http_append_encoded(&target, member_text(result, "name"));
	text_printf(&target, "/wait?timeout-ms=%" PRIu64, timeout_ms);
	code = api_send(invocation, "GET", text_string(&target), NULL, 0, &answer);
	if (code != EXIT_CODE_OK)
		return code;
	if (answer.status == 200)
	{
		json_array_foreach(json_object_get(answer.body, "notes"), index, note)
		{
			json_array_append(json_object_get(result, "changes"), (json_t *) note);
		}
	}
	else
	{
		const char *message = member_text(json_object_get(answer.body, "error"), "message");
		_cleanup_free_ char *label =
			memory_printf("postgres %s/%s: ", member_text(result, "namespace"), member_text(result, "name"));

		/* Whoever prints it says whose it is. */
		if (strncmp(message, label, strlen(label)) == 0)
			message += strlen(label);
		json_object_set_new(result, "error", json_string(message[0] != '\0' ? message : "no answer"));
		code = answer.status == 504 ? EXIT_CODE_TIMED_OUT : EXIT_CODE_FAILURE;
	}
	api_answer_clear(&answer);
	return code;
}

/* A cluster's app has its name. */
static bool
app_has_failed(const json_t *results, const json_t *cluster)
{
	const json_t *result;
	size_t index;

	json_array_foreach((json_t *) results, index, result)
	{
		if (strcmp(member_text(result, "kind"), "app") == 0 && member_is_set(result, "error") &&
			strcmp(member_text(result, "namespace"), member_text(cluster, "namespace")) == 0 &&
			strcmp(member_text(result, "name"), member_text(cluster, "name")) == 0)
			return true;
	}
	return false;
}

int
deploy_watch_clusters(const CliInvocation *invocation, json_t *results, uint64_t timeout_ms)
{
	json_t *result;
	size_t index;
	int code = EXIT_CODE_OK;

	json_array_foreach(results, index, result)
	{
		int one;

		if (strcmp(member_text(result, "kind"), "postgres") != 0)
			continue;
		if (app_has_failed(results, result))
		{
			json_object_set_new(result, "error", json_string("its server is not ready"));
			code = EXIT_CODE_FAILURE;
			continue;
		}
		one = wait_for(invocation, result, timeout_ms);
		code = one != EXIT_CODE_OK ? one : code;
	}
	return code;
}
