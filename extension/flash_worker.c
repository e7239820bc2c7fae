/*
 * The flash worker: a background worker that connects to the coordinator's socket once recovery is over, greets, asks
 * for the first snapshot, answers PREPARE and takes RESUMED.
 *
 * It never blocks anywhere but in WaitLatchOrSocket, and sets a time-out there only while something is due: connected
 * and at rest it is not scheduled at all. After a long freeze every deadline has passed at once; messages are therefore
 * read before deadlines are looked at.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "activity.h"
#include "clock.h"
#include "flash_channel.h"
#include "flash_prepare.h"
#include "flash_state.h"
#include "flash_worker.h"
#include "settings.h"

#define RESTART_SECONDS			 5
#define RECONNECT_MIN_MS		 100
#define RECONNECT_MAX_MS		 30000
#define RECONNECT_MAX_NEVER_MS	 60000 /* while no coordinator was ever there */
#define CONNECTION_PROVEN_MS	 60000 /* a connection that lasted so long was a good one */
#define UNSENT_MAX_MS			 5000
#define SNAPSHOT_RETRY_MIN_MS	 1000
#define SNAPSHOT_RETRY_MAX_MS	 60000
#define SNAPSHOT_ATTEMPTS		 6
#define MESSAGES_PER_ROUND		 16
#define PREPARE_DEFAULT_MS		 1000
#define PREPARE_MAX_MS			 600000
#define HIBERNATE_SILENCE_MIN_MS 1000
#define HIBERNATE_SILENCE_MAX_MS 60000
#define SLEPT_MAX_MS			 (UINT64_C(100) * 365 * 86400 * 1000)

/* Why the coordinator can't be reached; one line in the log for each, not one for each try. */
typedef enum FlashTrouble
{
	FLASH_TROUBLE_NONE = 0,
	FLASH_TROUBLE_ABSENT,
	FLASH_TROUBLE_LOST,
	FLASH_TROUBLE_GARBAGE,
	FLASH_TROUBLE_SILENT,
	FLASH_TROUBLE_FULL
} FlashTrouble;

typedef struct FlashWorker
{
	FlashChannel channel;
	FlashPrepare prepare;
	FlashStatus status;
	FlashStatus published;
	MemoryContext round_context;
	char *connected_path; /* the setting's value when the connection was tried */

	bool was_ever_greeted;
	FlashTrouble logged_trouble;
	uint64 reconnect_ms;	  /* the next interval */
	uint64 reconnect_at_ns;	  /* while closed */
	uint64 greeting_until_ns; /* 0: not waited for */
	uint64 greeted_at_ns;
	uint64 unsent_until_ns; /* 0: nothing is unsent */

	/* The snapshot at the start: tried until it is answered OK, given up after some attempts. */
	uint64 start_snapshot_at_ns;
	uint64 start_snapshot_ms;
	int start_snapshot_attempts;
	/* The one that is asked for in SQL, when it has to wait for the one under way. */
	bool request_is_waiting;
	uint32 request_timeout_ms;
	/* The one under way. */
	bool snapshot_is_for_start;
	uint64 snapshot_until_ns; /* 0: none */
} FlashWorker;

static bool i_am_the_worker = false;

bool
lttle_flash_worker_is_me(void)
{
	return i_am_the_worker;
}

static void
worker_set_phase(FlashWorker *worker, FlashPhase phase)
{
	worker->status.phase = phase;
}

