/*
 * Recording and bringing back a machine's hot set; see reclaim.h and hotset.h.
 *
 * Shared memory is recorded once, at the postmaster's addresses: its children are forks and have it at the same place.
 * A page there is hot when any process has it. Private pages are recorded for the process that owns them, the
 * postmaster's first: every new connection begins as its copy. Mapped files are left out; the image's are pinned.
 */
#include "host/hotset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/pidref.h"
#include "base/text.h"
#include "host/mappings.h"
#include "host/reclaim.h"

#define PAGEMAP_ENTRIES_AT_ONCE 4096
#define PAGEMAP_PRESENT			(UINT64_C(1) << 63)
#define PAGEMAP_FILE_OR_SHARED	(UINT64_C(1) << 61)
#define MAPPING_MAX_BYTES		(UINT64_C(1) << 40) /* more is only reserved; looking at every page would never end */
#define PAGE_LIST_MAX			(1u << 20) /* far beyond any hot set; bounds what a big machine makes us hold */
#define RESTORE_PAGES_AT_ONCE	512

/* Addresses of pages, in the order of finding. */
typedef struct PageList
{
	uint64_t *addresses;
	size_t count;
	size_t capacity;
} PageList;

static void
page_list_clear(PageList *list)
{
	free(list->addresses);
}

static void
page_list_add(PageList *list, uint64_t address)
{
	if (list->count >= PAGE_LIST_MAX)
		return;
	list->addresses = memory_grow(list->addresses, &list->capacity, list->count + 1, sizeof(*list->addresses));
	list->addresses[list->count++] = address;
}

typedef struct PageSearch
{
	int pagemap_fd;
	uint64_t page_bytes;
	PageList *private_pages;
	PageList *shared_pages;
} PageSearch;

static bool
search_mapping(void *context, const Mapping *mapping)
{
	PageSearch *search = context;
	uint64_t entries[PAGEMAP_ENTRIES_AT_ONCE];

	if (!mapping->readable || mapping->end - mapping->begin > MAPPING_MAX_BYTES)
		return true;
	for (uint64_t address = mapping->begin; address < mapping->end;)
	{
		uint64_t wanted = (mapping->end - address) / search->page_bytes;
		size_t size = sizeof(uint64_t) * (wanted < PAGEMAP_ENTRIES_AT_ONCE ? wanted : PAGEMAP_ENTRIES_AT_ONCE);
		ssize_t got =
			pread(search->pagemap_fd, entries, size, (off_t) (address / search->page_bytes * sizeof(uint64_t)));

		if (got < (ssize_t) sizeof(uint64_t))
			return true; /* the mapping is gone */
		for (size_t i = 0; i < (size_t) got / sizeof(uint64_t); i++, address += search->page_bytes)
		{
			if (!(entries[i] & PAGEMAP_PRESENT))
				continue;
			if (!(entries[i] & PAGEMAP_FILE_OR_SHARED))
				page_list_add(search->private_pages, address);
			else if (mapping->shared_memory)
				page_list_add(search->shared_pages, address);
		}
	}
	return true;
}

/* Collects the present pages of one process. One that is gone has none. */
static int
process_search(pid_t pid, PageList *private_pages, PageList *shared_pages, Error *err)
{
	_cleanup_fd_ int fd = -1;
	PageSearch search = {
		.page_bytes = (uint64_t) sysconf(_SC_PAGESIZE),
		.private_pages = private_pages,
		.shared_pages = shared_pages,
	};
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int) pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? 0 : error_set_errno(err, errno, "%s", path);
	search.pagemap_fd = fd;
	return mappings_visit(pid, search_mapping, &search, err);
}

static int
address_compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *) left;
	uint64_t b = *(const uint64_t *) right;

	return (a > b) - (a < b);
}

/* Makes ranges of a list of pages, which it sorts. Returns how many pages, at most max_pages. */
static uint64_t
hotset_add_process(Hotset *hotset, const PidRef *process, PageList *pages, uint64_t max_pages)
{
	HotProcess entry = {.pid = process->pid, .start_time = process->start_time};
	uint64_t added = 0;

	if (pages->count > 0)
		qsort(pages->addresses, pages->count, sizeof(uint64_t), address_compare);
	for (size_t i = 0; i < pages->count && added < max_pages; i++)
	{
		if (i > 0 && pages->addresses[i - 1] == pages->addresses[i])
			continue;
		hot_ranges_add(&entry.ranges, pages->addresses[i]);
		added++;
	}
	hotset->processes = memory_grow(hotset->processes, &hotset->process_capacity, hotset->process_count + 1,
									sizeof(*hotset->processes));
	hotset->processes[hotset->process_count++] = entry;
	return added;
}

