/*
 * The table of phases, checked as a table: what every phase does with the events that may come at any time, that no row
 * is dead, that every phase can be reached and left, that every time limit is answered, and the names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine/fsm.h"

#define FACTS_COMBINATIONS 256

static FsmFacts
facts_of(unsigned bits)
{
	return (FsmFacts){.image_known = bits & 1,
					  .channel_open = bits & 2,
					  .delete_wanted = bits & 4,
					  .restart_wanted = bits & 8,
					  .wake_wanted = bits & 16,
					  .stays_down = bits & 32,
					  .first_start_failed = bits & 64,
					  .grow_wanted = bits & 128};
}

/* The row for an event in a phase, whatever the facts: the test fails where they make a difference. */
static const FsmRow *
the_row(Phase from, FsmEvent event)
{
	FsmFacts none = {0};
	const FsmRow *row = fsm_find(from, event, &none);

	for (unsigned bits = 0; bits < FACTS_COMBINATIONS; bits++)
	{
		FsmFacts facts = facts_of(bits);

		assert_ptr_equal(fsm_find(from, event, &facts), row);
	}
	return row;
}

static void
assert_row(Phase from, FsmEvent event, FsmAction action, Phase to)
{
	const FsmRow *row = the_row(from, event);

	if (row == NULL)
		fail_msg("%s has no row for '%s'", fsm_phase_key(from), fsm_event_name(event));
	assert_string_equal(fsm_action_name(row->action), fsm_action_name(action));
	assert_string_equal(fsm_phase_key(row->to), fsm_phase_key(to));
}

/* A machine can be stopped at any moment but one: when it is being removed there is nothing left to stop. */
static void
test_stop(void **state)
{
	(void) state;
	assert_row(PHASE_IDLE, EVENT_STOP, ACTION_TEAR_DOWN, PHASE_STOPPING);
	assert_row(PHASE_PULLING_IMAGE, EVENT_STOP, ACTION_CANCEL_WORK, PHASE_STOPPING);
	assert_row(PHASE_WAITING, EVENT_STOP, ACTION_TEAR_DOWN, PHASE_STOPPING);
	assert_row(PHASE_CREATING, EVENT_STOP, ACTION_CANCEL_WORK, PHASE_STOPPING);
	assert_row(PHASE_BOOTING, EVENT_STOP, ACTION_STOP_PROCESS, PHASE_STOPPING);
	assert_row(PHASE_READY, EVENT_STOP, ACTION_STOP_PROCESS, PHASE_STOPPING);
	assert_row(PHASE_PREPARING, EVENT_STOP, ACTION_STOP_PROCESS, PHASE_STOPPING);
	/* A frozen process does not see a signal: it is thawed first. */
	assert_row(PHASE_FREEZING, EVENT_STOP, ACTION_WAKE_AND_STOP, PHASE_STOPPING);
	assert_row(PHASE_SUSPENDED, EVENT_STOP, ACTION_WAKE_AND_STOP, PHASE_STOPPING);
	assert_row(PHASE_HIBERNATE_PREPARING, EVENT_STOP, ACTION_STOP_PROCESS, PHASE_STOPPING);
	assert_row(PHASE_HIBERNATE_CLOSING, EVENT_STOP, ACTION_STOP_PROCESS, PHASE_STOPPING);
	assert_row(PHASE_HIBERNATE_FREEZING, EVENT_STOP, ACTION_WAKE_AND_STOP, PHASE_STOPPING);
	/* What is on its way to disk or lies there is given up. */
	assert_row(PHASE_DUMPING, EVENT_STOP, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_EVICTING, EVENT_STOP, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_HIBERNATED, EVENT_STOP, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_GROWING, EVENT_STOP, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_RESUMING, EVENT_STOP, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_STOPPING, EVENT_STOP, ACTION_NONE, PHASE_STOPPING);
	assert_row(PHASE_STOPPED, EVENT_STOP, ACTION_TEAR_DOWN, PHASE_STOPPING);
	assert_row(PHASE_RESTARTING, EVENT_STOP, ACTION_TEAR_DOWN, PHASE_STOPPING);
	assert_row(PHASE_ERROR, EVENT_STOP, ACTION_TEAR_DOWN, PHASE_STOPPING);
	assert_null(the_row(PHASE_DELETING, EVENT_STOP));
}

