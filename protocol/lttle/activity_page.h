/*
 * The activity page: what PostgreSQL's processes are doing, in one small file that the coordinator can read at any
 * moment without asking anybody.
 *
 * The extension creates the file (setting lttle_pg.activity_file), sizes it and maps it shared; every backend writes
 * its own slot with plain atomic stores. The coordinator only reads it, with pread(2) and never through a mapping: the
 * machine owns the file and may truncate it, and a reader's mapping would then fault.
 *
 * Layout, native byte order: one LttleActivityHeader, then header.slot_count slots of header.slot_size bytes each,
 * beginning at header.header_size. A reader checks magic, version and sizes against the file's real length before it
 * believes a single slot. Slots of processes that no longer exist mean nothing: a reader compares pid with the
 * machine's living processes.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds. A machine shares the host's clock, so both sides mean the same instant.
 */
#ifndef LTTLE_ACTIVITY_PAGE_H
#define LTTLE_ACTIVITY_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define LTTLE_ACTIVITY_MAGIC	  UINT64_C(0x315650414c54544c) /* "LTTLAPV1", little-endian */
#define LTTLE_ACTIVITY_VERSION	  1u
#define LTTLE_ACTIVITY_MAX_SLOTS  65536u
#define LTTLE_ACTIVITY_NAME_BYTES 64

/* What kind of process a slot belongs to. */
typedef enum LttleActivityKind
{
	LTTLE_KIND_NONE = 0,
	LTTLE_KIND_CLIENT = 1,			  /* a client's session */
	LTTLE_KIND_WALSENDER = 2,		  /* replication and base backups; busy unless it waits for its client */
	LTTLE_KIND_AUTOVACUUM_WORKER = 3, /* busy for as long as it lives */
	LTTLE_KIND_PARALLEL_WORKER = 4,	  /* busy for as long as it lives */
	LTTLE_KIND_BACKGROUND_WORKER = 5, /* any other background worker: busy inside a statement or transaction */
	LTTLE_KIND_FLASH_WORKER = 6,	  /* our own worker: never counts */
	LTTLE_KIND_AUXILIARY = 7		  /* autovacuum launcher and the like: never counts */
} LttleActivityKind;

/* What the process is doing. */
typedef enum LttleActivityState
{
	LTTLE_STATE_FREE = 0,			/* the slot is nobody's */
	LTTLE_STATE_STARTING = 1,		/* authenticated, no command read yet: counts as busy */
	LTTLE_STATE_IDLE = 2,			/* between statements, no transaction open */
	LTTLE_STATE_ACTIVE = 3,			/* inside a statement of any kind */
	LTTLE_STATE_IN_TRANSACTION = 4, /* a transaction is open, no statement is running */
	LTTLE_STATE_FASTPATH = 5		/* inside a fast-path call; if the process waits for its client: IN_TRANSACTION */
} LttleActivityState;

/* Whether a session counts as activity. */
typedef enum LttleIgnored
{
	LTTLE_COUNTS = 0,
	LTTLE_IGNORED = 1 /* its statements are answered, but neither keep the server awake nor count */
} LttleIgnored;

typedef struct LttleActivityHeader
{
	uint64_t magic;
	uint32_t version;
	uint32_t header_size; /* bytes; slots begin here */
	uint32_t slot_size;	  /* bytes */
	uint32_t slot_count;
	uint32_t postmaster_pid;	/* in the machine's own PID namespace */
	uint32_t client_read_event; /* value of PostgreSQL's wait_event_info while a backend waits for its client */
	uint64_t created_ns;		/* when shared memory was set up; changes with every crash restart */
	_Atomic uint32_t transaction_hold_ms; /* lttle_pg.transaction_hold */
	_Atomic uint32_t reserved;
	_Atomic uint64_t last_exit_ns;		   /* when a client's session last ended; 0: never */
	_Atomic uint64_t last_ignored_exit_ns; /* when one ended that doesn't count; 0: never */
	uint64_t padding[24];
} LttleActivityHeader;

typedef struct LttleActivitySlot
{
	_Atomic uint32_t pid; /* in the machine's own PID namespace; 0: free. Written last when a slot is taken. */
	_Atomic uint32_t kind;
	_Atomic uint32_t state;
	_Atomic uint32_t lock_count; /* flash locks that this session holds */
	_Atomic uint64_t since_ns;	 /* when state last changed */
	_Atomic uint64_t statements; /* statements begun since the slot was taken; lets a reader notice a change */
	/*
	 * Where, in the process's own address space, PostgreSQL keeps its wait_event_info (uint32); 0: unknown. Between
	 * taking a message off the socket and the first hook that can note it, a slot still says idle. A reader that has
	 * frozen the machine closes this gap by reading these four bytes with process_vm_readv(2) from that very process:
	 * a session is at rest only if the value is header.client_read_event.
	 */
	_Atomic uint64_t wait_event_address;
	_Atomic uint32_t ignored; /* LttleIgnored; 0 as extensions write it that don't know it */
	uint32_t reserved;
	uint64_t padding[2];
	char lock_name[LTTLE_ACTIVITY_NAME_BYTES]; /* the flash lock taken last and still held; for display only */
} LttleActivitySlot;

_Static_assert(sizeof(LttleActivityHeader) == 256, "the header is part of the file format");
_Static_assert(sizeof(LttleActivitySlot) == 128, "the slot is part of the file format");

#endif
