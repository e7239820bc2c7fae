/*
 * A volume: an ext4 file system in a sparse file, attached to a loop device and mounted. Machines get its data/
 * directory, so lost+found is never in the way. The size is a real limit.
 *
 * Files: <state>/volumes/<namespace>/<name>.ext4 and the mount point <state>/volumes/<namespace>/<name>.
 */
#ifndef HOST_VOLUME_H
#define HOST_VOLUME_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/names.h"

typedef struct HostVolume
{
	char image_path[384];
	char mount_path[384];
	char data_path[400]; /* <mount_path>/data */
} HostVolume;

typedef struct VolumeUsage
{
	uint64_t size_bytes;	/* of the file system */
	uint64_t used_bytes;	/* 0 when not mounted */
	uint64_t on_disk_bytes; /* what the sparse file really takes */
	bool mounted;
} VolumeUsage;

#define VOLUME_RELEASE_TIMEOUT_MS 5000 /* the kernel writes what is dirty and lets go of the loop device */

void volume_plan(const HostLayout *layout, const char *name_space, const char *name, HostVolume *ret_volume);

/* Makes the sparse file and the file system (mkfs.ext4). Whole or not at all: written aside, then renamed.
 * -EEXIST when there is one; -EINVAL below 16 MiB. Runs programs: for a job's child. */
int volume_create(const HostVolume *volume, uint64_t size_bytes, Error *err) MUST_CHECK;

/*
 * Makes it at least so large, mounted or not; large enough is no error. What was cut off is ended. -EBUSY when it
 * cannot grow now, is whole and can be used as it was: mounted, it needs CAP_SYS_RESOURCE; at rest, somebody has a copy
 * of the mount, or there is no room. Runs programs: for a job's child.
 */
int volume_grow(const HostVolume *volume, uint64_t size_bytes, Error *err) MUST_CHECK;

/* The same, unmounted first and left so: the caller knows that no process uses it, and mounts it again. */
int volume_grow_at_rest(const HostVolume *volume, uint64_t size_bytes, Error *err) MUST_CHECK;

/* Nobody has begun to make it so large. */
bool volume_is_smaller(const HostVolume *volume, uint64_t size_bytes);

/* Smaller than that, or its growth was cut off. */
bool volume_needs_growth(const HostVolume *volume, uint64_t size_bytes);

/* "namespace/name", for messages. */
const char *volume_label(const HostVolume *volume);

/* Attaches and mounts it (idempotent), makes data/ with this owner and mode 0700 when it isn't there. The loop device
 * is attached with autoclear, so that unmounting frees it. read_only mounts it ro. For a job's child. */
int volume_mount(const HostVolume *volume, uid_t owner, gid_t group, bool read_only, Error *err) MUST_CHECK;

/* Unmounts it from the host, and from copies of the host's mounts in other namespaces; not mounted is no error. -EBUSY
 * while the host has files open on it. A machine has a mount of its own, of which the kernel says nothing here: the
 * caller stops the machine first. For a job's child. */
int volume_unmount(const HostVolume *volume, Error *err) MUST_CHECK;

/*
 * Unmounts and removes file and mount point, also from other mount namespaces. Returns when the kernel has let go of
 * the file, so that its space is free, or after VOLUME_RELEASE_TIMEOUT_MS. For a job's child.
 */
int volume_remove(const HostVolume *volume, Error *err) MUST_CHECK;

int volume_read_usage(const HostVolume *volume, VolumeUsage *ret_usage, Error *err) MUST_CHECK;

#endif
