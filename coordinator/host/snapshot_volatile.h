/*
 * Files of a machine's mounts that are in memory only, such as the activity page in its run directory: CRIU maps them
 * again, but does not carry what they hold. Kept beside the images, so that they are there after a reboot. Used by
 * snapshot.c alone.
 */
#ifndef HOST_SNAPSHOT_VOLATILE_H
#define HOST_SNAPSHOT_VOLATILE_H

#include <stdbool.h>

#include "base/error.h"
#include "host/snapshot.h"

/* Copies the plain files of every directory that is mounted to be written and lies on a tmpfs into
 * <directory>/mount-<number>/. -EFBIG beyond 64 MiB, in one that is on_account beyond the size of its file system;
 * -EOPNOTSUPP when there is a directory or a link in it. */
int snapshot_save_volatile(const SnapshotSpec *spec, Error *err) MUST_CHECK;

/* Brings those back that are, or are not, on the machine's account, with owner and mode, whether a file is there or
 * not. The former is for a process in the machine's group. */
int snapshot_restore_volatile(const SnapshotSpec *spec, bool on_account, Error *err) MUST_CHECK;

#endif
