/*
 * The activity page: reading what a machine wrote, with every kind of damage, and the judgement over it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/activity.h"

#define NOW_NS (1000 * NS_PER_SECOND)

static char directory[] = "/tmp/lttle-activity-XXXXXX";
static char path[64];

/* ---- pages on disk ---- */

static LttleActivityHeader
good_header(uint32_t slot_count)
{
	return (LttleActivityHeader){
		.magic = LTTLE_ACTIVITY_MAGIC,
		.version = LTTLE_ACTIVITY_VERSION,
		.header_size = sizeof(LttleActivityHeader),
		.slot_size = sizeof(LttleActivitySlot),
		.slot_count = slot_count,
		.postmaster_pid = 1,
		.client_read_event = 0x06000000,
		.created_ns = 5,
		.transaction_hold_ms = 60000,
		.last_exit_ns = 7,
	};
}

static void
write_page(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t) size);
	close(fd);
}

static void
write_header_and_slots(const LttleActivityHeader *header, const LttleActivitySlot *slots, size_t count)
{
	size_t size = sizeof(*header) + count * sizeof(*slots);
	char *bytes = malloc(size);

	memcpy(bytes, (const void *) header, sizeof(*header));
	if (count > 0)
		memcpy(bytes + sizeof(*header), (const void *) slots, count * sizeof(*slots));
	write_page(bytes, size);
	free(bytes);
}

static void
expect_refused(const LttleActivityHeader *header, size_t slots, const char *words)
{
	static LttleActivitySlot none[4];
	ActivityPage page = {0};
	Error err = {0};

	write_header_and_slots(header, none, slots);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	assert_non_null(strstr(err.message, words));
	assert_null(page.slots);
}

static void
test_read_good_page(void **state)
{
	LttleActivityHeader header = good_header(3);
	LttleActivitySlot slots[3] = {
		{.pid = 57, .kind = LTTLE_KIND_CLIENT, .state = LTTLE_STATE_IDLE, .since_ns = 11, .statements = 3},
		{.pid = 0, .kind = LTTLE_KIND_CLIENT, .state = LTTLE_STATE_ACTIVE},
		{.pid = 58,
		 .kind = LTTLE_KIND_WALSENDER,
		 .lock_count = 2,
		 .wait_event_address = 0x1234,
		 .lock_name = "migration"},
	};
	ActivityPage page;
	Error err = {0};

	(void) state;
	write_header_and_slots(&header, slots, 3);
	assert_int_equal(activity_page_read(path, &page, &err), 0);
	assert_int_equal(page.postmaster_pid, 1);
	assert_int_equal(page.client_read_event, 0x06000000);
	assert_int_equal(page.created_ns, 5);
	assert_int_equal(page.transaction_hold_ms, 60000);
	assert_int_equal(page.last_exit_ns, 7);
	assert_int_equal(page.slot_count, 2);
	assert_int_equal(page.slots[0].pid, 57);
	assert_int_equal(page.slots[0].since_ns, 11);
	assert_int_equal(page.slots[0].statements, 3);
	assert_string_equal(page.slots[0].lock_name, "");
	assert_int_equal(page.slots[1].pid, 58);
	assert_int_equal(page.slots[1].lock_count, 2);
	assert_int_equal(page.slots[1].wait_event_address, 0x1234);
	assert_int_equal(page.slots[1].wait, ACTIVITY_WAIT_UNKNOWN);
	assert_string_equal(page.slots[1].lock_name, "migration");
	activity_page_clear(&page);
}

/* A later layout of the same version may have grown; the sizes in the header count, not ours. */
static void
test_read_larger_header_and_slots(void **state)
{
	static unsigned char bytes[512 + 2 * 192];
	LttleActivityHeader header = good_header(2);
	LttleActivitySlot slot = {.pid = 9, .state = LTTLE_STATE_IDLE};
	ActivityPage page;
	Error err = {0};

	(void) state;
	header.header_size = 512;
	header.slot_size = 192;
	memset(bytes, 0xee, sizeof(bytes));
	memcpy(bytes, (const void *) &header, sizeof(header));
	memcpy(bytes + 512, (const void *) &slot, sizeof(slot));
	slot.pid = 10;
	memcpy(bytes + 512 + 192, (const void *) &slot, sizeof(slot));
	write_page(bytes, sizeof(bytes));
	assert_int_equal(activity_page_read(path, &page, &err), 0);
	assert_int_equal(page.slot_count, 2);
	assert_int_equal(page.slots[0].pid, 9);
	assert_int_equal(page.slots[1].pid, 10);
	activity_page_clear(&page);
}

