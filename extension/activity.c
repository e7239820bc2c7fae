/*
 * The activity page: one slot a process, written by that process alone with plain atomic stores.
 *
 * A slot is taken when a client is authenticated, or at the first transaction end or statement of any other process,
 * and given back by on_shmem_exit, which every way out of a process runs except a crash. After a crash the postmaster
 * clears the whole page before it starts anything anew. So a slot never outlives its process.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "activity.h"
#include "activity_place.h"
#include "clock.h"
#include "flash_worker.h"
#include "ignore.h"
#include "settings.h"

#include "lttle/activity_slot.h"

static LttleActivityHeader *page = NULL;
static LttleActivitySlot *slots = NULL;
static LttleActivitySlot *my_slot = NULL;
static bool my_slot_is_given_back = false;
static bool my_state_is_fixed = false; /* busy, or never counted, for as long as the process lives */

static const char *const kind_names[] = {
	[LTTLE_KIND_NONE] = "none",
	[LTTLE_KIND_CLIENT] = "client",
	[LTTLE_KIND_WALSENDER] = "walsender",
	[LTTLE_KIND_AUTOVACUUM_WORKER] = "autovacuum worker",
	[LTTLE_KIND_PARALLEL_WORKER] = "parallel worker",
	[LTTLE_KIND_BACKGROUND_WORKER] = "background worker",
	[LTTLE_KIND_FLASH_WORKER] = "flash worker",
	[LTTLE_KIND_AUXILIARY] = "auxiliary",
};

static const char *const state_names[] = {
	[LTTLE_STATE_FREE] = "free",
	[LTTLE_STATE_STARTING] = "starting",
	[LTTLE_STATE_IDLE] = "idle",
	[LTTLE_STATE_ACTIVE] = "active",
	[LTTLE_STATE_IN_TRANSACTION] = "in transaction",
	[LTTLE_STATE_FASTPATH] = "fastpath",
};

const char *
lttle_activity_name_kind(LttleActivityKind kind)
{
	return (size_t) kind < lengthof(kind_names) ? kind_names[kind] : "unknown";
}

const char *
lttle_activity_name_state(LttleActivityState state)
{
	return (size_t) state < lengthof(state_names) ? state_names[state] : "unknown";
}

/*
 * The page
 */

static void
page_clear(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	page->magic = 0;
	atomic_thread_fence(memory_order_seq_cst);
	memset(slots, 0, sizeof(*slots) * page->slot_count);
	page->postmaster_pid = 0;
}

static void
page_initialise(uint32 slot_count)
{
	page->magic = 0;
	atomic_thread_fence(memory_order_seq_cst);
	memset(page, 0, sizeof(*page) + sizeof(*slots) * slot_count);
	page->version = LTTLE_ACTIVITY_VERSION;
	page->header_size = sizeof(LttleActivityHeader);
	page->slot_size = sizeof(LttleActivitySlot);
	page->slot_count = slot_count;
	page->postmaster_pid = (uint32) MyProcPid;
	page->client_read_event = WAIT_EVENT_CLIENT_READ;
	page->created_ns = lttle_clock_now_ns();
	atomic_store(&page->transaction_hold_ms, (uint32) lttle_transaction_hold_ms);
	atomic_thread_fence(memory_order_seq_cst);
	page->magic = LTTLE_ACTIVITY_MAGIC;
}

/* MaxBackends can't change between a start and the crash restarts that follow. */
static uint32
page_count_slots(void)
{
	return (uint32) MaxBackends + NUM_AUXILIARY_PROCS;
}

static Size
page_size(void)
{
	return sizeof(LttleActivityHeader) + sizeof(LttleActivitySlot) * page_count_slots();
}

Size
lttle_activity_shmem_size(void)
{
	return lttle_activity_place_shmem_size(page_size());
}

void
lttle_activity_create_page(void)
{
	uint32 slot_count = page_count_slots();
	bool fits = slot_count <= LTTLE_ACTIVITY_MAX_SLOTS;

	if (!fits && page == NULL && IsPostmasterEnvironment && !IsUnderPostmaster)
		ereport(LOG, (errmsg("lttle_pg: %u processes are more than the activity page can hold", slot_count),
					  errhint("Lower max_connections.")));
	page = lttle_activity_place_get(fits ? lttle_activity_file : "", page_size());
	slots = (LttleActivitySlot *) (page + 1);
	if (IsUnderPostmaster)
		return;
	page_initialise(slot_count);
	on_shmem_exit(page_clear, (Datum) 0);
}

