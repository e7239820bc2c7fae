/* Schemas of one database: who makes tables in them, what default privileges there are, and what was granted by name.
 */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "postgres/catalog.h"

#define OWN_SCHEMAS "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

static int
read_names(PostgresConnection *connection, CatalogSchemas *schemas, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(connection, "SELECT n.nspname FROM pg_namespace n WHERE " OWN_SCHEMAS " ORDER BY 1",
								NULL, 0, &rows, err);

	if (result < 0)
		return result;
	schemas->count = (size_t) PQntuples(rows);
	schemas->names = memory_allocate((schemas->count + 1) * sizeof(*schemas->names));
	for (int i = 0; i < PQntuples(rows); i++)
		schemas->names[i] = memory_duplicate(PQgetvalue(rows, i, 0));
	return 0;
}

static int
read_creators(PostgresConnection *connection, CatalogSchemas *schemas, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result =
		postgres_query(connection,
					   "SELECT n.nspname, r.rolname FROM pg_namespace n CROSS JOIN pg_authid r WHERE " OWN_SCHEMAS
					   " AND r.rolname !~ '^pg_' AND has_schema_privilege(r.oid, n.oid, 'CREATE') ORDER BY 1, 2",
					   NULL, 0, &rows, err);

	if (result < 0)
		return result;
	schemas->creator_count = (size_t) PQntuples(rows);
	schemas->creators = memory_allocate((schemas->creator_count + 1) * sizeof(*schemas->creators));
	for (int i = 0; i < PQntuples(rows); i++)
		schemas->creators[i] =
			(CatalogCreator){memory_duplicate(PQgetvalue(rows, i, 0)), memory_duplicate(PQgetvalue(rows, i, 1))};
	return 0;
}

/* The kind whose letter this is in pg_default_acl; RIGHT_KINDS: one that no level knows. */
static RightKind
find_future_kind(char letter)
{
	RightKind kind = 0;

	while (kind < RIGHT_KINDS && right_words[kind].future_kind != letter)
		kind++;
	return kind;
}

static CatalogDefault *
find_default(const CatalogSchemas *schemas, const char *creator, const char *schema, const char *grantee)
{
	for (size_t i = 0; i < schemas->default_count; i++)
	{
		CatalogDefault *row = &schemas->defaults[i];

		if (strcmp(row->creator, creator) == 0 && strcmp(row->schema, schema) == 0 &&
			strcmp(row->grantee, grantee) == 0)
			return row;
	}
	return NULL;
}

static int
read_defaults(PostgresConnection *connection, CatalogSchemas *schemas, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(connection,
								"SELECT pg_get_userbyid(d.defaclrole), coalesce(n.nspname, '" SCHEMA_EVERY
								"'), pg_get_userbyid(a.grantee), d.defaclobjtype, a.privilege_type "
								"FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, "
								"aclexplode(d.defaclacl) a WHERE a.grantee <> 0 AND a.grantee <> d.defaclrole",
								NULL, 0, &rows, err);

	if (result < 0)
		return result;
	schemas->defaults = memory_allocate(((size_t) PQntuples(rows) + 1) * sizeof(*schemas->defaults));
	for (int i = 0; i < PQntuples(rows); i++)
	{
		const char *creator = PQgetvalue(rows, i, 0), *schema = PQgetvalue(rows, i, 1),
				   *grantee = PQgetvalue(rows, i, 2);
		RightKind kind = find_future_kind(*PQgetvalue(rows, i, 3));
		CatalogDefault *row = find_default(schemas, creator, schema, grantee);

		if (kind == RIGHT_KINDS)
			continue;
		if (row == NULL)
		{
			row = &schemas->defaults[schemas->default_count++];
			row->creator = memory_duplicate(creator);
			row->schema = memory_duplicate(schema);
			row->grantee = memory_duplicate(grantee);
		}
		row->rights.of[kind] |= right_find(kind, PQgetvalue(rows, i, 4));
	}
	return 0;
}

