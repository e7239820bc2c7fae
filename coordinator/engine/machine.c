/*
 * Birth and death of a machine's struct, and the dispatcher: the one function that writes a phase. It looks the row
 * up, commits the new phase to the store, logs why, and acts.
 */
#include "engine/machine.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"
#include "engine/machine_secrets.h"
#include "host/reclaim.h"

static void
machine_handle_limit(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	machine_dispatch(context, EVENT_TIME_OUT, NULL);
}

static void
machine_handle_idle_timer(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	machine_check_idle(context);
}

static void
machine_handle_restart_timer(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	machine_dispatch(context, EVENT_RESTART_DUE, NULL);
}

typedef struct HotsetInput
{
	const CgroupHierarchy *cgroups;
	const char *group;
	const char *path;
	uint64_t max_bytes;
} HotsetInput;

static int
hotset_record_job(const void *input, void *output, Error *err)
{
	const HotsetInput *hotset = input;

	(void) output;
	return hotset_record(hotset->cgroups, hotset->group, hotset->path, hotset->max_bytes, err);
}

static void
hotset_recorded(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;

	(void) output;
	machine->memory_work = NULL;
	if (result < 0)
		log_debug("hot set not recorded", "machine", machine->label, "reason", err->message);
}

/* The hot set is what the wake needed: it is looked at shortly after it, before other work blurs it. */
static void
machine_handle_hotset_timer(evutil_socket_t fd, short what, void *context)
{
	Machine *machine = context;
	HotsetInput input = {.cgroups = machine->engine->cgroups,
						 .group = machine->group,
						 .path = machine->paths.hotset,
						 .max_bytes = machine->engine->settings.hot_set_bytes};
	JobSpec spec = {.name = "record the hot set",
					.function = hotset_record_job,
					.input = &input,
					.timeout_ms = 10000,
					.done = hotset_recorded,
					.context = machine};
	Error error;

	(void) fd;
	(void) what;
	if (machine->memory_work == NULL && machine->phase == PHASE_READY &&
		job_start(machine->engine->loop, &spec, &machine->memory_work, &error) < 0)
		log_debug("hot set not recorded", "machine", machine->label, "reason", error.message);
}

static void
machine_plan_paths(Machine *machine)
{
	const HostLayout *layout = &machine->engine->layout;
	MachinePaths *paths = &machine->paths;

	snprintf(paths->directory, sizeof(paths->directory), "%s/machines/%s/%s", layout->state_directory,
			 machine->spec.name_space, machine->spec.name);
	/* By number, because a socket's path is at most 107 bytes and a machine's name may be longer. */
	snprintf(paths->run_directory, sizeof(paths->run_directory), "%s/m/%u", layout->run_directory,
			 machine->record.index);
	snprintf(paths->shm, sizeof(paths->shm), "%s/shm/%u", layout->run_directory, machine->record.index);
	snprintf(paths->secrets, sizeof(paths->secrets), "%s/secrets/%u", layout->run_directory, machine->record.index);
	snprintf(paths->log, sizeof(paths->log), "%s/machine.log", paths->directory);
	snprintf(paths->hotset, sizeof(paths->hotset), "%s/hotset", paths->directory);
	snprintf(paths->snapshot, sizeof(paths->snapshot), "%s/snapshot", paths->directory);
	snprintf(paths->gate, sizeof(paths->gate), "%s/gate.json", paths->directory);
	snprintf(paths->activity, sizeof(paths->activity), "%s/activity", paths->run_directory);
	snprintf(paths->flash_socket, sizeof(paths->flash_socket), "%s/flash.sock", paths->run_directory);
}

Machine *
machine_new(Engine *engine, const AppSpec *spec, const MachineRecord *record)
{
	Machine *machine = memory_allocate(sizeof(*machine));

	machine->engine = engine;
	app_spec_copy(spec, &machine->spec);
	machine->record = *record;
	machine->phase = PHASE_IDLE;
	machine->process = PIDREF_NONE;
	machine->exit_status = (int) record->ended - 1;
	machine->frozen_epoll_fd = -1;
	machine->frozen_events_fd = -1;
	machine->restart_delay_ms = engine->settings.restart_delay_ms;
	snprintf(machine->id, sizeof(machine->id), "%s.%s", spec->name_space, spec->name);
	snprintf(machine->label, sizeof(machine->label), "%s/%s", spec->name_space, spec->name);
	snprintf(machine->group, sizeof(machine->group), "%s/%s", engine->layout.name_prefix, machine->id);
	machine_plan_paths(machine);
	machine->limit_timer = evtimer_new(engine->loop, machine_handle_limit, machine);
	machine->idle_timer = evtimer_new(engine->loop, machine_handle_idle_timer, machine);
	machine->restart_timer = evtimer_new(engine->loop, machine_handle_restart_timer, machine);
	machine->hotset_timer = evtimer_new(engine->loop, machine_handle_hotset_timer, machine);
	machine->hibernate_timer = evtimer_new(engine->loop, machine_handle_hibernate_timer, machine);
	return machine;
}

