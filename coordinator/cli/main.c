/* lttle: the command-line client of lttled. It speaks the HTTP API and nothing else. */
#include <locale.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/parse.h"

static int
usage_failed(const CliInvocation *invocation, const Error *err)
{
	char command[64];

	cli_invocation_format(invocation, command);
	output_complain("%s", err->message);
	fprintf(stderr, "Try '%s --help'.\n", command);
	return EXIT_CODE_USAGE;
}

int
main(int argc, char **argv)
{
	CliInvocation invocation;
	Error error;
	int code;
	int result;

	setlocale(LC_ALL, "");
	if (argc < 2)
	{
		help_print_overview(stderr);
		return EXIT_CODE_USAGE;
	}
	result = cli_parse(argc - 1, (const char *const *) argv + 1, &invocation, &error);
	if (result < 0)
		code = usage_failed(&invocation, &error);
	else if (cli_has(&invocation, OPTION_HELP))
	{
		help_print(stdout, &invocation);
		code = EXIT_CODE_OK;
	}
	else
		code = invocation.command->run(&invocation);
	cli_invocation_clear(&invocation);
	if (fflush(stdout) != 0 && code == EXIT_CODE_OK)
	{
		output_complain("standard output cannot be written");
		code = EXIT_CODE_FAILURE;
	}
	return code;
}