/* The phase of a connected worker follows from what is under way. */
static void
worker_update_phase(FlashWorker *worker)
{
	if (!lttle_flash_channel_is_open(&worker->channel))
		return;
	if (worker->greeting_until_ns != 0)
		worker_set_phase(worker, FLASH_PHASE_GREETING);
	else if (worker->prepare.is_open)
		worker_set_phase(worker, FLASH_PHASE_PREPARING);
	else if (worker->status.phase == FLASH_PHASE_AGREED)
		return;
	else if (worker->snapshot_until_ns != 0)
		worker_set_phase(worker, FLASH_PHASE_SNAPSHOT);
	else
		worker_set_phase(worker, FLASH_PHASE_READY);
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

/*
 * The connection
 */

static void
worker_log_trouble(FlashWorker *worker, FlashTrouble trouble, const char *detail)
{
	int level = trouble == worker->logged_trouble ? DEBUG1 : LOG;

	worker->logged_trouble = trouble;
	switch (trouble)
	{
		case FLASH_TROUBLE_ABSENT:
			ereport(level, (errmsg("lttle_pg: no coordinator at \"%s\": %s", worker->connected_path, detail),
							errdetail("The server runs without one; the connection is tried again at growing "
									  "intervals.")));
			break;
		case FLASH_TROUBLE_LOST:
			ereport(level, (errmsg("lttle_pg: lost the connection to the coordinator: %s", detail)));
			break;
		case FLASH_TROUBLE_GARBAGE:
			ereport(level, (errmsg("lttle_pg: the coordinator sent what is no message: %s", detail)));
			break;
		case FLASH_TROUBLE_SILENT:
			ereport(level, (errmsg("lttle_pg: the coordinator at \"%s\" does not answer", worker->connected_path)));
			break;
		case FLASH_TROUBLE_FULL:
			ereport(level, (errmsg("lttle_pg: the coordinator does not read its messages")));
			break;
		case FLASH_TROUBLE_NONE:
			break;
	}
}

static void
worker_record_error(FlashWorker *worker, const char *error)
{
	memset(worker->status.last_error, 0, sizeof(worker->status.last_error));
	/* It comes from outside and will be shown in databases of any encoding. */
	for (size_t i = 0; error[i] != '\0' && i < sizeof(worker->status.last_error) - 1; i++)
		worker->status.last_error[i] = (char) (error[i] >= 0x20 && error[i] < 0x7f ? error[i] : '?');
}

/* Plans the next try; the interval begins anew after a connection that worked. */
static void
worker_plan_reconnect(FlashWorker *worker, bool begin_anew)
{
	uint64 max_ms = worker->was_ever_greeted ? RECONNECT_MAX_MS : RECONNECT_MAX_NEVER_MS;

	if (begin_anew || worker->reconnect_ms == 0)
		worker->reconnect_ms = RECONNECT_MIN_MS;
	worker->reconnect_at_ns = lttle_clock_now_ns() + worker->reconnect_ms * LTTLE_NS_PER_MS;
	worker->reconnect_ms = Min(worker->reconnect_ms * 2, max_ms);
}

/* The next try is now, and the intervals begin anew. */
static void
worker_hasten_reconnect(FlashWorker *worker)
{
	worker->reconnect_at_ns = 0;
	worker->reconnect_ms = RECONNECT_MIN_MS;
}

/* Closes the connection and forgets what was under way on it. */
static void
worker_close(FlashWorker *worker)
{
	lttle_flash_channel_close(&worker->channel);
	worker->status.connected = false;
	worker->prepare.is_open = false;
	worker->greeting_until_ns = 0;
	worker->unsent_until_ns = 0;
	if (worker->snapshot_until_ns != 0 || worker->request_is_waiting)
		worker_record_error(worker, "the connection to the coordinator was lost");
	worker->snapshot_until_ns = 0;
	worker->request_is_waiting = false;
	worker_set_phase(worker, FLASH_PHASE_DISCONNECTED);
}

static void
worker_drop(FlashWorker *worker, FlashTrouble trouble, const char *detail)
{
	bool worked = worker->status.connected && trouble == FLASH_TROUBLE_LOST;

	if (worker->status.connected &&
		lttle_clock_now_ns() - worker->greeted_at_ns >= CONNECTION_PROVEN_MS * LTTLE_NS_PER_MS)
		worker->logged_trouble = FLASH_TROUBLE_NONE;
	worker_log_trouble(worker, trouble, detail);
	worker_close(worker);
	worker_plan_reconnect(worker, worked);
}

/* Returns false when the connection had to be dropped. */
static bool
worker_check_sent(FlashWorker *worker, int error)
{
	if (error == ENOBUFS)
		worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (error != 0)
		worker_drop(worker, FLASH_TROUBLE_LOST, strerror(error));
	if (error != 0)
		return false;
	if (!lttle_flash_channel_has_unsent(&worker->channel))
		worker->unsent_until_ns = 0;
	else if (worker->unsent_until_ns == 0)
		worker->unsent_until_ns = lttle_clock_now_ns() + UNSENT_MAX_MS * LTTLE_NS_PER_MS;
	return true;
}

static bool
worker_send(FlashWorker *worker, const LttleFlashWriter *writer)
{
	return worker_check_sent(worker, lttle_flash_channel_send(&worker->channel, writer));
}

static bool
worker_send_flag(FlashWorker *worker, const char *key)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, key, "1");
	return worker_send(worker, &writer);
}

