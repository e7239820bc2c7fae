/*
 * What users may do in each database: the right to connect, and rights to its schemas and to what is in them. A right
 * is granted when it is wanted and was not made before, and revoked when it is the other way round.
 */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "postgres/plan_private.h"

/* Tables whose rights are taken back by one statement. */
#define REVOKE_BATCH 100

void
access_append_words(Text *sql, RightKind kind, unsigned bits, const char *separator)
{
	bool first = true;

	for (unsigned i = 0; right_words[kind].privileges[i] != NULL; i++)
	{
		if ((bits & (1U << i)) == 0)
			continue;
		text_printf(sql, "%s%s", first ? "" : separator, right_words[kind].privileges[i]);
		first = false;
	}
}

/* The user itself and its group, where it has to do with this database and both will be there. */
static void
add_grantee(AccessPlanner *access, const char *user, bool is_group)
{
	const Planner *planner = access->planner;
	Grantee grantee = {.is_group = is_group,
					   .wanted = accounts_find_user(planner->wanted, user),
					   .made = accounts_find_user(planner->made, user)};
	bool is_kept = grantee.wanted != NULL && (!is_group || account_has_level(grantee.wanted, ACCESS_METADATA));

	/* What goes loses everything by DROP OWNED. */
	if (!is_kept || !planner_has_role(planner, user) ||
		(!account_uses(grantee.wanted, access->database, is_group) &&
		 !account_uses(grantee.made, access->database, is_group)))
		return;
	if (is_group)
		account_group_name(user, grantee.role);
	else
		text_copy(grantee.role, sizeof(grantee.role), user);
	if (access->connection != NULL && !planner->request->repair &&
		catalog_find_role(&planner->catalog, grantee.role) != NULL)
		grantee.held = grantee.made;
	access->grantees[access->grantee_count++] = grantee;
}

static void
find_grantees(AccessPlanner *access)
{
	const Accounts *wanted = access->planner->wanted;

	access->grantees = memory_allocate((2 * wanted->user_count + 1) * sizeof(*access->grantees));
	for (size_t i = 0; i < wanted->user_count; i++)
	{
		add_grantee(access, wanted->users[i].name, false);
		add_grantee(access, wanted->users[i].name, true);
	}
}

static void
add_connect(AccessPlanner *access, const Grantee *grantee)
{
	bool wanted = account_uses(grantee->wanted, access->database, grantee->is_group);
	bool held = account_uses(grantee->held, access->database, grantee->is_group);
	bool made = account_uses(grantee->made, access->database, grantee->is_group);
	const char *owner = planner_owner(access->planner, access->database);
	Text sql = {0};

	if ((wanted && held) || (!wanted && !made) || (owner != NULL && strcmp(owner, grantee->role) == 0))
		return;
	plan_quote(access->planner, &sql,
			   wanted ? "GRANT CONNECT ON DATABASE %I TO %I" : "REVOKE CONNECT ON DATABASE %I FROM %I",
			   access->database, grantee->role);
	plan_step_add(access->step, &sql);
}

static void
add_grant(AccessPlanner *access, const Grantee *grantee, const char *schema, RightKind kind, unsigned bits)
{
	static const char *const patterns[] = {[RIGHT_SCHEMA] = " ON SCHEMA %I TO %I",
										   [RIGHT_TABLES] = " ON ALL TABLES IN SCHEMA %I TO %I",
										   [RIGHT_SEQUENCES] = " ON ALL SEQUENCES IN SCHEMA %I TO %I"};
	Text sql = {0};

	if (bits == 0)
		return;
	text_append(&sql, "GRANT ");
	access_append_words(&sql, kind, bits, ", ");
	plan_quote(access->planner, &sql, patterns[kind], schema, grantee->role);
	plan_step_add(access->step, &sql);
}

/*
 * Takes rights back, table by table: "ALL TABLES IN SCHEMA" would also take an owner's own rights to what is the
 * grantee's own.
 */
static int
revoke_each(AccessPlanner *access, const Grantee *grantee, const char *schema, RightKind kind, unsigned bits,
			Error *err)
{
	const char *const parameters[] = {schema, grantee->role, kind == RIGHT_SEQUENCES ? "t" : "f"};
	_cleanup_result_ PGresult *rows = NULL;
	int result =
		postgres_query(access->connection,
					   "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_authid r "
					   "WHERE n.nspname = $1 "
					   "AND r.rolname = $2 AND c.relowner <> r.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') "
					   "AND (c.relkind = 'S') = $3::bool AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE "
					   "a.grantee = r.oid) ORDER BY 1",
					   parameters, 3, &rows, err);

	if (result < 0)
		return result;
	for (int i = 0; i < PQntuples(rows);)
	{
		int end = i + REVOKE_BATCH < PQntuples(rows) ? i + REVOKE_BATCH : PQntuples(rows);
		Text sql = {0};

		text_append(&sql, "REVOKE ");
		access_append_words(&sql, kind, bits, ", ");
		text_append(&sql, kind == RIGHT_SEQUENCES ? " ON SEQUENCE " : " ON TABLE ");
		for (int first = i; i < end; i++)
			plan_quote(access->planner, &sql, i > first ? ", %I.%I" : "%I.%I", schema, PQgetvalue(rows, i, 0));
		plan_quote(access->planner, &sql, " FROM %I", grantee->role);
		plan_step_add(access->step, &sql);
	}
	return 0;
}

