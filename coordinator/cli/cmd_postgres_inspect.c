/* lttle postgres inspect */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/inspect.h"
#include "cli/output.h"

typedef enum Format
{
	FORMAT_MARKDOWN,
	FORMAT_HTML,
	FORMAT_JSON
} Format;

static int
read_format(const CliInvocation *invocation, Format *ret_format)
{
	static const char *const names[] = {"markdown", "html", "json"};
	const char *name = invocation->values[OPTION_FORMAT];

	*ret_format = cli_has(invocation, OPTION_JSON) ? FORMAT_JSON : FORMAT_MARKDOWN;
	if (name == NULL)
		return EXIT_CODE_OK;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(name, names[i]) == 0)
		{
			*ret_format = (Format) i;
			return EXIT_CODE_OK;
		}
	}
	output_complain("--format: '%s' is none of markdown, html and json", name);
	return EXIT_CODE_USAGE;
}

static void
document_format(const json_t *document, Format format, Text *page)
{
	char *json;

	if (format != FORMAT_JSON)
	{
		inspect_write_page(document, format == FORMAT_HTML ? &inspect_html : &inspect_markdown, page);
		return;
	}
	json = json_dumps(document, JSON_INDENT(2));
	text_printf(page, "%s\n", json);
	free(json);
}

/* A file is there whole or not at all. */
static int
page_put(const CliInvocation *invocation, const Text *page)
{
	const char *path = invocation->values[OPTION_OUTPUT];
	Error error;

	if (path == NULL)
		return fputs(text_string(page), stdout) >= 0 && fflush(stdout) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
	if (file_replace(path, text_string(page), page->length, 0644, &error) == 0)
		return EXIT_CODE_OK;
	output_complain("%s", error.message);
	return EXIT_CODE_FAILURE;
}

/* ---- as whom ---- */

static bool
has_metadata_access(const json_t *user)
{
	const json_t *access;
	size_t index;

	json_array_foreach(json_object_get(user, "access"), index, access)
	{
		if (strcmp(member_text(access, "level"), "metadata") == 0)
			return true;
	}
	return false;
}

/* The first user of the cluster who is there for this. The caller frees the name. */
static int
find_metadata_user(const CliInvocation *invocation, char **ret_name)
{
	_cleanup_text_ Text target = {0};
	const char *name = NULL;
	json_t *cluster;
	const json_t *user;
	size_t index;
	int code;

	api_path(&target, invocation, "postgres", invocation->arguments[0], "");
	code = api_request(invocation, "GET", text_string(&target), &cluster);
	if (code != EXIT_CODE_OK)
		return code;
	json_array_foreach(json_object_get(cluster, "users"), index, user)
	{
		if (name == NULL && has_metadata_access(user))
			name = member_text(user, "name");
	}
	if (name != NULL)
		*ret_name = memory_duplicate(name);
	else
	{
		output_complain("postgres %s/%s: no user has the access 'metadata'; name one: lttle postgres inspect %s USER",
						cli_namespace(invocation), invocation->arguments[0], invocation->arguments[0]);
		code = EXIT_CODE_NOT_FOUND;
	}
	json_decref(cluster);
	return code;
}

/* database_find, but for a cluster without USER it is that user. */
static int
find_to_inspect(const CliInvocation *invocation, Database *ret_database)
{
	_cleanup_free_ char *user = NULL;
	CliInvocation with_user = *invocation;
	const char *arguments[] = {invocation->arguments[0], NULL, NULL};
	int code;

	if (cli_has(invocation, OPTION_URL) || invocation->argument_count != 1)
		return database_find(invocation, ret_database);
	code = find_metadata_user(invocation, &user);
	if (code != EXIT_CODE_OK)
		return code;
	arguments[1] = user;
	with_user.arguments = arguments;
	with_user.argument_count = 2;
	return database_find(&with_user, ret_database);
}

int
run_postgres_inspect(const CliInvocation *invocation)
{
	_cleanup_database_ Database database = {0};
	_cleanup_pgconn_ PGconn *connection = NULL;
	_cleanup_text_ Text page = {0};
	json_t *document;
	uint64_t timeout_ms;
	Format format;
	int code = read_format(invocation, &format);

	if (code == EXIT_CODE_OK)
		code = api_read_timeout(invocation, "30s", &timeout_ms);
	if (code == EXIT_CODE_OK)
		code = find_to_inspect(invocation, &database);
	if (code == EXIT_CODE_OK)
		code = database_dig(invocation, &database, 0);
	if (code == EXIT_CODE_OK)
		code = database_connect(&database, timeout_ms, &connection);
	if (code == EXIT_CODE_OK)
		code = database_query_json(connection, inspect_sql, &document);
	if (code != EXIT_CODE_OK)
		return code;
	document_format(document, format, &page);
	json_decref(document);
	return page_put(invocation, &page);
}
