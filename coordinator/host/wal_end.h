/*
 * Where PostgreSQL's write-ahead log ends, as its files say it. Every commit moves that place or changes what stands
 * there, also when no size and no time of a file changes: segments are made at their full size, and what is written
 * with fdatasync(2) need not take its time along to the disk.
 */
#ifndef HOST_WAL_END_H
#define HOST_WAL_END_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* XLOG_BLCKSZ of every distribution's build. With another one the end that is found is a page that lies before it. */
#define WAL_PAGE_BYTES 8192

typedef struct WalEnd
{
	char segment[25]; /* the file's name; empty: no segment has a valid page */
	uint64_t address; /* of the last valid page, a log sequence number */
	unsigned char page[WAL_PAGE_BYTES];
} WalEnd;

/*
 * Finds it among these names in a pg_wal directory. A page is valid when it carries the address that its place has
 * (xlp_pageaddr; access/xlog_internal.h): recycled segments carry older ones, new ones none. What is no plain file with
 * a segment's name and size is passed over. Errors: of reading a segment.
 */
int wal_end_find(int directory_fd, char *const *names, size_t count, WalEnd *ret_end, Error *err) MUST_CHECK;

#endif
