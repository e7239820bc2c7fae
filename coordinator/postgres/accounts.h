/*
 * Who may do what on a PostgreSQL server, as plain values: users with their attributes, databases with their owners,
 * and levels of access. One such set says what is wanted, another one what was made before; plan.h finds the way from
 * one to the other. Nothing here owns memory: the texts belong to whoever filled the set in, and must live as long as
 * it.
 */
#ifndef POSTGRES_ACCOUNTS_H
#define POSTGRES_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/postgres_spec.h"

#define ROLE_NAME_MAX_BYTES POSTGRES_NAME_MAX_BYTES

typedef enum AccessLevel
{
	ACCESS_OWNER,	  /* the database is its own, and all that others make in it is at its disposal */
	ACCESS_READWRITE, /* reads and writes tables, uses sequences */
	ACCESS_READONLY,  /* reads tables */
	ACCESS_METADATA	  /* what a tool needs to document the schemas: a group role of its own, usage and select */
} AccessLevel;

/* Every schema of the database, and those that are made later. */
#define SCHEMA_EVERY "*"

typedef struct AccountAccess
{
	const char *database;
	const char *schema; /* a name or SCHEMA_EVERY; of no meaning to an owner, whose are all */
	AccessLevel level;
} AccountAccess;

typedef struct Account
{
	const char *name;
	unsigned attributes;  /* PostgresRole: all that the user has, and no other */
	const char *password; /* in clear; set when the user is made or adopted. NULL: none */
	bool set_password;	  /* also when it is there already */
	const AccountAccess *access;
	size_t access_count;
} Account;

typedef struct AccountDatabase
{
	const char *name;
	const char *owner; /* NULL: the superuser, unless somebody has ACCESS_OWNER */
} AccountDatabase;

typedef struct Accounts
{
	const Account *users;
	size_t user_count;
	const AccountDatabase *databases;
	size_t database_count;
} Accounts;

/* What can be granted, by what it is granted on; default privileges know the same. */
typedef enum RightKind
{
	RIGHT_SCHEMA,
	RIGHT_TABLES, /* also views, materialized views, foreign tables */
	RIGHT_SEQUENCES,
	RIGHT_KINDS
} RightKind;

typedef struct RightWords
{
	const char *privileges[8]; /* in the order of the bits; NULL ends them */
	const char *future;		   /* "TABLES", in ALTER DEFAULT PRIVILEGES */
	char future_kind;		   /* pg_default_acl.defaclobjtype */
} RightWords;
extern const RightWords right_words[RIGHT_KINDS];

/* Sets of privileges, a bit each. */
typedef struct Rights
{
	unsigned of[RIGHT_KINDS];
} Rights;

Rights rights_of_level(AccessLevel level);

/* The bit of a word; 0: it is not one of ours. */
unsigned right_find(RightKind kind, const char *privilege);

/* NULL, or what is wrong with the name of a role or a database: 1 to 63 bytes of UTF-8 without control characters. */
const char *role_name_check(const char *name);

const Account *accounts_find_user(const Accounts *accounts, const char *name);
const AccountDatabase *accounts_find_database(const Accounts *accounts, const char *name);

/* Who owns it, by the database's own word or by somebody's ACCESS_OWNER. NULL: nobody is named. */
const char *accounts_owner(const Accounts *accounts, const char *database);

/* Whether the user has this level somewhere. */
bool account_has_level(const Account *account, AccessLevel level);

/* What the user gets in a schema: of entries for it, and of those for every schema. scope SCHEMA_EVERY: only of the
 * latter. */
Rights account_rights(const Account *account, const char *database, const char *scope, bool through_group);

/* Whether one of its entries is for just this schema, or SCHEMA_EVERY. */
bool account_names_scope(const Account *account, const char *database, const char *scope, bool through_group);

/* Whether it has anything to do in this database, as itself or through its group. */
bool account_uses(const Account *account, const char *database, bool through_group);

/* "NAME_metadata", the group role of a user with ACCESS_METADATA. */
void account_group_name(const char *user, char ret_group[ROLE_NAME_MAX_BYTES + 1]);

/*
 * Checks the set in itself: names, each once, one owner a database, and that a database which somebody gets access to
 * is one of the set. Errors: -EINVAL.
 */
int accounts_check(const Accounts *accounts, Error *err) MUST_CHECK;

#endif
