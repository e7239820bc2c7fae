/*
 * The activity page as the coordinator sees it: read with pread, checked, copied, judged; see activity.h.
 *
 * The file belongs to the machine, so everything in it is a claim. A false one may keep the machine itself awake or
 * let it sleep too early; it must not do more than that: no mapping that a truncation turns into SIGBUS, no amount of
 * reading that a neighbour would notice, no text that breaks a terminal or a JSON document.
 */
#include "host/activity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#define ACTIVITY_MAX_HEADER_BYTES 4096u
#define ACTIVITY_MAX_SLOT_BYTES	  256u /* a later layout may add to a slot; more would only be a way to make us read */
#define ACTIVITY_CHUNK_BYTES	  65536u

void
activity_page_clear(ActivityPage *page)
{
	free(page->slots);
	*page = (ActivityPage){0};
}

/* Reads exactly `size` bytes. The file may shrink under us: that is a page that can't be believed. */
static int
page_read_exactly(int fd, const char *path, void *buffer, size_t size, uint64_t offset, Error *err)
{
	for (size_t done = 0; done < size;)
	{
		ssize_t got = pread(fd, (char *) buffer + done, size - done, (off_t) (offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "%s: read", path);
		if (got == 0)
			return error_set(err, -EBADMSG, "%s: is shorter than it says", path);
		done += (size_t) got;
	}
	return 0;
}

static int
page_check_header(const LttleActivityHeader *header, uint64_t file_bytes, const char *path, Error *err)
{
	if (header->magic != LTTLE_ACTIVITY_MAGIC)
		return error_set(err, -EBADMSG, "%s: is no activity page", path);
	if (header->version != LTTLE_ACTIVITY_VERSION)
		return error_set(err, -EBADMSG, "%s: has version %u, not %u", path, header->version, LTTLE_ACTIVITY_VERSION);
	if (header->header_size < sizeof(LttleActivityHeader) || header->header_size > ACTIVITY_MAX_HEADER_BYTES)
		return error_set(err, -EBADMSG, "%s: claims a header of %u bytes", path, header->header_size);
	if (header->slot_size < sizeof(LttleActivitySlot) || header->slot_size > ACTIVITY_MAX_SLOT_BYTES)
		return error_set(err, -EBADMSG, "%s: claims slots of %u bytes", path, header->slot_size);
	if (header->slot_count > LTTLE_ACTIVITY_MAX_SLOTS)
		return error_set(err, -EBADMSG, "%s: claims %u slots", path, header->slot_count);
	if (header->header_size + (uint64_t) header->slot_size * header->slot_count > file_bytes)
		return error_set(err, -EBADMSG, "%s: is shorter than it says", path);
	return 0;
}

static void
slot_copy(ActivitySlot *target, const unsigned char *bytes)
{
	LttleActivitySlot raw;

	memcpy((void *) &raw, bytes, sizeof(raw));
	*target = (ActivitySlot){
		.pid = raw.pid,
		.kind = raw.kind,
		.state = raw.state,
		.lock_count = raw.lock_count,
		.ignored = raw.ignored,
		.since_ns = raw.since_ns,
		.statements = raw.statements,
		.wait_event_address = raw.wait_event_address,
		.wait = ACTIVITY_WAIT_UNKNOWN,
	};
	text_copy(target->lock_name, sizeof(target->lock_name), raw.lock_name);
	text_make_printable(target->lock_name);
}

static int
page_read_slots(int fd, const char *path, const LttleActivityHeader *header, ActivityPage *page, Error *err)
{
	_cleanup_free_ unsigned char *chunk = memory_allocate(ACTIVITY_CHUNK_BYTES);
	uint32_t chunk_slots = ACTIVITY_CHUNK_BYTES / header->slot_size;
	size_t capacity = 0;

	for (uint32_t first = 0; first < header->slot_count; first += chunk_slots)
	{
		uint32_t count = header->slot_count - first < chunk_slots ? header->slot_count - first : chunk_slots;
		int result = page_read_exactly(fd, path, chunk, (size_t) count * header->slot_size,
									   header->header_size + (uint64_t) first * header->slot_size, err);

		if (result < 0)
			return result;
		for (uint32_t i = 0; i < count; i++)
		{
			uint32_t pid;

			memcpy(&pid, chunk + (size_t) i * header->slot_size, sizeof(pid));
			if (pid == 0)
				continue;
			page->slots = memory_grow(page->slots, &capacity, page->slot_count + 1, sizeof(*page->slots));
			slot_copy(&page->slots[page->slot_count++], chunk + (size_t) i * header->slot_size);
		}
	}
	return 0;
}

int
activity_page_read(const char *path, ActivityPage *ret_page, Error *err)
{
	/* The machine can put anything in the file's place: a link to elsewhere, a pipe that blocks whoever opens it. */
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	_cleanup_(activity_page_clear) ActivityPage page = {0};
	LttleActivityHeader header;
	struct stat status;
	int result;

	if (fd < 0 && errno == ELOOP)
		return error_set(err, -EBADMSG, "%s: is a symbolic link", path);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, -EBADMSG, "%s: is no regular file", path);
	result = page_read_exactly(fd, path, (void *) &header, sizeof(header), 0, err);
	if (result >= 0)
		result = page_check_header(&header, (uint64_t) status.st_size, path, err);
	if (result >= 0)
		result = page_read_slots(fd, path, &header, &page, err);
	if (result < 0)
		return result;
	page.postmaster_pid = header.postmaster_pid;
	page.client_read_event = header.client_read_event;
	page.created_ns = header.created_ns;
	page.transaction_hold_ms = header.transaction_hold_ms;
	page.last_exit_ns = header.last_exit_ns;
	page.last_ignored_exit_ns = header.last_ignored_exit_ns;
	*ret_page = page;
	page = (ActivityPage){0};
	return 0;
}

