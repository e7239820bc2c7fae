/* lttle postgres create, list, get, edit, delete, access-info */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/backup_schedule.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/deploy_text.h"
#include "cli/output.h"
#include "cli/rows.h"
#include "model/yaml_write.h"

#define EDITED_MAX_BYTES ((size_t) 1 << 20)
#define STANDARD_TIMEOUT "10m"

/* ---- create ---- */

/* What is not UTF-8 cannot be written into the document, and would be left out of it without a word. */
static int
check_texts(const CliInvocation *invocation)
{
	bool valid = true;

	for (size_t i = 0; valid && i < invocation->argument_count + OPTION_COUNT; i++)
	{
		bool is_argument = i < invocation->argument_count;
		const char *text = is_argument ? invocation->arguments[i] : invocation->values[i - invocation->argument_count];
		json_t *string = text == NULL ? json_null() : json_string(text);

		valid = string != NULL;
		json_decref(string);
	}
	if (!valid)
		output_complain("the name, the options and the parameters must be UTF-8");
	return valid ? EXIT_CODE_OK : EXIT_CODE_USAGE;
}

static int
add_parameters(const CliInvocation *invocation, json_t *spec)
{
	json_t *parameters = json_object();

	for (size_t i = 1; i < invocation->argument_count; i++)
	{
		const char *written = invocation->arguments[i];
		const char *equals = strchr(written, '=');

		if (equals == NULL)
		{
			output_complain("%s: must be PARAMETER=VALUE", written);
			json_decref(parameters);
			return EXIT_CODE_USAGE;
		}
		json_object_setn_new(parameters, written, (size_t) (equals - written), json_string(equals + 1));
	}
	if (json_object_size(parameters) > 0)
		json_object_set(spec, "parameters", parameters);
	json_decref(parameters);
	return EXIT_CODE_OK;
}

static void
add_option(const CliInvocation *invocation, OptionId id, const char *key, json_t *spec)
{
	const char *value = invocation->values[id];

	if (value == NULL)
		return;
	/* Numbers are written without quotes. */
	if (id == OPTION_PG_VERSION && strspn(value, "0123456789") == strlen(value))
		json_object_set_new(spec, key, json_integer(atoi(value)));
	else
		json_object_set_new(spec, key, json_string(value));
}

/* Whether there is no such cluster yet: another one would be changed. */
static int
check_new(const CliInvocation *invocation, const char *name)
{
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};
	int code;

	api_path(&target, invocation, "postgres", name, "");
	code = api_send(invocation, "GET", text_string(&target), NULL, 0, &answer);
	if (code == EXIT_CODE_OK && answer.status == 200)
	{
		output_complain("postgres %s/%s: is there already; lttle postgres edit changes it", cli_namespace(invocation),
						name);
		code = EXIT_CODE_REFUSED;
	}
	api_answer_clear(&answer);
	return code;
}

int
run_postgres_create(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	const char *user = cli_has(invocation, OPTION_USER) ? invocation->values[OPTION_USER] : name;
	json_t *spec;
	json_t *document;
	_cleanup_text_ Text yaml = {0};
	uint64_t timeout_ms;
	int code = check_texts(invocation);

	if (code != EXIT_CODE_OK)
		return code;
	code = api_read_timeout(invocation, STANDARD_TIMEOUT, &timeout_ms);
	spec =
		json_pack("{s:s, s:s, s:[{s:s}]}", "name", name, "namespace", cli_namespace(invocation), "users", "name", user);
	document = json_pack("{s:o}", "postgres", spec);
	add_option(invocation, OPTION_SIZE, "size", spec);
	add_option(invocation, OPTION_STORAGE, "storage", spec);
	add_option(invocation, OPTION_DATABASE, "database", spec);
	add_option(invocation, OPTION_IMAGE, "image", spec);
	add_option(invocation, OPTION_PG_VERSION, "version", spec);
	if (code == EXIT_CODE_OK)
		code = add_parameters(invocation, spec);
	if (code == EXIT_CODE_OK)
		code = check_new(invocation, name);
	yaml_write(document, &yaml);
	json_decref(document);
	return code != EXIT_CODE_OK ? code : deploy_text(invocation, name, text_string(&yaml), timeout_ms);
}

/* ---- list, get ---- */

static void
table_add_users(Table *table, const json_t *cluster)
{
	_cleanup_text_ Text names = {0};
	const json_t *user;
	size_t index;

	json_array_foreach(json_object_get(cluster, "users"), index, user)
	{
		text_printf(&names, "%s%s", index == 0 ? "" : ", ", member_text(user, "name"));
	}
	table_add(table, "%s", text_string(&names));
}

