/*
 * Points at which a test can stop, kill or fail the coordinator, by name. Only a build with FAULTS=1 has them
 * (make coordinator FAULTS=1, into build/coordinator-faults); in any other build a point is no code at all.
 *
 * The environment variable LTTLED_FAULT holds what is to happen, as a list with commas between:
 *
 *     NAME:stop[:NTH]          the process that comes there sends itself SIGSTOP
 *     NAME:kill[:NTH]          it sends itself SIGKILL
 *     NAME:error:ERRNO[:NTH]   the step fails, as with error:ENOSPC
 *
 * NTH: only when the point is reached for the NTH time, counted over all processes of the coordinator since this list
 * was given; without it always. A value that begins with a slash is the path of a file that holds the list and is read
 * at each point, so that a test can arm a coordinator that runs; what happened is added to PATH.hits, a line each:
 * "NAME PID". A point that nobody armed is not written down.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/error.h"

/* The one list of names: symbol, name, and where it is. In the order of a hibernation, then of a resume. */
#define FAULT_POINTS(POINT)                                                                                            \
	POINT(FORK, "fork", "a process is about to be made, in the loop or in a job")                                      \
	POINT(FROZEN, "frozen", "every process is frozen and quiet; the gate is open")                                     \
	POINT(GATE_CLOSED, "gate-closed", "packets are held, nothing is dumped; in the loop")                              \
	POINT(DUMPING, "dumping", "the snapshot's directory is there, CRIU is about to run")                               \
	POINT(CRIU_LATE, "criu-late", "CRIU runs; an error here means that its deadline has passed")                       \
	POINT(DUMPED, "dumped", "CRIU has ended well, nothing is synced")                                                  \
	POINT(IMAGES_SYNCED, "images-synced", "the images have reached the disk, the volumes not yet")                     \
	POINT(VOLUMES_SYNCED, "volumes-synced", "volumes and root have reached the disk; no manifest")                     \
	POINT(FILE_WRITTEN, "file-written", "a file that is replaced is whole beside the old one (gate's plan, manifest)") \
	POINT(FILE_RENAMED, "file-renamed", "it is in its place, and its directory is not synced")                         \
	POINT(SEALED, "sealed", "the manifest has reached the disk; the processes are still there")                        \
	POINT(EVICTING, "evicting", "the loop knows of the snapshot and is about to kill the processes")                   \
	POINT(EVICTED, "evicted", "the processes are gone; in the loop")                                                   \
	POINT(UNDUMPING, "undumping", "a client came: the snapshot is about to be dropped, then the processes thawed")     \
	POINT(VERIFIED, "verified", "the snapshot may be restored; it is not spent")                                       \
	POINT(SPENDING, "spending", "the manifest is renamed away; its directory is not synced")                           \
	POINT(SPENT, "spent", "that has reached the disk; CRIU has not begun")                                             \
	POINT(RESTORED, "restored", "the processes run; the loop does not know")                                           \
	POINT(RESUMING, "resuming", "the loop knows; the gate is closed")                                                  \
	POINT(RESUMED, "resumed", "the gate is open; in the loop")                                                         \
	POINT(VOLUME_IN_USE, "volume-in-use", "a mounted volume is about to grow as it is; EBUSY: the kernel refuses it")  \
	POINT(VOLUME_AT_REST, "volume-at-rest", "a volume that is to grow is unmounted, nothing of it is changed")         \
	POINT(VOLUME_GROWN, "volume-grown", "its file system has its new size; its mark is still there")

#define FAULT_SYMBOL(symbol, name, where) FAULT_##symbol,
typedef enum FaultPoint
{
	FAULT_POINTS(FAULT_SYMBOL) FAULT_COUNT
} FaultPoint;
#undef FAULT_SYMBOL

#ifdef LTTLE_FAULTS

/* Does what was asked for at this point. 0; or the negative errno that was asked for. Without a message `err` is NULL.
 */
int fault_hit(FaultPoint point, Error *err);

/* To be called once, before the first fork: the counts are shared with all children. */
void fault_start(void);

#else

static inline int
fault_hit(FaultPoint point, Error *err)
{
	(void) point;
	(void) err;
	return 0;
}

static inline void
fault_start(void)
{
}

#endif

#endif
