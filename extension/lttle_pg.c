/*
 * Entry point of the extension: what happens when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "activity.h"
#include "activity_hooks.h"
#include "activity_place.h"
#include "flash_lock.h"
#include "flash_state.h"
#include "flash_worker.h"
#include "settings.h"
#include "shared_memory.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request != NULL)
		previous_shmem_request();
	RequestAddinShmemSpace(lttle_flash_lock_shmem_size());
	RequestAddinShmemSpace(lttle_flash_state_shmem_size());
	RequestAddinShmemSpace(lttle_activity_shmem_size());
	RequestNamedLWLockTranche("lttle_pg", 2);
}

/*
 * Runs in the postmaster, at the start and after every crash of a process. With EXEC_BACKEND also in every other
 * process, as _PG_init does, since none inherits anything: there it finds what is there.
 */
static void
start_shared_memory(void)
{
	void *inside;

	if (previous_shmem_startup != NULL)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	lttle_flash_lock_create_table();
	inside = lttle_flash_state_create();
	LWLockRelease(AddinShmemInitLock);
	lttle_activity_create_page();
	/* Another server in the same machine would take the file away from the first; that one has the page, too. */
	if (!IsUnderPostmaster && lttle_activity_place_is_in_file())
		lttle_shared_memory_place(lttle_shared_memory_file, inside);
}

void
_PG_init(void)
{
	/* Loaded into one session: nothing can be set up any more. Every SQL function refuses with a hint. */
	if (!process_shared_preload_libraries_in_progress)
		return;
	lttle_settings_define();
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	lttle_activity_hooks_install();
	lttle_flash_worker_register();
	/* In single-user mode it would fall into the middle of a line of initdb's. */
	if (IsPostmasterEnvironment && !IsUnderPostmaster)
		ereport(LOG, (errmsg("lttle_pg: init")));
}