static void
clusters_print(const json_t *clusters)
{
	static const char *const headers[] = {"NAMESPACE", "NAME",	  "VERSION",  "PHASE",
										  "STATE",	   "ADDRESS", "DATABASE", "USERS"};
	const json_t *cluster;
	size_t index;
	Table table;

	table_begin(&table, sizeof(headers) / sizeof(headers[0]), headers);
	json_array_foreach(clusters, index, cluster)
	{
		table_add(&table, "%s", member_text(cluster, "namespace"));
		table_add(&table, "%s", member_text(cluster, "name"));
		table_add(&table, "%.0f", member_number(cluster, "version"));
		table_add(&table, "%s", member_text(cluster, "phase"));
		table_add(&table, "%s", member_text(cluster, "state"));
		table_add(&table, "%s:%.0f", member_text(cluster, "address"), member_number(cluster, "port"));
		table_add(&table, "%s", member_text(cluster, "database"));
		table_add_users(&table, cluster);
	}
	table_print(&table);
}

int
run_postgres_list(const CliInvocation *invocation)
{
	json_t *clusters = NULL;
	int code = api_list(invocation, "postgres", &clusters);

	return api_show(invocation, code, clusters, clusters_print);
}

/* "Login, Createdb; owner of shop; readonly in crm (public)" */
static void
describe_user(const json_t *user, Text *out)
{
	const json_t *item;
	const json_t *schema;
	size_t index;
	size_t at;

	json_array_foreach(json_object_get(user, "roles"), index, item)
	{
		text_printf(out, "%s%s", index == 0 ? ": " : ", ", json_string_value(item));
	}
	json_array_foreach(json_object_get(user, "access"), index, item)
	{
		text_printf(out, "%s%s in %s", out->length == 0 ? ": " : "; ", member_text(item, "level"),
					member_text(item, "database"));
		json_array_foreach(json_object_get(item, "schemas"), at, schema)
		{
			text_printf(out, "%s%s", at == 0 ? "." : ",", json_string_value(schema));
		}
	}
	json_array_foreach(json_object_get(user, "namespaces"), index, item)
	{
		text_printf(out, "%s%s", index == 0 ? "; also in namespace " : ", ", json_string_value(item));
	}
}

static void
listing_add_list(Listing *listing, const char *key, const json_t *list)
{
	const json_t *item;
	size_t index;

	json_array_foreach(list, index, item)
	{
		listing_add(listing, index == 0 ? key : "", "%s", json_string_value(item));
	}
}

/* How it is backed up, if by schedule. */
static void
listing_add_backup(Listing *listing, const json_t *backup)
{
	char next[OUTPUT_TEXT_BYTES];
	char last[BACKUP_RESULT_BYTES];

	if (!json_is_object(backup))
		return;
	output_format_time(member_number(backup, "next-ms"), next);
	backup_result_format(json_object_get(backup, "last"), last);
	listing_add(listing, "backups", "%s, next at %s, into %s", member_text(backup, "schedule"), next,
				member_text(backup, "directory"));
	listing_add(listing, "last backup", "%s", last);
}

static void
cluster_print(const json_t *cluster)
{
	const json_t *item;
	size_t index;
	const char *key;
	json_t *value;
	bool first = true;
	Listing listing = {0};

	listing_add(&listing, "name", "%s", member_text(cluster, "name"));
	listing_add(&listing, "namespace", "%s", member_text(cluster, "namespace"));
	listing_add(&listing, "version", "PostgreSQL %.0f, %s", member_number(cluster, "version"),
				member_text(cluster, "image"));
	listing_add(&listing, "phase", "%s", member_text(cluster, "phase"));
	listing_add(&listing, "state", "%s", member_text(cluster, "state"));
	listing_add_when_set(&listing, "problem", cluster, "problem");
	listing_add(&listing, "address", "%s:%.0f", member_text(cluster, "address"), member_number(cluster, "port"));
	listing_add(&listing, "resources", "%.0f CPU, %.0f MiB", member_number(cluster, "cpus"),
				member_number(cluster, "memory-mib"));
	listing_add(&listing, "volume", "%s", member_text(cluster, "volume"));
	listing_add(&listing, "database", "%s", member_text(cluster, "database"));
	json_array_foreach(json_object_get(cluster, "databases"), index, item)
	{
		listing_add(&listing, "", "%s", member_text(item, "name"));
	}
	json_array_foreach(json_object_get(cluster, "users"), index, item)
	{
		_cleanup_text_ Text text = {0};

		describe_user(item, &text);
		listing_add(&listing, index == 0 ? "users" : "", "%s%s", member_text(item, "name"), text_string(&text));
	}
	json_object_foreach(json_object_get(cluster, "parameters"), key, value)
	{
		listing_add(&listing, first ? "parameters" : "", "%s = %s", key, json_string_value(value));
		first = false;
	}
	listing_add_backup(&listing, json_object_get(cluster, "backup"));
	listing_add_list(&listing, "notes", json_object_get(cluster, "notes"));
	listing_add_list(&listing, "drift", json_object_get(cluster, "drift"));
	listing_print(&listing);
}

int
run_postgres_get(const CliInvocation *invocation)
{
	json_t *cluster = NULL;
	int code = api_get_by_prefix(invocation, "postgres", invocation->arguments[0], &cluster);

	return api_show(invocation, code, cluster, cluster_print);
}

