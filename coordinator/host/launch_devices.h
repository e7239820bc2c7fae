/* The nodes and links of a machine's /dev. "/" is the machine's root. Used by launch_mounts.c alone. */
#ifndef HOST_LAUNCH_DEVICES_H
#define HOST_LAUNCH_DEVICES_H

#include "base/error.h"

/* To cover other directories with. */
#define LAUNCH_EMPTY_DIRECTORY "/dev/.empty"

/* Makes /dev as it should be: what an image brought there besides is removed, a device of the host's above all. */
int launch_make_devices(Error *err) MUST_CHECK;

#endif
