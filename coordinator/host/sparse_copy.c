/*
 * Copies sparse files; see sparse_copy.h.
 *
 * Into memory the target is mapped and read into. That is what can have large pages: a fault, a cleared page and a
 * place in the tree of pages for 2 MiB in place of 4 KiB are worth half of the time, and a second thread the other
 * half. To a disk it is written, because what is mapped there is first read.
 */
#include "host/sparse_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define LARGE_PAGE_BYTES (UINT64_C(2) << 20)
#define DENSE_BYTES		 (LARGE_PAGE_BYTES / 4 * 3)
#define CHUNK_BYTES		 (UINT64_C(32) << 20) /* what a thread copies in sequence */
#define BUFFER_BYTES	 (UINT64_C(256) << 10)
#define THREADS_MAX		 4
#define BYTES_PER_THREAD (UINT64_C(8) << 20) /* less is done before a thread has begun */

typedef struct Copy
{
	int from_fd;
	int to_fd;
	uint64_t size_bytes;
	char *mapped; /* the target; NULL: it is written */
	bool punch;	  /* it may have content where the source has none */
	_Atomic uint64_t next_offset;
	_Atomic int problem; /* errno of the first thread that had one */
} Copy;

static void
copy_unmap(Copy *copy)
{
	if (copy->mapped != NULL)
		munmap(copy->mapped, copy->size_bytes);
}

static uint64_t
step_end(const Copy *copy, uint64_t offset, uint64_t step_bytes)
{
	return offset + step_bytes < copy->size_bytes ? offset + step_bytes : copy->size_bytes;
}

/* The next stretch of data from the offset on, or one of no bytes at `end`. */
static int
find_data(int fd, uint64_t offset, uint64_t end, uint64_t *ret_begin, uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t) offset, SEEK_DATA);
	off_t hole;

	*ret_begin = *ret_end = end;
	if (data < 0 && errno != ENXIO)
		return -errno;
	if (data < 0 || (uint64_t) data >= end)
		return 0;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	*ret_begin = (uint64_t) data;
	*ret_end = (uint64_t) hole < end ? (uint64_t) hole : end;
	return 0;
}

static int
punch_hole(const Copy *copy, uint64_t begin, uint64_t end)
{
	if (!copy->punch || begin >= end)
		return 0;
	return fallocate(copy->to_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) begin, (off_t) (end - begin)) < 0
			   ? -errno
			   : 0;
}

/* A file that ends before its size has been cut by somebody: -EIO. */
static int
copy_stretch(const Copy *copy, int from_fd, char *buffer, uint64_t begin, uint64_t end)
{
	while (begin < end)
	{
		uint64_t wanted = end - begin < BUFFER_BYTES ? end - begin : BUFFER_BYTES;
		ssize_t got = pread(from_fd, copy->mapped != NULL ? copy->mapped + begin : buffer, wanted, (off_t) begin);

		if (got <= 0)
			return got == 0 ? -EIO : -errno;
		for (ssize_t done = 0; copy->mapped == NULL && done < got;)
		{
			ssize_t written = pwrite(copy->to_fd, buffer + done, (size_t) (got - done), (off_t) begin + done);

			if (written < 0)
				return -errno;
			done += written;
		}
		begin += (uint64_t) got;
	}
	return 0;
}

static int
copy_chunk(const Copy *copy, int from_fd, char *buffer, uint64_t offset, uint64_t end)
{
	while (offset < end)
	{
		uint64_t data_begin;
		uint64_t data_end;
		int result = find_data(from_fd, offset, end, &data_begin, &data_end);

		if (result == 0)
			result = punch_hole(copy, offset, data_begin);
		if (result == 0)
			result = copy_stretch(copy, from_fd, buffer, data_begin, data_end);
		if (result < 0)
			return result;
		offset = data_end;
	}
	return 0;
}

/*
 * One of the threads: takes chunk after chunk until there is none, or one of them has met a problem. It has the file
 * open for itself: the kernel reads ahead for each that is open, and of two in one it would see no sequence.
 */
