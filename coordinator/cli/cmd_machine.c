/* lttle machine list, get, logs, restart, suspend, wake, wait */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/rows.h"
#include "cli/since.h"

static double
ms_since(const json_t *object, const char *key)
{
	return (double) clock_realtime_ms() - member_number(object, key);
}

static void
format_memory(const json_t *machine, const char *key, char text[OUTPUT_TEXT_BYTES])
{
	output_format_bytes(member_number(json_object_get(machine, "memory"), key), text);
}

static void
machines_print(const json_t *machines)
{
	static const char *const headers[] = {"NAMESPACE", "NAME",	  "PHASE",	  "SINCE", "ADDRESS",  "SERVICES",
										  "RESIDENT",  "SWAPPED", "SUSPENDS", "WAKES", "RESTARTS", "EXIT"};
	const json_t *machine;
	size_t index;
	Table table;

	table_begin(&table, 12, headers);
	json_array_foreach(machines, index, machine)
	{
		char text[OUTPUT_TEXT_BYTES];

		table_add(&table, "%s", member_text(machine, "namespace"));
		table_add(&table, "%s", member_text(machine, "name"));
		table_add(&table, "%s", member_text(machine, "phase"));
		output_format_age(ms_since(machine, "since-ms"), text);
		table_add(&table, "%s", text);
		table_add(&table, "%s", member_text(machine, "address"));
		table_add_services(&table, machine);
		format_memory(machine, "resident-bytes", text);
		table_add(&table, "%s", text);
		format_memory(machine, "swapped-bytes", text);
		table_add(&table, "%s", text);
		table_add(&table, "%.0f", member_number(machine, "suspends"));
		table_add(&table, "%.0f", member_number(machine, "wakes"));
		table_add(&table, "%.0f", member_number(machine, "restarts"));
		table_add_exit_status(&table, machine);
	}
	table_print(&table);
}

int
run_machine_list(const CliInvocation *invocation)
{
	json_t *machines = NULL;
	int code = api_list(invocation, "machines", &machines);

	return api_show(invocation, code, machines, machines_print);
}

/* ---- get ---- */

static void
listing_add_phase(Listing *listing, const json_t *machine)
{
	char time[OUTPUT_TEXT_BYTES];
	char age[OUTPUT_TEXT_BYTES];

	listing_add(listing, "phase", "%s", member_text(machine, "phase"));
	listing_add(listing, "reason", "%s", member_text(machine, "reason"));
	output_format_time(member_number(machine, "since-ms"), time);
	output_format_age(ms_since(machine, "since-ms"), age);
	listing_add(listing, "since", "%s (%s ago)", time, age);
	listing_add_when_set(listing, "awake because", machine, "awake-because");
	listing_add_when_set(listing, "not suspended because", machine, "not-suspended-because");
	if (!member_is_set(machine, "idle-for-ms"))
		return;
	output_format_age(member_number(machine, "idle-for-ms"), age);
	listing_add(listing, "idle for", "%s", age);
	output_format_age(member_number(machine, "suspend-in-ms") + 999, age);
	listing_add(listing, "suspends in", "%s", age);
}

static void
listing_add_wakes(Listing *listing, const json_t *machine)
{
	char time[OUTPUT_TEXT_BYTES];
	char age[OUTPUT_TEXT_BYTES];
	char took[OUTPUT_TEXT_BYTES];

	listing_add(listing, "suspends", "%.0f", member_number(machine, "suspends"));
	listing_add(listing, "wakes", "%.0f", member_number(machine, "wakes"));
	listing_add(listing, "woken by", "%s", member_text(machine, "woken-by"));
	if (!member_is_set(machine, "last-wake-ms"))
	{
		listing_add(listing, "last wake", "%s", "");
		return;
	}
	output_format_time(member_number(machine, "last-wake-ms"), time);
	output_format_age(ms_since(machine, "last-wake-ms"), age);
	output_format_took(member_number(machine, "last-wake-took-us"), took);
	listing_add(listing, "last wake", "%s (%s ago), took %s", time, age, took);
}

static void
listing_add_memory(Listing *listing, const json_t *machine)
{
	char resident[OUTPUT_TEXT_BYTES];
	char limit[OUTPUT_TEXT_BYTES];
	char swapped[OUTPUT_TEXT_BYTES];

	format_memory(machine, "resident-bytes", resident);
	format_memory(machine, "limit-bytes", limit);
	format_memory(machine, "swapped-bytes", swapped);
	listing_add(listing, "resident memory", "%s of %s", resident, limit);
	listing_add(listing, "swapped memory", "%s", swapped);
}

/* What lies on disk, since when, and why it was written. */
static void
listing_add_snapshot(Listing *listing, const json_t *machine)
{
	const json_t *snapshot = json_object_get(machine, "snapshot");
	char size[OUTPUT_TEXT_BYTES];
	char time[OUTPUT_TEXT_BYTES];

	if (!json_is_object(snapshot))
		return;
	output_format_bytes(member_number(snapshot, "size-bytes"), size);
	output_format_time(member_number(snapshot, "written-ms"), time);
	listing_add(listing, "snapshot", "%s on disk, written %s: %s", size, time, member_text(snapshot, "reason"));
}

/* "tcp://db.samples.svc.lttle.local:5432 → :5432" */
static void
listing_add_services(Listing *listing, const json_t *machine)
{
	const json_t *service;
	size_t index;

	json_array_foreach(json_object_get(machine, "services"), index, service)
	{
		listing_add(listing, index == 0 ? "services" : "", "%s://%s:%.0f → :%.0f", member_text(service, "protocol"),
					member_text(service, "host"), member_number(service, "port"),
					member_number(service, "target-port"));
	}
}

