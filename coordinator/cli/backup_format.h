/* What a backup's file holds: pg_dump's custom format or SQL. Its name, and whether it is whole. */
#ifndef CLI_BACKUP_FORMAT_H
#define CLI_BACKUP_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"
#include "cli/machine_program.h"

typedef enum BackupFormat
{
	BACKUP_CUSTOM,
	BACKUP_PLAIN
} BackupFormat;

#define BACKUP_NAME_BYTES 256

/* --format, else custom. An exit code, with a complaint. */
int backup_format_read(const CliInvocation *invocation, BackupFormat *ret_format);
const char *backup_format_name(BackupFormat format);

/* What the names of all backups of the same database begin with: "NAMESPACE.CLUSTER.DATABASE", the last if it is named.
 */
void backup_series_make(const CliInvocation *invocation, const char *cluster, char ret_series[BACKUP_NAME_BYTES]);
/* "SERIES-20260301T120000Z.dump" */
void backup_name_make(const char *series, BackupFormat format, uint64_t epoch_ms, char ret_name[BACKUP_NAME_BYTES]);
/* Whether a file's name is one of these of the series. ret_epoch_ms: when it was taken. */
bool backup_name_read(const char *name, const char *series, uint64_t *ret_epoch_ms);

/* A file that is there. */
typedef struct BackupSource
{
	const CliInvocation *invocation;
	const char *cluster; /* whose PostgreSQL looks at it */
	const char *path;	 /* for messages */
	int fd;				 /* readable, its place is changed */
	uint64_t bytes;
	BackupFormat format;
	int signal_fd;
} BackupSource;

typedef enum BackupCheck
{
	BACKUP_CHECK_LIST, /* its table of contents can be read */
	BACKUP_CHECK_ALL   /* all of it can be unpacked */
} BackupCheck;

/* What the file's beginning says: SQL, if it is none of pg_dump's archives. Errors: -EINVAL: something packed. */
int backup_source_find_format(BackupSource *source, Error *err) MUST_CHECK;

/*
 * Looks whether it is whole: an archive by the machine's own pg_restore, SQL of pg_dump by its last lines. Returns an
 * exit code; otherwise than EXIT_CODE_OK what is wrong is on standard error. The caller clears the end, which holds a
 * signal when one has ended us.
 */
int backup_source_check(const BackupSource *source, BackupCheck check, MachineProgramEnd *ret_end);

#endif