static void
test_read_refuses_damaged_headers(void **state)
{
	LttleActivityHeader header = good_header(2);

	(void) state;
	header.magic++;
	expect_refused(&header, 2, "is no activity page");
	header = good_header(2);
	header.version = 2;
	expect_refused(&header, 2, "has version 2, not 1");
	header = good_header(2);
	header.header_size = 255;
	expect_refused(&header, 2, "a header of 255 bytes");
	header.header_size = UINT32_MAX;
	expect_refused(&header, 2, "a header of");
	header = good_header(2);
	header.slot_size = 127;
	expect_refused(&header, 2, "slots of 127 bytes");
	header.slot_size = UINT32_MAX;
	expect_refused(&header, 2, "slots of");
	header = good_header(LTTLE_ACTIVITY_MAX_SLOTS + 1);
	expect_refused(&header, 2, "claims 65537 slots");
	header = good_header(UINT32_MAX);
	expect_refused(&header, 2, "slots");
	header = good_header(3);
	expect_refused(&header, 2, "is shorter than it says");
}

static void
test_read_refuses_other_things_than_files(void **state)
{
	ActivityPage page;
	Error err = {0};

	(void) state;
	unlink(path);
	assert_int_equal(activity_page_read(path, &page, &err), -ENOENT);
	write_page("", 0);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	write_page("LTTLAPV1", 8);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "symbolic link"));
	unlink(path);
	/* A pipe that nobody writes to would stop the coordinator for good. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(activity_page_read(path, &page, &err), -EBADMSG);
	rmdir(path);
}

static void
expect_name(const char *written, size_t length, const char *read)
{
	LttleActivityHeader header = good_header(1);
	LttleActivitySlot slot = {.pid = 57, .lock_count = 1};
	ActivityPage page;
	Error err = {0};

	memcpy(slot.lock_name, written, length);
	write_header_and_slots(&header, &slot, 1);
	assert_int_equal(activity_page_read(path, &page, &err), 0);
	assert_string_equal(page.slots[0].lock_name, read);
	activity_page_clear(&page);
}

static void
test_lock_names_are_made_printable(void **state)
{
	char unterminated[LTTLE_ACTIVITY_NAME_BYTES];
	char expected[LTTLE_ACTIVITY_NAME_BYTES];

	(void) state;
	memset(unterminated, 'a', sizeof(unterminated));
	memset(expected, 'a', sizeof(expected));
	expected[sizeof(expected) - 1] = '\0';
	expect_name(unterminated, sizeof(unterminated), expected);
	expect_name("a\033[2Jb\nc\177", 9, "a?[2Jb?c?");
	expect_name("für 夜 😀", 13, "für 夜 😀");
	expect_name("\xff\xc3(\xe2\x82\xed\xa0\x80\xc0\xaf\xc2\x9b", 12,
				"??"
				"("
				"?????????");
	/* A character that the end of the field cuts in two. */
	memset(unterminated, 'a', sizeof(unterminated));
	memcpy(unterminated + 62, "\xc3\xbc", 2);
	expected[62] = '?';
	expect_name(unterminated, sizeof(unterminated), expected);
}

/* ---- the judgement ---- */

static const MachineProcess processes[] = {{.pid = 5057, .inner_pid = 57}, {.pid = 5058, .inner_pid = 58}};

static ActivitySlot
session(uint32_t state)
{
	return (ActivitySlot){.pid = 57, .kind = LTTLE_KIND_CLIENT, .state = state, .since_ns = NOW_NS - 3 * NS_PER_SECOND};
}

