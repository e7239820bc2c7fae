/* Roles, memberships and databases of a server. */
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "postgres/catalog.h"
#include "postgres/password.h"

static char *
copy_field(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : memory_duplicate(PQgetvalue(rows, row, column));
}

/* Whether the verifier is another one than the mark remembers ("…; password 0123456789abcdef"). */
static bool
is_other_password(const char *mark, const char *verifier)
{
	char fingerprint[PASSWORD_FINGERPRINT_BYTES];
	const char *word = strstr(mark, "password ");

	if (word == NULL)
		return false;
	if (verifier == NULL)
		return true;
	password_fingerprint(verifier, fingerprint);
	return strncmp(word + strlen("password "), fingerprint, strlen(fingerprint)) != 0;
}

static int
read_roles(PostgresConnection *connection, Catalog *catalog, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(connection,
								"SELECT rolname, oid, shobj_description(oid, 'pg_authid'), rolpassword, rolsuper, "
								"rolcreatedb, rolcreaterole, rolinherit, rolcanlogin, rolreplication, rolbypassrls "
								"FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY rolname",
								NULL, 0, &rows, err);

	if (result < 0)
		return result;
	catalog->role_count = (size_t) PQntuples(rows);
	catalog->roles = memory_allocate((catalog->role_count + 1) * sizeof(*catalog->roles));
	for (int i = 0; i < PQntuples(rows); i++)
	{
		CatalogRole *role = &catalog->roles[i];

		role->name = copy_field(rows, i, 0);
		role->oid = copy_field(rows, i, 1);
		role->comment = copy_field(rows, i, 2);
		for (int bit = 0; bit < POSTGRES_ROLE_COUNT; bit++)
			role->attributes |= *PQgetvalue(rows, i, 4 + bit) == 't' ? 1U << bit : 0;
		role->ours = role->comment != NULL && strncmp(role->comment, ROLE_MARK, strlen(ROLE_MARK)) == 0;
		role->other_password =
			role->ours && is_other_password(role->comment, PQgetisnull(rows, i, 3) ? NULL : PQgetvalue(rows, i, 3));
	}
	return 0;
}

static int
read_memberships(PostgresConnection *connection, Catalog *catalog, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(
		connection,
		"SELECT DISTINCT g.rolname, m.rolname FROM pg_auth_members a JOIN pg_authid g ON g.oid = a.roleid "
		"JOIN pg_authid m ON m.oid = a.member ORDER BY 1, 2",
		NULL, 0, &rows, err);

	if (result < 0)
		return result;
	catalog->membership_count = (size_t) PQntuples(rows);
	catalog->memberships = memory_allocate((catalog->membership_count + 1) * sizeof(*catalog->memberships));
	for (int i = 0; i < PQntuples(rows); i++)
		catalog->memberships[i] = (CatalogMembership){copy_field(rows, i, 0), copy_field(rows, i, 1)};
	return 0;
}

static int
read_databases(PostgresConnection *connection, Catalog *catalog, Error *err)
{
	_cleanup_result_ PGresult *rows = NULL;
	int result = postgres_query(connection,
								"SELECT datname, pg_get_userbyid(datdba) FROM pg_database "
								"WHERE datallowconn AND NOT datistemplate ORDER BY datname",
								NULL, 0, &rows, err);

	if (result < 0)
		return result;
	catalog->database_count = (size_t) PQntuples(rows);
	catalog->databases = memory_allocate((catalog->database_count + 1) * sizeof(*catalog->databases));
	for (int i = 0; i < PQntuples(rows); i++)
		catalog->databases[i] = (CatalogDatabase){copy_field(rows, i, 0), copy_field(rows, i, 1)};
	return 0;
}

int
catalog_read(PostgresConnection *connection, Catalog *ret_catalog, Error *err)
{
	Catalog catalog = {0};
	int result = read_roles(connection, &catalog, err);

	if (result == 0)
		result = read_memberships(connection, &catalog, err);
	if (result == 0)
		result = read_databases(connection, &catalog, err);
	if (result < 0)
	{
		catalog_clear(&catalog);
		return result;
	}
	*ret_catalog = catalog;
	return 0;
}

void
catalog_clear(Catalog *catalog)
{
	for (size_t i = 0; i < catalog->role_count; i++)
	{
		free(catalog->roles[i].name);
		free(catalog->roles[i].oid);
		free(catalog->roles[i].comment);
	}
	for (size_t i = 0; i < catalog->membership_count; i++)
	{
		free(catalog->memberships[i].group);
		free(catalog->memberships[i].member);
	}
	for (size_t i = 0; i < catalog->database_count; i++)
	{
		free(catalog->databases[i].name);
		free(catalog->databases[i].owner);
	}
	free(catalog->roles);
	free(catalog->memberships);
	free(catalog->databases);
	*catalog = (Catalog){0};
}

const CatalogRole *
catalog_find_role(const Catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->role_count; i++)
	{
		if (strcmp(catalog->roles[i].name, name) == 0)
			return &catalog->roles[i];
	}
	return NULL;
}

const CatalogDatabase *
catalog_find_database(const Catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->database_count; i++)
	{
		if (strcmp(catalog->databases[i].name, name) == 0)
			return &catalog->databases[i];
	}
	return NULL;
}

bool
catalog_is_member(const Catalog *catalog, const char *group, const char *member)
{
	for (size_t i = 0; i < catalog->membership_count; i++)
	{
		if (strcmp(catalog->memberships[i].group, group) == 0 && strcmp(catalog->memberships[i].member, member) == 0)
			return true;
	}
	return false;
}
