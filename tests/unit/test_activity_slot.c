/*
 * A slot of the activity page with its one writer and readers at the same time, all through the functions that the
 * extension uses. Built twice: as it is, and with ThreadSanitizer (test_activity_slot_threads), which would report a
 * store that is no atomic one, or an order that is only this processor's.
 *
 * The writer makes every field a function of the owner's pid or of a count that only grows, so that a reading tells
 * whether its fields belong together.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lttle/activity_slot.h"

#define OWNERS			 200000
#define STATES_PER_OWNER 8
#define READERS			 2

static LttleActivitySlot slot;
static _Atomic int writer_is_done;
static _Atomic int something_was_read;

static uint32_t
kind_of(uint32_t pid)
{
	return pid * 7 + 1;
}

/* States are numbers here, each one greater than the last, and since_ns is the state as the writer knows it. */
static void *
write_slot(void *unused)
{
	uint32_t state = 1;

	/* On a busy machine the readers may have their first turn only after all of that. */
	for (uint32_t pid = 1; pid <= OWNERS || !atomic_load(&something_was_read); pid++)
	{
		lttle_activity_slot_take(&slot, pid, kind_of(pid), state, state, pid);
		for (int i = 0; i < STATES_PER_OWNER; i++)
		{
			state++;
			lttle_activity_slot_count_statement(&slot);
			lttle_activity_slot_set_state(&slot, state, state);
		}
		lttle_activity_slot_give_back(&slot);
	}
	atomic_store(&writer_is_done, 1);
	return unused;
}

typedef struct Seen
{
	uint64_t readings;
	uint64_t wrong; /* readings whose fields do not belong together */
	char first_wrong[160];
} Seen;

static void
seen_check(Seen *seen, const LttleActivityReading *reading, uint32_t last_pid)
{
	uint64_t first_state = (uint64_t) (reading->pid - 1) * STATES_PER_OWNER + 1;

	seen->readings++;
	if (reading->kind == kind_of(reading->pid) && reading->since_ns >= reading->state && reading->pid >= last_pid &&
		reading->state >= first_state && reading->since_ns <= first_state + STATES_PER_OWNER &&
		reading->statements <= STATES_PER_OWNER && reading->lock_count == 0)
		return;
	if (seen->wrong++ == 0)
		snprintf(seen->first_wrong, sizeof(seen->first_wrong), "pid %u kind %u state %u since %llu statements %llu",
				 reading->pid, reading->kind, reading->state, (unsigned long long) reading->since_ns,
				 (unsigned long long) reading->statements);
}

static void *
read_slot(void *context)
{
	Seen *seen = context;
	uint32_t last_pid = 0;

	while (!atomic_load(&writer_is_done))
	{
		LttleActivityReading reading;

		if (!lttle_activity_slot_read(&slot, &reading))
			continue;
		seen_check(seen, &reading, last_pid);
		last_pid = reading.pid;
		atomic_store(&something_was_read, 1);
	}
	return NULL;
}

static void
test_readings_are_of_one_owner_and_one_moment(void **state)
{
	pthread_t readers[READERS];
	pthread_t writer;
	Seen seen[READERS] = {{0}};

	(void) state;
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_slot, &seen[i]), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_slot, NULL), 0);
	assert_int_equal(pthread_join(writer, NULL), 0);
	for (int i = 0; i < READERS; i++)
	{
		assert_int_equal(pthread_join(readers[i], NULL), 0);
		if (seen[i].wrong > 0)
			fail_msg("%llu of %llu readings are mixed; the first: %s", (unsigned long long) seen[i].wrong,
					 (unsigned long long) seen[i].readings, seen[i].first_wrong);
	}
	assert_true(seen[0].readings + seen[1].readings > 0);
}

static void
test_free_slot_is_nobodys(void **state)
{
	LttleActivitySlot own = {0};
	LttleActivityReading reading;

	(void) state;
	assert_false(lttle_activity_slot_read(&own, &reading));
	lttle_activity_slot_take(&own, 7, LTTLE_KIND_CLIENT, LTTLE_STATE_STARTING, 100, 0x1234);
	lttle_activity_slot_count_statement(&own);
	lttle_activity_slot_set_state(&own, LTTLE_STATE_ACTIVE, 200);
	assert_true(lttle_activity_slot_read(&own, &reading));
	assert_int_equal(reading.pid, 7);
	assert_int_equal(reading.kind, LTTLE_KIND_CLIENT);
	assert_int_equal(reading.state, LTTLE_STATE_ACTIVE);
	assert_int_equal(reading.since_ns, 200);
	assert_int_equal(reading.statements, 1);
	assert_int_equal(own.wait_event_address, 0x1234);
	lttle_activity_slot_give_back(&own);
	assert_false(lttle_activity_slot_read(&own, &reading));
	assert_int_equal(own.wait_event_address, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_slot_is_nobodys),
		cmocka_unit_test(test_readings_are_of_one_owner_and_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
