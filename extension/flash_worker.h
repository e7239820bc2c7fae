/*
 * The flash worker: the background worker that talks to the coordinator.
 */
#ifndef LTTLE_FLASH_WORKER_H
#define LTTLE_FLASH_WORKER_H

#include "postgres.h"

/* Registers the worker with the postmaster. Only from _PG_init in the postmaster. */
extern void lttle_flash_worker_register(void);

/* True in the worker's own process. */
extern bool lttle_flash_worker_is_me(void);

extern PGDLLEXPORT void lttle_flash_worker_main(Datum argument);

#endif