/* Parent of a process; 0 when it is gone. */
static pid_t
process_parent(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *after_name;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	if (file_read(path, 4096, &text, NULL, NULL) < 0)
		return 0;
	after_name = strrchr(text, ')');
	return after_name != NULL && sscanf(after_name, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* Moves the postmaster to the front: it is the one whose children most of the others are. */
static void
processes_put_postmaster_first(pid_t *pids, size_t count)
{
	_cleanup_free_ pid_t *parents = memory_allocate(count * sizeof(*parents));
	size_t best = 0;
	size_t best_children = 0;

	for (size_t i = 0; i < count; i++)
		parents[i] = process_parent(pids[i]);
	for (size_t i = 0; i < count; i++)
	{
		size_t children = 0;

		for (size_t j = 0; j < count; j++)
			children += parents[j] == pids[i];
		if (children > best_children)
		{
			best = i;
			best_children = children;
		}
	}
	if (count > 0)
	{
		pid_t postmaster = pids[best];

		pids[best] = pids[0];
		pids[0] = postmaster;
	}
}

/* The postmaster's private pages and everybody's shared ones, the files, then the others' private pages. */
static int
hotset_search(pid_t *pids, size_t count, uint64_t max_pages, Hotset *hotset, Error *err)
{
	_cleanup_free_ PageList *lists = memory_allocate(count * sizeof(*lists));
	_cleanup_(page_list_clear) PageList shared = {0};
	uint64_t left = max_pages;
	int result = 0;

	processes_put_postmaster_first(pids, count);
	for (size_t i = 0; i < count && result >= 0; i++)
		result = process_search(pids[i], &lists[i], &shared, err);
	for (size_t i = 0; i < shared.count && count > 0; i++)
		page_list_add(&lists[0], shared.addresses[i]);
	for (size_t i = 0; i < count; i++)
	{
		PidRef process;

		if (result >= 0 && pidref_open(pids[i], &process, NULL) >= 0)
		{
			left -= hotset_add_process(hotset, &process, &lists[i], left);
			pidref_close(&process);
		}
		if (i == 0)
			left -= hotset_search_files(pids[0], left < max_pages / 2 ? left : max_pages / 2, hotset);
		page_list_clear(&lists[i]);
	}
	return result;
}

int
hotset_record(const CgroupHierarchy *cgroups, const char *cgroup, const char *hotset_path, uint64_t max_bytes,
			  Error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_(hotset_clear) Hotset hotset = {0};
	uint64_t max_pages = max_bytes / (uint64_t) sysconf(_SC_PAGESIZE);
	size_t count = 0;
	int result = cgroup_list_processes(cgroups, cgroup, &pids, &count, err);

	if (result >= 0)
		result = hotset_search(pids, count, max_pages, &hotset, err);
	if (result < 0)
		return result;
	return hotset_write(hotset_path, &hotset, err);
}

void
hotset_forget(const char *hotset_path)
{
	unlink(hotset_path);
}

/*
 * Faults pages of one process in by reading a byte of each from outside: that maps them into the process's own page
 * tables, which reading ahead would not. The call ends early at a page that is gone; it is passed over. Returns how
 * many pages came.
 */
static uint64_t
pages_fault_in(pid_t pid, struct iovec *pages, size_t count)
{
	char sink[RESTORE_PAGES_AT_ONCE];
	uint64_t came = 0;

	for (size_t first = 0; first < count;)
	{
		struct iovec local = {.iov_base = sink, .iov_len = count - first};
		ssize_t got = process_vm_readv(pid, &local, 1, pages + first, count - first, 0);

		if (got < 0 && errno == ESRCH)
			break;
		if (got > 0)
		{
			came += (uint64_t) got;
			first += (size_t) got;
		}
		if (got <= 0)
			first++;
	}
	return came;
}

static uint64_t
process_fault_in(const HotProcess *process, uint64_t max_pages)
{
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	struct iovec pages[RESTORE_PAGES_AT_ONCE];
	uint64_t asked = 0;
	uint64_t came = 0;
	size_t count = 0;

	for (size_t i = 0; i < process->ranges.count; i++)
	{
		for (uint64_t page = 0; page < process->ranges.items[i].pages && asked < max_pages; page++, asked++)
		{
			uint64_t address = process->ranges.items[i].address + page * page_bytes;

			pages[count++] = (struct iovec){.iov_base = (void *) (uintptr_t) address, .iov_len = 1};
			if (count < RESTORE_PAGES_AT_ONCE)
				continue;
			came += pages_fault_in(process->pid, pages, count);
			count = 0;
		}
	}
	return came + pages_fault_in(process->pid, pages, count);
}

static bool
pid_is_listed(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (pids[i] == pid)
			return true;
	}
	return false;
}

uint64_t
hotset_restore(const char *path, const pid_t *pids, size_t count, uint64_t max_bytes)
{
	_cleanup_(hotset_clear) Hotset hotset = {0};
	uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
	uint64_t max_pages = max_bytes / page_bytes;
	uint64_t pages = 0;

	if (hotset_read(path, &hotset, NULL) < 0)
		return 0;
	for (size_t i = 0; i < hotset.process_count && pages < max_pages; i++)
	{
		const HotProcess *process = &hotset.processes[i];
		PidRef reference;

		if (!pid_is_listed(process->pid, pids, count) ||
			pidref_reopen(process->pid, process->start_time, &reference, NULL) < 0)
			continue;
		pages += process_fault_in(process, max_pages - pages);
		if (i == 0)
			pages += hotset_restore_files(&hotset, process->pid, max_pages - pages);
		pidref_close(&reference);
	}
	return pages * page_bytes;
}
