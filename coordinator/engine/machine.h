/*
 * One machine at run time. Private to the engine's folder: the files of engine/ are the methods of this struct.
 *
 *   machine.c     birth and death of the struct, the dispatcher that alone writes the phase
 *   images.c      fetching images, and who runs which
 *   lifecycle.c   create, boot, exit, restart, stop, tear down
 *   suspend.c     PREPARE, freeze, last look, sleep
 *   give_back.c   the memory of those that sleep
 *   wake.c        thaw
 *   hibernate.c   to disk and back
 *   dependencies.c  what it depends on, and who waits for it
 *   exit.c        what its restart policy says when it ends
 *   pressure.c    who goes to disk when the host's memory runs short
 *   volumes.c     volumes that grow while it uses them
 *   drain.c       all of them to rest, before the host shuts down
 *   idle.c        when it is time to suspend, and why it is not
 *   plain.c       the same for a machine in which nothing speaks to us
 *   strategy.c    what triggers the first suspend without help from inside
 *   flash.c       what the extension says
 *   wait.c        those who wait for a phase
 *   failure.c     why it does not run
 *   machine_log.c when it has written what, and rotation
 *   event_log.c   what became of it, for those who look or follow
 *   turns.c       cold starts, restores and reclaiming in turn
 */
#ifndef ENGINE_MACHINE_H
#define ENGINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/job.h"
#include "base/pidref.h"
#include "base/steps.h"
#include "engine/engine.h"
#include "engine/flash_channel.h"
#include "engine/fsm.h"
#include "host/activity.h"
#include "host/cgroup.h"
#include "host/door.h"
#include "host/gate.h"
#include "host/image.h"
#include "host/listen_watch.h"
#include "host/names.h"
#include "host/network.h"
#include "host/rootfs.h"
#include "host/snapshot.h"
#include "host/volume.h"
#include "store/store.h"

struct event;

/* How often the ports of a regular machine that boots are looked at. */
#define BOOT_LOOK_MS 100

#define ACTIVITY_TARGET "/run/lttle/activity" /* in the machine */

typedef struct MachinePaths
{
	char directory[400];	 /* <state>/machines/<namespace>/<name> */
	char run_directory[320]; /* <run>/m/<index>, /run/lttle in the machine */
	char shm[320];			 /* <run>/shm/<index>, /dev/shm in the machine */
	char secrets[320];		 /* <run>/secrets/<index>, its secrets as files */
	char log[420];
	char activity[420];
	char flash_socket[420];
	char hotset[420];
	char snapshot[420];
	char gate[420];
} MachinePaths;

/* What keeps a machine awake or has woken it, for people. */
typedef struct AwakeReason
{
	char text[160];
} AwakeReason;

/* What is done for a few machines at a time only. */
typedef enum TurnKind
{
	TURN_BOOT,	  /* a cold start, until the server is ready */
	TURN_RESTORE, /* a restore from disk */
	TURN_RECLAIM, /* giving memory back */
	TURN_KINDS
} TurnKind;

typedef struct MachineTurn
{
	uint64_t ticket; /* place in the queue; 0: not in it */
	bool taken;		 /* counted in the engine's turns_taken */
} MachineTurn;

/* The last look at a plain machine. */
typedef struct PlainLook
{
	uint64_t looked_ns;
	uint64_t cpu_ns;	/* used until then */
	uint64_t accepted;	/* connections that had come until then */
	unsigned percent;	/* of a processor, used between the last two looks */
	bool works;			/* a thread wanted to run */
	bool has_looked;	/* since it was woken */
	uint64_t active_ns; /* when something was last seen; 0: not since it was woken */
} PlainLook;

/* What the draining of the host knows of a machine. */
typedef struct MachineDrain
{
	uint64_t retry_ns;	 /* no try to go to disk before; 0: there was none */
	uint64_t settled_ns; /* at rest since; 0: not yet */
	bool stopped;		 /* by the drain */
	char why[256];		 /* it is not on disk */
} MachineDrain;

typedef struct MachineSecrets MachineSecrets;

