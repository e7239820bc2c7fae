/*
 * The functions of schema lttle: arguments and results; the work is done by the modules they call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "activity.h"
#include "activity_hooks.h"
#include "clock.h"
#include "flash_lock.h"
#include "flash_state.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(lttle_flash_status);
PG_FUNCTION_INFO_V1(lttle_flash_snapshot);
PG_FUNCTION_INFO_V1(lttle_flash_lock);
PG_FUNCTION_INFO_V1(lttle_flash_unlock);
PG_FUNCTION_INFO_V1(lttle_flash_unlock_all);
PG_FUNCTION_INFO_V1(lttle_flash_locks);
PG_FUNCTION_INFO_V1(lttle_flash_activity);

static void
require_preloading(void)
{
	if (!lttle_activity_is_available())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("lttle_pg must be loaded by \"shared_preload_libraries\""),
						errhint("Add lttle_pg to the setting \"shared_preload_libraries\" and restart the server.")));
}

/*
 * Names and messages are kept in UTF-8, since sessions of any encoding see them. Where the database's encoding is
 * another one, what is not ASCII is shown as '?' rather than to fail.
 */
static Datum
text_datum_from_utf8(const char *utf8)
{
	char *copy;

	if (GetDatabaseEncoding() == PG_UTF8)
	{
		if (pg_verify_mbstr(PG_UTF8, utf8, (int) strlen(utf8), true))
			return CStringGetTextDatum(utf8);
	}
	copy = pstrdup(utf8);
	for (char *c = copy; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	return CStringGetTextDatum(copy);
}

/*
 * flash_status
 */

Datum
lttle_flash_status(PG_FUNCTION_ARGS)
{
	FlashStatus status;
	TupleDesc descriptor;
	Datum values[9] = {0};
	bool nulls[9] = {false};

	require_preloading();
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	lttle_flash_state_get(&status);

	values[0] = BoolGetDatum(status.connected);
	values[1] = CStringGetTextDatum(lttle_flash_state_name_phase(status.phase));
	values[2] = Int32GetDatum(lttle_flash_lock_count());
	values[3] = Int64GetDatum((int64) status.suspends);
	nulls[4] = nulls[5] = nulls[6] = status.suspends == 0;
	if (status.suspends > 0)
	{
		Interval *slept = palloc0(sizeof(Interval));

		slept->time = (TimeOffset) status.last_slept_ms * 1000;
		values[4] = TimestampTzGetDatum(status.last_suspended);
		values[5] = TimestampTzGetDatum(status.last_resumed);
		values[6] = IntervalPGetDatum(slept);
	}
	nulls[7] = status.woken_by[0] == '\0';
	if (!nulls[7])
		values[7] = text_datum_from_utf8(status.woken_by);
	nulls[8] = status.last_error[0] == '\0';
	if (!nulls[8])
		values[8] = text_datum_from_utf8(status.last_error);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

/*
 * flash_snapshot: the request waits in this session until the calling statement has ended.
 */

static uint32 snapshot_timeout_ms = 0; /* 0: none was asked for */
static bool snapshot_is_committed = false;
static bool snapshot_callback_is_registered = false;

static void
snapshot_at_transaction_end(XactEvent event, void *argument pg_attribute_unused())
{
	uint32 timeout_ms = snapshot_timeout_ms;

	if (timeout_ms == 0)
		return;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		snapshot_is_committed = true;
	else if (event != XACT_EVENT_ABORT)
		return;
	/* A procedure has committed or rolled back, but the calling statement goes on. */
	if (lttle_activity_is_inside_statement())
	{
		if (!snapshot_is_committed)
			snapshot_timeout_ms = 0;
		return;
	}
	snapshot_timeout_ms = 0;
	if (snapshot_is_committed)
		lttle_flash_state_request_snapshot(timeout_ms);
	snapshot_is_committed = false;
}

/* Returns the interval in milliseconds, or 0 when it is out of bounds. */
static uint32
interval_get_timeout_ms(const Interval *interval)
{
	int64 ms;

	if (interval->month != 0 || interval->day < 0 || interval->day > 1)
		return 0;
	ms = interval->time / 1000;
	if (ms < -LTTLE_SNAPSHOT_TIMEOUT_MAX_MS || ms > LTTLE_SNAPSHOT_TIMEOUT_MAX_MS)
		return 0;
	ms += (int64) interval->day * 86400000;
	if (ms < LTTLE_SNAPSHOT_TIMEOUT_MIN_MS || ms > LTTLE_SNAPSHOT_TIMEOUT_MAX_MS)
		return 0;
	return (uint32) ms;
}

Datum
lttle_flash_snapshot(PG_FUNCTION_ARGS)
{
	uint32 timeout_ms = (uint32) lttle_snapshot_timeout_ms;
	FlashStatus status;

	require_preloading();
	if (!PG_ARGISNULL(0))
		timeout_ms = interval_get_timeout_ms(PG_GETARG_INTERVAL_P(0));
	if (timeout_ms == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("timeout must be between 100 milliseconds and 1 day")));
	lttle_flash_state_get(&status);
	if (!status.connected)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no coordinator is connected"),
						errdetail("The flash worker is %s.", lttle_flash_state_name_phase(status.phase)),
						errhint("See lttle_pg.enabled, lttle_pg.socket and the server's log.")));
	if (!snapshot_callback_is_registered)
	{
		RegisterXactCallback(snapshot_at_transaction_end, NULL);
		snapshot_callback_is_registered = true;
	}
	snapshot_timeout_ms = timeout_ms;
	snapshot_is_committed = false;
	PG_RETURN_VOID();
}

