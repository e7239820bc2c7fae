/*
 * The completion script of bash: a fixed text with places that the tables of command.h fill in. Names of apps,
 * machines and volumes are asked of the coordinator, through the hidden command `lttle names`.
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"

/* Lines that begin with '@' are filled in. */
static const char *const script[] = {
	"# shellcheck shell=bash",
	"# Completion of lttle for bash, printed by `lttle completion bash`: source it, or install it as",
	"# /usr/share/bash-completion/completions/lttle.",
	"_lttle() {",
	"	local current=${COMP_WORDS[COMP_CWORD]} word value='' group='' command='' arguments=0",
	"	local groups commands kind='' options='' values at",
	"	local -a where=()",
	"	COMPREPLY=()",
	"@groups",
	"@values",
	"	for ((at = 1; at < COMP_CWORD; at++)); do",
	"		word=${COMP_WORDS[at]}",
	"		if [[ -n $value ]]; then",
	"			[[ $value == --socket || $value == --n* ]] && where+=(\"$value\" \"$word\")",
	"			value=''",
	"		elif [[ \" $values \" == *\" $word \"* ]]; then",
	"			value=$word",
	"		elif [[ $word == -* ]]; then",
	"			continue",
	"		elif [[ -n $command ]]; then",
	"			arguments=$((arguments + 1))",
	"		elif [[ -n $group ]]; then",
	"			command=\"$group $word\"",
	"		elif [[ \" $groups \" == *\" $word \"* ]]; then",
	"			group=$word",
	"		else",
	"			command=$word",
	"		fi",
	"	done",
	"	case $group in",
	"@words",
	"	esac",
	"	case $command in",
	"@commands",
	"	esac",
	"	if [[ $value == --socket ]]; then",
	"		kind=files",
	"	elif [[ -n $value ]]; then",
	"		kind=''",
	"	elif [[ $current == -* ]]; then",
	"		kind=$options",
	"	elif [[ -z $command ]]; then",
	"		kind=$commands",
	"	elif [[ $arguments -gt 0 ]]; then",
	"		kind=''",
	"	fi",
	"	case $kind in",
	"	apps | machines | services | volumes | namespaces | secrets | values | postgres)",
	"		kind=$(lttle names \"$kind\" \"${where[@]}\" 2>/dev/null)",
	"		;;",
	"	files) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") && compopt -o filenames && return ;;",
	"	esac",
	"	mapfile -t COMPREPLY < <(compgen -W \"$kind\" -- \"$current\")",
	"}",
	"complete -F _lttle lttle",
};

static void
print_groups(void)
{
	fputs("	groups='", stdout);
	for (size_t i = 0; i < cli_group_count; i++)
		printf("%s%s", i > 0 ? " " : "", cli_groups[i].name);
	puts("'");
}

/* The options that are followed by a value. */
static void
print_values(void)
{
	const char *separator = "";

	fputs("	values='", stdout);
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		if (cli_options[i].value == NULL)
			continue;
		printf("%s--%s", separator, cli_options[i].name);
		separator = " ";
		if (cli_options[i].alias != NULL)
			printf(" --%s", cli_options[i].alias);
	}
	puts("'");
}

static void
print_words_of(const char *group)
{
	printf("	'%s') options='--%s --%s' commands='", group != NULL ? group : "", cli_options[OPTION_HELP].name,
		   cli_options[OPTION_SOCKET].name);
	for (size_t i = 0; group == NULL && i < cli_group_count; i++)
		printf("%s ", cli_groups[i].name);
	for (size_t i = 0; i < cli_command_count; i++)
	{
		const CliCommand *command = &cli_commands[i];

		if (command->summary == NULL || (group == NULL) != (command->group == NULL))
			continue;
		if (group == NULL || strcmp(group, command->group) == 0)
			printf("%s ", command->name);
	}
	puts("' ;;");
}

static void
print_words(void)
{
	print_words_of(NULL);
	for (size_t i = 0; i < cli_group_count; i++)
		print_words_of(cli_groups[i].name);
}

static void
print_command(const CliCommand *command)
{
	const char *group = command->group != NULL ? command->group : "";
	const char *blank = command->group != NULL ? " " : "";

	printf("	'%s%s%s'", group, blank, command->name);
	if (command->alias != NULL)
		printf(" | '%s%s%s'", group, blank, command->alias);
	printf(") kind='%s' options='", command->completes != NULL ? command->completes : "");
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		if (((command->options | OPTIONS_ALWAYS) & OPTION_BIT(i)) != 0)
			printf("--%s ", cli_options[i].name);
	}
	puts("' ;;");
}

static void
print_commands(void)
{
	for (size_t i = 0; i < cli_command_count; i++)
	{
		if (cli_commands[i].summary != NULL)
			print_command(&cli_commands[i]);
	}
}

static const struct
{
	const char *place;
	void (*print)(void);
} places[] = {
	{"@groups", print_groups}, {"@values", print_values}, {"@words", print_words}, {"@commands", print_commands}};

static void
print_line(const char *line)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		if (strcmp(places[i].place, line) == 0)
		{
			places[i].print();
			return;
		}
	}
	puts(line);
}

int
run_completion(const CliInvocation *invocation)
{
	if (strcmp(invocation->arguments[0], "bash") != 0)
	{
		output_complain("completion is there for bash only");
		return EXIT_CODE_USAGE;
	}
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++)
		print_line(script[i]);
	return EXIT_CODE_OK;
}