typedef struct Machine
{
	Engine *engine;
	AppSpec spec;
	MachineRecord record;
	Phase phase;
	FsmFacts facts;
	char id[2 * NAME_MAX_BYTES + 3];	/* "samples.postgresql" */
	char label[2 * NAME_MAX_BYTES + 3]; /* "samples/postgresql" */
	char group[160];					/* control group */
	MachinePaths paths;
	MachineNetwork network;
	RootfsPlan rootfs;
	ImageConfig image_config; /* of the image that is known; see facts.image_known */

	PidRef process; /* its first process */
	struct event *exit_event;
	unsigned exit_looks;	 /* for its exit status, since it ended */
	int exit_status;		 /* as of waitpid(2) of the last run; -1: unknown or none */
	char last_error[512];	 /* why it last failed; empty: it did not */
	bool started_once;		 /* known to have been ready; see machine_has_started_once */
	unsigned image_question; /* the newest one: what an older one finds is not used any more */
	bool keep_error;		 /* the start that follows is its consequence, not its mending */
	uint64_t started_ns;	 /* this run's launch, monotonic */
	uint64_t restart_delay_ms;

	Job *work;				 /* fetching, creating, tearing down: one at a time */
	MachineSecrets *secrets; /* for the job that starts it; NULL otherwise */
	Job *memory_work;		 /* reclaiming or recording the hot set: one at a time */
	struct event *limit_timer;
	struct event *idle_timer;
	struct event *restart_timer;
	struct event *hotset_timer;
	struct event *hibernate_timer;

	FlashChannel *flash;
	char extension_version[32];

	struct event *frozen_event; /* while freezing */
	int frozen_epoll_fd;
	int frozen_events_fd;
	Door *door;		   /* while suspended */
	SocketSet sockets; /* between the last look and the door */

	unsigned holds;			  /* programs that run inside by exec */
	uint64_t client_wake_ns;  /* when a client began to wake it, and it ignores some; else 0 */
	uint64_t client_awake_ns; /* awake_since_ns as of that wake */
	uint64_t awake_since_ns;  /* ready or woken, or the last hold ended: what idling counts from at the earliest */
	uint64_t slept_since_ns;
	uint64_t busy_delay_ms; /* back-off after a suspend that came to nothing */
	uint64_t not_before_ns; /* no attempt to suspend before */
	bool suspend_forced;	/* by the user or the manual trigger: the idle time does not count */
	bool snapshot_pending;	/* the manual trigger waits for a quiet moment */
	uint64_t snapshot_deadline_ns;
	bool snapshot_promised; /* the manual trigger was answered OK, and what it asked for has not come about yet */
	uint64_t
		strategy_until_ns; /* its strategy is fulfilled, and until then suspends without waiting for the idle time */
	uint64_t listening_since_ns; /* while it boots: what was to be listened on is; 0: not yet */
	ListenWatch *listen_watch;	 /* while its strategy, or what a client could wake it by, is still to come */
	PlainLook plain;
	AwakeReason awake;	  /* empty: nothing keeps it awake */
	unsigned awake_noted; /* kinds of it that are on the event log for this time awake, as bits */
	char refusal[256];	  /* why the last attempt to suspend came to nothing */
	unsigned sessions;	  /* client sessions at the last look */
	bool reclaimed;		  /* its memory was given back in this sleep */

	Gate *gate; /* while on disk, and until a cold start listens */
	bool has_snapshot;
	SnapshotManifest manifest; /* of the snapshot that is there or is being written */
	char hibernate_reason[128];
	char snapshot_problem[512]; /* why the last snapshot was not written or not used; empty: it was */
	char knocker[128];			/* who waits for the restore */
	uint64_t knocked_ns;		/* since when; 0: nobody */
	Steps steps;				/* of the way to disk, or back */
	MachineTurn turns[TURN_KINDS];
	bool tearing_down;	  /* the work that runs */
	bool resumed_pending; /* the next HELLO is answered with RESUMED */
	uint64_t resumed_slept_ms;
	unsigned pressure_failures;		 /* to go to disk under memory pressure, in a row */
	uint64_t pressure_not_before_ns; /* left alone until then */

	MachineDrain drain;
	struct MachineLog *log; /* NULL: not watched yet */
	struct EngineWait *waits;
	struct Machine *next;
} Machine;

/* machine.c */
Machine *machine_new(Engine *engine, const AppSpec *spec, const MachineRecord *record);
void machine_free(Machine *machine); /* lets go of the process; stops nothing */
/* Finds the row, writes the phase, acts. detail: added to the row's `why`, or NULL. False when there is no row. */
bool machine_dispatch(Machine *machine, FsmEvent event, const char *detail);
void machine_save(Machine *machine);
void machine_start_timer(struct event *timer, uint64_t delay_ms);
struct json_t *machine_to_json(Machine *machine);

/* dependencies.c */
bool machine_must_wait(const Machine *machine);
struct json_t *machine_waits_for_to_json(const Machine *machine); /* ["samples/db", …]; only of one that waits */
void machine_await(Machine *machine); /* starts what it depends on and nobody has asked for */

