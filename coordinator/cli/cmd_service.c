/* lttle service list, get, delete */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"

/* "tcp://db.samples.svc.lttle.local:5432" */
static char *
service_address(const json_t *service)
{
	return memory_printf("%s://%s:%.0f", member_text(service, "protocol"), member_text(service, "host"),
						 member_number(service, "port"));
}

/* "samples/postgresql:5432" */
static char *
service_target(const json_t *service)
{
	const json_t *target = json_object_get(service, "target");
	const json_t *name_space = json_object_get(target, "namespace");

	return memory_printf("%s/%s:%.0f",
						 name_space != NULL ? json_string_value(name_space) : member_text(service, "namespace"),
						 member_text(target, "name"), member_number(service, "target-port"));
}

static void
services_print(const json_t *services)
{
	static const char *const headers[] = {"NAMESPACE", "NAME", "ADDRESS", "TARGET", "PHASE"};
	const json_t *service;
	size_t index;
	Table table;

	table_begin(&table, 5, headers);
	json_array_foreach(services, index, service)
	{
		_cleanup_free_ char *address = service_address(service);
		_cleanup_free_ char *target = service_target(service);

		table_add(&table, "%s", member_text(service, "namespace"));
		table_add(&table, "%s", member_text(service, "name"));
		table_add(&table, "%s", address);
		table_add(&table, "%s", target);
		table_add(&table, "%s", member_text(service, "phase"));
	}
	table_print(&table);
}

int
run_service_list(const CliInvocation *invocation)
{
	json_t *services = NULL;
	int code = api_list(invocation, "services", &services);

	return api_show(invocation, code, services, services_print);
}

static void
listing_add_words(Listing *listing, const char *title, const json_t *words)
{
	const json_t *word;
	size_t index;

	json_array_foreach(words, index, word)
	{
		listing_add(listing, index == 0 ? title : "", "%s", json_string_value(word));
	}
}

/* "connection-aware", or a map of one key with what belongs to it. */
static void
listing_add_tracking(Listing *listing, json_t *tracking)
{
	const char *kind = json_string_value(tracking);
	json_t *details = NULL;
	const json_t *ignored;

	if (json_is_object(tracking) && json_object_iter(tracking) != NULL)
	{
		kind = json_object_iter_key(json_object_iter(tracking));
		details = json_object_iter_value(json_object_iter(tracking));
	}
	listing_add(listing, "connection tracking", "%s", kind != NULL ? kind : "connection-aware");
	if (json_object_get(details, "inactivity-timeout") != NULL)
		listing_add(listing, "inactivity timeout", "%s", member_text(details, "inactivity-timeout"));
	ignored = json_object_get(details, "ignore");
	listing_add_words(listing, "ignored users", json_object_get(ignored, "users"));
	listing_add_words(listing, "ignored applications", json_object_get(ignored, "application-names"));
}

static void
service_print(const json_t *service)
{
	_cleanup_free_ char *address = service_address(service);
	_cleanup_free_ char *target = service_target(service);
	Listing listing = {0};

	listing_add(&listing, "name", "%s", member_text(service, "name"));
	listing_add(&listing, "namespace", "%s", member_text(service, "namespace"));
	listing_add(&listing, "address", "%s", address);
	listing_add(&listing, "target", "%s", target);
	listing_add(&listing, "machine's address", "%s", member_text(service, "address"));
	listing_add(&listing, "phase", "%s", member_text(service, "phase"));
	listing_add_tracking(&listing, json_object_get(json_object_get(service, "target"), "connection-tracking"));
	listing_print(&listing);
}

int
run_service_get(const CliInvocation *invocation)
{
	json_t *service = NULL;
	int code = api_get_by_prefix(invocation, "services", invocation->arguments[0], &service);

	return api_show(invocation, code, service, service_print);
}

int
run_service_delete(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code = confirm(invocation, "Delete service '%s' in namespace '%s'?", name, cli_namespace(invocation));

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, "services", name, "");
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("Service '%s' has been deleted.", name);
	return EXIT_CODE_OK;
}
