/*
 * The hot set's file: written and read again, and every damage to it refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "host/hotset.h"
#include "host/reclaim.h"

static char directory[] = "/tmp/lttle-hotset-XXXXXX";
static char path[64];

static Hotset
make_hotset(void)
{
	Hotset hotset = {
		.processes = memory_allocate(2 * sizeof(HotProcess)),
		.process_count = 2,
		.process_capacity = 2,
		.files = memory_allocate(sizeof(HotFile)),
		.file_count = 1,
		.file_capacity = 1,
	};

	hotset.processes[0] = (HotProcess){.pid = 100, .start_time = 12345};
	hotset.processes[1] = (HotProcess){.pid = 101, .start_time = 12346};
	hotset.files[0].path = memory_duplicate("base/5/pg_internal.init");
	for (uint64_t page = 0; page < 3; page++)
		hot_ranges_add(&hotset.processes[0].ranges, 0x7f0000000000 + page * 4096);
	hot_ranges_add(&hotset.processes[0].ranges, 0x7f0000010000);
	hot_ranges_add(&hotset.files[0].ranges, 0);
	return hotset;
}

static void
write_bytes(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t) size);
	close(fd);
}

static void
test_pages_become_ranges(void **state)
{
	Hotset hotset = make_hotset();

	(void) state;
	assert_int_equal(hotset.processes[0].ranges.count, 2);
	assert_int_equal(hotset.processes[0].ranges.items[0].pages, 3);
	assert_int_equal(hotset.processes[0].ranges.items[1].pages, 1);
	hotset_clear(&hotset);
}

static void
test_written_and_read_again(void **state)
{
	Hotset written = make_hotset();
	Hotset read = {0};
	Error err = {0};

	(void) state;
	assert_int_equal(hotset_write(path, &written, &err), 0);
	assert_int_equal(hotset_read(path, &read, &err), 0);
	assert_int_equal(read.process_count, 2);
	assert_int_equal(read.processes[0].pid, 100);
	assert_int_equal(read.processes[0].start_time, 12345);
	assert_int_equal(read.processes[0].ranges.count, 2);
	assert_int_equal(read.processes[0].ranges.items[1].address, 0x7f0000010000);
	assert_int_equal(read.processes[1].ranges.count, 0);
	assert_int_equal(read.file_count, 1);
	assert_string_equal(read.files[0].path, "base/5/pg_internal.init");
	assert_int_equal(read.files[0].ranges.items[0].pages, 1);
	hotset_clear(&read);
	hotset_clear(&written);
	hotset_forget(path);
	assert_int_equal(hotset_read(path, &read, &err), -ENOENT);
	hotset_forget(path);
}

/* Cut short anywhere, or with any one byte changed, or longer: refused. */
static void
test_damage_is_refused(void **state)
{
	Hotset hotset = make_hotset();
	char *bytes = NULL;
	size_t size = 0;
	Error err = {0};

	(void) state;
	assert_int_equal(hotset_write(path, &hotset, &err), 0);
	hotset_clear(&hotset);
	assert_int_equal(file_read(path, 65536, &bytes, &size, &err), 0);
	for (size_t length = 0; length < size; length++)
	{
		write_bytes(bytes, length);
		assert_int_equal(hotset_read(path, &hotset, &err), -EBADMSG);
	}
	for (size_t i = 0; i < size; i++)
	{
		bytes[i] ^= 0x41;
		write_bytes(bytes, size);
		assert_int_equal(hotset_read(path, &hotset, &err), -EBADMSG);
		bytes[i] ^= 0x41;
	}
	write_bytes(bytes, size + 1);
	assert_int_equal(hotset_read(path, &hotset, &err), -EBADMSG);
	write_bytes(bytes, size);
	assert_int_equal(hotset_read(path, &hotset, &err), 0);
	hotset_clear(&hotset);
	free(bytes);
}

static uint64_t
checksum(const unsigned char *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static void
expect_refused(const uint64_t *words, size_t count)
{
	uint64_t file[16];
	Hotset hotset;
	Error err = {0};

	memcpy(file, words, count * sizeof(*words));
	file[count] = checksum((const unsigned char *) file, count * sizeof(*words));
	write_bytes(file, (count + 1) * sizeof(*words));
	assert_int_equal(hotset_read(path, &hotset, &err), -EBADMSG);
}

/* A right checksum over nonsense. */
static void
test_nonsense_is_refused(void **state)
{
	const uint64_t magic = UINT64_C(0x31544553544f484c);
	Hotset hotset;
	Error err = {0};
	uint64_t good[] = {magic, 1, 0, 100, 7, 1, 4096, 1, 0};

	(void) state;
	good[8] = checksum((const unsigned char *) good, 64);
	write_bytes(good, sizeof(good));
	assert_int_equal(hotset_read(path, &hotset, &err), 0);
	hotset_clear(&hotset);
	expect_refused((const uint64_t[]){magic, UINT64_MAX, 0}, 3);
	expect_refused((const uint64_t[]){magic, 0, UINT64_MAX}, 3);
	expect_refused((const uint64_t[]){magic, 1, 0, 0, 7, 0}, 6);					 /* no pid */
	expect_refused((const uint64_t[]){magic, 1, 0, UINT64_C(1) << 32, 7, 0}, 6);	 /* no pid either */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, UINT64_MAX}, 6);			 /* absurd count */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 1, 4097, 1}, 8);			 /* no page's address */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 1, 4096, 0}, 8);			 /* empty range */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 1, 4096, UINT64_MAX}, 8); /* beyond the end */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 1, UINT64_MAX & ~4095ull, 1}, 8);
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 2, 8192, 1, 4096, 1}, 10); /* backwards */
	expect_refused((const uint64_t[]){magic, 1, 0, 100, 7, 2, 4096, 2, 8192, 1}, 10); /* overlapping */
	expect_refused((const uint64_t[]){magic, 0, 1, 0, 0}, 5);						  /* file without a name */
	expect_refused((const uint64_t[]){magic, 0, 1, UINT64_MAX, 0}, 5);
	expect_refused((const uint64_t[]){magic, 0, 0, 0}, 4); /* something left over */
}

static void
test_unwritable_place(void **state)
{
	Hotset hotset = make_hotset();
	Error err = {0};

	(void) state;
	assert_int_equal(hotset_write("/nowhere/hotset", &hotset, &err), -ENOENT);
	/* A link in the temporary file's place is not followed. */
	{
		char *aside = memory_printf("%s.new", path);
		char *victim = memory_printf("%s/victim", directory);
		struct stat status;

		assert_int_equal(symlink(victim, aside), 0);
		assert_int_equal(hotset_write(path, &hotset, &err), -ELOOP);
		assert_int_equal(stat(victim, &status), -1);
		unlink(aside);
		free(aside);
		free(victim);
	}
	hotset_clear(&hotset);
}

static int
setup(void **state)
{
	(void) state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/hotset", directory);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	return file_remove_tree(directory, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_become_ranges), cmocka_unit_test(test_written_and_read_again),
		cmocka_unit_test(test_damage_is_refused),	cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_unwritable_place),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