static void
assert_ends(Phase from)
{
	FsmFacts again = {0};
	FsmFacts for_good = {.stays_down = true};

	assert_int_equal(fsm_find(from, EVENT_EXITED, &again)->action, ACTION_SCHEDULE_RESTART);
	assert_int_equal(fsm_find(from, EVENT_EXITED, &again)->to, PHASE_RESTARTING);
	assert_int_equal(fsm_find(from, EVENT_EXITED, &for_good)->action, ACTION_TEAR_DOWN);
	assert_int_equal(fsm_find(from, EVENT_EXITED, &for_good)->to, PHASE_STOPPING);
}

/* Wherever a first process can be, its end leads to a restart, or to what its policy says, or to the end of a stop. */
static void
test_exited(void **state)
{
	static const Phase living[] = {PHASE_BOOTING,			PHASE_READY,
								   PHASE_PREPARING,			PHASE_FREEZING,
								   PHASE_SUSPENDED,			PHASE_HIBERNATE_PREPARING,
								   PHASE_HIBERNATE_CLOSING, PHASE_HIBERNATE_FREEZING};
	static const Phase lifeless[] = {PHASE_PULLING_IMAGE, PHASE_CREATING, PHASE_STOPPED,
									 PHASE_RESTARTING,	  PHASE_DELETING, PHASE_ERROR};

	(void) state;
	for (size_t i = 0; i < sizeof(living) / sizeof(living[0]); i++)
		assert_ends(living[i]);
	assert_ends(PHASE_IDLE);
	assert_row(PHASE_STOPPING, EVENT_EXITED, ACTION_TEAR_DOWN, PHASE_STOPPING);
	for (size_t i = 0; i < sizeof(lifeless) / sizeof(lifeless[0]); i++)
		assert_null(the_row(lifeless[i], EVENT_EXITED));
}

/* Who wants a machine awake gets it from every phase in which it sleeps, is about to, or does not run. */
static void
test_wake(void **state)
{
	static const Phase without_process[] = {PHASE_IDLE, PHASE_STOPPED, PHASE_ERROR};
	FsmFacts without_image = {0};
	FsmFacts with_image = {.image_known = true};

	(void) state;
	assert_row(PHASE_SUSPENDED, EVENT_WAKE, ACTION_WAKE, PHASE_READY);
	assert_row(PHASE_SUSPENDED, EVENT_KNOCK, ACTION_WAKE, PHASE_READY);
	assert_row(PHASE_PREPARING, EVENT_WAKE, ACTION_CANCEL_PREPARE, PHASE_READY);
	assert_row(PHASE_FREEZING, EVENT_WAKE, ACTION_THAW, PHASE_READY);
	assert_row(PHASE_READY, EVENT_WAKE, ACTION_NONE, PHASE_READY);
	assert_row(PHASE_BOOTING, EVENT_WAKE, ACTION_NONE, PHASE_BOOTING);
	assert_row(PHASE_RESTARTING, EVENT_WAKE, ACTION_CREATE, PHASE_CREATING);
	for (size_t i = 0; i < sizeof(without_process) / sizeof(without_process[0]); i++)
	{
		assert_int_equal(fsm_find(without_process[i], EVENT_WAKE, &without_image)->to, PHASE_PULLING_IMAGE);
		assert_int_equal(fsm_find(without_process[i], EVENT_WAKE, &with_image)->to, PHASE_CREATING);
	}
}

