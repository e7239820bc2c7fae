/* Asking before something is lost. */
#ifndef CLI_CONFIRM_H
#define CLI_CONFIRM_H

#include "cli/command.h"

/*
 * Asks on the terminal, unless --yes was given. Returns EXIT_CODE_OK to go on. Without a terminal it refuses with a
 * hint. question: "Delete app 'x'?"
 */
int confirm(const CliInvocation *invocation, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
