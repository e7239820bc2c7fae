/* Loop devices: a file as a block device. Linux 5.8 or later (LOOP_CONFIGURE). */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <stdbool.h>

#include "base/error.h"

typedef struct LoopDevice
{
	char path[32]; /* /dev/loopN */
	int fd;		   /* owned: holds the device until it is mounted; loop_close gives it back */
} LoopDevice;

#define LOOP_DEVICE_NONE ((LoopDevice){.path = "", .fd = -1})

/*
 * Attaches the file, which goes away again with the last user (autoclear), with direct I/O where the file system can.
 * A device that a killed run left attached to the same file is used again: two devices on one file would destroy it.
 * The caller makes sure that nobody does the same at the same time.
 */
int loop_attach(const char *file_path, LoopDevice *ret_device, Error *err) MUST_CHECK;

void loop_close(LoopDevice *device); /* for _cleanup_ */

/* True when any loop device is attached to this file. */
bool loop_is_attached(const char *file_path);

/*
 * Waits until no loop device is attached to this file; false after timeout_ms. The kernel unmounts a file system of a
 * process that ends in the background, so a device outlives its last process by a moment. For a job's child.
 */
bool loop_await_release(const char *file_path, unsigned timeout_ms);

/* True when /dev/loop<number> is attached to this file. */
bool loop_is_attached_to(unsigned number, const char *file_path);

#endif
