/*
 * The memory behind the activity page: a shared mapping of a file, or anonymous shared memory when there can be none.
 */
#ifndef LTTLE_ACTIVITY_FILE_H
#define LTTLE_ACTIVITY_FILE_H

#include "postgres.h"

/*
 * Maps `size` bytes of the file at `path`, which is created if need be and never made shorter, for this process and
 * all that it will fork. The bytes are as the file had them.
 * Returns NULL, after a line in the server's log, when the file can't serve; `path` empty: NULL without a line.
 */
extern void *lttle_activity_file_map(const char *path, Size size);

/* Anonymous memory, zeroed, shared with the processes that this one will fork. FATAL when there is none. */
extern void *lttle_activity_file_map_anonymous(Size size);

#endif
