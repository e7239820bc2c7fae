/*
 * Under memory pressure the coldest suspended machine goes to disk, one at a time, the next when the pressure lasts.
 * The kernel reports stalls by itself; how much is available, and how full the swap is, it does not, so that is looked
 * at when a suspend has given memory back and, slowly, while anybody sleeps. With nobody asleep nothing is looked at.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/pressure_policy.h"

#define LOOK_SOON_MS		  300
#define LOOK_WATCHED_MS		  30000
#define LOOK_UNWATCHED_MS	  10000
#define HIBERNATE_TIMEOUT_MS  (5 * 60 * 1000)
#define STALL_PERCENT_NEVER	  100
#define OWN_STALLS_PASS_AFTER (2 * PRESSURE_WINDOW_MS * NS_PER_MS)

/* The sooner of two looks counts, so that one that is due is not put off for ever. */
static void
pressure_plan_look(Engine *engine, uint64_t delay_ms)
{
	uint64_t at_ns = clock_monotonic_ns() + delay_ms * NS_PER_MS;

	if (evtimer_pending(engine->pressure.timer, NULL) && engine->pressure.look_at_ns <= at_ns)
		return;
	engine->pressure.look_at_ns = at_ns;
	machine_start_timer(engine->pressure.timer, delay_ms);
}

/* Giving memory back and writing it to disk are themselves stalls of a process that waits for memory: ours. */
static void
pressure_forgive_stalls(Engine *engine)
{
	engine->pressure.stalls_from_ns = clock_monotonic_ns() + OWN_STALLS_PASS_AFTER;
}

static void
machine_failed_to_go(Machine *machine, const char *why)
{
	uint64_t retry_ms = pressure_retry_ms(++machine->pressure_failures);

	machine->pressure_not_before_ns = clock_monotonic_ns() + retry_ms * NS_PER_MS;
	log_warning("could not go to disk under memory pressure", "machine", machine->label, "reason", why);
}

static void
machine_has_gone(void *context, int result, struct json_t *body, const Error *err)
{
	Engine *engine = context;
	Machine *machine = engine->pressure.leaving;

	(void) body;
	engine->pressure.leaving = NULL;
	if (result == -ECANCELED) /* the coordinator is ending */
		return;
	if (result == 0)
		machine->pressure_failures = 0;
	else if (result != -ENOENT)
		machine_failed_to_go(machine, err->message);
	pressure_forgive_stalls(engine);
	pressure_plan_look(engine, LOOK_SOON_MS);
}

/* Returns false when it does not even begin. */
static bool
machine_go_to_disk(Machine *machine, const char *why)
{
	Engine *engine = machine->engine;

	if (!machine_hibernate(machine, why))
	{
		machine_failed_to_go(machine, machine->refusal);
		return false;
	}
	log_info("goes to disk", "machine", machine->label, "reason", why);
	engine->pressure.leaving = machine;
	(void) machine_wait(machine, WAIT_ON_DISK, NULL, HIBERNATE_TIMEOUT_MS, machine_has_gone, engine);
	return true;
}

static Machine *
engine_find_coldest(const Engine *engine, PressureCandidate *candidates, uint64_t now_ns)
{
	Machine *machine = engine->machines;
	size_t count = 0;
	size_t coldest;

	for (const Machine *each = engine->machines; each != NULL; each = each->next)
		candidates[count++] = (PressureCandidate){.is_suspended = each->phase == PHASE_SUSPENDED,
												  .has_gate = each->gate != NULL,
												  .slept_since_ns = each->slept_since_ns,
												  .not_before_ns = each->pressure_not_before_ns};
	coldest = pressure_choose(candidates, count, now_ns);
	if (coldest == count)
		return NULL;
	for (size_t i = 0; i < coldest && machine != NULL; i++)
		machine = machine->next;
	return machine;
}

/* Each one that cannot go is left alone from then on, so that this ends. */
static void
engine_relieve(Engine *engine, size_t machine_count, const char *why)
{
	PressureCandidate *candidates = memory_allocate(machine_count * sizeof(*candidates));
	uint64_t now_ns = clock_monotonic_ns();
	Machine *coldest;

	do
		coldest = engine_find_coldest(engine, candidates, now_ns);
	while (coldest != NULL && !machine_go_to_disk(coldest, why));
	free(candidates);
}

static void
engine_look_at_memory(Engine *engine, size_t machine_count)
{
	char why[PRESSURE_WHY_BYTES];
	HostMemory memory;
	Error error;

	if (engine->pressure.leaving != NULL)
		return;
	if (meminfo_read(MEMINFO_PATH, &memory, &error) < 0)
		log_debug("memory cannot be looked at", "reason", error.message);
	else if (pressure_judge(&engine->settings, &memory, engine->pressure.is_stalled, why))
	{
		log_debug("memory looked at", "reason", why);
		engine_relieve(engine, machine_count, why);
	}
	else
		log_debug("memory looked at", "reason", "no pressure");
	engine->pressure.is_stalled = false;
}

static void
pressure_handle_stall(void *context)
{
	Engine *engine = context;

	if (clock_monotonic_ns() < engine->pressure.stalls_from_ns || engine->pressure.leaving != NULL)
		return;
	engine->pressure.is_stalled = true;
	event_active(engine->pressure.timer, EV_TIMEOUT, 0);
}

static void
pressure_begin_watch(Engine *engine)
{
	unsigned percent = engine->settings.memory_pressure_limit;
	Error error;

	if (engine->pressure.is_watching || percent == STALL_PERCENT_NEVER)
		return;
	engine->pressure.is_watching = true;
	if (pressure_watch_open(engine->loop, PRESSURE_PATH, percent, pressure_handle_stall, engine,
							&engine->pressure.watch, &error) < 0)
		log_debug("memory stalls are not reported", "reason", error.message);
}

static void
pressure_end_watch(Engine *engine)
{
	pressure_watch_close(engine->pressure.watch);
	engine->pressure.watch = NULL;
	engine->pressure.is_watching = false;
}

static void
pressure_handle_timer(evutil_socket_t fd, short what, void *context)
{
	Engine *engine = context;
	size_t machine_count = 0;
	size_t asleep = 0;

	(void) fd;
	(void) what;
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		machine_count++;
		asleep += machine->phase == PHASE_SUSPENDED;
	}
	if (asleep == 0)
	{
		pressure_end_watch(engine);
		return;
	}
	engine_look_at_memory(engine, machine_count);
	pressure_plan_look(engine, engine->pressure.watch != NULL ? LOOK_WATCHED_MS : LOOK_UNWATCHED_MS);
}

void
engine_watch_pressure(Engine *engine)
{
	if (engine->criu[0] == '\0')
		return;
	if (engine->pressure.timer == NULL)
		engine->pressure.timer = evtimer_new(engine->loop, pressure_handle_timer, engine);
	pressure_begin_watch(engine);
	pressure_forgive_stalls(engine);
	pressure_plan_look(engine, LOOK_SOON_MS);
}

void
engine_forget_pressure(Engine *engine)
{
	pressure_end_watch(engine);
	if (engine->pressure.timer != NULL)
		event_free(engine->pressure.timer);
	engine->pressure.timer = NULL;
}
