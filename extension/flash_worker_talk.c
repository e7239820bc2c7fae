/*
 * What the flash worker and the coordinator say to each other: greeting, snapshots, PREPARE, RESUMED.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "flash_worker_internal.h"
#include "settings.h"

#define SNAPSHOT_RETRY_MAX_MS	 60000
#define SNAPSHOT_ATTEMPTS		 6
#define MESSAGES_PER_ROUND		 16
#define PREPARE_DEFAULT_MS		 1000
#define PREPARE_MAX_MS			 600000
#define HIBERNATE_SILENCE_MIN_MS 1000
#define HIBERNATE_SILENCE_MAX_MS 60000
#define SLEPT_MAX_MS			 (UINT64_C(100) * 365 * 86400 * 1000)

static void
worker_send_snapshot(FlashWorker *worker, uint64 timeout_ms, bool for_start)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "SNAPSHOT", "1");
	lttle_flash_writer_add_number(&writer, "TIMEOUT_MS", timeout_ms);
	worker->snapshot_is_for_start = for_start;
	worker->snapshot_until_ns = lttle_clock_deadline_ns(timeout_ms);
	lttle_worker_send(worker, &writer);
}

/* Asks for what is due, one at a time. */
void
lttle_worker_start_snapshot(FlashWorker *worker)
{
	uint32 timeout_ms;

	if (lttle_flash_state_take_request(&timeout_ms))
	{
		worker->request_is_waiting = true;
		worker->request_timeout_ms = timeout_ms;
	}
	if (!worker->status.connected || worker->snapshot_until_ns != 0)
		return;
	if (worker->request_is_waiting)
	{
		worker->request_is_waiting = false;
		worker_send_snapshot(worker, worker->request_timeout_ms, false);
	}
	else if (lttle_snapshot_at_start && !worker->status.start_snapshot_is_over &&
			 lttle_clock_now_ns() >= worker->start_snapshot_at_ns)
	{
		worker->start_snapshot_attempts++;
		worker_send_snapshot(worker, (uint64) lttle_snapshot_timeout_ms, true);
	}
}

void
lttle_worker_fail_snapshot(FlashWorker *worker, const char *error)
{
	bool gives_up;

	worker->snapshot_until_ns = 0;
	lttle_worker_record_error(worker, error);
	if (!worker->snapshot_is_for_start)
	{
		ereport(LOG, (errmsg("lttle_pg: no snapshot: %s", worker->status.last_error)));
		return;
	}
	gives_up = worker->start_snapshot_attempts >= SNAPSHOT_ATTEMPTS;
	ereport(LOG, (errmsg("lttle_pg: no snapshot at the start: %s", worker->status.last_error),
				  gives_up ? errdetail("It is not tried again; the coordinator suspends an idle server all the same.")
						   : errdetail("It is tried again in %.1f s.", (double) worker->start_snapshot_ms / 1000.0)));
	worker->status.start_snapshot_is_over = gives_up;
	worker->start_snapshot_at_ns = lttle_clock_deadline_ns(worker->start_snapshot_ms);
	worker->start_snapshot_ms = Min(worker->start_snapshot_ms * 2, SNAPSHOT_RETRY_MAX_MS);
}

static void
worker_finish_snapshot(FlashWorker *worker)
{
	if (worker->snapshot_is_for_start)
		worker->status.start_snapshot_is_over = true;
	worker->snapshot_until_ns = 0;
	lttle_worker_record_error(worker, "");
}

static void
worker_take_hello(FlashWorker *worker)
{
	if (worker->greeting_until_ns == 0)
		return;
	worker->greeting_until_ns = 0;
	worker->status.connected = true;
	worker->was_ever_greeted = true;
	worker->greeted_at_ns = lttle_clock_now_ns();
	/* Garbage, or messages left unread, may follow every greeting anew: that is still one line. */
	if (worker->logged_trouble == FLASH_TROUBLE_NONE || worker->logged_trouble == FLASH_TROUBLE_GARBAGE ||
		worker->logged_trouble == FLASH_TROUBLE_FULL)
		return;
	ereport(LOG, (errmsg("lttle_pg: connected to the coordinator at \"%s\"", worker->connected_path)));
	worker->logged_trouble = FLASH_TROUBLE_NONE;
}

static void
worker_take_resumed(FlashWorker *worker, const LttleFlashMessage *message)
{
	const char *woken_by = lttle_flash_message_get(message, "WOKEN_BY");
	const char *from = lttle_flash_message_get(message, "FROM");
	uint64 slept_ms = 0;

	lttle_flash_message_get_number(message, "SLEPT_MS", SLEPT_MAX_MS, &slept_ms);
	worker->prepare.is_open = false;
	worker->status.suspends++;
	worker->status.last_resumed = GetCurrentTimestamp();
	worker->status.last_suspended = worker->status.last_resumed - (TimestampTz) slept_ms * 1000;
	worker->status.last_slept_ms = slept_ms;
	/* Also a suspend that the coordinator began by itself makes the one at the start superfluous. */
	worker->status.start_snapshot_is_over = true;
	memset(worker->status.woken_by, 0, sizeof(worker->status.woken_by));
	for (size_t i = 0; woken_by != NULL && woken_by[i] != '\0' && i < sizeof(worker->status.woken_by) - 1; i++)
		worker->status.woken_by[i] = (char) (woken_by[i] >= 0x20 && woken_by[i] < 0x7f ? woken_by[i] : '?');
	worker->status.phase = FLASH_PHASE_READY;
	lttle_worker_check_wall_clock(worker);
	/* Again, for what was seeded between the answer to PREPARE and the freeze. A thawed process repeats nothing. */
	if (from != NULL && strcmp(from, "hibernated") == 0)
		lttle_flash_state_advance_generation();
}

