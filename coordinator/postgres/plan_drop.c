/*
 * Roles that go. One that owns things is refused, with a list of them, unless it is said what shall become of them. All
 * else that depends on it, rights and default privileges, goes by DROP OWNED in each database, and then the role
 * itself.
 */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "postgres/plan_private.h"

#define LISTED_MAX 10
/* A sentence has an end: with long names it lists fewer. */
#define LISTED_BYTES 400

/* Things that a role owns, as far as they stand in the way. */
typedef struct Owned
{
	Text names;
	size_t count;
	size_t listed;
	const char *database; /* of the last name */
} Owned;

static void
owned_add(Owned *owned, const char *database, const char *what)
{
	owned->count++;
	if (owned->listed == LISTED_MAX || (owned->listed > 0 && owned->names.length + strlen(what) > LISTED_BYTES))
		return;
	text_append(&owned->names, owned->listed++ > 0 ? ", " : "");
	if (database != NULL && (owned->database == NULL || strcmp(owned->database, database) != 0))
		text_printf(&owned->names, "in database \"%s\" ", database);
	owned->database = database;
	text_append(&owned->names, what);
}

/* Default privileges are "owned" in pg_shdepend, too, but are nothing that could be lost. */
static int
find_owned_in(Planner *planner, const PlanDrop *drop, const char *database, Owned *owned, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	PostgresConnection *connection;
	int result = sessions_get(planner->sessions, database, &connection, err);

	if (result == 0)
		result = postgres_query(connection,
								"SELECT i.type || ' ' || i.identity FROM pg_shdepend d, "
								"LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i "
								"WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
								"AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::oid AND d.deptype = 'o' "
								"AND d.classid <> 'pg_default_acl'::regclass ORDER BY 1",
								(const char *const[]){drop->oid}, 1, &rows, err);
	for (int i = 0; result == 0 && i < PQntuples(rows); i++)
		owned_add(owned, database, PQgetvalue(rows, i, 0));
	return result;
}

/* Databases and tablespaces. A database that gets another owner, or goes, is nothing. */
static int
find_owned_shared(Planner *planner, const PlanDrop *drop, Owned *owned, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(planner->home,
								"SELECT pg_describe_object(d.classid, d.objid, 0), b.datname FROM pg_shdepend d "
								"LEFT JOIN pg_database b ON b.oid = d.objid AND d.classid = 'pg_database'::regclass "
								"WHERE d.dbid = 0 AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::oid "
								"AND d.deptype = 'o' ORDER BY 1",
								(const char *const[]){drop->oid}, 1, &rows, err);

	for (int i = 0; result == 0 && i < PQntuples(rows); i++)
	{
		const char *database = PQgetisnull(rows, i, 1) ? NULL : PQgetvalue(rows, i, 1);
		const char *owner = database != NULL ? planner_owner(planner, database) : drop->role;

		if (owner != NULL && strcmp(owner, drop->role) == 0)
			owned_add(owned, NULL, PQgetvalue(rows, i, 0));
	}
	return result;
}

static void
refuse_owned(Planner *planner, const PlanDrop *drop, const Owned *owned, const char *way_out)
{
	_cleanup_text_ Text more = {0};

	if (owned->count > owned->listed)
		text_printf(&more, ", and %zu more", owned->count - owned->listed);
	plan_lines_add(&planner->plan.refusals, "user \"%s\" owns %zu thing%s: %s%s; %s", drop->role, owned->count,
				   owned->count == 1 ? "" : "s", text_string(&owned->names), text_string(&more), way_out);
}