/* ---- edit ---- */

/* One that is named may well need no terminal; vi does. NULL: there is none for it. */
static const char *
choose_editor(void)
{
	static const char *const variables[] = {"VISUAL", "EDITOR"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
	{
		const char *editor = getenv(variables[i]);

		if (editor != NULL && *editor != '\0')
			return editor;
	}
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return "vi";
	output_complain(
		"there is no terminal to edit on; $EDITOR names a program that needs none, and lttle deploy takes a "
		"file");
	return NULL;
}

/* By the shell, because $EDITOR may hold arguments, as git and kubectl have it. */
static int
run_editor(const char *editor, const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
	{
		_cleanup_free_ char *command = memory_printf("%s \"$1\"", editor);

		execl("/bin/sh", "sh", "-c", command, "sh", path, (char *) NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
	{
		if (errno != EINTR)
			pid = -1;
	}
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EXIT_CODE_OK;
	output_complain("the editor '%s' has failed; nothing was changed", editor);
	return EXIT_CODE_FAILURE;
}

/* For its owner alone: parameters may hold what nobody else should read. */
static int
write_draft(const char *text, char **ret_path)
{
	const char *directory = getenv("TMPDIR");
	char *path =
		memory_printf("%s/lttle-postgres-XXXXXX.yaml", directory != NULL && *directory != '\0' ? directory : "/tmp");
	_cleanup_fd_ int fd = mkstemps(path, 5);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
	{
		output_complain("%s: %s", path, strerror(errno));
		free(path);
		return EXIT_CODE_FAILURE;
	}
	*ret_path = path;
	return EXIT_CODE_OK;
}

static int
deploy_draft(const CliInvocation *invocation, const char *path, const char *before, uint64_t timeout_ms)
{
	_cleanup_free_ char *after = NULL;
	Error error;
	int code;

	if (file_read(path, EDITED_MAX_BYTES, &after, NULL, &error) < 0)
	{
		output_complain("%s", error.message);
		return EXIT_CODE_FAILURE;
	}
	if (strcmp(before, after) == 0)
	{
		printf("Nothing was changed.\n");
		unlink(path);
		return EXIT_CODE_OK;
	}
	code = deploy_text(invocation, path, after, timeout_ms);
	if (code == EXIT_CODE_OK)
		unlink(path);
	else
		output_complain("what you have written is in %s; lttle deploy takes it", path);
	return code;
}

int
run_postgres_edit(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	_cleanup_text_ Text yaml = {0};
	_cleanup_free_ char *path = NULL;
	const char *editor = choose_editor();
	json_t *document;
	uint64_t timeout_ms;
	int code = editor == NULL ? EXIT_CODE_USAGE : api_read_timeout(invocation, STANDARD_TIMEOUT, &timeout_ms);

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, "postgres", invocation->arguments[0], "/file");
	code = api_request(invocation, "GET", text_string(&target), &document);
	if (code != EXIT_CODE_OK)
		return code;
	yaml_write(document, &yaml);
	json_decref(document);
	code = write_draft(text_string(&yaml), &path);
	if (code == EXIT_CODE_OK)
		code = run_editor(editor, path);
	return code != EXIT_CODE_OK ? code : deploy_draft(invocation, path, text_string(&yaml), timeout_ms);
}

/* ---- delete, access-info ---- */

int
run_postgres_delete(const CliInvocation *invocation)
{
	const char *name = invocation->arguments[0];
	bool volumes = cli_has(invocation, OPTION_VOLUMES);
	_cleanup_text_ Text target = {0};
	json_t *answer;
	int code = confirm(invocation, "Delete the PostgreSQL cluster '%s' in namespace '%s'%s?", name,
					   cli_namespace(invocation), volumes ? ", with all its data" : "; its volume stays");

	if (code != EXIT_CODE_OK)
		return code;
	api_path(&target, invocation, "postgres", name, volumes ? "?volumes=true" : "");
	code = api_request(invocation, "DELETE", text_string(&target), &answer);
	if (code != EXIT_CODE_OK)
		return code;
	output_succeed("Cluster '%s' has been deleted%s%s%s.", name, volumes ? "" : "; its data is in the volume '",
				   volumes ? "" : member_text(answer, "volume"), volumes ? "" : "'");
	json_decref(answer);
	return EXIT_CODE_OK;
}

int
run_postgres_access_info(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	json_t *access;
	int code;

	api_path(&target, invocation, "postgres", invocation->arguments[0], "/access-info");
	api_append_query(&target, "user", invocation->arguments[1]);
	api_append_query(&target, "from", invocation->values[OPTION_FROM]);
	api_append_query(&target, "localhost", cli_has(invocation, OPTION_LOCALHOST) ? "true" : NULL);
	code = api_request(invocation, "GET", text_string(&target), &access);
	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(access);
	else
		printf("%s\n", member_text(access, "url"));
	json_decref(access);
	return EXIT_CODE_OK;
}
