/* Databases: made, given to another owner, dropped. Making and dropping one cannot be part of a transaction. */
#include <string.h>

#include "postgres/plan_private.h"

static bool
is_new(const Planner *planner, const AccountDatabase *database)
{
	return catalog_find_database(&planner->catalog, database->name) == NULL;
}

void
planner_create_databases(Planner *planner)
{
	PlanStep *step = plan_add_step(&planner->plan, NULL, false);
	Text sql = {0};

	for (size_t i = 0; i < planner->wanted->database_count; i++)
	{
		const AccountDatabase *database = &planner->wanted->databases[i];

		if (!is_new(planner, database))
			continue;
		if (accounts_find_database(planner->made, database->name) != NULL && !planner->request->repair)
		{
			plan_lines_add(&planner->plan.drift, "database \"%s\" was dropped", database->name);
			continue;
		}
		plan_quote(planner, &sql, "CREATE DATABASE %I OWNER %I", database->name,
				   planner_owner(planner, database->name));
		plan_step_add(step, &sql);
	}
}

/*
 * A database that is there is taken as it is when it belongs to the superuser or to whom it shall; one of somebody else
 * only when we made it, or are told to.
 */
void
planner_set_owner(Planner *planner, PlanStep *step, const char *database)
{
	const CatalogDatabase *there = catalog_find_database(&planner->catalog, database);
	const char *wanted = accounts_owner(planner->wanted, database), *made = accounts_owner(planner->made, database);
	const char *owner = planner_owner(planner, database);
	Text sql = {0};

	if (there == NULL || owner == NULL || strcmp(there->owner, owner) == 0)
		return;
	if (wanted != NULL && made != NULL && strcmp(wanted, made) == 0 && !planner->request->repair)
	{
		plan_lines_add(&planner->plan.drift, "database \"%s\" was given to \"%s\"", database, there->owner);
		return;
	}
	if (made == NULL && strcmp(there->owner, planner->superuser) != 0 && !planner->request->adopt &&
		!planner_drops_user(planner, there->owner))
	{
		plan_lines_add(&planner->plan.refusals,
					   "database \"%s\" is there already, and belongs to \"%s\": take it over with `lttle postgres "
					   "user edit --adopt`",
					   database, there->owner);
		return;
	}
	plan_quote(planner, &sql, "ALTER DATABASE %I OWNER TO %I", database, owner);
	plan_step_add(step, &sql);
}

void
planner_drop_databases(Planner *planner)
{
	PlanStep *step = plan_add_step(&planner->plan, NULL, false);
	Text sql = {0};

	for (size_t i = 0; i < planner->catalog.database_count; i++)
	{
		const char *name = planner->catalog.databases[i].name;

		if (planner_drops_database(planner, name))
		{
			plan_quote(planner, &sql, "DROP DATABASE IF EXISTS %I WITH (FORCE)", name);
			plan_step_add(step, &sql)->ends_sessions = memory_duplicate(name);
		}
		else if (accounts_find_database(planner->made, name) != NULL &&
				 accounts_find_database(planner->wanted, name) == NULL)
			plan_lines_add(&planner->plan.notes,
						   "database \"%s\" is not wanted any more, but keeps its data until it is dropped", name);
	}
}
