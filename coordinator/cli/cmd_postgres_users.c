/* lttle postgres user, database, rotate, check: changes of a cluster's file that need no editor. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/output.h"

/* What stands behind the word of the action. */
static const char *
cluster_of(const CliInvocation *invocation)
{
	return invocation->arguments[1];
}

/* "/v1/namespaces/NS/postgres/CLUSTER/KIND[/NAME]" */
static void
append_target(Text *target, const CliInvocation *invocation, const char *cluster, const char *kind, const char *name)
{
	api_path(target, invocation, "postgres", cluster, "/");
	text_append(target, kind);
	if (name == NULL)
		return;
	text_append(target, "/");
	http_append_encoded(target, name);
}

/* Waits until the server is what the file says. */
static int
wait_for_cluster(const CliInvocation *invocation, const char *cluster, uint64_t timeout_ms)
{
	_cleanup_text_ Text target = {0};
	json_t *answer;
	const json_t *note;
	size_t index;
	int code;

	if (cli_has(invocation, OPTION_NO_WAIT))
		return EXIT_CODE_OK;
	api_path(&target, invocation, "postgres", cluster, "/wait");
	text_printf(&target, "?timeout-ms=%" PRIu64, timeout_ms);
	code = api_request(invocation, "GET", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	json_array_foreach(json_object_get(answer, "notes"), index, note)
	{
		fprintf(stderr, "note: %s\n", json_string_value(note));
	}
	json_decref(answer);
	return EXIT_CODE_OK;
}

/* Sends the change and waits for it. body: taken; NULL: none. */
static int
send_change(const CliInvocation *invocation, const char *cluster, const char *method, const char *target, json_t *body)
{
	_cleanup_free_ char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	ApiAnswer answer = {0};
	uint64_t timeout_ms;
	int code = api_read_timeout(invocation, "2m", &timeout_ms);

	json_decref(body);
	if (code == EXIT_CODE_OK)
		code = api_send(invocation, method, target, text, text == NULL ? 0 : strlen(text), &answer);
	if (code == EXIT_CODE_OK && answer.status != 200)
		code = api_report(&answer);
	api_answer_clear(&answer);
	return code != EXIT_CODE_OK ? code : wait_for_cluster(invocation, cluster, timeout_ms);
}

/* ---- users ---- */

/* "a,b" as a list; NULL: nothing is written. */
static void
set_list(json_t *body, const char *key, const char *words, const char *separator)
{
	_cleanup_free_ char *copy = words == NULL ? NULL : memory_duplicate(words);
	json_t *list;
	char *rest = NULL;

	if (words == NULL)
		return;
	list = json_array();
	for (char *word = strtok_r(copy, separator, &rest); word != NULL; word = strtok_r(NULL, separator, &rest))
		json_array_append_new(list, json_string(word));
	json_object_set_new(body, key, list);
}

/* "LEVEL[:DATABASE[:SCHEMA+SCHEMA…]],…" */
static void
set_access(json_t *body, const char *written)
{
	_cleanup_free_ char *copy = written == NULL ? NULL : memory_duplicate(written);
	json_t *list;
	char *rest = NULL;

	if (written == NULL)
		return;
	list = json_array();
	for (char *entry = strtok_r(copy, ",", &rest); entry != NULL; entry = strtok_r(NULL, ",", &rest))
	{
		json_t *access = json_object();
		char *database = strchr(entry, ':');
		char *schemas = database == NULL ? NULL : strchr(database + 1, ':');

		if (database != NULL)
			*database++ = '\0';
		if (schemas != NULL)
			*schemas++ = '\0';
		json_object_set_new(access, "level", json_string(entry));
		if (database != NULL && *database != '\0')
			json_object_set_new(access, "database", json_string(database));
		set_list(access, "schemas", schemas, "+");
		json_array_append_new(list, access);
	}
	json_object_set_new(body, "access", list);
}

static void
append_options(Text *target, const CliInvocation *invocation)
{
	api_append_query(target, "adopt", cli_has(invocation, OPTION_ADOPT) ? "true" : NULL);
	api_append_query(target, "repair", cli_has(invocation, OPTION_REPAIR) ? "true" : NULL);
	api_append_query(target, "drop-owned", cli_has(invocation, OPTION_DROP_OWNED) ? "true" : NULL);
	api_append_query(target, "reassign-to", invocation->values[OPTION_REASSIGN_TO]);
}

static int
put_user(const CliInvocation *invocation, bool add)
{
	const char *name = invocation->arguments[2];
	_cleanup_text_ Text target = {0};
	json_t *body = json_object();
	int code;

	set_list(body, "roles", invocation->values[OPTION_ROLES], ",");
	set_list(body, "namespaces", invocation->values[OPTION_NAMESPACES], ",");
	set_access(body, invocation->values[OPTION_ACCESS]);
	if (add)
		json_object_set_new(body, "name", json_string(name));
	append_target(&target, invocation, cluster_of(invocation), "users", add ? NULL : name);
	append_options(&target, invocation);
	code = send_change(invocation, cluster_of(invocation), add ? "POST" : "PUT", text_string(&target), body);
	if (code == EXIT_CODE_OK)
		output_succeed("User '%s' has been %s.", name, add ? "added" : "changed");
	return code;
}

static int
add_user(const CliInvocation *invocation)
{
	return put_user(invocation, true);
}

static int
edit_user(const CliInvocation *invocation)
{
	return put_user(invocation, false);
}

static int
drop_user(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[2];
	_cleanup_text_ Text target = {0};
	int code = confirm(invocation, "Drop user '%s' of the PostgreSQL cluster '%s'%s?", name, cluster_of(invocation),
					   cli_has(invocation, OPTION_DROP_OWNED) ? ", with all that it owns" : "");

	if (code != EXIT_CODE_OK)
		return code;
	append_target(&target, invocation, cluster_of(invocation), "users", name);
	append_options(&target, invocation);
	code = send_change(invocation, cluster_of(invocation), "DELETE", text_string(&target), NULL);
	if (code == EXIT_CODE_OK)
		output_succeed("User '%s' has been dropped.", name);
	return code;
}

static void
join(Text *text, const json_t *list)
{
	const json_t *item;
	size_t index;

	json_array_foreach((json_t *) list, index, item)
	{
		text_printf(text, "%s%s", index == 0 ? "" : ", ", json_string_value(item));
	}
}

/* "readonly in shop.public+sales; owner of crm" */
static void
describe_access(Text *text, const json_t *user)
{
	const json_t *access;
	const json_t *schema;
	size_t index;
	size_t at;

	json_array_foreach(json_object_get(user, "access"), index, access)
	{
		text_printf(text, "%s%s:%s", index == 0 ? "" : ", ", member_text(access, "level"),
					member_text(access, "database"));
		json_array_foreach(json_object_get(access, "schemas"), at, schema)
		{
			text_printf(text, "%s%s", at == 0 ? ":" : "+", json_string_value(schema));
		}
	}
}

static void
users_print(const json_t *users)
{
	static const char *const headers[] = {"USER", "ROLES", "ACCESS", "NAMESPACES"};
	const json_t *user;
	size_t index;
	Table table;

	table_begin(&table, sizeof(headers) / sizeof(headers[0]), headers);
	json_array_foreach((json_t *) users, index, user)
	{
		_cleanup_text_ Text roles = {0}, access = {0}, namespaces = {0};

		join(&roles, json_object_get(user, "roles"));
		join(&namespaces, json_object_get(user, "namespaces"));
		describe_access(&access, user);
		table_add(&table, "%s", member_text(user, "name"));
		table_add(&table, "%s", roles.length > 0 ? text_string(&roles) : "Login, Inherit");
		table_add(&table, "%s", text_string(&access));
		table_add(&table, "%s", text_string(&namespaces));
	}
	table_print(&table);
}

static void
databases_print(const json_t *cluster)
{
	static const char *const headers[] = {"DATABASE", "OWNER"};
	const char *owner = "";
	const json_t *item;
	const json_t *access;
	size_t index;
	size_t at;
	Table table;

	json_array_foreach(json_object_get(cluster, "users"), index, item)
	{
		json_array_foreach(json_object_get(item, "access"), at, access)
		{
			if (strcmp(member_text(access, "level"), "owner") == 0 &&
				strcmp(member_text(access, "database"), member_text(cluster, "database")) == 0)
				owner = member_text(item, "name");
		}
	}
	table_begin(&table, sizeof(headers) / sizeof(headers[0]), headers);
	table_add(&table, "%s", member_text(cluster, "database"));
	table_add(&table, "%s", owner);
	json_array_foreach(json_object_get(cluster, "databases"), index, item)
	{
		table_add(&table, "%s", member_text(item, "name"));
		table_add(&table, "%s", member_text(item, "owner"));
	}
	table_print(&table);
}

/* Of the cluster's file: the server sleeps on. */
static int
list(const CliInvocation *invocation, const char *key)
{
	_cleanup_text_ Text target = {0};
	json_t *cluster;
	json_t *empty = json_array();
	const json_t *found;
	int code;

	api_path(&target, invocation, "postgres", cluster_of(invocation), "");
	code = api_request(invocation, "GET", text_string(&target), &cluster);
	if (code == EXIT_CODE_OK)
	{
		found = json_object_get(cluster, key);
		if (!json_is_array(found))
			found = empty;
		if (cli_has(invocation, OPTION_JSON))
			output_json(found);
		else if (strcmp(key, "users") == 0)
			users_print(found);
		else
			databases_print(cluster);
		json_decref(cluster);
	}
	json_decref(empty);
	return code;
}

static int
list_users(const CliInvocation *invocation)
{
	return list(invocation, "users");
}

/* ---- databases ---- */

static int
put_database(const CliInvocation *invocation, bool add)
{
	const char *name = invocation->arguments[2];
	const char *owner = invocation->values[OPTION_OWNER];
	_cleanup_text_ Text target = {0};
	json_t *body = json_object();
	int code;

	if (owner != NULL)
		json_object_set_new(body, "owner", json_string(owner));
	if (add)
		json_object_set_new(body, "name", json_string(name));
	append_target(&target, invocation, cluster_of(invocation), "databases", add ? NULL : name);
	append_options(&target, invocation);
	code = send_change(invocation, cluster_of(invocation), add ? "POST" : "PUT", text_string(&target), body);
	if (code == EXIT_CODE_OK)
		output_succeed("Database '%s' has been %s.", name, add ? "created" : "changed");
	return code;
}

static int
create_database(const CliInvocation *invocation)
{
	return put_database(invocation, true);
}

static int
edit_database(const CliInvocation *invocation)
{
	return put_database(invocation, false);
}

static int
drop_database(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[2];
	_cleanup_text_ Text target = {0};
	int code = confirm(invocation,
					   "Drop database '%s' of the PostgreSQL cluster '%s', with all its data, and end its sessions?",
					   name, cluster_of(invocation));

	if (code != EXIT_CODE_OK)
		return code;
	append_target(&target, invocation, cluster_of(invocation), "databases", name);
	code = send_change(invocation, cluster_of(invocation), "DELETE", text_string(&target), NULL);
	if (code == EXIT_CODE_OK)
		output_succeed("Database '%s' has been dropped.", name);
	return code;
}

static int
list_databases(const CliInvocation *invocation)
{
	return list(invocation, "databases");
}

/* ---- the commands ---- */

typedef struct Action
{
	const char *word;
	const char *alias; /* or NULL */
	bool is_of_one;	   /* a name stands behind the cluster's */
	int (*run)(const CliInvocation *invocation);
} Action;

static int
run_action(const CliInvocation *invocation, const Action *actions, size_t count)
{
	const char *word = invocation->arguments[0];

	for (size_t i = 0; i < count; i++)
	{
		if (strcmp(actions[i].word, word) != 0 && (actions[i].alias == NULL || strcmp(actions[i].alias, word) != 0))
			continue;
		if ((invocation->argument_count == 3) == actions[i].is_of_one)
			return actions[i].run(invocation);
		output_complain("%s: %s", word, actions[i].is_of_one ? "a name is missing" : "one word too many");
		return EXIT_CODE_USAGE;
	}
	output_complain("unknown command '%s'; it takes %s", word, invocation->command->arguments);
	return EXIT_CODE_USAGE;
}

int
run_postgres_user(const CliInvocation *invocation)
{
	static const Action actions[] = {{"add", "create", true, add_user},
									 {"edit", NULL, true, edit_user},
									 {"drop", "rm", true, drop_user},
									 {"list", "ls", false, list_users}};

	return run_action(invocation, actions, sizeof(actions) / sizeof(actions[0]));
}

int
run_postgres_database(const CliInvocation *invocation)
{
	static const Action actions[] = {{"create", "add", true, create_database},
									 {"edit", NULL, true, edit_database},
									 {"drop", "rm", true, drop_database},
									 {"list", "ls", false, list_databases}};

	return run_action(invocation, actions, sizeof(actions) / sizeof(actions[0]));
}

int
run_postgres_rotate(const CliInvocation *invocation)
{
	const char *cluster = invocation->arguments[0];
	const char *user = invocation->arguments[1];
	_cleanup_text_ Text target = {0};
	int code;

	append_target(&target, invocation, cluster, "users", user);
	text_append(&target, "/rotate");
	code = send_change(invocation, cluster, "POST", text_string(&target), NULL);
	if (code == EXIT_CODE_OK)
		output_succeed("User '%s' has a new password.", user);
	return code;
}

int
run_postgres_check(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	json_t *seen;
	const json_t *line;
	size_t index;
	int code;

	api_path(&target, invocation, "postgres", invocation->arguments[0], "/check");
	code = api_request(invocation, "POST", text_string(&target), &seen);
	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(seen);
	else
	{
		json_array_foreach(json_object_get(seen, "drift"), index, line)
		{
			printf("%s\n", json_string_value(line));
		}
		json_array_foreach(json_object_get(seen, "notes"), index, line)
		{
			printf("note: %s\n", json_string_value(line));
		}
	}
	code = json_array_size(json_object_get(seen, "drift")) > 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
	if (code == EXIT_CODE_OK && !cli_has(invocation, OPTION_JSON))
		output_succeed("The server is what the file says.");
	json_decref(seen);
	return code;
}
