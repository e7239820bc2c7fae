/*
 * Snapshots on disk with CRIU: dump, seal, spend, restore. Everything here blocks and runs in a job's child.
 *
 * A snapshot is a directory, <machine directory>/snapshot: CRIU's images, its log, and the manifest. It counts only
 * when the manifest is there, which is written last, by rename, after images and volumes have reached the disk. It is
 * spent by renaming the manifest away and syncing the directory, before the first restored instruction runs; so no
 * snapshot is ever restored twice, nor over a volume that has changed since.
 */
#ifndef HOST_SNAPSHOT_H
#define HOST_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/steps.h"
#include "host/cgroup.h"

/* A mount of the machine that comes from outside: named in the dump, given again at the restore. */
typedef struct SnapshotMount
{
	const char *target; /* in the machine */
	const char *source; /* on the host */
	/* Of the others, what lies in memory (a tmpfs, such as the run directory with its activity page) is kept with the
	 * snapshot and written back before the restore. */
	bool read_only;
	/* It holds the machine's shared memory: as much as it will, brought back on the machine's account of memory. */
	bool on_account;
	const char *never_kept; /* the name of a file in it that is not; NULL: none. Who restores makes it anew. */
} SnapshotMount;

typedef struct SnapshotSpec
{
	const char *criu;		  /* program */
	const char *criu_version; /* as criu_find said; NULL: the program is asked, which takes milliseconds */
	const char *directory;	  /* <machine directory>/snapshot */
	const CgroupHierarchy *cgroups;
	const char *cgroup;
	const char *network_path;	 /* pinned network namespace */
	const char *root;			 /* the mounted overlay on the host */
	const SnapshotMount *mounts; /* volumes, run directory, log: what the launcher binds */
	size_t mount_count;
	const char *const *data_paths; /* directories of the volumes that belong to the fingerprint */
	size_t data_count;
	pid_t machine_pid; /* dump only */
	Steps *steps;	   /* NULL, or where dump and restore note how long their steps took */
} SnapshotSpec;

/* The manifest, JSON on disk ("manifest.json"), untrusted when read back. */
typedef struct SnapshotManifest
{
	char boot_id[40];
	char kernel[72];
	char criu_version[32];
	char image_id[80];
	char extension_version[32];
	char fingerprint[72]; /* "sha256:…" over pg_control, postmaster.pid, name/size/mtime of every file in pg_wal, and
						   * the WAL's last page */
	char images[72]; /* "sha256:…" over name/size/mtime of CRIU's images: it reads a shortened one without a word */
	bool synced;	 /* images and volumes have reached the disk: good after a reboot too */
	uint64_t created_ms;  /* since the epoch */
	uint64_t image_bytes; /* size on disk */
	uint64_t dump_us;
	char reason[128]; /* "hibernate-after", "API", "memory pressure", "manual trigger" */
} SnapshotManifest;

/* Fingerprint of the volumes as they are now. A volume without PostgreSQL's files has one too: names, sizes and mtimes
 * of its top two levels. About a millisecond. */
int snapshot_fingerprint(const SnapshotSpec *spec, char ret_fingerprint[72], Error *err) MUST_CHECK;

/* The manifest's `images`, of the files as they are now. */
int snapshot_list_images(const char *directory, char ret_listing[72], Error *err) MUST_CHECK;

/*
 * Dumps the frozen machine (--freeze-cgroup), leaving its processes as they are, frozen; then syncs the volumes and the
 * images, and writes the manifest. `manifest` gives image_id, extension_version and reason; the rest is filled in and
 * returned. On failure nothing that counts stays and the machine can be thawed; the message ends with the last lines
 * of CRIU's log. -EOWNERDEAD is the one exception: CRIU was killed with the processes in its hands, or did not end, and
 * they may lie in pieces (a signal mask, an instruction): the machine has to be ended and started cold.
 * A dump that has begun goes on to its end when the caller is killed; see snapshot_settle.
 */
int snapshot_dump(const SnapshotSpec *spec, SnapshotManifest *manifest, Error *err) MUST_CHECK;

/*
 * For a coordinator that comes after one that was killed while it dumped: waits until that dump has ended (it counts
 * all the same only if its manifest is there). cut_off: CRIU was killed in the middle, as with -EOWNERDEAD above. Else
 * the processes are as they were, frozen, and can be thawed.
 */
int snapshot_settle(const char *directory, bool *ret_cut_off, Error *err) MUST_CHECK;

/* Reads the manifest. -ENOENT: no snapshot that counts; -EBADMSG with what is wrong. */
int snapshot_read_manifest(const char *directory, SnapshotManifest *ret_manifest, Error *err) MUST_CHECK;

/*
 * Says whether the snapshot may be restored now: kernel, CRIU version, image, boot id or synced, images, fingerprint.
 * -ESTALE with the reason when it may not; the caller then moves it aside (snapshot_set_aside) and starts cold.
 */
int snapshot_verify(const SnapshotSpec *spec, const SnapshotManifest *manifest, const char *image_id,
					Error *err) MUST_CHECK;

/* Moves a refused or failed snapshot to <directory>.refused, replacing an older one there. It counts no more. */
int snapshot_set_aside(const char *directory, Error *err) MUST_CHECK;

/* Removes the snapshot; when it returns, no crash of the host brings it back. One that isn't there is no error. */
int snapshot_remove(const char *directory, Error *err) MUST_CHECK;

/*
 * Spends the snapshot and restores it. The machine's processes run when this returns. ret_pid: its first process, a
 * child of the caller. On failure no process is left, the snapshot stays spent, and the message ends with the last
 * lines of CRIU's log.
 */
int snapshot_restore(const SnapshotSpec *spec, pid_t *ret_pid, Error *err) MUST_CHECK;

/* Finds a CRIU of at least 4.2: `configured` when not empty, else the one that set-up has made, else the one in PATH.
 * ret_path: at least 256 bytes; ret_version: at least 32. -ENOENT with what to do. */
int criu_find(const char *configured, char *ret_path, char *ret_version, Error *err) MUST_CHECK;

/* Dumps and restores a small process tree for real, in namespaces and a control group of its own. */
int criu_self_test(const char *criu, const CgroupHierarchy *cgroups, const char *group, Error *err) MUST_CHECK;

#endif
