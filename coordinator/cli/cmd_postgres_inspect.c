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
		code = database_find(invocation, &database);
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
