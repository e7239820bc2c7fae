/*
 * What machines depend on: one is made only when all that it names has been ready and is still there, asleep or not.
 * Who waits goes on when the last of them is.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine_private.h"

static bool
dependency_is_ready(Engine *engine, const Dependency *dependency)
{
	const Machine *machine = engine_find_machine(engine, dependency->name_space, dependency->name);

	return machine != NULL && fsm_phase_is_up(machine->phase);
}

bool
machine_must_wait(const Machine *machine)
{
	for (size_t i = 0; i < machine->spec.dependency_count; i++)
	{
		if (!dependency_is_ready(machine->engine, &machine->spec.dependencies[i]))
			return true;
	}
	return false;
}

json_t *
machine_waits_for_to_json(const Machine *machine)
{
	json_t *names = json_array();

	for (size_t i = 0; machine->phase == PHASE_WAITING && i < machine->spec.dependency_count; i++)
	{
		const Dependency *dependency = &machine->spec.dependencies[i];

		if (!dependency_is_ready(machine->engine, dependency))
			json_array_append_new(names, json_sprintf("%s/%s", dependency->name_space, dependency->name));
	}
	return names;
}

/* Nobody begins to be ready that is not there: who waits for such a one says so. */
static void
machine_explain_wait(Machine *machine)
{
	for (size_t i = 0; i < machine->spec.dependency_count; i++)
	{
		const Dependency *dependency = &machine->spec.dependencies[i];

		if (engine_find_machine(machine->engine, dependency->name_space, dependency->name) != NULL)
			continue;
		snprintf(machine->record.reason, sizeof(machine->record.reason),
				 "it depends on %s/%s, which is not there any more", dependency->name_space, dependency->name);
		log_warning("waits for what is not there", "machine", machine->label, "reason", machine->record.reason);
		machine_save(machine);
		return;
	}
}

void
engine_note_gone_dependency(Engine *engine, const char *name_space, const char *name)
{
	for (Machine *waiting = engine->machines; waiting != NULL; waiting = waiting->next)
	{
		for (size_t i = 0; waiting->phase == PHASE_WAITING && i < waiting->spec.dependency_count; i++)
		{
			const Dependency *dependency = &waiting->spec.dependencies[i];

			if (strcmp(dependency->name_space, name_space) == 0 && strcmp(dependency->name, name) == 0)
				machine_explain_wait(waiting);
		}
	}
}

/* One that is stopped starts when somebody asks for it, and somebody does. */
void
machine_await(Machine *machine)
{
	machine_explain_wait(machine);
	for (size_t i = 0; i < machine->spec.dependency_count; i++)
	{
		const Dependency *dependency = &machine->spec.dependencies[i];
		Machine *needed = engine_find_machine(machine->engine, dependency->name_space, dependency->name);

		if (needed != NULL && needed->phase == PHASE_STOPPED && machine->engine->drain == NULL)
			machine_dispatch(needed, EVENT_WAKE, machine->label);
	}
}

void
engine_settle_dependents(Engine *engine, Phase before, const Machine *machine)
{
	Machine *next;

	if (fsm_phase_is_up(before) || !fsm_phase_is_up(machine->phase))
		return;
	for (Machine *waiting = engine->machines; waiting != NULL; waiting = next)
	{
		next = waiting->next;
		if (waiting->phase == PHASE_WAITING && !machine_must_wait(waiting))
			machine_dispatch(waiting, EVENT_DEPENDENCIES_READY, NULL);
	}
}
