/* Backups by lttled's own schedule, as commands set and show them. */
#ifndef CLI_BACKUP_SCHEDULE_H
#define CLI_BACKUP_SCHEDULE_H

#include "cli/command.h"

struct json_t;

/* lttle postgres backup --schedule: sets it, or ends it with "off". An exit code. */
int backup_schedule_set(const CliInvocation *invocation);

#define BACKUP_RESULT_BYTES 512
/* "ok, 12.3 MiB" or "failed: …" or "none yet"; `last` of a schedule. */
void backup_result_format(const struct json_t *last, char text[BACKUP_RESULT_BYTES]);

#endif
