/* What the tables of keys cannot say about a PostgreSQL cluster; see postgres_read.h. */
#include "model/postgres_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_read.h"
#include "model/postgres_spec.h"

/* The longest of the names that are made of a cluster's: "NAME-superuser-password", within NAME_MAX_BYTES. */
#define CLUSTER_NAME_MAX_BYTES 40

/* Of the service that a cluster has when its file names none. */
#define INACTIVITY_TIMEOUT_MS 10000

typedef struct Removed
{
	const char *name;
	unsigned since; /* the first major version without it */
	const char *refusal;
} Removed;

static const Removed removed[] = {
	{"checkpoint_segments", 0,
	 "was removed in PostgreSQL 9.5; write max_wal_size (a segment was 16MB: 3 * segments * 16MB)"},
	{"wal_keep_segments", 0, "was removed in PostgreSQL 13; write wal_keep_size (a segment was 16MB)"},
	{"max_fsm_pages", 0, "was removed in PostgreSQL 8.4; leave it out, the free space map manages itself"},
	{"max_fsm_relations", 0, "was removed in PostgreSQL 8.4; leave it out, the free space map manages itself"},
	{"replication_timeout", 0, "was renamed in PostgreSQL 9.3; write wal_sender_timeout"},
	{"unix_socket_directory", 0, "was renamed in PostgreSQL 9.3; the image sets unix_socket_directories itself"},
	{"ssl_renegotiation_limit", 0, "was removed in PostgreSQL 9.5; leave it out"},
	{"sql_inheritance", 0, "was removed in PostgreSQL 10; leave it out"},
	{"min_parallel_relation_size", 0, "was replaced in PostgreSQL 10; write min_parallel_table_scan_size"},
	{"replacement_sort_tuples", 0, "was removed in PostgreSQL 11; leave it out"},
	{"default_with_oids", 0, "was removed in PostgreSQL 12; leave it out"},
	{"operator_precedence_warning", 0, "was removed in PostgreSQL 14; leave it out"},
	{"vacuum_cleanup_index_scale_factor", 0, "was removed in PostgreSQL 14; leave it out"},
	{"stats_temp_directory", 0, "was removed in PostgreSQL 15; leave it out, statistics are kept in shared memory"},
	{"force_parallel_mode", 16, "was renamed in PostgreSQL 16; write debug_parallel_query"},
	{"vacuum_defer_cleanup_age", 16, "was removed in PostgreSQL 16; leave it out"},
	{"promote_trigger_file", 16, "was removed in PostgreSQL 16; leave it out"},
	{"old_snapshot_threshold", 17, "was removed in PostgreSQL 17; leave it out"},
	{"db_user_namespace", 17, "was removed in PostgreSQL 17; leave it out"},
	{"trace_recovery_messages", 17, "was removed in PostgreSQL 17; leave it out"},
};

/* By these the coordinator reaches the server, and the image finds its files. */
static const char *const kept[] = {
	"config_file",		"data_directory", "external_pid_file",		 "hba_file", "ident_file",
	"listen_addresses", "port",			  "unix_socket_directories", NULL,
};

const char *
postgres_parameter_refusal(const char *name, unsigned version)
{
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
	{
		if (strcasecmp(removed[i].name, name) == 0 && version >= removed[i].since)
			return removed[i].refusal;
	}
	for (const char *const *own = kept; *own != NULL; own++)
	{
		if (strcasecmp(*own, name) == 0)
			return "belongs to the coordinator, which reaches the server and its files by it; leave it out";
	}
	return NULL;
}

