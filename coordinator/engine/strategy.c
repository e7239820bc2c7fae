/*
 * When a machine that need not speak to us is ready. The kernel tells of every port that it begins to listen on
 * (host/listen_watch.h); where that cannot be had, a timer looks while it boots. A flash machine's strategy says which
 * of them counts; its first suspend is due then, at the first moment at which it is quiet and a client could wake it.
 * A regular machine is ready when one of its exposed ports is listened on.
 */
#include "engine/strategy.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_private.h"

/* How long after it was fulfilled a strategy suspends without waiting for the idle time. */
#define STRATEGY_DUE_MS 10000

/* How long a server that listens may recover before it counts as ready without having said so. */
#define RECOVERY_MS 30000

bool
strategy_is_fulfilled(const AppSpec *spec, const uint16_t *ports, size_t count)
{
	switch (spec->strategy)
	{
		case STRATEGY_MANUAL:
			return false;
		case STRATEGY_FIRST_LISTEN:
			return count >= 1;
		case STRATEGY_NTH_LISTEN:
			return count >= spec->strategy_argument;
		case STRATEGY_LISTEN_ON_PORT:
			for (size_t i = 0; i < count; i++)
			{
				if (ports[i] == spec->strategy_argument)
					return true;
			}
			return false;
		case STRATEGY_USER_SPACE_READY:
			return true;
	}
	return false;
}

void
strategy_describe(const AppSpec *spec, char *text, size_t size)
{
	switch (spec->strategy)
	{
		case STRATEGY_MANUAL:
			snprintf(text, size, "manual");
			break;
		case STRATEGY_FIRST_LISTEN:
			snprintf(text, size, "first-listen");
			break;
		case STRATEGY_NTH_LISTEN:
			snprintf(text, size, "nth-listen %u", spec->strategy_argument);
			break;
		case STRATEGY_LISTEN_ON_PORT:
			snprintf(text, size, "listen-on-port %u", spec->strategy_argument);
			break;
		case STRATEGY_USER_SPACE_READY:
			snprintf(text, size, "user-space-ready");
			break;
	}
}

bool
machine_notices_listening(const Machine *machine)
{
	if (machine->spec.mode == MODE_REGULAR)
		return machine_next_service(machine, NULL) != NULL;
	return machine->spec.strategy != STRATEGY_MANUAL;
}

void
machine_end_strategy(Machine *machine)
{
	Error error;

	if (machine->listen_watch == NULL)
		return;
	listen_watch_close(machine->listen_watch);
	machine->listen_watch = NULL;
	if (listen_watch_detach(machine->engine->cgroups, machine->group, &error) < 0)
		log_warning("listening is still watched", "machine", machine->label, "reason", error.message);
}

/*
 * PostgreSQL listens before it has recovered, and tells those who come meanwhile that it is starting up. Who waits at
 * the gate's stubs is spared that: where the extension is there, its READY is what counts, for a while. It has made its
 * page soon after listening.
 */
static bool
machine_is_still_recovering(const Machine *machine)
{
	uint64_t waited_ms = (clock_monotonic_ns() - machine->listening_since_ns) / NS_PER_MS;

	if (machine->gate == NULL && machine->spec.mode == MODE_FLASH)
		return false;
	if (machine->facts.channel_open)
		return false;
	return waited_ms < BOOT_LOOK_MS || (waited_ms < RECOVERY_MS && !machine_is_plain(machine));
}

/* It boots, and what was to be listened on is: it is ready, now or a little later. */
static void
machine_settle_listening(Machine *machine)
{
	char detail[64] = "";

	if (machine->listening_since_ns == 0)
		machine->listening_since_ns = clock_monotonic_ns();
	if (machine_is_still_recovering(machine))
	{
		machine_start_timer(machine->idle_timer, BOOT_LOOK_MS);
		return;
	}
	if (machine->spec.mode == MODE_FLASH)
		strategy_describe(&machine->spec, detail, sizeof(detail));
	machine_dispatch(machine, EVENT_SERVER_READY, detail);
}

static void
machine_note_listening(Machine *machine, const uint16_t *ports, size_t count)
{
	bool flash = machine->spec.mode == MODE_FLASH;
	bool reachable = machine_can_be_woken(machine);
	bool fulfilled = flash ? strategy_is_fulfilled(&machine->spec, ports, count)
						   : reachable || machine_next_service(machine, NULL) == NULL;

	if (!fulfilled)
		return;
	if (reachable || !flash)
		machine_end_strategy(machine);
	if (machine->phase != PHASE_BOOTING && machine->phase != PHASE_READY)
		return;
	machine->strategy_until_ns = flash ? clock_monotonic_ns() + STRATEGY_DUE_MS * NS_PER_MS : 0;
	if (machine->phase == PHASE_BOOTING && (flash || machine_next_service(machine, NULL) != NULL))
		machine_settle_listening(machine);
	else if (machine->phase == PHASE_BOOTING)
		machine_dispatch(machine, EVENT_SERVER_READY, NULL);
	else
		machine_check_idle(machine);
}

static void
machine_handle_listening(void *context, const uint16_t *ports, size_t count)
{
	machine_note_listening(context, ports, count);
}

void
machine_look_for_listening(Machine *machine)
{
	_cleanup_fd_ int namespace_fd = -1;
	_cleanup_fd_ int diag_fd = -1;
	uint16_t ports[LISTEN_WATCH_MAX];
	size_t count = 0;
	Error error;
	int result;

	if (machine->listening_since_ns != 0)
	{
		machine_settle_listening(machine);
		return;
	}
	result = network_open_namespace(&machine->network, &namespace_fd, &error);
	if (result == 0)
		result = sockdiag_open(namespace_fd, &diag_fd, &error);
	if (result == 0)
		result = sockdiag_list_listeners(diag_fd, ports, LISTEN_WATCH_MAX, &count, &error);
	if (result < 0)
		log_debug("listening sockets not seen", "machine", machine->label, "reason", error.message);
	else if (machine->gate == NULL) /* whose stubs listen too */
		machine_note_listening(machine, ports, count);
	if (machine->phase == PHASE_BOOTING)
		machine_start_timer(machine->idle_timer, BOOT_LOOK_MS);
}

void
machine_review_listening(Machine *machine)
{
	if (machine->phase != PHASE_BOOTING)
		return;
	if (machine_notices_listening(machine))
		machine_look_for_listening(machine);
	else if (machine->spec.mode == MODE_REGULAR)
		machine_note_listening(machine, NULL, 0);
}

void
machine_begin_strategy(Machine *machine)
{
	bool at_once = machine->spec.mode == MODE_REGULAR ? machine_next_service(machine, NULL) == NULL
													  : machine->spec.strategy == STRATEGY_USER_SPACE_READY;
	Error error;

	machine_end_strategy(machine);
	machine->listening_since_ns = 0;
	if (machine_notices_listening(machine) &&
		listen_watch_open(machine->engine->loop, machine->engine->cgroups, machine->group, machine_handle_listening,
						  machine, &machine->listen_watch, &error) < 0)
	{
		machine->listen_watch = NULL;
		log_debug("looking for listening sockets now and then", "machine", machine->label, "reason", error.message);
		machine_start_timer(machine->idle_timer, BOOT_LOOK_MS);
	}
	if (at_once)
		machine_note_listening(machine, NULL, 0);
}
