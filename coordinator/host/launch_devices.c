/* The nodes and links of a machine's /dev; see launch_devices.h. */
#include "host/launch_devices.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/launch_files.h"

typedef struct Device
{
	const char *path;
	mode_t type;		/* S_IFCHR, S_IFLNK or S_IFDIR */
	const char *target; /* of a link */
	unsigned major_number;
	unsigned minor_number;
} Device;

/* Numbers: the kernel's devices.txt. */
static const Device devices[] = {
	{"/dev/null", S_IFCHR, NULL, 1, 3},
	{"/dev/zero", S_IFCHR, NULL, 1, 5},
	{"/dev/full", S_IFCHR, NULL, 1, 7},
	{"/dev/random", S_IFCHR, NULL, 1, 8},
	{"/dev/urandom", S_IFCHR, NULL, 1, 9},
	{"/dev/tty", S_IFCHR, NULL, 5, 0},
	{"/dev/ptmx", S_IFLNK, "pts/ptmx", 0, 0},
	{"/dev/fd", S_IFLNK, "/proc/self/fd", 0, 0},
	{"/dev/stdin", S_IFLNK, "/proc/self/fd/0", 0, 0},
	{"/dev/stdout", S_IFLNK, "/proc/self/fd/1", 0, 0},
	{"/dev/stderr", S_IFLNK, "/proc/self/fd/2", 0, 0},
	{"/dev/pts", S_IFDIR, NULL, 0, 0},
	{"/dev/shm", S_IFDIR, NULL, 0, 0},
	{LAUNCH_EMPTY_DIRECTORY, S_IFDIR, NULL, 0, 0},
};

#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))
#define DEVICE_MODE	 0666

static bool
device_is_right(const Device *device)
{
	struct stat status;
	char target[64];
	ssize_t length;

	if (lstat(device->path, &status) < 0 || (status.st_mode & S_IFMT) != device->type || status.st_uid != 0)
		return false;
	switch (device->type)
	{
		case S_IFCHR:
			return status.st_rdev == makedev(device->major_number, device->minor_number) &&
				   (status.st_mode & 07777) == DEVICE_MODE;
		case S_IFLNK:
			length = readlink(device->path, target, sizeof(target));
			return length == (ssize_t) strlen(device->target) && memcmp(target, device->target, (size_t) length) == 0;
		default:
			return (status.st_mode & 07777) == 0755;
	}
}

static int
device_make(const Device *device, Error *err)
{
	int made;

	if (device->type == S_IFCHR)
		made = mknod(device->path, S_IFCHR | DEVICE_MODE, makedev(device->major_number, device->minor_number));
	else if (device->type == S_IFLNK)
		made = symlink(device->target, device->path);
	else
		made = mkdir(device->path, 0755);
	return made < 0 ? error_set_errno(err, errno, "%s: make it", device->path) : 0;
}

static const Device *
device_find(const char *path)
{
	for (size_t i = 0; i < DEVICE_COUNT; i++)
		if (strcmp(devices[i].path, path) == 0)
			return &devices[i];
	return NULL;
}

static int
remove_others(Error *err)
{
	_cleanup_directory_ DIR *directory = opendir("/dev");
	struct dirent *entry;

	if (directory == NULL)
		return error_set_errno(err, errno, "/dev");
	while ((entry = readdir(directory)) != NULL)
	{
		char path[sizeof("/dev/") + NAME_MAX];
		const Device *device;
		int result;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		device = device_find(path);
		if (device != NULL && device_is_right(device))
			continue;
		result = file_remove_tree(path, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int
launch_make_devices(Error *err)
{
	int result = launch_make_directory("/dev", err);

	/* Nobody but root may change it, whatever the image says. */
	if (result == 0 && (chown("/dev", 0, 0) < 0 || chmod("/dev", 0755) < 0))
		return error_set_errno(err, errno, "/dev");
	if (result == 0)
		result = remove_others(err);
	for (size_t i = 0; result == 0 && i < DEVICE_COUNT; i++)
		if (!device_is_right(&devices[i]))
			result = device_make(&devices[i], err);
	return result;
}
