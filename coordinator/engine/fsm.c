/* The life of a machine as one table; see fsm.h. */
#include "engine/fsm.h"

#include <string.h>

static bool
image_unknown(const FsmFacts *facts)
{
	return !facts->image_known;
}

static bool
channel_open(const FsmFacts *facts)
{
	return facts->channel_open;
}

static bool
delete_wanted(const FsmFacts *facts)
{
	return facts->delete_wanted;
}

static bool
wake_wanted(const FsmFacts *facts)
{
	return facts->wake_wanted;
}

static bool
grow_wanted(const FsmFacts *facts)
{
	return facts->grow_wanted;
}

static bool
stays_down(const FsmFacts *facts)
{
	return facts->stays_down;
}

static bool
first_start_failed(const FsmFacts *facts)
{
	return facts->first_start_failed;
}

static bool
restart_wanted(const FsmFacts *facts)
{
	return facts->restart_wanted;
}

static bool
restart_needs_image(const FsmFacts *facts)
{
	return facts->restart_wanted && !facts->image_known;
}

#define ALWAYS	  NULL, NULL
#define IF(guard) guard, #guard

/* clang-format off */
static const FsmRow rows[] = {
	/* from, event, guard, action, to, limit, why */
	{PHASE_IDLE, EVENT_START, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "fetching the image"},
	{PHASE_IDLE, EVENT_START, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "making root file system, volumes and network"},
	{PHASE_IDLE, EVENT_WAKE, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "fetching the image"},
	{PHASE_IDLE, EVENT_WAKE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "making root file system, volumes and network"},
	{PHASE_IDLE, EVENT_STOP, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "stopped before it was started"},
	{PHASE_IDLE, EVENT_ADOPT_RUNNING, ALWAYS, ACTION_ADOPT, PHASE_READY, LIMIT_NONE, "found running by a new coordinator"},
	{PHASE_IDLE, EVENT_ADOPT_BOOTING, ALWAYS, ACTION_NONE, PHASE_BOOTING, LIMIT_BOOT, "found booting by a new coordinator"},
	{PHASE_IDLE, EVENT_ADOPT_FROZEN, ALWAYS, ACTION_LOOK, PHASE_FREEZING, LIMIT_FREEZE, "found frozen by a new coordinator"},
	{PHASE_IDLE, EVENT_ADOPT_SNAPSHOT, ALWAYS, ACTION_KEEP_GATE, PHASE_HIBERNATED, LIMIT_NONE, "its snapshot is on disk"},
	{PHASE_IDLE, EVENT_ADOPT_NOTHING, ALWAYS, ACTION_KEEP_GATE, PHASE_STOPPED, LIMIT_NONE, "starts when a client comes"},
	{PHASE_IDLE, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_IDLE, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "had ended while no coordinator was there"},

	{PHASE_PULLING_IMAGE, EVENT_IMAGE_THERE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "making root file system, volumes and network"},
	{PHASE_PULLING_IMAGE, EVENT_IMAGE_FAILED, ALWAYS, ACTION_NONE, PHASE_ERROR, LIMIT_NONE, "the image cannot be had"},
	{PHASE_PULLING_IMAGE, EVENT_STOP, ALWAYS, ACTION_CANCEL_WORK, PHASE_STOPPING, LIMIT_NONE, "stopped while the image was fetched"},

	{PHASE_CREATING, EVENT_MUST_WAIT, ALWAYS, ACTION_AWAIT, PHASE_WAITING, LIMIT_NONE, "waiting for what it depends on"},
	{PHASE_CREATING, EVENT_CREATED, ALWAYS, ACTION_WATCH_PROCESS, PHASE_BOOTING, LIMIT_BOOT, "its first process runs"},
	{PHASE_CREATING, EVENT_CREATE_FAILED, ALWAYS, ACTION_NONE, PHASE_ERROR, LIMIT_NONE, "could not be made"},
	{PHASE_CREATING, EVENT_STOP, ALWAYS, ACTION_CANCEL_WORK, PHASE_STOPPING, LIMIT_NONE, "stopped while it was made"},

	{PHASE_WAITING, EVENT_DEPENDENCIES_READY, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "what it depends on is ready"},
	{PHASE_WAITING, EVENT_STOP, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "stopped while it waited"},
	{PHASE_WAITING, EVENT_WAKE, ALWAYS, ACTION_NONE, PHASE_WAITING, LIMIT_NONE, "wanted; still waiting"},
	{PHASE_WAITING, EVENT_KNOCK, ALWAYS, ACTION_NONE, PHASE_WAITING, LIMIT_NONE, "a client is there; still waiting"},

	{PHASE_BOOTING, EVENT_SERVER_READY, ALWAYS, ACTION_ENTER_READY, PHASE_READY, LIMIT_NONE, "the server accepts connections"},
	{PHASE_BOOTING, EVENT_TIME_OUT, ALWAYS, ACTION_WARN_SLOW, PHASE_BOOTING, LIMIT_BOOT, "the server is not ready yet; still waiting"},
	{PHASE_BOOTING, EVENT_WAKE, ALWAYS, ACTION_NONE, PHASE_BOOTING, LIMIT_BOOT, "awake already"},
	{PHASE_BOOTING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_BOOTING, LIMIT_BOOT, "the extension has hung up"},
	{PHASE_BOOTING, EVENT_EXITED, IF(first_start_failed), ACTION_NONE, PHASE_ERROR, LIMIT_NONE, "its first start has failed; deploy again to begin anew"},
	{PHASE_BOOTING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_BOOTING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "ended before it was ready"},
	{PHASE_BOOTING, EVENT_STOP, ALWAYS, ACTION_STOP_PROCESS, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_READY, EVENT_SUSPEND, IF(channel_open), ACTION_SEND_PREPARE, PHASE_PREPARING, LIMIT_PREPARE, "asking the extension"},
	{PHASE_READY, EVENT_SUSPEND, ALWAYS, ACTION_FREEZE, PHASE_FREEZING, LIMIT_FREEZE, "no extension to ask; freezing"},
	{PHASE_READY, EVENT_SERVER_READY, ALWAYS, ACTION_ENTER_READY, PHASE_READY, LIMIT_NONE, "the server accepts connections again"},
	{PHASE_READY, EVENT_WAKE, ALWAYS, ACTION_NONE, PHASE_READY, LIMIT_NONE, "awake already"},
	{PHASE_READY, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_READY, LIMIT_NONE, "the extension has hung up"},
	{PHASE_READY, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_READY, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "its first process has ended"},
	{PHASE_READY, EVENT_STOP, ALWAYS, ACTION_STOP_PROCESS, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_PREPARING, EVENT_AGREED, ALWAYS, ACTION_FREEZE, PHASE_FREEZING, LIMIT_FREEZE, "the extension agreed; freezing"},
	{PHASE_PREPARING, EVENT_DECLINED, ALWAYS, ACTION_BACK_OFF, PHASE_READY, LIMIT_NONE, "the extension declined"},
	{PHASE_PREPARING, EVENT_TIME_OUT, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension did not answer in time"},
	{PHASE_PREPARING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_BACK_OFF, PHASE_READY, LIMIT_NONE, "the extension has hung up"},
	{PHASE_PREPARING, EVENT_SERVER_READY, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension came back anew"},
	{PHASE_PREPARING, EVENT_WAKE, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "wanted while it was about to suspend"},
	{PHASE_PREPARING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_PREPARING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "its first process has ended"},
	{PHASE_PREPARING, EVENT_STOP, ALWAYS, ACTION_STOP_PROCESS, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_FREEZING, EVENT_FROZEN, ALWAYS, ACTION_LOOK, PHASE_FREEZING, LIMIT_FREEZE, "frozen; the last look"},
	{PHASE_FREEZING, EVENT_QUIET, ALWAYS, ACTION_SLEEP, PHASE_SUSPENDED, LIMIT_NONE, "nothing is going on"},
	{PHASE_FREEZING, EVENT_BUSY, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "something was going on after all"},
	{PHASE_FREEZING, EVENT_TIME_OUT, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "freezing took too long"},
	{PHASE_FREEZING, EVENT_WAKE, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "wanted while it was about to suspend"},
	{PHASE_FREEZING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "the extension has hung up"},
	{PHASE_FREEZING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_FREEZING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "killed while it was freezing"},
	{PHASE_FREEZING, EVENT_STOP, ALWAYS, ACTION_WAKE_AND_STOP, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_SUSPENDED, EVENT_KNOCK, ALWAYS, ACTION_WAKE, PHASE_READY, LIMIT_NONE, "a client is there"},
	{PHASE_SUSPENDED, EVENT_WAKE, ALWAYS, ACTION_WAKE, PHASE_READY, LIMIT_NONE, "wanted"},
	{PHASE_SUSPENDED, EVENT_BUSY, ALWAYS, ACTION_WAKE, PHASE_READY, LIMIT_NONE, "its door cannot be watched"},
	{PHASE_SUSPENDED, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_SUSPENDED, LIMIT_NONE, "the extension has hung up"},
	{PHASE_SUSPENDED, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_SUSPENDED, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "killed in its sleep"},
	{PHASE_SUSPENDED, EVENT_STOP, ALWAYS, ACTION_WAKE_AND_STOP, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_READY, EVENT_HIBERNATE, IF(channel_open), ACTION_PREPARE_HIBERNATE, PHASE_HIBERNATE_PREPARING, LIMIT_PREPARE, "asking the extension"},
	{PHASE_READY, EVENT_HIBERNATE, ALWAYS, ACTION_FREEZE, PHASE_HIBERNATE_FREEZING, LIMIT_FREEZE, "no extension to ask; freezing"},
	{PHASE_SUSPENDED, EVENT_HIBERNATE, IF(channel_open), ACTION_WAKE_TO_HIBERNATE, PHASE_HIBERNATE_PREPARING, LIMIT_PREPARE, "thawed to ask the extension"},
	{PHASE_SUSPENDED, EVENT_HIBERNATE, ALWAYS, ACTION_WAKE_TO_HIBERNATE, PHASE_HIBERNATE_FREEZING, LIMIT_FREEZE, "no extension to ask; freezing"},

	{PHASE_HIBERNATE_PREPARING, EVENT_AGREED, ALWAYS, ACTION_NONE, PHASE_HIBERNATE_CLOSING, LIMIT_PREPARE, "the extension agreed; it closes its channel"},
	{PHASE_HIBERNATE_PREPARING, EVENT_DECLINED, ALWAYS, ACTION_BACK_OFF, PHASE_READY, LIMIT_NONE, "the extension declined"},
	{PHASE_HIBERNATE_PREPARING, EVENT_TIME_OUT, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension did not answer in time"},
	{PHASE_HIBERNATE_PREPARING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_BACK_OFF, PHASE_READY, LIMIT_NONE, "the extension has hung up"},
	{PHASE_HIBERNATE_PREPARING, EVENT_SERVER_READY, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension came back anew"},
	{PHASE_HIBERNATE_PREPARING, EVENT_WAKE, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "wanted while it was about to hibernate"},
	{PHASE_HIBERNATE_PREPARING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_HIBERNATE_PREPARING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "its first process has ended"},
	{PHASE_HIBERNATE_PREPARING, EVENT_STOP, ALWAYS, ACTION_STOP_PROCESS, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_HIBERNATE_CLOSING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_FREEZE, PHASE_HIBERNATE_FREEZING, LIMIT_FREEZE, "its channel is closed; freezing"},
	{PHASE_HIBERNATE_CLOSING, EVENT_TIME_OUT, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension did not close its channel in time"},
	{PHASE_HIBERNATE_CLOSING, EVENT_SERVER_READY, ALWAYS, ACTION_CANCEL_PREPARE, PHASE_READY, LIMIT_NONE, "the extension came back anew"},
	{PHASE_HIBERNATE_CLOSING, EVENT_WAKE, ALWAYS, ACTION_BACK_OFF, PHASE_READY, LIMIT_NONE, "wanted while it was about to hibernate"},
	{PHASE_HIBERNATE_CLOSING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_HIBERNATE_CLOSING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "its first process has ended"},
	{PHASE_HIBERNATE_CLOSING, EVENT_STOP, ALWAYS, ACTION_STOP_PROCESS, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_HIBERNATE_FREEZING, EVENT_FROZEN, ALWAYS, ACTION_LOOK, PHASE_HIBERNATE_FREEZING, LIMIT_FREEZE, "frozen; the last look"},
	{PHASE_HIBERNATE_FREEZING, EVENT_QUIET, ALWAYS, ACTION_DUMP, PHASE_DUMPING, LIMIT_NONE, "nothing is going on; writing the snapshot"},
	{PHASE_HIBERNATE_FREEZING, EVENT_BUSY, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "something was going on after all"},
	{PHASE_HIBERNATE_FREEZING, EVENT_TIME_OUT, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "freezing took too long"},
	{PHASE_HIBERNATE_FREEZING, EVENT_WAKE, ALWAYS, ACTION_THAW, PHASE_READY, LIMIT_NONE, "wanted while it was about to hibernate"},
	{PHASE_HIBERNATE_FREEZING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_HIBERNATE_FREEZING, LIMIT_FREEZE, "the extension has hung up"},
	{PHASE_HIBERNATE_FREEZING, EVENT_EXITED, IF(stays_down), ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended, and is not started again"},
	{PHASE_HIBERNATE_FREEZING, EVENT_EXITED, ALWAYS, ACTION_SCHEDULE_RESTART, PHASE_RESTARTING, LIMIT_NONE, "killed while it was freezing"},
	{PHASE_HIBERNATE_FREEZING, EVENT_STOP, ALWAYS, ACTION_WAKE_AND_STOP, PHASE_STOPPING, LIMIT_STOP, "asked to stop"},

	{PHASE_DUMPING, EVENT_DUMPED, IF(grow_wanted), ACTION_EVICT, PHASE_EVICTING, LIMIT_STOP, "the snapshot is whole; ending the processes, so that a volume can grow"},
	{PHASE_DUMPING, EVENT_DUMPED, IF(wake_wanted), ACTION_UNDUMP, PHASE_READY, LIMIT_NONE, "a client came while the snapshot was written; it runs on"},
	{PHASE_DUMPING, EVENT_DUMPED, ALWAYS, ACTION_EVICT, PHASE_EVICTING, LIMIT_STOP, "the snapshot is whole; ending the processes"},
	{PHASE_DUMPING, EVENT_BUSY, ALWAYS, ACTION_UNDUMP, PHASE_READY, LIMIT_NONE, "a client came before the snapshot was begun; it runs on"},
	{PHASE_DUMPING, EVENT_DUMP_FAILED, ALWAYS, ACTION_UNDUMP, PHASE_READY, LIMIT_NONE, "the snapshot could not be written; it runs on"},
	{PHASE_DUMPING, EVENT_DUMP_BROKEN, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "the snapshot broke the processes; starting cold"},
	{PHASE_DUMPING, EVENT_KNOCK, ALWAYS, ACTION_NOTE_KNOCK, PHASE_DUMPING, LIMIT_NONE, "a client is there; the snapshot is being written"},
	{PHASE_DUMPING, EVENT_WAKE, ALWAYS, ACTION_NOTE_KNOCK, PHASE_DUMPING, LIMIT_NONE, "wanted; the snapshot is being written"},
	{PHASE_DUMPING, EVENT_EXITED, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "killed while its snapshot was written"},
	{PHASE_DUMPING, EVENT_STOP, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "asked to stop"},

	{PHASE_EVICTING, EVENT_EXITED, IF(grow_wanted), ACTION_GROW, PHASE_GROWING, LIMIT_NONE, "its snapshot is on disk; a volume of it grows"},
	{PHASE_EVICTING, EVENT_EXITED, IF(wake_wanted), ACTION_RESTORE, PHASE_RESUMING, LIMIT_NONE, "a client is there"},
	{PHASE_EVICTING, EVENT_EXITED, ALWAYS, ACTION_NONE, PHASE_HIBERNATED, LIMIT_NONE, "its snapshot is on disk"},
	{PHASE_EVICTING, EVENT_KNOCK, ALWAYS, ACTION_NOTE_KNOCK, PHASE_EVICTING, LIMIT_STOP, "a client is there; the processes are ending"},
	{PHASE_EVICTING, EVENT_WAKE, ALWAYS, ACTION_NOTE_KNOCK, PHASE_EVICTING, LIMIT_STOP, "wanted; the processes are ending"},
	{PHASE_EVICTING, EVENT_TIME_OUT, ALWAYS, ACTION_KILL, PHASE_EVICTING, LIMIT_STOP, "the processes do not end; killed again"},
	{PHASE_EVICTING, EVENT_STOP, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "asked to stop"},

	{PHASE_HIBERNATED, EVENT_KNOCK, ALWAYS, ACTION_RESTORE, PHASE_RESUMING, LIMIT_NONE, "a client is there"},
	{PHASE_HIBERNATED, EVENT_WAKE, ALWAYS, ACTION_RESTORE, PHASE_RESUMING, LIMIT_NONE, "wanted"},
	{PHASE_HIBERNATED, EVENT_STOP, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "asked to stop; its snapshot is given up"},
	{PHASE_HIBERNATED, EVENT_GROW, ALWAYS, ACTION_GROW, PHASE_GROWING, LIMIT_NONE, "a volume of it grows while it sleeps"},

	{PHASE_GROWING, EVENT_GROWN, IF(wake_wanted), ACTION_RESTORE, PHASE_RESUMING, LIMIT_NONE, "its volumes are mounted again"},
	{PHASE_GROWING, EVENT_GROWN, ALWAYS, ACTION_NONE, PHASE_HIBERNATED, LIMIT_NONE, "its volumes are mounted again"},
	{PHASE_GROWING, EVENT_KNOCK, ALWAYS, ACTION_NOTE_KNOCK, PHASE_GROWING, LIMIT_NONE, "a client is there; a volume grows"},
	{PHASE_GROWING, EVENT_WAKE, ALWAYS, ACTION_NOTE_KNOCK, PHASE_GROWING, LIMIT_NONE, "wanted; a volume grows"},
	{PHASE_GROWING, EVENT_STOP, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "asked to stop; its snapshot is given up"},

	{PHASE_RESUMING, EVENT_RESTORED, ALWAYS, ACTION_RESUME, PHASE_READY, LIMIT_NONE, "restored from disk"},
	{PHASE_RESUMING, EVENT_RESTORE_FAILED, ALWAYS, ACTION_START_COLD, PHASE_CREATING, LIMIT_NONE, "cannot be restored; starting cold"},
	{PHASE_RESUMING, EVENT_WAKE, ALWAYS, ACTION_NONE, PHASE_RESUMING, LIMIT_NONE, "is being restored already"},
	{PHASE_RESUMING, EVENT_STOP, ALWAYS, ACTION_DISCARD, PHASE_STOPPING, LIMIT_NONE, "asked to stop; its snapshot is given up"},

	{PHASE_STOPPING, EVENT_EXITED, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "ended; giving its mounts back"},
	{PHASE_STOPPING, EVENT_TIME_OUT, ALWAYS, ACTION_KILL, PHASE_STOPPING, LIMIT_STOP, "did not stop in time; killed"},
	{PHASE_STOPPING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_STOPPING, LIMIT_STOP, "the extension has hung up"},
	{PHASE_STOPPING, EVENT_STOP, ALWAYS, ACTION_NONE, PHASE_STOPPING, LIMIT_STOP, "stopping already"},
	{PHASE_STOPPING, EVENT_TORN_DOWN, IF(delete_wanted), ACTION_FORGET, PHASE_DELETING, LIMIT_NONE, "giving everything back"},
	{PHASE_STOPPING, EVENT_TORN_DOWN, IF(restart_needs_image), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "fetching the image"},
	{PHASE_STOPPING, EVENT_TORN_DOWN, IF(restart_wanted), ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "starting again"},
	{PHASE_STOPPING, EVENT_TORN_DOWN, ALWAYS, ACTION_NONE, PHASE_STOPPED, LIMIT_NONE, "stopped"},

	{PHASE_STOPPED, EVENT_START, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "fetching the image"},
	{PHASE_STOPPED, EVENT_START, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "starting again"},
	{PHASE_STOPPED, EVENT_WAKE, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "fetching the image"},
	{PHASE_STOPPED, EVENT_WAKE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "starting again"},
	{PHASE_STOPPED, EVENT_KNOCK, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "a client is there; fetching the image"},
	{PHASE_STOPPED, EVENT_KNOCK, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "a client is there; starting"},
	{PHASE_STOPPED, EVENT_STOP, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "stopped already"},

	{PHASE_RESTARTING, EVENT_RESTART_DUE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "starting again"},
	{PHASE_RESTARTING, EVENT_WAKE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "wanted; starting again at once"},
	{PHASE_RESTARTING, EVENT_STOP, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "stopped between two tries"},
	{PHASE_RESTARTING, EVENT_CHANNEL_LOST, ALWAYS, ACTION_NONE, PHASE_RESTARTING, LIMIT_NONE, "the extension has hung up"},

	{PHASE_ERROR, EVENT_START, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "trying again"},
	{PHASE_ERROR, EVENT_START, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "trying again"},
	{PHASE_ERROR, EVENT_WAKE, IF(image_unknown), ACTION_FETCH_IMAGE, PHASE_PULLING_IMAGE, LIMIT_NONE, "trying again"},
	{PHASE_ERROR, EVENT_WAKE, ALWAYS, ACTION_CREATE, PHASE_CREATING, LIMIT_NONE, "trying again"},
	{PHASE_ERROR, EVENT_STOP, ALWAYS, ACTION_TEAR_DOWN, PHASE_STOPPING, LIMIT_NONE, "stopped"},
};
/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct
{
	const char *key;  /* in the store */
	const char *name; /* for users */
} phases[PHASE_COUNT] = {
	[PHASE_IDLE] = {"idle", "idle"},
	[PHASE_PULLING_IMAGE] = {"pulling-image", "pulling-image"},
	[PHASE_WAITING] = {"waiting", "waiting"},
	[PHASE_CREATING] = {"creating", "creating"},
	[PHASE_BOOTING] = {"booting", "booting"},
	[PHASE_READY] = {"ready", "ready"},
	[PHASE_PREPARING] = {"preparing", "suspending"},
	[PHASE_FREEZING] = {"freezing", "suspending"},
	[PHASE_SUSPENDED] = {"suspended", "suspended"},
	[PHASE_HIBERNATE_PREPARING] = {"hibernate-preparing", "hibernating"},
	[PHASE_HIBERNATE_CLOSING] = {"hibernate-closing", "hibernating"},
	[PHASE_HIBERNATE_FREEZING] = {"hibernate-freezing", "hibernating"},
	[PHASE_DUMPING] = {"dumping", "hibernating"},
	[PHASE_EVICTING] = {"evicting", "hibernating"},
	[PHASE_HIBERNATED] = {"hibernated", "hibernated"},
	[PHASE_GROWING] = {"growing", "hibernated"},
	[PHASE_RESUMING] = {"resuming", "resuming"},
	[PHASE_STOPPING] = {"stopping", "stopping"},
	[PHASE_STOPPED] = {"stopped", "stopped"},
	[PHASE_RESTARTING] = {"restarting", "restarting"},
	[PHASE_DELETING] = {"deleting", "deleting"},
	[PHASE_ERROR] = {"error", "error"},
};

static const char *const event_names[EVENT_COUNT] = {
	[EVENT_START] = "start",
	[EVENT_IMAGE_THERE] = "image there",
	[EVENT_IMAGE_FAILED] = "image failed",
	[EVENT_MUST_WAIT] = "must wait",
	[EVENT_DEPENDENCIES_READY] = "dependencies ready",
	[EVENT_CREATED] = "created",
	[EVENT_CREATE_FAILED] = "create failed",
	[EVENT_SERVER_READY] = "server ready",
	[EVENT_SUSPEND] = "suspend",
	[EVENT_AGREED] = "agreed",
	[EVENT_DECLINED] = "declined",
	[EVENT_CHANNEL_LOST] = "channel lost",
	[EVENT_FROZEN] = "frozen",
	[EVENT_QUIET] = "quiet",
	[EVENT_BUSY] = "busy",
	[EVENT_HIBERNATE] = "hibernate",
	[EVENT_DUMPED] = "dumped",
	[EVENT_DUMP_FAILED] = "dump failed",
	[EVENT_DUMP_BROKEN] = "dump broken",
	[EVENT_RESTORED] = "restored",
	[EVENT_RESTORE_FAILED] = "restore failed",
	[EVENT_GROW] = "grow",
	[EVENT_GROWN] = "grown",
	[EVENT_ADOPT_SNAPSHOT] = "adopt snapshot",
	[EVENT_ADOPT_NOTHING] = "adopt nothing",
	[EVENT_KNOCK] = "knock",
	[EVENT_WAKE] = "wake",
	[EVENT_EXITED] = "exited",
	[EVENT_RESTART_DUE] = "restart due",
	[EVENT_STOP] = "stop",
	[EVENT_TORN_DOWN] = "torn down",
	[EVENT_TIME_OUT] = "time-out",
	[EVENT_ADOPT_RUNNING] = "adopt running",
	[EVENT_ADOPT_BOOTING] = "adopt booting",
	[EVENT_ADOPT_FROZEN] = "adopt frozen",
};

static const char *const action_names[ACTION_COUNT] = {
	[ACTION_NONE] = "none",
	[ACTION_FETCH_IMAGE] = "fetch image",
	[ACTION_AWAIT] = "start what it depends on",
	[ACTION_CREATE] = "create",
	[ACTION_WATCH_PROCESS] = "watch process",
	[ACTION_ENTER_READY] = "enter ready",
	[ACTION_WARN_SLOW] = "warn",
	[ACTION_SEND_PREPARE] = "send PREPARE",
	[ACTION_FREEZE] = "freeze",
	[ACTION_LOOK] = "last look",
	[ACTION_SLEEP] = "watch the door, reclaim",
	[ACTION_PREPARE_HIBERNATE] = "send PREPARE for disk",
	[ACTION_WAKE_TO_HIBERNATE] = "thaw, then as from ready",
	[ACTION_DUMP] = "close the gate, dump",
	[ACTION_UNDUMP] = "remove the snapshot, open the gate, thaw",
	[ACTION_EVICT] = "kill, clear sockets",
	[ACTION_RESTORE] = "restore, in turn",
	[ACTION_RESUME] = "adopt the processes, open the gate",
	[ACTION_START_COLD] = "set the snapshot aside, create",
	[ACTION_DISCARD] = "remove snapshot and gate, tear down",
	[ACTION_KEEP_GATE] = "close the gate",
	[ACTION_NOTE_KNOCK] = "remember",
	[ACTION_GROW] = "unmount, grow, mount",
	[ACTION_BACK_OFF] = "try later",
	[ACTION_CANCEL_PREPARE] = "cancel PREPARE, try later",
	[ACTION_THAW] = "thaw, try later",
	[ACTION_WAKE] = "thaw",
	[ACTION_STOP_PROCESS] = "send the stop signal",
	[ACTION_WAKE_AND_STOP] = "thaw, send the stop signal",
	[ACTION_KILL] = "kill",
	[ACTION_TEAR_DOWN] = "tear down",
	[ACTION_SCHEDULE_RESTART] = "schedule a restart",
	[ACTION_CANCEL_WORK] = "cancel, tear down",
	[ACTION_FORGET] = "remove directories and records",
	[ACTION_ADOPT] = "adopt",
};

const FsmRow *
fsm_find(Phase from, FsmEvent event, const FsmFacts *facts)
{
	for (size_t i = 0; i < ROW_COUNT; i++)
	{
		if (rows[i].from == from && rows[i].event == event && (rows[i].guard == NULL || rows[i].guard(facts)))
			return &rows[i];
	}
	return NULL;
}

const char *
phase_name(Phase phase)
{
	return phases[phase].name;
}

bool
fsm_phase_is_up(Phase phase)
{
	return phase >= PHASE_READY && phase <= PHASE_RESUMING;
}

bool
fsm_phase_has_process(Phase phase)
{
	return phase == PHASE_BOOTING || (phase >= PHASE_READY && phase <= PHASE_HIBERNATE_FREEZING);
}

const char *
fsm_phase_key(Phase phase)
{
	return phases[phase].key;
}

bool
fsm_phase_parse(const char *key, Phase *ret_phase)
{
	for (size_t i = 0; i < PHASE_COUNT; i++)
	{
		if (strcmp(phases[i].key, key) == 0)
		{
			*ret_phase = (Phase) i;
			return true;
		}
	}
	return false;
}

const char *
fsm_event_name(FsmEvent event)
{
	return event_names[event];
}

const char *
fsm_action_name(FsmAction action)
{
	return action_names[action];
}

const char *
fsm_limit_name(FsmLimit limit)
{
	switch (limit)
	{
		case LIMIT_BOOT:
			return "boot-timeout";
		case LIMIT_PREPARE:
			return "prepare-timeout";
		case LIMIT_FREEZE:
			return "freeze-timeout";
		case LIMIT_STOP:
			return "stop-timeout";
		case LIMIT_NONE:
			break;
	}
	return "";
}

const FsmRow *
fsm_rows(size_t *ret_count)
{
	*ret_count = ROW_COUNT;
	return rows;
}
