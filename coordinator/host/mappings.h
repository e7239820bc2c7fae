/*
 * The mappings of another process, from /proc/PID/maps. A process may change them while they are read: each line is
 * true by itself, not the whole.
 */
#ifndef HOST_MAPPINGS_H
#define HOST_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct Mapping
{
	uint64_t begin;
	uint64_t end;
	bool readable;
	bool shared_memory; /* System V, POSIX or anonymous shared memory */
	uint64_t inode;		/* 0: no file */
	const char *name;	/* as the process sees it, a path inside the machine; "" for anonymous memory */
} Mapping;

/* What to do with one mapping; name is valid during the call. False: stop. */
typedef bool (*MappingVisit)(void *context, const Mapping *mapping);

/* Visits every mapping but the kernel's own ([vdso] and the like). A process that is gone has none. */
int mappings_visit(pid_t pid, MappingVisit visit, void *context, Error *err) MUST_CHECK;

#endif
