/* A zram swap device of our own (needs root): it is there, it is used first, and everything is as before at the end. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/swap.h"
#include "root/fixture_janitor.h"

#define MIB UINT64_C(1048576)

static char record[128];

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
set_up(void **state)
{
	(void) state;
	snprintf(record, sizeof(record), "%s", janitor_swap_record);
	return 0;
}

static int
tear_down(void **state)
{
	Error err = {0};

	(void) state;
	if (swap_zram_remove(record, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static uint64_t
page_cluster(void)
{
	uint64_t value = 99;

	assert_int_equal(file_read_number("/proc/sys/vm/page-cluster", &value, NULL), 0);
	return value;
}

static bool
swaps_show(unsigned number, const char *rest)
{
	_cleanup_free_ char *text = NULL;
	char name[64];
	const char *line;

	assert_int_equal(file_read("/proc/swaps", 65536, &text, NULL, NULL), 0);
	snprintf(name, sizeof(name), "/dev/zram%u ", number);
	line = strstr(text, name);
	if (line == NULL)
		return false;
	text[(size_t) (line - text) + strcspn(line, "\n")] = '\0';
	return strstr(line, rest) != NULL;
}

static void
test_create_and_remove(void **state)
{
	uint64_t cluster_before = page_cluster();
	SwapState with;
	unsigned number = 0;
	char path[64];
	Error err = {0};

	(void) state;
	check(swap_zram_create(64 * MIB, record, &number, &err), &err);
	check(swap_read(&with, &err), &err);
	assert_true(with.total_bytes > 63 * MIB);
	assert_true(with.free_bytes <= with.total_bytes);
	assert_true(swaps_show(number, "\t65532\t")); /* KiB; one page is the header */
	assert_true(swaps_show(number, "\t100"));
	assert_int_equal(page_cluster(), 0);
	{
		unsigned other = 0;

		assert_int_equal(swap_zram_create(64 * MIB, record, &other, &err), -EEXIST);
	}
	check(swap_zram_remove(record, &err), &err);
	check(swap_zram_remove(record, &err), &err);
	assert_false(swaps_show(number, ""));
	assert_int_equal(page_cluster(), cluster_before);
	snprintf(path, sizeof(path), "/sys/block/zram%u", number);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(record, F_OK), -1);
}

/* Killed right after the record was written: the device is there, without size and use. */
static void
test_half_made_device_is_removed(void **state)
{
	_cleanup_free_ char *boot_id = NULL;
	uint64_t number = 0;
	char path[64];
	FILE *file;
	Error err = {0};

	(void) state;
	check(file_read_number("/sys/class/zram-control/hot_add", &number, &err), &err);
	check(file_read("/proc/sys/kernel/random/boot_id", 128, &boot_id, NULL, &err), &err);
	boot_id[strcspn(boot_id, "\n")] = '\0';
	file = fopen(record, "we");
	assert_non_null(file);
	fprintf(file, "boot=%s device=%u page-cluster=-1\n", boot_id, (unsigned) number);
	fclose(file);
	check(swap_zram_remove(record, &err), &err);
	snprintf(path, sizeof(path), "/sys/block/zram%u", (unsigned) number);
	assert_int_equal(access(path, F_OK), -1);
}

/* After a reboot the number may belong to somebody else: such a record removes itself and nothing more. */
static void
test_record_of_another_boot(void **state)
{
	uint64_t number = 0;
	char text[16];
	char path[64];
	FILE *file;
	Error err = {0};

	(void) state;
	check(file_read_number("/sys/class/zram-control/hot_add", &number, &err), &err);
	file = fopen(record, "we");
	assert_non_null(file);
	fprintf(file, "boot=00000000-0000-0000-0000-000000000000 device=%u page-cluster=3\n", (unsigned) number);
	fclose(file);
	check(swap_zram_remove(record, &err), &err);
	assert_int_equal(access(record, F_OK), -1);
	snprintf(path, sizeof(path), "/sys/block/zram%u", (unsigned) number);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(text, sizeof(text), "%u", (unsigned) number);
	check(file_write("/sys/class/zram-control/hot_remove", text, &err), &err);
}

static void
test_unreadable_record_is_an_error(void **state)
{
	FILE *file = fopen(record, "we");
	Error err = {0};

	(void) state;
	assert_non_null(file);
	fputs("something else\n", file);
	fclose(file);
	assert_int_equal(swap_zram_remove(record, &err), -EBADMSG);
	assert_int_equal(access(record, F_OK), 0);
	assert_int_equal(unlink(record), 0);
}

static int
count_devices(void)
{
	_cleanup_directory_ DIR *blocks = opendir("/sys/block");
	struct dirent *entry;
	int count = 0;

	assert_non_null(blocks);
	while ((entry = readdir(blocks)) != NULL)
		count += strncmp(entry->d_name, "zram", 4) == 0;
	return count;
}

static void
test_failure_leaves_nothing(void **state)
{
	int devices = count_devices();
	unsigned number = 0;
	Error err = {0};

	(void) state;
	/* Too small for a swap header. */
	assert_true(swap_zram_create(4096, record, &number, &err) < 0);
	assert_true(strlen(err.message) > 0);
	assert_int_equal(access(record, F_OK), -1);
	assert_int_equal(count_devices(), devices);
	snprintf(record, sizeof(record), "%s/no/such/directory", janitor_directory);
	assert_int_equal(swap_zram_create(64 * MIB, record, &number, &err), -ENOENT);
	assert_int_equal(count_devices(), devices);
}

#define with_record(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_record(test_create_and_remove),	  with_record(test_half_made_device_is_removed),
		with_record(test_record_of_another_boot), with_record(test_unreadable_record_is_an_error),
		with_record(test_failure_leaves_nothing),
	};

	if (janitor_start("swap") < 0)
	{
		perror("janitor");
		return 1;
	}
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
