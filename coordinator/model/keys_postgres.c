/* The keys of the resource `postgres`; see keys.h. What they cannot say is in postgres_read.c. */
#include <string.h>

#include "model/keys_private.h"
#include "model/postgres_spec.h"

/* An identifier of PostgreSQL, which quotes it: NAMEDATALEN - 1 bytes, anything in them. */
static const char *
check_identifier(const char *text)
{
	if (strlen(text) > POSTGRES_NAME_MAX_BYTES)
		return "a name in PostgreSQL has at most 63 bytes";
	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			return "must not hold control characters";
	}
	return *text == '\0' ? "must not be empty" : NULL;
}

static const char *
check_user(const char *text)
{
	if (strcmp(text, POSTGRES_SUPERUSER) == 0)
		return "this is the cluster's superuser, which is there in any case and belongs to the coordinator";
	if (strncmp(text, "pg_", 3) == 0)
		return "PostgreSQL keeps names that begin with 'pg_' to itself";
	if (strcmp(text, "public") == 0 || strcmp(text, "none") == 0)
		return "PostgreSQL keeps this name to itself";
	return check_identifier(text);
}

static const char *
check_database(const char *text)
{
	if (strcmp(text, "template0") == 0 || strcmp(text, "template1") == 0)
		return "PostgreSQL keeps this database to itself";
	return check_identifier(text);
}

static const char *
check_role(const char *text)
{
	return postgres_role_find(text) != 0 ? NULL
										 : "must be 'Superuser', 'Createdb', 'Createrole', 'Inherit', 'Login', "
										   "'Replication' or 'Bypassrls'";
}

static const char *
check_parameter(const char *text)
{
	bool begins = true;

	if (*text == '\0' || strlen(text) > 128)
		return "the name of a parameter has 1 to 128 characters";
	for (const char *c = text; *c != '\0'; c++)
	{
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
		bool digit = *c >= '0' && *c <= '9';

		if (!letter && (begins || (!digit && *c != '.')))
			return "the name of a parameter holds letters, digits and '_', and for an extension's a '.'";
		begins = *c == '.';
	}
	return begins ? "the name of a parameter must not end with '.'" : NULL;
}

static const Choice sizes[] = {
	{.word = "tiny", .value = POSTGRES_TINY, .doc = "1 CPU, 256 MiB, 1Gi of storage"},
	{.word = "small", .value = POSTGRES_SMALL, .doc = "1 CPU, 512 MiB, 5Gi"},
	{.word = "medium", .value = POSTGRES_MEDIUM, .doc = "2 CPUs, 2048 MiB, 20Gi"},
	{.word = "large", .value = POSTGRES_LARGE, .doc = "4 CPUs, 8192 MiB, 100Gi"},
	{.word = "huge", .value = POSTGRES_HUGE, .doc = "8 CPUs, 32768 MiB, 500Gi"},
	{0},
};

static const Choice levels[] = {
	{.word = "owner", .value = POSTGRES_OWNER, .doc = "the database is the user's own; one user of each"},
	{.word = "readwrite",
	 .value = POSTGRES_READWRITE,
	 .doc = "reads and writes all tables of the schemas, also those that are made later"},
	{.word = "readonly", .value = POSTGRES_READONLY, .doc = "reads them"},
	{.word = "metadata",
	 .value = POSTGRES_METADATA,
	 .doc = "for tools that document a database: through a group role, usage of the schemas and what they need to see"},
	{0},
};

static const Key access_keys[] = {
	{.name = "database",
	 .type = KEY_TEXT,
	 .check = check_database,
	 .fallback_note = "the cluster's `database`",
	 FIELD(PostgresAccess, database),
	 .example = "shop",
	 .doc = "The database, one of this cluster."},
	{.name = "schemas",
	 .type = KEY_TEXT_LIST,
	 .maximum = 64,
	 .check = check_identifier,
	 .fallback_note = "`[public]`",
	 FIELD(PostgresAccess, schemas),
	 .example = "[public, sales]",
	 .doc = "The schemas; of no meaning for `owner`."},
	{.name = "level",
	 .type = KEY_CHOICE,
	 .required = true,
	 .choices = levels,
	 FIELD(PostgresAccess, level),
	 .example = "readonly",
	 .doc = "What the user may do there."},
	{0},
};

