/* The frame of the planner: the list of steps, the order of its parts, and who owns a database in the end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "postgres/plan_private.h"

void
plan_lines_add(PlanLines *list, const char *format, ...)
{
	va_list arguments;
	char *line = NULL;

	va_start(arguments, format);
	if (vasprintf(&line, format, arguments) < 0)
		abort();
	va_end(arguments);
	list->lines = memory_grow(list->lines, &list->capacity, list->count + 1, sizeof(*list->lines));
	list->lines[list->count++] = line;
}

static void
plan_lines_clear(PlanLines *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->lines[i]);
	free(list->lines);
}

PlanStep *
plan_add_step(Plan *plan, const char *database, bool transaction)
{
	plan->steps = memory_grow(plan->steps, &plan->capacity, plan->count + 1, sizeof(*plan->steps));
	plan->steps[plan->count] =
		(PlanStep){.database = database != NULL ? memory_duplicate(database) : NULL, .transaction = transaction};
	return &plan->steps[plan->count++];
}

PlanStatement *
plan_step_add(PlanStep *step, Text *sql)
{
	step->statements = memory_grow(step->statements, &step->capacity, step->count + 1, sizeof(*step->statements));
	step->statements[step->count] = (PlanStatement){.sql = sql->data};
	*sql = (Text){0};
	return &step->statements[step->count++];
}

void
plan_quote(Planner *planner, Text *sql, const char *pattern, ...)
{
	va_list arguments;

	va_start(arguments, pattern);
	while (*pattern != '\0')
	{
		size_t plain = strcspn(pattern, "%");

		text_append_bytes(sql, pattern, plain);
		pattern += plain;
		if (*pattern == '\0')
			break;
		if (pattern[1] == 'I')
			postgres_append_identifier(planner->home, sql, va_arg(arguments, const char *));
		else if (pattern[1] == 'L')
			postgres_append_literal(planner->home, sql, va_arg(arguments, const char *));
		else
			text_append(sql, va_arg(arguments, const char *));
		pattern += 2;
	}
	va_end(arguments);
}

static void
statement_clear(PlanStatement *statement)
{
	free(statement->sql);
	free(statement->shown);
	free(statement->ends_sessions);
}

static void
step_clear(PlanStep *step)
{
	for (size_t i = 0; i < step->count; i++)
		statement_clear(&step->statements[i]);
	free(step->statements);
	free(step->database);
}

void
plan_clear(Plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		step_clear(&plan->steps[i]);
	free(plan->steps);
	plan_lines_clear(&plan->refusals);
	plan_lines_clear(&plan->drift);
	plan_lines_clear(&plan->notes);
	*plan = (Plan){0};
}

bool
planner_drops_user(const Planner *planner, const char *name)
{
	return accounts_find_user(planner->made, name) != NULL && accounts_find_user(planner->wanted, name) == NULL;
}

bool
planner_drops_database(const Planner *planner, const char *name)
{
	const PlanRequest *request = planner->request;
	bool is_meant = (request->drop_database != NULL && strcmp(request->drop_database, name) == 0) ||
					(request->drop_databases && accounts_find_database(planner->made, name) != NULL);

	/* The one that we are connected to is needed again. */
	return is_meant && accounts_find_database(planner->wanted, name) == NULL &&
		   strcmp(name, postgres_database(planner->home)) != 0;
}

bool
planner_has_role(const Planner *planner, const char *name)
{
	const Account *wanted = accounts_find_user(planner->wanted, name);

	if (catalog_find_role(&planner->catalog, name) != NULL)
		return true;
	return wanted != NULL &&
		   (accounts_find_user(planner->made, name) == NULL || planner->request->repair || wanted->set_password);
}

const char *
planner_owner(const Planner *planner, const char *database)
{
	const CatalogDatabase *there = catalog_find_database(&planner->catalog, database);
	const char *wanted = accounts_owner(planner->wanted, database);
	const char *made = accounts_owner(planner->made, database);

	if (planner_drops_database(planner, database))
		return NULL;
	if (wanted != NULL)
		return wanted;
	return made != NULL && (there == NULL || strcmp(there->owner, made) == 0) ? planner->superuser
		   : there != NULL													  ? there->owner
																			  : planner->superuser;
}

static bool
can_be_one(const PlanStep *first, const PlanStep *second)
{
	return first->transaction && second->transaction &&
		   (first->database == NULL || second->database == NULL || strcmp(first->database, second->database) == 0);
}

/* Moves the second's statements behind the first's, and its database where that has none. */
static void
step_append(PlanStep *first, PlanStep *second)
{
	first->statements =
		memory_grow(first->statements, &first->capacity, first->count + second->count, sizeof(*first->statements));
	memcpy(first->statements + first->count, second->statements, second->count * sizeof(*second->statements));
	first->count += second->count;
	second->count = 0;
	if (first->database == NULL)
		first->database = steal_pointer(&second->database);
	step_clear(second);
}

/* Steps that follow each other and can be one transaction are one: all that happens in a single database, and the roles
 * with it. */
static void
merge_steps(Plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++)
	{
		PlanStep step = plan->steps[i];

		if (step.count == 0)
			step_clear(&step);
		else if (kept > 0 && can_be_one(&plan->steps[kept - 1], &step))
			step_append(&plan->steps[kept - 1], &step);
		else
			plan->steps[kept++] = step;
	}
	plan->count = kept;
}

/* Owners who are neither users of the set nor on the server. */
static void
check_owners(Planner *planner)
{
	for (size_t i = 0; i < planner->wanted->database_count; i++)
	{
		const AccountDatabase *database = &planner->wanted->databases[i];

		if (database->owner != NULL && accounts_find_user(planner->wanted, database->owner) == NULL &&
			(catalog_find_role(&planner->catalog, database->owner) == NULL ||
			 planner_drops_user(planner, database->owner)))
			plan_lines_add(&planner->plan.refusals, "database \"%s\": its owner \"%s\" is no user of this cluster",
						   database->name, database->owner);
	}
}

/* The order matters: roles before what they own and get, everything in databases before roles are dropped. */
static int
plan_parts(Planner *planner, Error *err)
{
	int result = catalog_read(planner->home, &planner->catalog, err);

	if (result < 0)
		return result;
	check_owners(planner);
	result = planner_add_roles(planner, err);
	if (result < 0)
		return result;
	planner_create_databases(planner);
	result = planner_find_drops(planner, err);
	if (result == 0)
		result = planner_add_access(planner, err);
	if (result < 0)
		return result;
	planner_drop_databases(planner);
	planner_add_drops(planner);
	return 0;
}

int
plan_make(Sessions *sessions, const PlanRequest *request, Plan *ret_plan, Error *err)
{
	static const Accounts nothing;
	Planner planner = {.sessions = sessions,
					   .request = request,
					   .wanted = request->wanted,
					   .made = request->made != NULL ? request->made : &nothing};
	int result = accounts_check(request->wanted, err);

	if (result == 0)
		result = sessions_get(sessions, NULL, &planner.home, err);
	if (result == 0)
	{
		planner.superuser = postgres_user(planner.home);
		result = plan_parts(&planner, err);
	}
	planner_clear_drops(&planner);
	catalog_clear(&planner.catalog);
	if (result < 0)
	{
		plan_clear(&planner.plan);
		return result;
	}
	merge_steps(&planner.plan);
	*ret_plan = planner.plan;
	return 0;
}
