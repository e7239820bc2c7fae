/*
 * What the flash worker and the sessions tell each other through shared memory: the worker's status one way, requests
 * of a snapshot the other way.
 */
#ifndef LTTLE_FLASH_STATE_H
#define LTTLE_FLASH_STATE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define FLASH_TEXT_BYTES 160

typedef enum FlashPhase
{
	FLASH_PHASE_STOPPED = 0,  /* no worker runs: recovery, shutdown, or it is being restarted */
	FLASH_PHASE_DISABLED,	  /* lttle_pg.enabled is off, or there is no socket to connect to */
	FLASH_PHASE_DISCONNECTED, /* no coordinator; tries again by and by */
	FLASH_PHASE_GREETING,	  /* connected, HELLO is not answered yet */
	FLASH_PHASE_READY,
	FLASH_PHASE_SNAPSHOT,  /* a snapshot was asked for and is not answered yet */
	FLASH_PHASE_PREPARING, /* the coordinator wants to suspend, the worker has not answered yet */
	FLASH_PHASE_AGREED	   /* the worker has agreed to be suspended */
} FlashPhase;

typedef struct FlashStatus
{
	FlashPhase phase;
	bool connected;				 /* the coordinator has answered HELLO */
	bool start_snapshot_is_over; /* the snapshot at the start was made, or given up */
	uint64 suspends;
	TimestampTz last_suspended; /* 0: never */
	TimestampTz last_resumed;	/* 0: never */
	uint64 last_slept_ms;
	char woken_by[FLASH_TEXT_BYTES];
	char last_error[FLASH_TEXT_BYTES]; /* why the last request of a snapshot failed; "" when it did not */
} FlashStatus;

extern Size lttle_flash_state_shmem_size(void);

/* Creates the state. Only from shmem_startup_hook. What happened before a crash restart is kept.
 * Returns where in PostgreSQL's shared memory it lies. */
extern void *lttle_flash_state_create(void);

/* A copy of the worker's status. */
extern void lttle_flash_state_get(FlashStatus *ret_status);

/* Asks the worker for a snapshot. timeout_ms: how long it waits for an answer. */
extern void lttle_flash_state_request_snapshot(uint32 timeout_ms);

/*
 * Advances whenever the processes' memory may have been restored from a snapshot on disk, of which there can be copies:
 * what must not repeat is to be made anew. 0: never yet.
 */
extern uint64 lttle_flash_state_generation(void);

/* For the worker: advances the generation. */
extern void lttle_flash_state_advance_generation(void);

/* For the worker: publishes its latch. At its exit the latch is withdrawn and the phase becomes STOPPED. */
extern void lttle_flash_state_attach_worker(void);

/* For the worker: publishes its status. */
extern void lttle_flash_state_publish(const FlashStatus *status);

/* For the worker: takes the request that is waiting. Returns false when there is none. */
extern bool lttle_flash_state_take_request(uint32 *ret_timeout_ms);

extern const char *lttle_flash_state_name_phase(FlashPhase phase);

#endif
