/* The file systems of a machine; see launch_mounts.h. */
#include "host/launch_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/launch_devices.h"
#include "host/launch_files.h"

#define TERMINAL_GROUP "5" /* "tty" in every distribution */

/* What of /proc tells about the host or reaches into it. Files are covered by /dev/null, directories by an empty one (a
 * file system in memory would cost each restore from disk a run of tar); what a kernel doesn't have is passed over. */
static const char *const masked[] = {
	"/proc/acpi",		 "/proc/asound",	  "/proc/interrupts", "/proc/kcore",	   "/proc/keys",
	"/proc/kmsg",		 "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",  "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi",		  "/proc/timer_list", "/proc/timer_stats",
};

/* What of /proc would change the host when written to. */
static const char *const read_only[] = {
	"/proc/bus", "/proc/dynamic_debug", "/proc/fs", "/proc/irq", "/proc/mtrr", "/proc/sys", "/proc/sysrq-trigger",
};

/* Takes a directory or file of the host as a mount of its own. */
static int
take_mount(const char *source, bool is_read_only, int *ret_fd, Error *err)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	_cleanup_fd_ int fd = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (fd < 0)
		return error_set_errno(err, errno, "mount %s", source);
	if (is_read_only)
		attributes.attr_set |= MOUNT_ATTR_RDONLY;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return error_set_errno(err, errno, "mount %s: set flags", source);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Makes what the mount needs to lie on. */
static int
put_mount(int fd, const char *target, Error *err)
{
	struct stat status;
	int result;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "mount %s", target);
	if (S_ISDIR(status.st_mode))
		result = file_make_directory(target, 0755, err);
	else
		result = launch_make_empty_file(target, err);
	if (result < 0)
		return result;
	if (move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_set_errno(err, errno, "mount %s", target);
	return 0;
}

/* The root as a mount of this namespace, and the host's file systems gone. */
static int
enter_root(const char *root, Error *err)
{
	_cleanup_fd_ int fd = -1;
	int result = take_mount(root, false, &fd, err);

	if (result < 0)
		return result;
	if (move_mount(fd, "", AT_FDCWD, root, MOVE_MOUNT_F_EMPTY_PATH) < 0 || chdir(root) < 0)
		return error_set_errno(err, errno, "mount %s", root);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return error_set_errno(err, errno, "pivot_root to %s", root);
	/* The old root lies over the new one now. */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set_errno(err, errno, "unmount the host's file systems");
	return 0;
}

static int
mount_system(const char *type, const char *target, unsigned long flags, const char *options, Error *err)
{
	int result = launch_make_directory(target, err);

	if (result < 0)
		return result;
	if (mount(type, target, type, flags | MS_NOSUID, options) < 0)
		return error_set_errno(err, errno, "mount %s", target);
	return 0;
}

/* A bind mount takes its flags only when it is mounted again. */
static int
bind_with_flags(const char *source, const char *target, unsigned long flags, Error *err)
{
	if (mount(source, target, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | flags, NULL) < 0)
		return error_set_errno(err, errno, "mount %s", target);
	return 0;
}

static int
mask(const char *path, Error *err)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "%s", path);
	if (S_ISDIR(status.st_mode))
		return bind_with_flags(LAUNCH_EMPTY_DIRECTORY, path, MS_RDONLY | MS_NODEV | MS_NOEXEC, err);
	/* Without nodev: /dev/null is a device. */
	return bind_with_flags("/dev/null", path, MS_RDONLY | MS_NOEXEC, err);
}

static int
build_proc(Error *err)
{
	int result = mount_system("proc", "/proc", MS_NODEV | MS_NOEXEC, NULL, err);

	for (size_t i = 0; result == 0 && i < sizeof(read_only) / sizeof(read_only[0]); i++)
		if (access(read_only[i], F_OK) == 0)
			result = bind_with_flags(read_only[i], read_only[i], MS_RDONLY | MS_NODEV | MS_NOEXEC, err);
	for (size_t i = 0; result == 0 && i < sizeof(masked) / sizeof(masked[0]); i++)
		result = mask(masked[i], err);
	return result;
}

/*
 * The nodes are files of the machine's own root, which costs a restore from disk less than a file system in memory
 * would. The root itself is nodev: only this mount of /dev is not, and it can't be written to.
 */
