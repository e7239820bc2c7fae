/*
 * The settings lttle_pg.*; see settings.c for what each means, and docs/extension.md for the reference.
 */
#ifndef LTTLE_SETTINGS_H
#define LTTLE_SETTINGS_H

#include "postgres.h"

extern bool lttle_enabled;
extern bool lttle_prepare_checkpoint;
extern bool lttle_snapshot_at_start;
extern int lttle_max_locks;
extern int lttle_snapshot_timeout_ms;
extern int lttle_transaction_hold_ms;
extern char *lttle_activity_file;	   /* never NULL; empty: no file */
extern char *lttle_ignore_file;		   /* never NULL; empty: nobody is ignored */
extern char *lttle_shared_memory_file; /* never NULL; empty: anonymous memory */
extern char *lttle_socket;			   /* never NULL; empty: no coordinator */

/* Bounds of lttle_pg.snapshot_timeout and of flash_snapshot()'s argument, in milliseconds. */
#define LTTLE_SNAPSHOT_TIMEOUT_MIN_MS 100
#define LTTLE_SNAPSHOT_TIMEOUT_MAX_MS 86400000

/* Defines the settings. Only while shared_preload_libraries is processed: three of them are fixed at server start. */
extern void lttle_settings_define(void);

#endif
