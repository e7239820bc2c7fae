/* Dump, seal, verify, spend, restore; see snapshot.h. */
#include "host/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/text.h"
#include "host/criu.h"
#include "host/manifest.h"
#include "host/snapshot_volatile.h"

/* A deadline is for what hangs; the time that memory needs to reach a slow disk is given on top. */
#define CRIU_TIMEOUT_MS		 30000
#define DISK_BYTES_PER_MS	 20000
#define LOCK_TIMEOUT_MS		 600000
#define LOCK_RETRY_MS		 20
#define KILL_TIMEOUT_MS		 30000
#define MARK_NAME			 "dumping"
#define DUMP_LOG			 "dump.log"
#define RESTORE_LOG			 "restore.log"
#define PID_NAME			 "pid"
#define ARGUMENTS_MAX		 200
#define FORBIDDEN_IN_TARGETS "[]:"

/* ---- arguments of CRIU ---- */

typedef struct Arguments
{
	char *list[ARGUMENTS_MAX + 1];
	size_t count;
} Arguments;

static void
arguments_clear(Arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++)
		free(arguments->list[i]);
}

static void
add(Arguments *arguments, char *argument)
{
	if (arguments->count >= ARGUMENTS_MAX)
		abort(); /* check_spec has counted */
	arguments->list[arguments->count++] = argument;
}

static void
add_words(Arguments *arguments, const char *const words[])
{
	for (size_t i = 0; words[i] != NULL; i++)
		add(arguments, memory_duplicate(words[i]));
}
#define ADD(arguments, ...) add_words(arguments, (const char *const[]){__VA_ARGS__, NULL})

/* Thirty options at most beside two words a mount. */
static int
check_spec(const SnapshotSpec *spec, Error *err)
{
	if (spec->mount_count > (ARGUMENTS_MAX - 30) / 2)
		return error_set(err, -E2BIG, "a machine of %zu mounts can't be taken to disk", spec->mount_count);
	for (size_t i = 0; i < spec->mount_count; i++)
		if (strpbrk(spec->mounts[i].target, FORBIDDEN_IN_TARGETS) != NULL)
			return error_set(err, -EINVAL, "a mount on %s can't be taken to disk, because of \"%.1s\" in its path",
							 spec->mounts[i].target, strpbrk(spec->mounts[i].target, FORBIDDEN_IN_TARGETS));
	return 0;
}

static int
add_dump_arguments(const SnapshotSpec *spec, Arguments *arguments, Error *err)
{
	char freezer[PATH_MAX];
	struct stat network;
	int result = cgroup_freezer_path(spec->cgroups, spec->cgroup, freezer, err);

	if (result < 0)
		return result;
	if (stat(spec->network_path, &network) < 0)
		return error_set_errno(err, errno, "%s", spec->network_path);
	ADD(arguments, "dump", "-D", spec->directory, "-W", spec->directory, "-o", DUMP_LOG, "-v1", "-R");
	ADD(arguments, "--manage-cgroups=ignore", "--network-lock", "skip", "--tcp-established", "--skip-in-flight");
	ADD(arguments, "--freeze-cgroup", freezer, "-t");
	add(arguments, memory_printf("%d", (int) spec->machine_pid));
	ADD(arguments, "--external");
	add(arguments, memory_printf("net[%ju]:network", (uintmax_t) network.st_ino));
	for (size_t i = 0; i < spec->mount_count; i++)
	{
		ADD(arguments, "--external");
		add(arguments, memory_printf("mnt[%s]:mount-%zu", spec->mounts[i].target, i));
	}
	return 0;
}

static void
add_restore_arguments(const SnapshotSpec *spec, const char *pid_path, Arguments *arguments)
{
	ADD(arguments, "restore", "-d", "-D", spec->directory, "-W", spec->directory, "-o", RESTORE_LOG, "-v1");
	ADD(arguments, "--manage-cgroups=ignore", "--tcp-established", "--skip-in-flight", "--pidfile", pid_path);
	ADD(arguments, "--root", spec->root, "--inherit-fd");
	add(arguments, memory_printf("fd[%d]:network", CRIU_NETWORK_FD));
	for (size_t i = 0; i < spec->mount_count; i++)
	{
		ADD(arguments, "--external");
		add(arguments, memory_printf("mnt[mount-%zu]:%s", i, spec->mounts[i].source));
	}
}

/* ---- the directory ---- */

