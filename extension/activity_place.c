/*
 * Where the activity page lies: in the file that a coordinator reads, else in memory of this server's own.
 *
 * The postmaster maps it once, and every process inherits the mapping by fork. A PostgreSQL that is built with
 * EXEC_BACKEND, as on Windows, begins its processes by exec, and they inherit nothing: they find in shared memory which
 * file it is and map it themselves, and what is in no file lies in shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "activity_file.h"
#include "activity_place.h"

/* It serves every crash restart as well. */
static void *mapping = NULL;
static ActivityFileId mapped_file;
static bool is_in_file = false;

/* In the postmaster. A server without one, as initdb's, is nobody's to watch. */
static void
map_file(const char *path, Size page_size)
{
	if (mapping != NULL || !IsPostmasterEnvironment)
		return;
	mapping = lttle_activity_file_map(path, page_size, &mapped_file);
	is_in_file = mapping != NULL;
}

bool
lttle_activity_place_is_in_file(void)
{
	return is_in_file;
}

#ifndef EXEC_BACKEND

Size
lttle_activity_place_shmem_size(Size page_size pg_attribute_unused())
{
	return 0;
}

LttleActivityHeader *
lttle_activity_place_get(const char *path, Size page_size)
{
	map_file(path, page_size);
	if (mapping == NULL)
		mapping = lttle_activity_file_map_anonymous(page_size);
	return mapping;
}

#else

typedef struct ActivityPlace
{
	bool in_file;
	ActivityFileId file;
	pg_attribute_aligned(PG_CACHE_LINE_SIZE) char memory[FLEXIBLE_ARRAY_MEMBER]; /* the page, unless it is in a file */
} ActivityPlace;

Size
lttle_activity_place_shmem_size(Size page_size)
{
	return add_size(sizeof(ActivityPlace), page_size);
}

LttleActivityHeader *
lttle_activity_place_get(const char *path, Size page_size)
{
	bool found;
	ActivityPlace *place =
		ShmemInitStruct("lttle_pg activity page", lttle_activity_place_shmem_size(page_size), &found);

	if (!IsUnderPostmaster)
	{
		map_file(path, page_size);
		place->in_file = mapping != NULL;
		place->file = mapped_file;
	}
	else if (place->in_file)
		mapping = lttle_activity_file_attach(path, page_size, &place->file);
	return place->in_file ? mapping : (void *) place->memory;
}

#endif