/* To disk and back: a client that comes at any moment is served, and what fails ends in the server or a cold start. */
static void
test_hibernation(void **state)
{
	FsmFacts calm = {.image_known = true, .channel_open = true};
	FsmFacts knocked = {.image_known = true, .wake_wanted = true};

	(void) state;
	assert_int_equal(fsm_find(PHASE_READY, EVENT_HIBERNATE, &calm)->to, PHASE_HIBERNATE_PREPARING);
	assert_int_equal(fsm_find(PHASE_SUSPENDED, EVENT_HIBERNATE, &calm)->to, PHASE_HIBERNATE_PREPARING);
	assert_int_equal(fsm_find(PHASE_SUSPENDED, EVENT_HIBERNATE, &knocked)->to, PHASE_HIBERNATE_FREEZING);
	assert_row(PHASE_HIBERNATE_PREPARING, EVENT_AGREED, ACTION_NONE, PHASE_HIBERNATE_CLOSING);
	assert_row(PHASE_HIBERNATE_CLOSING, EVENT_CHANNEL_LOST, ACTION_FREEZE, PHASE_HIBERNATE_FREEZING);
	assert_row(PHASE_HIBERNATE_FREEZING, EVENT_QUIET, ACTION_DUMP, PHASE_DUMPING);
	assert_row(PHASE_HIBERNATE_FREEZING, EVENT_BUSY, ACTION_THAW, PHASE_READY);
	assert_row(PHASE_DUMPING, EVENT_BUSY, ACTION_UNDUMP, PHASE_READY);
	assert_row(PHASE_DUMPING, EVENT_DUMP_FAILED, ACTION_UNDUMP, PHASE_READY);
	assert_row(PHASE_DUMPING, EVENT_DUMP_BROKEN, ACTION_DISCARD, PHASE_STOPPING);
	assert_row(PHASE_DUMPING, EVENT_KNOCK, ACTION_NOTE_KNOCK, PHASE_DUMPING);
	assert_int_equal(fsm_find(PHASE_DUMPING, EVENT_DUMPED, &calm)->to, PHASE_EVICTING);
	assert_int_equal(fsm_find(PHASE_DUMPING, EVENT_DUMPED, &knocked)->to, PHASE_READY);
	assert_int_equal(fsm_find(PHASE_EVICTING, EVENT_EXITED, &calm)->to, PHASE_HIBERNATED);
	assert_int_equal(fsm_find(PHASE_EVICTING, EVENT_EXITED, &knocked)->to, PHASE_RESUMING);
	assert_row(PHASE_HIBERNATED, EVENT_KNOCK, ACTION_RESTORE, PHASE_RESUMING);
	assert_row(PHASE_HIBERNATED, EVENT_WAKE, ACTION_RESTORE, PHASE_RESUMING);
	assert_row(PHASE_RESUMING, EVENT_RESTORED, ACTION_RESUME, PHASE_READY);
	assert_row(PHASE_RESUMING, EVENT_RESTORE_FAILED, ACTION_START_COLD, PHASE_CREATING);
}

/*
 * A volume that cannot grow in use: its machine goes to disk for it whoever comes, and the volume grows only when no
 * process is left and before any is restored.
 */
static void
test_growth(void **state)
{
	FsmFacts grows = {.grow_wanted = true};
	FsmFacts wanted = {.grow_wanted = true, .wake_wanted = true};
	FsmFacts knocked = {.wake_wanted = true};
	FsmFacts calm = {0};
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	(void) state;
	assert_int_equal(fsm_find(PHASE_DUMPING, EVENT_DUMPED, &wanted)->to, PHASE_EVICTING);
	assert_int_equal(fsm_find(PHASE_DUMPING, EVENT_DUMPED, &grows)->to, PHASE_EVICTING);
	assert_int_equal(fsm_find(PHASE_EVICTING, EVENT_EXITED, &wanted)->to, PHASE_GROWING);
	assert_int_equal(fsm_find(PHASE_EVICTING, EVENT_EXITED, &grows)->to, PHASE_GROWING);
	assert_row(PHASE_HIBERNATED, EVENT_GROW, ACTION_GROW, PHASE_GROWING);
	assert_row(PHASE_GROWING, EVENT_KNOCK, ACTION_NOTE_KNOCK, PHASE_GROWING);
	assert_row(PHASE_GROWING, EVENT_WAKE, ACTION_NOTE_KNOCK, PHASE_GROWING);
	assert_int_equal(fsm_find(PHASE_GROWING, EVENT_GROWN, &knocked)->action, ACTION_RESTORE);
	assert_int_equal(fsm_find(PHASE_GROWING, EVENT_GROWN, &knocked)->to, PHASE_RESUMING);
	assert_int_equal(fsm_find(PHASE_GROWING, EVENT_GROWN, &calm)->to, PHASE_HIBERNATED);
	assert_null(the_row(PHASE_READY, EVENT_GROW));
	assert_null(the_row(PHASE_SUSPENDED, EVENT_GROW));
	assert_null(the_row(PHASE_RESUMING, EVENT_GROW));
	for (size_t i = 0; i < count; i++)
	{
		if (rows[i].action == ACTION_GROW)
			assert_int_equal(rows[i].to, PHASE_GROWING);
		if (rows[i].to == PHASE_GROWING && rows[i].from != PHASE_GROWING)
			assert_int_equal(rows[i].action, ACTION_GROW);
	}
	assert_false(fsm_phase_has_process(PHASE_GROWING));
	assert_true(fsm_phase_is_up(PHASE_GROWING));
}

