/*
 * The flash worker and clocks that go back.
 *
 * The wall clock may have been set while the server slept: PostgreSQL goes on, what it stamps from now on may be older
 * than what it stamped before, and the log says so. CLOCK_MONOTONIC counts from the host's start, so that it is behind
 * when a snapshot on disk is used after a reboot: whoever then waits with a time-out would wait for as long as the host
 * was up before.
 */
#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/datetime.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "flash_worker_internal.h"

static TimeoutId alarm_timeout = MAX_TIMEOUTS;

void
lttle_worker_check_wall_clock(FlashWorker *worker)
{
	TimestampTz now = GetCurrentTimestamp();
	char before_text[MAXDATELEN + 1];

	if (worker->agreed_at != 0 && now < worker->agreed_at)
	{
		strlcpy(before_text, timestamptz_to_str(worker->agreed_at), sizeof(before_text));
		ereport(WARNING, (errmsg("lttle_pg: the clock has gone back while the server slept: it was %s, it is %s",
								 before_text, timestamptz_to_str(now)),
						  errdetail("Until it has caught up, now() gives times that were given before."),
						  errhint("Look after the host's clock.")));
	}
	worker->agreed_at = 0;
}

/* The signal alone sets the latch; there is nothing more to do. */
static void
alarm_ring(void)
{
}

/*
 * The kernel's timer holds what is left of it, and is restored with that: unlike the wait itself it does not ask how
 * late it is.
 */
void
lttle_worker_set_alarm(uint64 ms)
{
	if (alarm_timeout == MAX_TIMEOUTS)
		alarm_timeout = RegisterTimeout(USER_TIMEOUT, alarm_ring);
	enable_timeout_after(alarm_timeout, (int) ms);
}

/* Every wait of every process is begun anew, with the clock as it is; a latch may be set for no reason at all. */
static void
wake_all_processes(void)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		if (ProcGlobal->allProcs[i].pid != 0)
			SetLatch(&ProcGlobal->allProcs[i].procLatch);
	}
}

void
lttle_worker_check_monotonic_clock(FlashWorker *worker)
{
	uint64 now_ns = lttle_clock_now_ns();

	if (now_ns < worker->round_at_ns)
	{
		ereport(LOG, (errmsg("lttle_pg: the host was started anew while the server slept")));
		/* Nothing that was to be done by the old clock can be under way: the connection did not survive either. */
		lttle_worker_close(worker);
		lttle_worker_hasten_reconnect(worker);
		worker->refused_until_ns = 0;
		worker->start_snapshot_at_ns = 0;
		wake_all_processes();
	}
	worker->round_at_ns = now_ns;
}
