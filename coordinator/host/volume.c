/* A volume: an ext4 file system in a sparse file; see volume.h. */
#include "host/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/loop.h"

#define BLOCK_BYTES		 4096
#define VOLUME_MIN_BYTES (16ULL * 1024 * 1024)
#define JOURNAL_MIN_MIB	 4 /* 1,024 blocks, the least that ext4 takes */
#define JOURNAL_MAX_MIB	 64
#define JOURNAL_SHARE	 64 /* of the volume's size */
#define MKFS_TIMEOUT_MS	 120000
#define NEW_SUFFIX		 ".new"
#define MOUNT_FLAGS		 (MS_NOATIME | MS_NOSUID | MS_NODEV)
#define FILE_SYSTEM_NAME "ext4"
/* After an I/O error nothing more is written; what PostgreSQL removes goes back to the host's disk. */
#define MOUNT_OPTIONS	  "errors=remount-ro,discard"
#define DATA_PENDING_NAME "data" NEW_SUFFIX

void
volume_plan(const HostLayout *layout, const char *name_space, const char *name, HostVolume *ret_volume)
{
	snprintf(ret_volume->mount_path, sizeof(ret_volume->mount_path), "%s/volumes/%s/%s", layout->state_directory,
			 name_space, name);
	snprintf(ret_volume->image_path, sizeof(ret_volume->image_path), "%s/volumes/%s/%s.ext4", layout->state_directory,
			 name_space, name);
	snprintf(ret_volume->data_path, sizeof(ret_volume->data_path), "%s/data", ret_volume->mount_path);
}

/* The last two parts of the path. */
const char *
volume_label(const HostVolume *volume)
{
	const char *label = volume->mount_path;
	int slashes = 0;

	for (const char *at = volume->mount_path + strlen(volume->mount_path); at > volume->mount_path; at--)
		if (*at == '/' && ++slashes == 2)
			label = at + 1;
	return label;
}

static int
make_parent_directory(const char *path, Error *err)
{
	char directory[sizeof(((HostVolume *) NULL)->data_path)];

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	return file_make_directory(directory, 0755, err);
}

static int
make_file_system(const char *path, uint64_t size_bytes, Error *err)
{
	uint64_t journal_mib = size_bytes / JOURNAL_SHARE / (1024ULL * 1024);
	char journal[32];
	/* The inode tables are made now and not in the background of the first hours. The file is new and reads as zeros,
	 * so neither they nor the journal have to be written, and the file stays sparse.
	 * inline_data: every checkpoint of PostgreSQL 17 writes a new file of a few bytes (replorigin_checkpoint.tmp), and
	 * finding no block for it is a PANIC; in the inode it needs none, so a full volume is survived. */
	const char *const argv[] = {
		"mkfs.ext4",
		"-q",
		"-F",
		"-b",
		"4096",
		"-m",
		"0",
		"-O",
		"inline_data",
		"-E",
		"lazy_itable_init=0,lazy_journal_init=1",
		"-J",
		journal,
		path,
		NULL,
	};

	if (journal_mib < JOURNAL_MIN_MIB)
		journal_mib = JOURNAL_MIN_MIB;
	if (journal_mib > JOURNAL_MAX_MIB)
		journal_mib = JOURNAL_MAX_MIB;
	snprintf(journal, sizeof(journal), "size=%llu", (unsigned long long) journal_mib);
	return process_run(argv, MKFS_TIMEOUT_MS, NULL, err);
}

static int
sync_parent_directory(const char *path, Error *err)
{
	char directory[sizeof(((HostVolume *) NULL)->data_path)];
	_cleanup_fd_ int fd = -1;

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", directory);
	return 0;
}

/* Fills the file aside, which is locked, and gives it its name. */
static int
fill_and_rename(const HostVolume *volume, const char *pending, int fd, uint64_t size_bytes, Error *err)
{
	int result;

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t) size_bytes) < 0)
		return error_set_errno(err, errno, "%s: set size", pending);
	result = make_file_system(pending, size_bytes, err);
	if (result < 0)
		return result;
	if (fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", pending);
	if (renameat2(AT_FDCWD, pending, AT_FDCWD, volume->image_path, RENAME_NOREPLACE) < 0)
		return error_set_errno(err, errno, "%s", volume->image_path);
	return sync_parent_directory(volume->image_path, err);
}

