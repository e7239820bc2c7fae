/*
 * The machine's clock against ours. CRIU restores a machine into a time namespace in which CLOCK_MONOTONIC goes on
 * where the dump left it, so that no process sees it jump: after an hour on disk the machine's clock is an hour behind
 * the host's, and after a reboot of the host it may be days ahead. The times on the activity page are the machine's.
 */
#include "host/activity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#define OFFSETS_MAX_BYTES 512
#define NS_PER_SEC		  INT64_C(1000000000)
/* The kernel lets no clock be set beyond half of what it can count to, which is 146 years. */
#define OFFSET_MAX_SEC (INT64_C(1) << 32)

int
activity_clock_parse(const char *offsets, int64_t *ret_offset_ns, Error *err)
{
	const char *line = offsets;
	char clock[16];
	long long seconds;
	long long nanoseconds;

	while (line != NULL && *line != '\0')
	{
		if (sscanf(line, "%15s %lld %lld", clock, &seconds, &nanoseconds) == 3 && strcmp(clock, "monotonic") == 0)
		{
			if (seconds < -OFFSET_MAX_SEC || seconds > OFFSET_MAX_SEC || nanoseconds < 0 || nanoseconds >= NS_PER_SEC)
				break;
			*ret_offset_ns = seconds * NS_PER_SEC + nanoseconds;
			return 0;
		}
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	return error_set(err, -EBADMSG, "time namespace: no offset of the monotonic clock in it");
}

/* 0 where the kernel has no time namespaces. */
static int
read_offset(const char *process, int64_t *ret_offset_ns, Error *err)
{
	char path[64];
	_cleanup_free_ char *text = NULL;
	int result;

	snprintf(path, sizeof(path), "/proc/%s/timens_offsets", process);
	result = file_read(path, OFFSETS_MAX_BYTES, &text, NULL, err);
	if (result == -ENOENT)
		*ret_offset_ns = 0;
	if (result == -ENOENT)
		return 0;
	return result < 0 ? result : activity_clock_parse(text, ret_offset_ns, err);
}

int
activity_clock_read_ahead(pid_t pid, int64_t *ret_ahead_ns, Error *err)
{
	char process[16];
	int64_t machine_ns = 0;
	int64_t own_ns = 0;
	int result;

	snprintf(process, sizeof(process), "%d", (int) pid);
	result = read_offset(process, &machine_ns, err);
	if (result == 0)
		result = read_offset("self", &own_ns, err);
	if (result == 0)
		*ret_ahead_ns = machine_ns - own_ns;
	return result;
}

/* 0 stands for "never" and stays; a time before our clock began is as long ago as it can be. */
static uint64_t
time_shift(uint64_t time_ns, int64_t ahead_ns)
{
	uint64_t behind_ns = (uint64_t) -ahead_ns;

	if (time_ns == 0)
		return 0;
	if (ahead_ns >= 0)
		return time_ns > (uint64_t) ahead_ns ? time_ns - (uint64_t) ahead_ns : 1;
	return time_ns > UINT64_MAX - behind_ns ? UINT64_MAX : time_ns + behind_ns;
}

void
activity_page_shift(ActivityPage *page, int64_t ahead_ns)
{
	page->created_ns = time_shift(page->created_ns, ahead_ns);
	page->last_exit_ns = time_shift(page->last_exit_ns, ahead_ns);
	page->last_ignored_exit_ns = time_shift(page->last_ignored_exit_ns, ahead_ns);
	for (size_t i = 0; i < page->slot_count; i++)
		page->slots[i].since_ns = time_shift(page->slots[i].since_ns, ahead_ns);
}

int
activity_page_use_own_clock(ActivityPage *page, const MachineProcess *processes, size_t process_count, Error *err)
{
	int64_t ahead_ns = 0;
	/* The first in the order of the machine's own numbers: its first process. */
	int result = process_count == 0 ? 0 : activity_clock_read_ahead(processes[0].pid, &ahead_ns, err);

	/* It has just ended, and so will the machine. */
	if (result == -ESRCH)
		return 0;
	if (result == 0)
		activity_page_shift(page, ahead_ns);
	return result;
}
