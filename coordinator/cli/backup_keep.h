/* Which backups of a directory stay: the newest so many, those that are young enough. */
#ifndef CLI_BACKUP_KEEP_H
#define CLI_BACKUP_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/command.h"

typedef struct BackupKeep
{
	unsigned count;	 /* 0: as many as there are */
	uint64_t age_ms; /* 0: however old */
} BackupKeep;

/* --keep and --keep-for. An exit code, with a complaint. */
int backup_keep_read(const CliInvocation *invocation, BackupKeep *ret_keep);
bool backup_keep_is_set(const BackupKeep *keep);

/*
 * Removes the backups of a series (backup_format.h) that need not stay from the directory of `path`, never the newest.
 * What is none of the series is never touched.
 */
int backup_keep_apply(const BackupKeep *keep, const char *path, const char *series, Error *err) MUST_CHECK;

#endif
