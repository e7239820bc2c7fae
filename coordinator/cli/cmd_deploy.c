/* lttle deploy */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/deploy_bundle.h"
#include "cli/deploy_text.h"
#include "cli/deploy_watch.h"
#include "cli/output.h"

static void
deploy_print_result(const json_t *result)
{
	static const struct
	{
		const char *action;
		const char *words;
	} words[] = {
		{"created", "Successfully deployed"}, {"changed", "Successfully deployed"}, {"unchanged", "Unchanged"}};
	const char *action = member_text(result, "action");
	const char *text = action;
	const json_t *change;
	const json_t *line;
	size_t index;

	if (member_is_set(result, "error"))
	{
		output_complain("%s %s/%s: %s", member_text(result, "kind"), member_text(result, "namespace"),
						member_text(result, "name"), member_text(result, "error"));
		json_array_foreach(json_object_get(result, "last-words"), index, line)
		{
			fprintf(stderr, "  | %s\n", json_string_value(line));
		}
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (strcmp(words[i].action, action) == 0)
			text = words[i].words;
	}
	output_succeed("%s %s: %s/%s", text, member_text(result, "kind"), member_text(result, "namespace"),
				   member_text(result, "name"));
	json_array_foreach(json_object_get(result, "changes"), index, change)
	{
		printf("  changed: %s\n", json_string_value(change));
	}
	json_array_foreach(json_object_get(result, "notes"), index, line)
	{
		printf("  %s\n", json_string_value(line));
	}
}

/* "FILE:LINE:COLUMN: KEY: message" on standard error, as compilers do it. */
static void
deploy_print_diagnostic(const json_t *diagnostic)
{
	const char *key = member_text(diagnostic, "key");

	fprintf(stderr, "%s:%.0f:%.0f: %s%s%s\n", member_text(diagnostic, "file"), member_number(diagnostic, "line"),
			member_number(diagnostic, "column"), key, key[0] != '\0' ? ": " : "", member_text(diagnostic, "message"));
}

static int
deploy_report(const ApiAnswer *answer)
{
	const json_t *diagnostics = json_object_get(answer->body, "diagnostics");
	const json_t *diagnostic;
	size_t index;

	if (json_array_size(diagnostics) == 0)
		return api_report(answer);
	json_array_foreach((json_t *) diagnostics, index, diagnostic)
	{
		deploy_print_diagnostic(diagnostic);
	}
	return EXIT_CODE_FAILURE;
}

/* Waits, unless it shall not, and says what became of it. */
static int
deploy_finish(const CliInvocation *invocation, json_t *answer, uint64_t timeout_ms)
{
	json_t *results = json_object_get(answer, "results");
	const json_t *result;
	size_t index;
	int code = EXIT_CODE_OK;

	if (!cli_has(invocation, OPTION_NO_WAIT))
		code = deploy_watch(invocation, results, timeout_ms);
	if (!cli_has(invocation, OPTION_NO_WAIT) && code != EXIT_CODE_NO_COORDINATOR)
	{
		int clusters = deploy_watch_clusters(invocation, results, timeout_ms);

		code = code != EXIT_CODE_OK ? code : clusters;
	}
	if (code == EXIT_CODE_NO_COORDINATOR)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(answer);
	else
		json_array_foreach(results, index, result)
		{
			deploy_print_result(result);
		}
	return code;
}

/* What would change, as a diff: "+" is new, "~" is another, "?" is not known yet, and what stays is not told. */
static void
deploy_print_plan(const json_t *answer)
{
	const json_t *result;
	const json_t *line;
	size_t index;
	size_t at;
	bool any = false;

	json_array_foreach(json_object_get(answer, "results"), index, result)
	{
		const char *action = member_text(result, "action");
		json_t *notes = json_object_get(result, "notes");
		bool is_new = strcmp(action, "created") == 0;
		bool stays = strcmp(action, "unchanged") == 0;

		if (stays && json_array_size(notes) == 0)
			continue;
		any = true;
		printf("%s%s %s %s/%s%s\n", is_new ? output_green() : output_yellow(),
			   is_new  ? "+"
			   : stays ? "?"
					   : "~",
			   member_text(result, "kind"), member_text(result, "namespace"), member_text(result, "name"),
			   output_plain());
		json_array_foreach(json_object_get(result, "changes"), at, line)
		{
			printf("%s   %s\n", is_new ? "+" : " ", json_string_value(line));
		}
		json_array_foreach(notes, at, line)
		{
			printf("?   %s\n", json_string_value(line));
		}
	}
	if (!any)
		printf("Nothing would change.\n");
}

static int
deploy_send(const CliInvocation *invocation, const json_t *bundle, uint64_t timeout_ms)
{
	bool dry_run = cli_has(invocation, OPTION_DRY_RUN);
	_cleanup_free_ char *body = json_dumps(bundle, JSON_COMPACT);
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	int code;

	text_printf(&target, "/v1/deploy?bundle=true%s%s", dry_run ? "&dry-run=true" : "",
				cli_has(invocation, OPTION_REASSIGN_OWNED) ? "&reassign-owned=true" : "");
	code = api_send(invocation, "POST", text_string(&target), body, strlen(body), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	if (answer.status != 200)
		code = deploy_report(&answer);
	else if (!dry_run)
		code = deploy_finish(invocation, answer.body, timeout_ms);
	else if (cli_has(invocation, OPTION_JSON))
		output_json(answer.body);
	else
		deploy_print_plan(answer.body);
	api_answer_clear(&answer);
	return code;
}

int
deploy_text(const CliInvocation *invocation, const char *name, const char *text, uint64_t timeout_ms)
{
	json_t *bundle = json_pack("{s:[{s:s, s:s}]}", "files", "name", name, "text", text);
	int code = deploy_send(invocation, bundle, timeout_ms);

	json_decref(bundle);
	return code;
}

int
run_deploy(const CliInvocation *invocation)
{
	json_t *bundle = NULL;
	uint64_t timeout_ms;
	int code = api_read_timeout(invocation, "10m", &timeout_ms);

	if (code == EXIT_CODE_OK)
		code = deploy_bundle_read(invocation, &bundle);
	if (code == EXIT_CODE_OK)
		code = deploy_send(invocation, bundle, timeout_ms);
	json_decref(bundle);
	return code;
}
