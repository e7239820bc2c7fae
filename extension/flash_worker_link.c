/*
 * The flash worker's connection: opened and closed as settings and time demand, tried again at growing intervals, and
 * one line in the log for each kind of trouble.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "clock.h"
#include "flash_worker_internal.h"
#include "settings.h"

#define RECONNECT_MAX_MS	   30000
#define RECONNECT_MAX_NEVER_MS 60000 /* while no coordinator was ever there */
#define CONNECTION_PROVEN_MS   60000 /* a connection that lasted so long was a good one */
#define UNSENT_MAX_MS		   5000

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

void
lttle_worker_record_error(FlashWorker *worker, const char *error)
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
void
lttle_worker_hasten_reconnect(FlashWorker *worker)
{
	worker->reconnect_at_ns = 0;
	worker->reconnect_ms = RECONNECT_MIN_MS;
}

/* Closes the connection and forgets what was under way on it. */
void
lttle_worker_close(FlashWorker *worker)
{
	lttle_flash_channel_close(&worker->channel);
	worker->status.connected = false;
	worker->prepare.is_open = false;
	worker->greeting_until_ns = 0;
	worker->unsent_until_ns = 0;
	if (worker->snapshot_until_ns != 0 || worker->request_is_waiting)
		lttle_worker_record_error(worker, "the connection to the coordinator was lost");
	worker->snapshot_until_ns = 0;
	worker->request_is_waiting = false;
	worker->status.phase = FLASH_PHASE_DISCONNECTED;
}

void
lttle_worker_drop(FlashWorker *worker, FlashTrouble trouble, const char *detail)
{
	bool worked = worker->status.connected && trouble == FLASH_TROUBLE_LOST;
	bool expected = trouble == FLASH_TROUBLE_ABSENT && lttle_clock_now_ns() < worker->refused_until_ns;

	if (worker->status.connected &&
		lttle_clock_now_ns() - worker->greeted_at_ns >= CONNECTION_PROVEN_MS * LTTLE_NS_PER_MS)
		worker->logged_trouble = FLASH_TROUBLE_NONE;
	if (!expected)
		worker_log_trouble(worker, trouble, detail);
	lttle_worker_close(worker);
	worker_plan_reconnect(worker, worked);
}

/* Returns false when the connection had to be dropped. */
bool
lttle_worker_check_sent(FlashWorker *worker, int error)
{
	if (error == ENOBUFS)
		lttle_worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (error != 0)
		lttle_worker_drop(worker, FLASH_TROUBLE_LOST, strerror(error));
	if (error != 0)
		return false;
	if (!lttle_flash_channel_has_unsent(&worker->channel))
		worker->unsent_until_ns = 0;
	else if (worker->unsent_until_ns == 0)
		worker->unsent_until_ns = lttle_clock_now_ns() + UNSENT_MAX_MS * LTTLE_NS_PER_MS;
	return true;
}

bool
lttle_worker_send(FlashWorker *worker, const LttleFlashWriter *writer)
{
	return lttle_worker_check_sent(worker, lttle_flash_channel_send(&worker->channel, writer));
}

bool
lttle_worker_send_flag(FlashWorker *worker, const char *key)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, key, "1");
	return lttle_worker_send(worker, &writer);
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
	worker->greeting_until_ns = lttle_clock_deadline_ns((uint64) lttle_snapshot_timeout_ms);
	if (lttle_worker_send(worker, &writer))
		lttle_worker_send_flag(worker, "READY");
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
		lttle_worker_drop(worker, FLASH_TROUBLE_FULL, "");
	else if (error != 0)
		lttle_worker_drop(worker, FLASH_TROUBLE_ABSENT, strerror(error));
	else
		worker_greet(worker);
}

/* Opens or closes the connection as settings and time demand. */
void
lttle_worker_keep_connection(FlashWorker *worker)
{
	bool is_open = lttle_flash_channel_is_open(&worker->channel);

	if (!lttle_enabled || *lttle_socket == '\0')
	{
		lttle_worker_close(worker);
		lttle_worker_hasten_reconnect(worker);
		worker->status.phase = FLASH_PHASE_DISABLED;
		return;
	}
	if (is_open && strcmp(worker->connected_path, lttle_socket) != 0)
	{
		lttle_worker_close(worker);
		lttle_worker_hasten_reconnect(worker);
		is_open = false;
	}
	if (!is_open && lttle_clock_now_ns() >= worker->reconnect_at_ns)
		worker_connect(worker);
}
