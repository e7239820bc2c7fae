/* Runs the steps of a plan, each transaction whole or not at all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "postgres/password.h"
#include "postgres/plan.h"

static int
run_statement(PostgresConnection *connection, const PlanStatement *statement, Error *err)
{
	char shown[200];
	int result;

	if (statement->shown != NULL)
		result = password_execute(connection, statement->sql, err);
	else
		result = postgres_execute(connection, statement->sql, err);
	if (result == 0)
		return 0;
	text_copy(shown, sizeof(shown), statement->shown != NULL ? statement->shown : statement->sql);
	return error_prefix(err, "%s", shown);
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

int
plan_check(const Plan *plan, Error *err)
{
	_cleanup_text_ Text all = {0};

	if (plan->refusals.count == 0)
		return 0;
	for (size_t i = 0; i < plan->refusals.count; i++)
		text_printf(&all, "%s%s", i > 0 ? "; " : "", plan->refusals.lines[i]);
	return error_set(err, -EEXIST, "%s", text_string(&all));
}

int
plan_apply(Sessions *sessions, const Plan *plan, Error *err)
{
	int result = plan_check(plan, err);

	for (size_t i = 0; result == 0 && i < plan->count; i++)
		result = run_step(sessions, &plan->steps[i], err);
	return result;
}
