/* Help, from the tables of command.h. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/* Of the command or the group of the invocation, or of everything. */
void help_print(FILE *out, const CliInvocation *invocation);
void help_print_overview(FILE *out);
void help_print_group(FILE *out, const CliGroup *group);
void help_print_command(FILE *out, const CliCommand *command);

/* "-f, --follow", "--namespace, --ns NS". text: 64 bytes. */
void help_format_option(const CliOption *option, char text[64]);
/* "lttle machine exec [OPTIONS] NAME …". text: 160 bytes. */
void help_format_usage(const CliCommand *command, char text[160]);

#endif