int
volume_create(const HostVolume *volume, uint64_t size_bytes, Error *err)
{
	char pending[sizeof(volume->image_path) + sizeof(NEW_SUFFIX)];
	_cleanup_fd_ int fd = -1;
	int result;

	size_bytes -= size_bytes % BLOCK_BYTES;
	if (size_bytes < VOLUME_MIN_BYTES)
		return error_set(err, -EINVAL, "volume %s: a volume needs at least %llu MiB", volume_label(volume),
						 VOLUME_MIN_BYTES / (1024ULL * 1024));
	if (access(volume->image_path, F_OK) == 0)
		return error_set(err, -EEXIST, "volume %s: exists already", volume_label(volume));
	snprintf(pending, sizeof(pending), "%s" NEW_SUFFIX, volume->image_path);
	result = make_parent_directory(pending, err);
	if (result < 0)
		return error_prefix(err, "volume %s", volume_label(volume));
	fd = open(pending, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "volume %s: %s", volume_label(volume), pending);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set_errno(err, EBUSY, "volume %s: is being made by somebody else", volume_label(volume));
	result = fill_and_rename(volume, pending, fd, size_bytes, err);
	if (result < 0)
	{
		unlink(pending);
		error_prefix(err, "volume %s", volume_label(volume));
	}
	return result;
}

typedef enum MountState
{
	MOUNT_NOTHING,
	MOUNT_OURS,
	MOUNT_FOREIGN
} MountState;

