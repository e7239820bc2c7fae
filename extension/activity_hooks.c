/*
 * The hooks that keep the activity page: authentication, parse analysis, planner, executor, utility commands,
 * fast-path calls and transaction ends.
 *
 * Only the outermost call of a statement writes; whatever it calls (functions, triggers, procedures that commit)
 * passes straight through. Errors leave by PG_FINALLY, so the depth is right also after an exception was caught inside
 * a function. A session between two outermost calls is "in transaction"; the transaction's end makes it idle.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"

#include "activity.h"
#include "activity_hooks.h"
#include "flash_lock.h"
#include "random_seed.h"

/* As in libpq/auth.h, which can't be included where Kerberos' headers are not installed. */
typedef void (*ClientAuthenticationHook)(struct Port *port, int status);
extern PGDLLIMPORT ClientAuthenticationHook ClientAuthentication_hook;

#define NO_EVENT (-1)

static ClientAuthenticationHook previous_client_authentication = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;
static ExecutorEnd_hook_type previous_executor_end = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

static bool inside_statement = false;
static bool inside_fastpath = false; /* a fast-path call was begun in this transaction */
static int chained_event = NO_EVENT; /* the transaction end that COMMIT or ROLLBACK AND CHAIN will bring about */

bool
lttle_activity_is_inside_statement(void)
{
	return inside_statement;
}

/* Returns true for the outermost call, which must then see to it that statement_end is called. */
static inline bool
statement_begin(void)
{
	if (inside_statement)
		return false;
	lttle_random_check();
	lttle_activity_check_ignored();
	chained_event = NO_EVENT;
	lttle_activity_set_state(LTTLE_STATE_ACTIVE);
	inside_statement = true;
	return true;
}

static LttleActivityState
state_between_statements(void)
{
	if (inside_fastpath)
		return LTTLE_STATE_FASTPATH;
	/*
	 * A ROLLBACK that ends an aborted transaction block is followed by no callback, so it must count as idle here. In
	 * a subtransaction that is being rolled back the transaction around it is still open.
	 */
	if (IsTransactionState() || GetCurrentTransactionNestLevel() > 1)
		return LTTLE_STATE_IN_TRANSACTION;
	return LTTLE_STATE_IDLE;
}

static void
statement_end(void)
{
	inside_statement = false;
	lttle_activity_check_ignored();
	lttle_activity_set_state(state_between_statements());
}

static void
hook_client_authentication(struct Port *port, int status)
{
	if (previous_client_authentication != NULL)
		previous_client_authentication(port, status);
	if (status == STATUS_OK)
		lttle_activity_claim(LTTLE_STATE_STARTING);
}

/*
 * Parse analysis takes locks on tables. A client of the extended protocol may stop right after it, without a Sync: then
 * it has a transaction open though nothing was ever planned.
 */
static void
hook_post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (!inside_statement)
		lttle_activity_set_state(state_between_statements());
	if (previous_post_parse_analyze != NULL)
		previous_post_parse_analyze(pstate, query, jstate);
}

static PlannedStmt *
call_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	if (previous_planner != NULL)
		return previous_planner(parse, query_string, cursor_options, params);
	return standard_planner(parse, query_string, cursor_options, params);
}

