/*
 * When it is time to suspend, and why it is not. While a machine is awake one timer looks at its activity page: the
 * page says since when each session is idle, so the look can be late without making the answer wrong, and one look per
 * time-out is enough. While it sleeps nothing is looked at.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/strategy.h"

/* How often a pending manual trigger looks for a quiet moment. */
#define SNAPSHOT_LOOK_MS 50
#define SHORTEST_LOOK_MS 20

#define UNREACHABLE "no exposed port is listened on, so no client could wake it"

bool
machine_is_connection_aware(const Machine *machine)
{
	const EngineService *service = NULL;

	while ((service = machine_next_service(machine, service)) != NULL)
	{
		if (service->spec.tracking.kind == TRACKING_CONNECTION_AWARE)
			return true;
	}
	/* The default of a service; a machine without one is reached by its own address. */
	return machine_next_service(machine, NULL) == NULL;
}

/* With open sessions a traffic-aware machine stays for as long as the longest of its inactivity time-outs says. */
uint64_t
machine_idle_timeout_ms(const Machine *machine)
{
	uint64_t timeout_ms = machine->spec.timeout_ms;
	const EngineService *service = NULL;

	while (machine->sessions > 0 && (service = machine_next_service(machine, service)) != NULL)
	{
		const ServiceTracking *tracking = &service->spec.tracking;

		if (tracking->kind == TRACKING_TRAFFIC_AWARE && tracking->inactivity_timeout_ms > timeout_ms)
			timeout_ms = tracking->inactivity_timeout_ms;
	}
	return timeout_ms;
}

/* What the kernel says of the ports that clients come by. */
typedef struct PortUse
{
	unsigned listening;
	unsigned established;
	uint64_t silent_ms; /* since data last moved on one of the established; 0: there is none */
} PortUse;

static int
machine_look_at_ports(const Machine *machine, PortUse *ret_use, Error *err)
{
	_cleanup_fd_ int namespace_fd = -1;
	_cleanup_fd_ int diag_fd = -1;
	size_t port_count = 0;
	_cleanup_free_ uint16_t *ports = machine_list_ports(machine, &port_count);
	PortUse use = {0};
	int result = network_open_namespace(&machine->network, &namespace_fd, err);

	if (result == 0)
		result = sockdiag_open(namespace_fd, &diag_fd, err);
	for (size_t i = 0; result == 0 && i < port_count; i++)
	{
		unsigned listening = 0;
		unsigned established = 0;
		uint64_t silent_ms = 0;

		result = sockdiag_count_port(diag_fd, ports[i], &listening, &established, &silent_ms, err);
		/* Stubs of a closed gate are no server. */
		use.listening += listening > gate_count_stubs(machine->gate, ports[i]);
		if (established > 0 && (use.established == 0 || silent_ms < use.silent_ms))
			use.silent_ms = silent_ms;
		use.established += established;
	}
	if (result == 0)
		*ret_use = use;
	return result;
}

bool
machine_can_be_woken(Machine *machine)
{
	PortUse use;

	return machine_look_at_ports(machine, &use, NULL) == 0 && use.listening > 0;
}

static void
verdict_busy(ActivityVerdict *verdict, ActivityReason reason, const char *detail)
{
	*verdict = (ActivityVerdict){.reason = reason};
	text_copy(verdict->detail, sizeof(verdict->detail), detail);
}

static void
machine_judge(Machine *machine, ActivityVerdict *ret_verdict)
{
	ActivityPolicy policy = {.connection_aware = machine_is_connection_aware(machine), .now_ns = clock_monotonic_ns()};
	_cleanup_free_ pid_t *pids = NULL;
	size_t pid_count = 0;
	Error error = {0};

	if (cgroup_list_processes(machine->engine->cgroups, machine->group, &pids, &pid_count, &error) < 0 ||
		activity_observe(machine->paths.activity, pids, pid_count, &policy, ret_verdict, &error) < 0)
		verdict_busy(ret_verdict, ACTIVITY_WORKER, error.message);
}

