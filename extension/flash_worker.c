/*
 * The flash worker: a background worker that connects to the coordinator's socket once recovery is over, greets, asks
 * for the first snapshot, answers PREPARE and takes RESUMED.
 *
 * It never blocks anywhere but in WaitLatchOrSocket, and sets a time-out there only while something is due: connected
 * and at rest it is not scheduled at all. After a long freeze every deadline has passed at once; messages are therefore
 * read before deadlines are looked at.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "activity.h"
#include "clock.h"
#include "flash_worker.h"
#include "flash_worker_internal.h"
#include "settings.h"

#define RESTART_SECONDS 5

static bool i_am_the_worker = false;

bool
lttle_flash_worker_is_me(void)
{
	return i_am_the_worker;
}

/* The phase of a connected worker follows from what is under way. */
static void
worker_update_phase(FlashWorker *worker)
{
	if (!lttle_flash_channel_is_open(&worker->channel))
		return;
	if (worker->greeting_until_ns != 0)
		worker->status.phase = FLASH_PHASE_GREETING;
	else if (worker->prepare.is_open)
		worker->status.phase = FLASH_PHASE_PREPARING;
	else if (worker->status.phase == FLASH_PHASE_AGREED)
		return;
	else if (worker->snapshot_until_ns != 0)
		worker->status.phase = FLASH_PHASE_SNAPSHOT;
	else
		worker->status.phase = FLASH_PHASE_READY;
}

static void
worker_publish(FlashWorker *worker)
{
	worker_update_phase(worker);
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-*): padding only costs one publication more */
	if (memcmp(&worker->status, &worker->published, sizeof(worker->status)) == 0)
		return;
	worker->published = worker->status;
	lttle_flash_state_publish(&worker->status);
}

static void
worker_check_deadlines(FlashWorker *worker)
{
	uint64 now_ns = lttle_clock_now_ns();

	if (!lttle_flash_channel_is_open(&worker->channel))
		return;
	if (lttle_flash_channel_has_unsent(&worker->channel) &&
		!lttle_worker_check_sent(worker, lttle_flash_channel_flush(&worker->channel)))
		return;
	if (worker->unsent_until_ns != 0 && now_ns >= worker->unsent_until_ns)
		lttle_worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (worker->greeting_until_ns != 0 && now_ns >= worker->greeting_until_ns)
		lttle_worker_drop(worker, FLASH_TROUBLE_SILENT, "");
	else if (worker->snapshot_until_ns != 0 && now_ns >= worker->snapshot_until_ns)
		lttle_worker_fail_snapshot(worker, "the coordinator has not answered in time");
}

static void
deadline_lower(uint64 *deadline_ns, uint64 candidate_ns)
{
	if (candidate_ns != 0 && candidate_ns < *deadline_ns)
		*deadline_ns = candidate_ns;
}

/* How long nothing can be due, in milliseconds; -1: until something happens. */
static long
worker_get_timeout_ms(FlashWorker *worker)
{
	uint64 deadline_ns = UINT64_MAX;
	uint64 now_ns = lttle_clock_now_ns();

	if (worker->status.phase == FLASH_PHASE_DISABLED)
		return -1;
	if (lttle_flash_channel_is_open(&worker->channel))
	{
		deadline_lower(&deadline_ns, worker->unsent_until_ns);
		deadline_lower(&deadline_ns, worker->greeting_until_ns);
		deadline_lower(&deadline_ns, worker->snapshot_until_ns);
		if (worker->prepare.is_open)
			deadline_lower(&deadline_ns, worker->prepare.next_look_ns);
		if (worker->status.connected && worker->snapshot_until_ns == 0 && lttle_snapshot_at_start &&
			!worker->status.start_snapshot_is_over)
			deadline_lower(&deadline_ns, worker->start_snapshot_at_ns);
	}
	else
		deadline_lower(&deadline_ns, worker->reconnect_at_ns);
	if (deadline_ns == UINT64_MAX)
		return -1;
	/* Rounded up, so as not to wake just before it is due. */
	return deadline_ns <= now_ns ? 0 : (long) ((deadline_ns - now_ns + LTTLE_NS_PER_MS - 1) / LTTLE_NS_PER_MS);
}

static void
worker_wait(FlashWorker *worker)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long timeout_ms = worker_get_timeout_ms(worker);

	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	if (lttle_flash_channel_is_open(&worker->channel))
	{
		events |= WL_SOCKET_READABLE;
		if (lttle_flash_channel_has_unsent(&worker->channel))
			events |= WL_SOCKET_WRITEABLE;
		WaitLatchOrSocket(MyLatch, events, worker->channel.fd, timeout_ms, PG_WAIT_EXTENSION);
	}
	else
		WaitLatch(MyLatch, events, timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* One round: take in what has come, do what is due. Returns true when it should be called again without waiting. */
static bool
worker_run_round(FlashWorker *worker)
{
	bool more;

	lttle_worker_check_monotonic_clock(worker);
	more = lttle_worker_receive(worker);
	lttle_worker_keep_connection(worker);
	worker_check_deadlines(worker);
	lttle_worker_continue_prepare(worker);
	lttle_worker_start_snapshot(worker);
	worker_publish(worker);
	return more;
}

static void
worker_init(FlashWorker *worker)
{
	memset(worker, 0, sizeof(*worker));
	lttle_flash_channel_init(&worker->channel);
	worker->start_snapshot_ms = SNAPSHOT_RETRY_MIN_MS;
	worker->round_context = AllocSetContextCreate(TopMemoryContext, "lttle_pg round", ALLOCSET_SMALL_SIZES);
	lttle_flash_state_get(&worker->status);
	worker->published = worker->status;
	worker->status.phase = FLASH_PHASE_DISCONNECTED;
}

void
lttle_flash_worker_main(Datum argument pg_attribute_unused())
{
	FlashWorker *worker = palloc(sizeof(FlashWorker));

	i_am_the_worker = true;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	lttle_activity_claim(LTTLE_STATE_IDLE);
	lttle_flash_state_attach_worker();
	worker_init(worker);
	ereport(LOG, (errmsg("lttle_pg: flash ready worker")));

	while (!ShutdownRequestPending)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			/* Whoever reloads may have just put the coordinator in its place. */
			if (worker->status.phase == FLASH_PHASE_DISCONNECTED)
				lttle_worker_hasten_reconnect(worker);
		}
		MemoryContextReset(worker->round_context);
		MemoryContextSwitchTo(worker->round_context);
		if (!worker_run_round(worker))
			worker_wait(worker);
	}
	if (worker->status.connected)
		lttle_worker_send_flag(worker, "STOPPING");
	lttle_flash_channel_close(&worker->channel);
	/* Not 0: the postmaster would then never start the worker again, should it have been ended by itself. */
	proc_exit(1);
}

void
lttle_flash_worker_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "lttle_pg", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "lttle_flash_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "lttle_pg flash worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "lttle_pg flash worker", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
