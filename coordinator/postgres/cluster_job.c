/* Bringing a cluster's server to what its spec says; see cluster_job.h. */
#include "postgres/cluster_job.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "model/postgres_spec.h"
#include "postgres/password.h"
#include "postgres/plan.h"

/* How often it is looked whether the server has read its settings; it takes milliseconds. */
#define RELOAD_LOOK_SECONDS "0.02"

/* ---- the settings ---- */

/* A backend notes when it has read them itself: a session's own answer is what it then shows. */
static int
wait_for_reload(PostgresConnection *connection, const char *before, uint64_t deadline_ns, Error *err)
{
	for (;;)
	{
		_cleanup_result_ struct pg_result *rows = NULL;
		const char *const parameters[] = {before};
		int result =
			postgres_query(connection, "SELECT pg_conf_load_time() > $1::timestamptz", parameters, 1, &rows, err);

		if (result < 0 || PQgetvalue(rows, 0, 0)[0] == 't')
			return result;
		if (clock_monotonic_ns() > deadline_ns)
			return error_set(err, -ETIMEDOUT, "the server does not read its settings");
		/* Between statements a backend reads its settings; so the pause is one, too. */
		result = postgres_execute(connection, "SELECT pg_sleep(" RELOAD_LOOK_SECONDS ")", err);
		if (result < 0)
			return result;
	}
}

/* The server refuses a file that holds anything wrong as a whole, and says so in its own words. */
static int
check_settings(PostgresConnection *connection, Error *err)
{
	_cleanup_result_ struct pg_result *rows = NULL;
	int result = postgres_query(connection,
								"SELECT coalesce(name, sourcefile || ' line ' || sourceline), error"
								" FROM pg_file_settings WHERE error IS NOT NULL"
								" AND error <> 'setting could not be applied' LIMIT 1",
								NULL, 0, &rows, err);

	if (result == 0 && PQntuples(rows) > 0)
		return error_set(err, -EINVAL, "parameters.%s: %s", PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1));
	return result;
}

static int
reload_settings(PostgresConnection *connection, uint64_t deadline_ns, ClusterJobResult *result_out, Error *err)
{
	_cleanup_result_ struct pg_result *before = NULL;
	_cleanup_result_ struct pg_result *pending = NULL;
	int result = check_settings(connection, err);

	if (result == 0)
		result = postgres_query(connection, "SELECT pg_conf_load_time()::text", NULL, 0, &before, err);
	if (result == 0)
		result = postgres_execute(connection, "SELECT pg_reload_conf()", err);
	if (result == 0)
		result = wait_for_reload(connection, PQgetvalue(before, 0, 0), deadline_ns, err);
	if (result == 0)
		result = postgres_query(connection,
								"SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM pg_settings"
								" WHERE pending_restart",
								NULL, 0, &pending, err);
	if (result == 0)
		text_copy(result_out->restart_for, sizeof(result_out->restart_for), PQgetvalue(pending, 0, 0));
	return result;
}

/* ---- users and databases ---- */

static size_t
count_schemas(const PostgresAccess *access)
{
	size_t count = 0;

	while (access->schemas != NULL && access->schemas[count] != NULL)
		count++;
	return count == 0 ? 1 : count;
}

static AccessLevel
level_of(PostgresLevel level)
{
	switch (level)
	{
		case POSTGRES_OWNER:
			return ACCESS_OWNER;
		case POSTGRES_READWRITE:
			return ACCESS_READWRITE;
		case POSTGRES_READONLY:
			return ACCESS_READONLY;
		default:
			return ACCESS_METADATA;
	}
}

/* Who owns a database has what others make in it, too, wherever the file says that it is the owner. */
static void
fill_access(const PostgresSpec *spec, const PostgresUser *user, Account *account)
{
	size_t total = spec->database_count;
	size_t count = 0;
	AccountAccess *access;

	for (size_t i = 0; i < user->access_count; i++)
		total += count_schemas(&user->access[i]);
	access = memory_allocate((total + 1) * sizeof(*access));
	for (size_t i = 0; i < user->access_count; i++)
	{
		const PostgresAccess *from = &user->access[i];

		for (size_t k = 0; k < count_schemas(from); k++)
			access[count++] = (AccountAccess){.database = from->database,
											  .schema = from->schemas == NULL ? SCHEMA_EVERY : from->schemas[k],
											  .level = level_of(from->level)};
	}
	for (size_t i = 0; i < spec->database_count; i++)
	{
		if (spec->databases[i].owner != NULL && strcmp(spec->databases[i].owner, user->name) == 0)
			access[count++] = (AccountAccess){.database = spec->databases[i].name, .level = ACCESS_OWNER};
	}
	account->access = access;
	account->access_count = count;
}