/*
 * Flash locks
 */

/* The name in UTF-8, checked. */
static char *
get_lock_name(const text *argument)
{
	char *name = text_to_cstring(argument);
	char *utf8;

	if (*name == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the name of a flash lock must not be empty")));
	utf8 = pg_server_to_any(name, (int) strlen(name), PG_UTF8);
	if (strlen(utf8) >= LTTLE_ACTIVITY_NAME_BYTES)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG), errmsg("the name of a flash lock is too long"),
						errdetail("It has %zu bytes in UTF-8, the limit is %d.", strlen(utf8),
								  LTTLE_ACTIVITY_NAME_BYTES - 1)));
	return utf8;
}

Datum
lttle_flash_lock(PG_FUNCTION_ARGS)
{
	require_preloading();
	lttle_flash_lock_take(get_lock_name(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

Datum
lttle_flash_unlock(PG_FUNCTION_ARGS)
{
	char *name;
	bool released;

	require_preloading();
	name = get_lock_name(PG_GETARG_TEXT_PP(0));
	released = lttle_flash_lock_release(name);
	if (!released)
		ereport(WARNING, (errmsg("you don't hold a flash lock \"%s\"", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	PG_RETURN_BOOL(released);
}

Datum
lttle_flash_unlock_all(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	require_preloading();
	lttle_flash_lock_release_all();
	PG_RETURN_VOID();
}

Datum
lttle_flash_locks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FlashLock *locks;
	int count;

	require_preloading();
	InitMaterializedSRF(fcinfo, 0);
	locks = lttle_flash_lock_list(&count);
	for (int i = 0; i < count; i++)
	{
		Datum values[3];
		bool nulls[3] = {false};

		values[0] = Int32GetDatum(locks[i].pid);
		values[1] = text_datum_from_utf8(locks[i].name);
		values[2] = TimestampTzGetDatum(locks[i].since);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * flash_activity
 */

static TimestampTz
timestamp_from_clock(uint64 then_ns, uint64 now_ns, TimestampTz now)
{
	return now - (TimestampTz) (now_ns > then_ns ? (now_ns - then_ns) / 1000 : 0);
}

Datum
lttle_flash_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	uint64 now_ns = lttle_clock_now_ns();

	require_preloading();
	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; i < lttle_activity_count_slots(); i++)
	{
		ActivityReport report;
		Datum values[8];
		bool nulls[8] = {false};

		if (!lttle_activity_read(i, now_ns, &report))
			continue;
		values[0] = Int32GetDatum(report.pid);
		values[1] = CStringGetTextDatum(lttle_activity_name_kind(report.kind));
		values[2] = CStringGetTextDatum(lttle_activity_name_state(report.state));
		values[3] = TimestampTzGetDatum(timestamp_from_clock(report.since_ns, now_ns, now));
		values[4] = BoolGetDatum(report.busy || report.lock_count > 0);
		values[5] = Int64GetDatum((int64) report.statements);
		values[6] = Int32GetDatum((int32) report.lock_count);
		nulls[7] = report.lock_count == 0;
		values[7] = nulls[7] ? (Datum) 0 : text_datum_from_utf8(report.lock_name);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
