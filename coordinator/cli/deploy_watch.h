/* Watching what a deploy has begun, until everything is ready or asleep, or has failed. */
#ifndef CLI_DEPLOY_WATCH_H
#define CLI_DEPLOY_WATCH_H

#include <stdint.h>

#include "cli/command.h"

struct json_t;

/*
 * Waits for the machines of a deploy's results (the array of the API), at most timeout_ms. Shows how far they are on
 * standard error: a display on a terminal, else a line a change; nothing with --json. Each result of a machine gets its
 * "phase", and one that has failed its "error" and "last-words".
 * Returns EXIT_CODE_OK when all are ready, asleep, or have ended well; EXIT_CODE_FAILURE when one has failed;
 * EXIT_CODE_TIMED_OUT; what was wrong with the connection.
 */
int deploy_watch(const CliInvocation *invocation, struct json_t *results, uint64_t timeout_ms);

/*
 * Then waits until the clusters of a deploy are what their files say: users, databases, settings. What it did is added
 * to their changes, what was refused is their "error". timeout_ms: for each.
 */
int deploy_watch_clusters(const CliInvocation *invocation, struct json_t *results, uint64_t timeout_ms);

#endif