/* exit.c */
/* Its first process has ended: decides by the restart policy what follows. Before EVENT_EXITED. */
void machine_settle_exit(Machine *machine);

/* first_start.c */
bool machine_has_started_once(const Machine *machine); /* it was ready, in this or an earlier run */
void machine_note_started_once(Machine *machine);
/* Puts its init scripts, if it has any, into its mounted root. For a job's child. */
int machine_install_init_scripts(const Machine *machine, Error *err) MUST_CHECK;
/* Its first process has ended: whether that was a first start that failed for good. Before EVENT_EXITED. */
void machine_settle_first_start(Machine *machine);

/* images.c */
#define MACHINE_IMAGE_BYTES 256
/* What its image is listed as: the name that was deployed, or, where it is built, one that says so. */
void machine_image_name(const Machine *machine, char ret_name[MACHINE_IMAGE_BYTES]);
void machine_fetch_image(Machine *machine);
/* Takes what the name stands for now, at a deploy; the first row asks its registry, where it has one. */
void machine_ask_for_image(Machine *machine);
/* Asks beside what the machine does; where the name has moved, the machine starts again with the new one. */
void machine_look_for_moved_image(Machine *machine);
int machine_load_image(Machine *machine, Error *err) MUST_CHECK; /* -ENOENT: not there yet */

/* lifecycle.c */
void machine_fail(Machine *machine, FsmEvent event, const char *message);
/* Starts the machine's one piece of slow work. On failure to start, `failed` is dispatched. */
void machine_start_work(Machine *machine, const JobSpec *spec, FsmEvent failed);
/* Creates and boots when its turn has come (max-boots). */
void machine_create(Machine *machine);
/* What machine_create does then. */
void machine_begin_create(Machine *machine);
/* Gives its turn to the next one, once it is ready, has failed, or is so slow that the others should not wait for it.
 */
void machine_settle_boot(Machine *machine, bool slow);
void machine_watch_process(Machine *machine);
int machine_adopt_process(Machine *machine, Error *err) MUST_CHECK;
void machine_stop_process(Machine *machine);
void machine_kill(Machine *machine);
void machine_tear_down(Machine *machine);
void machine_schedule_restart(Machine *machine);
void machine_forget(Machine *machine);
CgroupLimits machine_limits(const Machine *machine);
/* ignore.c */
void machine_write_ignored(const Machine *machine);
void machine_note_client_wake(Machine *machine, uint64_t begin_ns); /* after awake_since_ns and the timer are set */
/* When a machine that only ignored sessions have used since they woke it may sleep; 0: the time-out holds. */
uint64_t machine_ignored_due_ns(const Machine *machine, const ActivityVerdict *verdict);
/* The delay, or less where ignored sessions may be all that goes on. */
uint64_t machine_ignored_look_ms(const Machine *machine, const ActivityVerdict *verdict, uint64_t delay_ms);
int machine_prepare_host(const Machine *machine, Error *err) MUST_CHECK; /* for a job's child */
/* Makes them, makes them as large as they are to be, mounts them. No process of it lives. For a job's child. */
int machine_mount_volumes(const Machine *machine, Error *err) MUST_CHECK;

/*
 * Kills what is left of a machine's processes, and waits until its control group is empty. For a job's child.
 * Errors: -EBUSY when they do not end.
 */
int machine_end_processes(const Machine *machine, Error *err) MUST_CHECK;
int machine_open_flash(Machine *machine, Error *err) MUST_CHECK;

/* suspend.c */
void machine_send_prepare(Machine *machine);
void machine_cancel_prepare(Machine *machine);
void machine_freeze(Machine *machine);
void machine_look(Machine *machine);
void machine_sleep(Machine *machine);
void machine_back_off(Machine *machine, uint64_t at_least_ms);
void machine_stop_freeze_watch(Machine *machine);

/* give_back.c */
void machine_give_back(Machine *machine);		   /* the memory of one that sleeps, when its turn has come */
void machine_begin_reclaim(Machine *machine);	   /* what machine_give_back does then */
void machine_cancel_memory_work(Machine *machine); /* also the recording of the hot set */

