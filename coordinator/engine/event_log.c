/*
 * The event log: what became of machines and why, in the store, and told at once to those who follow. Besides changes
 * of phase it has, once per time awake, each kind of thing that keeps a machine from going to sleep.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"

struct EngineFollow
{
	Engine *engine;
	char *name_space; /* NULL: all */
	char *name;		  /* NULL: all */
	EngineEvent event;
	void *context;
	EngineFollow *next;
};

static json_t *
event_to_json(const EventRecord *event)
{
	char reason[sizeof(event->reason)];

	text_copy(reason, sizeof(reason), event->reason);
	text_make_printable(reason); /* it may be what a machine said, and then it need not be UTF-8 */
	return json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:o}", "id", (json_int_t) event->id, "time-ms",
					 (json_int_t) event->time_ms, "namespace", event->name_space, "name", event->name, "phase",
					 event->phase, "reason", reason, "took-us",
					 event->took_us > 0 ? json_integer((json_int_t) event->took_us) : json_null());
}

static int
append_event(void *context, const EventRecord *event)
{
	json_array_append_new(context, event_to_json(event));
	return 0;
}

json_t *
engine_list_events(Engine *engine, const char *name_space, const char *name, unsigned last)
{
	json_t *array = json_array();

	(void) !store_each_event(engine->store, name_space, name, last, append_event, array, NULL);
	return array;
}

/* ---- those who follow ---- */

EngineFollow *
engine_follow_events(Engine *engine, const char *name_space, const char *name, EngineEvent event, void *context)
{
	EngineFollow *follow = memory_allocate(sizeof(*follow));

	*follow = (EngineFollow){.engine = engine,
							 .name_space = name_space != NULL ? memory_duplicate(name_space) : NULL,
							 .name = name != NULL ? memory_duplicate(name) : NULL,
							 .event = event,
							 .context = context,
							 .next = engine->follows};
	engine->follows = follow;
	return follow;
}

void
engine_follow_cancel(EngineFollow *follow)
{
	EngineFollow **place = &follow->engine->follows;

	while (*place != follow)
		place = &(*place)->next;
	*place = follow->next;
	free(follow->name_space);
	free(follow->name);
	free(follow);
}

static bool
follow_wants(const EngineFollow *follow, const EventRecord *event)
{
	return (follow->name_space == NULL || strcmp(follow->name_space, event->name_space) == 0) &&
		   (follow->name == NULL || strcmp(follow->name, event->name) == 0);
}

static void
engine_tell_event(Engine *engine, const EventRecord *event)
{
	json_t *object = engine->follows != NULL ? event_to_json(event) : NULL;
	EngineFollow *next;

	for (EngineFollow *follow = engine->follows; follow != NULL; follow = next)
	{
		next = follow->next; /* it may cancel itself */
		if (follow_wants(follow, event))
			follow->event(follow->context, object);
	}
	json_decref(object);
}

/* ---- what is on it ---- */

static void
machine_put_event(Machine *machine, uint64_t time_ms, uint64_t took_us, const char *reason)
{
	EventRecord event = {.time_ms = time_ms, .took_us = took_us};
	Error error;

	text_copy(event.name_space, sizeof(event.name_space), machine->spec.name_space);
	text_copy(event.name, sizeof(event.name), machine->spec.name);
	text_copy(event.phase, sizeof(event.phase), phase_name(machine->phase));
	text_copy(event.reason, sizeof(event.reason), reason);
	if (store_add_event(machine->engine->store, &event, &error) < 0)
		log_error("event not saved", "machine", machine->label, "reason", error.message);
	engine_tell_event(machine->engine, &event);
}

void
machine_add_event(Machine *machine, uint64_t took_us)
{
	machine_put_event(machine, machine->record.since_ms, took_us, machine->record.reason);
}

void
machine_add_note(Machine *machine, const char *text)
{
	machine_put_event(machine, clock_realtime_ms(), 0, text);
}

void
machine_note_awake(Machine *machine, unsigned kind)
{
	char reason[sizeof(machine->awake.text) + 16];

	if ((machine->awake_noted & 1u << kind) != 0)
		return;
	machine->awake_noted |= 1u << kind;
	snprintf(reason, sizeof(reason), "stays awake: %s", machine->awake.text);
	machine_put_event(machine, clock_realtime_ms(), 0, reason);
}
