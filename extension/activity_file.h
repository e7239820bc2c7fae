/*
 * The memory behind the activity page: a shared mapping of a file, or anonymous shared memory when there can be none.
 */
#ifndef LTTLE_ACTIVITY_FILE_H
#define LTTLE_ACTIVITY_FILE_H

#include "postgres.h"

#include <sys/types.h>

/* Which file it is, whatever path leads to it. */
typedef struct ActivityFileId
{
	dev_t device;
	ino_t inode;
} ActivityFileId;

/*
 * Maps `size` bytes of the file at `path`, which is created if need be and never made shorter, for this process and
 * all that it will fork. The bytes are as the file had them.
 * Returns NULL, after a line in the server's log, when the file can't serve; `path` empty: NULL without a line.
 */
extern void *lttle_activity_file_map(const char *path, Size size, ActivityFileId *ret_file);

/*
 * Maps the same file in another process. FATAL when the path does not lead to it any more: what the process did would
 * be seen by nobody.
 */
extern void *lttle_activity_file_attach(const char *path, Size size, const ActivityFileId *file);

/* Anonymous memory, zeroed, shared with the processes that this one will fork. FATAL when there is none. */
extern void *lttle_activity_file_map_anonymous(Size size);

#endif
