/* lttle events */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/line_stream.h"
#include "cli/output.h"

static const char *const headers[] = {"TIME", "NAMESPACE", "NAME", "PHASE", "TOOK", "REASON"};

/* Of a stream nobody knows how wide its columns will be: these fit what is usual. */
static const int widths[] = {19, 12, 16, 13, 10};

static void
event_add(Table *table, const json_t *event)
{
	char text[OUTPUT_TEXT_BYTES] = "";

	output_format_time(member_number(event, "time-ms"), text);
	table_add(table, "%s", text);
	table_add(table, "%s", member_text(event, "namespace"));
	table_add(table, "%s", member_text(event, "name"));
	table_add(table, "%s", member_text(event, "phase"));
	text[0] = '\0';
	if (member_is_set(event, "took-us"))
		output_format_took(member_number(event, "took-us"), text);
	table_add(table, "%s", text);
	table_add(table, "%s", member_text(event, "reason"));
}

static void
events_print(const json_t *events)
{
	const json_t *event;
	size_t index;
	Table table;

	table_begin(&table, 6, headers);
	json_array_foreach((json_t *) events, index, event)
	{
		event_add(&table, event);
	}
	table_print(&table);
}

/* False when nobody reads what is printed any more. */
static bool
events_print_line(const char *line, bool as_json)
{
	json_t *event = json_loads(line, 0, NULL);
	Table table;

	if (as_json)
		puts(line);
	else if (event != NULL)
	{
		table_begin(&table, 6, NULL);
		event_add(&table, event);
		table_print_row(&table, widths);
	}
	json_decref(event);
	return fflush(stdout) == 0;
}

static int
events_follow(const CliInvocation *invocation, const char *target)
{
	bool as_json = cli_has(invocation, OPTION_JSON);
	LineStream stream;
	const char *line;
	Table table;
	Error error;
	int code = line_stream_open(invocation, target, &stream);
	int result;

	if (code != EXIT_CODE_OK)
		return code;
	if (!as_json)
	{
		table_begin(&table, 6, headers);
		table_print_row(&table, widths);
		fflush(stdout);
	}
	while ((result = line_stream_next(&stream, -1, &line, &error)) > 0 && events_print_line(line, as_json))
		;
	line_stream_close(&stream);
	if (result < 0)
		return api_report_connection(&error);
	if (result > 0)
		return EXIT_CODE_FAILURE;
	output_complain("the coordinator has ended");
	return EXIT_CODE_NO_COORDINATOR;
}

int
run_events(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	json_t *events = NULL;
	int code;

	text_append(&target, "/v1/events");
	api_append_query(&target, "namespace", cli_namespace_or_all(invocation));
	api_append_query(&target, "name", invocation->values[OPTION_NAME]);
	api_append_query(&target, "last", invocation->values[OPTION_LAST]);
	if (cli_has(invocation, OPTION_FOLLOW))
	{
		api_append_query(&target, "follow", "true");
		return events_follow(invocation, text_string(&target));
	}
	code = api_request(invocation, "GET", text_string(&target), &events);
	return api_show(invocation, code, events, events_print);
}
