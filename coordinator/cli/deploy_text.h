/* Deploying what a command has put together, as lttle deploy does it with a file. */
#ifndef CLI_DEPLOY_TEXT_H
#define CLI_DEPLOY_TEXT_H

#include <stdint.h>

#include "cli/command.h"

/* name: what complaints call the text. Waits, unless the invocation says --no-wait, and says what became of it. */
int deploy_text(const CliInvocation *invocation, const char *name, const char *text, uint64_t timeout_ms);

#endif