static void complain(DiagnosticList *diagnostics, SourceMark mark, SourceMark owner, const char *path,
					 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Of what was filled in and not written the place is the resource's own. */
static void
complain(DiagnosticList *diagnostics, SourceMark mark, SourceMark owner, const char *path, const char *format, ...)
{
	char below[KEY_PATH_BYTES];
	char message[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	key_path_join(below, "postgres", path);
	diagnostic_add(diagnostics, mark.line != 0 ? mark : owner, below, "%s", message);
}

static bool
has_database(const PostgresSpec *spec, const char *name)
{
	if (spec->database != NULL && strcmp(spec->database, name) == 0)
		return true;
	for (size_t i = 0; i < spec->database_count; i++)
	{
		if (spec->databases[i].name != NULL && strcmp(spec->databases[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Who owns a database by what users may do, other than the user at `except`; NULL: nobody. */
static const char *
find_owner(const PostgresSpec *spec, const char *database, size_t except)
{
	for (size_t i = 0; i < spec->user_count; i++)
	{
		const PostgresUser *user = &spec->users[i];

		for (size_t k = 0; i != except && k < user->access_count; k++)
		{
			if (user->access[k].level == POSTGRES_OWNER && user->access[k].database != NULL &&
				strcmp(user->access[k].database, database) == 0)
				return user->name;
		}
	}
	return NULL;
}

static void
finish_databases(const PostgresSpec *spec, SourceMark owner, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < spec->database_count; i++)
	{
		const PostgresDatabase *database = &spec->databases[i];
		char path[64];
		const char *other;

		snprintf(path, sizeof(path), "databases[%zu]", i);
		if (database->name == NULL)
			continue;
		if (spec->database != NULL && strcmp(spec->database, database->name) == 0)
			complain(diagnostics, database->mark, owner, path, "'%s' is the cluster's `database` already",
					 database->name);
		for (size_t k = 0; k < i; k++)
		{
			if (spec->databases[k].name != NULL && strcmp(spec->databases[k].name, database->name) == 0)
				complain(diagnostics, database->mark, owner, path, "the database '%s' appears twice", database->name);
		}
		if (database->owner == NULL)
			continue;
		other = find_owner(spec, database->name, SIZE_MAX);
		if (strcmp(database->owner, POSTGRES_SUPERUSER) != 0 && postgres_spec_find_user(spec, database->owner) == NULL)
			complain(diagnostics, database->mark, owner, path, "the owner '%s' is no user of this cluster",
					 database->owner);
		else if (other != NULL && strcmp(other, database->owner) != 0)
			complain(diagnostics, database->mark, owner, path,
					 "belongs to '%s' here, and to '%s' by that user's access", database->owner, other);
	}
}

static char **
public_schema(void)
{
	char **schemas = memory_allocate(2 * sizeof(*schemas));

	schemas[0] = memory_duplicate("public");
	return schemas;
}

static void
finish_access(const PostgresSpec *spec, size_t at, SourceMark owner, DiagnosticList *diagnostics)
{
	PostgresUser *user = &spec->users[at];

	for (size_t i = 0; i < user->access_count; i++)
	{
		PostgresAccess *access = &user->access[i];
		const char *other;
		char path[64];

		snprintf(path, sizeof(path), "users[%zu].access[%zu]", at, i);
		if (access->database == NULL || access->level == POSTGRES_LEVEL_NONE)
			continue;
		if (!has_database(spec, access->database))
			complain(diagnostics, access->mark, owner, path, "the database '%s' is none of this cluster",
					 access->database);
		if (access->level != POSTGRES_OWNER && access->schemas == NULL)
			access->schemas = public_schema();
		if (access->level == POSTGRES_OWNER && access->schemas != NULL)
			complain(diagnostics, access->mark, owner, path, "an owner has the whole database; leave `schemas` out");
		other = access->level == POSTGRES_OWNER ? find_owner(spec, access->database, at) : NULL;
		if (other != NULL)
			complain(diagnostics, access->mark, owner, path, "the database '%s' belongs to '%s' already",
					 access->database, other);
	}
}

static void
finish_user(const PostgresSpec *spec, size_t at, SourceMark owner, DiagnosticList *diagnostics)
{
	const PostgresUser *user = &spec->users[at];
	char label[NAME_MAX_BYTES + 1];
	char path[64];

	snprintf(path, sizeof(path), "users[%zu]", at);
	if (user->name == NULL)
		return;
	postgres_user_label(user->name, label);
	for (size_t i = 0; i < at; i++)
	{
		const char *earlier = spec->users[i].name;
		char earlier_label[NAME_MAX_BYTES + 1];

		if (earlier == NULL)
			continue;
		postgres_user_label(earlier, earlier_label);
		if (strcmp(earlier, user->name) == 0)
			complain(diagnostics, user->mark, owner, path, "the user '%s' appears twice", user->name);
		else if (strcmp(earlier_label, label) == 0)
			complain(diagnostics, user->mark, owner, path,
					 "the secrets of '%s' would have the names of those of '%s': '%s-%s-password'; rename one",
					 user->name, earlier, spec->name, label);
	}
	finish_access(spec, at, owner, diagnostics);
}

static void
fill_in_databases(PostgresSpec *spec)
{
	for (size_t i = 0; i < spec->user_count; i++)
	{
		for (size_t k = 0; k < spec->users[i].access_count; k++)
		{
			PostgresAccess *access = &spec->users[i].access[k];

			if (access->database == NULL && spec->database != NULL)
				access->database = memory_duplicate(spec->database);
		}
	}
}

/* Who is asked for nothing else owns the database, as the first user of a server is used to. */
static void
give_first_user_the_database(PostgresSpec *spec)
{
	PostgresUser *first = spec->users;

	if (spec->user_count == 0 || first->access_count > 0 || spec->database == NULL ||
		find_owner(spec, spec->database, SIZE_MAX) != NULL)
		return;
	first->access = memory_allocate(sizeof(*first->access));
	first->access[0] =
		(PostgresAccess){.database = memory_duplicate(spec->database), .level = POSTGRES_OWNER, .mark = first->mark};
	first->access_count = 1;
}

static void
finish_parameters(const PostgresSpec *spec, SourceMark owner, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < spec->parameter_count; i++)
	{
		const char *name = spec->parameters[i].name;
		const char *refusal = postgres_parameter_refusal(name, spec->version);
		char path[KEY_PATH_BYTES];

		snprintf(path, sizeof(path), "parameters.%.100s", name);
		if (refusal != NULL)
			complain(diagnostics, spec->parameters[i].mark, owner, path, "%s %s", name, refusal);
		if (strpbrk(spec->parameters[i].value, "\n\r") != NULL)
			complain(diagnostics, spec->parameters[i].mark, owner, path, "the value must be one line");
		/* Names of parameters don't heed the case. */
		for (size_t k = 0; k < i; k++)
		{
			if (strcasecmp(spec->parameters[k].name, name) == 0)
				complain(diagnostics, spec->parameters[i].mark, owner, path, "appears twice");
		}
	}
}

static void
finish_exposes(PostgresSpec *spec)
{
	AppSpec *machine = &spec->machine;

	if (machine->expose_count == 0)
	{
		machine->exposes = memory_allocate(sizeof(*machine->exposes));
		machine->expose_count = 1;
		text_copy(machine->exposes[0].name, sizeof(machine->exposes[0].name), "access");
		/* Pools stay connected; under them the server sleeps. */
		machine->exposes[0].tracking =
			(ServiceTracking){.kind = TRACKING_TRAFFIC_AWARE, .inactivity_timeout_ms = INACTIVITY_TIMEOUT_MS};
	}
	for (size_t i = 0; i < machine->expose_count; i++)
		machine->exposes[i].port = POSTGRES_PORT;
}

void
postgres_spec_finish(PostgresSpec *spec, SourceMark owner, DiagnosticList *diagnostics)
{
	if (strlen(spec->name) > CLUSTER_NAME_MAX_BYTES)
		complain(diagnostics, owner, owner, "name", "has more than %d characters, and others are made of it",
				 CLUSTER_NAME_MAX_BYTES);
	if (spec->has_resources && spec->size != POSTGRES_SIZE_NONE)
		complain(diagnostics, owner, owner, "size", "stands beside `resources`; leave one of them out");
	if (!spec->has_resources && spec->size == POSTGRES_SIZE_NONE)
		spec->size = POSTGRES_SMALL;
	if (spec->volume[0] != '\0' && spec->storage_bytes != 0)
		complain(diagnostics, owner, owner, "storage", "stands beside a `volume`, which has a size of its own");
	fill_in_databases(spec);
	give_first_user_the_database(spec);
	for (size_t i = 0; i < spec->user_count; i++)
		finish_user(spec, i, owner, diagnostics);
	finish_databases(spec, owner, diagnostics);
	finish_parameters(spec, owner, diagnostics);
	finish_exposes(spec);
}
