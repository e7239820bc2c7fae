/*
 * Default privileges, by which what is made later is covered. PostgreSQL keeps them for each role that makes things, so
 * they are set for all who may: the superuser, owners, superusers among the users, and whoever else the server lets
 * make things in the schema.
 */
#include <stdlib.h>
#include <string.h>

#include "postgres/plan_private.h"

/* Whether this set of accounts says of itself that the role makes things in the database. */
static bool
is_declared(const Planner *planner, const Accounts *accounts, const char *database, const char *role)
{
	const char *owner = accounts_owner(accounts, database);
	const Account *account = accounts_find_user(accounts, role);

	return strcmp(role, planner->superuser) == 0 || (owner != NULL && strcmp(owner, role) == 0) ||
		   (account != NULL && (account->attributes & POSTGRES_ROLE_SUPERUSER) != 0);
}

/* Whether the server lets it, in this schema or, for SCHEMA_EVERY, in one of them. */
static bool
may_create(const AccessPlanner *access, const char *scope, const char *role)
{
	for (size_t i = 0; i < access->schemas.creator_count; i++)
	{
		const CatalogCreator *creator = &access->schemas.creators[i];

		if (strcmp(creator->role, role) == 0 &&
			(strcmp(scope, SCHEMA_EVERY) == 0 || strcmp(creator->schema, scope) == 0))
			return true;
	}
	return false;
}

static void
add_statement(AccessPlanner *access, const char *verb, const char *creator, const char *scope, RightKind kind,
			  unsigned bits, const char *preposition, const char *role)
{
	Text sql = {0};

	if (bits == 0)
		return;
	plan_quote(access->planner, &sql, "ALTER DEFAULT PRIVILEGES FOR ROLE %I ", creator);
	if (strcmp(scope, SCHEMA_EVERY) != 0)
		plan_quote(access->planner, &sql, "IN SCHEMA %I ", scope);
	text_printf(&sql, "%s ", verb);
	access_append_words(&sql, kind, bits, ", ");
	text_printf(&sql, " ON %s %s ", right_words[kind].future, preposition);
	plan_quote(access->planner, &sql, "%I", role);
	plan_step_add(access->step, &sql);
}

static void
tell_lost(AccessPlanner *access, const Grantee *grantee, const char *creator, const char *scope, RightKind kind,
		  unsigned bits)
{
	_cleanup_text_ Text words = {0};

	access_append_words(&words, kind, bits, ", ");
	plan_lines_add(
		&access->planner->plan.drift,
		"database \"%s\": \"%s\" will not get %s on %s that \"%s\" makes in %s%s%s: default privileges were changed",
		access->database, grantee->role, text_string(&words), right_words[kind].future, creator,
		strcmp(scope, SCHEMA_EVERY) == 0 ? "any schema" : "schema \"", strcmp(scope, SCHEMA_EVERY) == 0 ? "" : scope,
		strcmp(scope, SCHEMA_EVERY) == 0 ? "" : "\"");
}

/* What this creator's default privileges lack. What was there, and is not any more, was taken by hand. */
static void
add_creator(AccessPlanner *access, const Grantee *grantee, const char *scope, const char *creator)
{
	Planner *planner = access->planner;
	Rights wanted = account_rights(grantee->wanted, access->database, scope, grantee->is_group);
	Rights held = account_rights(grantee->held, access->database, scope, grantee->is_group);
	Rights there = catalog_default_rights(&access->schemas, creator, scope, grantee->role);
	bool was_set = is_declared(planner, planner->made, access->database, creator) &&
				   account_names_scope(grantee->held, access->database, scope, grantee->is_group);

	for (RightKind kind = strcmp(scope, SCHEMA_EVERY) == 0 ? RIGHT_SCHEMA : RIGHT_TABLES; kind < RIGHT_KINDS; kind++)
	{
		unsigned missing = wanted.of[kind] & ~there.of[kind];
		unsigned lost = was_set ? missing & held.of[kind] : 0;

		if (lost != 0)
			tell_lost(access, grantee, creator, scope, kind, lost);
		add_statement(access, "GRANT", creator, scope, kind, missing & ~lost, "TO", grantee->role);
	}
}

/* A role of which default privileges are set: one that stays, and is neither the grantee nor a group of ours. */
static bool
is_creator(const AccessPlanner *access, const Grantee *grantee, const char *scope, const char *role)
{
	const Planner *planner = access->planner;

	return strcmp(role, grantee->role) != 0 && !planner_drops_user(planner, role) && planner_has_role(planner, role) &&
		   (is_declared(planner, planner->wanted, access->database, role) || may_create(access, scope, role));
}

static void
add_scope(AccessPlanner *access, const Grantee *grantee, const char *scope)
{
	const Planner *planner = access->planner;

	if (!account_names_scope(grantee->wanted, access->database, scope, grantee->is_group))
		return;
	for (size_t i = 0; i < planner->catalog.role_count; i++)
	{
		if (is_creator(access, grantee, scope, planner->catalog.roles[i].name))
			add_creator(access, grantee, scope, planner->catalog.roles[i].name);
	}
	for (size_t i = 0; i < planner->wanted->user_count; i++)
	{
		const char *name = planner->wanted->users[i].name;

		if (catalog_find_role(&planner->catalog, name) == NULL && is_creator(access, grantee, scope, name))
			add_creator(access, grantee, scope, name);
	}
}

/* What we had set, and is not wanted any more, of whomever's default privileges. */
static void
take_back(AccessPlanner *access, const Grantee *grantee)
{
	for (size_t i = 0; i < access->schemas.default_count; i++)
	{
		const CatalogDefault *row = &access->schemas.defaults[i];
		bool keeps = account_names_scope(grantee->wanted, access->database, row->schema, grantee->is_group);
		Rights wanted = account_rights(grantee->wanted, access->database, row->schema, grantee->is_group);
		Rights made = account_rights(grantee->made, access->database, row->schema, grantee->is_group);

		if (strcmp(row->grantee, grantee->role) != 0 ||
			!account_names_scope(grantee->made, access->database, row->schema, grantee->is_group))
			continue;
		for (RightKind kind = 0; kind < RIGHT_KINDS; kind++)
			add_statement(access, "REVOKE", row->creator, row->schema, kind,
						  row->rights.of[kind] & made.of[kind] & ~(keeps ? wanted.of[kind] : 0), "FROM", grantee->role);
	}
}

void
access_add_future(AccessPlanner *access, const Grantee *grantee)
{
	add_scope(access, grantee, SCHEMA_EVERY);
	for (size_t i = 0; i < access->schemas.count; i++)
		add_scope(access, grantee, access->schemas.names[i]);
	take_back(access, grantee);
}
