/*
 * What the flash worker and the sessions tell each other through shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "flash_state.h"

typedef struct FlashState
{
	LWLock *lock;
	Latch *worker_latch; /* NULL: no worker runs */
	bool request_is_waiting;
	uint32 request_timeout_ms;
	pg_atomic_uint64 generation;
	FlashStatus status;
} FlashState;

static FlashState *state = NULL;

/* The postmaster's own copy, which survives the end of shared memory at a crash restart. */
static FlashStatus kept_status;

static const char *const phase_names[] = {
	[FLASH_PHASE_STOPPED] = "stopped",
	[FLASH_PHASE_DISABLED] = "disabled",
	[FLASH_PHASE_DISCONNECTED] = "disconnected",
	[FLASH_PHASE_GREETING] = "greeting",
	[FLASH_PHASE_READY] = "ready",
	[FLASH_PHASE_SNAPSHOT] = "snapshot",
	[FLASH_PHASE_PREPARING] = "preparing",
	[FLASH_PHASE_AGREED] = "agreed",
};

const char *
lttle_flash_state_name_phase(FlashPhase phase)
{
	return phase_names[phase];
}

Size
lttle_flash_state_shmem_size(void)
{
	return sizeof(FlashState);
}

/* The status as of a worker that does not run. */
static void
status_set_stopped(FlashStatus *status)
{
	status->phase = FLASH_PHASE_STOPPED;
	status->connected = false;
}

/* In the postmaster, just before it gives shared memory up. No lock: every process that could hold it is gone. */
static void
state_keep(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	kept_status = state->status;
	status_set_stopped(&kept_status);
}

void *
lttle_flash_state_create(void)
{
	bool found;

	state = ShmemInitStruct("lttle_pg flash state", sizeof(FlashState), &found);
	if (found)
		return state;
	memset(state, 0, sizeof(*state));
	pg_atomic_init_u64(&state->generation, 0);
	state->lock = &GetNamedLWLockTranche("lttle_pg")[1].lock;
	state->status = kept_status;
	on_shmem_exit(state_keep, (Datum) 0);
	return state;
}

void
lttle_flash_state_get(FlashStatus *ret_status)
{
	LWLockAcquire(state->lock, LW_SHARED);
	*ret_status = state->status;
	LWLockRelease(state->lock);
}

void
lttle_flash_state_request_snapshot(uint32 timeout_ms)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->request_is_waiting = true;
	state->request_timeout_ms = timeout_ms;
	if (state->worker_latch != NULL)
		SetLatch(state->worker_latch);
	LWLockRelease(state->lock);
}

uint64
lttle_flash_state_generation(void)
{
	return state == NULL ? 0 : pg_atomic_read_u64(&state->generation);
}

void
lttle_flash_state_advance_generation(void)
{
	pg_atomic_fetch_add_u64(&state->generation, 1);
}

static void
state_detach_worker(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->worker_latch = NULL;
	state->request_is_waiting = false;
	status_set_stopped(&state->status);
	LWLockRelease(state->lock);
}

void
lttle_flash_state_attach_worker(void)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->worker_latch = MyLatch;
	LWLockRelease(state->lock);
	on_shmem_exit(state_detach_worker, (Datum) 0);
}

void
lttle_flash_state_publish(const FlashStatus *status)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->status = *status;
	LWLockRelease(state->lock);
}

bool
lttle_flash_state_take_request(uint32 *ret_timeout_ms)
{
	bool waiting;

	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	waiting = state->request_is_waiting;
	if (waiting)
	{
		*ret_timeout_ms = state->request_timeout_ms;
		state->request_is_waiting = false;
	}
	LWLockRelease(state->lock);
	return waiting;
}
