/* lttle image list, import */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/output.h"

/* "sha256:0123456789ab" of the whole digest */
#define SHORT_ID_BYTES 19

static void
images_print(json_t *images)
{
	static const char *const headers[] = {"NAME", "ID", "CREATED"};
	const json_t *image;
	size_t index;
	Table table;

	table_begin(&table, 3, headers);
	json_array_foreach(images, index, image)
	{
		char text[OUTPUT_TEXT_BYTES];

		table_add(&table, "%s", member_text(image, "name"));
		table_add(&table, "%.*s", SHORT_ID_BYTES, member_text(image, "id"));
		output_format_age((double) clock_realtime_ms() - member_number(image, "created-ms"), text);
		table_add(&table, "%s ago", text);
	}
	table_print(&table);
}

int
run_image_list(const CliInvocation *invocation)
{
	json_t *images;
	int code = api_request(invocation, "GET", "/v1/images", &images);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(images);
	else
		images_print(images);
	json_decref(images);
	return EXIT_CODE_OK;
}

int
run_image_import(const CliInvocation *invocation)
{
	json_t *body = json_pack("{s:s, s:s}", "name", invocation->arguments[0], "source", invocation->arguments[1]);
	ApiAnswer answer = {0};
	char *text;
	int code;

	if (body == NULL || (text = json_dumps(body, JSON_COMPACT)) == NULL)
	{
		json_decref(body);
		output_complain("name and source must be UTF-8");
		return EXIT_CODE_USAGE;
	}
	code = api_send(invocation, "POST", "/v1/images", text, strlen(text), &answer);
	if (code == EXIT_CODE_OK && answer.status != 200)
		code = api_report(&answer);
	else if (code == EXIT_CODE_OK && cli_has(invocation, OPTION_JSON))
		output_json(answer.body);
	else if (code == EXIT_CODE_OK)
		output_succeed("Image '%s' has been imported (%.*s).", invocation->arguments[0], SHORT_ID_BYTES,
					   member_text(answer.body, "id"));
	api_answer_clear(&answer);
	json_decref(body);
	free(text);
	return code;
}