ActivityVerdict
machine_observe(Machine *machine)
{
	ActivityVerdict verdict = {0};
	PortUse use = {0};

	machine->sessions = machine_look_at_ports(machine, &use, NULL) == 0 ? use.established : 0;
	if (machine->holds > 0)
		verdict_busy(&verdict, ACTIVITY_WORKER, "a program runs inside (exec)");
	else if (machine_is_plain(machine))
		machine_judge_plain(machine, use.established, use.silent_ms, &verdict);
	else
		machine_judge(machine, &verdict);
	if (verdict.ignored_connections > use.established)
		verdict.ignored_connections = use.established;
	use.established -= verdict.ignored_connections;
	machine->sessions = use.established;
	if (verdict.reason == ACTIVITY_NONE && use.established > 0 && machine_is_connection_aware(machine))
	{
		char detail[64];

		snprintf(detail, sizeof(detail), "%u open", use.established);
		verdict_busy(&verdict, ACTIVITY_CONNECTION, detail);
	}
	if (verdict.reason == ACTIVITY_NONE)
		text_copy(machine->awake.text, sizeof(machine->awake.text), use.listening > 0 ? "" : UNREACHABLE);
	else
		snprintf(machine->awake.text, sizeof(machine->awake.text), "%s: %s", activity_reason_name(verdict.reason),
				 verdict.detail);
	return verdict;
}

/* Within its time the manual trigger waits for no idle time, and connections do not stop it. */
static bool
machine_is_triggered(const Machine *machine, uint64_t now_ns)
{
	return machine->snapshot_pending || (machine->snapshot_promised && now_ns < machine->snapshot_deadline_ns);
}

/* Its strategy was fulfilled just now: it suspends at the first quiet moment. */
static bool
machine_is_due(const Machine *machine, uint64_t now_ns)
{
	return now_ns < machine->strategy_until_ns;
}

/* How long until the next look, when nothing is known to happen before. A plain machine tells of nothing by itself. */
static uint64_t
machine_look_interval_ms(const Machine *machine)
{
	uint64_t timeout_ms = machine_idle_timeout_ms(machine);

	return machine_is_plain(machine) ? timeout_ms / 2 : timeout_ms;
}

void
machine_enter_ready(Machine *machine)
{
	machine->awake_since_ns = clock_monotonic_ns();
	machine->busy_delay_ms = 0;
	machine->not_before_ns = 0;
	machine->suspend_forced = false;
	machine->awake_noted = 0;
	machine_note_started_once(machine);
	/* A cold start after a sleep on disk: clients wait at the stubs until the server listens. */
	if (machine->gate != NULL)
	{
		Error error;

		if (gate_open(machine->gate, &error) < 0)
			log_error("gate not opened", "machine", machine->label, "reason", error.message);
		machine->gate = NULL;
	}
	if (machine->spec.mode != MODE_FLASH)
		return;
	engine_pin_image(machine->engine, machine);
	machine_begin_plain_looks(machine);
	machine_start_timer(machine->idle_timer, machine_is_triggered(machine, machine->awake_since_ns) ||
													 machine_is_due(machine, machine->awake_since_ns)
												 ? SNAPSHOT_LOOK_MS
												 : machine_look_interval_ms(machine));
}

static void
machine_check_snapshot_deadline(Machine *machine, uint64_t now_ns)
{
	char why[320];

	if (!machine->snapshot_pending || now_ns < machine->snapshot_deadline_ns)
		return;
	snprintf(why, sizeof(why), "no quiet moment within the time-out: %s",
			 machine->awake.text[0] != '\0' ? machine->awake.text : machine->refusal);
	machine_answer_snapshot(machine, why);
}

/*
 * The extension hears OK before PREPARE, so that it can close its channel for a snapshot on disk. What was promised
 * with that is tried again when something comes in between, such as the answer to the very statement that asked for it.
 */
static void
machine_promise_snapshot(Machine *machine)
{
	if (machine->snapshot_pending)
		machine_answer_snapshot(machine, NULL);
	machine->snapshot_promised = true;
}

static void
machine_refuse_snapshot(Machine *machine, const char *why)
{
	if (machine->snapshot_pending)
		machine_answer_snapshot(machine, why);
	machine->snapshot_promised = false;
	machine->strategy_until_ns = 0;
	machine_start_timer(machine->idle_timer, machine_idle_timeout_ms(machine));
}

