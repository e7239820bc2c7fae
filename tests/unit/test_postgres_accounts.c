/*
 * Users, databases and access on a real PostgreSQL: rights are tried out by those who have them and by those who have
 * not.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "postgres/catalog.h"
#include "postgres/password.h"
#include "postgres/plan.h"
#include "postgres_server.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PLAIN		 (POSTGRES_ROLE_LOGIN | POSTGRES_ROLE_INHERIT)
#define DENIED		 "42501" /* insufficient_privilege */
#define ACCESSES(...)                                                                                                  \
	.access = (const AccountAccess[]){__VA_ARGS__}, .access_count = COUNT(((AccountAccess[]){__VA_ARGS__}))
#define ACCOUNTS(user_list, database_list)                                                                             \
	{                                                                                                                  \
		.users = (user_list), .user_count = COUNT(user_list), .databases = (database_list),                            \
		.database_count = COUNT(database_list)                                                                         \
	}

/* Runs statements as somebody: "" when they are done, or the SQLSTATE. */
static const char *
try_as(const char *user, const char *password, const char *database, const char *sql)
{
	static char state[6];
	PostgresTarget target = server_target();
	_cleanup_postgres_ PostgresConnection *connection = NULL;
	Error err = {0};

	target.user = user;
	target.password = password;
	target.database = database;
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), 0);
	if (postgres_execute(connection, sql, &err) == 0)
		return "";
	snprintf(state, sizeof(state), "%s", postgres_sqlstate(connection));
	return state;
}

static void
run_as_superuser(const char *database, const char *sql)
{
	assert_string_equal(try_as("postgres", SERVER_PASSWORD, database, sql), "");
}

/* One value, as the superuser sees it. The caller frees. */
static char *
read_value(const char *database, const char *sql)
{
	PostgresTarget target = server_target();
	_cleanup_postgres_ PostgresConnection *connection = NULL;
	_cleanup_result_ PGresult *rows = NULL;
	Error err = {0};

	target.database = database;
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), 0);
	if (postgres_query(connection, sql, NULL, 0, &rows, &err) < 0)
		fail_msg("%s", err.message);
	return memory_duplicate(PQntuples(rows) > 0 ? PQgetvalue(rows, 0, 0) : "no row");
}

static void
assert_value(const char *database, const char *sql, const char *expected)
{
	_cleanup_free_ char *value = read_value(database, sql);

	assert_string_equal(value, expected);
}

static void
print_lines(const char *what, const PlanLines *list)
{
	for (size_t i = 0; i < list->count; i++)
		fprintf(stderr, "%s: %s\n", what, list->lines[i]);
}

/* Plans and applies. ret_plan NULL: it must go well, with nothing to tell. */
static int
settle(const PlanRequest *request, Plan *ret_plan, Error *err)
{
	_cleanup_sessions_ Sessions sessions = {.target = server_target(), .deadline_ns = server_deadline(60)};
	_cleanup_plan_ Plan plan = {0};
	PlanRequest labelled = *request;
	int result;

	labelled.label = "samples/shop";
	result = plan_make(&sessions, &labelled, &plan, err);
	if (result == 0)
		result = plan_apply(&sessions, &plan, err);
	if (ret_plan != NULL)
	{
		*ret_plan = plan;
		plan = (Plan){0};
	}
	else if (result < 0 || plan.drift.count > 0)
	{
		print_lines("drift", &plan.drift);
		fail_msg("%d: %s", result, err->message);
	}
	return result;
}

static void
must_settle(const Accounts *wanted, const Accounts *made)
{
	Error err = {0};

	settle(&(PlanRequest){.wanted = wanted, .made = made, .drop_owned = true}, NULL, &err);
}

/* Nothing to do, nothing to tell. */
static void
assert_settled(const Accounts *accounts)
{
	_cleanup_plan_ Plan plan = {0};
	Error err = {0};

	assert_int_equal(settle(&(PlanRequest){.wanted = accounts, .made = accounts}, &plan, &err), 0);
	print_lines("drift", &plan.drift);
	for (size_t i = 0; i < plan.count; i++)
		fprintf(stderr, "%s\n", plan.steps[i].statements[0].sql);
	assert_int_equal(plan.count, 0);
	assert_int_equal(plan.drift.count, 0);
}