/* A word of a shell's command. */
static void
append_word(Text *text, const char *word)
{
	if (word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")] == '\0')
	{
		text_printf(text, " %s", word);
		return;
	}
	text_append(text, " '");
	for (const char *c = word; *c != '\0'; c++)
	{
		if (*c == '\'')
			text_append(text, "'\\'");
		text_append_bytes(text, c, 1);
	}
	text_append(text, "'");
}

/* The command that drops the user nevertheless. The label is "NAMESPACE/CLUSTER". */
static void
append_way_out(const Planner *planner, const PlanDrop *drop, Text *text)
{
	const char *label = planner->request->label;
	const char *cluster = strchr(label, '/');

	text_printf(text, "lttle postgres user drop %s", cluster + 1);
	append_word(text, drop->user);
	text_printf(text,
				" --ns %.*s --reassign-to USER gives it all to another user, "
				"with --drop-owned what databases hold goes, too",
				(int) (cluster - label), label);
}

static int
check_owned(Planner *planner, const PlanDrop *drop, Error *err)
{
	_cleanup_text_ Text way_out = {0};
	Owned owned = {0};
	int result = 0;

	if (planner->request->reassign_to == NULL)
		result = find_owned_shared(planner, drop, &owned, err);
	if (result == 0 && planner->request->drop_owned && owned.count > 0)
		refuse_owned(planner, drop, &owned,
					 "no database is dropped in passing: drop it first, or give it to another user");
	for (size_t i = 0; result == 0 && planner->request->reassign_to == NULL && !planner->request->drop_owned &&
					   drop->databases[i] != NULL;
		 i++)
	{
		if (!planner_drops_database(planner, drop->databases[i]))
			result = find_owned_in(planner, drop, drop->databases[i], &owned, err);
	}
	if (result == 0 && owned.count > 0 && !planner->request->drop_owned)
	{
		append_way_out(planner, drop, &way_out);
		refuse_owned(planner, drop, &owned, text_string(&way_out));
	}
	text_clear(&owned.names);
	return result;
}

/* In which databases something depends on the role. */
static int
find_dependents(Planner *planner, PlanDrop *drop, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result =
		postgres_query(planner->home,
					   "SELECT DISTINCT b.datname FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid "
					   "WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::oid ORDER BY 1",
					   (const char *const[]){drop->oid}, 1, &rows, err);
	size_t count = 0;

	if (result < 0)
		return result;
	drop->databases = memory_allocate(((size_t) PQntuples(rows) + 1) * sizeof(*drop->databases));
	for (int i = 0; i < PQntuples(rows); i++)
	{
		if (PQgetisnull(rows, i, 0))
			drop->is_shared = true;
		else
			drop->databases[count++] = memory_duplicate(PQgetvalue(rows, i, 0));
	}
	return 0;
}

/* user: whose role it is, its own or that of its group. */
static int
add_drop(Planner *planner, const char *name, const char *user, Error *err)
{
	const CatalogRole *role = catalog_find_role(&planner->catalog, name);
	PlanDrop *drop;
	int result;

	if (role == NULL)
		return 0;
	planner->drops =
		memory_grow(planner->drops, &planner->drop_capacity, planner->drop_count + 1, sizeof(*planner->drops));
	drop = &planner->drops[planner->drop_count++];
	drop->role = memory_duplicate(name);
	drop->user = user;
	drop->oid = role->oid;
	result = find_dependents(planner, drop, err);
	return result < 0 ? result : check_owned(planner, drop, err);
}

static void
check_heir(Planner *planner)
{
	const char *heir = planner->request->reassign_to;

	if (heir == NULL)
		return;
	if (planner_drops_user(planner, heir) || !planner_has_role(planner, heir))
		plan_lines_add(&planner->plan.refusals, "there is no user \"%s\" who could be given anything", heir);
}

int
planner_find_drops(Planner *planner, Error *err)
{
	check_heir(planner);
	for (size_t i = 0; i < planner->made->user_count; i++)
	{
		const Account *made = &planner->made->users[i];
		const Account *wanted = accounts_find_user(planner->wanted, made->name);
		char group[ROLE_NAME_MAX_BYTES + 1];
		int result = 0;

		account_group_name(made->name, group);
		if (wanted == NULL)
			result = add_drop(planner, made->name, made->name, err);
		if (result == 0 && account_has_level(made, ACCESS_METADATA) &&
			(wanted == NULL || !account_has_level(wanted, ACCESS_METADATA)))
			result = add_drop(planner, group, made->name, err);
		if (result < 0)
			return result;
	}
	return 0;
}

static bool
depends_in(const PlanDrop *drop, const char *database)
{
	for (char **name = drop->databases; *name != NULL; name++)
	{
		if (strcmp(*name, database) == 0)
			return true;
	}
	return false;
}

bool
planner_drops_in(const Planner *planner, const char *database)
{
	for (size_t i = 0; i < planner->drop_count; i++)
	{
		if (depends_in(&planner->drops[i], database))
			return true;
	}
	return false;
}

/* Between the look and the drop the user may have made a table: then nothing is dropped. */
static void
add_guard(Planner *planner, PlanStep *step, const PlanDrop *drop)
{
	Text sql = {0};

	plan_quote(planner, &sql,
			   "DO $guard$BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_authid'::regclass "
			   "AND refobjid = %s AND deptype = 'o' AND classid <> 'pg_default_acl'::regclass AND dbid = "
			   "(SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())) THEN "
			   "RAISE EXCEPTION 'a user that was to be dropped has just made something'; END IF; END$guard$",
			   drop->oid);
	plan_step_add(step, &sql);
}

static void
add_drop_owned(Planner *planner, PlanStep *step, const PlanDrop *drop)
{
	const PlanRequest *request = planner->request;
	Text sql = {0};

	if (request->reassign_to != NULL)
	{
		plan_quote(planner, &sql, "REASSIGN OWNED BY %I TO %I", drop->role, request->reassign_to);
		plan_step_add(step, &sql);
	}
	else if (!request->drop_owned)
		add_guard(planner, step, drop);
	plan_quote(planner, &sql, "DROP OWNED BY %I", drop->role);
	plan_step_add(step, &sql);
}

void
planner_add_drops_in(Planner *planner, PlanStep *step, const char *database)
{
	for (size_t i = 0; i < planner->drop_count; i++)
	{
		if (depends_in(&planner->drops[i], database))
			add_drop_owned(planner, step, &planner->drops[i]);
	}
}

/* A session that is open would go on with a role that is no more. */
static void
add_role_drop(Planner *planner, PlanStep *step, const PlanDrop *drop)
{
	Text sql = {0};

	plan_quote(planner, &sql, "DROP ROLE %I", drop->role);
	plan_step_add(step, &sql);
	plan_quote(planner, &sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = %s", drop->oid);
	plan_step_add(step, &sql);
}

/* Whether something depends on it in a database that stays. */
static bool
depends_anywhere(const Planner *planner, const PlanDrop *drop)
{
	for (char **name = drop->databases; *name != NULL; name++)
	{
		if (!planner_drops_database(planner, *name))
			return true;
	}
	return false;
}

void
planner_add_drops(Planner *planner)
{
	PlanStep *step = plan_add_step(&planner->plan, NULL, true);

	for (size_t i = 0; i < planner->drop_count; i++)
	{
		/* Rights to databases: DROP OWNED takes them wherever it runs, and it may not have run yet. */
		if (planner->drops[i].is_shared && !depends_anywhere(planner, &planner->drops[i]))
			add_drop_owned(planner, step, &planner->drops[i]);
	}
	for (size_t i = 0; i < planner->drop_count; i++)
		add_role_drop(planner, step, &planner->drops[i]);
}

void
planner_clear_drops(Planner *planner)
{
	for (size_t i = 0; i < planner->drop_count; i++)
	{
		free(planner->drops[i].role);
		memory_free_texts(planner->drops[i].databases);
	}
	free(planner->drops);
	planner->drops = NULL;
	planner->drop_count = 0;
}
