/*
 * A machine's /dev/shm: a file system in memory that the host mounts and the launcher binds. A mount from outside costs
 * a dump and a restore nothing, where CRIU runs tar for one of the machine's own.
 */
#ifndef HOST_SHM_H
#define HOST_SHM_H

#include "base/error.h"

#define SHM_TARGET "/dev/shm" /* in the machine */

/*
 * Mounts it, empty, unless it is mounted (idempotent). For a job's child.
 * Its own limit is four times the host's memory, which nobody reaches: a server's shared memory lies there, and a full
 * file system would end it by SIGBUS. What a machine writes there is charged to it, and its limit of memory holds.
 */
int shm_mount(const char *path, Error *err) MUST_CHECK;

/* Gives its memory back as soon as nobody has a file of it open. Not mounted is no error. For a job's child. */
int shm_unmount(const char *path, Error *err) MUST_CHECK;

#endif
