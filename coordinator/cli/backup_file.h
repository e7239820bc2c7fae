/*
 * The file that a backup is written to: it has no name until it is whole and on disk, so that nothing half done is ever
 * taken for a backup, not even after a crash; then it takes the place of whatever had the name.
 */
#ifndef CLI_BACKUP_FILE_H
#define CLI_BACKUP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct BackupFile
{
	char *path; /* for messages */
	char *directory;
	char *name;
	char *temporary; /* its name meanwhile, where the file system knows no file without one; NULL: it has none */
	int fd;
	int directory_fd;
	uint64_t bytes; /* written */
} BackupFile;

#define BACKUP_FILE_NONE                                                                                               \
	(BackupFile)                                                                                                       \
	{                                                                                                                  \
		.fd = -1, .directory_fd = -1                                                                                   \
	}

/* Opens one beside the path. Readable and writeable for its owner only: a backup holds all of a database. */
int backup_file_open(const char *path, BackupFile *ret_file, Error *err) MUST_CHECK;
int backup_file_write(BackupFile *file, const void *bytes, size_t size, Error *err) MUST_CHECK;
/* Syncs it and checks that it is as long as what was written. -EIO. */
int backup_file_sync(const BackupFile *file, Error *err) MUST_CHECK;
/* Gives it its name, for good. */
int backup_file_commit(BackupFile *file, Error *err) MUST_CHECK;
/* Closes it; what has not been committed is gone. Takes BACKUP_FILE_NONE. */
void backup_file_clear(BackupFile *file);

#endif
