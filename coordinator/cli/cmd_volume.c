/* lttle volume list, get, rm */
#include <jansson.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"

/* "samples/postgresql, samples/other" */
static void
volume_append_users(Text *text, const json_t *volume)
{
	const json_t *user;
	size_t index;

	json_array_foreach(json_object_get(volume, "used-by"), index, user)
	{
		text_printf(text, "%s%s", index > 0 ? ", " : "", json_string_value(user));
	}
}

static void
volumes_print(const json_t *volumes)
{
	static const char *const headers[] = {"NAMESPACE", "NAME", "MODE", "SIZE", "USED", "ON DISK", "USED BY"};
	const json_t *volume;
	size_t index;
	Table table;

	table_begin(&table, 7, headers);
	json_array_foreach(volumes, index, volume)
	{
		_cleanup_text_ Text users = {0};
		char text[OUTPUT_TEXT_BYTES];

		volume_append_users(&users, volume);
		table_add(&table, "%s", member_text(volume, "namespace"));
		table_add(&table, "%s", member_text(volume, "name"));
		table_add(&table, "%s", member_text(volume, "mode"));
		table_add(&table, "%s", member_text(volume, "size"));
		output_format_bytes(member_number(volume, "used-bytes"), text);
		table_add(&table, "%s", text);
		output_format_bytes(member_number(volume, "on-disk-bytes"), text);
		table_add(&table, "%s", text);
		table_add(&table, "%s", text_string(&users));
	}
	table_print(&table);
}

int
run_volume_list(const CliInvocation *invocation)
{
	json_t *volumes = NULL;
	int code = api_list(invocation, "volumes", &volumes);

	return api_show(invocation, code, volumes, volumes_print);
}

static void
volume_print(const json_t *volume)
{
	_cleanup_text_ Text users = {0};
	char text[OUTPUT_TEXT_BYTES];
	Listing listing = {0};

	volume_append_users(&users, volume);
	listing_add(&listing, "name", "%s", member_text(volume, "name"));
	listing_add(&listing, "namespace", "%s", member_text(volume, "namespace"));
	if (member_is_set(volume, "owner"))
		listing_add(&listing, "owner", "%s", member_text(volume, "owner"));
	listing_add(&listing, "mode", "%s", member_text(volume, "mode"));
	listing_add(&listing, "size", "%s", member_text(volume, "size"));
	output_format_bytes(member_number(volume, "used-bytes"), text);
	listing_add(&listing, "used", "%s", text);
	output_format_bytes(member_number(volume, "on-disk-bytes"), text);
	listing_add(&listing, "on disk", "%s", text);
	listing_add(&listing, "used by", "%s", text_string(&users));
	listing_print(&listing);
}

int
run_volume_get(const CliInvocation *invocation)
{
	json_t *volume = NULL;
	int code = api_get_by_prefix(invocation, "volumes", invocation->arguments[0], &volume);

	return api_show(invocation, code, volume, volume_print);
}

int
run_volume_delete(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code =
		confirm(invocation, "Delete volume '%s' in namespace '%s', with its data?", name, cli_namespace(invocation));

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, "volumes", name, "");
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("Volume '%s' has been deleted.", name);
	return EXIT_CODE_OK;
}
