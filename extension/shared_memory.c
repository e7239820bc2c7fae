/*
 * Anonymous shared memory belongs to no file, so a checkpoint of the processes has to carry it page by page. In a file
 * in memory it is the coordinator's to copy, in large pieces and by several threads at once.
 *
 * PostgreSQL maps its shared memory long before a library is asked; what is in it by then (tables of locks, of
 * processes, of buffers) is copied, page by page where there is one, and the file is mapped over it. A page that
 * nobody has touched is not touched: of many gigabytes of shared buffers a fresh server has a few megabytes.
 */
#include "postgres.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "shared_memory.h"

#ifndef EXEC_BACKEND

#define ANONYMOUS_NAME "/dev/zero (deleted)"
#define PAGES_AT_ONCE  4096

typedef struct Segment
{
	char *begin;
	Size size;
	uint64 swapped_kib;
} Segment;

/* The mapping that an address lies in, of anonymous shared memory; see smaps in proc(5). */
static bool
segment_find(const void *inside, Segment *ret_segment)
{
	char line[MAXPGPATH + 128];
	bool is_it = false;
	bool found = false;
	FILE *smaps = AllocateFile("/proc/self/smaps", "r");

	while (smaps != NULL && !found && fgets(line, sizeof(line), smaps) != NULL)
	{
		uint64_t begin;
		uint64_t end;
		char shared;
		int name = 0;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*2c%*c%c %*s %*s %*s %n", &begin, &end, &shared, &name) == 3)
		{
			is_it = (uintptr_t) inside >= begin && (uintptr_t) inside < end && shared == 's' &&
					strncmp(line + name, ANONYMOUS_NAME, strlen(ANONYMOUS_NAME)) == 0;
			ret_segment->begin = (char *) (uintptr_t) begin;
			ret_segment->size = (Size) (end - begin);
		}
		else if (is_it)
			found = sscanf(line, "Swap: %" SCNu64, &ret_segment->swapped_kib) == 1;
	}
	if (smaps != NULL)
		FreeFile(smaps);
	return found;
}

/*
 * Copies the pages that are there. One that was swapped out looks as if it had never been touched; whether there is
 * such a one is asked last: nothing here would have brought it back in between. Returns what is wrong, or NULL.
 */
static const char *
segment_copy(const Segment *segment, char *to)
{
	Size page_bytes = (Size) sysconf(_SC_PAGESIZE);
	unsigned char present[PAGES_AT_ONCE];
	Segment after;

	for (Size offset = 0; offset < segment->size; offset += PAGES_AT_ONCE * page_bytes)
	{
		Size length = Min(segment->size - offset, PAGES_AT_ONCE * page_bytes);

		if (mincore(segment->begin + offset, length, present) < 0)
			return strerror(errno);
		for (Size i = 0; i < length / page_bytes; i++)
		{
			if (present[i] & 1)
				memcpy(to + offset + i * page_bytes, segment->begin + offset + i * page_bytes, page_bytes);
		}
	}
	if (!segment_find(segment->begin, &after) || after.swapped_kib > 0)
		return "some of it is swapped out already";
	return NULL;
}

/* A full file system would show as SIGBUS in some backend later. */
static const char *
file_make(const char *path, Size size, int *ret_fd)
{
	struct statvfs system;
	int fd;

	/* An older server's is not written over: a process of that server may still end. */
	if (unlink(path) < 0 && errno != ENOENT)
		return strerror(errno);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return strerror(errno);
	*ret_fd = fd;
	if (fstatvfs(fd, &system) < 0 || ftruncate(fd, (off_t) size) < 0)
		return strerror(errno);
	if ((uint64) system.f_bavail * system.f_frsize < size)
		return "there is too little room";
	return NULL;
}

/* Memory that the kernel itself has by its pages can't be exchanged. */
static bool
kernel_holds_memory(void)
{
	const char *method = GetConfigOption("io_method", true, false);

	return method != NULL && strcmp(method, "io_uring") == 0;
}

static const char *
segment_exchange(const Segment *segment, int fd)
{
	const char *problem;
	sigset_t all;
	sigset_t before;
	char *copy = mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (copy == MAP_FAILED)
		return strerror(errno);
	/* No handler may write to what is being copied. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	problem = segment_copy(segment, copy);
	if (problem == NULL &&
		mmap(segment->begin, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		problem = strerror(errno);
	sigprocmask(SIG_SETMASK, &before, NULL);
	munmap(copy, segment->size);
	return problem;
}

/* Its memory goes with the last process that has it mapped. */
static void
file_remove(int code pg_attribute_unused(), Datum path)
{
	unlink(DatumGetCString(path));
}

void
lttle_shared_memory_place(const char *path, const void *inside)
{
	const char *problem = NULL;
	Segment segment;
	int fd = -1;

	if (*path == '\0')
		return;
	if (kernel_holds_memory())
		problem = "io_method is io_uring";
	else if (!segment_find(inside, &segment))
		problem = "the memory is not anonymous memory of small pages; see huge_pages and shared_memory_type";
	if (problem == NULL)
		problem = file_make(path, segment.size, &fd);
	if (problem == NULL)
		problem = segment_exchange(&segment, fd);
	if (problem != NULL)
	{
		ereport(LOG, (errmsg("lttle_pg: shared memory can't be kept in \"%s\": %s", path, problem),
					  errdetail("It stays anonymous: a snapshot takes longer.")));
		if (fd >= 0)
			unlink(path);
	}
	else
		on_shmem_exit(file_remove, CStringGetDatum(path));
	if (fd >= 0)
		close(fd);
}

#else

/* Its processes attach a segment that has a key, not a mapping that they inherit. */
void
lttle_shared_memory_place(const char *path pg_attribute_unused(), const void *inside pg_attribute_unused())
{
}

#endif
