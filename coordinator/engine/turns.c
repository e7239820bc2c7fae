/*
 * Work that is done in turn. A machine that boots takes a whole processor for seconds, one that is restored reads its
 * memory from disk, and one that gives memory back has all of it looked at: a hundred at once would all be late, and in
 * the way of those with a client. First come, first served, at most max-boots and max-resumes at a time, or as many as
 * there are processors; who waits is not refused.
 */
#include <stdio.h>
#include <unistd.h>

#include "engine/engine_private.h"
#include "host/grace_periods.h"

static unsigned
engine_turns_at_a_time(const Engine *engine, TurnKind kind)
{
	long processors;

	switch (kind)
	{
		case TURN_BOOT:
			return engine->settings.max_boots;
		case TURN_RESTORE:
			return engine->settings.max_resumes;
		default:
			processors = sysconf(_SC_NPROCESSORS_ONLN);
			return processors < 1 ? 1 : (unsigned) processors;
	}
}

void
engine_hurry_grace_periods(const Engine *engine, bool hurry)
{
	char mark[320];

	snprintf(mark, sizeof(mark), "%s/rcu-expedited", engine->layout.run_directory);
	grace_periods_hurry(GRACE_PERIODS_SETTING, mark, hurry);
}

static void
machine_begin_turn(Machine *machine, TurnKind kind)
{
	if (kind == TURN_BOOT)
		machine_begin_create(machine);
	else if (kind == TURN_RESTORE)
		machine_begin_restore(machine);
	else
		machine_begin_reclaim(machine);
}

static Machine *
engine_first_in_turn(const Engine *engine, TurnKind kind)
{
	Machine *first = NULL;

	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		uint64_t ticket = machine->turns[kind].ticket;

		if (ticket != 0 && (first == NULL || ticket < first->turns[kind].ticket))
			first = machine;
	}
	return first;
}

void
engine_serve_turns(Engine *engine, TurnKind kind)
{
	Machine *first;

	while (engine->turns_taken[kind] < engine_turns_at_a_time(engine, kind) &&
		   (first = engine_first_in_turn(engine, kind)) != NULL)
	{
		first->turns[kind] = (MachineTurn){.taken = true};
		if (engine->turns_taken[kind]++ == 0 && kind == TURN_RESTORE && engine->settings.rcu_expedited)
			engine_hurry_grace_periods(engine, true);
		machine_begin_turn(first, kind);
	}
}

void
machine_join_queue(Machine *machine, TurnKind kind)
{
	machine->turns[kind].ticket = ++machine->engine->last_ticket;
}

void
machine_wait_for_turn(Machine *machine, TurnKind kind)
{
	machine_join_queue(machine, kind);
	engine_serve_turns(machine->engine, kind);
}

void
machine_leave_turn(Machine *machine, TurnKind kind)
{
	if (machine->turns[kind].taken && --machine->engine->turns_taken[kind] == 0 && kind == TURN_RESTORE)
		engine_hurry_grace_periods(machine->engine, false);
	machine->turns[kind] = (MachineTurn){0};
}

void
machine_create(Machine *machine)
{
	if (machine_must_wait(machine))
		machine_dispatch(machine, EVENT_MUST_WAIT, NULL);
	else
		machine_wait_for_turn(machine, TURN_BOOT);
}

void
machine_settle_boot(Machine *machine, bool slow)
{
	bool on_its_way = machine->phase == PHASE_CREATING || machine->phase == PHASE_BOOTING;
	bool had_its_turn = machine->turns[TURN_BOOT].taken;

	if (on_its_way && !(slow && had_its_turn))
		return;
	machine_leave_turn(machine, TURN_BOOT);
	if (had_its_turn)
		engine_serve_turns(machine->engine, TURN_BOOT);
}
