/* Machines and the event log in the store; see store.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

#define EVENTS_KEPT 10000

static int
put_machine(Store *store, const MachineRecord *record, bool durably, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_PUT_MACHINE, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, record->name_space);
	store_bind_text(statement, 2, record->name);
	store_bind_text(statement, 3, record->phase);
	store_bind_text(statement, 4, record->reason);
	store_bind_number(statement, 5, record->since_ms);
	store_bind_number(statement, 6, record->index);
	store_bind_number(statement, 7, (uint64_t) record->pid);
	store_bind_number(statement, 8, record->start_time);
	store_bind_number(statement, 9, record->suspends);
	store_bind_number(statement, 10, record->wakes);
	store_bind_number(statement, 11, record->last_wake_ms);
	store_bind_number(statement, 12, record->last_wake_us);
	store_bind_text(statement, 13, record->woken_by);
	store_bind_number(statement, 14, record->restarts);
	store_bind_number(statement, 15, record->delete_wanted);
	store_bind_text(statement, 16, record->image_id);
	store_bind_number(statement, 17, record->secrets_revision);
	store_bind_number(statement, 18, record->ended);
	store_bind_number(statement, 19, record->server_uid);
	return durably ? store_run_durably(store, statement, record->name, err)
				   : store_run(store, statement, record->name, err);
}

int
store_put_machine(Store *store, const MachineRecord *record, Error *err)
{
	return put_machine(store, record, false, err);
}

int
store_put_machine_durably(Store *store, const MachineRecord *record, Error *err)
{
	return put_machine(store, record, true, err);
}

static bool
read_machine(sqlite3_stmt *row, MachineRecord *ret_record)
{
	MachineRecord record = {0};
	uint64_t index;
	uint64_t pid;
	uint64_t restarts;
	uint64_t delete_wanted;
	uint64_t ended;
	uint64_t server_uid;

	if (!store_column_text(row, 0, record.name_space, sizeof(record.name_space)) ||
		!store_column_text(row, 1, record.name, sizeof(record.name)) ||
		!store_column_text(row, 2, record.phase, sizeof(record.phase)) ||
		!store_column_text(row, 3, record.reason, sizeof(record.reason)) ||
		!store_column_number(row, 4, INT64_MAX, &record.since_ms) || !store_column_number(row, 5, UINT_MAX, &index) ||
		!store_column_number(row, 6, INT_MAX, &pid) || !store_column_number(row, 7, INT64_MAX, &record.start_time) ||
		!store_column_number(row, 8, INT64_MAX, &record.suspends) ||
		!store_column_number(row, 9, INT64_MAX, &record.wakes) ||
		!store_column_number(row, 10, INT64_MAX, &record.last_wake_ms) ||
		!store_column_number(row, 11, INT64_MAX, &record.last_wake_us) ||
		!store_column_text(row, 12, record.woken_by, sizeof(record.woken_by)) ||
		!store_column_number(row, 13, UINT_MAX, &restarts) || !store_column_number(row, 14, 1, &delete_wanted) ||
		!store_column_text(row, 15, record.image_id, sizeof(record.image_id)) ||
		!store_column_number(row, 16, INT64_MAX, &record.secrets_revision) ||
		!store_column_number(row, 17, UINT16_MAX + UINT64_C(1), &ended) ||
		!store_column_number(row, 18, UINT32_MAX - UINT64_C(1), &server_uid))
		return false;
	record.index = (unsigned) index;
	record.ended = (unsigned) ended;
	record.server_uid = (uid_t) server_uid;
	record.pid = (pid_t) pid;
	record.restarts = (unsigned) restarts;
	record.delete_wanted = delete_wanted == 1;
	*ret_record = record;
	return true;
}

int
store_get_machine(Store *store, const char *name_space, const char *name, MachineRecord *ret_record, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_GET_MACHINE, &statement, err);
	bool readable;

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name_space);
	store_bind_text(statement, 2, name);
	result = store_step(store, statement, name, err);
	if (result < 0)
		return result;
	if (result == 0)
		return error_set(err, -ENOENT, "machine %s/%s is not in the store", name_space, name);
	readable = read_machine(statement, ret_record);
	store_reset(statement);
	if (!readable)
		return error_set(err, -EBADMSG, "machine %s/%s: its row in %s is damaged", name_space, name, store->path);
	return 0;
}

int
store_free_index(Store *store, unsigned max, unsigned *ret_index, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_FREE_INDEX, &statement, err);
	uint64_t index = 0;
	bool found;

	if (result < 0)
		return result;
	result = store_step(store, statement, "addresses", err);
	if (result < 0)
		return result;
	found = result > 0 && store_column_number(statement, 0, max, &index);
	store_reset(statement);
	if (!found)
		return error_set(err, -ENOSPC, "all %u addresses are in use", max);
	*ret_index = (unsigned) index;
	return 0;
}

int
store_add_event(Store *store, EventRecord *event, Error *err)
{
	sqlite3_stmt *statement = NULL;
	sqlite3_int64 id;
	int result = store_prepare(store, QUERY_ADD_EVENT, &statement, err);

	if (result < 0)
		return result;
	store_bind_number(statement, 1, event->time_ms);
	store_bind_text(statement, 2, event->name_space);
	store_bind_text(statement, 3, event->name);
	store_bind_text(statement, 4, event->phase);
	store_bind_text(statement, 5, event->reason);
	store_bind_number(statement, 6, event->took_us);
	result = store_run(store, statement, "events", err);
	if (result < 0)
		return result;
	/* A hundred too many are kept, so that trimming is rare. */
	id = sqlite3_last_insert_rowid(store->database);
	event->id = (uint64_t) id;
	if (id <= EVENTS_KEPT || id % 100 != 0)
		return 0;
	result = store_prepare(store, QUERY_TRIM_EVENTS, &statement, err);
	if (result < 0)
		return result;
	store_bind_number(statement, 1, (uint64_t) id - EVENTS_KEPT);
	return store_run(store, statement, "events", err);
}

static bool
read_event(sqlite3_stmt *row, EventRecord *ret_event)
{
	return store_column_number(row, 0, INT64_MAX, &ret_event->id) &&
		   store_column_number(row, 1, INT64_MAX, &ret_event->time_ms) &&
		   store_column_text(row, 2, ret_event->name_space, sizeof(ret_event->name_space)) &&
		   store_column_text(row, 3, ret_event->name, sizeof(ret_event->name)) &&
		   store_column_text(row, 4, ret_event->phase, sizeof(ret_event->phase)) &&
		   store_column_text(row, 5, ret_event->reason, sizeof(ret_event->reason)) &&
		   store_column_number(row, 6, INT64_MAX, &ret_event->took_us);
}

int
store_each_event(Store *store, const char *name_space, const char *name, unsigned last, StoreEventFunction function,
				 void *context, Error *err)
{
	bool all = name_space == NULL || name == NULL;
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, all ? QUERY_EACH_EVENT : QUERY_EACH_EVENT_OF, &statement, err);

	if (result < 0)
		return result;
	store_bind_number(statement, 1, last);
	if (!all)
	{
		store_bind_text(statement, 2, name_space);
		store_bind_text(statement, 3, name);
	}
	while ((result = store_step(store, statement, "events", err)) > 0)
	{
		EventRecord event = {0};

		/* A damaged line of a log is left out: nothing depends on it. */
		if (read_event(statement, &event))
			result = function(context, &event);
		if (result < 0)
		{
			store_reset(statement);
			return result;
		}
	}
	return result;
}