void
machine_free(Machine *machine)
{
	machine_end_waits(machine, false);
	machine_unwatch_log(machine);
	machine_cancel_memory_work(machine);
	job_cancel(machine->work);
	machine_secrets_free(machine->secrets);
	machine_stop_freeze_watch(machine);
	listen_watch_close(machine->listen_watch);
	door_close(machine->door);
	gate_leave(machine->gate);
	flash_channel_close(machine->flash);
	event_free(machine->limit_timer);
	event_free(machine->idle_timer);
	event_free(machine->restart_timer);
	event_free(machine->hotset_timer);
	event_free(machine->hibernate_timer);
	if (machine->exit_event != NULL)
		event_free(machine->exit_event);
	pidref_close(&machine->process);
	image_config_clear(&machine->image_config);
	app_spec_clear(&machine->spec);
	free(machine);
}

void
machine_start_timer(struct event *timer, uint64_t delay_ms)
{
	struct timeval delay = {.tv_sec = (time_t) (delay_ms / 1000), .tv_usec = (suseconds_t) (delay_ms % 1000 * 1000)};

	/* From now on, and not from when the loop last looked at the clock: much may have been done since. */
	event_base_update_cache_time(event_get_base(timer));
	evtimer_add(timer, &delay);
}

/* A store that cannot be written must not take the machine down: what runs goes on, and the log says so. */
static void
machine_save_with(Machine *machine, int (*put)(Store *, const MachineRecord *, Error *))
{
	Error error;

	machine->record.ended = (unsigned) (machine->exit_status + 1);
	if (put(machine->engine->store, &machine->record, &error) < 0)
		log_error("state not saved", "machine", machine->label, "reason", error.message);
}

void
machine_save(Machine *machine)
{
	machine_save_with(machine, store_put_machine);
}

static uint64_t
machine_limit_ms(const Machine *machine, FsmLimit limit)
{
	const Settings *settings = &machine->engine->settings;

	switch (limit)
	{
		case LIMIT_BOOT:
			return settings->boot_timeout_ms;
		case LIMIT_PREPARE:
			return settings->prepare_timeout_ms;
		case LIMIT_FREEZE:
			return settings->freeze_timeout_ms;
		case LIMIT_STOP:
			return settings->stop_timeout_ms;
		case LIMIT_NONE:
			break;
	}
	return 0;
}

/* Writes the phase: in memory, in the store, on the event log. */
static void
machine_set_phase(Machine *machine, const FsmRow *row, const char *detail)
{
	bool same_phase = strcmp(phase_name(machine->phase), phase_name(row->to)) == 0;
	bool has_booted = machine->phase == PHASE_BOOTING && row->to == PHASE_READY;
	uint64_t limit_ms = machine_limit_ms(machine, row->limit);
	char took_text[32] = "";
	uint64_t took_us = row->action == ACTION_WAKE ? machine->record.last_wake_us : 0;

	machine->phase = row->to;
	if (limit_ms > 0)
		machine_start_timer(machine->limit_timer, limit_ms);
	else
		evtimer_del(machine->limit_timer);

	snprintf(machine->record.phase, sizeof(machine->record.phase), "%s", fsm_phase_key(row->to));
	if (detail != NULL && *detail != '\0')
		snprintf(machine->record.reason, sizeof(machine->record.reason), "%s: %.500s", row->why, detail);
	else
		snprintf(machine->record.reason, sizeof(machine->record.reason), "%s", row->why);
	if (!same_phase)
		machine->record.since_ms = clock_realtime_ms();
	/* After a crash of the host, a machine that had come so far starts when somebody asks, and not by itself. */
	machine_save_with(machine, has_booted ? store_put_machine_durably : store_put_machine);
	if (!same_phase)
		machine_add_event(machine, took_us);
	if (took_us > 0)
		snprintf(took_text, sizeof(took_text), "%lluus", (unsigned long long) took_us);
	log_event(same_phase ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, row->why, "namespace", machine->spec.name_space, "machine",
			  machine->spec.name, "phase", phase_name(row->to), "reason", detail, "took",
			  took_us > 0 ? took_text : NULL, NULL);
}

