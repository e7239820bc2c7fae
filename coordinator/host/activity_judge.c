/*
 * The judgement over an activity page: is anything going on in the machine, and what? Pure: values in, values out;
 * see activity.h.
 */
#include "host/activity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *const reason_names[] = {
	[ACTIVITY_NONE] = "none",	  [ACTIVITY_STATEMENT] = "statement",	[ACTIVITY_TRANSACTION] = "transaction",
	[ACTIVITY_LOCK] = "lock",	  [ACTIVITY_AUTOVACUUM] = "autovacuum", [ACTIVITY_REPLICATION] = "replication",
	[ACTIVITY_WORKER] = "worker", [ACTIVITY_CONNECTION] = "connection", [ACTIVITY_LOGIN] = "login",
};

/* Which reason is told when several hold: the one that says most comes first. What ends by itself comes after what
 * does not, because only the last of all may carry a time for the next look. */
static const unsigned char reason_ranks[] = {
	[ACTIVITY_NONE] = 0,		[ACTIVITY_CONNECTION] = 1, [ACTIVITY_TRANSACTION] = 2,
	[ACTIVITY_LOGIN] = 3,		[ACTIVITY_AUTOVACUUM] = 4, [ACTIVITY_WORKER] = 5,
	[ACTIVITY_REPLICATION] = 6, [ACTIVITY_STATEMENT] = 7,  [ACTIVITY_LOCK] = 8,
};

const char *
activity_reason_name(ActivityReason reason)
{
	size_t index = (size_t) reason;

	return index < sizeof(reason_names) / sizeof(reason_names[0]) ? reason_names[index] : "unknown";
}

bool
activity_slot_is_session(const ActivitySlot *slot)
{
	switch (slot->kind)
	{
		case LTTLE_KIND_AUTOVACUUM_WORKER:
		case LTTLE_KIND_PARALLEL_WORKER:
		case LTTLE_KIND_BACKGROUND_WORKER:
		case LTTLE_KIND_FLASH_WORKER:
		case LTTLE_KIND_AUXILIARY:
			return false;
		default:
			return true; /* an unknown kind is taken for the one that asks for most care */
	}
}

/* A time from the page; one that lies in the future is a lie or a torn write and counts as just now. */
static uint64_t
slot_since(const ActivitySlot *slot, uint64_t now_ns)
{
	return slot->since_ns < now_ns ? slot->since_ns : now_ns;
}

uint64_t
activity_slot_hold_end(const ActivitySlot *slot, uint32_t hold_ms, uint64_t now_ns)
{
	return slot_since(slot, now_ns) + (uint64_t) hold_ms * NS_PER_MS;
}

static ActivityReason
session_reason(const ActivitySlot *slot, const ActivityPage *page, uint64_t now_ns)
{
	bool walsender = slot->kind == LTTLE_KIND_WALSENDER;

	switch (slot->state)
	{
		case LTTLE_STATE_STARTING:
			return ACTIVITY_LOGIN;
		case LTTLE_STATE_IDLE:
			/* No hook sees a replication command: only the wait tells streaming from waiting for a command. */
			return walsender && slot->wait != ACTIVITY_WAIT_CLIENT ? ACTIVITY_REPLICATION : ACTIVITY_NONE;
		case LTTLE_STATE_FASTPATH:
			/* No hook sees the end of a fast-path call; one that is over and still stands here left a transaction open.
			 */
			if (slot->wait != ACTIVITY_WAIT_CLIENT)
				return ACTIVITY_STATEMENT;
			/* fall through */
		case LTTLE_STATE_IN_TRANSACTION:
			if (slot->ignored != LTTLE_COUNTS)
				return ACTIVITY_NONE;
			return activity_slot_hold_end(slot, page->transaction_hold_ms, now_ns) > now_ns ? ACTIVITY_TRANSACTION
																							: ACTIVITY_NONE;
		default:
			return walsender ? ACTIVITY_REPLICATION : ACTIVITY_STATEMENT;
	}
}

static ActivityReason
slot_reason(const ActivitySlot *slot, const ActivityPage *page, uint64_t now_ns)
{
	switch (slot->kind)
	{
		case LTTLE_KIND_FLASH_WORKER:
		case LTTLE_KIND_AUXILIARY:
			return ACTIVITY_NONE;
		case LTTLE_KIND_AUTOVACUUM_WORKER:
			return ACTIVITY_AUTOVACUUM;
		case LTTLE_KIND_PARALLEL_WORKER:
			return ACTIVITY_WORKER;
		default:
			break;
	}
	if (slot->lock_count > 0)
		return ACTIVITY_LOCK;
	if (slot->kind != LTTLE_KIND_BACKGROUND_WORKER)
		return session_reason(slot, page, now_ns);
	return slot->state == LTTLE_STATE_IDLE || slot->state == LTTLE_STATE_STARTING ? ACTIVITY_NONE : ACTIVITY_WORKER;
}