static ActivityVerdict
judge(const ActivitySlot *slots, size_t count, bool connection_aware)
{
	ActivityPage page = {
		.transaction_hold_ms = 60000,
		.slots = (ActivitySlot *) slots,
		.slot_count = count,
	};
	ActivityPolicy policy = {.connection_aware = connection_aware, .now_ns = NOW_NS};
	ActivityVerdict verdict;

	memset(&verdict, 0xee, sizeof(verdict));
	activity_judge(&page, processes, 2, &policy, &verdict);
	return verdict;
}

static ActivityReason
judge_one(ActivitySlot slot)
{
	return judge(&slot, 1, false).reason;
}

static void
test_sessions(void **state)
{
	ActivityVerdict verdict;
	ActivitySlot slot = session(LTTLE_STATE_IDLE);

	(void) state;
	verdict = judge(&slot, 1, false);
	assert_int_equal(verdict.reason, ACTIVITY_NONE);
	assert_string_equal(verdict.detail, "");
	assert_int_equal(verdict.idle_since_ns, NOW_NS - 3 * NS_PER_SECOND);
	slot = session(LTTLE_STATE_ACTIVE);
	verdict = judge(&slot, 1, false);
	assert_int_equal(verdict.reason, ACTIVITY_STATEMENT);
	assert_string_equal(verdict.detail, "pid 57, for 3 s");
	assert_int_equal(verdict.recheck_ns, 0);
	assert_int_equal(judge_one(session(LTTLE_STATE_STARTING)), ACTIVITY_LOGIN);
	assert_int_equal(judge_one(session(LTTLE_STATE_FREE)), ACTIVITY_NONE);
	assert_int_equal(judge_one(session(77)), ACTIVITY_STATEMENT);
}

static void
test_unknown_kind_is_a_session(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_ACTIVE);

	(void) state;
	slot.kind = UINT32_MAX;
	assert_int_equal(judge_one(slot), ACTIVITY_STATEMENT);
	slot.state = LTTLE_STATE_IDLE;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	assert_int_equal(judge(&slot, 1, true).reason, ACTIVITY_CONNECTION);
}

static void
test_transaction_counts_for_its_hold(void **state)
{
	ActivitySlot slots[2] = {session(LTTLE_STATE_IN_TRANSACTION), session(LTTLE_STATE_IN_TRANSACTION)};
	ActivityVerdict verdict;

	(void) state;
	slots[0].since_ns = NOW_NS - 59 * NS_PER_SECOND;
	verdict = judge(slots, 1, false);
	assert_int_equal(verdict.reason, ACTIVITY_TRANSACTION);
	assert_int_equal(verdict.recheck_ns, NOW_NS + NS_PER_SECOND);
	/* The last of several is what has to be waited for. */
	slots[1].pid = 58;
	slots[1].since_ns = NOW_NS - 10 * NS_PER_SECOND;
	verdict = judge(slots, 2, false);
	assert_int_equal(verdict.reason, ACTIVITY_TRANSACTION);
	assert_int_equal(verdict.recheck_ns, NOW_NS + 50 * NS_PER_SECOND);
	slots[0].since_ns = slots[1].since_ns = NOW_NS - 61 * NS_PER_SECOND;
	verdict = judge(slots, 2, false);
	assert_int_equal(verdict.reason, ACTIVITY_NONE);
	assert_int_equal(verdict.recheck_ns, 0);
	assert_int_equal(verdict.idle_since_ns, NOW_NS - NS_PER_SECOND);
	/* What does not end by itself is told instead, and there is no time to look again. */
	slots[0].since_ns = NOW_NS;
	slots[1] = session(LTTLE_STATE_ACTIVE);
	slots[1].pid = 58;
	verdict = judge(slots, 2, false);
	assert_int_equal(verdict.reason, ACTIVITY_STATEMENT);
	assert_int_equal(verdict.recheck_ns, 0);
}

