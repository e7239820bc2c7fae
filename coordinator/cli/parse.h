/* Reads a command line by the tables of command.h. No input or output: tests call it. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include "base/error.h"
#include "cli/command.h"

/*
 * argv[0] is left out. Options stand anywhere, also before the command; "--" ends them. With --help the command, or
 * its group, is found as far as it was given and its arguments are not checked.
 * Errors: -EINVAL; the invocation is then filled as far as it was understood, so that a hint can name the command.
 * The caller frees with cli_invocation_clear in either case.
 */
int cli_parse(int argc, const char *const *argv, CliInvocation *ret_invocation, Error *err) MUST_CHECK;

void cli_invocation_clear(CliInvocation *invocation);

/* "lttle machine exec", "lttle machine" or "lttle": what was understood. text: 64 bytes. */
void cli_invocation_format(const CliInvocation *invocation, char text[64]);

#endif
