/*
 * What lttle can do: one table of commands and one of options. The parser, the help, the completion of bash and
 * docs/reference/cli.md all read them.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_DEFAULT_SOCKET	  "/run/lttle/lttle.sock"
#define CLI_DEFAULT_NAMESPACE "default"

/* Exit codes, documented by exit.c. exec gives the program's own. */
typedef enum ExitCode
{
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILURE = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_NOT_FOUND = 3,
	EXIT_CODE_REFUSED = 4,
	EXIT_CODE_NO_COORDINATOR = 5,
	EXIT_CODE_TIMED_OUT = 124
} ExitCode;

typedef struct ExitCodeText
{
	ExitCode code;
	const char *text;
} ExitCodeText;

extern const ExitCodeText cli_exit_codes[];
extern const size_t cli_exit_code_count;

typedef enum OptionId
{
	OPTION_HELP,
	OPTION_SOCKET,
	OPTION_NAMESPACE,
	OPTION_ALL_NAMESPACES,
	OPTION_JSON,
	OPTION_YES,
	OPTION_FOLLOW,
	OPTION_TAIL,
	OPTION_INTERACTIVE,
	OPTION_TERMINAL,
	OPTION_FOR,
	OPTION_TIMEOUT,
	OPTION_LAST,
	OPTION_NAME,
	OPTION_NO_WAIT,
	OPTION_VOLUMES,
	OPTION_SINCE,
	OPTION_TIMES,
	OPTION_RECURSIVE,
	OPTION_DRY_RUN,
	OPTION_VARIABLE,
	OPTION_VARS,
	OPTION_ENV,
	OPTION_OUTPUT,
	OPTION_FORMAT,
	OPTION_DATABASE,
	OPTION_CLEAN,
	OPTION_NO_OWNER,
	OPTION_KEEP,
	OPTION_KEEP_FOR,
	OPTION_URL,
	OPTION_WAKE,
	OPTION_SSH,
	OPTION_KEY,
	OPTION_SSH_CONFIG,
	OPTION_SIZE,
	OPTION_STORAGE,
	OPTION_USER,
	OPTION_IMAGE,
	OPTION_PG_VERSION,
	OPTION_LOCALHOST,
	OPTION_FROM,
	OPTION_REASSIGN_OWNED,
	OPTION_ROLES,
	OPTION_ACCESS,
	OPTION_NAMESPACES,
	OPTION_OWNER,
	OPTION_ADOPT,
	OPTION_REPAIR,
	OPTION_DROP_OWNED,
	OPTION_REASSIGN_TO,
	OPTION_SCHEDULE,
	OPTION_COUNT
} OptionId;

#define OPTION_BIT(id) (UINT64_C(1) << (id))
/* What every command takes. */
#define OPTIONS_ALWAYS (OPTION_BIT(OPTION_HELP) | OPTION_BIT(OPTION_SOCKET))

typedef struct CliOption
{
	OptionId id;
	char letter;	   /* 'f' for -f; 0: none */
	const char *name;  /* "follow" for --follow */
	const char *alias; /* another long name, or NULL */
	const char *value; /* what the value is called; NULL: a flag */
	const char *summary;
} CliOption;

extern const CliOption cli_options[OPTION_COUNT];

typedef struct CliInvocation CliInvocation;

/* Whether a program's own command line, or arguments for one, stand at the end. */
typedef enum CliProgram
{
	PROGRAM_NONE,		  /* false */
	PROGRAM_NEEDED,		  /* true: the first word behind most_arguments begins it */
	PROGRAM_BEHIND_DASHES /* what stands behind "--", if anything does */
} CliProgram;

typedef struct CliCommand
{
	const char *group; /* "machine"; NULL: stands alone */
	const char *name;
	const char *alias;	   /* another name, or NULL */
	const char *arguments; /* for the help: "NAME PROGRAM [ARGUMENT…]" */
	unsigned least_arguments;
	unsigned most_arguments;
	CliProgram takes_program;
	uint64_t options; /* bits, besides OPTIONS_ALWAYS */
	const char
		*completes; /* what the first argument is: "machines", "apps", "volumes", "files", a list of words; NULL */
	int (*run)(const CliInvocation *invocation);
	const char *summary;	 /* one line; NULL hides the command */
	const char *description; /* more for the help, or NULL */
} CliCommand;

typedef struct CliGroup
{
	const char *name;
	const char *summary;
} CliGroup;

extern const CliCommand cli_commands[];
extern const size_t cli_command_count;
extern const CliGroup cli_groups[];
extern const size_t cli_group_count;

/* What the user typed. Everything points into argv. */
struct CliInvocation
{
	const CliCommand *command;		  /* NULL: none, for help */
	const CliGroup *group;			  /* of help for a group */
	const char *values[OPTION_COUNT]; /* NULL: not given; a flag: "" */
	const char **variables;			  /* of each --var */
	size_t variable_count;
	const char **arguments; /* NULL-terminated */
	size_t argument_count;
	const char *const *program; /* NULL-terminated; NULL: none */
};

bool cli_has(const CliInvocation *invocation, OptionId id);
/* --namespace, or the default one. */
const char *cli_namespace(const CliInvocation *invocation);
/* As cli_namespace; NULL with --all-namespaces. */
const char *cli_namespace_or_all(const CliInvocation *invocation);
/* --socket, $LTTLE_SOCKET or the default one. */
const char *cli_socket(const CliInvocation *invocation);

const CliGroup *cli_find_group(const char *name);
/* group: NULL for commands that stand alone. */
const CliCommand *cli_find_command(const char *group, const char *name);

#endif
