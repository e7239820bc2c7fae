/* Roles: users with their attributes and passwords, and the group roles of those who have access "metadata". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "postgres/password.h"
#include "postgres/plan_private.h"

/* "NOSUPERUSER CREATEDB …" for the bits of mask. */
static void
append_attributes(Text *sql, unsigned attributes, unsigned mask)
{
	for (int bit = 0; bit < POSTGRES_ROLE_COUNT; bit++)
	{
		if ((mask & (1U << bit)) != 0)
			text_printf(sql, " %s%s", (attributes & (1U << bit)) != 0 ? "" : "NO", postgres_role_words[bit]);
	}
}

/* Our mark, and behind it what somebody else had written there. verifier NULL: the fingerprint stays as it is. */
static void
add_mark(Planner *planner, PlanStep *step, const char *role, const char *what, const char *verifier)
{
	const CatalogRole *there = catalog_find_role(&planner->catalog, role);
	_cleanup_text_ Text mark = {0};
	const char *rest = there != NULL && there->comment != NULL ? there->comment : "";
	Text sql = {0};

	text_printf(&mark, ROLE_MARK "%s of %s", what, planner->request->label);
	if (verifier != NULL)
	{
		char fingerprint[PASSWORD_FINGERPRINT_BYTES];

		password_fingerprint(verifier, fingerprint);
		text_printf(&mark, "; password %s", fingerprint);
	}
	if (there != NULL && there->ours)
		rest = strchr(rest, '\n') != NULL ? strchr(rest, '\n') + 1 : "";
	if (*rest != '\0')
		text_printf(&mark, "\n%s", rest);
	plan_quote(planner, &sql, "COMMENT ON ROLE %I IS %L", role, text_string(&mark));
	plan_step_add(step, &sql);
}

/* One statement that makes or alters the user: the attributes of mask, and the password. */
static int
add_user_statement(Planner *planner, PlanStep *step, const Account *account, const char *verb, unsigned mask,
				   bool with_password, Error *err)
{
	_cleanup_free_ char *verifier = NULL;
	_cleanup_text_ Text shown = {0};
	Text sql = {0};
	PlanStatement *statement;

	if (with_password)
	{
		int result = password_verifier(planner->home, account->name, account->password, &verifier, err);

		if (result < 0)
			return result;
	}
	plan_quote(planner, &sql, "%s ROLE %I", verb, account->name);
	append_attributes(&sql, account->attributes, mask);
	text_append(&shown, text_string(&sql));
	if (verifier != NULL)
		plan_quote(planner, &sql, " PASSWORD %L", verifier);
	statement = plan_step_add(step, &sql);
	if (verifier == NULL)
		return 0;
	text_append(&shown, " PASSWORD '…'");
	statement->shown = memory_duplicate(text_string(&shown));
	add_mark(planner, step, account->name, "user", verifier);
	return 0;
}

/* What differs and was not ours to change. */
static void
tell_role_drift(Planner *planner, const CatalogRole *role, unsigned changed_by_hand)
{
	for (int bit = 0; bit < POSTGRES_ROLE_COUNT; bit++)
	{
		if ((changed_by_hand & (1U << bit)) != 0)
			plan_lines_add(&planner->plan.drift, "user \"%s\" %s %s", role->name,
						   (role->attributes & (1U << bit)) != 0 ? "was given" : "has lost", postgres_role_words[bit]);
	}
	if (role->other_password)
		plan_lines_add(&planner->plan.drift, "user \"%s\" has another password than its secret", role->name);
}

/* A user that is there, and is ours. made NULL: it was made by a plan that did not come to its end. */
static int
alter_user(Planner *planner, PlanStep *step, const Account *account, const Account *made, const CatalogRole *role,
		   Error *err)
{
	unsigned differs = account->attributes ^ role->attributes;
	unsigned mine = made == NULL || planner->request->repair ? ~0U : account->attributes ^ made->attributes;
	bool repair_password = role->other_password && planner->request->repair;
	bool with_password = account->password != NULL && (made == NULL || account->set_password || repair_password);

	if (made != NULL && !planner->request->repair)
	{
		CatalogRole told = *role;

		told.other_password &= !with_password;
		tell_role_drift(planner, &told, differs & ~mine);
	}
	if ((differs & mine) == 0 && !with_password)
		return 0;
	return add_user_statement(planner, step, account, "ALTER", differs & mine, with_password, err);
}

