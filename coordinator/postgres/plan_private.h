/* What the parts of the planner share. */
#ifndef POSTGRES_PLAN_PRIVATE_H
#define POSTGRES_PLAN_PRIVATE_H

#include "base/text.h"
#include "postgres/catalog.h"
#include "postgres/plan.h"

/* A role that goes: a user, or a group role that nobody needs any more. */
typedef struct PlanDrop
{
	char *role;
	const char *user; /* whose it is: the set's */
	const char *oid;  /* the catalog's */
	char **databases; /* in which something depends on it; NULL-terminated */
	bool is_shared;	  /* something depends on it that belongs to no database, such as rights to one */
} PlanDrop;

/* A planning that is under way. */
typedef struct Planner
{
	Sessions *sessions;
	PostgresConnection *home;
	const PlanRequest *request;
	const Accounts *wanted;
	const Accounts *made;
	const char *superuser; /* who we are */
	Catalog catalog;
	PlanDrop *drops;
	size_t drop_count;
	size_t drop_capacity;
	Plan plan;
} Planner;

void plan_lines_add(PlanLines *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A new step. It belongs to the plan and is valid until the next one is added. */
PlanStep *plan_add_step(Plan *plan, const char *database, bool transaction);

/* Adds a statement to the step and empties the text. */
PlanStatement *plan_step_add(PlanStep *step, Text *sql);

/*
 * Appends a pattern in which %I is the next argument as an identifier, %L as a literal, and %s as it is. Nothing else
 * is special.
 */
void plan_quote(Planner *planner, Text *sql, const char *pattern, ...);

/* A user of before that is wanted no more. */
bool planner_drops_user(const Planner *planner, const char *name);
bool planner_drops_database(const Planner *planner, const char *name);

/* Who will own the database when the plan is through; NULL: it will not be there. */
const char *planner_owner(const Planner *planner, const char *database);

/* Whether there will be such a role when the plan's roles are made; one that goes is there until the end. */
bool planner_has_role(const Planner *planner, const char *name);

/* plan_roles.c: attributes, passwords, groups, memberships; one step. */
int planner_add_roles(Planner *planner, Error *err) MUST_CHECK;

/* plan_databases.c: those that are made or dropped, and whose they are. */
void planner_create_databases(Planner *planner);
void planner_drop_databases(Planner *planner);
void planner_set_owner(Planner *planner, PlanStep *step, const char *database);

/*
 * One who is granted something in a database: a user, or a user's group role. `wanted` and `made` are the user's
 * accounts, NULL where there is none; `held` is what may be relied on to be there: made, unless all is to be done anew.
 */
typedef struct Grantee
{
	char role[ROLE_NAME_MAX_BYTES + 1];
	bool is_group;
	const Account *wanted;
	const Account *made;
	const Account *held;
} Grantee;

/* A database that is being planned. */
typedef struct AccessPlanner
{
	Planner *planner;
	const char *database;
	PostgresConnection *connection; /* NULL: it is not there yet */
	CatalogSchemas schemas;
	PlanStep *step;
	Grantee *grantees;
	size_t grantee_count;
} AccessPlanner;

/* plan_access.c: a step a database, with what plan_drop.c adds to it. */
int planner_add_access(Planner *planner, Error *err) MUST_CHECK;
/* "SELECT, INSERT" for these bits. */
void access_append_words(Text *sql, RightKind kind, unsigned bits, const char *separator);

/* plan_future.c: default privileges. */
void access_add_future(AccessPlanner *access, const Grantee *grantee);

/* access_drift.c: what was taken or given by hand. */
int access_find_drift(AccessPlanner *access, Error *err) MUST_CHECK;

/* plan_drop.c: looks who owns what, and refuses; then what is done in each database, and last without one. */
int planner_find_drops(Planner *planner, Error *err) MUST_CHECK;
bool planner_drops_in(const Planner *planner, const char *database);
void planner_add_drops_in(Planner *planner, PlanStep *step, const char *database);
void planner_add_drops(Planner *planner);
void planner_clear_drops(Planner *planner);

#endif
