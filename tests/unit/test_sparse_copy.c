/* Copies of sparse files, from and to memory. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/sparse_copy.h"

#define MIB (UINT64_C(1) << 20)

/* Some that lie alone, one dense stretch that takes more than one thread and ends within a large page, one at the end.
 */
static const struct
{
	uint64_t offset;
	uint64_t size;
} stretches[] = {{0, 4096}, {5 * MIB, 8192}, {32 * MIB - 4096, 8192}, {70 * MIB, 41 * MIB + 12288}, {130 * MIB, 100}};

#define FILE_BYTES (130 * MIB + 100)

static int
open_on_disk(void)
{
	char path[] = "/var/tmp/lttle-sparse-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static int
open_in_memory(void)
{
	int fd = memfd_create("sparse", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
fill(int fd, unsigned seed)
{
	for (size_t i = 0; i < sizeof(stretches) / sizeof(stretches[0]); i++)
	{
		_cleanup_free_ unsigned char *bytes = memory_allocate(stretches[i].size);

		for (uint64_t at = 0; at < stretches[i].size; at++)
		{
			seed = seed * 1103515245 + 12345;
			bytes[at] = (unsigned char) (seed >> 16);
		}
		assert_int_equal(pwrite(fd, bytes, stretches[i].size, (off_t) stretches[i].offset), stretches[i].size);
	}
}

static uint64_t
allocated(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return (uint64_t) status.st_blocks * 512;
}

static void
assert_same(int left_fd, int right_fd)
{
	struct stat left;
	struct stat right;
	void *left_bytes;
	void *right_bytes;

	assert_int_equal(fstat(left_fd, &left), 0);
	assert_int_equal(fstat(right_fd, &right), 0);
	assert_int_equal(left.st_size, right.st_size);
	left_bytes = mmap(NULL, (size_t) left.st_size, PROT_READ, MAP_SHARED, left_fd, 0);
	right_bytes = mmap(NULL, (size_t) left.st_size, PROT_READ, MAP_SHARED, right_fd, 0);
	assert_true(left_bytes != MAP_FAILED && right_bytes != MAP_FAILED);
	assert_int_equal(memcmp(left_bytes, right_bytes, (size_t) left.st_size), 0);
	munmap(left_bytes, (size_t) left.st_size);
	munmap(right_bytes, (size_t) left.st_size);
}

static void
copy(int from_fd, int to_fd)
{
	Error err;

	if (sparse_copy(from_fd, to_fd, FILE_BYTES, "file", &err) < 0)
		fail_msg("%s", err.message);
}

static void
test_there_and_back(void **state)
{
	_cleanup_fd_ int memory_fd = open_in_memory();
	_cleanup_fd_ int disk_fd = open_on_disk();
	_cleanup_fd_ int back_fd = open_in_memory();
	uint64_t data_bytes;

	(void) state;
	fill(memory_fd, 1);
	data_bytes = allocated(memory_fd);
	assert_in_range(data_bytes, 41 * MIB, 43 * MIB);
	copy(memory_fd, disk_fd);
	assert_in_range(allocated(disk_fd), 41 * MIB, 44 * MIB);
	copy(disk_fd, back_fd);
	/* Looked at before the comparison, whose reading fills holes of memory. */
	assert_in_range(allocated(back_fd), data_bytes, data_bytes + 4 * MIB);
	assert_same(disk_fd, back_fd);
	assert_same(memory_fd, back_fd);
}

/* Such as the activity page, which the coordinator has mapped: what was in the target before is gone, the file is not.
 */
static void
test_over_what_is_there(void **state)
{
	_cleanup_fd_ int from_fd = open_on_disk();
	_cleanup_fd_ int to_fd = open_in_memory();
	char old[] = "in a hole of the source";

	(void) state;
	fill(from_fd, 2);
	fill(to_fd, 3);
	assert_int_equal(pwrite(to_fd, old, sizeof(old), 60 * MIB), sizeof(old));
	assert_int_equal(pwrite(to_fd, old, sizeof(old), FILE_BYTES + 7), sizeof(old));
	copy(from_fd, to_fd);
	assert_same(from_fd, to_fd);
}

static void
test_of_nothing_but_holes(void **state)
{
	_cleanup_fd_ int from_fd = open_on_disk();
	_cleanup_fd_ int to_fd = open_in_memory();

	(void) state;
	assert_int_equal(ftruncate(from_fd, FILE_BYTES), 0);
	copy(from_fd, to_fd);
	assert_int_equal(allocated(to_fd), 0);
	assert_same(from_fd, to_fd);
}

static void
test_what_cannot_be_written_is_told(void **state)
{
	_cleanup_fd_ int from_fd = open_in_memory();
	_cleanup_fd_ int full_fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int read_only_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	Error err;

	(void) state;
	fill(from_fd, 4);
	assert_true(sparse_copy(from_fd, full_fd, FILE_BYTES, "full", &err) < 0);
	assert_non_null(strstr(err.message, "full"));
	assert_true(sparse_copy(from_fd, read_only_fd, FILE_BYTES, "exe", &err) < 0);
	assert_non_null(strstr(err.message, "exe"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_over_what_is_there),
		cmocka_unit_test(test_of_nothing_but_holes),
		cmocka_unit_test(test_what_cannot_be_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