static int
read_grants(PostgresConnection *connection, CatalogSchemas *schemas, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(
		connection,
		"SELECT r.rolname, n.nspname, c.relkind = 'S', a.privilege_type, count(*), min(c.relname::text) "
		"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a, pg_authid r "
		"WHERE r.oid = a.grantee AND c.relowner <> a.grantee AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') "
		"AND " OWN_SCHEMAS " AND shobj_description(r.oid, 'pg_authid') LIKE '" ROLE_MARK
		"%' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
		NULL, 0, &rows, err);

	if (result < 0)
		return result;
	schemas->grant_count = (size_t) PQntuples(rows);
	schemas->grants = memory_allocate((schemas->grant_count + 1) * sizeof(*schemas->grants));
	for (int i = 0; i < PQntuples(rows); i++)
	{
		CatalogGrant *grant = &schemas->grants[i];

		grant->grantee = memory_duplicate(PQgetvalue(rows, i, 0));
		grant->schema = memory_duplicate(PQgetvalue(rows, i, 1));
		grant->kind = *PQgetvalue(rows, i, 2) == 't' ? RIGHT_SEQUENCES : RIGHT_TABLES;
		grant->word = memory_duplicate(PQgetvalue(rows, i, 3));
		grant->privilege = right_find(grant->kind, grant->word);
		grant->count = memory_duplicate(PQgetvalue(rows, i, 4));
		grant->example = memory_duplicate(PQgetvalue(rows, i, 5));
	}
	return 0;
}

int
catalog_schemas_read(PostgresConnection *connection, CatalogSchemas *ret_schemas, Error *err)
{
	CatalogSchemas schemas = {0};
	int result = read_names(connection, &schemas, err);

	if (result == 0)
		result = read_creators(connection, &schemas, err);
	if (result == 0)
		result = read_defaults(connection, &schemas, err);
	if (result == 0)
		result = read_grants(connection, &schemas, err);
	if (result < 0)
	{
		catalog_schemas_clear(&schemas);
		return result;
	}
	*ret_schemas = schemas;
	return 0;
}

void
catalog_schemas_clear(CatalogSchemas *schemas)
{
	for (size_t i = 0; i < schemas->creator_count; i++)
	{
		free(schemas->creators[i].schema);
		free(schemas->creators[i].role);
	}
	for (size_t i = 0; i < schemas->default_count; i++)
	{
		free(schemas->defaults[i].creator);
		free(schemas->defaults[i].schema);
		free(schemas->defaults[i].grantee);
	}
	for (size_t i = 0; i < schemas->grant_count; i++)
	{
		free(schemas->grants[i].grantee);
		free(schemas->grants[i].schema);
		free(schemas->grants[i].word);
		free(schemas->grants[i].count);
		free(schemas->grants[i].example);
	}
	memory_free_texts(schemas->names);
	free(schemas->creators);
	free(schemas->defaults);
	free(schemas->grants);
	*schemas = (CatalogSchemas){0};
}

void
catalog_add_schema(CatalogSchemas *schemas, const char *name)
{
	size_t capacity = schemas->names != NULL ? schemas->count + 1 : 0; /* NULL-terminated, as it was read */

	schemas->names = memory_grow(schemas->names, &capacity, schemas->count + 2, sizeof(*schemas->names));
	schemas->names[schemas->count++] = memory_duplicate(name);
	schemas->names[schemas->count] = NULL;
}

bool
catalog_has_schema(const CatalogSchemas *schemas, const char *name)
{
	for (size_t i = 0; i < schemas->count; i++)
	{
		if (strcmp(schemas->names[i], name) == 0)
			return true;
	}
	return false;
}

Rights
catalog_default_rights(const CatalogSchemas *schemas, const char *creator, const char *schema, const char *grantee)
{
	const CatalogDefault *row = find_default(schemas, creator, schema, grantee);

	return row != NULL ? row->rights : (Rights){0};
}
