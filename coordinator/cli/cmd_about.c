/* lttle version, help, doctor, and the documents that are made of the tables. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/output.h"
#include "model/spec.h"

int
run_version(const CliInvocation *invocation)
{
	json_t *server = NULL;
	int code;

	if (!cli_has(invocation, OPTION_JSON))
		printf("lttle %s\n", LTTLE_VERSION);
	code = api_request(invocation, "GET", "/v1/version", &server);
	if (cli_has(invocation, OPTION_JSON))
	{
		json_t *both = json_pack("{s:s, s:O*}", "client", LTTLE_VERSION, "coordinator", server);

		output_json(both);
		json_decref(both);
	}
	else if (code == EXIT_CODE_OK)
		printf("lttled %s\n", member_text(server, "version"));
	json_decref(server);
	return code;
}

static int
refuse_topic(const char *word)
{
	output_complain("there is no command '%s'", word);
	return EXIT_CODE_USAGE;
}

int
run_help(const CliInvocation *invocation)
{
	const CliInvocation none = {0};
	const CliGroup *group;
	const CliCommand *command;

	if (invocation->argument_count == 0)
	{
		help_print(stdout, &none);
		return EXIT_CODE_OK;
	}
	group = cli_find_group(invocation->arguments[0]);
	if (group != NULL && invocation->argument_count == 1)
	{
		help_print_group(stdout, group);
		return EXIT_CODE_OK;
	}
	command = group != NULL ? cli_find_command(group->name, invocation->arguments[1])
							: cli_find_command(NULL, invocation->arguments[0]);
	if (command == NULL)
		return refuse_topic(invocation->arguments[group != NULL ? 1 : 0]);
	help_print_command(stdout, command);
	return EXIT_CODE_OK;
}

/* ---- doctor ---- */

static const char *
doctor_colour(const char *status)
{
	if (strcmp(status, "ok") == 0)
		return output_green();
	return strcmp(status, "missing") == 0 ? output_red() : output_yellow();
}

static void
doctor_print_check(const json_t *check, int name_width)
{
	static const struct
	{
		const char *status;
		const char *mark;
	} marks[] = {{"ok", "✓"}, {"warning", "!"}, {"missing", "✗"}};
	const char *status = member_text(check, "status");
	const char *mark = "?";

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
	{
		if (strcmp(marks[i].status, status) == 0)
			mark = marks[i].mark;
	}
	printf("%s%s %-8s%s %-*s  %s\n", doctor_colour(status), mark, status, output_plain(), name_width,
		   member_text(check, "name"), member_text(check, "finding"));
	if (member_text(check, "consequence")[0] != '\0')
		printf("%*s→ %s\n", 10 + 1 + name_width + 2, "", member_text(check, "consequence"));
}

static void
doctor_print(const json_t *checks)
{
	const json_t *check;
	size_t index;
	int width = 0;

	json_array_foreach((json_t *) checks, index, check)
	{
		int length = (int) strlen(member_text(check, "name"));

		width = length > width ? length : width;
	}
	json_array_foreach((json_t *) checks, index, check)
	{
		doctor_print_check(check, width);
	}
}

static int
doctor_count_missing(const json_t *checks)
{
	const json_t *check;
	size_t index;
	int missing = 0;

	json_array_foreach((json_t *) checks, index, check)
	{
		missing += strcmp(member_text(check, "status"), "missing") == 0;
	}
	return missing;
}

int
run_doctor(const CliInvocation *invocation)
{
	json_t *answer;
	int missing;
	int code = api_request(invocation, "GET", "/v1/doctor", &answer);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(answer);
	else
		doctor_print(json_object_get(answer, "checks"));
	missing = doctor_count_missing(json_object_get(answer, "checks"));
	json_decref(answer);
	return missing > 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}

/* For the completion: the names of a kind, one a line. Silent when there is no coordinator. */
int
run_names(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	const json_t *object;
	size_t index;
	HttpStream stream;
	HttpRequest request = {.socket_path = cli_socket(invocation), .method = "GET"};
	Error error;
	_cleanup_text_ Text body = {0};

	text_append(&target, "/v1/");
	http_append_encoded(&target, invocation->arguments[0]);
	if (strcmp(invocation->arguments[0], "images") != 0 && strcmp(invocation->arguments[0], "namespaces") != 0)
		api_append_query(&target, "namespace", cli_namespace_or_all(invocation));
	request.target = text_string(&target);
	if (http_open(&request, &stream, &error) < 0)
		return EXIT_CODE_NO_COORDINATOR;
	if (http_read_all(&stream, &body, &error) == 0)
		answer.body = json_loads(text_string(&body), 0, NULL);
	http_close(&stream);
	json_array_foreach(answer.body, index, object)
	{
		puts(member_text(object, "name"));
	}
	api_answer_clear(&answer);
	return EXIT_CODE_OK;
}

int
run_schema(const CliInvocation *invocation)
{
	json_t *schema = resource_schema();

	(void) invocation;
	output_json(schema);
	json_decref(schema);
	return EXIT_CODE_OK;
}

int
run_not_offered(const CliInvocation *invocation)
{
	output_complain("%s: %s", invocation->command->name, invocation->command->description);
	return EXIT_CODE_REFUSED;
}
