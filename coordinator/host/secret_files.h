/*
 * Files of a machine that may never be on a disk: a small read-only file system in memory that the host mounts, with
 * one file a secret, which the launcher binds where the machine wants it. As a mount from outside it is no part of a
 * snapshot, and stays while the machine is on disk.
 */
#ifndef HOST_SECRET_FILES_H
#define HOST_SECRET_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Whether it is there, with all of its files. */
bool secret_files_are_mounted(const char *path);

/* Mounts it with a file "0", "1", … of mode 0400 for each text. On failure nothing is mounted. For a job's child. */
int secret_files_mount(const char *path, const char *const texts[], size_t count, uid_t uid, gid_t gid,
					   Error *err) MUST_CHECK;

/* Not mounted is no error. For a job's child. */
int secret_files_unmount(const char *path, Error *err) MUST_CHECK;

#endif
