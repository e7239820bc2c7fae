/* Small files, read and written whole: cgroup files, /proc, sysctls, settings. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads a file of at most max_bytes into a fresh NUL-terminated buffer; the caller frees it. -EFBIG when longer. */
int file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, Error *err) MUST_CHECK;

/* Writes text into an existing file in one write(2), as cgroup and sysctl files want it. */
int file_write(const char *path, const char *text, Error *err) MUST_CHECK;

/*
 * Writes a file anew so that after a crash either the old or the new one is there whole: aside as <path>.new, synced,
 * renamed, and the directory synced.
 */
int file_replace(const char *path, const void *bytes, size_t size, mode_t mode, Error *err) MUST_CHECK;

/*
 * The same without a sync, for the event loop, which must not wait for a disk: the end of this process changes nothing,
 * a crash of the host may leave either file, or an empty one, unless file_sync comes first.
 */
int file_replace_unsynced(const char *path, const void *bytes, size_t size, mode_t mode, Error *err) MUST_CHECK;
int file_sync(const char *path, Error *err) MUST_CHECK;

/* Reads a decimal number from a file such as memory.current. */
int file_read_number(const char *path, uint64_t *ret_value, Error *err) MUST_CHECK;

/* Makes a directory and its parents; the last one gets `mode`, the others 0755. One that is there is left as it is. */
int file_make_directory(const char *path, mode_t mode, Error *err) MUST_CHECK;

/* Removes a file or a directory with all that is in it, never crossing into another file system and never following
 * a symbolic link. A path that isn't there is no error. */
int file_remove_tree(const char *path, Error *err) MUST_CHECK;

#endif