static void
machine_act(Machine *machine, const FsmRow *row, const char *detail)
{
	switch (row->action)
	{
		case ACTION_NONE:
		case ACTION_WAKE: /* done before the phase was written */
		case ACTION_COUNT:
			break;
		case ACTION_FETCH_IMAGE:
			machine_fetch_image(machine);
			break;
		case ACTION_AWAIT:
			machine_await(machine);
			break;
		case ACTION_CREATE:
			machine_create(machine);
			break;
		case ACTION_WATCH_PROCESS:
			machine_watch_process(machine);
			break;
		case ACTION_ENTER_READY:
		case ACTION_ADOPT:
			machine_enter_ready(machine);
			break;
		case ACTION_WARN_SLOW:
			log_warning(row->why, "machine", machine->label);
			break;
		case ACTION_SEND_PREPARE:
			machine_send_prepare(machine);
			break;
		case ACTION_FREEZE:
			machine_freeze(machine);
			break;
		case ACTION_LOOK:
			machine_look(machine);
			break;
		case ACTION_SLEEP:
			machine_sleep(machine);
			break;
		case ACTION_PREPARE_HIBERNATE:
			machine_send_prepare(machine);
			break;
		case ACTION_WAKE_TO_HIBERNATE:
			machine_wake_to_hibernate(machine);
			break;
		case ACTION_DUMP:
			machine_dump(machine);
			break;
		case ACTION_UNDUMP:
			machine_undump(machine);
			break;
		case ACTION_EVICT:
			(void) fault_hit(FAULT_EVICTING, NULL);
			machine_kill(machine);
			break;
		case ACTION_RESTORE:
			if (machine->knocker[0] == '\0' && detail != NULL)
				text_copy(machine->knocker, sizeof(machine->knocker), detail);
			machine_restore(machine);
			break;
		case ACTION_RESUME:
			machine_resume(machine);
			break;
		case ACTION_START_COLD:
			machine_start_cold(machine);
			break;
		case ACTION_DISCARD:
			machine_discard(machine);
			break;
		case ACTION_KEEP_GATE:
			machine_keep_gate(machine);
			break;
		case ACTION_NOTE_KNOCK:
			machine->facts.wake_wanted = true;
			text_copy(machine->knocker, sizeof(machine->knocker), detail == NULL ? "" : detail);
			break;
		case ACTION_GROW:
			machine_grow(machine);
			break;
		case ACTION_BACK_OFF:
			machine_back_off(machine, 0);
			break;
		case ACTION_CANCEL_PREPARE:
			machine_cancel_prepare(machine);
			break;
		case ACTION_THAW:
			machine_thaw(machine);
			machine_back_off(machine, 0);
			break;
		case ACTION_WAKE_AND_STOP:
			machine_wake(machine, detail);
			machine_stop_process(machine);
			break;
		case ACTION_STOP_PROCESS:
			machine_stop_process(machine);
			break;
		case ACTION_KILL:
			machine_kill(machine);
			break;
		case ACTION_CANCEL_WORK:
			job_cancel(machine->work);
			machine->work = NULL;
			machine_tear_down(machine);
			break;
		case ACTION_TEAR_DOWN:
			machine_tear_down(machine);
			break;
		case ACTION_SCHEDULE_RESTART:
			machine_schedule_restart(machine);
			break;
		case ACTION_FORGET:
			machine_forget(machine);
			break;
	}
}

bool
machine_dispatch(Machine *machine, FsmEvent event, const char *detail)
{
	const FsmRow *row = fsm_find(machine->phase, event, &machine->facts);
	Phase before = machine->phase;

	if (row == NULL)
	{
		log_debug("event means nothing in this phase", "machine", machine->label, "phase", phase_name(before), "event",
				  fsm_event_name(event), "reason", detail);
		return false;
	}
	/*
	 * A wake is acted on first and written afterwards: a client waits for it, and the freezer itself is what a new
	 * coordinator believes when it adopts the machine.
	 */
	if (row->action == ACTION_WAKE)
		machine_wake(machine, detail);
	machine_set_phase(machine, row, detail);
	if (row->to != PHASE_READY && before == PHASE_READY)
		evtimer_del(machine->idle_timer);
	machine_settle_boot(machine, row->action == ACTION_WARN_SLOW);
	engine_note_phase(machine->engine);
	engine_note_growth(machine);
	engine_settle_dependents(machine->engine, before, machine);
	engine_settle_cluster(machine->engine, machine);
	/* Settled before acting as well: an action may go on to the next phase at once, and this one was reached. */
	machine_settle_waits(machine);
	if (row->action == ACTION_FORGET)
	{
		machine_act(machine, row, detail); /* may free the machine */
		return true;
	}
	machine_act(machine, row, detail);
	return true;
}
