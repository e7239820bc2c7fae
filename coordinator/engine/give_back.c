/*
 * Giving the memory of sleeping machines back, in turn: no more at a time than there are processors, first come, first
 * served, and behind everything else that wants a processor. Two hundred servers that fall asleep together, or that a
 * new coordinator finds asleep, would else keep those waiting that have a client.
 */
#include <event2/event.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/engine_private.h"
#include "host/reclaim.h"

#define RECLAIM_TIMEOUT_MS 60000
#define RECLAIM_NICENESS   10

static int
reclaim_job(const void *input, void *output, Error *err)
{
	const Machine *machine = input;
	const Settings *settings = &machine->engine->settings;
	ReclaimSpec spec = {.cgroups = machine->engine->cgroups,
						.cgroup = machine->group,
						.hotset_path = settings->hot_set_bytes > 0 ? machine->paths.hotset : NULL,
						.hotset_max_bytes = settings->hot_set_bytes};

	(void) !setpriority(PRIO_PROCESS, 0, RECLAIM_NICENESS); /* at the usual one it does the same */
	return reclaim_run(&spec, output, err);
}

/* From the loop: who makes room for the next one may have a client waiting, and a fork takes its time. */
static void
engine_plan_reclaims(Engine *engine)
{
	if (engine->reclaim_turn != NULL)
		event_active(engine->reclaim_turn, EV_TIMEOUT, 0);
}

static void
machine_leave_reclaiming(Machine *machine)
{
	bool makes_room = machine->turns[TURN_RECLAIM].taken;

	machine_leave_turn(machine, TURN_RECLAIM);
	if (makes_room)
		engine_plan_reclaims(machine->engine);
}

static void
machine_end_reclaim(Machine *machine)
{
	machine->memory_work = NULL;
	machine_leave_reclaiming(machine);
	engine_watch_pressure(machine->engine);
}

static void
machine_reclaimed(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	const ReclaimResult *reclaim = output;
	char before[32], after[32], hot[32], took[32];

	machine_end_reclaim(machine);
	if (result < 0)
	{
		log_warning("memory not given back", "machine", machine->label, "reason", err->message);
		return;
	}
	machine->reclaimed = true;
	snprintf(before, sizeof(before), "%lluKiB", (unsigned long long) reclaim->before_bytes / 1024);
	snprintf(after, sizeof(after), "%lluKiB", (unsigned long long) reclaim->after_bytes / 1024);
	snprintf(hot, sizeof(hot), "%lluKiB", (unsigned long long) reclaim->hot_bytes / 1024);
	snprintf(took, sizeof(took), "%llums", (unsigned long long) reclaim->took_us / 1000);
	log_info("memory given back", "namespace", machine->spec.name_space, "machine", machine->spec.name, "before",
			 before, "after", after, "hot", hot, "took", took);
}

void
machine_begin_reclaim(Machine *machine)
{
	JobSpec spec = {.name = "reclaim memory",
					.function = reclaim_job,
					.input = machine,
					.output_bytes = sizeof(ReclaimResult),
					.timeout_ms = RECLAIM_TIMEOUT_MS,
					.done = machine_reclaimed,
					.context = machine};
	Engine *engine = machine->engine;
	char at_once[16];
	Error error;

	snprintf(at_once, sizeof(at_once), "%u", engine->turns_taken[TURN_RECLAIM]);
	log_debug("giving memory back", "machine", machine->label, "at-once", at_once);
	if (job_start(engine->loop, &spec, &machine->memory_work, &error) < 0)
	{
		machine_end_reclaim(machine);
		log_warning("memory not given back", "machine", machine->label, "reason", error.message);
	}
}

static void
engine_handle_reclaim_turn(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	engine_serve_turns(context, TURN_RECLAIM);
}

void
machine_give_back(Machine *machine)
{
	Engine *engine = machine->engine;

	machine_cancel_memory_work(machine);
	machine->reclaimed = false;
	if (!engine->settings.reclaim)
	{
		engine_watch_pressure(engine);
		return;
	}
	if (engine->reclaim_turn == NULL)
		engine->reclaim_turn = evtimer_new(engine->loop, engine_handle_reclaim_turn, engine);
	machine_join_queue(machine, TURN_RECLAIM);
	engine_plan_reclaims(engine);
}

void
machine_cancel_memory_work(Machine *machine)
{
	job_cancel(machine->memory_work);
	machine->memory_work = NULL;
	machine_leave_reclaiming(machine);
	evtimer_del(machine->hotset_timer);
}

void
engine_end_reclaims(Engine *engine)
{
	if (engine->reclaim_turn != NULL)
		event_free(engine->reclaim_turn);
	engine->reclaim_turn = NULL;
}