static bool
has_line(const PlanLines *list, const char *part)
{
	for (size_t i = 0; i < list->count; i++)
	{
		if (strstr(list->lines[i], part) != NULL)
			return true;
	}
	print_lines("line", list);
	return false;
}

static const Accounts nobody;

/* Takes away all that a test made. */
static void
clean(const Accounts *made)
{
	Error err = {0};

	settle(&(PlanRequest){.wanted = &nobody, .made = made, .drop_owned = true, .drop_databases = true}, NULL, &err);
	assert_value("postgres", "SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_'", "1");
	assert_value("postgres", "SELECT count(*) FROM pg_database", "3");
}

/* Every character that can be typed; names that need quoting. Neither is ever to be read in the server's log. */
static void
test_names_and_passwords_are_quoted(void **state)
{
	char every[96];
	const Account users[] = {
		{.name = "we\"ird 'na\\me; DROP--$$é%I", .attributes = PLAIN, .password = every},
		{.name = "SELECT", .attributes = PLAIN, .password = "plain-and-simple-secret"},
	};
	const AccountDatabase databases[] = {{.name = "Shop \"of\" 'x'; %s"}};
	const Accounts wanted = ACCOUNTS(users, databases);
	_cleanup_free_ char *log = NULL;

	(void) state;
	for (int i = 0; i < 95; i++)
		every[i] = (char) (' ' + i);
	every[95] = '\0';
	must_settle(&wanted, NULL);
	assert_string_equal(try_as(users[0].name, every, databases[0].name, "SELECT 1"), "");
	assert_string_equal(try_as("SELECT", users[1].password, databases[0].name, "SELECT 1"), "");
	assert_settled(&wanted);
	clean(&wanted);
	log = server_log();
	assert_non_null(strstr(log, "COMMENT ON ROLE")); /* all else is logged */
	assert_null(strstr(log, "plain-and-simple-secret"));
	assert_null(strstr(log, every + 64));
	assert_null(strstr(log, "SCRAM-SHA-256$"));
	assert_null(strstr(log, "CREATE ROLE \"SELECT\""));
}

/* What is not set is unset, one by one; a plan holds no password, and shows no verifier. */
static void
test_attributes_are_set_and_unset(void **state)
{
	const AccountDatabase databases[] = {{.name = "postgres"}};
	Account user = {.name = "changing", .attributes = 0, .password = "secret-of-changing"};
	Account before = user;
	Accounts wanted = {.users = &user, .user_count = 1, .databases = databases, .database_count = 1};
	Accounts made = {.users = &before, .user_count = 1, .databases = databases, .database_count = 1};
	Error err = {0};

	(void) state;
	must_settle(&wanted, NULL);
	for (unsigned step = 0; step < 2 * POSTGRES_ROLE_COUNT; step++)
	{
		_cleanup_free_ char *attributes = NULL;
		char expected[POSTGRES_ROLE_COUNT + 1];

		before = user;
		user.attributes ^= 1U << step % POSTGRES_ROLE_COUNT;
		must_settle(&wanted, &made);
		for (unsigned bit = 0; bit < POSTGRES_ROLE_COUNT; bit++)
			expected[bit] = (user.attributes & (1U << bit)) != 0 ? 't' : 'f';
		expected[POSTGRES_ROLE_COUNT] = '\0';
		attributes = read_value("postgres", "SELECT concat(rolsuper, rolcreatedb, rolcreaterole, rolinherit, "
											"rolcanlogin, rolreplication, rolbypassrls) FROM pg_roles WHERE "
											"rolname = 'changing'");
		assert_string_equal(attributes, expected);
	}
	{
		_cleanup_sessions_ Sessions sessions = {.target = server_target(), .deadline_ns = server_deadline(60)};
		_cleanup_plan_ Plan plan = {0};

		user.set_password = true;
		assert_int_equal(
			plan_make(&sessions, &(PlanRequest){.wanted = &wanted, .made = &wanted, .label = "s/x"}, &plan, &err), 0);
		assert_int_equal(plan.count, 1);
		assert_null(strstr(plan.steps[0].statements[0].sql, user.password));
		assert_non_null(strstr(plan.steps[0].statements[0].sql, "SCRAM-SHA-256$4096:"));
		assert_string_equal(plan.steps[0].statements[0].shown, "ALTER ROLE \"changing\" PASSWORD '…'");
	}
	clean(&wanted);
}

