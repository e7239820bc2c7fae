/* Whether there is memory pressure, and who goes for it; see pressure_policy.h. */
#include "engine/pressure_policy.h"

#include <inttypes.h>
#include <stdio.h>

#define MIB_SHIFT 20

/* While more is available than this many times the minimum, a stall is somebody's own. */
#define STALL_COUNTS_BELOW 4

#define RETRY_FIRST_MS (UINT64_C(60) * 1000)
#define RETRY_LAST_MS  (UINT64_C(60) * 60 * 1000)

/* Whether part is less than percent of whole. No product overflows below 2^57 bytes. */
static bool
is_less(uint64_t part, unsigned percent, uint64_t whole)
{
	return part * 100 < whole * percent;
}

bool
pressure_judge(const Settings *settings, const HostMemory *memory, bool stalled, char why[PRESSURE_WHY_BYTES])
{
	uint64_t available = memory->available_bytes;
	uint64_t swap_used =
		memory->swap_free_bytes < memory->swap_total_bytes ? memory->swap_total_bytes - memory->swap_free_bytes : 0;

	if (is_less(available, settings->memory_available_min, memory->total_bytes))
		snprintf(why, PRESSURE_WHY_BYTES, "memory pressure: %" PRIu64 " of %" PRIu64 " MiB available, less than %u %%",
				 available >> MIB_SHIFT, memory->total_bytes >> MIB_SHIFT, settings->memory_available_min);
	else if (memory->swap_total_bytes * settings->swap_used_limit < swap_used * 100)
		snprintf(why, PRESSURE_WHY_BYTES, "memory pressure: %" PRIu64 " of %" PRIu64 " MiB swap used, more than %u %%",
				 swap_used >> MIB_SHIFT, memory->swap_total_bytes >> MIB_SHIFT, settings->swap_used_limit);
	else if (stalled && is_less(available, STALL_COUNTS_BELOW * settings->memory_available_min, memory->total_bytes))
		snprintf(why, PRESSURE_WHY_BYTES, "memory pressure: processes waited for memory, more than %u %% of the time",
				 settings->memory_pressure_limit);
	else
		return false;
	return true;
}

size_t
pressure_choose(const PressureCandidate *candidates, size_t count, uint64_t now_ns)
{
	size_t coldest = count;

	for (size_t i = 0; i < count; i++)
	{
		if (!candidates[i].is_suspended || candidates[i].has_gate || candidates[i].not_before_ns > now_ns)
			continue;
		if (coldest == count || candidates[i].slept_since_ns < candidates[coldest].slept_since_ns)
			coldest = i;
	}
	return coldest;
}

uint64_t
pressure_retry_ms(unsigned failures)
{
	uint64_t retry_ms = RETRY_FIRST_MS;

	while (failures-- > 1 && retry_ms < RETRY_LAST_MS)
		retry_ms *= 2;
	return retry_ms < RETRY_LAST_MS ? retry_ms : RETRY_LAST_MS;
}