/* A set of signals of /proc/PID/status, by its name there; signal N is bit N-1. */
static uint64_t
status_read_signals(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 16);
}

/*
 * Reads /proc/PID/status. NSpid is the number in our namespace, then in each one further in. The machine's own is
 * the second; a process that shares our namespace has only one. -ESRCH when the process is gone or a zombie.
 */
static int
process_read_status(pid_t pid, MachineProcess *ret_process)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	char *line;
	bool spawning;
	int outer;
	int inner;
	int found;

	snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
	if (file_read(path, 65536, &text, NULL, NULL) < 0)
		return -ESRCH;
	line = strstr(text, "\nState:\t");
	if (line == NULL || line[8] == 'Z' || line[8] == 'X')
		return -ESRCH;
	/* Of all waits that cannot be interrupted, only that of vfork's parent counts as frozen. */
	spawning = line[8] == 'D';
	line = strstr(text, "\nNSpid:");
	found = line == NULL ? 0 : sscanf(line + 7, "%d %d", &outer, &inner);
	if (found < 1)
		return -ESRCH;
	*ret_process = (MachineProcess){.pid = pid, .inner_pid = found == 2 ? inner : outer, .spawning = spawning};
	ret_process->signalled = ((status_read_signals(text, "\nSigPnd:\t") | status_read_signals(text, "\nShdPnd:\t")) &
							  ~status_read_signals(text, "\nSigIgn:\t")) != 0;
	return 0;
}

static int
process_compare(const void *left, const void *right)
{
	const MachineProcess *a = left;
	const MachineProcess *b = right;

	return (a->inner_pid > b->inner_pid) - (a->inner_pid < b->inner_pid);
}

int
machine_processes_read(const pid_t *pids, size_t count, MachineProcess **ret_processes, size_t *ret_count, Error *err)
{
	MachineProcess *processes = memory_allocate((count + 1) * sizeof(*processes));
	size_t found = 0;

	(void) err; /* the signature leaves room for hosts where this can fail */
	for (size_t i = 0; i < count; i++)
	{
		if (process_read_status(pids[i], &processes[found]) == 0)
			found++;
	}
	qsort(processes, found, sizeof(*processes), process_compare);
	*ret_processes = processes;
	*ret_count = found;
	return 0;
}