static uint64
deadline_from_now(uint64 ms)
{
	return lttle_clock_now_ns() + ms * LTTLE_NS_PER_MS;
}

static void
worker_greet(FlashWorker *worker)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "HELLO", "1");
	lttle_flash_writer_add(&writer, "VERSION", LTTLE_FLASH_PROTOCOL_VERSION);
	lttle_flash_writer_add(&writer, "PG_VERSION", GetConfigOption("server_version", false, false));
	lttle_flash_writer_add_number(&writer, "SYSTEM_ID", GetSystemIdentifier());
	lttle_flash_writer_add_number(&writer, "PID", (uint64) PostmasterPid);
	worker->greeting_until_ns = deadline_from_now((uint64) lttle_snapshot_timeout_ms);
	if (worker_send(worker, &writer))
		worker_send_flag(worker, "READY");
}

static void
worker_connect(FlashWorker *worker)
{
	int error;

	if (worker->connected_path != NULL)
		pfree(worker->connected_path);
	worker->connected_path = MemoryContextStrdup(TopMemoryContext, lttle_socket);
	error = lttle_flash_channel_open(&worker->channel, worker->connected_path);
	if (error == EAGAIN)
		worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (error != 0)
		worker_drop(worker, FLASH_TROUBLE_ABSENT, strerror(error));
	else
		worker_greet(worker);
}

/*
 * Snapshots
 */

static void
worker_send_snapshot(FlashWorker *worker, uint64 timeout_ms, bool for_start)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "SNAPSHOT", "1");
	lttle_flash_writer_add_number(&writer, "TIMEOUT_MS", timeout_ms);
	worker->snapshot_is_for_start = for_start;
	worker->snapshot_until_ns = deadline_from_now(timeout_ms);
	worker_send(worker, &writer);
}

/* Asks for what is due, one at a time. */
static void
worker_start_snapshot(FlashWorker *worker)
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

static void
worker_fail_snapshot(FlashWorker *worker, const char *error)
{
	bool gives_up;

	worker->snapshot_until_ns = 0;
	worker_record_error(worker, error);
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
	worker->start_snapshot_at_ns = deadline_from_now(worker->start_snapshot_ms);
	worker->start_snapshot_ms = Min(worker->start_snapshot_ms * 2, SNAPSHOT_RETRY_MAX_MS);
}

static void
worker_finish_snapshot(FlashWorker *worker)
{
	if (worker->snapshot_is_for_start)
		worker->status.start_snapshot_is_over = true;
	worker->snapshot_until_ns = 0;
	worker_record_error(worker, "");
}

/*
 * Messages
 */

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
	worker_set_phase(worker, FLASH_PHASE_READY);
}

static void
worker_decline(FlashWorker *worker, const char *reason, uint64 retry_ms)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "DECLINE", reason);
	lttle_flash_writer_add_number(&writer, "RETRY_MS", retry_ms);
	worker_send(worker, &writer);
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
	worker_set_phase(worker, FLASH_PHASE_PREPARING);
}

static void
worker_cancel_prepare(FlashWorker *worker)
{
	worker->prepare.is_open = false;
	worker_set_phase(worker, FLASH_PHASE_READY);
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
		worker_drop(worker, FLASH_TROUBLE_GARBAGE, "HELLO is not answered first");
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
			worker_fail_snapshot(worker, value);
		else if (lttle_flash_message_get(message, "OK") != NULL)
			worker_finish_snapshot(worker);
	}
	value = lttle_flash_message_get(message, "PREPARE");
	if (value != NULL)
		worker_take_prepare(worker, message, value);
	return lttle_flash_channel_is_open(&worker->channel);
}

