/*
 * The part of the hot set that lies in files of the data directory: relation maps and caches that every new connection
 * reads. See hotset.h.
 *
 * The directory is the machine's, which may put anything into it at any moment: every step is an open relative to the
 * directory above, no link is followed, nothing but regular files is looked at, and the walk is bounded.
 */
#include "host/hotset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define WALK_MAX_DEPTH 3 /* base/<database>/<file> */
#define WALK_MAX_FILES 16384u
#define FILE_MAX_BYTES (UINT64_C(2) << 30) /* a relation's segment has 1 GiB */

typedef struct FileWalk
{
	Hotset *hotset;
	uint64_t max_pages;
	uint64_t pages;
	unsigned files; /* looked at */
} FileWalk;

static int
open_regular_file(int directory_fd, const char *name, const struct open_how *how, uint64_t *ret_bytes)
{
	_cleanup_fd_ int fd = (int) syscall(SYS_openat2, directory_fd, name, how, sizeof(*how));
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return -1;
	*ret_bytes = (uint64_t) status.st_size;
	return steal_fd(&fd);
}

static const struct open_how how_to_open_file = {
	.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
};

/* Notes which pages of a file are in the page cache. */
static void
walk_file(FileWalk *walk, int directory_fd, const char *name, const char *path)
{
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	_cleanup_free_ unsigned char *present = NULL;
	HotFile file = {0};
	uint64_t bytes = 0;
	_cleanup_fd_ int fd = open_regular_file(directory_fd, name, &how_to_open_file, &bytes);
	uint64_t count = (bytes + page_bytes - 1) / page_bytes;
	void *mapped;

	if (fd < 0 || bytes == 0 || bytes > FILE_MAX_BYTES)
		return;
	/* Never touched, so a file that shrinks meanwhile does no harm. */
	mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return;
	present = memory_allocate(count);
	if (mincore(mapped, bytes, present) < 0)
		count = 0;
	munmap(mapped, bytes);
	for (uint64_t page = 0; page < count && walk->pages < walk->max_pages; page++)
	{
		if (!(present[page] & 1))
			continue;
		hot_ranges_add(&file.ranges, page * page_bytes);
		walk->pages++;
	}
	if (file.ranges.count == 0)
		return;
	file.path = memory_duplicate(path);
	walk->hotset->files = memory_grow(walk->hotset->files, &walk->hotset->file_capacity, walk->hotset->file_count + 1,
									  sizeof(*walk->hotset->files));
	walk->hotset->files[walk->hotset->file_count++] = file;
}

static bool
walk_is_done(const FileWalk *walk)
{
	return walk->files >= WALK_MAX_FILES || walk->pages >= walk->max_pages;
}

/* Takes the descriptor over. */
static void
walk_directory(FileWalk *walk, int fd, const char *path, int depth)
{
	_cleanup_directory_ DIR *directory = fdopendir(fd);
	struct dirent *entry;

	if (directory == NULL)
	{
		close(fd);
		return;
	}
	while (!walk_is_done(walk) && (entry = readdir(directory)) != NULL)
	{
		_cleanup_free_ char *inner = NULL;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "pg_wal") == 0)
			continue;
		inner = *path == '\0' ? memory_duplicate(entry->d_name) : memory_printf("%s/%s", path, entry->d_name);
		walk->files++;
		if (entry->d_type == DT_DIR && depth < WALK_MAX_DEPTH)
		{
			int inner_fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (inner_fd >= 0)
				walk_directory(walk, inner_fd, inner, depth + 1);
		}
		else if (entry->d_type == DT_REG)
			walk_file(walk, dirfd(directory), entry->d_name, inner);
	}
}

static int
open_working_directory(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/cwd", (int) pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint64_t
hotset_search_files(pid_t pid, uint64_t max_pages, Hotset *hotset)
{
	FileWalk walk = {.hotset = hotset, .max_pages = max_pages};
	_cleanup_fd_ int fd = open_working_directory(pid);
	struct stat status;

	/* A server works in its data directory; without this mark it is some other program, perhaps at "/". */
	if (fd >= 0 && fstatat(fd, "PG_VERSION", &status, AT_SYMLINK_NOFOLLOW) == 0)
		walk_directory(&walk, steal_fd(&fd), "", 1);
	return walk.pages;
}

uint64_t
hotset_restore_files(const Hotset *hotset, pid_t pid, uint64_t max_pages)
{
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	_cleanup_fd_ int directory_fd = open_working_directory(pid);
	uint64_t pages = 0;

	for (size_t i = 0; i < hotset->file_count && directory_fd >= 0 && pages < max_pages; i++)
	{
		const HotFile *file = &hotset->files[i];
		uint64_t bytes = 0;
		_cleanup_fd_ int fd = open_regular_file(directory_fd, file->path, &how_to_open_file, &bytes);

		for (size_t j = 0; fd >= 0 && j < file->ranges.count && pages < max_pages; j++)
		{
			uint64_t wanted = file->ranges.items[j].pages;

			if (file->ranges.items[j].address >= bytes)
				break;
			if (wanted > max_pages - pages)
				wanted = max_pages - pages;
			if (readahead(fd, (off64_t) file->ranges.items[j].address, wanted * page_bytes) == 0)
				pages += wanted;
		}
	}
	return pages;
}
