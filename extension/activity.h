/*
 * The activity page as the extension sees it: its creation by the postmaster, each process's own slot, and a reading
 * of all slots. The file format is lttle/activity_page.h.
 */
#ifndef LTTLE_ACTIVITY_H
#define LTTLE_ACTIVITY_H

#include "postgres.h"

#include "ignore.h"

#include "lttle/activity_page.h"

/* What one process is doing, judged at the moment of reading. */
typedef struct ActivityReport
{
	int pid;
	LttleActivityKind kind;
	LttleActivityState state; /* the slot's state, corrected by what the process is waiting for */
	bool unsettled;			  /* the slot says idle or in transaction, but the process is not waiting for its client */
	bool ignored;			  /* a session that doesn't count: an open transaction does not make it busy */
	bool busy;				  /* keeps the server awake; flash locks are not regarded */
	uint64 since_ns;		  /* when the slot's state last changed */
	uint64 statements;
	uint32 lock_count;
	char lock_name[LTTLE_ACTIVITY_NAME_BYTES];
} ActivityReport;

/* What the page asks of PostgreSQL's shared memory. Only from shmem_request_hook. */
extern Size lttle_activity_shmem_size(void);

/*
 * Creates or re-initialises the page. Only from shmem_startup_hook in the postmaster, or in single-user mode. Where
 * that hook is called in other processes as well (EXEC_BACKEND) they find the page that is there.
 */
extern void lttle_activity_create_page(void);

/* True once there is a page, which is to say: the library was preloaded. */
extern bool lttle_activity_is_available(void);

/* Publishes lttle_pg.transaction_hold. Does nothing before there is a page. */
extern void lttle_activity_publish_hold(uint32 hold_ms);

/*
 * Takes this process's slot and registers its release; does nothing when it is taken, already given back, or when the
 * process has no PGPROC. The kind comes from PostgreSQL's own notion of the process.
 */
extern void lttle_activity_claim(LttleActivityState state);

/* Only through lttle_activity_check_ignored. */
extern void lttle_activity_compare_ignored(void);

/* Notes whether this session counts: its application may have another name now. One load where nobody is ignored. */
static inline void
lttle_activity_check_ignored(void)
{
	if (unlikely(lttle_ignore_has_names))
		lttle_activity_compare_ignored();
}

/* Writes this process's state; takes the slot first if need be. */
extern void lttle_activity_set_state(LttleActivityState state);

/* Counts a statement in this process's slot. */
extern void lttle_activity_count_statement(void);

/* Mirrors the session's flash locks into its slot. name: the lock to display, "" for none. */
extern void lttle_activity_set_locks(uint32 count, const char *name);

/* Number of slots; 0 when there is no page. */
extern uint32 lttle_activity_count_slots(void);

/* Reads slot `index`. Returns false when it is free. */
extern bool lttle_activity_read(uint32 index, uint64 now_ns, ActivityReport *ret_report);

extern const char *lttle_activity_name_kind(LttleActivityKind kind);
extern const char *lttle_activity_name_state(LttleActivityState state);

#endif