/* Returns true when there may be more to read. */
static bool
worker_receive(FlashWorker *worker)
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
				worker_drop(worker, FLASH_TROUBLE_LOST, problem);
				return false;
			case FLASH_RECEIVED_GARBAGE:
				worker_drop(worker, FLASH_TROUBLE_GARBAGE, problem);
				return false;
		}
	}
	return true;
}

/*
 * What is due
 */

/*
 * A snapshot on disk can't hold a socket whose other end is outside. The worker stays silent for as long as the
 * coordinator may need to freeze it, and connects anew when it runs again.
 */
static void
worker_leave_for_hibernation(FlashWorker *worker, uint64 deadline_ms)
{
	worker_close(worker);
	worker->reconnect_ms = RECONNECT_MIN_MS;
	worker->reconnect_at_ns =
		deadline_from_now(Min(Max(deadline_ms, HIBERNATE_SILENCE_MIN_MS), HIBERNATE_SILENCE_MAX_MS));
	worker_set_phase(worker, FLASH_PHASE_AGREED);
}

static void
worker_continue_prepare(FlashWorker *worker)
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
			if (!worker_send_flag(worker, "AGREE"))
				break;
			worker_set_phase(worker, FLASH_PHASE_AGREED);
			left_ms =
				worker->prepare.deadline_ns > now_ns ? (worker->prepare.deadline_ns - now_ns) / LTTLE_NS_PER_MS : 0;
			/* With the answer still unsent this end has to stay open; the coordinator then does not freeze. */
			if (worker->prepare.hibernate && !lttle_flash_channel_has_unsent(&worker->channel))
				worker_leave_for_hibernation(worker, left_ms);
			break;
	}
}

static void
worker_check_deadlines(FlashWorker *worker)
{
	uint64 now_ns = lttle_clock_now_ns();

	if (!lttle_flash_channel_is_open(&worker->channel))
		return;
	if (lttle_flash_channel_has_unsent(&worker->channel) &&
		!worker_check_sent(worker, lttle_flash_channel_flush(&worker->channel)))
		return;
	if (worker->unsent_until_ns != 0 && now_ns >= worker->unsent_until_ns)
		worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (worker->greeting_until_ns != 0 && now_ns >= worker->greeting_until_ns)
		worker_drop(worker, FLASH_TROUBLE_SILENT, "");
	else if (worker->snapshot_until_ns != 0 && now_ns >= worker->snapshot_until_ns)
		worker_fail_snapshot(worker, "the coordinator has not answered in time");
}

/* Opens or closes the connection as settings and time demand. */
static void
worker_keep_connection(FlashWorker *worker)
{
	bool is_open = lttle_flash_channel_is_open(&worker->channel);

	if (!lttle_enabled || *lttle_socket == '\0')
	{
		worker_close(worker);
		worker_hasten_reconnect(worker);
		worker_set_phase(worker, FLASH_PHASE_DISABLED);
		return;
	}
	if (is_open && strcmp(worker->connected_path, lttle_socket) != 0)
	{
		worker_close(worker);
		worker_hasten_reconnect(worker);
		is_open = false;
	}
	if (!is_open && lttle_clock_now_ns() >= worker->reconnect_at_ns)
		worker_connect(worker);
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
	bool more = worker_receive(worker);

	worker_keep_connection(worker);
	worker_check_deadlines(worker);
	worker_continue_prepare(worker);
	worker_start_snapshot(worker);
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
	worker_set_phase(worker, FLASH_PHASE_DISCONNECTED);
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
				worker_hasten_reconnect(worker);
		}
		MemoryContextReset(worker->round_context);
		MemoryContextSwitchTo(worker->round_context);
		if (!worker_run_round(worker))
			worker_wait(worker);
	}
	if (worker->status.connected)
		worker_send_flag(worker, "STOPPING");
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
