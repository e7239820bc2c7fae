/*
 * Suspending, step by step: PREPARE, freeze, the last look, the door, reclaim. Any step that does not succeed ends in
 * a running server.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "host/quiesce.h"

#define BACK_OFF_FIRST_MS 100
#define BACK_OFF_LAST_MS  2000

static void
machine_refuse(Machine *machine, const char *why)
{
	text_copy(machine->refusal, sizeof(machine->refusal), why);
}

/* ---- PREPARE ---- */

void
machine_send_prepare(Machine *machine)
{
	LttleFlashWriter writer;
	Error error;

	/* Having agreed the worker hangs up and tries again: a new connection would be in the dump's way. */
	if (machine->phase == PHASE_HIBERNATE_PREPARING)
		flash_channel_refuse(machine->flash);
	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "PREPARE", machine->phase == PHASE_HIBERNATE_PREPARING ? "hibernate" : "suspend");
	lttle_flash_writer_add_number(&writer, "DEADLINE_MS", machine->engine->settings.prepare_timeout_ms);
	/* A worker that cannot be reached is lost, and that is an event of its own. */
	if (flash_channel_send(machine->flash, &writer, &error) < 0)
		machine_refuse(machine, error.message);
}

static void
machine_send_cancel(Machine *machine)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "CANCEL", "1");
	(void) flash_channel_send(machine->flash, &writer, NULL);
}

void
machine_cancel_prepare(Machine *machine)
{
	machine_refuse(machine, machine->record.reason);
	machine_send_cancel(machine);
	machine_back_off(machine, 0);
}

void
machine_back_off(Machine *machine, uint64_t at_least_ms)
{
	uint64_t delay_ms;

	machine_listen_flash(machine);
	if (machine->busy_delay_ms == 0)
		machine->busy_delay_ms = BACK_OFF_FIRST_MS;
	delay_ms = machine->busy_delay_ms > at_least_ms ? machine->busy_delay_ms : at_least_ms;
	machine->busy_delay_ms *= 2;
	if (machine->busy_delay_ms > BACK_OFF_LAST_MS)
		machine->busy_delay_ms = BACK_OFF_LAST_MS;
	machine->suspend_forced = false;
	machine->not_before_ns = clock_monotonic_ns() + delay_ms * NS_PER_MS;
	machine_start_timer(machine->idle_timer, delay_ms);
}

/* ---- freezing ---- */

void
machine_stop_freeze_watch(Machine *machine)
{
	if (machine->frozen_event != NULL)
	{
		event_free(machine->frozen_event);
		machine->frozen_event = NULL;
	}
	if (machine->frozen_epoll_fd >= 0)
		close(steal_fd(&machine->frozen_epoll_fd));
	if (machine->frozen_events_fd >= 0)
		close(steal_fd(&machine->frozen_events_fd));
}

static void
machine_handle_cgroup_event(evutil_socket_t fd, short what, void *context)
{
	Machine *machine = context;
	struct epoll_event ignored;
	bool frozen;
	bool populated;
	Error error;

	(void) what;
	(void) epoll_wait((int) fd, &ignored, 1, 0);
	if (cgroup_read_events(machine->frozen_events_fd, &frozen, &populated, &error) < 0)
	{
		machine_stop_freeze_watch(machine);
		machine_refuse(machine, error.message);
		machine_dispatch(machine, EVENT_BUSY, error.message);
		return;
	}
	if (!frozen)
		return;
	machine_stop_freeze_watch(machine);
	machine_dispatch(machine, EVENT_FROZEN, NULL);
}

/*
 * cgroup.events reports a change as POLLPRI, which libevent does not know; an epoll set of its own around the one
 * descriptor makes it a readable one.
 */
static int
machine_watch_freeze(Machine *machine, Error *err)
{
	struct epoll_event interest = {.events = EPOLLPRI};
	int result = cgroup_open_events(machine->engine->cgroups, machine->group, &machine->frozen_events_fd, err);

	if (result < 0)
		return result;
	machine->frozen_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (machine->frozen_epoll_fd < 0 ||
		epoll_ctl(machine->frozen_epoll_fd, EPOLL_CTL_ADD, machine->frozen_events_fd, &interest) < 0)
		return error_set_errno(err, errno, "machine %s: watch the freezer", machine->label);
	machine->frozen_event = event_new(machine->engine->loop, machine->frozen_epoll_fd, EV_READ | EV_PERSIST,
									  machine_handle_cgroup_event, machine);
	if (machine->frozen_event == NULL || event_add(machine->frozen_event, NULL) < 0)
		return error_set(err, -ENOMEM, "machine %s: watch the freezer: out of memory", machine->label);
	return 0;
}