static void
test_locks(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_IDLE);
	ActivityVerdict verdict;

	(void) state;
	slot.lock_count = 1;
	strcpy(slot.lock_name, "migration");
	verdict = judge(&slot, 1, false);
	assert_int_equal(verdict.reason, ACTIVITY_LOCK);
	assert_string_equal(verdict.detail, "lock 'migration' of pid 57");
	slot.lock_name[0] = '\0';
	slot.lock_count = UINT32_MAX;
	verdict = judge(&slot, 1, false);
	assert_string_equal(verdict.detail, "4294967295 locks of pid 57");
	/* The holder has died: the lock is gone. */
	slot.pid = 59;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	slot.pid = 58;
	slot.kind = LTTLE_KIND_BACKGROUND_WORKER;
	assert_int_equal(judge_one(slot), ACTIVITY_LOCK);
}

static void
test_workers(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_IDLE);

	(void) state;
	slot.kind = LTTLE_KIND_AUTOVACUUM_WORKER;
	assert_int_equal(judge_one(slot), ACTIVITY_AUTOVACUUM);
	slot.kind = LTTLE_KIND_PARALLEL_WORKER;
	assert_int_equal(judge_one(slot), ACTIVITY_WORKER);
	slot.kind = LTTLE_KIND_BACKGROUND_WORKER;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	slot.state = LTTLE_STATE_STARTING;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	slot.state = LTTLE_STATE_ACTIVE;
	assert_int_equal(judge_one(slot), ACTIVITY_WORKER);
	slot.state = LTTLE_STATE_IN_TRANSACTION;
	slot.since_ns = 1;
	assert_int_equal(judge_one(slot), ACTIVITY_WORKER);
	slot.kind = LTTLE_KIND_FLASH_WORKER;
	slot.lock_count = 1;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	slot.kind = LTTLE_KIND_AUXILIARY;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
}

static void
test_walsender_is_judged_by_its_wait(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_IDLE);

	(void) state;
	slot.kind = LTTLE_KIND_WALSENDER;
	assert_int_equal(judge_one(slot), ACTIVITY_REPLICATION);
	slot.wait = ACTIVITY_WAIT_OTHER;
	assert_int_equal(judge_one(slot), ACTIVITY_REPLICATION);
	slot.wait = ACTIVITY_WAIT_CLIENT;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
	slot.state = LTTLE_STATE_ACTIVE;
	assert_int_equal(judge_one(slot), ACTIVITY_REPLICATION);
	slot.state = LTTLE_STATE_STARTING;
	assert_int_equal(judge_one(slot), ACTIVITY_LOGIN);
}

static void
test_fastpath_is_judged_by_its_wait(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_FASTPATH);

	(void) state;
	assert_int_equal(judge_one(slot), ACTIVITY_STATEMENT);
	slot.wait = ACTIVITY_WAIT_OTHER;
	assert_int_equal(judge_one(slot), ACTIVITY_STATEMENT);
	slot.wait = ACTIVITY_WAIT_CLIENT;
	assert_int_equal(judge_one(slot), ACTIVITY_TRANSACTION); /* the call is over and left one open */
	slot.since_ns = NOW_NS - 61 * NS_PER_SECOND;
	assert_int_equal(judge_one(slot), ACTIVITY_NONE);
}

static void
test_connection_aware(void **state)
{
	ActivitySlot slots[2] = {session(LTTLE_STATE_IDLE), session(LTTLE_STATE_ACTIVE)};

	(void) state;
	assert_int_equal(judge(slots, 1, true).reason, ACTIVITY_CONNECTION);
	assert_int_equal(judge(slots, 2, true).reason, ACTIVITY_STATEMENT);
	slots[0].kind = LTTLE_KIND_BACKGROUND_WORKER;
	assert_int_equal(judge(slots, 1, true).reason, ACTIVITY_NONE);
	slots[0] = session(LTTLE_STATE_IDLE);
	slots[0].pid = 60;
	assert_int_equal(judge(slots, 1, true).reason, ACTIVITY_NONE);
	assert_int_equal(judge(NULL, 0, true).reason, ACTIVITY_NONE);
}

