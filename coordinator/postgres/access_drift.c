/* What somebody took from users, or gave them, by hand: it is told, for a person to decide about. */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "postgres/plan_private.h"

static const char *const kind_words[] = {
	[RIGHT_SCHEMA] = "schema", [RIGHT_TABLES] = "tables", [RIGHT_SEQUENCES] = "sequences"};

/* CASE: has_sequence_privilege is an error for what is no sequence, and WHERE promises no order. */
static const char missing_query[] =
	"SELECT kind, privilege, count(*), min(what) FROM ("
	"SELECT 0 AS kind, p AS privilege, n.nspname::text AS what FROM pg_namespace n, unnest($3::text[]) p "
	"WHERE n.nspname = $2 AND NOT has_schema_privilege($1::name, n.oid, p) "
	"UNION ALL SELECT 1, p, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, "
	"unnest($4::text[]) p "
	"WHERE n.nspname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT has_table_privilege($1::name, c.oid, p) "
	"UNION ALL SELECT 2, p, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, "
	"unnest($5::text[]) p "
	"WHERE n.nspname = $2 AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege($1::name, c.oid, p) ELSE false "
	"END"
	") missing GROUP BY 1, 2 ORDER BY 1, 2";

/* The rights that were made and are wanted still. */
static Rights
rights_in_both(const AccessPlanner *access, const Grantee *grantee, const char *schema)
{
	Rights rights = account_rights(grantee->wanted, access->database, schema, grantee->is_group);
	Rights held = account_rights(grantee->held, access->database, schema, grantee->is_group);

	for (RightKind kind = 0; kind < RIGHT_KINDS; kind++)
		rights.of[kind] &= held.of[kind];
	return rights;
}

static int
tell_missing(AccessPlanner *access, const Grantee *grantee, const char *schema, Error *err)
{
	Rights rights = rights_in_both(access, grantee, schema);
	const char *parameters[2 + RIGHT_KINDS] = {grantee->role, schema};
	Text words[RIGHT_KINDS] = {0};
	_cleanup_result_ PGresult *rows = NULL;
	int result;

	if (rights.of[RIGHT_SCHEMA] == 0)
		return 0;
	for (RightKind kind = 0; kind < RIGHT_KINDS; kind++)
	{
		text_append(&words[kind], "{");
		access_append_words(&words[kind], kind, rights.of[kind], ",");
		text_append(&words[kind], "}");
		parameters[2 + kind] = text_string(&words[kind]);
	}
	result = postgres_query(access->connection, missing_query, parameters, 2 + RIGHT_KINDS, &rows, err);
	for (RightKind kind = 0; kind < RIGHT_KINDS; kind++)
		text_clear(&words[kind]);
	for (int i = 0; result == 0 && i < PQntuples(rows); i++)
	{
		RightKind kind = (RightKind) (*PQgetvalue(rows, i, 0) - '0');

		if (kind == RIGHT_SCHEMA)
			plan_lines_add(&access->planner->plan.drift, "database \"%s\": \"%s\" has lost %s on schema \"%s\"",
						   access->database, grantee->role, PQgetvalue(rows, i, 1), schema);
		else
			plan_lines_add(&access->planner->plan.drift,
						   "database \"%s\": \"%s\" has no %s on %s of the %s in schema \"%s\", such as \"%s\"",
						   access->database, grantee->role, PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2),
						   kind_words[kind], schema, PQgetvalue(rows, i, 3));
	}
	return result;
}

static bool
is_expected(const AccessPlanner *access, const Grantee *grantee, const CatalogGrant *grant)
{
	Rights wanted = account_rights(grantee->wanted, access->database, grant->schema, grantee->is_group);
	Rights made = account_rights(grantee->made, access->database, grant->schema, grantee->is_group);

	return ((wanted.of[grant->kind] | made.of[grant->kind]) & grant->privilege) != 0;
}

static void
tell_more(AccessPlanner *access, const Grantee *grantee)
{
	for (size_t i = 0; i < access->schemas.grant_count; i++)
	{
		const CatalogGrant *grant = &access->schemas.grants[i];

		if (strcmp(grant->grantee, grantee->role) == 0 && !is_expected(access, grantee, grant))
			plan_lines_add(&access->planner->plan.drift,
						   "database \"%s\": \"%s\" was given %s on %s of the %s in schema \"%s\", such as \"%s\"",
						   access->database, grantee->role, grant->word, grant->count, kind_words[grant->kind],
						   grant->schema, grant->example);
	}
}

int
access_find_drift(AccessPlanner *access, Error *err)
{
	for (size_t i = 0; i < access->grantee_count; i++)
	{
		const Grantee *grantee = &access->grantees[i];

		for (size_t j = 0; grantee->held != NULL && j < access->schemas.count; j++)
		{
			int result = tell_missing(access, grantee, access->schemas.names[j], err);

			if (result < 0)
				return result;
		}
		if (grantee->held != NULL)
			tell_more(access, grantee);
	}
	return 0;
}