void
machine_freeze(Machine *machine)
{
	bool frozen = false;
	bool populated;
	Error error;
	int result;

	steps_note(&machine->steps, "prepare");
	if (machine->phase == PHASE_HIBERNATE_FREEZING)
	{
		/* It would be asked if it had said READY; and no connection of ours may be there when the snapshot is written.
		 */
		if (!machine->facts.channel_open && flash_channel_has_peer(machine->flash))
		{
			machine_refuse(machine, "the extension has connected, and is not ready yet");
			machine_dispatch(machine, EVENT_BUSY, machine->refusal);
			return;
		}
		flash_channel_refuse(machine->flash);
	}
	result = machine_watch_freeze(machine, &error);
	if (result == 0)
		result = cgroup_set_frozen(machine->engine->cgroups, machine->group, true, &error);
	if (result == 0)
		result = cgroup_read_events(machine->frozen_events_fd, &frozen, &populated, &error);
	if (result < 0)
	{
		machine_stop_freeze_watch(machine);
		machine_refuse(machine, error.message);
		machine_dispatch(machine, EVENT_BUSY, error.message);
	}
	else if (frozen)
	{
		machine_stop_freeze_watch(machine);
		machine_dispatch(machine, EVENT_FROZEN, NULL);
	}
}

/* ---- the last look ---- */

void
machine_look(Machine *machine)
{
	QuiesceSpec spec = {.cgroups = machine->engine->cgroups,
						.cgroup = machine->group,
						.activity_path = machine_is_plain(machine) ? NULL : machine->paths.activity,
						.network_path = machine->network.pin_path,
						.policy = {.connection_aware = !machine->suspend_forced && machine_is_connection_aware(machine),
								   .now_ns = clock_monotonic_ns()}};
	QuiesceReport report;
	char why[192];
	Error error;

	socket_set_clear(&machine->sockets);
	if (machine->holds > 0)
	{
		machine_refuse(machine, "a program runs inside");
		machine_dispatch(machine, EVENT_BUSY, "a program runs inside");
		return;
	}
	if (quiesce_inspect(&spec, &report, &machine->sockets, &error) < 0)
	{
		machine_refuse(machine, error.message);
		machine_dispatch(machine, EVENT_BUSY, error.message);
		return;
	}
	machine->sessions = report.sessions;
	if (machine_is_root_inside(machine))
		machine->record.server_uid = socket_set_listeners_owner(&machine->sockets);
	if (report.quiet)
	{
		machine_dispatch(machine, EVENT_QUIET, NULL);
		return;
	}
	snprintf(why, sizeof(why), "%s: %s", activity_reason_name(report.verdict.reason), report.verdict.detail);
	machine_refuse(machine, why);
	machine_dispatch(machine, EVENT_BUSY, why);
}

/* ---- asleep ---- */

static void
machine_handle_knock(void *context, const DoorKnock *knock)
{
	char detail[128];

	door_describe_knock(knock, detail, sizeof(detail));
	machine_dispatch(context, EVENT_KNOCK, detail);
}

static int
machine_open_door(Machine *machine, Error *err)
{
	_cleanup_fd_ int namespace_fd = -1;
	DoorSpec spec = {.sockets = &machine->sockets,
					 .host_link = machine->network.host_link,
					 .knocked = machine_handle_knock,
					 .plain = machine_is_plain(machine),
					 .context = machine};
	int result = network_open_namespace(&machine->network, &namespace_fd, err);

	if (result < 0)
		return result;
	spec.namespace_fd = namespace_fd;
	return door_open(machine->engine->doors, &spec, &machine->door, err);
}

void
machine_sleep(Machine *machine)
{
	Error error;

	if (!machine_is_plain(machine))
		socket_set_defer_accept(&machine->sockets, (unsigned) machine->engine->settings.defer_accept_seconds);
	if (machine_open_door(machine, &error) < 0)
	{
		socket_set_clear(&machine->sockets);
		machine_refuse(machine, error.message);
		machine_dispatch(machine, EVENT_BUSY, error.message);
		return;
	}
	machine->record.suspends++;
	machine->slept_since_ns = clock_monotonic_ns();
	machine->busy_delay_ms = 0;
	machine->suspend_forced = false;
	machine->snapshot_promised = false;
	machine->strategy_until_ns = 0;
	machine->refusal[0] = '\0';
	machine->awake.text[0] = '\0';
	machine_save(machine);
	if (machine->spec.hibernate_after_ms > 0)
		machine_start_timer(machine->hibernate_timer, machine->spec.hibernate_after_ms);
	machine_give_back(machine);
}
