/*
 * The server's shared memory in a file of /dev/shm, so that a coordinator finds it there by itself.
 */
#ifndef LTTLE_SHARED_MEMORY_H
#define LTTLE_SHARED_MEMORY_H

#include "postgres.h"

/*
 * Puts a file's memory in the place of the anonymous memory that PostgreSQL has made, at the same addresses, with the
 * same content. In the postmaster, before it has any child; `inside` is any address in it. `path` empty: nothing is
 * done. When it can't be done the memory stays what it was, and a line in the server's log says why.
 * The file goes with the server; `path` has to stay as long.
 */
extern void lttle_shared_memory_place(const char *path, const void *inside);

#endif
