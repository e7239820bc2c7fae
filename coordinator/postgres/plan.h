/*
 * From what was made before, and what is there now, to what is wanted: a list of statements, grouped by database and
 * transaction. The rule is that of three: what differs between `wanted` and `made` is changed; what is the same in
 * both, but not there, was changed by hand, and is told and left alone (unless it is to be repaired).
 *
 * Every statement may run a second time: a plan that was cut off in the middle is made again and ends what is left.
 */
#ifndef POSTGRES_PLAN_H
#define POSTGRES_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "postgres/accounts.h"
#include "postgres/sessions.h"

typedef struct PlanRequest
{
	const Accounts *wanted;
	const Accounts *made;	   /* NULL: nothing yet */
	const char *label;		   /* whose users they are, "NAMESPACE/CLUSTER": for the comments on the roles */
	bool adopt;				   /* take over roles and databases that are there and that we did not make */
	bool repair;			   /* undo what was changed by hand */
	bool drop_owned;		   /* what users own goes with them */
	bool drop_databases;	   /* databases that are no longer wanted are dropped, and their sessions ended */
	const char *drop_database; /* NULL, or one that is dropped, whether it was made or not, unless it is wanted */
	const char *reassign_to;   /* NULL, or who gets what users own that are dropped */
} PlanRequest;

typedef struct PlanStatement
{
	char *sql;
	char *shown;		 /* NULL, or what people and logs see instead: it holds a verifier */
	char *ends_sessions; /* NULL, or the database that our own connection leaves before it */
} PlanStatement;

typedef struct PlanStep
{
	char *database;	  /* NULL: wherever we are connected */
	bool transaction; /* else each statement on its own, because PostgreSQL has it so */
	PlanStatement *statements;
	size_t count;
	size_t capacity;
} PlanStep;

typedef struct PlanLines
{
	char **lines;
	size_t count;
	size_t capacity;
} PlanLines;

typedef struct Plan
{
	PlanStep *steps;
	size_t count;
	size_t capacity;
	PlanLines refusals; /* what stands against it; when there is one, nothing is applied */
	PlanLines drift;	/* what was changed by hand */
	PlanLines notes;	/* what is worth knowing */
} Plan;

/* Reads the catalogs and plans; changes nothing. Errors: -EINVAL: wanted is wrong in itself; those of sessions_get. */
int plan_make(Sessions *sessions, const PlanRequest *request, Plan *ret_plan, Error *err) MUST_CHECK;
void plan_clear(Plan *plan);
#define _cleanup_plan_ __attribute__((cleanup(plan_clear)))

/* -EEXIST with the refusals, when there are any. */
int plan_check(const Plan *plan, Error *err) MUST_CHECK;

/*
 * Runs it. Errors: those of plan_check; -ECONNRESET and -ETIMEDOUT: how far it came is not known, and it is
 * planned and applied again; -EREMOTEIO: a statement failed, its transaction was rolled back.
 */
int plan_apply(Sessions *sessions, const Plan *plan, Error *err) MUST_CHECK;

#endif
