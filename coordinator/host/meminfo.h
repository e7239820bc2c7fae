/* How much memory and swap the host has, as the kernel tells it in /proc/meminfo. */
#ifndef HOST_MEMINFO_H
#define HOST_MEMINFO_H

#include <stdint.h>

#include "base/error.h"

#define MEMINFO_PATH "/proc/meminfo"

typedef struct HostMemory
{
	uint64_t total_bytes;
	uint64_t available_bytes; /* what programs could get without swapping */
	uint64_t swap_total_bytes;
	uint64_t swap_free_bytes;
} HostMemory;

/* path: MEMINFO_PATH. -EBADMSG when a line is missing or is no number. */
int meminfo_read(const char *path, HostMemory *ret_memory, Error *err) MUST_CHECK;

#endif
