/*
 * The file systems of a machine, built by its first process in its own mount namespace. The host's directories are
 * taken as detached mounts before pivot_root, and all targets are resolved after it: a link in an image or a volume
 * can then lead nowhere but into the machine. Used by launch.c alone.
 */
#ifndef HOST_LAUNCH_MOUNTS_H
#define HOST_LAUNCH_MOUNTS_H

#include "host/launch.h"

/* Everything, from a fresh mount namespace to "/" being the machine's root. The log becomes standard output and error,
 * /dev/null standard input. Needs the network namespace, for /etc/hosts. */
int launch_build_root(const LaunchSpec *spec, Error *err) MUST_CHECK;

#define LAUNCH_LOG_TARGET "/run/lttle.log"

#endif