/* Whatever goes wrong between the wish to suspend and the sleep ends in a running server that is not frozen. */
static void
test_a_suspend_that_fails_ends_in_ready(void **state)
{
	static const FsmEvent while_preparing[] = {EVENT_DECLINED, EVENT_TIME_OUT, EVENT_CHANNEL_LOST, EVENT_WAKE};
	static const FsmEvent while_freezing[] = {EVENT_BUSY, EVENT_TIME_OUT, EVENT_CHANNEL_LOST, EVENT_WAKE};

	(void) state;
	for (size_t i = 0; i < sizeof(while_preparing) / sizeof(while_preparing[0]); i++)
		assert_int_equal(the_row(PHASE_PREPARING, while_preparing[i])->to, PHASE_READY);
	for (size_t i = 0; i < sizeof(while_freezing) / sizeof(while_freezing[0]); i++)
		assert_row(PHASE_FREEZING, while_freezing[i], ACTION_THAW, PHASE_READY);
	assert_row(PHASE_SUSPENDED, EVENT_BUSY, ACTION_WAKE, PHASE_READY);
}

/* There is one way into the sleep: through the freezer and the last look. */
static void
test_only_the_last_look_lets_it_sleep(void **state)
{
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	(void) state;
	for (size_t i = 0; i < count; i++)
	{
		if (rows[i].to != PHASE_SUSPENDED || rows[i].from == PHASE_SUSPENDED)
			continue;
		assert_int_equal(rows[i].from, PHASE_FREEZING);
		assert_int_equal(rows[i].event, EVENT_QUIET);
		assert_int_equal(rows[i].action, ACTION_SLEEP);
	}
}

static void
test_guards(void **state)
{
	FsmFacts facts = {0};

	(void) state;
	assert_int_equal(fsm_find(PHASE_IDLE, EVENT_START, &facts)->action, ACTION_FETCH_IMAGE);
	facts.image_known = true;
	assert_int_equal(fsm_find(PHASE_IDLE, EVENT_START, &facts)->action, ACTION_CREATE);

	assert_int_equal(fsm_find(PHASE_READY, EVENT_SUSPEND, &facts)->to, PHASE_FREEZING);
	facts.channel_open = true;
	assert_int_equal(fsm_find(PHASE_READY, EVENT_SUSPEND, &facts)->to, PHASE_PREPARING);

	assert_int_equal(fsm_find(PHASE_STOPPING, EVENT_TORN_DOWN, &facts)->to, PHASE_STOPPED);
	facts.restart_wanted = true;
	assert_int_equal(fsm_find(PHASE_STOPPING, EVENT_TORN_DOWN, &facts)->to, PHASE_CREATING);
	facts.first_start_failed = true;
	assert_int_equal(fsm_find(PHASE_BOOTING, EVENT_EXITED, &facts)->to, PHASE_ERROR);
	assert_int_equal(fsm_find(PHASE_READY, EVENT_EXITED, &facts)->to, PHASE_RESTARTING);
	facts.delete_wanted = true; /* who is to be deleted is not started again first */
	assert_int_equal(fsm_find(PHASE_STOPPING, EVENT_TORN_DOWN, &facts)->to, PHASE_DELETING);
}

