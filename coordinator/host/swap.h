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
 * Sets vm.page-cluster to 0, as zram wants it; swap_zram_remove puts the old value back.
 * -EEXIST when the record is there (remove it first), -ENODEV when the kernel has no zram. Nothing stays on failure.
 * For a job's child. *ret_number: N of /dev/zramN.
 */
int swap_zram_create(uint64_t bytes, const char *record_path, unsigned *ret_number, Error *err) MUST_CHECK;

/* Undoes swap_zram_create from its record: swapoff (which may take long), reset, hot_remove, record removed. A record
 * that isn't there is no error; one from before a reboot is only removed. */
int swap_zram_remove(const char *record_path, Error *err) MUST_CHECK;

/* How much of the record's device is in use. -ENOENT when there is no record, or its device is no swap (any more). */
int swap_zram_read_used(const char *record_path, uint64_t *ret_bytes, Error *err) MUST_CHECK;

#endif
