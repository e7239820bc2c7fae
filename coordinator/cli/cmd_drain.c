/* lttle drain */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/commands.h"
#include "cli/output.h"

static void
drain_print(const json_t *machines)
{
	static const char *const headers[] = {"NAMESPACE", "NAME", "OUTCOME", "TOOK", "NOT ON DISK BECAUSE"};
	const json_t *machine;
	size_t index;
	Table table;

	table_begin(&table, 5, headers);
	json_array_foreach((json_t *) machines, index, machine)
	{
		char took[OUTPUT_TEXT_BYTES];

		output_format_took(member_number(machine, "took-ms") * 1000, took);
		table_add(&table, "%s", member_text(machine, "namespace"));
		table_add(&table, "%s", member_text(machine, "name"));
		table_add(&table, "%s", member_text(machine, "outcome"));
		table_add(&table, "%s", took);
		table_add(&table, "%s", member_text(machine, "not-on-disk-because"));
	}
	table_print(&table);
}

/* Machines whose next start is a crash recovery. */
static size_t
drain_count_failures(const json_t *machines)
{
	const json_t *machine;
	size_t index;
	size_t failures = 0;

	json_array_foreach((json_t *) machines, index, machine)
	{
		const char *outcome = member_text(machine, "outcome");

		failures += strcmp(outcome, "hibernated") != 0 && strcmp(outcome, "stopped") != 0;
	}
	return failures;
}

int
run_drain(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	const json_t *machines;
	json_t *answer;
	size_t failures;
	int code;

	text_append(&target, "/v1/drain");
	code = api_append_timeout(&target, invocation, "90s");
	if (code != EXIT_CODE_OK)
		return code;
	code = api_request(invocation, "POST", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	machines = json_object_get(answer, "machines");
	if (cli_has(invocation, OPTION_JSON))
		output_json(answer);
	else
		drain_print(machines);
	failures = drain_count_failures(machines);
	if (failures > 0)
		output_complain("%zu of %zu machines did not come to rest in order", failures, json_array_size(machines));
	json_decref(answer);
	return failures > 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}
