/*
 * How a slot of the activity page is written and read where it lies, with one writer, the process that it belongs to,
 * and readers in other processes. No lock: the orders of the stores are the contract, and stand here for that reason.
 *
 * - pid is stored last when a slot is taken and first when it is given back, so that a reader who finds the same pid
 *   before and after has read one process's fields.
 * - A state's time is stored before the state: a new state is never paired with an old time.
 *
 * A reader that copies the page by pread(2), as the coordinator does, gets each field whole but no order among them. It
 * believes what it must be sure of only while the writers are frozen.
 */
#ifndef LTTLE_ACTIVITY_SLOT_H
#define LTTLE_ACTIVITY_SLOT_H

#include <stdbool.h>

#include "lttle/activity_page.h"

/* The fields that readers rely on, at one moment. */
typedef struct LttleActivityReading
{
	uint32_t pid;
	uint32_t kind;
	uint32_t state;
	uint32_t lock_count;
	uint32_t ignored;
	uint64_t since_ns;
	uint64_t statements;
} LttleActivityReading;

/* Stores are releases, so that none of them is seen before the pid of whoever had the slot earlier is gone. */
static inline void
lttle_activity_slot_take(LttleActivitySlot *slot, uint32_t pid, uint32_t kind, uint32_t state, uint64_t now_ns,
						 uint64_t wait_event_address)
{
	atomic_store_explicit(&slot->kind, kind, memory_order_release);
	atomic_store_explicit(&slot->state, state, memory_order_release);
	atomic_store_explicit(&slot->lock_count, 0, memory_order_release);
	atomic_store_explicit(&slot->since_ns, now_ns, memory_order_release);
	atomic_store_explicit(&slot->statements, 0, memory_order_release);
	atomic_store_explicit(&slot->ignored, LTTLE_COUNTS, memory_order_release);
	atomic_store_explicit(&slot->wait_event_address, wait_event_address, memory_order_release);
	atomic_store_explicit(&slot->pid, pid, memory_order_release);
}

static inline void
lttle_activity_slot_set_state(LttleActivitySlot *slot, uint32_t state, uint64_t now_ns)
{
	atomic_store_explicit(&slot->since_ns, now_ns, memory_order_release);
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* Nobody else writes it: no need of an interlocked addition. */
static inline void
lttle_activity_slot_count_statement(LttleActivitySlot *slot)
{
	uint64_t statements = atomic_load_explicit(&slot->statements, memory_order_relaxed);

	atomic_store_explicit(&slot->statements, statements + 1, memory_order_release);
}

static inline void
lttle_activity_slot_give_back(LttleActivitySlot *slot)
{
	atomic_store_explicit(&slot->pid, 0, memory_order_release);
	atomic_store_explicit(&slot->state, LTTLE_STATE_FREE, memory_order_release);
	atomic_store_explicit(&slot->kind, LTTLE_KIND_NONE, memory_order_release);
	atomic_store_explicit(&slot->lock_count, 0, memory_order_release);
	atomic_store_explicit(&slot->wait_event_address, 0, memory_order_release);
}

/* False when the slot is nobody's, or changed hands meanwhile; ret_reading is then unusable. */
static inline bool
lttle_activity_slot_read(LttleActivitySlot *slot, LttleActivityReading *ret_reading)
{
	ret_reading->pid = atomic_load_explicit(&slot->pid, memory_order_acquire);
	if (ret_reading->pid == 0)
		return false;
	ret_reading->kind = atomic_load_explicit(&slot->kind, memory_order_acquire);
	ret_reading->state = atomic_load_explicit(&slot->state, memory_order_acquire);
	ret_reading->since_ns = atomic_load_explicit(&slot->since_ns, memory_order_acquire);
	ret_reading->statements = atomic_load_explicit(&slot->statements, memory_order_acquire);
	ret_reading->ignored = atomic_load_explicit(&slot->ignored, memory_order_acquire);
	ret_reading->lock_count = atomic_load_explicit(&slot->lock_count, memory_order_acquire);
	return atomic_load_explicit(&slot->pid, memory_order_relaxed) == ret_reading->pid;
}

#endif
