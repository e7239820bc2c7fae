/*
 * Cold starts in turn: a machine that boots takes a whole processor for seconds, and a hundred at once would all be
 * late. First come, first served, at most max-boots at a time; who waits is not refused.
 */
#include "engine/engine_private.h"

static void
engine_boot_next(Engine *engine)
{
	while (engine->booting < engine->settings.max_boots)
	{
		Machine *first = NULL;

		for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
		{
			if (machine->boot_ticket != 0 && (first == NULL || machine->boot_ticket < first->boot_ticket))
				first = machine;
		}
		if (first == NULL)
			return;
		first->boot_ticket = 0;
		first->boots = true;
		engine->booting++;
		machine_begin_create(first);
	}
}

void
machine_create(Machine *machine)
{
	machine->boot_ticket = ++machine->engine->last_ticket;
	engine_boot_next(machine->engine);
}

void
machine_settle_boot(Machine *machine, bool slow)
{
	bool on_its_way = machine->phase == PHASE_CREATING || machine->phase == PHASE_BOOTING;

	if (machine->phase != PHASE_CREATING)
		machine->boot_ticket = 0;
	if (!machine->boots || (on_its_way && !slow))
		return;
	machine->boots = false;
	machine->engine->booting--;
	engine_boot_next(machine->engine);
}
