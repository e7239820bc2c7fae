/*
 * Draining the host, before it shuts down: every machine goes to disk, a few at a time; what cannot within the time
 * is stopped in order. From the beginning nothing new is deployed, woken or started; a client of a machine on disk
 * waits at its gate. It ends with the coordinator: the next one finds machines that start when somebody asks.
 *
 * One step function looks at all machines and does what can be done; it runs after every change of a phase, and by a
 * timer for what waits for a time.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"

/* A machine in which something is active is asked again. */
#define RETRY_MS 250
/* What giving mounts and links back may take after the last process has ended. */
#define TEAR_DOWN_MS 10000
#define STOP_REASON	 "the host is drained"

struct Drain
{
	Engine *engine;
	struct event *timer;
	unsigned at_a_time;
	uint64_t begun_ns;
	uint64_t disk_until_ns; /* then what is not on its way to disk is stopped */
	uint64_t give_up_ns;	/* then the answer is given, whatever is left */
	EngineDone done;		/* NULL: answered; what was said stays in force */
	void *context;
};

/* Where a phase leaves a machine that is to come to rest. */
typedef enum DrainStage
{
	DRAIN_AT_REST,
	DRAIN_AWAKE,	/* may go to disk, or be stopped */
	DRAIN_SHORTLY,	/* about to be awake or asleep */
	DRAIN_ASKING,	/* on its way to disk; nothing is written yet */
	DRAIN_WRITING,	/* its snapshot is written or read: not to be disturbed */
	DRAIN_STARTING, /* not worth waiting for: stopped */
	DRAIN_STOPPING
} DrainStage;

static DrainStage
drain_stage(Phase phase)
{
	switch (phase)
	{
		case PHASE_IDLE:
		case PHASE_HIBERNATED:
		case PHASE_STOPPED:
		case PHASE_ERROR:
		case PHASE_COUNT:
			return DRAIN_AT_REST;
		case PHASE_READY:
		case PHASE_SUSPENDED:
			return DRAIN_AWAKE;
		case PHASE_PREPARING:
		case PHASE_FREEZING:
			return DRAIN_SHORTLY;
		case PHASE_HIBERNATE_PREPARING:
		case PHASE_HIBERNATE_CLOSING:
		case PHASE_HIBERNATE_FREEZING:
			return DRAIN_ASKING;
		case PHASE_DUMPING:
		case PHASE_EVICTING:
		case PHASE_GROWING:
		case PHASE_RESUMING:
			return DRAIN_WRITING;
		case PHASE_PULLING_IMAGE:
		case PHASE_WAITING:
		case PHASE_CREATING:
		case PHASE_BOOTING:
		case PHASE_RESTARTING:
			return DRAIN_STARTING;
		case PHASE_STOPPING:
		case PHASE_DELETING:
			break;
	}
	return DRAIN_STOPPING;
}

/* ---- the answer ---- */

static const char *
drain_outcome(const Machine *machine)
{
	if (machine->phase == PHASE_HIBERNATED)
		return "hibernated";
	if (drain_stage(machine->phase) != DRAIN_AT_REST)
		return "unfinished";
	if (machine->drain.stopped && machine->exit_status >= 0 && WIFSIGNALED(machine->exit_status) &&
		WTERMSIG(machine->exit_status) == SIGKILL)
		return "killed";
	return "stopped";
}

static json_t *
drain_to_json(const Drain *drain)
{
	json_t *machines = json_array();

	for (const Machine *machine = drain->engine->machines; machine != NULL; machine = machine->next)
	{
		uint64_t settled_ns = machine->drain.settled_ns != 0 ? machine->drain.settled_ns : clock_monotonic_ns();
		json_t *why = machine->drain.why[0] != '\0' ? json_string(machine->drain.why) : NULL;

		json_array_append_new(machines, json_pack("{s:s, s:s, s:s, s:s, s:o, s:I}", "namespace",
												  machine->spec.name_space, "name", machine->spec.name, "outcome",
												  drain_outcome(machine), "phase", phase_name(machine->phase),
												  "not-on-disk-because", why != NULL ? why : json_null(), "took-ms",
												  (json_int_t) ((settled_ns - drain->begun_ns) / NS_PER_MS)));
	}
	return json_pack("{s:o}", "machines", machines);
}

static void
drain_finish(Drain *drain)
{
	EngineDone done = drain->done;
	json_t *body = drain_to_json(drain);
	Error none = {0};

	drain->done = NULL;
	event_del(drain->timer);
	log_info("the host is drained; machines start again with the next coordinator, when somebody asks");
	done(drain->context, 0, body, &none);
	json_decref(body);
}

/* ---- one machine ---- */

static void
drain_stop(Machine *machine, const char *why)
{
	if (machine->drain.why[0] == '\0')
		text_copy(machine->drain.why, sizeof(machine->drain.why), why);
	machine->drain.stopped = true;
	machine->facts.restart_wanted = false;
	machine_dispatch(machine, EVENT_STOP, STOP_REASON);
}

/* True when it is on its way now. */
static bool
drain_to_disk(Machine *machine, uint64_t now_ns)
{
	machine->drain.retry_ns = now_ns + RETRY_MS * NS_PER_MS;
	if (machine_hibernate(machine, STOP_REASON))
		return true;
	drain_stop(machine, machine->refusal);
	return false;
}

