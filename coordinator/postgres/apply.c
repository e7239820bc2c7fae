/* Runs the steps of a plan, each transaction whole or not at all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "postgres/plan.h"

/* A statement with a verifier is in no log of the server, whatever that logs: only a superuser may set these. */
#define LOG_NOTHING                                                                                                    \
	"SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_duration = off; "                        \
	"SET log_min_error_statement = 'panic'; SET log_min_duration_sample = -1; SET log_transaction_sample_rate = 0"
#define LOG_AGAIN                                                                                                      \
	"RESET log_statement; RESET log_min_duration_statement; RESET log_duration; RESET log_min_error_statement; "       \
	"RESET log_min_duration_sample; RESET log_transaction_sample_rate"

static int
run_statement(PostgresConnection *connection, const PlanStatement *statement, Error *err)
{
	int result = 0;

	if (statement->shown != NULL)
		result = postgres_execute(connection, LOG_NOTHING, err);
	if (result == 0)
		result = postgres_execute(connection, statement->sql, err);
	if (result == 0 && statement->shown != NULL)
		return postgres_execute(connection, LOG_AGAIN, err);
	if (result < 0)
	{
		char shown[200];

		text_copy(shown, sizeof(shown), statement->shown != NULL ? statement->shown : statement->sql);
		error_prefix(err, "%s", shown);
	}
	return result;
}

static int
run_step(Sessions *sessions, const PlanStep *step, Error *err)
{
	PostgresConnection *connection;
	Error ignored;
	int result = sessions_get(sessions, step->database, &connection, err);

	if (result == 0 && step->transaction)
		result = postgres_execute(connection, "BEGIN", err);
	for (size_t i = 0; result == 0 && i < step->count; i++)
	{
		if (step->statements[i].ends_sessions != NULL)
			sessions_end(sessions, step->statements[i].ends_sessions);
		/* Ending a connection may have moved the others. */
		result = sessions_get(sessions, step->database, &connection, err);
		if (result == 0)
			result = run_statement(connection, &step->statements[i], err);
	}
	if (!step->transaction)
		return result;
	if (result == 0)
		return postgres_execute(connection, "COMMIT", err);
	if (result == -EREMOTEIO && postgres_execute(connection, "ROLLBACK", &ignored) < 0)
		return error_set(err, -ECONNRESET, "database \"%s\": the connection was lost", postgres_database(connection));
	return result;
}

static int
refuse(const Plan *plan, Error *err)
{
	_cleanup_text_ Text all = {0};

	for (size_t i = 0; i < plan->refusals.count; i++)
		text_printf(&all, "%s%s", i > 0 ? "; " : "", plan->refusals.lines[i]);
	return error_set(err, -EEXIST, "%s", text_string(&all));
}

int
plan_apply(Sessions *sessions, const Plan *plan, Error *err)
{
	if (plan->refusals.count > 0)
		return refuse(plan, err);
	for (size_t i = 0; i < plan->count; i++)
	{
		int result = run_step(sessions, &plan->steps[i], err);

		if (result < 0)
			return result;
	}
	return 0;
}