static int
add_user(Planner *planner, PlanStep *step, const Account *account, Error *err)
{
	const Account *made = accounts_find_user(planner->made, account->name);
	const CatalogRole *role = catalog_find_role(&planner->catalog, account->name);

	if (strcmp(account->name, planner->superuser) == 0)
	{
		plan_lines_add(&planner->plan.refusals, "user \"%s\" is the cluster's own superuser", account->name);
		return 0;
	}
	if (role != NULL && made == NULL && !role->ours && !planner->request->adopt)
	{
		plan_lines_add(
			&planner->plan.refusals,
			"role \"%s\" is there already, and was not made here: choose another name, or take it over with "
			"--adopt (of `lttle postgres user add` and `user edit`), which sets its attributes and a new password",
			account->name);
		return 0;
	}
	if (role != NULL)
		return alter_user(planner, step, account, made, role, err);
	if (!planner_has_role(planner, account->name))
	{
		plan_lines_add(&planner->plan.drift, "user \"%s\" was dropped", account->name);
		return 0;
	}
	return add_user_statement(planner, step, account, "CREATE", ~0U, account->password != NULL, err);
}

/* The group role through which a user has access "metadata", and the user's membership. */
static void
add_group(Planner *planner, PlanStep *step, const Account *account)
{
	const Account *made = accounts_find_user(planner->made, account->name);
	bool had = made != NULL && account_has_level(made, ACCESS_METADATA) && !planner->request->repair;
	char group[ROLE_NAME_MAX_BYTES + 1];
	const CatalogRole *role;
	Text sql = {0};

	if (!account_has_level(account, ACCESS_METADATA) || !planner_has_role(planner, account->name))
		return;
	account_group_name(account->name, group);
	role = catalog_find_role(&planner->catalog, group);
	if (role != NULL && !role->ours && !had && !planner->request->adopt)
	{
		plan_lines_add(&planner->plan.refusals,
					   "role \"%s\", the group of user \"%s\", is there already, and was not made here", group,
					   account->name);
		return;
	}
	if (had && (role == NULL || !catalog_is_member(&planner->catalog, group, account->name)))
	{
		plan_lines_add(&planner->plan.drift,
					   role == NULL ? "group role \"%s\" was dropped" : "group role \"%s\" has lost its user", group);
		return;
	}
	if (role == NULL)
	{
		plan_quote(planner, &sql, "CREATE ROLE %I NOLOGIN", group);
		plan_step_add(step, &sql);
		add_mark(planner, step, group, "group", NULL);
	}
	if (role == NULL || !catalog_is_member(&planner->catalog, group, account->name))
	{
		plan_quote(planner, &sql, "GRANT %I TO %I", group, account->name);
		plan_step_add(step, &sql);
	}
}

/* Memberships that nobody gave here. */
static void
tell_memberships(Planner *planner, const Account *account)
{
	char group[ROLE_NAME_MAX_BYTES + 1];

	account_group_name(account->name, group);
	for (size_t i = 0; i < planner->catalog.membership_count; i++)
	{
		const CatalogMembership *membership = &planner->catalog.memberships[i];

		if (strcmp(membership->member, account->name) == 0 && strcmp(membership->group, group) != 0)
			plan_lines_add(&planner->plan.drift, "user \"%s\" was made a member of \"%s\"", account->name,
						   membership->group);
	}
}

/* Of a plan that was cut off, before what it was for was changed again. */
static void
note_strays(Planner *planner)
{
	for (size_t i = 0; i < planner->catalog.role_count; i++)
	{
		const char *name = planner->catalog.roles[i].name;
		char group[ROLE_NAME_MAX_BYTES + 1];
		bool is_known =
			accounts_find_user(planner->wanted, name) != NULL || accounts_find_user(planner->made, name) != NULL;

		for (size_t k = 0; !is_known && k < planner->wanted->user_count + planner->made->user_count; k++)
		{
			account_group_name(k < planner->wanted->user_count
								   ? planner->wanted->users[k].name
								   : planner->made->users[k - planner->wanted->user_count].name,
							   group);
			is_known = strcmp(group, name) == 0;
		}
		if (planner->catalog.roles[i].ours && !is_known)
			plan_lines_add(&planner->plan.notes,
						   "role \"%s\" was made here once, and nobody needs it: DROP ROLE by hand, or add it "
						   "as a user",
						   name);
	}
}

int
planner_add_roles(Planner *planner, Error *err)
{
	PlanStep *step = plan_add_step(&planner->plan, NULL, true);

	for (size_t i = 0; i < planner->wanted->user_count; i++)
	{
		const Account *account = &planner->wanted->users[i];
		int result = add_user(planner, step, account, err);

		if (result < 0)
			return result;
		add_group(planner, step, account);
		tell_memberships(planner, account);
	}
	note_strays(planner);
	return 0;
}