static void
test_idle_since_is_the_latest(void **state)
{
	ActivitySlot slots[2] = {session(LTTLE_STATE_IDLE), session(LTTLE_STATE_IDLE)};
	ActivityPage page = {.slots = slots, .slot_count = 2, .last_exit_ns = NOW_NS - 2 * NS_PER_SECOND};
	ActivityPolicy policy = {.now_ns = NOW_NS};
	ActivityVerdict verdict;

	(void) state;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, NOW_NS - 2 * NS_PER_SECOND);
	slots[1].since_ns = NOW_NS - NS_PER_SECOND;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, NOW_NS - NS_PER_SECOND);
	/* An auxiliary process does not count, a background worker only when it has done something. */
	slots[1].kind = LTTLE_KIND_BACKGROUND_WORKER;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, NOW_NS - 2 * NS_PER_SECOND);
	slots[1].statements = 1;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, NOW_NS - NS_PER_SECOND);
	page.slot_count = 0;
	page.last_exit_ns = 0;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, 0);
}

/* Ignored sessions: their statements are busy, and nothing else of them counts. */
static void
test_sessions_that_do_not_count(void **state)
{
	ActivitySlot slots[2] = {session(LTTLE_STATE_IDLE), session(LTTLE_STATE_IDLE)};
	ActivityPage page = {.slots = slots,
						 .slot_count = 2,
						 .transaction_hold_ms = 60000,
						 .last_exit_ns = 5,
						 .last_ignored_exit_ns = NOW_NS - 3 * NS_PER_SECOND};
	ActivityPolicy policy = {.now_ns = NOW_NS, .connection_aware = true};
	ActivityVerdict verdict;

	(void) state;
	slots[0].ignored = LTTLE_IGNORED;
	slots[1].ignored = LTTLE_IGNORED;
	slots[0].since_ns = NOW_NS - 2 * NS_PER_SECOND;
	slots[1].since_ns = NOW_NS - NS_PER_SECOND;
	slots[1].state = LTTLE_STATE_IN_TRANSACTION;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_NONE);
	assert_int_equal(verdict.idle_since_ns, 5);
	assert_int_equal(verdict.ignored_since_ns, NOW_NS - NS_PER_SECOND);
	assert_int_equal(verdict.ignored_connections, 2);
	slots[1].state = LTTLE_STATE_ACTIVE;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_STATEMENT);
	assert_true(verdict.only_ignored);
	slots[1].lock_count = 1;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_LOCK);
	assert_false(verdict.only_ignored);
	slots[1].lock_count = 0;
	slots[0].ignored = LTTLE_COUNTS;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_STATEMENT);
	assert_int_equal(verdict.ignored_connections, 1);
	assert_false(verdict.only_ignored);
	page.last_ignored_exit_ns = UINT64_MAX; /* in the future: a lie */
	activity_judge(&page, processes, 0, &policy, &verdict);
	assert_int_equal(verdict.ignored_since_ns, NOW_NS);
}

static void
test_times_in_the_future_and_absurd_holds(void **state)
{
	ActivitySlot slot = session(LTTLE_STATE_IDLE);
	ActivityPage page = {
		.slots = &slot, .slot_count = 1, .last_exit_ns = UINT64_MAX, .transaction_hold_ms = UINT32_MAX};
	ActivityPolicy policy = {.now_ns = NOW_NS};
	ActivityVerdict verdict;

	(void) state;
	slot.since_ns = UINT64_MAX;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.idle_since_ns, NOW_NS);
	slot.state = LTTLE_STATE_IN_TRANSACTION;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_TRANSACTION);
	assert_int_equal(verdict.recheck_ns, NOW_NS + UINT32_MAX * NS_PER_MS);
	page.transaction_hold_ms = 0;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_int_equal(verdict.reason, ACTIVITY_NONE);
	slot.state = LTTLE_STATE_ACTIVE;
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_string_equal(verdict.detail, "pid 57, for 0 ms");
}