/* One at a time: a dump goes on when the coordinator was killed, and the next coordinator must not come between. */
static int
lock_directory(const char *directory, int *ret_fd, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + LOCK_TIMEOUT_MS * NS_PER_MS;
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, errno, "%s", directory);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0)
	{
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set_errno(err, errno, "%s: lock", directory);
		if (clock_monotonic_ns() > deadline_ns)
			return error_set(err, -ETIMEDOUT, "%s: another dump or restore does not end", directory);
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* An empty directory that nobody but root can look into: what is in a machine's memory will be in it. */
static int
make_directory(const SnapshotSpec *spec, int *ret_lock_fd, Error *err)
{
	int result = snapshot_remove(spec->directory, err);

	if (result == 0)
		result = file_make_directory(spec->directory, 0700, err);
	return result == 0 ? lock_directory(spec->directory, ret_lock_fd, err) : result;
}

/* What the files of a directory and of those in it take on disk. */
static uint64_t
count_bytes(int directory_fd, int levels)
{
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_directory_ DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	uint64_t bytes = 0;
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		_cleanup_fd_ int inner_fd = -1;
		struct stat status;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bytes += (uint64_t) status.st_blocks * 512;
		if (!S_ISDIR(status.st_mode) || levels < 2)
			continue;
		inner_fd = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (inner_fd >= 0)
			bytes += count_bytes(inner_fd, levels - 1);
	}
	return bytes;
}

static int
sync_file_system(const char *path, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", path);
	return 0;
}

/*
 * Everything that the restored processes will find again: the volumes, what the machine wrote into its own root, and
 * the images. syncfs of the overlay syncs the file system of its upper directory.
 */
static int
sync_all(const SnapshotSpec *spec, Error *err)
{
	int result = sync_file_system(spec->directory, err);

	steps_note(spec->steps, "sync-images");
	if (result == 0)
		result = fault_hit(FAULT_IMAGES_SYNCED, err);
	for (size_t i = 0; result == 0 && i < spec->mount_count; i++)
		result = sync_file_system(spec->mounts[i].source, err);
	for (size_t i = 0; result == 0 && i < spec->data_count; i++)
		result = sync_file_system(spec->data_paths[i], err);
	steps_note(spec->steps, "sync-volumes");
	if (result == 0)
		result = sync_file_system(spec->root, err);
	steps_note(spec->steps, "sync-root");
	return result;
}

/* ---- dump ---- */

static uint64_t
dump_timeout_ms(const SnapshotSpec *spec)
{
	CgroupMemory memory = {0};

	if (cgroup_read_memory(spec->cgroups, spec->cgroup, &memory, NULL) < 0)
		return CRIU_TIMEOUT_MS * 10;
	return CRIU_TIMEOUT_MS + (memory.resident_bytes + memory.swapped_bytes) / DISK_BYTES_PER_MS;
}

static int
run_dump(const SnapshotSpec *spec, Error *err)
{
	_cleanup_(arguments_clear) Arguments arguments = {0};
	_cleanup_free_ char *log = memory_printf("%s/" DUMP_LOG, spec->directory);
	_cleanup_free_ char *mark = memory_printf("%s/" MARK_NAME, spec->directory);
	CriuRun run = {.program = spec->criu,
				   .arguments = (const char *const *) arguments.list,
				   .log_path = log,
				   .timeout_ms = dump_timeout_ms(spec),
				   .is_dump = true,
				   .mark_path = mark,
				   .cgroups = spec->cgroups,
				   .cgroup = spec->cgroup};
	int result = add_dump_arguments(spec, &arguments, err);

	return result == 0 ? criu_run(&run, err) : result;
}

static int
read_versions(const SnapshotSpec *spec, SnapshotManifest *ret_manifest, Error *err)
{
	struct utsname names;
	int result = manifest_read_boot_id(ret_manifest->boot_id, err);

	if (uname(&names) < 0)
		return error_set_errno(err, errno, "uname");
	text_copy(ret_manifest->kernel, sizeof(ret_manifest->kernel), names.release);
	if (result == 0 && spec->criu_version != NULL)
		text_copy(ret_manifest->criu_version, sizeof(ret_manifest->criu_version), spec->criu_version);
	else if (result == 0)
		result = criu_read_version(spec->criu, ret_manifest->criu_version, err);
	return result;
}

