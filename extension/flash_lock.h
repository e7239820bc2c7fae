/*
 * Flash locks: a session that holds one keeps the server from being suspended. They are holds, not mutual exclusion:
 * any number of sessions may hold the same name.
 */
#ifndef LTTLE_FLASH_LOCK_H
#define LTTLE_FLASH_LOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "lttle/activity_page.h"

/* One name held by one session. */
typedef struct FlashLock
{
	int pid; /* 0: the entry is free */
	uint32 count;
	TimestampTz since;
	char name[LTTLE_ACTIVITY_NAME_BYTES]; /* UTF-8 */
} FlashLock;

extern Size lttle_flash_lock_shmem_size(void);

/* Creates the table. Only from shmem_startup_hook. */
extern void lttle_flash_lock_create_table(void);

/*
 * Takes the lock `name` (UTF-8, 1 to 63 bytes) for this session once more. It is given back by as many releases, or by
 * the end of the session. ERROR (53200) when the table is full.
 */
extern void lttle_flash_lock_take(const char *name);

/* Gives the lock back once. Returns false when this session does not hold it. */
extern bool lttle_flash_lock_release(const char *name);

/* Gives back all that this session holds. */
extern void lttle_flash_lock_release_all(void);

/* A copy, in the current memory context, of all that is held. */
extern FlashLock *lttle_flash_lock_list(int *ret_count);

extern int lttle_flash_lock_count(void);

#endif
