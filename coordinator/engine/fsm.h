/*
 * The life of a machine as one table: from, event, guard, action, to, time limit, why. Pure: no system call, no
 * state. The engine looks a row up, writes the new phase and performs the row's action; `why` is the log text.
 * docs/reference/phases.md and its diagram are printed from the same table.
 */
#ifndef ENGINE_FSM_H
#define ENGINE_FSM_H

#include <stdbool.h>
#include <stddef.h>

typedef enum Phase
{
	PHASE_IDLE, /* deployed, nothing made yet */
	PHASE_PULLING_IMAGE,
	PHASE_WAITING,	/* for what it depends on */
	PHASE_CREATING, /* volumes, root file system, network, control group, first process */
	PHASE_BOOTING,	/* the first process runs; the server is not ready yet */
	PHASE_READY,
	PHASE_PREPARING, /* suspending: the extension is asked */
	PHASE_FREEZING,	 /* suspending: the freezer works, then the last look */
	PHASE_SUSPENDED,
	PHASE_HIBERNATE_PREPARING, /* hibernating: the extension is asked */
	PHASE_HIBERNATE_CLOSING,   /* hibernating: it agreed and closes its end of the channel */
	PHASE_HIBERNATE_FREEZING,  /* hibernating: the freezer works, then the last look */
	PHASE_DUMPING,			   /* hibernating: the snapshot is written */
	PHASE_EVICTING,			   /* hibernating: the snapshot is whole, the processes go */
	PHASE_HIBERNATED,
	PHASE_GROWING,	/* hibernated: a volume of it is made larger, which needs it unmounted */
	PHASE_RESUMING, /* the snapshot is restored, or waits for its turn */
	PHASE_STOPPING,
	PHASE_STOPPED,
	PHASE_RESTARTING, /* it died; waiting for the next try */
	PHASE_DELETING,
	PHASE_ERROR,
	PHASE_COUNT
} Phase;

typedef enum FsmEvent
{
	EVENT_START, /* deployed, restarted or woken by the user */
	EVENT_IMAGE_THERE,
	EVENT_IMAGE_FAILED,
	EVENT_MUST_WAIT, /* what it depends on is not ready */
	EVENT_DEPENDENCIES_READY,
	EVENT_CREATED, /* the first process runs */
	EVENT_CREATE_FAILED,
	EVENT_SERVER_READY, /* READY on the flash channel and the exposed ports are listened on */
	EVENT_SUSPEND,		/* idle for long enough, the manual trigger, or the user */
	EVENT_AGREED,
	EVENT_DECLINED,
	EVENT_CHANNEL_LOST,
	EVENT_FROZEN,
	EVENT_QUIET,	 /* the last look found nothing */
	EVENT_BUSY,		 /* the last look found something, or could not be taken */
	EVENT_HIBERNATE, /* asleep for long enough, memory pressure, or the user */
	EVENT_DUMPED,
	EVENT_DUMP_FAILED,
	EVENT_DUMP_BROKEN, /* and what is left of the processes cannot run on */
	EVENT_RESTORED,
	EVENT_RESTORE_FAILED,
	EVENT_GROW,	  /* a volume is to become larger, and cannot while it is mounted */
	EVENT_GROWN,  /* or could not; the snapshot is as good as it was */
	EVENT_KNOCK,  /* a client at the door */
	EVENT_WAKE,	  /* the user or a program that is to run inside */
	EVENT_EXITED, /* the first process has ended */
	EVENT_RESTART_DUE,
	EVENT_STOP,
	EVENT_TORN_DOWN,	 /* mounts, links and control group are gone */
	EVENT_TIME_OUT,		 /* the phase's time limit is over */
	EVENT_ADOPT_RUNNING, /* a new coordinator found it alive */
	EVENT_ADOPT_BOOTING,
	EVENT_ADOPT_FROZEN,
	EVENT_ADOPT_SNAPSHOT, /* found no process but a snapshot that counts */
	EVENT_ADOPT_NOTHING,  /* found no process; it starts when a client comes */
	EVENT_COUNT
} FsmEvent;

typedef enum FsmAction
{
	ACTION_NONE,
	ACTION_FETCH_IMAGE,
	ACTION_AWAIT,
	ACTION_CREATE,
	ACTION_WATCH_PROCESS,
	ACTION_ENTER_READY,
	ACTION_WARN_SLOW,
	ACTION_SEND_PREPARE,
	ACTION_FREEZE,
	ACTION_LOOK,
	ACTION_SLEEP,
	ACTION_PREPARE_HIBERNATE,
	ACTION_WAKE_TO_HIBERNATE,
	ACTION_DUMP,
	ACTION_UNDUMP,
	ACTION_EVICT,
	ACTION_RESTORE,
	ACTION_RESUME,
	ACTION_START_COLD,
	ACTION_DISCARD,
	ACTION_KEEP_GATE,
	ACTION_NOTE_KNOCK,
	ACTION_GROW,
	ACTION_BACK_OFF,
	ACTION_CANCEL_PREPARE,
	ACTION_THAW,
	ACTION_WAKE,
	ACTION_STOP_PROCESS,
	ACTION_WAKE_AND_STOP,
	ACTION_KILL,
	ACTION_TEAR_DOWN,
	ACTION_SCHEDULE_RESTART,
	ACTION_CANCEL_WORK,
	ACTION_FORGET,
	ACTION_ADOPT,
	ACTION_COUNT
} FsmAction;

typedef enum FsmLimit
{
	LIMIT_NONE,
	LIMIT_BOOT,
	LIMIT_PREPARE,
	LIMIT_FREEZE,
	LIMIT_STOP
} FsmLimit;

/* What guards may look at. */
typedef struct FsmFacts
{
	bool image_known;
	bool channel_open; /* the extension is connected and has said READY */
	bool delete_wanted;
	bool restart_wanted;	 /* stop, then start again */
	bool wake_wanted;		 /* a client came while the snapshot was written or a volume grew, or it ran before */
	bool grow_wanted;		 /* it goes to disk because a volume of it is to grow */
	bool stays_down;		 /* the first process has ended, and its restart policy does not start it again */
	bool first_start_failed; /* it has ended while its init scripts ran */
} FsmFacts;

typedef bool (*FsmGuard)(const FsmFacts *facts);

typedef struct FsmRow
{
	Phase from;
	FsmEvent event;
	FsmGuard guard; /* NULL: always */
	const char *guard_name;
	FsmAction action;
	Phase to;
	FsmLimit limit;
	const char *why;
} FsmRow;

/* The first row that fits, or NULL: the event means nothing in this phase. */
const FsmRow *fsm_find(Phase from, FsmEvent event, const FsmFacts *facts);

/* As users see it; the two halves of suspending have one name. */
const char *phase_name(Phase phase);
const char *fsm_event_name(FsmEvent event);
const char *fsm_action_name(FsmAction action);
const char *fsm_limit_name(FsmLimit limit);

/* Whether its first process, once ready, is still there or on disk: others can rely on it. */
bool fsm_phase_is_up(Phase phase);
/* Whether its first process runs in this phase. */
bool fsm_phase_has_process(Phase phase);

/* Reads a phase as the store keeps it (fsm_phase_key). False when it is none. */
const char *fsm_phase_key(Phase phase);
bool fsm_phase_parse(const char *key, Phase *ret_phase);

/* All rows, for the reference and for tests. */
const FsmRow *fsm_rows(size_t *ret_count);

#endif