/* The grants of readwrite and readonly, and the group of metadata; by schema, now and for what is made later. */
static void
test_access_is_what_its_level_says(void **state)
{
	const Account users[] = {
		{.name = "boss", .attributes = PLAIN, .password = "b", ACCESSES({"shop", NULL, ACCESS_OWNER})},
		{.name = "writer", .attributes = PLAIN, .password = "w", ACCESSES({"shop", "public", ACCESS_READWRITE})},
		{.name = "reader", .attributes = PLAIN, .password = "r", ACCESSES({"shop", "public", ACCESS_READONLY})},
		{.name = "mapper", .attributes = PLAIN, .password = "m", ACCESSES({"shop", "sales", ACCESS_METADATA})},
		{.name = "every", .attributes = PLAIN, .password = "e", ACCESSES({"shop", "*", ACCESS_READONLY})},
	};
	const AccountDatabase databases[] = {{.name = "shop"}, {.name = "empty"}};
	const Accounts wanted = ACCOUNTS(users, databases);

	(void) state;
	run_as_superuser("postgres", "CREATE DATABASE shop");
	run_as_superuser("shop", "CREATE TABLE public.old (id serial PRIMARY KEY, note text)");
	must_settle(&wanted, NULL);
	assert_string_equal(try_as("boss", "b", "shop", "CREATE TABLE public.mine (id serial, note text)"), "");
	assert_string_equal(try_as("boss", "b", "shop",
							   "CREATE TABLE sales.orders (id serial, note text); CREATE SCHEMA later; "
							   "CREATE TABLE later.things (id int)"),
						"");
	run_as_superuser("shop",
					 "CREATE TABLE public.theirs (id serial, note text); CREATE VIEW public.seen AS SELECT 1 AS one");
	assert_value("shop", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'", "boss");

	/* The owner has what others made, too, and may do anything in its schemas. */
	assert_string_equal(
		try_as("boss", "b", "shop", "INSERT INTO public.old (note) VALUES ('x'); TRUNCATE public.theirs"), "");
	/* readwrite: rows and sequences of old and new tables, of whomever. */
	assert_string_equal(try_as("writer", "w", "shop",
							   "INSERT INTO public.old (note) VALUES ('x'); UPDATE public.mine SET note = 'y'; "
							   "INSERT INTO public.mine (note) VALUES ('z'); DELETE FROM public.theirs; "
							   "INSERT INTO public.theirs (note) VALUES ('q'); SELECT * FROM public.seen"),
						"");
	assert_string_equal(try_as("writer", "w", "shop", "CREATE TABLE public.no (id int)"), DENIED);
	assert_string_equal(try_as("writer", "w", "shop", "TRUNCATE public.old"), DENIED);
	assert_string_equal(try_as("writer", "w", "shop", "SELECT * FROM sales.orders"), DENIED);
	/* readonly. */
	assert_string_equal(
		try_as("reader", "r", "shop", "SELECT * FROM public.old, public.mine, public.theirs, public.seen"), "");
	assert_string_equal(try_as("reader", "r", "shop", "INSERT INTO public.old (note) VALUES ('x')"), DENIED);
	assert_string_equal(try_as("reader", "r", "shop", "UPDATE public.mine SET note = 'y'"), DENIED);
	assert_string_equal(try_as("reader", "r", "shop", "DELETE FROM public.theirs"), DENIED);
	assert_string_equal(try_as("reader", "r", "shop", "SELECT nextval('public.old_id_seq')"), DENIED);
	assert_string_equal(try_as("reader", "r", "shop", "SELECT * FROM later.things"), DENIED);
	/* metadata: its schema through its group, and no other. */
	assert_string_equal(try_as("mapper", "m", "shop", "SELECT * FROM sales.orders"), "");
	assert_string_equal(try_as("mapper", "m", "shop", "SELECT * FROM public.old"), DENIED);
	assert_string_equal(try_as("mapper", "m", "shop", "INSERT INTO sales.orders (note) VALUES ('x')"), DENIED);
	assert_value("shop", "SELECT concat(rolcanlogin) FROM pg_roles WHERE rolname = 'mapper_metadata'", "f");
	assert_value(
		"shop", "SELECT concat(count(*)) FROM pg_class, aclexplode(relacl) a WHERE a.grantee = 'mapper'::regrole", "0");
	/* every schema, also one that came later. */
	assert_string_equal(try_as("every", "e", "shop", "SELECT * FROM public.old, sales.orders, later.things"), "");
	assert_string_equal(try_as("every", "e", "shop", "DELETE FROM later.things"), DENIED);
	assert_settled(&wanted);
	clean(&wanted);
}

/* A new owner's tables are covered for those who were there before; a level that changes takes rights away. */
static void
test_changes_of_access(void **state)
{
	const Account first[] = {
		{.name = "one", .attributes = PLAIN, .password = "1", ACCESSES({"shop", "public", ACCESS_READWRITE})},
		{.name = "two", .attributes = PLAIN, .password = "2", ACCESSES({"shop", NULL, ACCESS_OWNER})},
		{.name = "three", .attributes = PLAIN, .password = "3", ACCESSES({"shop", "public", ACCESS_METADATA})},
	};
	const Account second[] = {
		{.name = "one", .attributes = PLAIN, ACCESSES({"shop", "public", ACCESS_READONLY})},
		{.name = "two", .attributes = PLAIN, ACCESSES({"shop", "public", ACCESS_READWRITE})},
		{.name = "three", .attributes = PLAIN},
		{.name = "four", .attributes = PLAIN, .password = "4", ACCESSES({"shop", NULL, ACCESS_OWNER})},
	};
	const AccountDatabase databases[] = {{.name = "shop"}};
	const Accounts before = ACCOUNTS(first, databases), after = ACCOUNTS(second, databases);

	(void) state;
	must_settle(&before, NULL);
	assert_string_equal(try_as("two", "2", "shop", "CREATE TABLE public.a (id serial)"), "");
	assert_string_equal(try_as("one", "1", "shop", "INSERT INTO public.a DEFAULT VALUES"), "");
	assert_string_equal(try_as("three", "3", "shop", "SELECT FROM public.a"), "");
	must_settle(&after, &before);
	assert_string_equal(try_as("one", "1", "shop", "INSERT INTO public.a DEFAULT VALUES"), DENIED);
	assert_string_equal(try_as("one", "1", "shop", "SELECT FROM public.a"), "");
	assert_string_equal(try_as("three", "3", "shop", "SELECT FROM public.a"), DENIED);
	assert_value("shop", "SELECT count(*) FROM pg_roles WHERE rolname = 'three_metadata'", "0");
	/* two made it, and keeps it; but it makes no more. */
	assert_string_equal(try_as("two", "2", "shop", "TRUNCATE public.a"), "");
	assert_string_equal(try_as("two", "2", "shop", "CREATE TABLE public.c (id int)"), DENIED);
	assert_string_equal(try_as("four", "4", "shop", "CREATE TABLE public.b (id serial); SELECT FROM public.a"), "");
	assert_string_equal(try_as("one", "1", "shop", "SELECT FROM public.b"), "");
	assert_string_equal(try_as("one", "1", "shop", "DELETE FROM public.b"), DENIED);
	assert_string_equal(try_as("two", "2", "shop", "INSERT INTO public.b DEFAULT VALUES"), "");
	assert_settled(&after);
	clean(&after);
}

/* All that concerns one database is one transaction, also roles: nothing is half made. */
static void
test_a_plan_of_one_database_is_whole_or_nothing(void **state)
{
	const Account users[] = {
		{.name = "early", .attributes = PLAIN, .password = "e", ACCESSES({"postgres", "public", ACCESS_READONLY})},
	};
	const AccountDatabase databases[] = {{.name = "postgres"}};
	const Accounts wanted = ACCOUNTS(users, databases);
	_cleanup_sessions_ Sessions sessions = {.target = server_target(), .deadline_ns = server_deadline(60)};
	_cleanup_plan_ Plan plan = {0};
	Error err = {0};

	(void) state;
	assert_int_equal(plan_make(&sessions, &(PlanRequest){.wanted = &wanted, .label = "s/x"}, &plan, &err), 0);
	assert_int_equal(plan.count, 1);
	assert_true(plan.steps[0].transaction);
	/* Its last statement fails, because there is no such role any more. */
	free(plan.steps[0].statements[plan.steps[0].count - 1].sql);
	plan.steps[0].statements[plan.steps[0].count - 1].sql =
		memory_duplicate("GRANT SELECT ON TABLE nowhere.never TO early");
	assert_int_equal(plan_apply(&sessions, &plan, &err), -EREMOTEIO);
	assert_non_null(strstr(err.message, "GRANT SELECT ON TABLE nowhere.never TO early: database \"postgres\": schema"));
	assert_value("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'early'", "0");
	must_settle(&wanted, NULL);
	/* Our own record of it was lost: they are known by their comments, and nothing is refused. */
	must_settle(&wanted, NULL);
	assert_settled(&wanted);
	clean(&wanted);
}

static void
test_a_role_of_somebody_else(void **state)
{
	const Account users[] = {{.name = "theirs", .attributes = PLAIN, .password = "ours"}};
	const AccountDatabase databases[] = {{.name = "postgres"}};
	const Accounts wanted = ACCOUNTS(users, databases);
	_cleanup_plan_ Plan plan = {0}, adopted = {0};
	Error err = {0};

	(void) state;
	run_as_superuser("postgres",
					 "CREATE ROLE theirs LOGIN CREATEDB PASSWORD 'theirs'; COMMENT ON ROLE theirs IS 'of old'");
	assert_int_equal(settle(&(PlanRequest){.wanted = &wanted}, &plan, &err), -EEXIST);
	assert_non_null(strstr(err.message, "role \"theirs\" is there already"));
	assert_string_equal(try_as("theirs", "theirs", "postgres", "CREATE DATABASE passing"), "");
	run_as_superuser("postgres", "DROP DATABASE passing");
	assert_int_equal(settle(&(PlanRequest){.wanted = &wanted, .adopt = true}, &adopted, &err), 0);
	assert_string_equal(try_as("theirs", "ours", "postgres", "CREATE DATABASE passing"), DENIED);
	assert_value("postgres", "SELECT split_part(shobj_description('theirs'::regrole, 'pg_authid'), E'\\n', 2)",
				 "of old");
	assert_settled(&wanted);
	clean(&wanted);
}

/* Somebody who owns things stays, and they are named, ten of them at most. */
static void
test_owners_are_not_dropped(void **state)
{
	const Account users[] = {
		{.name = "maker", .attributes = PLAIN, .password = "m", ACCESSES({"shop", NULL, ACCESS_OWNER})},
		{.name = "heir", .attributes = PLAIN, .password = "h", ACCESSES({"shop", "public", ACCESS_READONLY})},
	};
	const AccountDatabase databases[] = {{.name = "shop"}, {.name = "other"}};
	const Accounts before = ACCOUNTS(users, databases);
	const Accounts after = {.users = users + 1, .user_count = 1, .databases = databases, .database_count = 2};
	_cleanup_plan_ Plan refused = {0}, wrong = {0}, given = {0};
	Error err = {0};

	(void) state;
	must_settle(&before, NULL);
	for (int i = 0; i < 12; i++)
	{
		Text sql = {0};

		text_printf(&sql, "CREATE TABLE public.t%02d (id int)", i);
		assert_string_equal(try_as("maker", "m", "shop", text_string(&sql)), "");
		text_clear(&sql);
	}
	run_as_superuser("other", "CREATE TABLE public.away (id int); ALTER TABLE public.away OWNER TO maker");
	assert_int_equal(settle(&(PlanRequest){.wanted = &after, .made = &before}, &refused, &err), -EEXIST);
	assert_non_null(strstr(err.message, "user \"maker\" owns 13 things: in database \"other\" table public.away, "
										"in database \"shop\" table public.t00, table public.t01"));
	assert_non_null(strstr(err.message, "table public.t08, and 3 more; "));
	assert_null(strstr(err.message, "t09"));
	assert_non_null(
		strstr(err.message, "; lttle postgres user drop shop maker --ns samples --reassign-to USER gives "));
	assert_string_equal(try_as("maker", "m", "shop", "SELECT FROM public.t11"), "");
	assert_int_equal(settle(&(PlanRequest){.wanted = &after, .made = &before, .reassign_to = "nobody"}, &wrong, &err),
					 -EEXIST);
	assert_non_null(strstr(err.message, "there is no user \"nobody\""));
	assert_int_equal(settle(&(PlanRequest){.wanted = &after, .made = &before, .reassign_to = "heir"}, &given, &err), 0);
	assert_value("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'maker'", "0");
	assert_value("shop", "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 't11'", "heir");
	assert_value("other", "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'away'", "heir");
	/* The database itself went back, as it was wanted: not to whom the tables went. */
	assert_value("shop", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'", "postgres");
	assert_settled(&after);
	/* Told to drop what it owns. */
	must_settle(&(Accounts){.databases = databases, .database_count = 2}, &after);
	assert_value("shop", "SELECT count(*) FROM pg_class WHERE relname LIKE 't__' OR relname = 'away'", "0");
	clean(&(Accounts){.databases = databases, .database_count = 2});
}

/* A session of a user that is dropped ends. */
static void
test_sessions_end_with_the_user(void **state)
{
	const Account users[] = {{.name = "guest", .attributes = PLAIN, .password = "g"}};
	const AccountDatabase databases[] = {{.name = "postgres"}};
	const Accounts made = ACCOUNTS(users, databases);
	const Accounts wanted = {.databases = databases, .database_count = 1};
	PostgresTarget target = server_target();
	_cleanup_postgres_ PostgresConnection *connection = NULL;
	Error err = {0};

	(void) state;
	must_settle(&made, NULL);
	target.user = "guest";
	target.password = "g";
	assert_int_equal(postgres_open(&target, server_deadline(60), &connection, &err), 0);
	must_settle(&wanted, &made);
	/* pg_terminate_backend only asks; the session ends at its next step at the latest. */
	while (postgres_execute(connection, "SELECT 1", &err) == 0)
		;
	assert_true(err.code == -ECONNRESET || err.code == -EREMOTEIO);
	clean(&wanted);
}

/* What was changed by hand is told, once each, and left; repair puts it back. */
static void
test_drift_is_told_and_left(void **state)
{
	const Account users[] = {
		{.name = "boss", .attributes = PLAIN, .password = "b", ACCESSES({"shop", NULL, ACCESS_OWNER})},
		{.name = "reader", .attributes = PLAIN, .password = "r", ACCESSES({"shop", "public", ACCESS_READONLY})},
	};
	Account changed[2];
	const AccountDatabase databases[] = {{.name = "shop"}};
	const Accounts wanted = ACCOUNTS(users, databases), more = ACCOUNTS(changed, databases);
	_cleanup_plan_ Plan plan = {0}, again = {0}, repaired = {0};
	Error err = {0};

	(void) state;
	must_settle(&wanted, NULL);
	assert_string_equal(try_as("boss", "b", "shop", "CREATE TABLE public.a (id int); CREATE TABLE public.b (id int)"),
						"");
	run_as_superuser(
		"shop", "ALTER ROLE reader CREATEDB PASSWORD 'mine'; ALTER ROLE boss NOINHERIT; GRANT pg_monitor TO reader; "
				"REVOKE SELECT ON public.a FROM reader; GRANT DELETE ON public.b TO reader; "
				"ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA public REVOKE SELECT ON TABLES FROM reader; "
				"ALTER DATABASE shop OWNER TO postgres");
	assert_int_equal(settle(&(PlanRequest){.wanted = &wanted, .made = &wanted}, &plan, &err), 0);
	assert_int_equal(plan.count, 0);
	assert_true(has_line(&plan.drift, "user \"reader\" was given CREATEDB"));
	assert_true(has_line(&plan.drift, "user \"reader\" has another password than its secret"));
	assert_true(has_line(&plan.drift, "user \"boss\" has lost INHERIT"));
	assert_true(has_line(&plan.drift, "user \"reader\" was made a member of \"pg_monitor\""));
	assert_true(
		has_line(&plan.drift, "\"reader\" has no SELECT on 1 of the tables in schema \"public\", such as \"a\""));
	assert_true(
		has_line(&plan.drift, "\"reader\" was given DELETE on 1 of the tables in schema \"public\", such as \"b\""));
	assert_true(
		has_line(&plan.drift, "\"reader\" will not get SELECT on TABLES that \"boss\" makes in schema \"public\""));
	assert_true(has_line(&plan.drift, "database \"shop\" was given to \"postgres\""));
	/* Another change goes through, and leaves them alone. */
	memcpy(changed, users, sizeof(users));
	changed[0].attributes |= POSTGRES_ROLE_REPLICATION;
	assert_int_equal(settle(&(PlanRequest){.wanted = &more, .made = &wanted}, &again, &err), 0);
	assert_value("shop", "SELECT concat(rolcreatedb) FROM pg_roles WHERE rolname = 'reader'", "t");
	assert_value("shop", "SELECT concat(rolinherit, rolreplication) FROM pg_roles WHERE rolname = 'boss'", "ft");
	assert_string_equal(try_as("reader", "mine", "shop", "SELECT FROM public.a"), DENIED);
	/* Repaired; what was given besides by name stays, as nobody's rule speaks of it. */
	assert_int_equal(settle(&(PlanRequest){.wanted = &more, .made = &more, .repair = true}, &repaired, &err), 0);
	assert_string_equal(try_as("reader", "r", "shop", "SELECT FROM public.a"), "");
	assert_value("shop", "SELECT concat(rolcreatedb) FROM pg_roles WHERE rolname = 'reader'", "f");
	assert_value("shop", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'", "boss");
	clean(&more);
}

/* A database in use is dropped when that is said, and only then; one that is there is not taken from its owner. */
static void
test_databases_come_and_go(void **state)
{
	const Account users[] = {{.name = "boss", .attributes = PLAIN, .password = "b"}};
	const AccountDatabase both[] = {{.name = "one", .owner = "boss"}, {.name = "two"}};
	const AccountDatabase fewer[] = {{.name = "two", .owner = "boss"}};
	const Accounts before = ACCOUNTS(users, both), after = ACCOUNTS(users, fewer);
	_cleanup_postgres_ PostgresConnection *busy = NULL;
	PostgresTarget target = server_target();
	_cleanup_plan_ Plan kept = {0}, dropped = {0}, refused = {0};
	const AccountDatabase foreign[] = {{.name = "strange", .owner = "boss"}};
	const Accounts grabs = ACCOUNTS(users, foreign);
	Error err = {0};

	(void) state;
	must_settle(&before, NULL);
	target.database = "one";
	assert_int_equal(postgres_open(&target, server_deadline(60), &busy, &err), 0);
	assert_int_equal(settle(&(PlanRequest){.wanted = &after, .made = &before}, &kept, &err), 0);
	assert_true(has_line(&kept.notes, "database \"one\" is not wanted any more, but keeps its data"));
	assert_value("postgres",
				 "SELECT string_agg(datname || ':' || pg_get_userbyid(datdba), ',' ORDER BY datname) "
				 "FROM pg_database WHERE datname IN ('one', 'two')",
				 "one:postgres,two:boss");
	assert_int_equal(postgres_execute(busy, "SELECT 1", &err), 0);
	assert_int_equal(settle(&(PlanRequest){.wanted = &after, .made = &before, .drop_databases = true}, &dropped, &err),
					 0);
	assert_true(postgres_execute(busy, "SELECT 1", &err) < 0);
	assert_value("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'one'", "0");
	run_as_superuser("postgres", "CREATE ROLE stranger");
	run_as_superuser("postgres", "CREATE DATABASE strange OWNER stranger");
	assert_int_equal(settle(&(PlanRequest){.wanted = &grabs, .made = &after}, &refused, &err), -EEXIST);
	assert_non_null(strstr(err.message, "database \"strange\" is there already, and belongs to \"stranger\""));
	run_as_superuser("postgres", "DROP DATABASE strange");
	run_as_superuser("postgres", "DROP ROLE stranger");
	clean(&after);
}

static void
test_what_is_wrong_in_itself_is_refused(void **state)
{
	const AccountDatabase databases[] = {{.name = "shop"}};
	const struct
	{
		Account users[2];
		const char *message;
	} cases[] = {
		{{{.name = "a"}, {.name = "a"}}, "user \"a\" is there twice"},
		{{{.name = "a"}, {.name = "pg_b"}}, "user \"pg_b\": PostgreSQL keeps this name to itself"},
		{{{.name = "a"}, {.name = ""}}, "user \"\": the name must not be empty"},
		{{{.name = "a"}, {.name = "b\xff"}}, "the name is not UTF-8"},
		{{{.name = "a"}, {.name = "b\n"}}, "the name must not hold control characters"},
		{{{.name = "a"}, {.name = "1234567890123456789012345678901234567890123456789012345678901234"}},
		 "longer than the 63 bytes"},
		{{{.name = "a"}, {.name = "b", ACCESSES({"none", "public", ACCESS_READONLY})}},
		 "database \"none\", which is none of"},
		{{{.name = "a", ACCESSES({"shop", NULL, ACCESS_OWNER})}, {.name = "b", ACCESSES({"shop", NULL, ACCESS_OWNER})}},
		 "database \"shop\" would have two owners, \"a\" and \"b\""},
		{{{.name = "a_metadata"}, {.name = "a", ACCESSES({"shop", "public", ACCESS_METADATA})}},
		 "user \"a_metadata\" has the name of the group role of \"a\""},
	};

	(void) state;
	for (size_t i = 0; i < COUNT(cases); i++)
	{
		const Accounts accounts = {cases[i].users, 2, databases, 1};
		Error err = {0};

		assert_int_equal(accounts_check(&accounts, &err), -EINVAL);
		if (strstr(err.message, cases[i].message) == NULL)
			fail_msg("%s", err.message);
	}
}

static void
test_passwords_are_drawn(void **state)
{
	char first[PASSWORD_CHARACTERS + 1], second[PASSWORD_CHARACTERS + 1];

	(void) state;
	password_generate(first);
	password_generate(second);
	assert_int_equal(strlen(first), 32);
	assert_int_equal(strspn(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 32);
	assert_string_not_equal(first, second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_passwords_are_quoted),
		cmocka_unit_test(test_attributes_are_set_and_unset),
		cmocka_unit_test(test_access_is_what_its_level_says),
		cmocka_unit_test(test_changes_of_access),
		cmocka_unit_test(test_a_plan_of_one_database_is_whole_or_nothing),
		cmocka_unit_test(test_a_role_of_somebody_else),
		cmocka_unit_test(test_owners_are_not_dropped),
		cmocka_unit_test(test_sessions_end_with_the_user),
		cmocka_unit_test(test_drift_is_told_and_left),
		cmocka_unit_test(test_databases_come_and_go),
		cmocka_unit_test(test_what_is_wrong_in_itself_is_refused),
		cmocka_unit_test(test_passwords_are_drawn),
	};

	return cmocka_run_group_tests(tests, server_set_up, server_tear_down);
}