bool
lttle_activity_is_available(void)
{
	return page != NULL;
}

void
lttle_activity_publish_hold(uint32 hold_ms)
{
	if (page != NULL)
		atomic_store(&page->transaction_hold_ms, hold_ms);
}

/*
 * This process's slot
 */

static int
proc_get_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

static LttleActivityKind
process_get_kind(void)
{
	if (lttle_flash_worker_is_me())
		return LTTLE_KIND_FLASH_WORKER;
	if (IsParallelWorker())
		return LTTLE_KIND_PARALLEL_WORKER;
	if (am_walsender)
		return LTTLE_KIND_WALSENDER;
	switch (MyBackendType)
	{
		case B_BACKEND:
			return LTTLE_KIND_CLIENT;
		case B_AUTOVAC_WORKER:
			return LTTLE_KIND_AUTOVACUUM_WORKER;
		case B_BG_WORKER:
			return LTTLE_KIND_BACKGROUND_WORKER;
		default:
			return MyProcPort != NULL ? LTTLE_KIND_CLIENT : LTTLE_KIND_AUXILIARY;
	}
}

static bool
kind_has_fixed_state(LttleActivityKind kind, LttleActivityState *ret_state)
{
	switch (kind)
	{
		case LTTLE_KIND_AUTOVACUUM_WORKER:
		case LTTLE_KIND_PARALLEL_WORKER:
			*ret_state = LTTLE_STATE_ACTIVE;
			return true;
		case LTTLE_KIND_FLASH_WORKER:
		case LTTLE_KIND_AUXILIARY:
			*ret_state = LTTLE_STATE_IDLE;
			return true;
		default:
			return false;
	}
}

static void
slot_give_back(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LttleActivitySlot *slot = my_slot;
	uint32 kind;

	if (slot == NULL)
		return;
	my_slot = NULL;
	my_slot_is_given_back = true;
	kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
	if (kind != LTTLE_KIND_CLIENT && kind != LTTLE_KIND_WALSENDER)
		;
	else if (atomic_load_explicit(&slot->ignored, memory_order_relaxed) == LTTLE_COUNTS)
		atomic_store(&page->last_exit_ns, lttle_clock_now_ns());
	else
		atomic_store(&page->last_ignored_exit_ns, lttle_clock_now_ns());
	lttle_activity_slot_give_back(slot);
}

/*
 * Both names are settings, and each is a new string whenever it is set: at the end of the login, and by statements. So
 * a look before and after each statement is enough. (What is known of the client itself, libpq/libpq-be.h, can't be
 * included where Kerberos' headers are not installed.)
 */
void
lttle_activity_compare_ignored(void)
{
	static const char *seen_user = NULL;
	static const char *seen_application = NULL;
	const char *user;

	if (my_slot == NULL)
		return;
	user = GetConfigOption("session_authorization", true, false);
	if (user == seen_user && application_name == seen_application)
		return;
	seen_user = user;
	seen_application = application_name;
	atomic_store_explicit(&my_slot->ignored,
						  lttle_ignore_matches(user, application_name) ? LTTLE_IGNORED : LTTLE_COUNTS,
						  memory_order_release);
}

void
lttle_activity_claim(LttleActivityState state)
{
	LttleActivitySlot *slot;
	LttleActivityKind kind;

	if (my_slot != NULL || my_slot_is_given_back || page == NULL || MyProc == NULL || !IsUnderPostmaster)
		return;
	Assert((uint32) proc_get_number() < page->slot_count);
	slot = &slots[proc_get_number()];
	kind = process_get_kind();
	my_state_is_fixed = kind_has_fixed_state(kind, &state);

	memset(slot->lock_name, 0, sizeof(slot->lock_name));
	lttle_activity_slot_take(slot, (uint32) MyProcPid, kind, state, lttle_clock_now_ns(),
							 (uint64) (uintptr_t) &MyProc->wait_event_info);
	my_slot = slot;
	on_shmem_exit(slot_give_back, (Datum) 0);
	if (MyProcPort != NULL)
		lttle_ignore_load();
}

void
lttle_activity_set_state(LttleActivityState state)
{
	if (unlikely(my_slot == NULL))
	{
		lttle_activity_claim(state);
		return;
	}
	if (my_state_is_fixed)
		return;
	lttle_activity_slot_set_state(my_slot, state, lttle_clock_now_ns());
}