static int
build_dev(uint64_t shm_bytes, Error *err)
{
	char options[64];
	int result = launch_make_devices(err);

	if (result == 0)
		result = bind_with_flags("/dev", "/dev", MS_RDONLY | MS_NOEXEC, err);
	if (result == 0)
		result = mount_system("devpts", "/dev/pts", MS_NOEXEC,
							  "newinstance,ptmxmode=0666,mode=0620,gid=" TERMINAL_GROUP, err);
	if (result < 0 || shm_bytes == 0)
		return result;
	snprintf(options, sizeof(options), "mode=1777,size=%llu", (unsigned long long) shm_bytes);
	return mount_system("tmpfs", "/dev/shm", MS_NODEV | MS_NOEXEC, options, err);
}

/* The log is the machine's own, so that it can open /dev/stderr by name. */
static int
take_log(const LaunchSpec *spec, int *ret_fd, Error *err)
{
	_cleanup_fd_ int fd = open(spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0 || fchown(fd, spec->uid, spec->gid) < 0)
		return error_set_errno(err, errno, "log %s", spec->log_path);
	return take_mount(spec->log_path, false, ret_fd, err);
}

/* Opened inside: a descriptor of the host's file systems could not be taken to disk and back. */
static int
open_standard_streams(Error *err)
{
	_cleanup_fd_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int log_fd = open(LAUNCH_LOG_TARGET, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

	if (null_fd < 0)
		return error_set_errno(err, errno, "/dev/null");
	if (log_fd < 0)
		return error_set_errno(err, errno, LAUNCH_LOG_TARGET);
	if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		return error_set_errno(err, errno, "standard input and output");
	/* They came up as 0 to 2 themselves if those were closed. */
	if (null_fd <= STDERR_FILENO)
		steal_fd(&null_fd);
	if (log_fd <= STDERR_FILENO)
		steal_fd(&log_fd);
	return 0;
}

static int
put_mounts(const LaunchSpec *spec, const int taken[], int log_fd, Error *err)
{
	int result = put_mount(log_fd, LAUNCH_LOG_TARGET, err);

	for (size_t i = 0; result == 0 && i < spec->mount_count; i++)
		result = put_mount(taken[i], spec->mounts[i].target, err);
	return result;
}

/* For the server's user, who could not make it. */
static int
make_wanted(const char *path, const LaunchSpec *spec, Error *err)
{
	struct stat status;
	int result;

	if (stat(path, &status) == 0)
		return 0;
	result = file_make_directory(path, 0755, err);
	if (result == 0 && lchown(path, spec->uid, spec->gid) < 0)
		return error_set_errno(err, errno, "%s", path);
	return result;
}

/* What the image says it keeps data in, or begins in; the image need not have made it. */
static int
make_all_wanted(const LaunchSpec *spec, Error *err)
{
	int result = spec->working_directory == NULL ? 0 : make_wanted(spec->working_directory, spec, err);

	for (size_t i = 0; result == 0 && spec->volumes != NULL && spec->volumes[i] != NULL; i++)
		result = make_wanted(spec->volumes[i], spec, err);
	return result;
}

int
launch_build_root(const LaunchSpec *spec, Error *err)
{
	_cleanup_free_ int *taken = memory_allocate(spec->mount_count * sizeof(*taken)); /* closed by exec or exit */
	_cleanup_fd_ int log_fd = -1;
	int result = 0;

	umask(0);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(err, errno, "make mounts private");
	for (size_t i = 0; result == 0 && i < spec->mount_count; i++)
		result = take_mount(spec->mounts[i].source, spec->mounts[i].read_only != 0, &taken[i], err);
	if (result == 0)
		result = take_log(spec, &log_fd, err);
	if (result == 0)
		result = enter_root(spec->root, err);
	if (result == 0)
		result = build_dev(spec->shm_bytes, err);
	if (result == 0)
		result = build_proc(err);
	if (result == 0)
		result = launch_write_files(spec->hostname, spec->resolv_conf, err);
	if (result == 0)
		result = put_mounts(spec, taken, log_fd, err);
	if (result == 0)
		result = make_all_wanted(spec, err);
	if (result == 0)
		result = open_standard_streams(err);
	umask(022);
	return result;
}
