/*
 * What a server holds now, as far as users and databases are concerned: read from the system catalogs before anything
 * is planned. Texts belong to the catalog.
 */
#ifndef POSTGRES_CATALOG_H
#define POSTGRES_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "postgres/accounts.h"
#include "postgres/connection.h"

/*
 * The comment on a role that we made or took over begins with this. It is written in the transaction that makes the
 * role, so that a crash between that and our own store leaves no role that nobody knows of.
 */
#define ROLE_MARK "lttle: "

typedef struct CatalogRole
{
	char *name;
	char *oid; /* in digits */
	unsigned attributes;
	bool ours;
	char *comment;		 /* NULL: none */
	bool other_password; /* it is another one than we have set */
} CatalogRole;

typedef struct CatalogMembership
{
	char *group;
	char *member;
} CatalogMembership;

typedef struct CatalogDatabase
{
	char *name;
	char *owner;
} CatalogDatabase;

typedef struct Catalog
{
	CatalogRole *roles;
	size_t role_count;
	CatalogMembership *memberships;
	size_t membership_count;
	CatalogDatabase *databases; /* those that can be connected to */
	size_t database_count;
} Catalog;

/* Errors: those of postgres_query. */
int catalog_read(PostgresConnection *connection, Catalog *ret_catalog, Error *err) MUST_CHECK;
void catalog_clear(Catalog *catalog);

const CatalogRole *catalog_find_role(const Catalog *catalog, const char *name);
const CatalogDatabase *catalog_find_database(const Catalog *catalog, const char *name);
bool catalog_is_member(const Catalog *catalog, const char *group, const char *member);

/* A role that may make tables in a schema, or whose default privileges are set there. */
typedef struct CatalogCreator
{
	char *schema;
	char *role;
} CatalogCreator;

/* One row of default privileges: what `grantee` will get on what `creator` makes. */
typedef struct CatalogDefault
{
	char *creator;
	char *schema; /* SCHEMA_EVERY: without a schema */
	char *grantee;
	Rights rights;
} CatalogDefault;

/* Privileges that were granted by name, on how many things of a schema. */
typedef struct CatalogGrant
{
	char *grantee;
	char *schema;
	RightKind kind;
	unsigned privilege; /* a bit; 0: one that no level has */
	char *word;
	char *count; /* in digits */
	char *example;
} CatalogGrant;

/* Of one database. */
typedef struct CatalogSchemas
{
	char **names; /* not the system's own */
	size_t count;
	CatalogCreator *creators;
	size_t creator_count;
	CatalogDefault *defaults;
	size_t default_count;
	CatalogGrant *grants; /* of roles of ours, on what is not their own */
	size_t grant_count;
} CatalogSchemas;

int catalog_schemas_read(PostgresConnection *connection, CatalogSchemas *ret_schemas, Error *err) MUST_CHECK;
void catalog_schemas_clear(CatalogSchemas *schemas);
/* One that will be there. Nobody is known yet who makes things in it. */
void catalog_add_schema(CatalogSchemas *schemas, const char *name);
bool catalog_has_schema(const CatalogSchemas *schemas, const char *name);

/* What the default privileges give; nothing when there is no such row. */
Rights catalog_default_rights(const CatalogSchemas *schemas, const char *creator, const char *schema,
							  const char *grantee);

#endif