static const Key user_keys[] = {
	{.name = "name",
	 .type = KEY_TEXT,
	 .required = true,
	 .check = check_user,
	 FIELD(PostgresUser, name),
	 .example = "myusername",
	 .doc = "The user's name."},
	{.name = "roles",
	 .type = KEY_TEXT_LIST,
	 .maximum = 16,
	 .check = check_role,
	 .fallback_note = "`[Login, Inherit]`",
	 FIELD(PostgresUser, roles),
	 .example = "[Login, Createdb]",
	 .doc = "What the user is to PostgreSQL: `Superuser`, `Createdb`, `Createrole`, `Inherit`, `Login`, `Replication`, "
			"`Bypassrls`. Those that are not named are taken away."},
	{.name = "namespaces",
	 .type = KEY_TEXT_LIST,
	 .maximum = 64,
	 .check = name_check,
	 .fallback_note = "none",
	 FIELD(PostgresUser, namespaces),
	 .example = "[web, reports]",
	 .doc = "The namespaces that get the user's credentials as secrets, besides the cluster's own."},
	{.name = "access",
	 .type = KEY_MAP_LIST,
	 .maximum = 64,
	 .keys = access_keys,
	 ARRAY(PostgresUser, access, access_count, PostgresAccess),
	 .mark_offset = offsetof(PostgresAccess, mark),
	 .fallback_note = "the first user owns `database`, the others may connect",
	 .doc = "What the user may do in the databases."},
	{0},
};

static const Key database_keys[] = {
	{.name = "name",
	 .type = KEY_TEXT,
	 .required = true,
	 .check = check_database,
	 FIELD(PostgresDatabase, name),
	 .example = "shop",
	 .doc = "The database's name."},
	{.name = "owner",
	 .type = KEY_TEXT,
	 .check = check_identifier,
	 .fallback_note = "the superuser",
	 FIELD(PostgresDatabase, owner),
	 .example = "myusername",
	 .doc = "A user of this cluster."},
	{0},
};

static const Choice modes[] = {
	{.word = "regular", .value = MODE_REGULAR, .doc = "never suspended"},
	/* The strategy is the extension's own. */
	{.word = "flash", .value = MODE_FLASH, .keys = flash_keys + 1, .doc = "suspends by itself and wakes on traffic"},
	{0},
};