/* hibernate.c */
bool machine_can_hibernate(Machine *machine);				  /* false: `refusal` says why */
bool machine_hibernate(Machine *machine, const char *reason); /* the same */
void machine_handle_hibernate_timer(int fd, short what, void *context);
void machine_wake_to_hibernate(Machine *machine);
void machine_dump(Machine *machine);
void machine_undump(Machine *machine);
void machine_rest(Machine *machine);
void machine_restore(Machine *machine);
void machine_begin_restore(Machine *machine); /* what machine_restore does when its turn has come (max-resumes) */
void machine_resume(Machine *machine);
void machine_start_cold(Machine *machine);
void machine_discard(Machine *machine);
void machine_keep_gate(Machine *machine);
void machine_forget_snapshot(Machine *machine);
void machine_reclaim_from_disk(Machine *machine); /* its processes live: snapshot and gate go */
void machine_end_sessions_left(Machine *machine); /* nothing of it lives and no snapshot counts: peers are told */

/* volumes.c */
void machine_grow(Machine *machine); /* what of its volumes is to grow; it is on disk */

/* wake.c */
void machine_wake(Machine *machine, const char *woken_by);
void machine_thaw(Machine *machine);

/* idle.c */
void machine_enter_ready(Machine *machine);
void machine_check_idle(Machine *machine);
bool machine_is_connection_aware(const Machine *machine);
uint64_t machine_idle_timeout_ms(const Machine *machine);
/* True when at least one exposed port is listened on: without, nothing could wake the machine. */
bool machine_can_be_woken(Machine *machine);
/* Refreshes `awake` and `sessions` from the activity page and the kernel. */
ActivityVerdict machine_observe(Machine *machine);

/* plain.c */
bool machine_is_root_inside(const Machine *machine); /* its image's user is root: see launch_confine.h */
bool machine_is_plain(const Machine *machine);		 /* nothing in it has ever spoken to us */
/* What later looks are compared with: when it becomes ready, and after a wake. */
void machine_begin_plain_looks(Machine *machine);
/* silent_ms: since data last moved on an open connection. */
void machine_judge_plain(Machine *machine, unsigned connected, uint64_t silent_ms, ActivityVerdict *ret_verdict);

/* strategy.c */
bool machine_notices_listening(const Machine *machine);
void machine_begin_strategy(Machine *machine);
void machine_look_for_listening(Machine *machine);
/* The services have changed: one that boots may be ready by the new ones. */
void machine_review_listening(Machine *machine);
void machine_end_strategy(Machine *machine);

/* flash.c */
void machine_handle_flash(void *context, const LttleFlashMessage *message); /* context: the Machine */
void machine_handle_flash_lost(void *context, const char *problem);
void machine_send_resumed(Machine *machine, uint64_t slept_ms, const char *woken_by);
void machine_listen_flash(Machine *machine); /* lets the worker connect again, after a freeze for disk */
void machine_answer_snapshot(Machine *machine, const char *error);

/* failure.c */
bool machine_has_failed(const Machine *machine);
struct json_t *machine_last_words_to_json(const Machine *machine); /* the last lines of its log */

/* event_log.c */
void machine_add_event(Machine *machine, uint64_t took_us); /* it is in another phase */
void machine_add_note(Machine *machine, const char *text);	/* something else that users want to know */
/* `awake` keeps it from going to sleep. kind: an ActivityReason, or AWAKE_UNREACHABLE. */
void machine_note_awake(Machine *machine, unsigned kind);
#define AWAKE_UNREACHABLE 31 /* nobody could wake it */

/* machine_log.c */
typedef struct MachineLog MachineLog;
void machine_watch_log(Machine *machine); /* it has a process that may write */
void machine_unwatch_log(Machine *machine);

/* turns.c */
void machine_join_queue(Machine *machine, TurnKind kind);	 /* served by the next engine_serve_turns */
void machine_wait_for_turn(Machine *machine, TurnKind kind); /* served at once, where there is room */
/* Gives its place up, in the queue or among those that are served. Who comes next: engine_serve_turns. */
void machine_leave_turn(Machine *machine, TurnKind kind);

/* commands.c */
void machine_delete(Machine *machine, EngineDone done, void *context); /* done when nothing of it is left */

/* wait.c */
typedef enum WaitKind
{
	WAIT_PHASE,	  /* a phase by name */
	WAIT_RUNNING, /* ready; error and stopped are failures */
	WAIT_ASLEEP,  /* suspended; ready again is a refusal */
	WAIT_ON_DISK, /* hibernated; ready again is a refusal */
	WAIT_GONE	  /* deleted */
} WaitKind;
EngineWait *machine_wait(Machine *machine, WaitKind kind, const char *phase, uint64_t timeout_ms, EngineDone done,
						 void *context);
void machine_settle_waits(Machine *machine);
void machine_end_waits(Machine *machine, bool gone);

#endif
