/* lttle namespace list, delete */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"

int
run_namespace_list(const CliInvocation *invocation)
{
	static const char *const headers[] = {"NAME",	  "CLUSTERS", "APPS",	 "MACHINES",
										  "SERVICES", "VOLUMES",  "SECRETS", "VALUES"};
	static const char *const counts[] = {"clusters", "apps", "machines", "services", "volumes", "secrets", "values"};
	const json_t *name_space;
	json_t *namespaces;
	size_t index;
	Table table;
	int code = api_request(invocation, "GET", "/v1/namespaces", &namespaces);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
	{
		output_json(namespaces);
		json_decref(namespaces);
		return EXIT_CODE_OK;
	}
	table_begin(&table, 8, headers);
	json_array_foreach(namespaces, index, name_space)
	{
		table_add(&table, "%s", member_text(name_space, "name"));
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
			table_add(&table, "%.0f", member_number(name_space, counts[i]));
	}
	table_print(&table);
	json_decref(namespaces);
	return EXIT_CODE_OK;
}

/* "2 apps, 3 machines"; "nothing" */
static void
append_counts(Text *text, const json_t *counts)
{
	static const struct
	{
		const char *key;
		const char *one;
	} kinds[] = {{"clusters", "cluster"}, {"apps", "app"},		 {"machines", "machine"}, {"services", "service"},
				 {"volumes", "volume"},	  {"secrets", "secret"}, {"values", "value"}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		double count = member_number(counts, kinds[i].key);

		if (count > 0)
			text_printf(text, "%s%.0f %s", text->length > 0 ? ", " : "", count,
						count == 1 ? kinds[i].one : kinds[i].key);
	}
	if (text->length == 0)
		text_append(text, "nothing");
}

int
run_namespace_delete(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	bool volumes = cli_has(invocation, OPTION_VOLUMES);
	_cleanup_text_ Text target = {0};
	_cleanup_text_ Text counts = {0};
	json_t *answer;
	int code = confirm(
		invocation, "Stop and delete all clusters, apps, machines, services, secrets and values of namespace '%s'%s?",
		name, volumes ? ", and its volumes, with their data" : "");

	if (code != EXIT_CODE_OK)
		return code;
	text_append(&target, "/v1/namespaces/");
	http_append_encoded(&target, name);
	api_append_query(&target, "volumes", volumes ? "true" : NULL);
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	append_counts(&counts, answer);
	json_decref(answer);
	output_succeed("Deleted from namespace '%s': %s.", name, text_string(&counts));
	return EXIT_CODE_OK;
}
