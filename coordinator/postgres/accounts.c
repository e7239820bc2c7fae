/* What the levels of access stand for, and questions to a set of accounts. Values only: nothing here speaks to a
 * server. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "postgres/accounts.h"

#define METADATA_SUFFIX "_metadata"

enum
{
	SCHEMA_USAGE = 1 << 0,
	SCHEMA_CREATE = 1 << 1,
	TABLE_SELECT = 1 << 0,
	TABLE_WRITE = 7 << 1, /* INSERT, UPDATE, DELETE */
	TABLE_ALL = 127,
	SEQUENCE_USE = 3, /* USAGE, SELECT */
	SEQUENCE_ALL = 7
};

const RightWords right_words[RIGHT_KINDS] = {
	[RIGHT_SCHEMA] = {{"USAGE", "CREATE"}, "SCHEMAS", 'n'},
	[RIGHT_TABLES] = {{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"}, "TABLES", 'r'},
	[RIGHT_SEQUENCES] = {{"USAGE", "SELECT", "UPDATE"}, "SEQUENCES", 'S'},
};

static const Rights level_rights[] = {
	[ACCESS_OWNER] = {{SCHEMA_USAGE | SCHEMA_CREATE, TABLE_ALL, SEQUENCE_ALL}},
	[ACCESS_READWRITE] = {{SCHEMA_USAGE, TABLE_SELECT | TABLE_WRITE, SEQUENCE_USE}},
	[ACCESS_READONLY] = {{SCHEMA_USAGE, TABLE_SELECT, 0}},
	[ACCESS_METADATA] = {{SCHEMA_USAGE, TABLE_SELECT, 0}},
};

Rights
rights_of_level(AccessLevel level)
{
	return level_rights[level];
}

unsigned
right_find(RightKind kind, const char *privilege)
{
	for (unsigned i = 0; right_words[kind].privileges[i] != NULL; i++)
	{
		if (strcmp(right_words[kind].privileges[i], privilege) == 0)
			return 1U << i;
	}
	return 0;
}

/* The length of the UTF-8 sequence that begins here; 0: it is none (overlong, a surrogate, beyond the last plane). */
static size_t
sequence_length(const unsigned char *c)
{
	size_t length = *c < 0x80				  ? 1
					: *c >= 0xc2 && *c < 0xe0 ? 2
					: (*c & 0xf0) == 0xe0	  ? 3
					: *c >= 0xf0 && *c < 0xf5 ? 4
											  : 0;

	for (size_t i = 1; i < length; i++)
	{
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) ||
		(c[0] == 0xf4 && c[1] >= 0x90))
		return 0;
	return length;
}

const char *
role_name_check(const char *name)
{
	if (*name == '\0')
		return "must not be empty";
	if (strlen(name) > ROLE_NAME_MAX_BYTES)
		return "is longer than the 63 bytes of a name in PostgreSQL";
	for (const unsigned char *c = (const unsigned char *) name; *c != '\0';)
	{
		size_t length = sequence_length(c);

		if (length == 0)
			return "is not UTF-8";
		if (*c < 0x20 || *c == 0x7f)
			return "must not hold control characters";
		c += length;
	}
	return NULL;
}

const Account *
accounts_find_user(const Accounts *accounts, const char *name)
{
	for (size_t i = 0; i < accounts->user_count; i++)
	{
		if (strcmp(accounts->users[i].name, name) == 0)
			return &accounts->users[i];
	}
	return NULL;
}

const AccountDatabase *
accounts_find_database(const Accounts *accounts, const char *name)
{
	for (size_t i = 0; i < accounts->database_count; i++)
	{
		if (strcmp(accounts->databases[i].name, name) == 0)
			return &accounts->databases[i];
	}
	return NULL;
}

const char *
accounts_owner(const Accounts *accounts, const char *database)
{
	const AccountDatabase *found = accounts_find_database(accounts, database);

	if (found != NULL && found->owner != NULL)
		return found->owner;
	for (size_t i = 0; i < accounts->user_count; i++)
	{
		const Account *account = &accounts->users[i];

		for (size_t j = 0; j < account->access_count; j++)
		{
			if (account->access[j].level == ACCESS_OWNER && strcmp(account->access[j].database, database) == 0)
				return account->name;
		}
	}
	return NULL;
}

bool
account_has_level(const Account *account, AccessLevel level)
{
	for (size_t i = 0; i < account->access_count; i++)
	{
		if (account->access[i].level == level)
			return true;
	}
	return false;
}

static const char *
access_scope(const AccountAccess *access)
{
	return access->level == ACCESS_OWNER ? SCHEMA_EVERY : access->schema;
}

Rights
account_rights(const Account *account, const char *database, const char *scope, bool through_group)
{
	Rights rights = {0};

	if (account == NULL)
		return rights;
	for (size_t i = 0; i < account->access_count; i++)
	{
		const AccountAccess *access = &account->access[i];

		if ((access->level == ACCESS_METADATA) != through_group || strcmp(access->database, database) != 0 ||
			(strcmp(access_scope(access), scope) != 0 && strcmp(access_scope(access), SCHEMA_EVERY) != 0))
			continue;
		for (int kind = 0; kind < RIGHT_KINDS; kind++)
			rights.of[kind] |= level_rights[access->level].of[kind];
	}
	return rights;
}

bool
account_names_scope(const Account *account, const char *database, const char *scope, bool through_group)
{
	for (size_t i = 0; account != NULL && i < account->access_count; i++)
	{
		const AccountAccess *access = &account->access[i];

		if ((access->level == ACCESS_METADATA) == through_group && strcmp(access->database, database) == 0 &&
			strcmp(access_scope(access), scope) == 0)
			return true;
	}
	return false;
}

bool
account_uses(const Account *account, const char *database, bool through_group)
{
	for (size_t i = 0; account != NULL && i < account->access_count; i++)
	{
		if ((account->access[i].level == ACCESS_METADATA) == through_group &&
			strcmp(account->access[i].database, database) == 0)
			return true;
	}
	return false;
}

void
account_group_name(const char *user, char ret_group[ROLE_NAME_MAX_BYTES + 1])
{
	/* accounts_check has refused what would not fit. */
	snprintf(ret_group, ROLE_NAME_MAX_BYTES + 1, "%.*s" METADATA_SUFFIX,
			 (int) (ROLE_NAME_MAX_BYTES - strlen(METADATA_SUFFIX)), user);
}

static int
check_user(const Accounts *accounts, const Account *account, Error *err)
{
	const char *wrong = role_name_check(account->name);

	if (wrong != NULL)
		return error_set(err, -EINVAL, "user \"%s\": the name %s", account->name, wrong);
	if (strncmp(account->name, "pg_", 3) == 0 || strcmp(account->name, "public") == 0 ||
		strcmp(account->name, "none") == 0)
		return error_set(err, -EINVAL, "user \"%s\": PostgreSQL keeps this name to itself", account->name);
	if (accounts_find_user(accounts, account->name) != account)
		return error_set(err, -EINVAL, "user \"%s\" is there twice", account->name);
	if (account_has_level(account, ACCESS_METADATA))
	{
		char group[ROLE_NAME_MAX_BYTES + 1];

		if (strlen(account->name) + strlen(METADATA_SUFFIX) > ROLE_NAME_MAX_BYTES)
			return error_set(err, -EINVAL,
							 "user \"%s\": the name is too long for access \"metadata\", whose group role is called "
							 "NAME" METADATA_SUFFIX,
							 account->name);
		account_group_name(account->name, group);
		if (accounts_find_user(accounts, group) != NULL)
			return error_set(err, -EINVAL, "user \"%s\" has the name of the group role of \"%s\"", group,
							 account->name);
	}
	return 0;
}

static int
check_database(const Accounts *accounts, const AccountDatabase *database, Error *err)
{
	const char *wrong = role_name_check(database->name);

	if (wrong != NULL)
		return error_set(err, -EINVAL, "database \"%s\": the name %s", database->name, wrong);
	if (strcmp(database->name, "template0") == 0 || strcmp(database->name, "template1") == 0)
		return error_set(err, -EINVAL, "database \"%s\": PostgreSQL keeps it to itself", database->name);
	if (accounts_find_database(accounts, database->name) != database)
		return error_set(err, -EINVAL, "database \"%s\" is there twice", database->name);
	return 0;
}

static int
check_access(const Accounts *accounts, const Account *account, const AccountAccess *access, Error *err)
{
	const char *wrong = access->level == ACCESS_OWNER ? NULL : role_name_check(access->schema);
	const char *owner = accounts_owner(accounts, access->database);

	if (accounts_find_database(accounts, access->database) == NULL)
		return error_set(err, -EINVAL, "user \"%s\" has access to database \"%s\", which is none of this cluster",
						 account->name, access->database);
	if (wrong != NULL)
		return error_set(err, -EINVAL, "user \"%s\": the name of schema \"%s\" %s", account->name, access->schema,
						 wrong);
	if (access->level == ACCESS_OWNER && strcmp(owner, account->name) != 0)
		return error_set(err, -EINVAL, "database \"%s\" would have two owners, \"%s\" and \"%s\"", access->database,
						 owner, account->name);
	return 0;
}

int
accounts_check(const Accounts *accounts, Error *err)
{
	int result;

	for (size_t i = 0; i < accounts->database_count; i++)
	{
		if ((result = check_database(accounts, &accounts->databases[i], err)) < 0)
			return result;
	}
	for (size_t i = 0; i < accounts->user_count; i++)
	{
		const Account *account = &accounts->users[i];

		if ((result = check_user(accounts, account, err)) < 0)
			return result;
		for (size_t j = 0; j < account->access_count; j++)
		{
			if ((result = check_access(accounts, account, &account->access[j], err)) < 0)
				return result;
		}
	}
	return 0;
}