static int
dump_locked(const SnapshotSpec *spec, int directory_fd, SnapshotManifest *manifest, Error *err)
{
	SnapshotManifest sealed = *manifest;
	uint64_t begun_ns = clock_monotonic_ns();
	int result = read_versions(spec, &sealed, err);

	if (result == 0)
		result = fault_hit(FAULT_DUMPING, err);
	if (result == 0)
		result = run_dump(spec, err);
	steps_note(spec->steps, "criu");
	if (result == 0)
		result = snapshot_save_volatile(spec, err);
	steps_note(spec->steps, "memory-files");
	if (result == 0)
		result = fault_hit(FAULT_DUMPED, err);
	if (result == 0)
		result = sync_all(spec, err);
	if (result == 0)
		result = fault_hit(FAULT_VOLUMES_SYNCED, err);
	if (result == 0)
		result = snapshot_fingerprint(spec, sealed.fingerprint, err);
	if (result == 0)
		result = snapshot_list_images(spec->directory, sealed.images, err);
	steps_note(spec->steps, "fingerprint");
	if (result < 0)
		return result;
	sealed.synced = true;
	sealed.created_ms = clock_realtime_ms();
	sealed.image_bytes = count_bytes(directory_fd, 2);
	sealed.dump_us = (clock_monotonic_ns() - begun_ns) / 1000;
	result = manifest_write(spec->directory, &sealed, err);
	steps_note(spec->steps, "manifest");
	if (result == 0)
		result = fault_hit(FAULT_SEALED, err);
	if (result == 0)
		*manifest = sealed;
	return result;
}

int
snapshot_dump(const SnapshotSpec *spec, SnapshotManifest *manifest, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	Error remains;
	int result = check_spec(spec, err);

	if (result == 0)
		result = make_directory(spec, &lock_fd, err);
	if (result == 0)
		result = dump_locked(spec, lock_fd, manifest, err);
	/* The mark of a dump that was cut off stays, for a coordinator that comes later. */
	if (result < 0 && result != -EOWNERDEAD && lock_fd >= 0 && file_remove_tree(spec->directory, &remains) < 0)
		error_prefix(err, "%.200s", remains.message);
	return result;
}

int
snapshot_settle(const char *directory, bool *ret_cut_off, Error *err)
{
	_cleanup_free_ char *mark = memory_printf("%s/" MARK_NAME, directory);
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_directory(directory, &lock_fd, err);

	if (result < 0 && result != -ENOENT)
		return result;
	*ret_cut_off = result == 0 && access(mark, F_OK) == 0;
	return 0;
}

/* ---- verify ---- */

int
snapshot_verify(const SnapshotSpec *spec, const SnapshotManifest *manifest, const char *image_id, Error *err)
{
	SnapshotManifest now = {0};
	int result = read_versions(spec, &now, err);

	if (result < 0)
		return result;
	if (!manifest->synced && strcmp(manifest->boot_id, now.boot_id) != 0)
		return error_set(err, -ESTALE, "the host has started anew, and the snapshot had not reached the disk");
	if (strcmp(manifest->kernel, now.kernel) != 0)
		return error_set(err, -ESTALE, "the snapshot was written on Linux %s, this is %s", manifest->kernel,
						 now.kernel);
	if (strcmp(manifest->criu_version, now.criu_version) != 0)
		return error_set(err, -ESTALE, "the snapshot was written by CRIU %s, this is %s", manifest->criu_version,
						 now.criu_version);
	if (strcmp(manifest->image_id, image_id) != 0)
		return error_set(err, -ESTALE, "the snapshot is of another image, %s", manifest->image_id);
	result = snapshot_list_images(spec->directory, now.images, err);
	if (result == 0)
		result = snapshot_fingerprint(spec, now.fingerprint, err);
	if (result < 0)
		return result;
	if (strcmp(manifest->images, now.images) != 0)
		return error_set(err, -ESTALE, "the snapshot is not whole: its images are not as they were written");
	if (strcmp(manifest->fingerprint, now.fingerprint) != 0)
		return error_set(err, -ESTALE, "the volume has changed since the snapshot was written");
	return 0;
}

/* ---- restore ---- */

static int
read_pid(const char *path, pid_t *ret_pid, Error *err)
{
	uint64_t number;
	int result = file_read_number(path, &number, err);

	if (result == 0)
		*ret_pid = (pid_t) number;
	return result;
}

/* What a restore that failed has left in the group, to its last process; the children among them are reaped. */
static int
kill_remains(const SnapshotSpec *spec, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + KILL_TIMEOUT_MS * NS_PER_MS;
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_fd_ int events_fd = -1;
	bool populated = true;
	bool frozen;
	size_t count = 0;
	int result = cgroup_list_processes(spec->cgroups, spec->cgroup, &pids, &count, err);

	if (result == 0)
		result = cgroup_open_events(spec->cgroups, spec->cgroup, &events_fd, err);
	if (result == 0)
		result = cgroup_kill(spec->cgroups, spec->cgroup, err);
	while (result == 0)
	{
		struct pollfd polled = {.fd = events_fd, .events = POLLPRI};

		result = cgroup_read_events(events_fd, &frozen, &populated, err);
		if (result == 0 && !populated)
			break;
		if (result == 0 && clock_monotonic_ns() > deadline_ns)
			return error_set(err, -ETIMEDOUT, "the remains of the restore do not end");
		poll(&polled, 1, 100);
	}
	for (size_t i = 0; result == 0 && i < count; i++)
		waitpid(pids[i], NULL, WNOHANG);
	return result;
}

