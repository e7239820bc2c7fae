/* Reads a command line; see parse.h. */
#include "cli/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef struct Parser
{
	const char *const *argv; /* what is left */
	CliInvocation *invocation;
	bool options_over;
	Error *err;
} Parser;

void
cli_invocation_format(const CliInvocation *invocation, char text[64])
{
	const CliCommand *command = invocation->command;
	const char *group = invocation->group != NULL ? invocation->group->name : NULL;

	snprintf(text, 64, "lttle%s%s%s%s", group != NULL ? " " : "", group != NULL ? group : "",
			 command != NULL ? " " : "", command != NULL ? command->name : "");
}

static int
parser_refuse(const Parser *parser, const char *what, const char *word)
{
	return error_set(parser->err, -EINVAL, "%s '%s'", what, word);
}

static const CliOption *
option_find_long(const char *name, size_t length)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		const CliOption *option = &cli_options[i];

		if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
			return option;
		if (option->alias != NULL && strlen(option->alias) == length && memcmp(option->alias, name, length) == 0)
			return option;
	}
	return NULL;
}

/* A letter may stand for several options: then for the one that the command takes. */
static const CliOption *
option_find_letter(char letter, const CliCommand *command)
{
	const CliOption *found = NULL;

	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		bool taken = command == NULL || ((command->options | OPTIONS_ALWAYS) & OPTION_BIT(i)) != 0;

		if (cli_options[i].letter == letter && (taken || found == NULL))
			found = &cli_options[i];
		if (found == &cli_options[i] && taken)
			break;
	}
	return found;
}

/* Takes an option's value: inline ("=value", or NULL) or the next word. word is for messages. */
static int
parser_take_value(Parser *parser, const CliOption *option, const char *inline_value, const char *word)
{
	const char **slot = &parser->invocation->values[option->id];

	if (option->value == NULL)
	{
		if (inline_value != NULL)
			return parser_refuse(parser, "this option takes no value:", word);
		*slot = "";
		return 0;
	}
	if (inline_value == NULL)
	{
		if (*parser->argv == NULL)
			return parser_refuse(parser, "a value is missing behind", word);
		inline_value = *parser->argv++;
	}
	if (inline_value[0] == '\0')
		return parser_refuse(parser, "the value is empty of", word);
	*slot = inline_value;
	if (option->id == OPTION_VARIABLE)
		parser->invocation->variables[parser->invocation->variable_count++] = inline_value;
	return 0;
}

static int
parser_take_long(Parser *parser, const char *word)
{
	size_t length = strcspn(word + 2, "=");
	const CliOption *option = option_find_long(word + 2, length);

	if (option == NULL)
		return parser_refuse(parser, "unknown option", word);
	return parser_take_value(parser, option, word[2 + length] == '=' ? word + 2 + length + 1 : NULL, word);
}

/* One or several letters: "-i", "-it". What takes a value has the next word. */
static int
parser_take_letters(Parser *parser, const char *word)
{
	for (const char *letter = word + 1; *letter != '\0'; letter++)
	{
		const CliOption *option = option_find_letter(*letter, parser->invocation->command);
		int result;

		if (option == NULL)
			return parser_refuse(parser, "unknown option", word);
		result = parser_take_value(parser, option, NULL, word);
		if (result < 0)
			return result;
	}
	return 0;
}

/* The group, the command, an argument, or the beginning of a program's command line. */
static int
parser_take_word(Parser *parser, const char *word)
{
	CliInvocation *invocation = parser->invocation;

	if (invocation->command == NULL)
	{
		if (invocation->group == NULL)
			invocation->group = cli_find_group(word);
		else if ((invocation->command = cli_find_command(invocation->group->name, word)) == NULL)
			return parser_refuse(parser, "unknown command", word);
		if (invocation->group == NULL && (invocation->command = cli_find_command(NULL, word)) == NULL)
			return parser_refuse(parser, "unknown command", word);
		return 0;
	}
	if (invocation->command->takes_program == PROGRAM_NEEDED &&
		invocation->argument_count == invocation->command->most_arguments)
	{
		invocation->program = parser->argv - 1;
		return 0;
	}
	invocation->arguments[invocation->argument_count++] = word;
	return 0;
}

/* "--": what follows are words, or for some commands a program's. */
static void
parser_take_dashes(Parser *parser)
{
	const CliCommand *command = parser->invocation->command;

	parser->options_over = true;
	if (command != NULL && command->takes_program == PROGRAM_BEHIND_DASHES)
		parser->invocation->program = parser->argv;
}

static bool
word_is_option(const Parser *parser, const char *word)
{
	return !parser->options_over && word[0] == '-' && word[1] != '\0';
}

static int
parser_run(Parser *parser)
{
	while (*parser->argv != NULL && parser->invocation->program == NULL)
	{
		const char *word = *parser->argv++;
		int result = 0;

		if (!word_is_option(parser, word))
			result = parser_take_word(parser, word);
		else if (strcmp(word, "--") == 0)
			parser_take_dashes(parser);
		else if (word[1] == '-')
			result = parser_take_long(parser, word);
		else
			result = parser_take_letters(parser, word);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Whether the command takes what was given. */
static int
parser_check(const Parser *parser)
{
	const CliInvocation *invocation = parser->invocation;
	const CliCommand *command = invocation->command;
	char command_words[64];

	if (command == NULL)
	{
		cli_invocation_format(invocation, command_words);
		return parser_refuse(parser, "a command is missing behind", command_words);
	}
	for (size_t i = 0; i < OPTION_COUNT; i++)
	{
		char word[32];

		snprintf(word, sizeof(word), "--%s", cli_options[i].name);
		if (cli_has(invocation, (OptionId) i) && ((command->options | OPTIONS_ALWAYS) & OPTION_BIT(i)) == 0)
			return parser_refuse(parser, "does not take the option", word);
	}
	if (invocation->argument_count > command->most_arguments)
		return parser_refuse(parser, "one word too many:", invocation->arguments[command->most_arguments]);
	if (invocation->argument_count < command->least_arguments ||
		(command->takes_program == PROGRAM_NEEDED && invocation->program == NULL))
		return parser_refuse(parser, "something is missing; it takes", command->arguments);
	return 0;
}

int
cli_parse(int argc, const char *const *argv, CliInvocation *ret_invocation, Error *err)
{
	Parser parser = {.argv = argv, .invocation = ret_invocation, .err = err};
	int result;

	*ret_invocation = (CliInvocation){0};
	ret_invocation->arguments = memory_allocate(((size_t) argc + 1) * sizeof(char *));
	ret_invocation->variables = memory_allocate(((size_t) argc + 1) * sizeof(char *));
	result = parser_run(&parser);
	if (result < 0 || cli_has(ret_invocation, OPTION_HELP))
		return result;
	return parser_check(&parser);
}

void
cli_invocation_clear(CliInvocation *invocation)
{
	free(invocation->arguments);
	free(invocation->variables);
	invocation->arguments = NULL;
	invocation->variables = NULL;
}