/* Why it is still awake, after at least one try. */
static const char *
drain_reason(const Machine *machine)
{
	if (machine->drain.retry_ns == 0)
		return "there was no time left";
	return machine->refusal[0] != '\0' ? machine->refusal : "it did not come to disk in time";
}

/* Does for one machine what can be done now. Returns true when it goes to disk by it. */
static bool
drain_machine(Drain *drain, Machine *machine, uint64_t now_ns, bool slot_free)
{
	bool late = now_ns >= drain->disk_until_ns;

	switch (drain_stage(machine->phase))
	{
		case DRAIN_AT_REST:
			if (machine->drain.settled_ns == 0)
				machine->drain.settled_ns = now_ns;
			break;
		case DRAIN_AWAKE:
			if (late)
				drain_stop(machine, drain_reason(machine));
			else if (slot_free && now_ns >= machine->drain.retry_ns)
				return drain_to_disk(machine, now_ns);
			break;
		case DRAIN_SHORTLY:
		case DRAIN_ASKING:
			if (late)
				drain_stop(machine, drain_reason(machine));
			break;
		case DRAIN_STARTING:
			drain_stop(machine, "it was only starting");
			break;
		case DRAIN_STOPPING:
			machine->facts.restart_wanted = false;
			break;
		case DRAIN_WRITING:
			break;
	}
	return false;
}

/* ---- all machines ---- */

static unsigned
drain_count_under_way(const Drain *drain)
{
	unsigned under_way = 0;

	for (const Machine *machine = drain->engine->machines; machine != NULL; machine = machine->next)
	{
		DrainStage stage = drain_stage(machine->phase);

		under_way += stage == DRAIN_ASKING || stage == DRAIN_WRITING;
	}
	return under_way;
}

static bool
drain_is_over(const Drain *drain)
{
	for (const Machine *machine = drain->engine->machines; machine != NULL; machine = machine->next)
	{
		if (machine->drain.settled_ns == 0)
			return false;
	}
	return true;
}

/* The next moment at which time alone changes something. */
static void
drain_start_timer(Drain *drain, uint64_t now_ns)
{
	uint64_t next_ns = now_ns < drain->disk_until_ns ? drain->disk_until_ns : drain->give_up_ns;

	for (const Machine *machine = drain->engine->machines; machine != NULL; machine = machine->next)
	{
		if (drain_stage(machine->phase) == DRAIN_AWAKE && machine->drain.retry_ns > now_ns &&
			machine->drain.retry_ns < next_ns)
			next_ns = machine->drain.retry_ns;
	}
	machine_start_timer(drain->timer, next_ns > now_ns ? (next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0);
}

static void
drain_step(evutil_socket_t fd, short what, void *context)
{
	Drain *drain = context;
	uint64_t now_ns = clock_monotonic_ns();
	unsigned under_way = drain_count_under_way(drain);

	(void) fd;
	(void) what;
	if (drain->done == NULL)
		return;
	for (Machine *machine = drain->engine->machines; machine != NULL; machine = machine->next)
		under_way += drain_machine(drain, machine, now_ns, under_way < drain->at_a_time);
	if (drain_is_over(drain) || now_ns >= drain->give_up_ns)
		drain_finish(drain);
	else
		drain_start_timer(drain, now_ns);
}

void
engine_note_phase(Engine *engine)
{
	if (engine->drain != NULL && engine->drain->done != NULL)
		event_active(engine->drain->timer, EV_TIMEOUT, 0);
}

int
engine_check_open(const Engine *engine, Error *err)
{
	return engine->drain == NULL
			   ? 0
			   : error_set(err, -EBUSY, "the host is being drained: nothing starts until lttled is started anew");
}

void
engine_drain(Engine *engine, uint64_t timeout_ms, EngineDone done, void *context)
{
	Drain *drain = engine->drain;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	Error error;

	if (drain != NULL && drain->done != NULL)
	{
		error_set(&error, -EBUSY, "the host is being drained already");
		done(context, -EBUSY, NULL, &error);
		return;
	}
	if (drain == NULL)
	{
		drain = memory_allocate(sizeof(*drain));
		drain->timer = evtimer_new(engine->loop, drain_step, drain);
		engine->drain = drain;
	}
	drain->engine = engine;
	/* A dump is bound by the processor and then by the disk. */
	drain->at_a_time = processors > 2 ? (unsigned) processors : 2;
	drain->begun_ns = clock_monotonic_ns();
	drain->disk_until_ns = drain->begun_ns + timeout_ms * NS_PER_MS;
	drain->give_up_ns = drain->disk_until_ns + (engine->settings.stop_timeout_ms + TEAR_DOWN_MS) * NS_PER_MS;
	drain->done = done;
	drain->context = context;
	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
		machine->drain = (MachineDrain){0};
	log_info("draining the host: machines go to disk");
	engine_note_phase(engine);
}

void
engine_end_drain(Engine *engine)
{
	Drain *drain = engine->drain;
	Error error;

	if (drain == NULL)
		return;
	if (drain->done != NULL)
	{
		error_set(&error, -ECANCELED, "the coordinator is stopping; the host is not drained");
		drain->done(drain->context, -ECANCELED, NULL, &error);
	}
	event_free(drain->timer);
	free(drain);
	engine->drain = NULL;
}