static PlannedStmt *
hook_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	PlannedStmt *result;

	if (!statement_begin())
		return call_planner(parse, query_string, cursor_options, params);
	PG_TRY();
	{
		result = call_planner(parse, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
	return result;
}

static void
call_executor_start(QueryDesc *query, int eflags)
{
	if (previous_executor_start != NULL)
		previous_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

static void
hook_executor_start(QueryDesc *query, int eflags)
{
	if (!statement_begin())
	{
		call_executor_start(query, eflags);
		return;
	}
	PG_TRY();
	{
		call_executor_start(query, eflags);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
}

/* PostgreSQL 18 took the last parameter away. */
#if PG_VERSION_NUM >= 180000
#define RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define RUN_ARGUMENTS  query, direction, count
#else
#define RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define RUN_ARGUMENTS  query, direction, count, execute_once
#endif

static void
call_executor_run(RUN_PARAMETERS)
{
	if (previous_executor_run != NULL)
		previous_executor_run(RUN_ARGUMENTS);
	else
		standard_ExecutorRun(RUN_ARGUMENTS);
}

static void
hook_executor_run(RUN_PARAMETERS)
{
	if (!statement_begin())
	{
		call_executor_run(RUN_ARGUMENTS);
		return;
	}
	lttle_activity_count_statement();
	PG_TRY();
	{
		call_executor_run(RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
}

static void
call_executor_finish(QueryDesc *query)
{
	if (previous_executor_finish != NULL)
		previous_executor_finish(query);
	else
		standard_ExecutorFinish(query);
}

static void
hook_executor_finish(QueryDesc *query)
{
	if (!statement_begin())
	{
		call_executor_finish(query);
		return;
	}
	PG_TRY();
	{
		call_executor_finish(query);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
}

static void
call_executor_end(QueryDesc *query)
{
	if (previous_executor_end != NULL)
		previous_executor_end(query);
	else
		standard_ExecutorEnd(query);
}

static void
hook_executor_end(QueryDesc *query)
{
	if (!statement_begin())
	{
		call_executor_end(query);
		return;
	}
	PG_TRY();
	{
		call_executor_end(query);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
}

#define UTILITY_PARAMETERS                                                                                             \
	PlannedStmt *statement, const char *query_string, bool read_only_tree, ProcessUtilityContext context,              \
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *destination, QueryCompletion *completion
#define UTILITY_ARGUMENTS statement, query_string, read_only_tree, context, params, environment, destination, completion

static void
call_process_utility(UTILITY_PARAMETERS)
{
	if (previous_process_utility != NULL)
		previous_process_utility(UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(UTILITY_ARGUMENTS);
}

/* Connection poolers send it before they hand a session to somebody else. */
static bool
statement_discards_all(const PlannedStmt *statement)
{
	return IsA(statement->utilityStmt, DiscardStmt) &&
		   ((const DiscardStmt *) statement->utilityStmt)->target == DISCARD_ALL;
}

/*
 * The next transaction of a chain begins right after this one's end, and no callback tells. Returns the event of that
 * end; a COMMIT that fails ends by another one, and then nothing is chained.
 */
static int
statement_get_chained_event(const PlannedStmt *statement)
{
	const TransactionStmt *transaction = (const TransactionStmt *) statement->utilityStmt;

	if (!IsA(statement->utilityStmt, TransactionStmt) || !transaction->chain)
		return NO_EVENT;
	return transaction->kind == TRANS_STMT_COMMIT && !IsAbortedTransactionBlockState() ? XACT_EVENT_COMMIT
																					   : XACT_EVENT_ABORT;
}

static void
hook_process_utility(UTILITY_PARAMETERS)
{
	bool discards_all;
	int chains;

	if (!statement_begin())
	{
		call_process_utility(UTILITY_ARGUMENTS);
		return;
	}
	lttle_activity_count_statement();
	discards_all = statement_discards_all(statement); /* asked now: DISCARD frees cached statements */
	chains = statement_get_chained_event(statement);
	PG_TRY();
	{
		call_process_utility(UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		statement_end();
	}
	PG_END_TRY();
	if (discards_all)
		lttle_flash_lock_release_all();
	if (chains != NO_EVENT)
	{
		chained_event = chains;
		lttle_activity_set_state(LTTLE_STATE_IN_TRANSACTION); /* an aborted transaction ends without an event */
	}
}

/*
 * A fast-path call has no hook of its own; outside of a statement only it checks a function's rights this way. When it
 * is over in the middle of a transaction, nothing tells: a reader takes the wait for the client as its end.
 */
static void
hook_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument)
{
	if (access == OAT_FUNCTION_EXECUTE && !inside_statement)
	{
		lttle_random_check();
		inside_fastpath = true;
		lttle_activity_set_state(LTTLE_STATE_FASTPATH);
		lttle_activity_count_statement();
	}
	/* Every call of a function is prepared by this check, at whatever depth. */
	if (access == OAT_FUNCTION_EXECUTE && object_id == F_SETSEED)
		lttle_random_note_setseed();
	if (previous_object_access != NULL)
		previous_object_access(access, class_id, object_id, sub_id, argument);
}

static void
hook_transaction(XactEvent event, void *argument pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	/* A procedure that commits, VACUUM, CREATE INDEX CONCURRENTLY: the statement goes on. */
	if (inside_statement)
		return;
	inside_fastpath = false;
	lttle_activity_check_ignored();
	lttle_activity_set_state((int) event == chained_event ? LTTLE_STATE_IN_TRANSACTION : LTTLE_STATE_IDLE);
	chained_event = NO_EVENT;
}

void
lttle_activity_hooks_install(void)
{
	previous_client_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = hook_client_authentication;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = hook_post_parse_analyze;
	previous_planner = planner_hook;
	planner_hook = hook_planner;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = hook_executor_start;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = hook_executor_run;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = hook_executor_finish;
	previous_executor_end = ExecutorEnd_hook;
	ExecutorEnd_hook = hook_executor_end;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = hook_process_utility;
	previous_object_access = object_access_hook;
	object_access_hook = hook_object_access;

	/* Every process forked from here on inherits it. */
	RegisterXactCallback(hook_transaction, NULL);
}
