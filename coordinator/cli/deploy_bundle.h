/* What a deploy sends: the files, and what their expressions can say. */
#ifndef CLI_DEPLOY_BUNDLE_H
#define CLI_DEPLOY_BUNDLE_H

#include "cli/command.h"

struct json_t;

/*
 * Reads the files and directories of the arguments, --vars, --var and --env. Of the environment only what the files
 * mention is taken, and the commit only where they do. Returns an exit code; otherwise than EXIT_CODE_OK the problem is
 * on standard error. The caller decrefs.
 */
int deploy_bundle_read(const CliInvocation *invocation, struct json_t **ret_bundle);

#endif
