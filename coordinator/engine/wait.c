/*
 * Those who wait for a machine's phase: the API's wait route, and every command that answers when something is done.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/engine_private.h"

struct EngineWait
{
	Machine *machine;
	WaitKind kind;
	char phase[24];
	struct event *timer;
	EngineDone done;
	void *context;
	bool started; /* the machine has left the phase in which a command found it */
	EngineWait *next;
};

static void
wait_unlink(EngineWait *wait)
{
	EngineWait **place = &wait->machine->waits;

	while (*place != wait)
		place = &(*place)->next;
	*place = wait->next;
}

static void
wait_free(EngineWait *wait)
{
	event_free(wait->timer);
	free(wait);
}

/* Ends the wait with this result. The machine's JSON is the body when it still exists. */
static void
wait_finish(EngineWait *wait, int result, const Error *err)
{
	Error none = {0};
	json_t *body = NULL;

	wait_unlink(wait);
	if (result == 0 && wait->kind != WAIT_GONE)
		body = machine_to_json(wait->machine);
	wait->done(wait->context, result, body, err != NULL ? err : &none);
	if (body != NULL)
		json_decref(body);
	wait_free(wait);
}

static void
wait_handle_time_out(evutil_socket_t fd, short what, void *context)
{
	EngineWait *wait = context;
	Machine *machine = wait->machine;
	Error error;

	(void) fd;
	(void) what;
	error_set(&error, -ETIMEDOUT, "machine %s: waited long enough; it is %s (%s)", machine->label,
			  phase_name(machine->phase), machine->record.reason);
	wait_finish(wait, -ETIMEDOUT, &error);
}

/* Why it does not come to what was waited for. */
static int
wait_report(const Machine *machine, Error *err)
{
	return error_set(err, -EIO, "machine %s: is %s: %s", machine->label, phase_name(machine->phase),
					 machine->last_error[0] != '\0' ? machine->last_error : machine->record.reason);
}

/* Looks whether the wait is over. Returns true with its result, and an error text for failures. */
static bool
wait_is_over(const EngineWait *wait, int *ret_result, Error *ret_error)
{
	const Machine *machine = wait->machine;
	Phase phase = machine->phase;

	*ret_result = 0;
	switch (wait->kind)
	{
		case WAIT_PHASE:
			if (strcmp(wait->phase, phase_name(phase)) == 0)
				return true;
			if (phase == PHASE_ERROR) /* which it leaves only when somebody asks */
				*ret_result = wait_report(machine, ret_error);
			return phase == PHASE_ERROR;
		case WAIT_RUNNING:
			if (phase == PHASE_READY || phase == PHASE_SUSPENDED)
				return true;
			if (phase == PHASE_ERROR || phase == PHASE_DELETING || (phase == PHASE_STOPPED && wait->started))
			{
				*ret_result = wait_report(machine, ret_error);
				return true;
			}
			return false;
		case WAIT_ASLEEP:
			if (phase == PHASE_SUSPENDED)
				return true;
			if (phase != PHASE_PREPARING && phase != PHASE_FREEZING)
			{
				*ret_result = error_set(ret_error, -EBUSY, "machine %s: was not suspended: %s", machine->label,
										machine->refusal[0] != '\0' ? machine->refusal : machine->record.reason);
				return true;
			}
			return false;
		case WAIT_ON_DISK:
			if (phase == PHASE_HIBERNATED || phase == PHASE_GROWING)
				return true;
			if (strcmp(phase_name(phase), phase_name(PHASE_DUMPING)) != 0)
			{
				*ret_result = error_set(ret_error, -EBUSY, "machine %s: was not hibernated: %s", machine->label,
										machine->refusal[0] != '\0' ? machine->refusal : machine->record.reason);
				return true;
			}
			return false;
		case WAIT_GONE:
			return false;
	}
	return false;
}

EngineWait *
machine_wait(Machine *machine, WaitKind kind, const char *phase, uint64_t timeout_ms, EngineDone done, void *context)
{
	EngineWait *wait = memory_allocate(sizeof(*wait));
	Error error = {0};
	int result;

	*wait = (EngineWait){.machine = machine, .kind = kind, .done = done, .context = context, .next = machine->waits};
	snprintf(wait->phase, sizeof(wait->phase), "%s", phase == NULL ? "" : phase);
	wait->timer = evtimer_new(machine->engine->loop, wait_handle_time_out, wait);
	machine->waits = wait;
	if (wait_is_over(wait, &result, &error))
	{
		wait_finish(wait, result, &error);
		return NULL;
	}
	machine_start_timer(wait->timer, timeout_ms);
	return wait;
}

void
engine_wait_cancel(EngineWait *wait)
{
	wait_unlink(wait);
	wait_free(wait);
}

void
machine_settle_waits(Machine *machine)
{
	EngineWait *wait = machine->waits;

	while (wait != NULL)
	{
		Error error = {0};
		int result;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): wait->machine is machine */
		wait->started = true;
		if (wait_is_over(wait, &result, &error))
		{
			wait_finish(wait, result, &error);
			wait = machine->waits; /* the callback may have changed the list */
		}
		else
			wait = wait->next;
	}
}

void
machine_end_waits(Machine *machine, bool gone)
{
	while (machine->waits != NULL)
	{
		EngineWait *wait = machine->waits;
		Error error;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above */
		if (gone && wait->kind == WAIT_GONE)
			wait_finish(wait, 0, NULL);
		else if (gone)
		{
			error_set(&error, -ENOENT, "machine %s: has been deleted", machine->label);
			wait_finish(wait, -ENOENT, &error);
		}
		else
		{
			error_set(&error, -ECANCELED, "machine %s: the coordinator is stopping", machine->label);
			wait_finish(wait, -ECANCELED, &error);
		}
	}
}