/* Who depends on others is made when they are ready, and nobody hurries it. */
static void
test_waiting(void **state)
{
	(void) state;
	assert_row(PHASE_CREATING, EVENT_MUST_WAIT, ACTION_AWAIT, PHASE_WAITING);
	assert_row(PHASE_WAITING, EVENT_DEPENDENCIES_READY, ACTION_CREATE, PHASE_CREATING);
	assert_row(PHASE_WAITING, EVENT_WAKE, ACTION_NONE, PHASE_WAITING);
	assert_row(PHASE_WAITING, EVENT_KNOCK, ACTION_NONE, PHASE_WAITING);
	assert_null(the_row(PHASE_READY, EVENT_DEPENDENCIES_READY));
	for (int phase = 0; phase < PHASE_COUNT; phase++)
	{
		bool up = phase >= PHASE_READY && phase <= PHASE_RESUMING;

		assert_int_equal(fsm_phase_is_up((Phase) phase), up);
	}
	assert_false(fsm_phase_is_up(PHASE_BOOTING));
	assert_true(fsm_phase_has_process(PHASE_BOOTING));
	assert_true(fsm_phase_has_process(PHASE_SUSPENDED));
	assert_false(fsm_phase_has_process(PHASE_HIBERNATED));
	assert_false(fsm_phase_has_process(PHASE_WAITING));
}

static void
test_missing_row_is_null(void **state)
{
	(void) state;
	assert_null(the_row(PHASE_SUSPENDED, EVENT_SUSPEND));
	assert_null(the_row(PHASE_READY, EVENT_KNOCK));
	assert_null(the_row(PHASE_READY, EVENT_AGREED)); /* an answer that comes too late */
	assert_null(the_row(PHASE_READY, EVENT_FROZEN));
	assert_null(the_row(PHASE_DELETING, EVENT_START));
	for (int event = 0; event < EVENT_COUNT; event++)
		assert_null(the_row(PHASE_DELETING, (FsmEvent) event)); /* ended by the machine's end, not by an event */
}

/* Every row is the answer for some facts: none stands behind another one that takes all of its cases. */
static void
test_no_row_is_dead(void **state)
{
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	(void) state;
	for (size_t i = 0; i < count; i++)
	{
		bool found = false;

		for (unsigned bits = 0; bits < FACTS_COMBINATIONS && !found; bits++)
		{
			FsmFacts facts = facts_of(bits);

			found = fsm_find(rows[i].from, rows[i].event, &facts) == &rows[i];
		}
		if (!found)
			fail_msg("row %zu (%s, %s) is never found", i, fsm_phase_key(rows[i].from), fsm_event_name(rows[i].event));
	}
}

/* Marks all phases that rows lead to from one that is marked. */
static void
spread(bool reached[PHASE_COUNT])
{
	size_t count;
	const FsmRow *rows = fsm_rows(&count);
	bool changed = true;

	while (changed)
	{
		changed = false;
		for (size_t i = 0; i < count; i++)
		{
			if (reached[rows[i].from] && !reached[rows[i].to])
			{
				reached[rows[i].to] = true;
				changed = true;
			}
		}
	}
}

static void
test_every_phase_is_reached_and_can_be_left(void **state)
{
	bool reached[PHASE_COUNT] = {[PHASE_IDLE] = true};

	(void) state;
	spread(reached);
	for (int phase = 0; phase < PHASE_COUNT; phase++)
	{
		bool from_here[PHASE_COUNT] = {false};

		if (!reached[phase])
			fail_msg("nothing leads to %s", fsm_phase_key((Phase) phase));
		from_here[phase] = true;
		spread(from_here);
		if (!from_here[PHASE_DELETING])
			fail_msg("%s cannot end in deletion", fsm_phase_key((Phase) phase));
	}
}