static void
duration_format(uint64_t ns, char text[32])
{
	uint64_t ms = ns / NS_PER_MS;

	if (ms < 1000)
		snprintf(text, 32, "%" PRIu64 " ms", ms);
	else if (ms < 180 * 1000)
		snprintf(text, 32, "%" PRIu64 " s", ms / 1000);
	else if (ms < 180 * 60 * 1000)
		snprintf(text, 32, "%" PRIu64 " min", ms / (60 * 1000));
	else
		snprintf(text, 32, "%" PRIu64 " h", ms / (3600 * 1000));
}

static void
verdict_describe(ActivityVerdict *verdict, const ActivitySlot *slot, uint64_t now_ns)
{
	char duration[32];

	duration_format(now_ns - slot_since(slot, now_ns), duration);
	if (verdict->reason == ACTIVITY_LOCK && slot->lock_name[0] != '\0')
		snprintf(verdict->detail, sizeof(verdict->detail), "lock '%s' of pid %u", slot->lock_name, slot->pid);
	else if (verdict->reason == ACTIVITY_LOCK)
		snprintf(verdict->detail, sizeof(verdict->detail), "%u locks of pid %u", slot->lock_count, slot->pid);
	else
		snprintf(verdict->detail, sizeof(verdict->detail), "pid %u, for %s", slot->pid, duration);
}

/* Adds one busy slot to the verdict. */
static void
verdict_add(ActivityVerdict *verdict, ActivityReason reason, const ActivitySlot *slot, const ActivityPage *page,
			uint64_t now_ns)
{
	uint64_t hold_end = activity_slot_hold_end(slot, page->transaction_hold_ms, now_ns);

	if (reason == ACTIVITY_TRANSACTION && verdict->recheck_ns < hold_end)
		verdict->recheck_ns = hold_end;
	verdict->only_ignored = slot->ignored != LTTLE_COUNTS && reason != ACTIVITY_LOCK &&
							(verdict->reason == ACTIVITY_NONE || verdict->only_ignored);
	if (reason_ranks[reason] <= reason_ranks[verdict->reason])
		return;
	verdict->reason = reason;
	verdict_describe(verdict, slot, now_ns);
}

/* When a slot that is not busy was last busy; 0: never. */
static uint64_t
slot_idle_since(const ActivitySlot *slot, const ActivityPage *page, uint64_t now_ns)
{
	uint64_t since_ns = slot_since(slot, now_ns);
	uint64_t hold_end;

	if (!activity_slot_is_session(slot) && !(slot->kind == LTTLE_KIND_BACKGROUND_WORKER && slot->statements > 0))
		return 0;
	if (slot->ignored != LTTLE_COUNTS ||
		(slot->state != LTTLE_STATE_IN_TRANSACTION && slot->state != LTTLE_STATE_FASTPATH))
		return since_ns;
	hold_end = activity_slot_hold_end(slot, page->transaction_hold_ms, now_ns);
	return hold_end < now_ns ? hold_end : now_ns;
}

void
activity_judge(const ActivityPage *page, const MachineProcess *processes, size_t process_count,
			   const ActivityPolicy *policy, ActivityVerdict *ret_verdict)
{
	uint64_t now_ns = policy->now_ns;
	ActivityVerdict verdict = {
		.reason = ACTIVITY_NONE,
		.idle_since_ns = page->last_exit_ns < now_ns ? page->last_exit_ns : now_ns,
		.ignored_since_ns = page->last_ignored_exit_ns < now_ns ? page->last_ignored_exit_ns : now_ns,
	};

	for (size_t i = 0; i < page->slot_count; i++)
	{
		const ActivitySlot *slot = &page->slots[i];
		ActivityReason reason;

		if (slot->state == LTTLE_STATE_FREE || machine_process_find(processes, process_count, slot->pid) == NULL)
			continue;
		reason = slot_reason(slot, page, now_ns);
		if (slot->ignored != LTTLE_COUNTS)
			verdict.ignored_connections++;
		if (reason == ACTIVITY_NONE)
		{
			uint64_t since_ns = slot_idle_since(slot, page, now_ns);
			uint64_t *last_ns = slot->ignored != LTTLE_COUNTS ? &verdict.ignored_since_ns : &verdict.idle_since_ns;

			if (since_ns > *last_ns)
				*last_ns = since_ns;
			if (policy->connection_aware && activity_slot_is_session(slot) && slot->ignored == LTTLE_COUNTS)
				reason = ACTIVITY_CONNECTION;
		}
		if (reason != ACTIVITY_NONE)
			verdict_add(&verdict, reason, slot, page, now_ns);
	}
	if (verdict.reason != ACTIVITY_TRANSACTION)
		verdict.recheck_ns = 0;
	*ret_verdict = verdict;
}