const Key postgres_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(PostgresSpec, name),
	 .example = "mycluster",
	 .doc = "The name of the cluster and of its app, unique in its namespace."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback = "default",
	 FIELD(PostgresSpec, name_space),
	 .example = "samples",
	 .doc = "The namespace that it belongs to."},
	TAGS_KEY(PostgresSpec),
	{.name = "version",
	 .type = KEY_NUMBER,
	 .fallback = "17",
	 .minimum = 15,
	 .maximum = 18,
	 FIELD(PostgresSpec, version),
	 .example = "17",
	 .doc = "The major version of PostgreSQL. It stays as it is: data of one is not another one's."},
	{.name = "image",
	 .type = KEY_IMAGE,
	 .fallback_note = "`ghcr.io/lttle-cloud/postgres:VERSION-flash`",
	 FIELD(PostgresSpec, machine.image),
	 .example = "ghcr.io/lttle-cloud/postgres:17-flash",
	 .doc = "The OCI image, which takes the variables of the official one. To suspend it needs `lttle_pg`."},
	{.name = "size",
	 .type = KEY_CHOICE,
	 .fallback_note = "`small`, unless there are `resources`",
	 .choices = sizes,
	 FIELD(PostgresSpec, size),
	 .example = "small",
	 .doc = "How large the cluster is: processors, memory and storage by one word."},
	{.name = "resources",
	 .type = KEY_OPTIONAL_MAP,
	 .keys = resources_keys,
	 .base = offsetof(PostgresSpec, machine),
	 FIELD(PostgresSpec, has_resources),
	 .doc = "What the machine may use, instead of a `size`."},
	{.name = "storage",
	 .type = KEY_SIZE,
	 .fallback_note = "as `size` says; 5Gi with `resources`",
	 .minimum = 64 * MIB,
	 .maximum = 16 * MIB * MIB,
	 FIELD(PostgresSpec, storage_bytes),
	 .example = "10Gi",
	 .doc = "How much the cluster's own volume `NAME-data` holds. It can grow, but not shrink."},
	{.name = "volume",
	 .type = KEY_NAME,
	 .fallback_note = "the cluster's own",
	 FIELD(PostgresSpec, volume),
	 .example = "pgdata",
	 .doc =
		 "A volume of the same namespace that is a document of its own, instead of one that is made for the cluster."},
	{.name = "database",
	 .type = KEY_TEXT,
	 .check = check_database,
	 .fallback = "postgres",
	 FIELD(PostgresSpec, database),
	 .example = "shop",
	 .doc = "The database that is made at the first start, and that the connection strings name."},
	{.name = "databases",
	 .type = KEY_MAP_LIST,
	 .maximum = 256,
	 .keys = database_keys,
	 ARRAY(PostgresSpec, databases, database_count, PostgresDatabase),
	 .mark_offset = offsetof(PostgresDatabase, mark),
	 .doc = "Databases besides it."},
	{.name = "users",
	 .type = KEY_MAP_LIST,
	 .maximum = 256,
	 .keys = user_keys,
	 ARRAY(PostgresSpec, users, user_count, PostgresUser),
	 .mark_offset = offsetof(PostgresUser, mark),
	 .doc = "The users. Each gets a random password, which is kept as a secret."},
	{.name = "init-scripts",
	 .type = KEY_TEXT_LIST,
	 .maximum = 256,
	 .fallback_note = "none",
	 FIELD(PostgresSpec, init_scripts),
	 .example = "[./init]",
	 .doc = "Files (`.sql`, `.sql.gz`, `.sql.zst`, `.sh`) or directories of them, relative to the directory of the "
			"file; they run once, at "
			"the first start, in the order of their names, in `database`."},
	{.name = "parameters",
	 .type = KEY_ENVIRONMENT,
	 .maximum = 500,
	 .check = check_parameter,
	 ARRAY(PostgresSpec, parameters, parameter_count, EnvironmentVariable),
	 .doc = "Settings of `postgresql.conf`. The server checks them before they are applied."},
	{.name = "expose",
	 .type = KEY_NAMED_MAPS,
	 .maximum = 64,
	 .keys = expose_keys + 1,
	 ARRAY(PostgresSpec, machine.exposes, machine.expose_count, Expose),
	 .mark_offset = offsetof(Expose, mark),
	 .fallback_note = "`access`, inside the host, `traffic-aware`",
	 .doc = "The services of the server's port, 5432: a map from a name of your choice, as of an app."},
	{.name = "mode",
	 .type = KEY_CHOICE,
	 .fallback = "flash",
	 .choices = modes,
	 .base = offsetof(PostgresSpec, machine),
	 FIELD(PostgresSpec, machine.mode),
	 .example = "flash",
	 .doc = "Whether the server suspends."},
	{.name = "restart-policy",
	 .type = KEY_CHOICE,
	 .fallback = "always",
	 .choices = restart_policies,
	 FIELD(PostgresSpec, machine.restart_policy),
	 .example = "on-failure",
	 .doc = "What happens when the server ends by itself."},
	{.name = "values",
	 .type = KEY_ENVIRONMENT,
	 .maximum = 100,
	 .check = name_check,
	 ARRAY(PostgresSpec, values, value_count, EnvironmentVariable),
	 .doc = "More values that the namespace gets with this cluster, for `${{ value.NAME }}`."},
	{0},
};
