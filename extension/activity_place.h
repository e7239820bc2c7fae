/*
 * Where the activity page lies, and how each process comes to it.
 */
#ifndef LTTLE_ACTIVITY_PLACE_H
#define LTTLE_ACTIVITY_PLACE_H

#include "postgres.h"

#include "lttle/activity_page.h"

/* What to ask of PostgreSQL's own shared memory for a page of so many bytes. */
extern Size lttle_activity_place_shmem_size(Size page_size);

/*
 * The page's memory, in the postmaster as in every process that does not inherit it. path: the activity file; empty, or
 * one that can't be used: memory that no coordinator reads. Never NULL. Another call after a crash gives the page anew.
 */
extern LttleActivityHeader *lttle_activity_place_get(const char *path, Size page_size);

/* In the postmaster, once the page has its place: whether that is the activity file. */
extern bool lttle_activity_place_is_in_file(void);

#endif
