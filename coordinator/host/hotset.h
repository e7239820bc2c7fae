/*
 * A machine's hot set: which pages its processes had in memory shortly after a wake. Kept in a small file, whose form
 * is hotset.c's business. See reclaim.h for recording and forgetting.
 */
#ifndef HOST_HOTSET_H
#define HOST_HOTSET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Consecutive pages. */
typedef struct HotRange
{
	uint64_t address;
	uint64_t pages;
} HotRange;

/* The pages of one process. */
typedef struct HotProcess
{
	pid_t pid;
	uint64_t start_time; /* of the process: after a restart the same number has another layout */
	HotRange *ranges;	 /* ascending */
	size_t range_count;
	size_t range_capacity;
} HotProcess;

typedef struct Hotset
{
	HotProcess *processes; /* the postmaster first */
	size_t process_count;
	size_t process_capacity;
	uint64_t pages; /* all together */
} Hotset;

void hotset_clear(Hotset *hotset);

/* Reads and writes the file; written aside and renamed. -EBADMSG for a file that is none, or damaged. */
int hotset_read(const char *path, Hotset *ret_hotset, Error *err) MUST_CHECK;
int hotset_write(const char *path, const Hotset *hotset, Error *err) MUST_CHECK;

/*
 * Faults recorded pages in again in those of the given processes that are still the same. Returns how many bytes; 0
 * when there is no usable record. Never more than max_bytes.
 */
uint64_t hotset_restore(const char *path, const pid_t *pids, size_t count, uint64_t max_bytes);

#endif