/* In the process that becomes CRIU: what it writes counts as the machine's from the first page on. */
static int
restore_shared_memory(const void *context, Error *err)
{
	return snapshot_restore_volatile(context, true, err);
}

static int
run_restore(const SnapshotSpec *spec, pid_t *ret_pid, Error *err)
{
	_cleanup_(arguments_clear) Arguments arguments = {0};
	_cleanup_free_ char *log = memory_printf("%s/" RESTORE_LOG, spec->directory);
	_cleanup_free_ char *pid_path = memory_printf("%s/" PID_NAME, spec->directory);
	_cleanup_fd_ int directory_fd = open(spec->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CriuRun run = {.program = spec->criu,
				   .arguments = (const char *const *) arguments.list,
				   .log_path = log,
				   .timeout_ms = CRIU_TIMEOUT_MS,
				   .cgroups = spec->cgroups,
				   .cgroup = spec->cgroup,
				   .root = spec->root,
				   .network_path = spec->network_path,
				   .in_group = restore_shared_memory,
				   .in_group_context = spec};
	int was_subreaper = 0;
	int result;

	if (directory_fd >= 0)
		run.timeout_ms += count_bytes(directory_fd, 2) / DISK_BYTES_PER_MS;
	add_restore_arguments(spec, pid_path, &arguments);
	/* CRIU leaves the machine's first process to whoever takes over its children. */
	if (prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return error_set_errno(err, errno, "become a subreaper");
	result = criu_run(&run, err);
	if (result == 0)
		result = read_pid(pid_path, ret_pid, err);
	if (result == 0)
		result = fault_hit(FAULT_RESTORED, err);
	if (result < 0)
	{
		Error remains;

		if (kill_remains(spec, &remains) < 0)
			error_prefix(err, "%.200s", remains.message);
	}
	if (!was_subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 0);
	return result;
}

int
snapshot_restore(const SnapshotSpec *spec, pid_t *ret_pid, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	pid_t mover = 0;
	pid_t pid = 0;
	int result = check_spec(spec, err);

	if (result == 0)
		result = lock_directory(spec->directory, &lock_fd, err);
	if (result == 0)
		result = fault_hit(FAULT_VERIFIED, err);
	/* Before it is spent: what can go wrong without harm. */
	if (result == 0)
		result = snapshot_restore_volatile(spec, false, err);
	if (result == 0)
		result = cgroup_set_frozen(spec->cgroups, spec->cgroup, false, err);
	steps_note(spec->steps, "files");
	/* The disk and the kernel's grace period are waited for together. */
	if (result == 0)
	{
		mover = cgroup_attach_prepare(spec->cgroups);
		result = manifest_spend(spec->directory, err);
	}
	steps_note(spec->steps, "spend");
	if (result == 0)
		result = fault_hit(FAULT_SPENT, err);
	if (result == 0)
		result = run_restore(spec, &pid, err);
	steps_note(spec->steps, "criu");
	cgroup_attach_settle(mover);
	if (result == 0)
		*ret_pid = pid;
	return result;
}

/* ---- removing ---- */

/* From here on it doesn't count, also after a crash of the host. */
static int
unseal(const char *directory, Error *err)
{
	int result = manifest_spend(directory, err);

	return result == -ENOENT ? 0 : result;
}

int
snapshot_set_aside(const char *directory, Error *err)
{
	_cleanup_free_ char *aside = memory_printf("%s.refused", directory);
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_directory(directory, &lock_fd, err);

	if (result == -ENOENT)
		return 0;
	if (result == 0)
		result = file_remove_tree(aside, err);
	/* After a crash of the host it must not be found in the old place again. */
	if (result == 0)
		result = unseal(directory, err);
	if (result == 0 && rename(directory, aside) < 0)
		return error_set_errno(err, errno, "%s: set it aside", directory);
	return result;
}

int
snapshot_remove(const char *directory, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_directory(directory, &lock_fd, err);

	if (result == -ENOENT)
		return 0;
	/* A machine that runs on may have written before the removal has reached the disk: first it counts no more. */
	if (result == 0)
		result = unseal(directory, err);
	return result == 0 ? file_remove_tree(directory, err) : result;
}
