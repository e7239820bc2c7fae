/*
 * Swap: what the host has, and a compressed device of our own; see swap.h and the kernel's zram.rst.
 *
 * The record is written before the device is used, so that whatever a killed run had reached can be undone. It holds
 * the device's number, the boot it belongs to (after a reboot the number may be somebody else's) and the value of
 * vm.page-cluster that is to be put back.
 */
#include "host/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/meminfo.h"

#define ZRAM_CONTROL	   "/sys/class/zram-control"
#define PAGE_CLUSTER_PATH  "/proc/sys/vm/page-cluster"
#define BOOT_ID_PATH	   "/proc/sys/kernel/random/boot_id"
#define SWAP_PRIORITY	   100
#define MKSWAP_TIMEOUT_MS  30000
#define SWAPS_MAX_BYTES	   65536
#define BOOT_ID_BYTES	   40
#define RECORD_NO_CLUSTER  (-1)
#define RECORD_FORMAT	   "boot=%39s device=%u page-cluster=%d"
#define RECORD_FIELD_COUNT 3

typedef struct Record
{
	char boot_id[BOOT_ID_BYTES];
	unsigned number;
	int page_cluster; /* to be put back; RECORD_NO_CLUSTER: was not changed */
} Record;

int
swap_read(SwapState *ret_state, Error *err)
{
	HostMemory memory;
	int result = meminfo_read(MEMINFO_PATH, &memory, err);

	if (result < 0)
		return result;
	*ret_state = (SwapState){.total_bytes = memory.swap_total_bytes, .free_bytes = memory.swap_free_bytes};
	return 0;
}

static int
boot_id_read(char boot_id[BOOT_ID_BYTES], Error *err)
{
	_cleanup_free_ char *text = NULL;
	int result = file_read(BOOT_ID_PATH, 128, &text, NULL, err);

	if (result < 0)
		return result;
	snprintf(boot_id, BOOT_ID_BYTES, "%.*s", (int) strcspn(text, "\n"), text);
	return 0;
}

/* Written aside and renamed: it is there whole or not at all. */
static int
record_write(const char *path, const Record *record, Error *err)
{
	_cleanup_text_ Text pending = {0};
	_cleanup_fd_ int fd = -1;

	text_printf(&pending, "%s.new", path);
	fd = open(text_string(&pending), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 ||
		dprintf(fd, "boot=%s device=%u page-cluster=%d\n", record->boot_id, record->number, record->page_cluster) < 0 ||
		fsync(fd) < 0 || rename(text_string(&pending), path) < 0)
		return error_set_errno(err, errno, "%s: write", path);
	return 0;
}

static int
record_read(const char *path, Record *ret_record, Error *err)
{
	_cleanup_free_ char *text = NULL;
	int result = file_read(path, 256, &text, NULL, err);

	if (result < 0)
		return result;
	if (sscanf(text, RECORD_FORMAT, ret_record->boot_id, &ret_record->number, &ret_record->page_cluster) !=
		RECORD_FIELD_COUNT)
		return error_set(err, -EBADMSG, "%s: is no record of a zram device", path);
	return 0;
}

static void
zram_path(char path[64], unsigned number, const char *file)
{
	snprintf(path, 64, "/sys/block/zram%u/%s", number, file);
}

static bool
zram_exists(unsigned number)
{
	char path[64];

	zram_path(path, number, "disksize");
	return access(path, F_OK) == 0;
}

/* Reading the control file makes a device and says its number. */
static int
zram_add(unsigned *ret_number, Error *err)
{
	uint64_t number;
	int result;

	if (access(ZRAM_CONTROL, F_OK) < 0)
	{
		const char *const argv[] = {"modprobe", "zram", NULL};

		/* Not built in; a kernel without modules says so below. */
		if (process_run(argv, MKSWAP_TIMEOUT_MS, NULL, NULL) < 0 || access(ZRAM_CONTROL, F_OK) < 0)
			return error_set(err, -ENODEV, "zram: this kernel has none");
	}
	result = file_read_number(ZRAM_CONTROL "/hot_add", &number, err);
	if (result == 0)
		*ret_number = (unsigned) number;
	return result;
}

static int
zram_delete(unsigned number, Error *err)
{
	char path[64];
	char text[16];
	int result;

	if (!zram_exists(number))
		return 0;
	zram_path(path, number, "reset");
	result = file_write(path, "1", err);
	snprintf(text, sizeof(text), "%u", number);
	if (result == 0)
		result = file_write(ZRAM_CONTROL "/hot_remove", text, err);
	return result;
}

