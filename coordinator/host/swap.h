/*
 * Swap: what the host has, and a compressed swap device (zram) that the coordinator can set up for itself and takes
 * away at its end.
 */
#ifndef HOST_SWAP_H
#define HOST_SWAP_H

#include <stdint.h>

#include "base/error.h"

typedef struct SwapState
{
	uint64_t total_bytes;
	uint64_t free_bytes;
} SwapState;

int swap_read(SwapState *ret_state, Error *err) MUST_CHECK; /* /proc/meminfo */

/*
 * Makes a zram device of `bytes` with lz4 (or the kernel's default when it has no lz4), mkswap, swapon with priority
 * 100, and writes its number to `record_path` before it is used, so that a run that was killed can be cleaned up.
 * For a job's child. ret_device: /dev/zramN.
 */
int swap_zram_create(uint64_t bytes, const char *record_path, unsigned *ret_number, Error *err) MUST_CHECK;

/* Undoes swap_zram_create from its record: swapoff (which may take long), reset, hot_remove, record removed. A record
 * that isn't there is no error. */
int swap_zram_remove(const char *record_path, Error *err) MUST_CHECK;

#endif
