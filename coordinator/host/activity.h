/*
 * Reads a machine's activity page (lttle/activity_page.h) and judges it. What the machine wrote is not trusted:
 * magic, version and sizes are checked, slots of processes that do not live are passed over, nothing is followed
 * but the one address of a wait event, which is read from the machine's own process.
 */
#ifndef HOST_ACTIVITY_H
#define HOST_ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "lttle/activity_page.h"

/* What a process waits for, as its own wait event says. */
typedef enum ActivityWait
{
	ACTIVITY_WAIT_UNKNOWN, /* not read, or not readable */
	ACTIVITY_WAIT_CLIENT,  /* for the next message of its client */
	ACTIVITY_WAIT_OTHER	   /* for something else, or it runs */
} ActivityWait;

/* A plain copy of a slot. */
typedef struct ActivitySlot
{
	uint32_t pid; /* as the machine knows it */
	uint32_t kind;
	uint32_t state;
	uint32_t lock_count;
	uint32_t ignored; /* LttleIgnored */
	uint64_t since_ns;
	uint64_t statements;
	uint64_t wait_event_address;
	ActivityWait wait;						   /* filled in by activity_page_read_waits */
	char lock_name[LTTLE_ACTIVITY_NAME_BYTES]; /* always NUL-terminated, printable */
} ActivitySlot;

typedef struct ActivityPage
{
	uint32_t postmaster_pid;
	uint32_t client_read_event;
	uint64_t created_ns;
	uint32_t transaction_hold_ms;
	uint64_t last_exit_ns;
	uint64_t last_ignored_exit_ns;
	ActivitySlot *slots; /* only those with a pid */
	size_t slot_count;
} ActivityPage;

/* Reads the page with pread. -ENOENT when there is none; -EBADMSG with what is wrong when it can't be believed. */
int activity_page_read(const char *path, ActivityPage *ret_page, Error *err) MUST_CHECK;
void activity_page_clear(ActivityPage *page);

/* A process of the machine: its number on the host and in the machine (NSpid in /proc/PID/status). */
typedef struct MachineProcess
{
	pid_t pid;
	pid_t inner_pid;
	bool signalled; /* a signal has come that it has not taken yet: a timer, a notification, its latch */
	bool spawning;	/* of a frozen machine: has made a child by vfork(2), as posix_spawn(3) does, that has not begun its
					 * program yet. It cannot be stopped by a tracer then, so the machine cannot be put on disk. */
} MachineProcess;

/* Fills in the rest for each host pid; a process that is gone or a zombie is left out. Sorted by inner_pid.
 * The caller frees the array. */
int machine_processes_read(const pid_t *pids, size_t count, MachineProcess **ret_processes, size_t *ret_count,
						   Error *err) MUST_CHECK;

/* The process with this number in the machine, from an array sorted by it; NULL when there is none. */
const MachineProcess *machine_process_find(const MachineProcess *processes, size_t count, uint32_t inner_pid);

/*
 * Reads the wait event of the slots for which the state alone does not tell whether they are busy: fast-path calls and
 * walsenders. all: of every session (on a frozen machine). One process_vm_readv(2) each; never blocks.
 */
void activity_page_read_waits(ActivityPage *page, const MachineProcess *processes, size_t process_count, bool all);

/*
 * Of a frozen machine, after activity_page_read_waits: who claims to wait for its client must also be in the system
 * call that does so. One that has just been told of something else, such as the end of its time-out, has left that call
 * a moment before it says so.
 */
void activity_page_check_waits(ActivityPage *page, const MachineProcess *processes, size_t process_count);

/*
 * A machine that was on disk has a monotonic clock of its own (see activity_clock.c). From here on the page's times are
 * ours. processes: sorted by inner_pid, the first one's clock counts; none: nothing changes.
 */
int activity_page_use_own_clock(ActivityPage *page, const MachineProcess *processes, size_t process_count,
								Error *err) MUST_CHECK;
/* By how much a process's monotonic clock is ahead of ours; negative: behind. */
int activity_clock_read_ahead(pid_t pid, int64_t *ret_ahead_ns, Error *err) MUST_CHECK;
/* Pure: the two halves of the above. The text is that of /proc/PID/timens_offsets; -EBADMSG. */
int activity_clock_parse(const char *offsets, int64_t *ret_offset_ns, Error *err) MUST_CHECK;
void activity_page_shift(ActivityPage *page, int64_t ahead_ns);

/* Why a machine is awake; the strings of activity_reason_name are part of the API ("statement", "transaction", …). */
typedef enum ActivityReason
{
	ACTIVITY_NONE,
	ACTIVITY_STATEMENT,
	ACTIVITY_TRANSACTION,
	ACTIVITY_LOCK,
	ACTIVITY_AUTOVACUUM,
	ACTIVITY_REPLICATION,
	ACTIVITY_WORKER,
	ACTIVITY_CONNECTION, /* connection-aware, and a client is connected */
	ACTIVITY_LOGIN		 /* a session that has not yet read its first command */
} ActivityReason;

const char *activity_reason_name(ActivityReason reason);

typedef struct ActivityVerdict
{
	ActivityReason reason;	/* ACTIVITY_NONE: nothing is going on */
	char detail[128];		/* "pid 57, for 3 s", "lock 'migration' of pid 57" */
	uint64_t recheck_ns;	/* busy: 0, or when what keeps it busy ends by itself (an open transaction's hold) */
	uint64_t idle_since_ns; /* not busy: when the last session became idle or ended; 0 when there never was one */
	/* Sessions that don't count: when the last of them became idle or ended (0: never), how many are open, and
	 * whether nothing but their statements keeps it busy. */
	uint64_t ignored_since_ns;
	unsigned ignored_connections;
	bool only_ignored;
} ActivityVerdict;

typedef struct ActivityPolicy
{
	bool connection_aware; /* any open client session keeps the machine awake */
	uint64_t now_ns;
} ActivityPolicy;

/*
 * Pure: judges a page against the living processes (sorted by inner_pid). A session that began after the processes
 * were listed is missing, and is found at the next look. Without activity_page_read_waits fast-path calls and
 * walsenders count as busy.
 */
void activity_judge(const ActivityPage *page, const MachineProcess *processes, size_t process_count,
					const ActivityPolicy *policy, ActivityVerdict *ret_verdict);

/* Page, processes, waits and judgement in one call: what the engine asks of a running machine. Errors as
 * activity_page_read. */
int activity_observe(const char *path, const pid_t *pids, size_t pid_count, const ActivityPolicy *policy,
					 ActivityVerdict *ret_verdict, Error *err) MUST_CHECK;

/* True for a client's session or a walsender (and for a kind that is not known). */
bool activity_slot_is_session(const ActivitySlot *slot);

/* When a transaction that is open since slot->since_ns stops to count. A time in the future counts as now. */
uint64_t activity_slot_hold_end(const ActivitySlot *slot, uint32_t hold_ms, uint64_t now_ns);

#endif
