/*
 * A machine's hot set: which pages its processes and the files of its data directory had in memory shortly after a
 * wake. Kept in a small file, whose form is hotset_file.c's business. See reclaim.h for recording and forgetting.
 */
#ifndef HOST_HOTSET_H
#define HOST_HOTSET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Consecutive pages. */
typedef struct HotRange
{
	uint64_t address; /* in memory, or the offset in a file */
	uint64_t pages;
} HotRange;

typedef struct HotRanges
{
	HotRange *items; /* ascending */
	size_t count;
	size_t capacity;
} HotRanges;

/* Appends one page; it must come after all that are there. */
void hot_ranges_add(HotRanges *ranges, uint64_t address);

/* The pages of one process. */
typedef struct HotProcess
{
	pid_t pid;
	uint64_t start_time; /* of the process: after a restart the same number has another layout */
	HotRanges ranges;
} HotProcess;

/* The cached pages of one file. */
typedef struct HotFile
{
	char *path; /* below the first process's working directory, which is PostgreSQL's data directory */
	HotRanges ranges;
} HotFile;

typedef struct Hotset
{
	HotProcess *processes; /* the postmaster first */
	size_t process_count;
	size_t process_capacity;
	HotFile *files;
	size_t file_count;
	size_t file_capacity;
} Hotset;

void hotset_clear(Hotset *hotset);

/* Reads and writes the file; written aside and renamed. -EBADMSG for a file that is none, or damaged. */
int hotset_read(const char *path, Hotset *ret_hotset, Error *err) MUST_CHECK;
int hotset_write(const char *path, const Hotset *hotset, Error *err) MUST_CHECK;

/*
 * Adds the cached pages of the files below the process's working directory. Write-ahead log is left out, and so is what
 * lies behind a symbolic link. Returns how many pages, at most max_pages; a directory that can't be read adds nothing.
 */
uint64_t hotset_search_files(pid_t pid, uint64_t max_pages, Hotset *hotset);

/* Reads the recorded pages of files into the page cache, for the process whose working directory they are below.
 * Returns how many, at most max_pages. */
uint64_t hotset_restore_files(const Hotset *hotset, pid_t pid, uint64_t max_pages);

/*
 * Brings recorded pages back into those of the given processes that are still the same, and the files of the first one.
 * Returns how many bytes; 0 when there is no usable record. Never more than max_bytes.
 */
uint64_t hotset_restore(const char *path, const pid_t *pids, size_t count, uint64_t max_bytes);

#endif