static void
worker_decline(FlashWorker *worker, const char *reason, uint64 retry_ms)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "DECLINE", reason);
	lttle_flash_writer_add_number(&writer, "RETRY_MS", retry_ms);
	lttle_worker_send(worker, &writer);
}

static void
worker_take_prepare(FlashWorker *worker, const LttleFlashMessage *message, const char *kind)
{
	uint64 deadline_ms = PREPARE_DEFAULT_MS;
	bool hibernate = strcmp(kind, "hibernate") == 0;

	if (!hibernate && strcmp(kind, "suspend") != 0)
	{
		worker_decline(worker, "this kind of suspend is not known here", SNAPSHOT_RETRY_MAX_MS);
		return;
	}
	lttle_flash_message_get_number(message, "DEADLINE_MS", PREPARE_MAX_MS, &deadline_ms);
	lttle_flash_prepare_begin(&worker->prepare, hibernate, deadline_ms);
	worker->status.phase = FLASH_PHASE_PREPARING;
}

static void
worker_cancel_prepare(FlashWorker *worker)
{
	worker->prepare.is_open = false;
	worker->agreed_at = 0;
	worker->status.phase = FLASH_PHASE_READY;
}

/* Returns false when the connection had to be dropped. */
static bool
worker_take_message(FlashWorker *worker, const LttleFlashMessage *message)
{
	const char *value;

	if (lttle_flash_message_get(message, "HELLO") != NULL)
		worker_take_hello(worker);
	else if (!worker->status.connected)
	{
		lttle_worker_drop(worker, FLASH_TROUBLE_GARBAGE, "HELLO is not answered first");
		return false;
	}
	if (lttle_flash_message_get(message, "RESUMED") != NULL)
		worker_take_resumed(worker, message);
	if (lttle_flash_message_get(message, "CANCEL") != NULL)
		worker_cancel_prepare(worker);
	if (worker->snapshot_until_ns != 0)
	{
		value = lttle_flash_message_get(message, "ERROR");
		if (value != NULL)
			lttle_worker_fail_snapshot(worker, value);
		else if (lttle_flash_message_get(message, "OK") != NULL)
			worker_finish_snapshot(worker);
	}
	value = lttle_flash_message_get(message, "PREPARE");
	if (value != NULL)
		worker_take_prepare(worker, message, value);
	return lttle_flash_channel_is_open(&worker->channel);
}

/* Returns true when there may be more to read. */
bool
lttle_worker_receive(FlashWorker *worker)
{
	for (int i = 0; i < MESSAGES_PER_ROUND; i++)
	{
		LttleFlashMessage message;
		const char *problem;

		if (!lttle_flash_channel_is_open(&worker->channel))
			return false;
		switch (lttle_flash_channel_receive(&worker->channel, &message, &problem))
		{
			case FLASH_RECEIVED_MESSAGE:
				worker_take_message(worker, &message);
				break;
			case FLASH_RECEIVED_NOTHING:
				return false;
			case FLASH_RECEIVED_END:
				lttle_worker_drop(worker, FLASH_TROUBLE_LOST, problem);
				return false;
			case FLASH_RECEIVED_GARBAGE:
				lttle_worker_drop(worker, FLASH_TROUBLE_GARBAGE, problem);
				return false;
		}
	}
	return true;
}

/*
 * A snapshot on disk can't hold a socket whose other end is outside: until the server is frozen the coordinator refuses
 * connections, and at a wake it waits for one. So the worker tries again soon, and is there at once when it runs again,
 * because its wait has then long ended.
 */
static void
worker_leave_for_hibernation(FlashWorker *worker, uint64 deadline_ms)
{
	uint64 silence_ms = Min(Max(deadline_ms, HIBERNATE_SILENCE_MIN_MS), HIBERNATE_SILENCE_MAX_MS);

	lttle_worker_close(worker);
	worker->refused_until_ns = lttle_clock_deadline_ns(silence_ms);
	worker->reconnect_ms = RECONNECT_MIN_MS;
	worker->reconnect_at_ns = lttle_clock_deadline_ns(RECONNECT_MIN_MS);
	lttle_worker_set_alarm(RECONNECT_MIN_MS);
	worker->status.phase = FLASH_PHASE_AGREED;
}

void
lttle_worker_continue_prepare(FlashWorker *worker)
{
	uint64 now_ns = lttle_clock_now_ns();
	uint64 left_ms;

	if (!worker->prepare.is_open || now_ns < worker->prepare.next_look_ns)
		return;
	switch (lttle_flash_prepare_continue(&worker->prepare))
	{
		case FLASH_VERDICT_PENDING:
			break;
		case FLASH_VERDICT_DECLINE:
			worker->prepare.is_open = false;
			worker_decline(worker, worker->prepare.reason, worker->prepare.retry_ms);
			break;
		case FLASH_VERDICT_AGREE:
			worker->prepare.is_open = false;
			worker->agreed_at = GetCurrentTimestamp();
			/*
			 * Now and not at RESUMED: the query that wakes the server runs before the coordinator can be reached
			 * again, and what it seeds with comes from the kernel that it then runs on.
			 */
			if (worker->prepare.hibernate)
				lttle_flash_state_advance_generation();
			if (!lttle_worker_send_flag(worker, "AGREE"))
				break;
			worker->status.phase = FLASH_PHASE_AGREED;
			left_ms =
				worker->prepare.deadline_ns > now_ns ? (worker->prepare.deadline_ns - now_ns) / LTTLE_NS_PER_MS : 0;
			/* With the answer still unsent this end has to stay open; the coordinator then does not freeze. */
			if (worker->prepare.hibernate && !lttle_flash_channel_has_unsent(&worker->channel))
				worker_leave_for_hibernation(worker, left_ms);
			break;
	}
}
