/* The clock of a machine that was on disk, and the times on its activity page. */
#include "host/activity.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define NOW_NS (1000 * NS_PER_SECOND)

static const MachineProcess processes[] = {{.pid = 5057, .inner_pid = 57}};

static ActivitySlot
session(uint32_t state)
{
	return (ActivitySlot){.pid = 57, .kind = LTTLE_KIND_CLIENT, .state = state, .since_ns = NOW_NS - 3 * NS_PER_SECOND};
}

static void
test_clock_offsets_are_parsed(void **state)
{
	Error error;
	int64_t offset_ns = 7;

	(void) state;
	assert_int_equal(
		activity_clock_parse("monotonic           0         0\nboottime            0         0\n", &offset_ns, &error),
		0);
	assert_int_equal(offset_ns, 0);
	/* The kernel's notation of a negative time: whole seconds down, nanoseconds up. */
	assert_int_equal(activity_clock_parse("boottime 3 4\nmonotonic          -6 668449566\n", &offset_ns, &error), 0);
	assert_int_equal(offset_ns, INT64_C(-5331550434));
	assert_int_equal(activity_clock_parse("monotonic 86400 1", &offset_ns, &error), 0);
	assert_int_equal(offset_ns, INT64_C(86400000000001));
	offset_ns = 7;
	assert_int_equal(activity_clock_parse("", &offset_ns, &error), -EBADMSG);
	assert_int_equal(activity_clock_parse("boottime 3 4\n", &offset_ns, &error), -EBADMSG);
	assert_int_equal(activity_clock_parse("monotonic 9223372036854775807 0", &offset_ns, &error), -EBADMSG);
	assert_int_equal(activity_clock_parse("monotonic 0 -1", &offset_ns, &error), -EBADMSG);
	assert_int_equal(offset_ns, 7);
}

static void
test_clock_of_a_process_without_its_own(void **state)
{
	Error error;
	int64_t ahead_ns = 7;

	(void) state;
	assert_int_equal(activity_clock_read_ahead(getpid(), &ahead_ns, &error), 0);
	assert_int_equal(ahead_ns, 0);
}

/* What a page says that was written by a clock that is so much ahead of ours. */
static ActivityVerdict
judge_shifted(ActivitySlot slot, uint64_t last_exit_ns, int64_t ahead_ns)
{
	ActivityPage page = {.transaction_hold_ms = 60000, .last_exit_ns = last_exit_ns, .slots = &slot, .slot_count = 1};
	ActivityPolicy policy = {.now_ns = NOW_NS};
	ActivityVerdict verdict;

	activity_page_shift(&page, ahead_ns);
	activity_judge(&page, processes, 1, &policy, &verdict);
	return verdict;
}

static void
test_times_of_a_machine_with_its_own_clock(void **state)
{
	const uint64_t gap_ns = 600 * (uint64_t) NS_PER_SECOND;
	ActivitySlot slot = session(LTTLE_STATE_IDLE); /* for three seconds, by our clock */
	uint64_t since_ns = slot.since_ns;

	(void) state;
	/* The host has been started anew: the machine's clock is ahead, and "idle since" is not "just now". */
	slot.since_ns = since_ns + 1000 * gap_ns;
	assert_int_equal(judge_shifted(slot, 0, (int64_t) (1000 * gap_ns)).idle_since_ns, since_ns);
	assert_int_equal(judge_shifted(slot, slot.since_ns + 5, (int64_t) (1000 * gap_ns)).idle_since_ns, since_ns + 5);
	/* Idle since before our clock began. */
	slot.since_ns = 2 * gap_ns;
	assert_int_equal(judge_shifted(slot, 0, (int64_t) (1000 * gap_ns)).idle_since_ns, 1);
	/* Ten minutes on disk: the machine's clock is behind, and an open transaction's hold is not over. */
	slot = session(LTTLE_STATE_IN_TRANSACTION);
	slot.since_ns -= gap_ns;
	assert_int_equal(judge_shifted(slot, 0, 0).reason, ACTIVITY_NONE);
	assert_int_equal(judge_shifted(slot, 0, -(int64_t) gap_ns).reason, ACTIVITY_TRANSACTION);
	assert_int_equal(judge_shifted(slot, 0, -(int64_t) gap_ns).recheck_ns, since_ns + 60 * NS_PER_SECOND);
	/* Never stays never, and nothing wraps around. */
	slot = session(LTTLE_STATE_IDLE);
	slot.since_ns = UINT64_MAX;
	assert_int_equal(judge_shifted(slot, 0, -(int64_t) gap_ns).idle_since_ns, NOW_NS);
	slot.since_ns = 0;
	assert_int_equal(judge_shifted(slot, 0, -(int64_t) gap_ns).idle_since_ns, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_offsets_are_parsed),
		cmocka_unit_test(test_clock_of_a_process_without_its_own),
		cmocka_unit_test(test_times_of_a_machine_with_its_own_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
