/*
 * A machine's root file system: overlayfs, the image's unpacked root below, a directory of the machine above. Machines
 * of one image share its page cache.
 */
#ifndef HOST_ROOTFS_H
#define HOST_ROOTFS_H

#include <stdbool.h>

#include "base/error.h"

typedef struct RootfsPlan
{
	char lower[400]; /* the image's root, read-only */
	char upper[400];
	char work[400];
	char merged[400]; /* mount point */
} RootfsPlan;

/* Fills in <machine_directory>/{upper,work,root}. */
void rootfs_plan(const char *image_root, const char *machine_directory, RootfsPlan *ret_plan);

/* Mounts it (idempotent). For a job's child. */
int rootfs_mount(const RootfsPlan *plan, Error *err) MUST_CHECK;

/* Unmounts it; not mounted is no error. */
int rootfs_unmount(const RootfsPlan *plan, Error *err) MUST_CHECK;

#endif
