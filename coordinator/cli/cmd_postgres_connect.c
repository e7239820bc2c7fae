/* lttle postgres psql, port-forward, tunnel: ways to a database for other programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/port_relay.h"

/* ---- psql ---- */

/* All that is known goes into the environment: what stands in arguments, everybody on the host can read. */
static int
set_environment(const Database *database)
{
	for (const PQconninfoOption *option = database->options; option->keyword != NULL; option++)
	{
		if (option->val == NULL)
			continue;
		if (option->envvar == NULL)
		{
			output_complain("psql cannot be told '%s' of the URL", option->keyword);
			return EXIT_CODE_USAGE;
		}
		setenv(option->envvar, option->val, 1);
	}
	return EXIT_CODE_OK;
}

int
run_postgres_psql(const CliInvocation *invocation)
{
	_cleanup_database_ Database database = {0};
	const char **argv;
	size_t count = 0;
	int code = database_find(invocation, &database);

	if (code == EXIT_CODE_OK)
		code = set_environment(&database);
	if (code != EXIT_CODE_OK)
		return code;
	while (invocation->program != NULL && invocation->program[count] != NULL)
		count++;
	argv = memory_allocate((count + 2) * sizeof(char *));
	argv[0] = "psql";
	for (size_t i = 0; i < count; i++)
		argv[i + 1] = invocation->program[i];
	fflush(stdout);
	execvp(argv[0], (char *const *) argv);
	output_complain("psql: %s%s", strerror(errno), errno == ENOENT ? " (install postgresql-client)" : "");
	free(argv);
	return EXIT_CODE_FAILURE;
}

/* ---- ports ---- */

/* A port's number among the arguments. NULL: 0, which means any that is free. */
static int
read_port(const char *text, uint16_t *ret_port)
{
	char *end;
	unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;

	if (text != NULL && (*end != '\0' || text[0] < '0' || text[0] > '9' || value == 0 || value > UINT16_MAX))
	{
		output_complain("'%s' is no port: 1 to 65535", text);
		return EXIT_CODE_USAGE;
	}
	*ret_port = (uint16_t) value;
	return EXIT_CODE_OK;
}

/* The argument behind CLUSTER is a port here, no user's name; with --url it stands alone. */
static int
find_with_port(const CliInvocation *invocation, Database *ret_database, uint16_t *ret_port)
{
	size_t before = cli_has(invocation, OPTION_URL) ? 0 : 1;
	const char *only_cluster[] = {before > 0 ? invocation->arguments[0] : NULL, NULL, NULL};
	CliInvocation without_port = *invocation;
	int code = EXIT_CODE_OK;

	without_port.arguments = only_cluster;
	without_port.argument_count = only_cluster[0] != NULL ? 1 : 0;
	if (invocation->argument_count > before + 1)
	{
		output_complain("one word too many: '%s'", invocation->arguments[before + 1]);
		return EXIT_CODE_USAGE;
	}
	if (invocation->argument_count > before)
		code = read_port(invocation->arguments[before], ret_port);
	return code == EXIT_CODE_OK ? database_find(&without_port, ret_database) : code;
}

static void
print_address(uint16_t port)
{
	printf("127.0.0.1:%u\n", (unsigned) port);
	fflush(stdout);
}

int
run_postgres_port_forward(const CliInvocation *invocation)
{
	_cleanup_database_ Database database = {0};
	PortRelay *relay;
	uint16_t local_port = 0;
	uint16_t port = 0;
	Error error;
	int code = find_with_port(invocation, &database, &local_port);

	if (code == EXIT_CODE_OK)
		code = read_port(database_get(&database, "port"), &port);
	if (code != EXIT_CODE_OK)
		return code;
	if (port_relay_open(local_port, database_get(&database, "host"), port, &relay, &error) < 0)
	{
		output_complain("%s", error.message);
		return EXIT_CODE_FAILURE;
	}
	print_address(port_relay_port(relay));
	port_relay_run(relay);
	port_relay_free(relay);
	return EXIT_CODE_OK;
}

int
run_postgres_tunnel(const CliInvocation *invocation)
{
	_cleanup_database_ Database database = {0};
	uint16_t local_port = 0;
	int status;
	int code;

	if (!cli_has(invocation, OPTION_SSH))
	{
		output_complain("--ssh USER@JUMP is missing: the host that the tunnel goes through");
		return EXIT_CODE_USAGE;
	}
	code = find_with_port(invocation, &database, &local_port);
	if (code == EXIT_CODE_OK)
		code = database_dig(invocation, &database, local_port);
	if (code != EXIT_CODE_OK)
		return code;
	print_address(database.tunnel.local_port);
	status = ssh_tunnel_wait(&database.tunnel);
	output_complain("the tunnel has ended: ssh's status is %d", status);
	return EXIT_CODE_FAILURE;
}
