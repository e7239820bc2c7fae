/*
 * Flash locks: a bounded table in shared memory, and its mirror in the session's slot of the activity page.
 *
 * Every way to give a lock back, be it asked for, the session's end or a FATAL error, goes through locks_release. A
 * crash clears the table together with all of shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "activity.h"
#include "flash_lock.h"
#include "settings.h"

typedef struct FlashLockTable
{
	LWLock *lock;
	int capacity;
	int used; /* entries that are not free */
	FlashLock entries[FLEXIBLE_ARRAY_MEMBER];
} FlashLockTable;

static FlashLockTable *table = NULL;
static bool exit_is_registered = false; /* false: this session never took a lock */

Size
lttle_flash_lock_shmem_size(void)
{
	return add_size(offsetof(FlashLockTable, entries), mul_size(sizeof(FlashLock), (Size) lttle_max_locks));
}

void
lttle_flash_lock_create_table(void)
{
	bool found;

	table = ShmemInitStruct("lttle_pg flash locks", lttle_flash_lock_shmem_size(), &found);
	if (found)
		return;
	memset(table, 0, lttle_flash_lock_shmem_size());
	table->lock = &GetNamedLWLockTranche("lttle_pg")[0].lock;
	table->capacity = lttle_max_locks;
}

/* This session's entry of that name, or NULL; `ret_free`: an entry that is free, or NULL. */
static FlashLock *
table_find_mine(const char *name, FlashLock **ret_free)
{
	FlashLock *free_entry = NULL;
	FlashLock *mine = NULL;

	for (int i = 0; i < table->capacity && mine == NULL; i++)
	{
		FlashLock *entry = &table->entries[i];

		if (entry->pid == 0)
			free_entry = free_entry != NULL ? free_entry : entry;
		else if (entry->pid == MyProcPid && strcmp(entry->name, name) == 0)
			mine = entry;
	}
	if (ret_free != NULL)
		*ret_free = free_entry;
	return mine;
}

/* Shows in the activity page how many locks this session holds, and the one taken last. */
static void
table_mirror_mine(void)
{
	const FlashLock *latest = NULL;
	uint32 count = 0;

	for (int i = 0; i < table->capacity; i++)
	{
		const FlashLock *entry = &table->entries[i];

		if (entry->pid != MyProcPid)
			continue;
		count++;
		if (latest == NULL || entry->since >= latest->since)
			latest = entry;
	}
	lttle_activity_set_locks(count, latest == NULL ? "" : latest->name);
}

/* name NULL: every lock of this session, however often it was taken. Returns false when there was nothing to release.
 */
static bool
locks_release(const char *name)
{
	bool found = false;

	if (!exit_is_registered)
		return false;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < table->capacity; i++)
	{
		FlashLock *entry = &table->entries[i];

		if (entry->pid != MyProcPid || (name != NULL && strcmp(entry->name, name) != 0))
			continue;
		found = true;
		entry->count = name == NULL ? 0 : entry->count - 1;
		if (entry->count == 0)
		{
			memset(entry, 0, sizeof(*entry));
			table->used--;
		}
	}
	if (found)
		table_mirror_mine();
	LWLockRelease(table->lock);
	return found;
}

/* Runs before the activity slot is given back, because it is registered after that was. */
static void
locks_release_at_exit(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	locks_release(NULL);
}

void
lttle_flash_lock_take(const char *name)
{
	FlashLock *free_entry;
	FlashLock *entry;

	if (!exit_is_registered)
	{
		lttle_activity_claim(LTTLE_STATE_ACTIVE);
		on_shmem_exit(locks_release_at_exit, (Datum) 0);
		exit_is_registered = true;
	}
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	entry = table_find_mine(name, &free_entry);
	if (entry == NULL && free_entry == NULL)
	{
		LWLockRelease(table->lock);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("too many flash locks are held"),
						errdetail("There is room for %d, each a name held by a session.", table->capacity),
						errhint("Release locks, or raise lttle_pg.max_locks and restart the server.")));
	}
	if (entry == NULL)
	{
		entry = free_entry;
		entry->pid = MyProcPid;
		entry->count = 0;
		entry->since = GetCurrentTimestamp();
		strlcpy(entry->name, name, sizeof(entry->name));
		table->used++;
	}
	if (entry->count == PG_UINT32_MAX)
	{
		LWLockRelease(table->lock);
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("flash lock \"%s\" is taken too often", name)));
	}
	entry->count++;
	table_mirror_mine();
	LWLockRelease(table->lock);
}

bool
lttle_flash_lock_release(const char *name)
{
	return locks_release(name);
}

void
lttle_flash_lock_release_all(void)
{
	locks_release(NULL);
}

FlashLock *
lttle_flash_lock_list(int *ret_count)
{
	FlashLock *copy = palloc(sizeof(FlashLock) * (Size) table->capacity);
	int count = 0;

	LWLockAcquire(table->lock, LW_SHARED);
	for (int i = 0; i < table->capacity; i++)
	{
		if (table->entries[i].pid != 0)
			copy[count++] = table->entries[i];
	}
	LWLockRelease(table->lock);
	*ret_count = count;
	return copy;
}

int
lttle_flash_lock_count(void)
{
	int used;

	LWLockAcquire(table->lock, LW_SHARED);
	used = table->used;
	LWLockRelease(table->lock);
	return used;
}