const MachineProcess *
machine_process_find(const MachineProcess *processes, size_t count, uint32_t inner_pid)
{
	MachineProcess key = {.inner_pid = (pid_t) inner_pid};

	return count == 0 ? NULL : bsearch(&key, processes, count, sizeof(key), process_compare);
}

/*
 * The four bytes of the wait event. The address is the machine's claim; process_vm_readv copies from that very
 * process or fails, so a wrong one harms nobody.
 */
static ActivityWait
slot_read_wait(const ActivitySlot *slot, pid_t pid, uint32_t client_read_event)
{
	uint32_t event = 0;
	struct iovec local = {.iov_base = &event, .iov_len = sizeof(event)};
	struct iovec remote = {.iov_base = (void *) (uintptr_t) slot->wait_event_address, .iov_len = sizeof(event)};

	if (slot->wait_event_address == 0 || client_read_event == 0)
		return ACTIVITY_WAIT_UNKNOWN;
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t) sizeof(event))
		return ACTIVITY_WAIT_UNKNOWN;
	return event == client_read_event ? ACTIVITY_WAIT_CLIENT : ACTIVITY_WAIT_OTHER;
}

void
activity_page_read_waits(ActivityPage *page, const MachineProcess *processes, size_t process_count, bool all)
{
	for (size_t i = 0; i < page->slot_count; i++)
	{
		ActivitySlot *slot = &page->slots[i];
		bool session = slot->kind == LTTLE_KIND_CLIENT || slot->kind == LTTLE_KIND_WALSENDER;
		bool needed = slot->state == LTTLE_STATE_FASTPATH || slot->kind == LTTLE_KIND_WALSENDER;
		const MachineProcess *process;

		if (!needed && !(all && session))
			continue;
		process = machine_process_find(processes, process_count, slot->pid);
		if (process != NULL)
			slot->wait = slot_read_wait(slot, process->pid, page->client_read_event);
	}
}

/*
 * Whether the process is in a system call that waits for any of several events. /proc/PID/syscall begins with the
 * call's number, or with -1 outside of any.
 */
static bool
process_waits_for_events(pid_t pid)
{
	static const long calls[] = {
#ifdef SYS_epoll_wait
		SYS_epoll_wait,
#endif
#ifdef SYS_poll
		SYS_poll,
#endif
		SYS_epoll_pwait, SYS_ppoll, SYS_restart_syscall};
	_cleanup_free_ char *text = NULL;
	char path[64];
	char *end;
	long call;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int) pid);
	if (file_read(path, 4096, &text, NULL, NULL) < 0)
		return true; /* a kernel that does not say */
	call = strtol(text, &end, 10);
	for (size_t i = 0; end != text && i < sizeof(calls) / sizeof(calls[0]); i++)
	{
		if (call == calls[i])
			return true;
	}
	return false;
}

void
activity_page_check_waits(ActivityPage *page, const MachineProcess *processes, size_t process_count)
{
	for (size_t i = 0; i < page->slot_count; i++)
	{
		ActivitySlot *slot = &page->slots[i];
		const MachineProcess *process =
			slot->wait == ACTIVITY_WAIT_CLIENT ? machine_process_find(processes, process_count, slot->pid) : NULL;

		if (process != NULL && !process_waits_for_events(process->pid))
			slot->wait = ACTIVITY_WAIT_OTHER;
	}
}

int
activity_observe(const char *path, const pid_t *pids, size_t pid_count, const ActivityPolicy *policy,
				 ActivityVerdict *ret_verdict, Error *err)
{
	_cleanup_free_ MachineProcess *processes = NULL;
	_cleanup_(activity_page_clear) ActivityPage page = {0};
	size_t process_count = 0;
	int result = activity_page_read(path, &page, err);

	if (result >= 0)
		result = machine_processes_read(pids, pid_count, &processes, &process_count, err);
	if (result >= 0)
		result = activity_page_use_own_clock(&page, processes, process_count, err);
	if (result < 0)
		return result;
	activity_page_read_waits(&page, processes, process_count, false);
	activity_judge(&page, processes, process_count, policy, ret_verdict);
	return 0;
}
