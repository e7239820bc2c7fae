/*
 * The extension's part in a suspend. First the activity page and the flash locks are looked through; a process in
 * between two states is given a moment. Then, if lttle_pg.prepare_checkpoint says so, a checkpoint is requested and
 * its end is seen in pg_control, because the checkpointer tells nobody but those that block for it. After the
 * checkpoint the page is looked through once more.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"

#include "activity.h"
#include "clock.h"
#include "flash_lock.h"
#include "flash_prepare.h"
#include "settings.h"

#define SETTLE_LOOK_MS		5
#define SETTLE_MAX_MS		100
#define CHECKPOINT_LOOK_MS	10
#define ANSWER_RESERVE_MS	20 /* time that the answer itself may take before the coordinator's deadline */
#define RETRY_MS			1000
#define RETRY_UNSETTLED_MS	50
#define RETRY_CHECKPOINT_MS 500

static void prepare_decline(FlashPrepare *prepare, uint64 retry_ms, const char *format, ...) pg_attribute_printf(3, 4);

static void
prepare_decline(FlashPrepare *prepare, uint64 retry_ms, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(prepare->reason, sizeof(prepare->reason), format, args);
	va_end(args);
	prepare->retry_ms = retry_ms;
}

void
lttle_flash_prepare_begin(FlashPrepare *prepare, bool hibernate, uint64 deadline_ms)
{
	uint64 now_ns = lttle_clock_now_ns();
	uint64 usable_ms = deadline_ms > 2 * ANSWER_RESERVE_MS ? deadline_ms - ANSWER_RESERVE_MS : deadline_ms / 2;

	memset(prepare, 0, sizeof(*prepare));
	prepare->is_open = true;
	prepare->hibernate = hibernate;
	prepare->deadline_ns = now_ns + usable_ms * LTTLE_NS_PER_MS;
	prepare->settle_until_ns = now_ns + Min(usable_ms / 2, SETTLE_MAX_MS) * LTTLE_NS_PER_MS;
	prepare->next_look_ns = now_ns;
}

static const char *
describe_activity(const ActivityReport *report)
{
	if (report->kind != LTTLE_KIND_CLIENT)
		return "is at work";
	switch (report->state)
	{
		case LTTLE_STATE_STARTING:
			return "is starting";
		case LTTLE_STATE_IN_TRANSACTION:
			return "has a transaction open";
		case LTTLE_STATE_FASTPATH:
			return "is in a fast-path call";
		default:
			return "runs a statement";
	}
}

static uint64
report_get_retry_ms(const ActivityReport *report, uint64 now_ns)
{
	uint64 hold_ns = (uint64) lttle_transaction_hold_ms * LTTLE_NS_PER_MS;

	if (report->unsettled)
		return RETRY_UNSETTLED_MS;
	if (report->state == LTTLE_STATE_IN_TRANSACTION && report->since_ns + hold_ns > now_ns)
		return Min((report->since_ns + hold_ns - now_ns) / LTTLE_NS_PER_MS + 1, RETRY_MS);
	return RETRY_MS;
}

/*
 * Returns true when nothing keeps the server awake. Else the reason is noted, and ret_unsettled says whether it will
 * probably be gone in a moment.
 */
static bool
prepare_survey(FlashPrepare *prepare, uint64 now_ns, bool *ret_unsettled)
{
	bool quiet = true;

	*ret_unsettled = false;
	for (uint32 i = 0; i < lttle_activity_count_slots(); i++)
	{
		ActivityReport report;

		if (!lttle_activity_read(i, now_ns, &report))
			continue;
		if (report.lock_count > 0)
		{
			prepare_decline(prepare, RETRY_MS, "flash lock \"%s\" is held by PID %d", report.lock_name, report.pid);
			*ret_unsettled = false;
			return false;
		}
		/* One that will not be gone in a moment is the better reason. */
		if (!report.busy || (!quiet && report.unsettled))
			continue;
		prepare_decline(prepare, report_get_retry_ms(&report, now_ns), "%s with PID %d %s",
						lttle_activity_name_kind(report.kind), report.pid, describe_activity(&report));
		*ret_unsettled = report.unsettled;
		quiet = false;
	}
	return quiet;
}

static XLogRecPtr
control_file_get_checkpoint(void)
{
	bool crc_is_right;
	ControlFileData *control = get_controlfile(DataDir, &crc_is_right);
	XLogRecPtr checkpoint = crc_is_right ? control->checkPoint : InvalidXLogRecPtr;

	pfree(control);
	return checkpoint;
}

/* Returns true once there is nothing to checkpoint, or the checkpoint has ended. */
static bool
prepare_checkpoint_is_over(FlashPrepare *prepare)
{
	XLogRecPtr last_checkpoint = control_file_get_checkpoint();

	if (prepare->checkpoint_is_requested)
		return last_checkpoint != prepare->checkpoint_before;
	/* PostgreSQL itself skips a checkpoint then, and pg_control would never change. */
	if (GetLastImportantRecPtr() == last_checkpoint)
		return true;
	RequestCheckpoint(CHECKPOINT_IMMEDIATE);
	prepare->checkpoint_is_requested = true;
	prepare->checkpoint_before = last_checkpoint;
	return false;
}

FlashVerdict
lttle_flash_prepare_continue(FlashPrepare *prepare)
{
	uint64 now_ns = lttle_clock_now_ns();
	bool unsettled;

	if (!prepare_survey(prepare, now_ns, &unsettled))
	{
		if (!unsettled || now_ns >= prepare->settle_until_ns)
			return FLASH_VERDICT_DECLINE;
		prepare->next_look_ns = now_ns + SETTLE_LOOK_MS * LTTLE_NS_PER_MS;
		return FLASH_VERDICT_PENDING;
	}
	if (!lttle_prepare_checkpoint || prepare_checkpoint_is_over(prepare))
		return FLASH_VERDICT_AGREE;
	if (now_ns >= prepare->deadline_ns)
	{
		prepare_decline(prepare, RETRY_CHECKPOINT_MS, "the checkpoint has not ended yet");
		return FLASH_VERDICT_DECLINE;
	}
	prepare->next_look_ns = Min(now_ns + CHECKPOINT_LOOK_MS * LTTLE_NS_PER_MS, prepare->deadline_ns);
	return FLASH_VERDICT_PENDING;
}