/* udev makes the node; where there is no udev, devtmpfs does, and where there is neither, we do. */
static int
device_make_node(const char *device, unsigned number, Error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	unsigned major_number;
	unsigned minor_number;
	int result;

	if (access(device, F_OK) == 0)
		return 0;
	zram_path(path, number, "dev");
	result = file_read(path, 32, &text, NULL, err);
	if (result < 0)
		return result;
	if (sscanf(text, "%u:%u", &major_number, &minor_number) != 2)
		return error_set(err, -EINVAL, "%s: '%.16s'", path, text);
	if (mknod(device, S_IFBLK | 0600, makedev(major_number, minor_number)) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s", device);
	return 0;
}

static int
zram_use(unsigned number, uint64_t bytes, Error *err)
{
	char device[32];
	char path[64];
	char text[32];
	const char *const argv[] = {"mkswap", device, NULL};
	int result;

	snprintf(device, sizeof(device), "/dev/zram%u", number);
	zram_path(path, number, "comp_algorithm");
	result = file_write(path, "lz4", NULL);
	(void) result; /* a kernel without lz4 takes its own default */
	zram_path(path, number, "disksize");
	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	result = file_write(path, text, err);
	if (result == 0)
		result = device_make_node(device, number, err);
	if (result == 0)
		result = process_run(argv, MKSWAP_TIMEOUT_MS, NULL, err);
	if (result < 0)
		return result;
	if (swapon(device, SWAP_FLAG_PREFER | SWAP_PRIORITY) < 0)
		return error_set_errno(err, errno, "%s: swapon", device);
	return 0;
}

/* Reading ahead from compressed memory costs and gains nothing. */
static int
page_cluster_set(int value, Error *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	return file_write(PAGE_CLUSTER_PATH, text, err);
}

int
swap_zram_create(uint64_t bytes, const char *record_path, unsigned *ret_number, Error *err)
{
	Record record = {.page_cluster = RECORD_NO_CLUSTER};
	uint64_t page_cluster;
	int result;

	if (access(record_path, F_OK) == 0)
		return error_set(err, -EEXIST, "%s: there is a zram device already", record_path);
	result = boot_id_read(record.boot_id, err);
	if (result == 0)
		result = zram_add(&record.number, err);
	if (result < 0)
		return result;
	if (file_read_number(PAGE_CLUSTER_PATH, &page_cluster, NULL) == 0 && page_cluster != 0)
		record.page_cluster = (int) page_cluster;
	result = record_write(record_path, &record, err);
	if (result < 0)
	{
		if (zram_delete(record.number, NULL) < 0)
			error_prefix(err, "zram%u stays", record.number);
		return result;
	}
	result = zram_use(record.number, bytes, err);
	if (result == 0 && record.page_cluster != RECORD_NO_CLUSTER)
		result = page_cluster_set(0, err);
	if (result < 0)
	{
		if (swap_zram_remove(record_path, NULL) < 0)
			error_prefix(err, "zram%u stays", record.number);
		return result;
	}
	*ret_number = record.number;
	return 0;
}

static bool
swap_is_on(const char *device)
{
	_cleanup_free_ char *text = NULL;
	const char *found;

	if (file_read("/proc/swaps", SWAPS_MAX_BYTES, &text, NULL, NULL) < 0)
		return false;
	found = strstr(text, device);
	return found != NULL && found[strlen(device)] == ' ';
}

/* Puts the value back unless somebody has set another one meanwhile. */
static int
page_cluster_restore(const Record *record, Error *err)
{
	uint64_t now;

	if (record->page_cluster == RECORD_NO_CLUSTER || file_read_number(PAGE_CLUSTER_PATH, &now, NULL) < 0 || now != 0)
		return 0;
	return page_cluster_set(record->page_cluster, err);
}

static int
record_undo(const Record *record, Error *err)
{
	char boot_id[BOOT_ID_BYTES];
	char device[32];
	int result = boot_id_read(boot_id, err);

	if (result < 0)
		return result;
	if (strcmp(boot_id, record->boot_id) != 0) /* the reboot has undone it */
		return 0;
	snprintf(device, sizeof(device), "/dev/zram%u", record->number);
	if (swap_is_on(device) && swapoff(device) < 0)
		return error_set_errno(err, errno, "%s: swapoff", device);
	result = zram_delete(record->number, err);
	return result < 0 ? result : page_cluster_restore(record, err);
}

int
swap_zram_remove(const char *record_path, Error *err)
{
	Record record = {0};
	int result = record_read(record_path, &record, err);

	if (result == -ENOENT)
		return 0;
	if (result == 0)
		result = record_undo(&record, err);
	if (result < 0)
		return result;
	if (unlink(record_path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "%s: remove", record_path);
	return 0;
}

int
swap_zram_read_used(const char *record_path, uint64_t *ret_bytes, Error *err)
{
	_cleanup_free_ char *text = NULL;
	char boot_id[BOOT_ID_BYTES];
	char device[32];
	Record record = {0};
	uint64_t used_kib;
	const char *line;
	int result = record_read(record_path, &record, err);

	if (result == 0)
		result = boot_id_read(boot_id, err);
	if (result == 0)
		result = file_read("/proc/swaps", SWAPS_MAX_BYTES, &text, NULL, err);
	if (result < 0)
		return result;
	snprintf(device, sizeof(device), "/dev/zram%u ", record.number);
	line = strcmp(boot_id, record.boot_id) == 0 ? strstr(text, device) : NULL;
	if (line == NULL || sscanf(line, "%*s %*s %*u %" SCNu64, &used_kib) != 1)
		return error_set(err, -ENOENT, "zram%u: is no swap of this coordinator", record.number);
	*ret_bytes = used_kib * 1024;
	return 0;
}
