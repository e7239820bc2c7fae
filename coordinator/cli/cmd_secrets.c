/* lttle secrets and values: set, get, list, rm. The two groups are the same, but that a secret is hidden. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"
#include "model/secret.h"

static bool
is_secret(const CliInvocation *invocation)
{
	return strcmp(invocation->command->group, "secrets") == 0;
}

/* "Secret", "Value" */
static const char *
kind_word(const CliInvocation *invocation)
{
	return is_secret(invocation) ? "Secret" : "Value";
}

/* Standard input up to its end, without the last end of line. */
static int
read_all(Text *text)
{
	char bytes[4096];
	size_t got;

	while ((got = fread(bytes, 1, sizeof(bytes), stdin)) > 0 && text->length <= SECRET_TEXT_MAX_BYTES)
		text_append_bytes(text, bytes, got);
	explicit_bzero(bytes, sizeof(bytes));
	if (ferror(stdin))
	{
		output_complain("standard input cannot be read");
		return EXIT_CODE_FAILURE;
	}
	if (text->length > 0 && text->data[text->length - 1] == '\n')
		text->data[--text->length] = '\0';
	return EXIT_CODE_OK;
}

static int
read_text(const CliInvocation *invocation, Text *text)
{
	const char *name = invocation->arguments[0];
	_cleanup_free_ char *question = memory_printf("%s '%s': ", kind_word(invocation), name);

	if (invocation->argument_count > 1)
	{
		text_append(text, invocation->arguments[1]);
		return EXIT_CODE_OK;
	}
	if (!isatty(STDIN_FILENO))
		return read_all(text);
	if (ask_line(question, is_secret(invocation), text))
		return EXIT_CODE_OK;
	output_complain("nothing was set");
	return EXIT_CODE_FAILURE;
}

static int
send_text(const CliInvocation *invocation, const Text *text)
{
	json_t *value = json_stringn(text_string(text), text->length);
	json_t *body = value == NULL ? NULL : json_pack("{s:o}", "value", value);
	_cleanup_secret_ char *dumped = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	int code;

	json_decref(body);
	if (dumped == NULL || strlen(text_string(text)) != text->length)
	{
		output_complain("%s '%s': must be UTF-8 text", kind_word(invocation), invocation->arguments[0]);
		return EXIT_CODE_USAGE;
	}
	api_path(&target, invocation, invocation->command->group, invocation->arguments[0], "");
	code = api_send(invocation, "PUT", text_string(&target), dumped, strlen(dumped), &answer);
	if (code == EXIT_CODE_OK && answer.status != 200)
		code = api_report(&answer);
	api_answer_clear(&answer);
	return code;
}

int
run_secret_set(const CliInvocation *invocation)
{
	_cleanup_text_ Text text = {0};
	int code = read_text(invocation, &text);

	if (code == EXIT_CODE_OK)
		code = send_text(invocation, &text);
	if (text.data != NULL)
		explicit_bzero(text.data, text.capacity);
	if (code == EXIT_CODE_OK)
		output_succeed("%s '%s' has been set.", kind_word(invocation), invocation->arguments[0]);
	return code;
}

int
run_secret_get(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	json_t *secret;
	int code;

	api_path(&target, invocation, invocation->command->group, invocation->arguments[0], "");
	code = api_request(invocation, "GET", text_string(&target), &secret);
	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(secret);
	else
		puts(member_text(secret, "value")); /* as it is: it is for a program to read */
	json_decref(secret);
	return EXIT_CODE_OK;
}

static void
secrets_print(const CliInvocation *invocation, json_t *secrets)
{
	static const char *const headers[] = {"NAMESPACE", "NAME", "OWNER", "CHANGED", "VALUE"};
	size_t columns = is_secret(invocation) ? 4 : 5;
	const json_t *secret;
	size_t index;
	Table table;

	table_begin(&table, columns, headers);
	json_array_foreach(secrets, index, secret)
	{
		char text[OUTPUT_TEXT_BYTES];

		output_format_time(member_number(secret, "changed-ms"), text);
		table_add(&table, "%s", member_text(secret, "namespace"));
		table_add(&table, "%s", member_text(secret, "name"));
		table_add(&table, "%s", member_text(secret, "owner"));
		table_add(&table, "%s", text);
		if (columns == 5)
			table_add(&table, "%s", member_text(secret, "value"));
	}
	table_print(&table);
}

int
run_secret_list(const CliInvocation *invocation)
{
	json_t *secrets;
	int code = api_list(invocation, invocation->command->group, &secrets);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(secrets);
	else
		secrets_print(invocation, secrets);
	json_decref(secrets);
	return EXIT_CODE_OK;
}

int
run_secret_remove(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code = confirm(invocation, "Remove %s '%s' of namespace '%s'?", is_secret(invocation) ? "secret" : "value",
					   name, cli_namespace(invocation));

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, invocation->command->group, name, "");
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("%s '%s' has been removed.", kind_word(invocation), name);
	return EXIT_CODE_OK;
}
