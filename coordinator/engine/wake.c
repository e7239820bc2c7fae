/* Waking: the path on which a client waits. Duplicates go first, then the thaw, then everything else. */
#include <event2/event.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_private.h"

/* Long enough for the waking query to be served, short enough that little else has been touched. */
#define HOTSET_DELAY_MS 200

/* Thaws a machine that was frozen for nothing. */
void
machine_thaw(Machine *machine)
{
	Error error;

	machine_stop_freeze_watch(machine);
	socket_set_clear(&machine->sockets);
	machine_listen_flash(machine);
	if (cgroup_set_frozen(machine->engine->cgroups, machine->group, false, &error) < 0)
		log_error("not thawed", "machine", machine->label, "reason", error.message);
}

void
machine_wake(Machine *machine, const char *woken_by)
{
	uint64_t begin_ns = clock_monotonic_ns();
	uint64_t end_ns;

	evtimer_del(machine->hibernate_timer);
	machine_cancel_memory_work(machine);
	door_close(machine->door);
	machine->door = NULL;
	machine_thaw(machine);
	end_ns = clock_monotonic_ns();

	machine->record.wakes++;
	machine->record.last_wake_ms = clock_realtime_ms();
	machine->record.last_wake_us = (end_ns - begin_ns) / 1000;
	snprintf(machine->record.woken_by, sizeof(machine->record.woken_by), "%s", woken_by == NULL ? "" : woken_by);
	machine->awake_since_ns = end_ns;
	machine->awake_noted = 0;
	machine->not_before_ns = 0;
	machine_send_resumed(machine, (end_ns - machine->slept_since_ns) / NS_PER_MS, machine->record.woken_by);
	machine_begin_plain_looks(machine);
	machine_start_timer(machine->idle_timer, machine_idle_timeout_ms(machine));
	machine_note_client_wake(machine, begin_ns);
	if (machine->reclaimed && machine->engine->settings.hot_set_bytes > 0)
		machine_start_timer(machine->hotset_timer, HOTSET_DELAY_MS);
}
