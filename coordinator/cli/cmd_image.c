/* lttle image list, pull, import, rm, prune */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"

/* "sha256:0123456789ab" of the whole digest */
#define SHORT_ID_BYTES 19

static void
images_print(const json_t *images)
{
	static const char *const headers[] = {"NAME", "ID", "SIZE", "CREATED", "USED BY"};
	const json_t *image;
	size_t index;
	Table table;

	table_begin(&table, 5, headers);
	json_array_foreach(images, index, image)
	{
		_cleanup_text_ Text users = {0};
		char text[OUTPUT_TEXT_BYTES];
		const json_t *names = json_object_get(image, "used-by");

		for (size_t i = 0; i < json_array_size(names); i++)
			text_printf(&users, "%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(names, i)));
		table_add(&table, "%s", member_text(image, "name"));
		table_add(&table, "%.*s", SHORT_ID_BYTES, member_text(image, "id"));
		output_format_bytes(member_number(image, "size-bytes"), text);
		table_add(&table, "%s", json_is_integer(json_object_get(image, "size-bytes")) ? text : "");
		output_format_age((double) clock_realtime_ms() - member_number(image, "created-ms"), text);
		table_add(&table, "%s ago", text);
		table_add(&table, "%s", text_string(&users));
	}
	table_print(&table);
}

int
run_image_list(const CliInvocation *invocation)
{
	json_t *images = NULL;
	int code = api_request(invocation, "GET", "/v1/images", &images);

	return api_show(invocation, code, images, images_print);
}

/* Asks for the import and prints the answer, or what is wrong. */
static int
image_import(const CliInvocation *invocation, const char *name, const char *source, json_t **ret_image)
{
	json_t *body = json_pack("{s:s, s:s}", "name", name, "source", source);
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
	else if (code == EXIT_CODE_OK)
		*ret_image = json_incref(answer.body);
	api_answer_clear(&answer);
	json_decref(body);
	free(text);
	return code;
}

int
run_image_import(const CliInvocation *invocation)
{
	json_t *image = NULL;
	int code = image_import(invocation, invocation->arguments[0], invocation->arguments[1], &image);

	if (code == EXIT_CODE_OK && cli_has(invocation, OPTION_JSON))
		output_json(image);
	else if (code == EXIT_CODE_OK)
		output_succeed("Image '%s' has been imported (%.*s).", invocation->arguments[0], SHORT_ID_BYTES,
					   member_text(image, "id"));
	json_decref(image);
	return code;
}

int
run_image_pull(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	_cleanup_free_ char *source = memory_printf("docker://%s", name);
	json_t *image = NULL;
	int code = image_import(invocation, name, source, &image);

	if (code == EXIT_CODE_OK && cli_has(invocation, OPTION_JSON))
		output_json(image);
	else if (code == EXIT_CODE_OK && json_is_false(json_object_get(image, "changed")))
		output_succeed("Image '%s' is up to date (%.*s).", name, SHORT_ID_BYTES, member_text(image, "id"));
	else if (code == EXIT_CODE_OK)
		output_succeed("Image '%s' has been pulled (%.*s).", name, SHORT_ID_BYTES, member_text(image, "id"));
	json_decref(image);
	return code;
}

int
run_image_remove(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code = confirm(invocation, "Remove image '%s'?", name);

	if (code != EXIT_CODE_OK)
		return code;
	text_append(&target, "/v1/images");
	api_append_query(&target, "name", name);
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("Image '%s' has been removed.", name);
	return EXIT_CODE_OK;
}

int
run_image_prune(const CliInvocation *invocation)
{
	const json_t *names;
	json_t *answer;
	int code = confirm(invocation, "Remove every image that nobody uses?");

	if (code == EXIT_CODE_OK)
		code = api_request(invocation, "POST", "/v1/images/prune", &answer);
	if (code != EXIT_CODE_OK)
		return code;
	names = json_object_get(answer, "removed");
	if (cli_has(invocation, OPTION_JSON))
		output_json(answer);
	for (size_t i = 0; !cli_has(invocation, OPTION_JSON) && i < json_array_size(names); i++)
		output_succeed("Image '%s' has been removed.", json_string_value(json_array_get(names, i)));
	json_decref(answer);
	return EXIT_CODE_OK;
}