void
lttle_activity_count_statement(void)
{
	if (my_slot != NULL)
		lttle_activity_slot_count_statement(my_slot);
}

void
lttle_activity_set_locks(uint32 count, const char *name)
{
	lttle_activity_claim(LTTLE_STATE_ACTIVE);
	if (my_slot == NULL)
		return;
	strncpy(my_slot->lock_name, name, sizeof(my_slot->lock_name) - 1);
	atomic_store(&my_slot->lock_count, count);
}

/*
 * Reading
 */

uint32
lttle_activity_count_slots(void)
{
	return page == NULL ? 0 : page->slot_count;
}

/* What PostgreSQL itself says about the owner of slot `index`. */
static uint32
proc_get_wait_event(uint32 index)
{
	return *(volatile uint32 *) &ProcGlobal->allProcs[index].wait_event_info;
}

static bool
proc_is_in_transaction(uint32 index)
{
#if PG_VERSION_NUM >= 170000
	return LocalTransactionIdIsValid(*(volatile LocalTransactionId *) &ProcGlobal->allProcs[index].vxid.lxid);
#else
	return LocalTransactionIdIsValid(*(volatile LocalTransactionId *) &ProcGlobal->allProcs[index].lxid);
#endif
}

/* Hooks see neither the first microseconds of a command nor a replication command; what the process waits for tells. */
static void
report_correct_session(ActivityReport *report, uint32 index)
{
	bool waits_for_client = proc_get_wait_event(index) == WAIT_EVENT_CLIENT_READ;

	if (!waits_for_client && (report->state == LTTLE_STATE_IDLE || report->state == LTTLE_STATE_IN_TRANSACTION))
	{
		report->unsettled = report->kind == LTTLE_KIND_CLIENT; /* replication goes on for longer than a moment */
		report->state = LTTLE_STATE_ACTIVE;
	}
	else if (waits_for_client && report->state == LTTLE_STATE_FASTPATH)
		report->state = LTTLE_STATE_IN_TRANSACTION;
}

static bool
report_is_busy(const ActivityReport *report, uint64 now_ns)
{
	uint64 hold_ns = atomic_load(&page->transaction_hold_ms) * LTTLE_NS_PER_MS;

	switch (report->kind)
	{
		case LTTLE_KIND_AUTOVACUUM_WORKER:
		case LTTLE_KIND_PARALLEL_WORKER:
			return true;
		case LTTLE_KIND_BACKGROUND_WORKER:
			return report->state != LTTLE_STATE_IDLE;
		case LTTLE_KIND_CLIENT:
		case LTTLE_KIND_WALSENDER:
			if (report->state == LTTLE_STATE_IN_TRANSACTION && report->ignored)
				return false;
			if (report->state == LTTLE_STATE_IN_TRANSACTION)
				/* Its beginning lies ahead when the clock has begun anew: a snapshot used after the host's reboot. */
				return now_ns < report->since_ns + hold_ns && report->since_ns < now_ns + hold_ns;
			return report->state != LTTLE_STATE_IDLE;
		default:
			return false;
	}
}

bool
lttle_activity_read(uint32 index, uint64 now_ns, ActivityReport *ret_report)
{
	LttleActivitySlot *slot = &slots[index];
	LttleActivityReading reading;

	if (!lttle_activity_slot_read(slot, &reading))
		return false;
	memset(ret_report, 0, sizeof(*ret_report));
	ret_report->pid = (int) reading.pid;
	ret_report->kind = reading.kind;
	ret_report->state = reading.state;
	ret_report->since_ns = reading.since_ns;
	ret_report->ignored = reading.ignored != LTTLE_COUNTS;
	ret_report->statements = reading.statements;
	ret_report->lock_count = reading.lock_count;
	memcpy(ret_report->lock_name, slot->lock_name, sizeof(ret_report->lock_name) - 1);
	if (ret_report->kind == LTTLE_KIND_CLIENT || ret_report->kind == LTTLE_KIND_WALSENDER)
		report_correct_session(ret_report, index);
	else if (ret_report->kind == LTTLE_KIND_BACKGROUND_WORKER && ret_report->state == LTTLE_STATE_IDLE &&
			 proc_is_in_transaction(index))
		ret_report->state = LTTLE_STATE_IN_TRANSACTION;
	ret_report->busy = report_is_busy(ret_report, now_ns);
	/* What PostgreSQL said of it meanwhile is of no use if the slot has changed hands. */
	return atomic_load_explicit(&slot->pid, memory_order_acquire) == reading.pid;
}
