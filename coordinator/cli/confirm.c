/* Asking before something is lost; see confirm.h. */
#include "cli/confirm.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/output.h"

int
confirm(const CliInvocation *invocation, const char *format, ...)
{
	va_list arguments;
	char answer[16];

	if (cli_has(invocation, OPTION_YES))
		return EXIT_CODE_OK;
	if (!isatty(STDIN_FILENO))
	{
		output_complain("there is no terminal to ask on; -y goes on without asking");
		return EXIT_CODE_USAGE;
	}
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs(" [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_CODE_OK;
	fputs("Nothing was deleted.\n", stderr);
	return EXIT_CODE_FAILURE;
}
