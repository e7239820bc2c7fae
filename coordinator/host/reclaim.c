/*
 * Gives a frozen machine's memory back; see reclaim.h. Two means, because neither is enough: MADV_PAGEOUT passes over
 * pages that several processes map (shared_buffers), and the control group's own reclaim works through its lists in
 * an order that needs many rounds unless most pages are gone already.
 */
#include "host/reclaim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/hotset.h"
#include "host/mappings.h"

#define RECLAIM_RANGES_AT_ONCE 512
#define RECLAIM_MAX_ROUNDS	   24
#define RECLAIM_LEAST_BYTES	   (64 * 1024) /* a round that frees less is the last one */

typedef struct PageoutBatch
{
	int process_fd;
	size_t count;
	struct iovec ranges[RECLAIM_RANGES_AT_ONCE];
} PageoutBatch;

/*
 * Advises the ranges. The call ends early at one that it cannot handle (locked memory, a device, a mapping that is
 * gone) and says how many bytes it did before; that range is passed over.
 */
static void
batch_flush(PageoutBatch *batch)
{
	struct iovec *range = batch->ranges;
	struct iovec *end = batch->ranges + batch->count;

	while (range < end)
	{
		long done = syscall(SYS_process_madvise, batch->process_fd, range, (size_t) (end - range), MADV_PAGEOUT, 0);

		if (done < 0 && errno == EINTR)
			continue;
		for (; range < end && done >= (long) range->iov_len; range++)
			done -= (long) range->iov_len;
		if (range < end)
			range++;
	}
	batch->count = 0;
}

static bool
batch_add(void *context, const Mapping *mapping)
{
	PageoutBatch *batch = context;

	batch->ranges[batch->count++] = (struct iovec){
		.iov_base = (void *) (uintptr_t) mapping->begin,
		.iov_len = mapping->end - mapping->begin,
	};
	if (batch->count == RECLAIM_RANGES_AT_ONCE)
		batch_flush(batch);
	return true;
}

static int
process_page_out(pid_t pid, Error *err)
{
	_cleanup_fd_ int process_fd = (int) syscall(SYS_pidfd_open, pid, 0);
	PageoutBatch batch = {.process_fd = process_fd};
	int result;

	if (process_fd < 0)
		return errno == ESRCH ? 0 : error_set_errno(err, errno, "process %d: pidfd_open", (int) pid);
	result = mappings_visit(pid, batch_add, &batch, err);
	if (result < 0)
		return result;
	batch_flush(&batch);
	return 0;
}

/* Reclaims the group until a round brings nothing more. ret_bytes: what is still resident. */
static int
group_reclaim(const ReclaimSpec *spec, uint64_t *ret_bytes, Error *err)
{
	CgroupMemory memory;
	int result = cgroup_read_memory(spec->cgroups, spec->cgroup, &memory, err);
	uint64_t before_bytes = UINT64_MAX;

	for (int round = 0; result >= 0 && round < RECLAIM_MAX_ROUNDS; round++)
	{
		if (memory.resident_bytes == 0 || memory.resident_bytes + RECLAIM_LEAST_BYTES > before_bytes)
			break;
		before_bytes = memory.resident_bytes;
		result = cgroup_reclaim(spec->cgroups, spec->cgroup, err);
		if (result == -EAGAIN)
			result = 0; /* not everything went; what did go is seen in the figures */
		if (result >= 0)
			result = cgroup_read_memory(spec->cgroups, spec->cgroup, &memory, err);
	}
	if (result < 0)
		return result;
	*ret_bytes = memory.resident_bytes;
	return 0;
}

int
reclaim_run(const ReclaimSpec *spec, ReclaimResult *ret_result, Error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	ReclaimResult outcome = {0};
	CgroupMemory memory;
	uint64_t begin_ns = clock_monotonic_ns();
	size_t count = 0;
	int result = cgroup_read_memory(spec->cgroups, spec->cgroup, &memory, err);

	if (result >= 0)
		result = cgroup_list_processes(spec->cgroups, spec->cgroup, &pids, &count, err);
	for (size_t i = 0; result >= 0 && i < count; i++)
		result = process_page_out(pids[i], err);
	if (result >= 0)
		result = group_reclaim(spec, &outcome.after_bytes, err);
	if (result < 0)
		return result;
	outcome.before_bytes = memory.resident_bytes;
	/* A record that can't be used only makes the next wake slower. */
	if (spec->hotset_path != NULL)
		outcome.hot_bytes = hotset_restore(spec->hotset_path, pids, count, spec->hotset_max_bytes);
	outcome.took_us = (clock_monotonic_ns() - begin_ns) / 1000;
	*ret_result = outcome;
	return 0;
}