static void
test_durations_are_readable(void **state)
{
	static const struct
	{
		uint64_t ms;
		const char *detail;
	} cases[] = {{20, "pid 57, for 20 ms"},
				 {1000, "pid 57, for 1 s"},
				 {179 * 1000, "pid 57, for 179 s"},
				 {180 * 1000, "pid 57, for 3 min"},
				 {900 * 1000, "pid 57, for 15 min"}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ActivitySlot slot = session(LTTLE_STATE_ACTIVE);

		slot.since_ns = NOW_NS - cases[i].ms * NS_PER_MS;
		assert_string_equal(judge(&slot, 1, false).detail, cases[i].detail);
	}
}

static void
test_reason_names(void **state)
{
	(void) state;
	assert_string_equal(activity_reason_name(ACTIVITY_NONE), "none");
	assert_string_equal(activity_reason_name(ACTIVITY_STATEMENT), "statement");
	assert_string_equal(activity_reason_name(ACTIVITY_TRANSACTION), "transaction");
	assert_string_equal(activity_reason_name(ACTIVITY_LOCK), "lock");
	assert_string_equal(activity_reason_name(ACTIVITY_AUTOVACUUM), "autovacuum");
	assert_string_equal(activity_reason_name(ACTIVITY_REPLICATION), "replication");
	assert_string_equal(activity_reason_name(ACTIVITY_WORKER), "worker");
	assert_string_equal(activity_reason_name(ACTIVITY_CONNECTION), "connection");
	assert_string_equal(activity_reason_name(ACTIVITY_LOGIN), "login");
	assert_string_equal(activity_reason_name((ActivityReason) 99), "unknown");
}

/* ---- processes ---- */

static uint32_t watched_event = 0x06000000;

static void
test_waits_are_read_from_the_process(void **state)
{
	ActivitySlot slots[3] = {session(LTTLE_STATE_FASTPATH), session(LTTLE_STATE_IDLE), session(LTTLE_STATE_FASTPATH)};
	ActivityPage page = {.slots = slots, .slot_count = 3, .client_read_event = 0x06000000};
	MachineProcess self = {.pid = getpid(), .inner_pid = 57};

	(void) state;
	slots[0].wait_event_address = slots[1].wait_event_address = (uint64_t) (uintptr_t) &watched_event;
	slots[2].wait_event_address = 16; /* nothing is mapped there */
	activity_page_read_waits(&page, &self, 1, false);
	assert_int_equal(slots[0].wait, ACTIVITY_WAIT_CLIENT);
	assert_int_equal(slots[1].wait, ACTIVITY_WAIT_UNKNOWN); /* its state alone tells */
	assert_int_equal(slots[2].wait, ACTIVITY_WAIT_UNKNOWN);
	activity_page_read_waits(&page, &self, 1, true);
	assert_int_equal(slots[1].wait, ACTIVITY_WAIT_CLIENT);
	watched_event = 0x01000000;
	activity_page_read_waits(&page, &self, 1, true);
	assert_int_equal(slots[0].wait, ACTIVITY_WAIT_OTHER);
	assert_int_equal(slots[1].wait, ACTIVITY_WAIT_OTHER);
	watched_event = 0x06000000;
}

/* ---- hostile pages ---- */

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15); /* a fixed seed, so that a failure can be repeated */

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Whatever is in the file: an answer or an error, never a crash, and nothing that cannot be printed. */
static void
read_and_judge_hostile_page(void)
{
	ActivityPolicy policy = {.now_ns = NOW_NS, .connection_aware = next_random() & 1};
	ActivityVerdict verdict;
	ActivityPage page;
	Error err = {0};

	if (activity_page_read(path, &page, &err) < 0)
	{
		assert_int_equal(err.code, -EBADMSG);
		return;
	}
	for (size_t i = 0; i < page.slot_count; i++)
	{
		assert_true(page.slots[i].pid != 0);
		assert_true(strnlen(page.slots[i].lock_name, LTTLE_ACTIVITY_NAME_BYTES) < LTTLE_ACTIVITY_NAME_BYTES);
	}
	activity_page_read_waits(&page, &(MachineProcess){.pid = getpid(), .inner_pid = 57}, 1, true);
	activity_judge(&page, processes, 2, &policy, &verdict);
	assert_true(verdict.reason <= ACTIVITY_LOGIN);
	assert_true(strnlen(verdict.detail, sizeof(verdict.detail)) < sizeof(verdict.detail));
	assert_true(verdict.idle_since_ns <= NOW_NS);
	activity_page_clear(&page);
}