/* Suspends, or says why not. */
static void
machine_try_suspend(Machine *machine)
{
	bool asked = machine->snapshot_pending || machine->snapshot_promised;
	bool due = machine_is_due(machine, clock_monotonic_ns());
	bool to_disk = (asked || due) && machine->spec.snapshot == SNAPSHOT_DISK;
	char why_now[64] = "idle";

	if (!machine_can_be_woken(machine))
	{
		text_copy(machine->awake.text, sizeof(machine->awake.text), UNREACHABLE);
		machine_note_awake(machine, AWAKE_UNREACHABLE);
		machine_refuse_snapshot(machine, UNREACHABLE);
		return;
	}
	if (to_disk && !machine_can_hibernate(machine))
	{
		machine_refuse_snapshot(machine, machine->refusal);
		return;
	}
	machine->suspend_forced = machine_is_triggered(machine, clock_monotonic_ns());
	if (asked)
		machine_promise_snapshot(machine);
	if (asked && (to_disk || machine->suspend_forced))
		text_copy(why_now, sizeof(why_now), "manual trigger");
	else if (due)
		strategy_describe(&machine->spec, why_now, sizeof(why_now));
	if (to_disk)
		(void) machine_hibernate(machine, why_now);
	else
		machine_dispatch(machine, EVENT_SUSPEND, why_now);
}

static uint64_t
ms_until(uint64_t when_ns, uint64_t now_ns)
{
	return when_ns <= now_ns ? 0 : (when_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
}

static void
machine_check_ready(Machine *machine)
{
	ActivityVerdict verdict = machine_observe(machine);
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t timeout_ms = machine_idle_timeout_ms(machine);
	uint64_t idle_since_ns = verdict.idle_since_ns > machine->awake_since_ns && verdict.idle_since_ns <= now_ns
								 ? verdict.idle_since_ns
								 : machine->awake_since_ns;
	uint64_t due_ns = idle_since_ns + timeout_ms * NS_PER_MS;
	bool only_connected = verdict.reason == ACTIVITY_CONNECTION;
	bool due = machine_is_due(machine, now_ns);
	bool triggered;
	uint64_t delay_ms;

	machine_check_snapshot_deadline(machine, now_ns);
	triggered = machine_is_triggered(machine, now_ns);
	if (machine_ignored_due_ns(machine, &verdict) > 0)
		due_ns = machine_ignored_due_ns(machine, &verdict);
	if (triggered || due)
		due_ns = 0;
	if (due_ns < machine->not_before_ns)
		due_ns = machine->not_before_ns;

	/* The manual trigger comes from inside, often over a connection that stays open: connections do not stop it. */
	if (verdict.reason != ACTIVITY_NONE && !(triggered && only_connected))
	{
		if (now_ns >= machine->awake_since_ns + timeout_ms * NS_PER_MS)
			machine_note_awake(machine, verdict.reason);
		/* What keeps it awake may end at any moment; an idle time that begins then is not over before the time-out. */
		delay_ms = machine_look_interval_ms(machine);
		if (verdict.recheck_ns > now_ns && ms_until(verdict.recheck_ns, now_ns) < delay_ms)
			delay_ms = ms_until(verdict.recheck_ns, now_ns);
	}
	else if (now_ns >= due_ns)
	{
		machine_try_suspend(machine);
		return;
	}
	else
		delay_ms = ms_until(due_ns, now_ns);
	if ((triggered || due) && delay_ms > SNAPSHOT_LOOK_MS)
		delay_ms = SNAPSHOT_LOOK_MS;
	delay_ms = machine_ignored_look_ms(machine, &verdict, delay_ms);
	machine_start_timer(machine->idle_timer, delay_ms < SHORTEST_LOOK_MS ? SHORTEST_LOOK_MS : delay_ms);
}

void
machine_check_idle(Machine *machine)
{
	if (machine->phase == PHASE_BOOTING && machine_notices_listening(machine))
		machine_look_for_listening(machine);
	else if (machine->phase == PHASE_READY && machine->spec.mode == MODE_FLASH)
		machine_check_ready(machine);
}