static int
add_revoke(AccessPlanner *access, const Grantee *grantee, const char *schema, RightKind kind, unsigned bits, Error *err)
{
	Text sql = {0};

	if (bits == 0)
		return 0;
	if (kind != RIGHT_SCHEMA)
		return revoke_each(access, grantee, schema, kind, bits, err);
	text_append(&sql, "REVOKE ");
	access_append_words(&sql, kind, bits, ", ");
	plan_quote(access->planner, &sql, " ON SCHEMA %I FROM %I", schema, grantee->role);
	plan_step_add(access->step, &sql);
	return 0;
}

static int
add_rights(AccessPlanner *access, const Grantee *grantee, Error *err)
{
	for (size_t i = 0; i < access->schemas.count; i++)
	{
		const char *schema = access->schemas.names[i];
		Rights wanted = account_rights(grantee->wanted, access->database, schema, grantee->is_group);
		Rights held = account_rights(grantee->held, access->database, schema, grantee->is_group);
		Rights made = account_rights(grantee->made, access->database, schema, grantee->is_group);

		for (RightKind kind = 0; kind < RIGHT_KINDS; kind++)
		{
			int result = 0;

			add_grant(access, grantee, schema, kind, wanted.of[kind] & ~held.of[kind]);
			if (access->connection != NULL)
				result = add_revoke(access, grantee, schema, kind, made.of[kind] & ~wanted.of[kind], err);
			if (result < 0)
				return result;
		}
	}
	return 0;
}

/* A schema that is named and not there is made, so that what comes into it later is covered. It follows the database's
 * owner, whoever that is. */
static void
add_schemas(AccessPlanner *access, const Grantee *grantee)
{
	for (size_t i = 0; i < grantee->wanted->access_count; i++)
	{
		const AccountAccess *entry = &grantee->wanted->access[i];
		Text sql = {0};

		if (strcmp(entry->database, access->database) != 0 || entry->level == ACCESS_OWNER ||
			(entry->level == ACCESS_METADATA) != grantee->is_group || strcmp(entry->schema, SCHEMA_EVERY) == 0 ||
			catalog_has_schema(&access->schemas, entry->schema))
			continue;
		if (account_names_scope(grantee->held, access->database, entry->schema, grantee->is_group))
		{
			plan_lines_add(&access->planner->plan.drift, "database \"%s\": schema \"%s\" was dropped", access->database,
						   entry->schema);
			continue;
		}
		plan_quote(access->planner, &sql, "CREATE SCHEMA %I AUTHORIZATION pg_database_owner", entry->schema);
		plan_step_add(access->step, &sql);
		catalog_add_schema(&access->schemas, entry->schema);
	}
}

static int
plan_database(AccessPlanner *access, Error *err)
{
	Planner *planner = access->planner;
	int result = 0;

	planner_set_owner(planner, access->step, access->database);
	if (access->connection != NULL)
		result = catalog_schemas_read(access->connection, &access->schemas, err);
	else
		catalog_add_schema(&access->schemas, "public"); /* what template1 gives to a new database */
	if (result < 0)
		return result;
	find_grantees(access);
	for (size_t i = 0; i < access->grantee_count; i++)
		add_schemas(access, &access->grantees[i]);
	for (size_t i = 0; i < access->grantee_count; i++)
	{
		add_connect(access, &access->grantees[i]);
		result = add_rights(access, &access->grantees[i], err);
		if (result < 0)
			return result;
		access_add_future(access, &access->grantees[i]);
	}
	if (access->connection != NULL && !planner->request->repair)
		result = access_find_drift(access, err);
	return result;
}

static int
add_database(Planner *planner, const char *database, bool is_there, Error *err)
{
	AccessPlanner access = {
		.planner = planner, .database = database, .step = plan_add_step(&planner->plan, database, true)};
	int result = is_there ? sessions_get(planner->sessions, database, &access.connection, err) : 0;

	if (result == 0)
		result = plan_database(&access, err);
	if (result == 0 && is_there)
		planner_add_drops_in(planner, access.step, database);
	free(access.grantees);
	catalog_schemas_clear(&access.schemas);
	return result;
}

int
planner_add_access(Planner *planner, Error *err)
{
	for (size_t i = 0; i < planner->catalog.database_count; i++)
	{
		const char *name = planner->catalog.databases[i].name;
		int result = 0;

		if (planner_drops_database(planner, name))
			continue;
		if (accounts_find_database(planner->wanted, name) != NULL ||
			accounts_find_database(planner->made, name) != NULL || planner_drops_in(planner, name))
			result = add_database(planner, name, true, err);
		if (result < 0)
			return result;
	}
	for (size_t i = 0; i < planner->wanted->database_count; i++)
	{
		const char *name = planner->wanted->databases[i].name;
		int result = 0;

		if (catalog_find_database(&planner->catalog, name) == NULL &&
			(accounts_find_database(planner->made, name) == NULL || planner->request->repair))
			result = add_database(planner, name, false, err);
		if (result < 0)
			return result;
	}
	return 0;
}
