/* docs/reference/cli.md, from the tables of command.h. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"

static void
reference_print_options(uint64_t options)
{
	if (options == 0)
		return;
	puts("| option | meaning |\n|---|---|");
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		char text[64];

		if ((options & OPTION_BIT(i)) == 0)
			continue;
		help_format_option(&cli_options[i], text);
		printf("| `%s` | %s |\n", text, cli_options[i].summary);
	}
	putchar('\n');
}

static void
reference_print_command(const CliCommand *command)
{
	char usage[160];

	if (command->summary == NULL)
		return;
	help_format_usage(command, usage);
	printf("### lttle %s%s%s\n\n```\n%s\n```\n\n%s.\n", command->group != NULL ? command->group : "",
		   command->group != NULL ? " " : "", command->name, usage, command->summary);
	if (command->description != NULL)
		printf("%s\n", command->description);
	if (command->alias != NULL)
		printf("Another name: `%s`.\n", command->alias);
	putchar('\n');
	reference_print_options(command->options);
}

static void
reference_print_group(const char *group)
{
	for (size_t i = 0; i < cli_command_count; i++)
	{
		const CliCommand *command = &cli_commands[i];

		if ((group == NULL) == (command->group == NULL) && (group == NULL || strcmp(group, command->group) == 0))
			reference_print_command(command);
	}
}

int
run_reference(const CliInvocation *invocation)
{
	(void) invocation;
	puts("# lttle, the command-line client\n\n"
		 "<!-- Printed by `lttle reference` from the tables in coordinator/cli/command.c. -->\n\n"
		 "Options stand anywhere behind `lttle`, before or behind names; `--` ends them. `--name VALUE` and\n"
		 "`--name=VALUE` are the same, and letters may be joined (`-it`). Every command takes:\n");
	reference_print_options(OPTIONS_ALWAYS);
	puts("Commands that only read take a unique prefix of a name. Colours are used on a terminal unless `NO_COLOR` is\n"
		 "set.\n");
	puts("## Exit codes\n\n| code | meaning |\n|---|---|");
	for (size_t i = 0; i < cli_exit_code_count; i++)
		printf("| %d | %s |\n", (int) cli_exit_codes[i].code, cli_exit_codes[i].text);
	puts("\n`lttle machine exec` ends with the program's own code.\n");
	for (size_t i = 0; i < cli_group_count; i++)
	{
		printf("## %s\n\n", cli_groups[i].summary);
		reference_print_group(cli_groups[i].name);
	}
	puts("## Everything else\n");
	reference_print_group(NULL);
	return EXIT_CODE_OK;
}
