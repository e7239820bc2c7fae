/* lttle deploy */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/deploy_watch.h"
#include "cli/output.h"

#define FILE_MAX_BYTES (1024 * 1024)

/* Reads the file, or standard input for "-". False with a complaint. */
static bool
deploy_read(const char *path, Text *text)
{
	_cleanup_file_ FILE *opened = NULL;
	FILE *file = stdin;
	char bytes[16384];
	size_t got;

	if (strcmp(path, "-") != 0)
		file = opened = fopen(path, "re");
	if (file == NULL)
	{
		output_complain("%s: %s", path, strerror(errno));
		return false;
	}
	while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0 && text->length <= FILE_MAX_BYTES)
		text_append_bytes(text, bytes, got);
	if (ferror(file))
		output_complain("%s: %s", path, strerror(errno));
	else if (text->length > FILE_MAX_BYTES)
		output_complain("%s: is longer than 1 MiB", path);
	else
		return true;
	return false;
}

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

int
run_deploy(const CliInvocation *invocation)
{
	const char *path = invocation->arguments[0];
	_cleanup_text_ Text target = {0};
	_cleanup_text_ Text text = {0};
	ApiAnswer answer = {0};
	uint64_t timeout_ms;
	int code = api_read_timeout(invocation, "10m", &timeout_ms);

	if (code != EXIT_CODE_OK)
		return code;
	if (!deploy_read(path, &text))
		return EXIT_CODE_FAILURE;
	text_append(&target, "/v1/deploy");
	api_append_query(&target, "file", strcmp(path, "-") == 0 ? "<stdin>" : path);
	code = api_send(invocation, "POST", text_string(&target), text_string(&text), text.length, &answer);
	if (code != EXIT_CODE_OK)
		return code;
	if (answer.status != 200)
		code = deploy_report(&answer);
	else
		code = deploy_finish(invocation, answer.body, timeout_ms);
	api_answer_clear(&answer);
	return code;
}