static MountState
mount_state_read(const HostVolume *volume)
{
	struct statx status;

	if (statx(AT_FDCWD, volume->mount_path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) < 0 ||
		(status.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
		return MOUNT_NOTHING;
	if (status.stx_dev_major == LOOP_MAJOR && loop_is_attached_to(status.stx_dev_minor, volume->image_path))
		return MOUNT_OURS;
	return MOUNT_FOREIGN;
}

static int
mount_device(const HostVolume *volume, bool read_only, Error *err)
{
	_cleanup_(loop_close) LoopDevice device = LOOP_DEVICE_NONE;
	unsigned long flags = MOUNT_FLAGS | (read_only ? MS_RDONLY : 0);
	int result = file_make_directory(volume->mount_path, 0700, err);

	if (result == 0)
		result = loop_attach(volume->image_path, &device, err);
	if (result < 0)
		return result;
	if (mount(device.path, volume->mount_path, FILE_SYSTEM_NAME, flags, MOUNT_OPTIONS) < 0)
		return error_set_errno(err, errno, "mount");
	return 0;
}

/* Appears with its owner and mode, or not at all: a run that is killed in between leaves data.new, which is removed. */
static int
make_data_directory(const HostVolume *volume, uid_t owner, gid_t group, Error *err)
{
	char pending[sizeof(volume->mount_path) + sizeof("/" DATA_PENDING_NAME)];
	struct stat status;

	if (lstat(volume->data_path, &status) == 0)
	{
		if (!S_ISDIR(status.st_mode))
			return error_set_errno(err, ENOTDIR, "%s", volume->data_path);
		return 0;
	}
	snprintf(pending, sizeof(pending), "%s/" DATA_PENDING_NAME, volume->mount_path);
	if ((rmdir(pending) < 0 && errno != ENOENT) || mkdir(pending, 0700) < 0 || chmod(pending, 0700) < 0 ||
		chown(pending, owner, group) < 0 || rename(pending, volume->data_path) < 0)
		return error_set_errno(err, errno, "%s: make it", volume->data_path);
	return sync_parent_directory(volume->data_path, err);
}

/* Mounting again writes back all that is in memory of the file system, which takes 10 ms and more. */
static bool
is_mounted_with(const HostVolume *volume, bool read_only)
{
	unsigned long wanted = ST_NOATIME | ST_NOSUID | ST_NODEV | (read_only ? ST_RDONLY : 0);
	struct statvfs system;

	return statvfs(volume->mount_path, &system) == 0 &&
		   (system.f_flag & (ST_NOATIME | ST_NOSUID | ST_NODEV | ST_RDONLY)) == wanted;
}

static int
mount_locked(const HostVolume *volume, uid_t owner, gid_t group, bool read_only, Error *err)
{
	unsigned long flags = MOUNT_FLAGS | (read_only ? MS_RDONLY : 0);
	int result = 0;

	switch (mount_state_read(volume))
	{
		case MOUNT_FOREIGN:
			return error_set_errno(err, EBUSY, "%s: something else is mounted there", volume->mount_path);
		case MOUNT_OURS:
			if (!is_mounted_with(volume, read_only) &&
				mount(NULL, volume->mount_path, NULL, MS_REMOUNT | flags, MOUNT_OPTIONS) < 0)
				return error_set_errno(err, errno, "mount again");
			break;
		case MOUNT_NOTHING:
			result = mount_device(volume, read_only, err);
			break;
	}
	if (result == 0 && !read_only)
		result = make_data_directory(volume, owner, group, err);
	return result;
}

int
volume_mount(const HostVolume *volume, uid_t owner, gid_t group, bool read_only, Error *err)
{
	/* The lock's own description: the one that a loop device gets would keep the lock for as long as it is attached. */
	_cleanup_fd_ int lock_fd = open(volume->image_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int result;

	if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
		return error_set_errno(err, errno, "volume %s: %s", volume_label(volume), volume->image_path);
	result = mount_locked(volume, owner, group, read_only, err);
	if (result < 0)
		error_prefix(err, "volume %s", volume_label(volume));
	return result;
}

int
volume_unmount(const HostVolume *volume, Error *err)
{
	/*
	 * More than one mount may lie on the point when an earlier run was killed. The loop device goes with the last mount
	 * anywhere; a private copy of the host's mounts, made by somebody's unshare(1), would keep it for as long as it
	 * lives, and the volume could not grow. So the point goes too, and the kernel takes the copies' mounts with it.
	 * Who has a file open there still keeps the device: volume_mount finds it and uses it again.
	 */
	while (umount2(volume->mount_path, UMOUNT_NOFOLLOW) == 0)
		;
	if (errno == EBUSY)
		return error_set(err, -EBUSY, "volume %s: is in use", volume_label(volume));
	if (errno != EINVAL && errno != ENOENT)
		return error_set_errno(err, errno, "volume %s: unmount", volume_label(volume));
	if (rmdir(volume->mount_path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "volume %s: remove the mount point", volume_label(volume));
	return 0;
}

int
volume_remove(const HostVolume *volume, Error *err)
{
	char pending[sizeof(volume->image_path) + sizeof(".growing")];
	int result = volume_unmount(volume, err);

	if (result < 0)
		return result;
	snprintf(pending, sizeof(pending), "%s.growing", volume->image_path);
	(void) unlink(pending);
	snprintf(pending, sizeof(pending), "%s" NEW_SUFFIX, volume->image_path);
	if (unlink(pending) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "volume %s: remove", volume_label(volume));
	/* One that is still held is removed all the same: its space comes back when whoever holds it lets go. */
	(void) loop_await_release(volume->image_path, VOLUME_RELEASE_TIMEOUT_MS);
	if (unlink(volume->image_path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "volume %s: remove", volume_label(volume));
	return 0;
}

int
volume_read_usage(const HostVolume *volume, VolumeUsage *ret_usage, Error *err)
{
	VolumeUsage usage = {0};
	struct stat file;
	struct statvfs system;

	if (stat(volume->image_path, &file) < 0)
		return error_set_errno(err, errno, "volume %s", volume_label(volume));
	usage.size_bytes = (uint64_t) file.st_size;
	usage.on_disk_bytes = (uint64_t) file.st_blocks * 512;
	usage.mounted = mount_state_read(volume) == MOUNT_OURS;
	if (usage.mounted)
	{
		if (statvfs(volume->mount_path, &system) < 0)
			return error_set_errno(err, errno, "volume %s", volume_label(volume));
		usage.used_bytes = (uint64_t) (system.f_blocks - system.f_bfree) * system.f_frsize;
	}
	*ret_usage = usage;
	return 0;
}