/* A limit that runs out where nobody answers it would be no limit. */
static void
test_every_limit_is_answered(void **state)
{
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	(void) state;
	for (size_t i = 0; i < count; i++)
	{
		if (rows[i].limit == LIMIT_NONE)
			continue;
		assert_string_not_equal(fsm_limit_name(rows[i].limit), "");
		if (the_row(rows[i].to, EVENT_TIME_OUT) == NULL)
			fail_msg("%s has a limit when it comes from '%s', and no row for a time-out", fsm_phase_key(rows[i].to),
					 fsm_event_name(rows[i].event));
	}
	assert_string_equal(fsm_limit_name(LIMIT_NONE), "");
}

static void
test_every_event_and_action_is_used(void **state)
{
	bool events[EVENT_COUNT] = {false};
	bool actions[ACTION_COUNT] = {false};
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	(void) state;
	for (size_t i = 0; i < count; i++)
	{
		events[rows[i].event] = true;
		actions[rows[i].action] = true;
		assert_non_null(rows[i].why);
		assert_true(rows[i].why[0] != '\0');
		assert_true((rows[i].guard == NULL) == (rows[i].guard_name == NULL));
	}
	for (int i = 0; i < EVENT_COUNT; i++)
		if (!events[i])
			fail_msg("event '%s' means nothing anywhere", fsm_event_name((FsmEvent) i));
	for (int i = 0; i < ACTION_COUNT; i++)
		if (!actions[i])
			fail_msg("no row does '%s'", fsm_action_name((FsmAction) i));
}

static void
test_names(void **state)
{
	Phase phase = PHASE_READY;

	(void) state;
	for (int i = 0; i < PHASE_COUNT; i++)
	{
		assert_true(fsm_phase_parse(fsm_phase_key((Phase) i), &phase));
		assert_int_equal(phase, i);
		for (int k = 0; k < i; k++)
		{
			assert_string_not_equal(fsm_phase_key((Phase) i), fsm_phase_key((Phase) k));
			/* The two halves of suspending have one name for users; all others have their own. */
			bool one_name = (k == PHASE_PREPARING && i == PHASE_FREEZING) ||
							(k >= PHASE_HIBERNATE_PREPARING && i <= PHASE_EVICTING && i > PHASE_HIBERNATE_PREPARING) ||
							(k == PHASE_HIBERNATED && i == PHASE_GROWING);

			if (!one_name)
				assert_string_not_equal(phase_name((Phase) i), phase_name((Phase) k));
		}
	}
	assert_string_equal(phase_name(PHASE_PREPARING), "suspending");
	assert_string_equal(phase_name(PHASE_FREEZING), "suspending");
	assert_string_equal(phase_name(PHASE_PULLING_IMAGE), "pulling-image");

	phase = PHASE_READY;
	assert_false(fsm_phase_parse("suspending", &phase)); /* a name for users, not for the store */
	assert_false(fsm_phase_parse("", &phase));
	assert_false(fsm_phase_parse("Ready", &phase));
	assert_int_equal(phase, PHASE_READY);

	for (int i = 0; i < EVENT_COUNT; i++)
	{
		assert_non_null(fsm_event_name((FsmEvent) i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(fsm_event_name((FsmEvent) i), fsm_event_name((FsmEvent) k));
	}
	for (int i = 0; i < ACTION_COUNT; i++)
	{
		assert_non_null(fsm_action_name((FsmAction) i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(fsm_action_name((FsmAction) i), fsm_action_name((FsmAction) k));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_exited),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_hibernation),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_a_suspend_that_fails_ends_in_ready),
		cmocka_unit_test(test_only_the_last_look_lets_it_sleep),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_missing_row_is_null),
		cmocka_unit_test(test_no_row_is_dead),
		cmocka_unit_test(test_every_phase_is_reached_and_can_be_left),
		cmocka_unit_test(test_every_limit_is_answered),
		cmocka_unit_test(test_every_event_and_action_is_used),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