static void
test_random_pages(void **state)
{
	enum
	{
		SLOTS = 8
	};
	static unsigned char bytes[sizeof(LttleActivityHeader) + SLOTS * sizeof(LttleActivitySlot)];

	(void) state;
	for (int round = 0; round < 4000; round++)
	{
		LttleActivityHeader header = good_header(SLOTS);
		size_t size = sizeof(bytes);

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (unsigned char) next_random();
		/* Mostly a header that is believed, so that the slots are read at all; then one byte of it wrong. */
		if (round % 8 != 0)
			memcpy(bytes, (const void *) &header, sizeof(header));
		if (round % 4 == 1)
			bytes[next_random() % 48] = (unsigned char) next_random();
		if (round % 16 == 5)
			size = next_random() % sizeof(bytes);
		/* Small numbers are the interesting ones. */
		for (size_t i = 0; i < SLOTS; i++)
		{
			unsigned char *slot = bytes + sizeof(header) + i * sizeof(LttleActivitySlot);
			uint32_t small[3] = {(uint32_t) (57 + next_random() % 3), next_random() % 9, next_random() % 7};

			if (next_random() % 4 != 0)
				memcpy(slot, small, sizeof(small));
		}
		write_page(bytes, size);
		read_and_judge_hostile_page();
	}
}

/* The machine cuts its file short and restores it, over and over, while it is being read. */
static void
test_page_truncated_while_being_read(void **state)
{
	enum
	{
		SLOTS = 2000
	};
	LttleActivityHeader header = good_header(SLOTS);
	LttleActivitySlot *slots = calloc(SLOTS, sizeof(*slots));
	uint64_t deadline_ns = clock_monotonic_ns() + 20 * NS_PER_SECOND;
	int refused = 0;
	int read = 0;
	pid_t child;

	(void) state;
	for (int i = 0; i < SLOTS; i++)
		slots[i].pid = 57;
	write_header_and_slots(&header, slots, SLOTS);
	free(slots);
	child = fork();
	if (child == 0)
	{
		alarm(60);
		for (;;)
		{
			if (truncate(path, (off_t) (next_random() % 100000)) < 0 || truncate(path, 1000000) < 0)
				_exit(1);
		}
	}
	while ((refused < 20 || read < 20) && clock_monotonic_ns() < deadline_ns)
	{
		ActivityPage page;
		Error err = {0};
		int result = activity_page_read(path, &page, &err);

		if (result < 0)
		{
			assert_int_equal(result, -EBADMSG);
			refused++;
			continue;
		}
		read++;
		activity_page_clear(&page);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(refused >= 20);
}

static int
setup(void **state)
{
	(void) state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/activity", directory);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	unlink(path);
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_good_page),
		cmocka_unit_test(test_read_larger_header_and_slots),
		cmocka_unit_test(test_read_refuses_damaged_headers),
		cmocka_unit_test(test_read_refuses_other_things_than_files),
		cmocka_unit_test(test_lock_names_are_made_printable),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_unknown_kind_is_a_session),
		cmocka_unit_test(test_transaction_counts_for_its_hold),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_walsender_is_judged_by_its_wait),
		cmocka_unit_test(test_fastpath_is_judged_by_its_wait),
		cmocka_unit_test(test_connection_aware),
		cmocka_unit_test(test_idle_since_is_the_latest),
		cmocka_unit_test(test_sessions_that_do_not_count),
		cmocka_unit_test(test_times_in_the_future_and_absurd_holds),
		cmocka_unit_test(test_durations_are_readable),
		cmocka_unit_test(test_reason_names),
		cmocka_unit_test(test_waits_are_read_from_the_process),
		cmocka_unit_test(test_random_pages),
		cmocka_unit_test(test_page_truncated_while_being_read),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, setup, teardown);
}
