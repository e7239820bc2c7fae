/* Loop devices; see loop.h. */
#include "host/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define ATTACH_ATTEMPTS 50 /* another process may take the free device first */
#define BLOCK_BYTES		4096
#define RELEASE_LOOK_MS 10

void
loop_close(LoopDevice *device)
{
	cleanup_fd(&device->fd);
	*device = LOOP_DEVICE_NONE;
}

/* lo_device is the kernel's own coding of a device number, which is not the C library's. */
static uint64_t
kernel_device_number(dev_t device)
{
	uint64_t minor_number = minor(device);

	return (minor_number & 0xff) | ((uint64_t) major(device) << 8) | ((minor_number & ~UINT64_C(0xff)) << 12);
}

static bool
device_has_file(int fd, const struct stat *file)
{
	struct loop_info64 info;

	return ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == file->st_ino &&
		   info.lo_device == kernel_device_number(file->st_dev);
}

bool
loop_is_attached_to(unsigned number, const char *file_path)
{
	_cleanup_fd_ int fd = -1;
	struct stat file;
	char path[32];

	snprintf(path, sizeof(path), "/dev/loop%u", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && stat(file_path, &file) == 0 && device_has_file(fd, &file);
}

/*
 * By the name that the kernel shows, so that nobody else's device is opened: that would hold it when its user lets go.
 * The directory may be shown under another path, as seen from another mount namespace; the name is the same.
 */
static bool
backing_file_has_name(unsigned number, const char *name)
{
	_cleanup_free_ char *backing = NULL;
	char path[64];
	const char *slash;

	snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file", number);
	if (file_read(path, PATH_MAX, &backing, NULL, NULL) < 0)
		return false;
	backing[strcspn(backing, "\n")] = '\0';
	slash = strrchr(backing, '/');
	return strcmp(slash == NULL ? backing : slash + 1, name) == 0;
}

/* Looks through the devices that are attached to anything. */
static bool
find_attached(const char *file_path, const struct stat *file, LoopDevice *ret_device)
{
	const char *slash = strrchr(file_path, '/');
	const char *name = slash == NULL ? file_path : slash + 1;
	_cleanup_directory_ DIR *devices = opendir("/sys/block");
	struct dirent *entry;

	while (devices != NULL && (entry = readdir(devices)) != NULL)
	{
		char path[32];
		unsigned number;
		int fd;

		if (sscanf(entry->d_name, "loop%u", &number) != 1)
			continue;
		if (!backing_file_has_name(number, name))
			continue;
		snprintf(path, sizeof(path), "/dev/loop%u", number);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (device_has_file(fd, file))
		{
			*ret_device = (LoopDevice){.fd = fd};
			snprintf(ret_device->path, sizeof(ret_device->path), "/dev/loop%u", number);
			return true;
		}
		close(fd);
	}
	return false;
}

bool
loop_is_attached(const char *file_path)
{
	_cleanup_(loop_close) LoopDevice device = LOOP_DEVICE_NONE;
	struct stat file;

	return stat(file_path, &file) == 0 && find_attached(file_path, &file, &device);
}

bool
loop_await_release(const char *file_path, unsigned timeout_ms)
{
	unsigned waited_ms = 0;

	while (loop_is_attached(file_path))
	{
		if (waited_ms >= timeout_ms)
			return false;
		poll(NULL, 0, RELEASE_LOOK_MS); /* nothing tells when it is released */
		waited_ms += RELEASE_LOOK_MS;
	}
	return true;
}

/* Takes a free device. -EBUSY when somebody else was faster. */
static int
attach_to_free(int control_fd, int file_fd, const char *file_path, LoopDevice *ret_device, Error *err)
{
	struct loop_config config = {
		.fd = (uint32_t) file_fd,
		.block_size = BLOCK_BYTES,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
	};
	_cleanup_(loop_close) LoopDevice device = LOOP_DEVICE_NONE;
	int number = ioctl(control_fd, LOOP_CTL_GET_FREE);

	if (number < 0)
		return error_set_errno(err, errno, "%s: find a free loop device", file_path);
	snprintf(device.path, sizeof(device.path), "/dev/loop%d", number);
	device.fd = open(device.path, O_RDWR | O_CLOEXEC);
	if (device.fd < 0)
		return error_set_errno(err, errno, "%s: %s", file_path, device.path);
	snprintf((char *) config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s", file_path);
	if (ioctl(device.fd, LOOP_CONFIGURE, &config) < 0)
	{
		if (errno == EBUSY)
			return -EBUSY;
		/* Some file systems refuse direct I/O instead of ignoring the wish. */
		config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
		if (ioctl(device.fd, LOOP_CONFIGURE, &config) < 0)
			return errno == EBUSY ? -EBUSY : error_set_errno(err, errno, "%s: attach to %s", file_path, device.path);
	}
	*ret_device = device;
	device.fd = -1;
	return 0;
}

int
loop_attach(const char *file_path, LoopDevice *ret_device, Error *err)
{
	_cleanup_fd_ int file_fd = open(file_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_fd_ int control_fd = -1;
	struct stat file;

	if (file_fd < 0 || fstat(file_fd, &file) < 0)
		return error_set_errno(err, errno, "%s", file_path);
	if (find_attached(file_path, &file, ret_device))
		return 0;
	control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control_fd < 0)
		return error_set_errno(err, errno, "%s: /dev/loop-control", file_path);
	for (int attempt = 0; attempt < ATTACH_ATTEMPTS; attempt++)
	{
		int result = attach_to_free(control_fd, file_fd, file_path, ret_device, err);

		if (result != -EBUSY)
			return result;
	}
	return error_set(err, -EBUSY, "%s: no loop device could be had", file_path);
}