static void *
copy_chunks(void *context)
{
	Copy *copy = context;
	_cleanup_free_ char *buffer = copy->mapped == NULL ? memory_allocate(BUFFER_BYTES) : NULL;
	_cleanup_free_ char *path = memory_printf("/proc/self/fd/%d", copy->from_fd);
	_cleanup_fd_ int from_fd = open(path, O_RDONLY | O_CLOEXEC);
	int result = from_fd < 0 ? -errno : 0;
	int none = 0;

	while (result == 0 && atomic_load(&copy->problem) == 0)
	{
		uint64_t offset = atomic_fetch_add(&copy->next_offset, CHUNK_BYTES);
		uint64_t end = step_end(copy, offset, CHUNK_BYTES);

		if (offset >= copy->size_bytes)
			break;
		result = copy_chunk(copy, from_fd, buffer, offset, end);
	}
	if (result < 0)
		atomic_compare_exchange_strong(&copy->problem, &none, -result);
	return NULL;
}

static size_t
count_threads(uint64_t data_bytes)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t useful = data_bytes / BYTES_PER_THREAD;

	if (useful > THREADS_MAX)
		useful = THREADS_MAX;
	if (processors > 0 && useful > (uint64_t) processors)
		useful = (uint64_t) processors;
	return useful > 1 ? (size_t) useful : 1;
}

/* The caller is one of the threads; it does it alone where there can be no other. */
static void
run_threads(Copy *copy, uint64_t data_bytes)
{
	pthread_t threads[THREADS_MAX];
	size_t started = 0;
	size_t wanted = count_threads(data_bytes) - 1;

	while (started < wanted && pthread_create(&threads[started], NULL, copy_chunks, copy) == 0)
		started++;
	copy_chunks(copy);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

/* Asks for large pages where a block of the mapped target will be dense. */
static int
advise_large_pages(const Copy *copy)
{
	for (uint64_t offset = 0; offset < copy->size_bytes; offset += LARGE_PAGE_BYTES)
	{
		uint64_t end = step_end(copy, offset, LARGE_PAGE_BYTES);
		uint64_t block_bytes = 0;
		uint64_t data_begin;
		uint64_t data_end;

		for (uint64_t at = offset; at < end; at = data_end)
		{
			int result = find_data(copy->from_fd, at, end, &data_begin, &data_end);

			if (result < 0)
				return result;
			block_bytes += data_end - data_begin;
		}
		if (block_bytes >= DENSE_BYTES)
			madvise(copy->mapped + offset, end - offset, MADV_HUGEPAGE);
	}
	return 0;
}

static int
map_target(Copy *copy, const char *name, Error *err)
{
	struct statfs system;
	void *mapped;

	if (fstatfs(copy->to_fd, &system) < 0)
		return error_set_errno(err, errno, "%s", name);
	if (system.f_type != TMPFS_MAGIC || copy->size_bytes == 0)
		return 0;
	mapped = mmap(NULL, copy->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, copy->to_fd, 0);
	if (mapped == MAP_FAILED)
		return error_set_errno(err, errno, "%s: map", name);
	copy->mapped = mapped;
	return 0;
}

int
sparse_copy(int from_fd, int to_fd, uint64_t size_bytes, const char *name, Error *err)
{
	_cleanup_(copy_unmap) Copy copy = {.from_fd = from_fd, .to_fd = to_fd, .size_bytes = size_bytes};
	struct stat source;
	struct stat target;
	int result;

	if (fstat(from_fd, &source) < 0 || fstat(to_fd, &target) < 0 || ftruncate(to_fd, (off_t) size_bytes) < 0)
		return error_set_errno(err, errno, "%s", name);
	copy.punch = target.st_blocks > 0;
	result = map_target(&copy, name, err);
	if (result < 0)
		return result;
	result = copy.mapped != NULL ? advise_large_pages(&copy) : 0;
	if (result < 0)
		return error_set_errno(err, -result, "%s", name);
	run_threads(&copy, (uint64_t) source.st_blocks * 512);
	if (atomic_load(&copy.problem) != 0)
		return error_set_errno(err, atomic_load(&copy.problem), "%s: copy", name);
	return 0;
}
