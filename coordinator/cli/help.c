/* Help, from the tables of command.h; see help.h. */
#include "cli/help.h"

#include <string.h>

#define COLUMN 26

void
help_format_option(const CliOption *option, char text[64])
{
	int length = 0;

	text[0] = '\0';
	if (option->letter != 0)
		length = snprintf(text, 64, "-%c, ", option->letter);
	length += snprintf(text + length, 64 - (size_t) length, "--%s", option->name);
	if (option->alias != NULL)
		length += snprintf(text + length, 64 - (size_t) length, ", --%s", option->alias);
	if (option->value != NULL)
		snprintf(text + length, 64 - (size_t) length, " %s", option->value);
}

void
help_format_usage(const CliCommand *command, char text[160])
{
	snprintf(text, 160, "lttle %s%s%s [OPTIONS]%s%s", command->group != NULL ? command->group : "",
			 command->group != NULL ? " " : "", command->name, command->arguments[0] != '\0' ? " " : "",
			 command->arguments);
}

static void
print_exit_codes(FILE *out)
{
	fputs("\nExit codes:\n", out);
	for (size_t i = 0; i < cli_exit_code_count; i++)
		fprintf(out, "  %-*d%s\n", COLUMN, (int) cli_exit_codes[i].code, cli_exit_codes[i].text);
}

static void
print_options(FILE *out, uint64_t options)
{
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		char text[64];

		if ((options & OPTION_BIT(i)) == 0)
			continue;
		help_format_option(&cli_options[i], text);
		fprintf(out, "  %-*s%s\n", COLUMN, text, cli_options[i].summary);
	}
}

static void
print_commands(FILE *out, const char *group)
{
	for (size_t i = 0; i < cli_command_count; i++)
	{
		const CliCommand *command = &cli_commands[i];

		if (command->summary == NULL || (group == NULL) != (command->group == NULL))
			continue;
		if (group == NULL || strcmp(group, command->group) == 0)
			fprintf(out, "  %-*s%s\n", COLUMN, command->name, command->summary);
	}
}

void
help_print_overview(FILE *out)
{
	fputs("Usage: lttle [OPTIONS] COMMAND\n\nPostgreSQL that sleeps while nobody uses it.\n\nCommands:\n", out);
	print_commands(out, NULL);
	fputs("\nGroups of commands:\n", out);
	for (size_t i = 0; i < cli_group_count; i++)
		fprintf(out, "  %-*s%s\n", COLUMN, cli_groups[i].name, cli_groups[i].summary);
	print_options(out, OPTIONS_ALWAYS);
	print_exit_codes(out);
	fputs("\n'lttle COMMAND --help' says more.\n", out);
}

void
help_print_group(FILE *out, const CliGroup *group)
{
	fprintf(out, "Usage: lttle %s COMMAND\n\n%s.\n\nCommands:\n", group->name, group->summary);
	print_commands(out, group->name);
	fprintf(out, "\n'lttle %s COMMAND --help' says more.\n", group->name);
}

void
help_print_command(FILE *out, const CliCommand *command)
{
	char usage[160];

	help_format_usage(command, usage);
	fprintf(out, "Usage: %s\n\n%s.\n", usage, command->summary != NULL ? command->summary : "");
	if (command->description != NULL)
		fprintf(out, "\n%s\n", command->description);
	if (command->alias != NULL)
		fprintf(out, "\nAnother name: %s\n", command->alias);
	print_options(out, command->options | OPTIONS_ALWAYS);
}

void
help_print(FILE *out, const CliInvocation *invocation)
{
	if (invocation->command != NULL)
		help_print_command(out, invocation->command);
	else if (invocation->group != NULL)
		help_print_group(out, invocation->group);
	else
		help_print_overview(out);
}