static void
machine_print(const json_t *machine)
{
	Listing listing = {0};

	listing_add(&listing, "name", "%s", member_text(machine, "name"));
	listing_add(&listing, "namespace", "%s", member_text(machine, "namespace"));
	listing_add(&listing, "app", "%s", member_text(machine, "app"));
	listing_add_phase(&listing, machine);
	listing_add_wakes(&listing, machine);
	listing_add_memory(&listing, machine);
	listing_add_snapshot(&listing, machine);
	listing_add(&listing, "address", "%s", member_text(machine, "address"));
	if (member_is_set(machine, "address6"))
		listing_add(&listing, "address6", "%s", member_text(machine, "address6"));
	listing_add_services(&listing, machine);
	listing_add(&listing, "sessions", "%.0f", member_number(machine, "sessions"));
	if (member_is_set(machine, "pid"))
		listing_add(&listing, "pid", "%.0f", member_number(machine, "pid"));
	else
		listing_add(&listing, "pid", "%s", "");
	listing_add(&listing, "restarts", "%.0f", member_number(machine, "restarts"));
	listing_add(&listing, "image", "%s", member_text(machine, "image"));
	listing_add(&listing, "image id", "%s", member_text(machine, "image-id"));
	listing_add_when_set(&listing, "extension", machine, "extension-version");
	if (member_is_set(machine, "exit-status"))
		listing_add(&listing, "exit status", "%.0f", member_number(machine, "exit-status"));
	listing_add_when_set(&listing, "last error", machine, "last-error");
	listing_add_when_set(&listing, "snapshot problem", machine, "snapshot-problem");
	listing_add_last_words(&listing, machine);
	listing_print(&listing);
}

int
run_machine_get(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	json_t *machine = NULL;
	int code;

	api_path(&target, invocation, "machines", invocation->arguments[0], "?prefix=true");
	code = api_request(invocation, "GET", text_string(&target), &machine);
	return api_show(invocation, code, machine, machine_print);
}

/* ---- logs ---- */

static int
logs_copy(HttpStream *stream)
{
	char bytes[65536];
	Error error;

	for (;;)
	{
		ssize_t got = http_read(stream, bytes, sizeof(bytes), &error);

		if (got < 0)
			return api_report_connection(&error);
		if (got == 0)
			return EXIT_CODE_OK;
		if (fwrite(bytes, 1, (size_t) got, stdout) != (size_t) got || fflush(stdout) != 0)
		{
			output_complain("standard output: %s", strerror(errno));
			return EXIT_CODE_FAILURE;
		}
	}
}

int
run_machine_logs(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	HttpRequest request = {.socket_path = cli_socket(invocation), .method = "GET"};
	const char *since = invocation->values[OPTION_SINCE];
	uint64_t since_ms = 0;
	char number[32];
	HttpStream stream;
	Error error;
	int code;

	if (since != NULL && !since_parse(since, &since_ms))
	{
		output_complain("--since: '%s' is neither a duration such as 10m nor a time such as 2026-03-01T12:00:00Z",
						since);
		return EXIT_CODE_USAGE;
	}
	snprintf(number, sizeof(number), "%" PRIu64, since_ms);
	api_path(&target, invocation, "machines", invocation->arguments[0], "/logs?prefix=true");
	api_append_query(&target, "since-ms", since != NULL ? number : NULL);
	api_append_query(&target, "timestamps", cli_has(invocation, OPTION_TIMES) ? "true" : NULL);
	api_append_query(&target, "follow", cli_has(invocation, OPTION_FOLLOW) ? "true" : NULL);
	api_append_query(&target, "tail", invocation->values[OPTION_TAIL]);
	request.target = text_string(&target);
	if (http_open(&request, &stream, &error) < 0)
		return api_report_connection(&error);
	code = stream.status == 200 ? logs_copy(&stream) : api_report_refusal(&stream);
	http_close(&stream);
	return code;
}

/* ---- changes ---- */

static int
machine_change(const CliInvocation *invocation, const char *action, const char *done)
{
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code;

	api_path(&target, invocation, "machines", invocation->arguments[0], action);
	code = api_request(invocation, "POST", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("Machine '%s' %s.", invocation->arguments[0], done);
	return EXIT_CODE_OK;
}

int
run_machine_restart(const CliInvocation *invocation)
{
	return machine_change(invocation, "/restart", "has been restarted");
}

int
run_machine_hibernate(const CliInvocation *invocation)
{
	return machine_change(invocation, "/hibernate", "is on disk");
}

int
run_machine_suspend(const CliInvocation *invocation)
{
	return machine_change(invocation, "/suspend", "is suspended");
}

int
run_machine_wake(const CliInvocation *invocation)
{
	return machine_change(invocation, "/wake", "is awake");
}

/* ---- wait ---- */

int
run_machine_wait(const CliInvocation *invocation)
{
	const char *phase = cli_has(invocation, OPTION_FOR) ? invocation->values[OPTION_FOR] : "ready";
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	int code;

	api_path(&target, invocation, "machines", invocation->arguments[0], "/wait?prefix=true");
	api_append_query(&target, "phase", phase);
	code = api_append_timeout(&target, invocation, "1m");
	if (code != EXIT_CODE_OK)
		return code;
	code = api_send(invocation, "GET", text_string(&target), NULL, 0, &answer);
	if (code != EXIT_CODE_OK)
		return code;
	if (answer.status != 200)
	{
		code = api_report(&answer);
		if (answer.status == 504)
			code = EXIT_CODE_TIMED_OUT;
	}
	else if (cli_has(invocation, OPTION_JSON))
		output_json(answer.body);
	else
		output_succeed("Machine '%s' is %s.", member_text(answer.body, "name"), phase);
	api_answer_clear(&answer);
	return code;
}
