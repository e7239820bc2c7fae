/* lttle app list, get, delete; lttle machine delete */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"
#include "cli/rows.h"

static const json_t *
app_flash(const json_t *app)
{
	return json_object_get(json_object_get(app, "mode"), "flash");
}

static const char *
app_mode(const json_t *app)
{
	return app_flash(app) != NULL ? "flash" : member_text(app, "mode");
}

int
run_app_list(const CliInvocation *invocation)
{
	static const char *const headers[] = {"NAMESPACE", "NAME",	   "MODE", "PHASE", "ADDRESS",
										  "SERVICES",  "RESTARTS", "EXIT", "IMAGE"};
	const json_t *app;
	json_t *apps;
	size_t index;
	Table table;
	int code = api_list(invocation, "apps", &apps);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
	{
		output_json(apps);
		json_decref(apps);
		return EXIT_CODE_OK;
	}
	table_begin(&table, 9, headers);
	json_array_foreach(apps, index, app)
	{
		table_add(&table, "%s", member_text(app, "namespace"));
		table_add(&table, "%s", member_text(app, "name"));
		table_add(&table, "%s", app_mode(app));
		table_add(&table, "%s", member_text(app, "phase"));
		table_add(&table, "%s", member_text(app, "address"));
		table_add_services(&table, app);
		table_add(&table, "%.0f", member_number(app, "restarts"));
		table_add_exit_status(&table, app);
		table_add(&table, "%s", member_text(app, "image"));
	}
	table_print(&table);
	json_decref(apps);
	return EXIT_CODE_OK;
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

static void
listing_add_environment(Listing *listing, json_t *environment)
{
	size_t count = json_object_size(environment);
	const char **names = calloc(count + 1, sizeof(*names));
	const char *name;
	json_t *value;
	size_t at = 0;

	if (names == NULL)
		abort();
	json_object_foreach(environment, name, value)
	{
		names[at++] = name;
	}
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++)
		listing_add(listing, i == 0 ? "environment" : "", "%s = %s", names[i], member_text(environment, names[i]));
	if (count == 0)
		listing_add(listing, "environment", "%s", "");
	free(names);
}

static void
listing_add_volumes(Listing *listing, json_t *volumes)
{
	const json_t *volume;
	size_t index;

	json_array_foreach(volumes, index, volume)
	{
		listing_add(listing, index == 0 ? "volumes" : "", "%s/%s → %s", member_text(volume, "namespace"),
					member_text(volume, "name"), member_text(volume, "path"));
	}
	if (json_array_size(volumes) == 0)
		listing_add(listing, "volumes", "%s", "");
}

static void
listing_add_secrets(Listing *listing, json_t *secrets)
{
	const json_t *secret;
	size_t index;

	json_array_foreach(secrets, index, secret)
	{
		listing_add(listing, index == 0 ? "secrets" : "", "%s → %s", member_text(secret, "name"),
					member_text(secret, "path"));
	}
}

static void
listing_add_services(Listing *listing, json_t *services)
{
	const json_t *service;
	size_t index;

	json_array_foreach(services, index, service)
	{
		bool exposed = json_is_string(json_object_get(service, "expose"));

		listing_add(listing, index == 0 ? "services" : "", "%s: %s://%s:%.0f → :%.0f",
					member_text(service, exposed ? "expose" : "name"), member_text(service, "protocol"),
					member_text(service, "host"), member_number(service, "port"),
					member_number(service, "target-port"));
	}
	if (json_array_size(services) == 0)
		listing_add(listing, "services", "%s", "");
}

static void
listing_add_command(Listing *listing, json_t *command)
{
	const json_t *word;
	size_t index;

	json_array_foreach(command, index, word)
	{
		listing_add(listing, index == 0 ? "command" : "", "%s", json_string_value(word));
	}
}

/* A key that is only there when the user has set it. */
static void
listing_add_present(Listing *listing, const char *title, const json_t *object, const char *key)
{
	if (json_object_get(object, key) != NULL)
		listing_add(listing, title, "%s", member_text(object, key));
}

static void
app_print(const json_t *app)
{
	const json_t *flash = app_flash(app);
	const json_t *resources = json_object_get(app, "resources");
	Listing listing = {0};

	listing_add(&listing, "name", "%s", member_text(app, "name"));
	listing_add(&listing, "namespace", "%s", member_text(app, "namespace"));
	if (member_is_set(app, "owner"))
		listing_add(&listing, "owner", "%s", member_text(app, "owner"));
	listing_add(&listing, "mode", "%s", app_mode(app));
	if (flash != NULL)
	{
		listing_add(&listing, "snapshot strategy", "%s", member_text(flash, "strategy"));
		listing_add(&listing, "suspend timeout", "%s", member_text(flash, "timeout"));
		listing_add_present(&listing, "snapshot", flash, "snapshot");
		listing_add_present(&listing, "hibernate after", flash, "hibernate-after");
	}
	listing_add(&listing, "image", "%s", member_text(app, "image"));
	listing_add(&listing, "cpus", "%.0f", member_number(resources, "cpu"));
	listing_add(&listing, "memory", "%.0f MiB", member_number(resources, "memory"));
	listing_add_environment(&listing, json_object_get(app, "environment"));
	listing_add_volumes(&listing, json_object_get(app, "volumes"));
	listing_add_secrets(&listing, json_object_get(app, "secrets"));
	listing_add_command(&listing, json_object_get(app, "command"));
	listing_add(&listing, "dependencies", "%s", "");
	listing_add_services(&listing, json_object_get(app, "services"));
	listing_add(&listing, "phase", "%s", member_text(app, "phase"));
	listing_add_when_set(&listing, "address", app, "address");
	listing_add_when_set(&listing, "address6", app, "address6");
	if (member_is_set(app, "restarts"))
		listing_add(&listing, "restarts", "%.0f", member_number(app, "restarts"));
	if (member_is_set(app, "exit-status"))
		listing_add(&listing, "exit status", "%.0f", member_number(app, "exit-status"));
	listing_add_when_set(&listing, "last error", app, "last-error");
	listing_add_last_words(&listing, app);
	listing_print(&listing);
}

int
run_app_get(const CliInvocation *invocation)
{
	json_t *app = NULL;
	int code = api_get_by_prefix(invocation, "apps", invocation->arguments[0], &app);

	return api_show(invocation, code, app, app_print);
}

/* kind: "app", "machine"; title: "App". */
static int
delete_resource(const CliInvocation *invocation, const char *kind, const char *title)
{
	const char *name = invocation->arguments[0];
	_cleanup_free_ char *kinds = memory_printf("%ss", kind);
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code = confirm(invocation, "Stop and delete %s '%s' in namespace '%s'?", kind, name, cli_namespace(invocation));

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, kinds, name, "");
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_decref(answer);
	output_succeed("%s '%s' has been deleted.", title, name);
	return EXIT_CODE_OK;
}

int
run_app_delete(const CliInvocation *invocation)
{
	return delete_resource(invocation, "app", "App");
}

int
run_machine_delete(const CliInvocation *invocation)
{
	return delete_resource(invocation, "machine", "Machine");
}
