/*
 * Gives a frozen machine's memory back to the host, and keeps its hot set: the pages that its last wake needed.
 * All functions block and run in a job's child, except hotset_forget.
 */
#ifndef HOST_RECLAIM_H
#define HOST_RECLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/cgroup.h"

typedef struct ReclaimSpec
{
	const CgroupHierarchy *cgroups;
	const char *cgroup;
	const char *hotset_path; /* recorded before; NULL: bring nothing back */
	uint64_t hotset_max_bytes;
} ReclaimSpec;

typedef struct ReclaimResult
{
	uint64_t before_bytes; /* resident before */
	uint64_t after_bytes;  /* resident when everything was out */
	uint64_t hot_bytes;	   /* brought back for the next wake */
	uint64_t took_us;
} ReclaimResult;

/*
 * process_madvise(MADV_PAGEOUT) on every mapping of every process, then cgroup_reclaim until resident memory no longer
 * shrinks, then the hot set is faulted in again. Safe to kill at any moment.
 */
int reclaim_run(const ReclaimSpec *spec, ReclaimResult *ret_result, Error *err) MUST_CHECK;

/*
 * Records which private and shared-memory pages of the machine are present now (pagemap), shortly after a wake from
 * reclaimed memory, to hotset_path (written aside, renamed). The machine may be running. At most max_bytes.
 */
int hotset_record(const CgroupHierarchy *cgroups, const char *cgroup, const char *hotset_path, uint64_t max_bytes,
				  Error *err) MUST_CHECK;

/* Removes the record. */
void hotset_forget(const char *hotset_path);

/*
 * Keeps the files that a server maps (program and libraries) in memory for all machines of an image: maps and mlocks
 * them and stays until killed; it dies with the coordinator (PR_SET_PDEATHSIG).
 * paths: below the image's root, the overlay's lower directory, so that every machine's text is there.
 * In a control group of its own, so that no machine's reclaim takes them.
 */
typedef struct ImagePinSpec
{
	const CgroupHierarchy *cgroups;
	const char *cgroup;		/* <prefix>/pinned */
	const char *image_root; /* lower directory */
	pid_t machine_pid;		/* a running server of this image: its mapped files are the ones to pin */
	uint64_t max_bytes;
} ImagePinSpec;

/*
 * Starts the holder as a child of the caller, and returns at once: the holder reads and locks the files on its own,
 * in its own time. It ends, with its reason on standard error, when it cannot.
 */
int image_pin_start(const ImagePinSpec *spec, pid_t *ret_holder, Error *err) MUST_CHECK;

#endif
