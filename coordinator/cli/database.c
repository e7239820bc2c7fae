/* The database that a command speaks to; see database.h. */
#include "cli/database.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/output.h"

#define OPTIONS_MAX 64

/* ---- who it is ---- */

static int
url_parse(const char *url, Database *database)
{
	char *problem = NULL;

	database->options = PQconninfoParse(url, &problem);
	if (database->options != NULL)
		return EXIT_CODE_OK;
	/* libpq's message may repeat the URL, and the password in it. */
	PQfreemem(problem);
	output_complain("--url: this is no connection URL: postgresql://USER:PASSWORD@HOST:PORT/DATABASE");
	return EXIT_CODE_USAGE;
}

static int
cluster_find(const CliInvocation *invocation, const char *cluster, const char *user, Database *database)
{
	_cleanup_text_ Text target = {0};
	json_t *access;
	int code;

	api_path(&target, invocation, "postgres", cluster, "/access-info");
	api_append_query(&target, "user", user);
	code = api_request(invocation, "GET", text_string(&target), &access);
	if (code != EXIT_CODE_OK)
		return code;
	code = url_parse(member_text(access, "url"), database);
	json_decref(access);
	return code;
}

int
database_find(const CliInvocation *invocation, Database *ret_database)
{
	const char *url = invocation->values[OPTION_URL];
	const char *const *arguments = invocation->arguments;
	_cleanup_database_ Database database = {0};
	int code;

	if (url != NULL && invocation->argument_count > 0)
	{
		output_complain("either CLUSTER or --url, not both");
		return EXIT_CODE_USAGE;
	}
	if (url == NULL && invocation->argument_count == 0)
	{
		output_complain("CLUSTER or --url is missing");
		return EXIT_CODE_USAGE;
	}
	code = url != NULL ? url_parse(url, &database) : cluster_find(invocation, arguments[0], arguments[1], &database);
	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_DATABASE))
		database_set(&database, "dbname", invocation->values[OPTION_DATABASE]);
	*ret_database = database;
	database = (Database){0};
	return EXIT_CODE_OK;
}

void
database_clear(Database *database)
{
	ssh_tunnel_close(&database->tunnel);
	PQconninfoFree(database->options);
	database->options = NULL;
}

const char *
database_get(const Database *database, const char *keyword)
{
	for (const PQconninfoOption *option = database->options; option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, keyword) == 0)
			return option->val != NULL && option->val[0] != '\0' ? option->val : NULL;
	}
	return NULL;
}

void
database_set(Database *database, const char *keyword, const char *value)
{
	for (PQconninfoOption *option = database->options; option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, keyword) != 0)
			continue;
		free(option->val);
		option->val = memory_duplicate(value);
	}
}

/* ---- through a jump host ---- */

int
database_dig(const CliInvocation *invocation, Database *database, uint16_t port)
{
	const char *host = database_get(database, "host");
	const char *address = database_get(database, "hostaddr");
	const char *server_port = database_get(database, "port");
	SshTunnelSpec spec = {.destination = invocation->values[OPTION_SSH],
						  .key_file = invocation->values[OPTION_KEY],
						  .config_file = invocation->values[OPTION_SSH_CONFIG],
						  .local_port = port,
						  .host = address != NULL ? address : (host != NULL ? host : "localhost"),
						  .port = server_port != NULL ? server_port : "5432"};
	char local[16];
	Error error;

	if (spec.destination == NULL)
		return EXIT_CODE_OK;
	if (strpbrk(spec.host, ",/") != NULL || strchr(spec.port, ',') != NULL)
	{
		output_complain("a tunnel leads to one host and one port, not to '%s'", spec.host);
		return EXIT_CODE_USAGE;
	}
	if (ssh_tunnel_open(&spec, &database->tunnel, &error) < 0)
	{
		output_complain("%s", error.message);
		return EXIT_CODE_FAILURE;
	}
	/* The host stays: certificates are checked against it. */
	snprintf(local, sizeof(local), "%u", (unsigned) database->tunnel.local_port);
	database_set(database, "hostaddr", "127.0.0.1");
	database_set(database, "port", local);
	return EXIT_CODE_OK;
}

/* ---- connecting and asking ---- */

void
cleanup_pgconn(PGconn **connection)
{
	PQfinish(*connection);
}

/* libpq's message, in one line. */
static int
complain_of(const PGconn *connection)
{
	_cleanup_free_ char *message = memory_duplicate(PQerrorMessage(connection));
	_cleanup_text_ Text line = {0};
	char *rest = message;
	char *part;

	while ((part = strsep(&rest, "\n")) != NULL)
	{
		part += strspn(part, " \t");
		if (*part != '\0')
			text_printf(&line, "%s%s", line.length > 0 ? "; " : "", part);
	}
	output_complain("%s", text_string(&line));
	return EXIT_CODE_FAILURE;
}

static int
session_prepare(PGconn *connection, uint64_t timeout_ms)
{
	_cleanup_free_ char *sql = memory_printf("SET search_path = pg_catalog; SET default_transaction_read_only = on;"
											 "SET statement_timeout = %" PRIu64,
											 timeout_ms);
	PGresult *result = PQexec(connection, sql);
	bool done = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return done ? EXIT_CODE_OK : complain_of(connection);
}

int
database_connect(const Database *database, uint64_t timeout_ms, PGconn **ret_connection)
{
	const char *keywords[OPTIONS_MAX + 4] = {"fallback_application_name", "connect_timeout", "client_encoding"};
	const char *values[OPTIONS_MAX + 4] = {"lttle", NULL, "UTF8"};
	_cleanup_pgconn_ PGconn *connection = NULL;
	char timeout[24];
	size_t count = 3;
	int code;

	/* libpq takes whole seconds, and less than two for two. What the URL says counts more. */
	snprintf(timeout, sizeof(timeout), "%" PRIu64, (timeout_ms + 999) / 1000);
	values[1] = timeout;
	for (const PQconninfoOption *option = database->options; option->keyword != NULL && count < OPTIONS_MAX; option++)
	{
		if (option->val == NULL || strcmp(option->keyword, "client_encoding") == 0)
			continue;
		keywords[count] = option->keyword;
		values[count++] = option->val;
	}
	connection = PQconnectdbParams(keywords, values, 0);
	if (connection == NULL || PQstatus(connection) != CONNECTION_OK)
		return complain_of(connection);
	code = session_prepare(connection, timeout_ms);
	if (code == EXIT_CODE_OK)
		*ret_connection = steal_pointer(&connection);
	return code;
}

int
database_query_json(PGconn *connection, const char *sql, json_t **ret_json)
{
	PGresult *result = PQexec(connection, sql);
	json_error_t error;
	json_t *json;

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
	{
		PQclear(result);
		return complain_of(connection);
	}
	json = json_loads(PQgetvalue(result, 0, 0), JSON_DECODE_ANY, &error);
	PQclear(result);
	if (json == NULL)
	{
		output_complain("the server's answer is no JSON: %s", error.text);
		return EXIT_CODE_FAILURE;
	}
	*ret_json = json;
	return EXIT_CODE_OK;
}
