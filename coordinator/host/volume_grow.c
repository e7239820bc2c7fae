/*
 * Making a volume larger. A file beside it, its mark, says so from before the first change until the file system has
 * its new size, so that what was cut off is gone on with.
 *
 * A mounted file system is resized as it is: file, loop device, ext4. The last step needs CAP_SYS_RESOURCE (ext4's
 * EXT4_IOC_RESIZE_FS asks for it); a root that lacks it can do the same while nothing is mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/process.h"
#include "host/loop.h"
#include "host/volume.h"

#define BLOCK_BYTES		4096
#define GROW_TIMEOUT_MS 120000
#define GROWING_SUFFIX	".growing"

/* e2fsck ends with status 1 when it has mended something: the second run says whether all is well. */
static int
check_file_system(const char *path, Error *err)
{
	const char *const argv[] = {"e2fsck", "-f", "-p", path, NULL};
	int result = process_run(argv, GROW_TIMEOUT_MS, NULL, err);

	return result == -EIO ? process_run(argv, GROW_TIMEOUT_MS, NULL, err) : result;
}

static int
resize_file_system(const char *path, Error *err)
{
	const char *const argv[] = {"resize2fs", path, NULL};

	return process_run(argv, GROW_TIMEOUT_MS, NULL, err);
}

static int
grow_mounted(const HostVolume *volume, Error *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat status;
	char device[32];

	if (stat(volume->mount_path, &status) < 0)
		return error_set_errno(err, errno, "%s", volume->mount_path);
	snprintf(device, sizeof(device), "/dev/loop%u", minor(status.st_dev));
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_SET_CAPACITY, 0) < 0)
		return error_set_errno(err, errno, "%s: size", device);
	if (fault_hit(FAULT_VOLUME_IN_USE, err) < 0)
		return -EBUSY;
	return resize_file_system(device, err) < 0 ? -EBUSY : 0;
}

static int
grow_unmounted(const HostVolume *volume, Error *err)
{
	int result;

	/* Its machine may have ended just now; somebody's copy of the host's mounts may use it for longer. */
	if (!loop_await_release(volume->image_path, VOLUME_RELEASE_TIMEOUT_MS))
		return error_set(err, -EBUSY, "is in use");
	result = check_file_system(volume->image_path, err);
	if (result < 0)
		return result;
	result = resize_file_system(volume->image_path, err);
	/* Without room for its new tables, say. It is used as it is, if it is whole. */
	return result < 0 && check_file_system(volume->image_path, NULL) == 0 ? -EBUSY : result;
}

static uint64_t
whole_blocks(uint64_t size_bytes)
{
	return size_bytes - size_bytes % BLOCK_BYTES;
}

static void
print_marker(const HostVolume *volume, char ret_path[sizeof(volume->image_path) + sizeof(GROWING_SUFFIX)])
{
	snprintf(ret_path, sizeof(volume->image_path) + sizeof(GROWING_SUFFIX), "%s" GROWING_SUFFIX, volume->image_path);
}

bool
volume_is_smaller(const HostVolume *volume, uint64_t size_bytes)
{
	struct stat status;

	return stat(volume->image_path, &status) == 0 && (uint64_t) status.st_size < whole_blocks(size_bytes);
}

bool
volume_needs_growth(const HostVolume *volume, uint64_t size_bytes)
{
	char marker[sizeof(volume->image_path) + sizeof(GROWING_SUFFIX)];

	print_marker(volume, marker);
	return volume_is_smaller(volume, size_bytes) || access(marker, F_OK) == 0;
}

static int
grow_locked(const HostVolume *volume, int fd, uint64_t size_bytes, Error *err)
{
	char marker[sizeof(volume->image_path) + sizeof(GROWING_SUFFIX)];
	_cleanup_fd_ int marker_fd = -1;
	VolumeUsage usage = {0};
	int result = volume_read_usage(volume, &usage, err);

	if (result < 0 || !volume_needs_growth(volume, size_bytes))
		return result;
	print_marker(volume, marker);
	marker_fd = open(marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (marker_fd < 0 || fsync(marker_fd) < 0)
		return error_set_errno(err, errno, "%s", marker);
	if (usage.size_bytes < size_bytes && (ftruncate(fd, (off_t) size_bytes) < 0 || fsync(fd) < 0))
		return error_set_errno(err, errno, "%s: set size", volume->image_path);
	result = usage.mounted ? grow_mounted(volume, err) : grow_unmounted(volume, err);
	if (result == 0)
		result = fault_hit(FAULT_VOLUME_GROWN, err);
	if (result == 0 && unlink(marker) < 0)
		result = error_set_errno(err, errno, "%s", marker);
	return result;
}

/*
 * The lock's own description, as in volume_mount. The programs have it too: whoever is killed here leaves one of them
 * behind for a moment, and nobody may mount the volume before that has ended.
 */
static int
lock_volume(const HostVolume *volume, int *ret_fd, Error *err)
{
	_cleanup_fd_ int fd = open(volume->image_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || flock(fd, LOCK_EX) < 0 || fcntl(fd, F_SETFD, 0) < 0)
		return error_set_errno(err, errno, "volume %s: %s", volume_label(volume), volume->image_path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int
volume_grow(const HostVolume *volume, uint64_t size_bytes, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_volume(volume, &lock_fd, err);

	if (result < 0)
		return result;
	result = grow_locked(volume, lock_fd, whole_blocks(size_bytes), err);
	if (result < 0)
		error_prefix(err, "volume %s: grow", volume_label(volume));
	return result;
}

int
volume_grow_at_rest(const HostVolume *volume, uint64_t size_bytes, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	int result = lock_volume(volume, &lock_fd, err);

	if (result < 0 || !volume_needs_growth(volume, size_bytes))
		return result;
	result = volume_unmount(volume, err);
	if (result < 0)
		return result;
	result = fault_hit(FAULT_VOLUME_AT_REST, err);
	if (result == 0)
		result = grow_locked(volume, lock_fd, whole_blocks(size_bytes), err);
	if (result < 0)
		error_prefix(err, "volume %s: grow", volume_label(volume));
	return result;
}