/* Nothing of it is freed: the child ends. passwords: NULL: they don't matter. */
static void
fill_accounts(const PostgresSpec *spec, char *const *passwords, const bool *rotated, Accounts *ret_accounts)
{
	Account *users = memory_allocate((spec->user_count + 1) * sizeof(*users));
	AccountDatabase *databases = memory_allocate((spec->database_count + 1) * sizeof(*databases));

	for (size_t i = 0; i < spec->user_count; i++)
	{
		users[i] = (Account){.name = spec->users[i].name,
							 .attributes = postgres_user_roles(&spec->users[i]),
							 .password = passwords == NULL ? NULL : passwords[i],
							 .set_password = rotated != NULL && rotated[i]};
		fill_access(spec, &spec->users[i], &users[i]);
	}
	databases[0] = (AccountDatabase){.name = spec->database};
	for (size_t i = 0; i < spec->database_count; i++)
		databases[i + 1] = (AccountDatabase){.name = spec->databases[i].name, .owner = spec->databases[i].owner};
	*ret_accounts = (Accounts){.users = users,
							   .user_count = spec->user_count,
							   .databases = databases,
							   .database_count = spec->database_count + 1};
}

/* Whole lines; what does not fit is counted. */
static void
join_lines(const PlanLines *lines, char *out, size_t size)
{
	static const char pattern[] = "and %zu more";
	size_t room = size - sizeof(pattern) - 20;
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < lines->count; i++)
	{
		size_t length = strlen(lines->lines[i]) + 1;

		if (used + length > room)
		{
			snprintf(out + used, size - used, pattern, lines->count - i);
			return;
		}
		memcpy(out + used, lines->lines[i], length - 1);
		used += length;
		out[used - 1] = '\n';
		out[used] = '\0';
	}
}

static int
apply_accounts(Sessions *sessions, const ClusterJob *job, ClusterJobResult *result_out, Error *err)
{
	_cleanup_plan_ Plan plan = {0};
	char *label = memory_printf("%s/%s", job->spec->name_space, job->spec->name);
	Accounts wanted;
	Accounts made = {0};
	PlanRequest request = {.wanted = &wanted,
						   .made = job->applied == NULL ? NULL : &made,
						   .label = label,
						   .adopt = job->options.adopt,
						   .repair = job->options.repair,
						   .drop_owned = job->options.drop_owned,
						   .drop_database = job->options.drop_database[0] != '\0' ? job->options.drop_database : NULL,
						   .reassign_to = job->options.reassign_to[0] != '\0' ? job->options.reassign_to : NULL};
	int result;

	fill_accounts(job->spec, job->passwords, job->rotated, &wanted);
	if (job->applied != NULL)
		fill_accounts(job->applied, NULL, NULL, &made);
	result = plan_make(sessions, &request, &plan, err);
	if (result == 0)
		result = job->only_check ? plan_check(&plan, err) : plan_apply(sessions, &plan, err);
	if (result == 0)
	{
		join_lines(&plan.notes, result_out->notes, sizeof(result_out->notes));
		join_lines(&plan.drift, result_out->drift, sizeof(result_out->drift));
	}
	free(label);
	return result;
}

int
cluster_job_run(const void *input, void *output, Error *err)
{
	const ClusterJob *job = input;
	ClusterJobResult *result_out = output;
	_cleanup_sessions_ Sessions sessions = {.target = {.host = job->host,
													   .port = POSTGRES_PORT,
													   .user = POSTGRES_SUPERUSER,
													   .password = job->superuser_password,
													   .next_password = job->next_superuser_password,
													   .database = POSTGRES_SUPERUSER},
											.deadline_ns = clock_monotonic_ns() + job->timeout_ms * NS_PER_MS};
	PostgresConnection *connection;
	int result = sessions_get(&sessions, NULL, &connection, err);

	if (result == 0 && !job->only_check)
		result = reload_settings(connection, sessions.deadline_ns, result_out, err);
	if (result == 0)
		result = apply_accounts(&sessions, job, result_out, err);
	/* Last: the sessions that are opened above still use the one before. */
	if (result == 0 && !job->only_check && job->next_superuser_password != NULL)
		result = password_set(connection, POSTGRES_SUPERUSER, job->next_superuser_password, err);
	/* Names in it may have been cut within a letter. */
	if (result < 0)
		text_make_printable(err->message);
	return result;
}
