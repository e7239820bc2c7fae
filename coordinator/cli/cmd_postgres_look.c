/* lttle postgres tables, stats, health: what a server says about itself. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/output.h"

#define TIMEOUT		"30s"
#define COLUMNS_MAX 16
#define QUERY_SHOWN 80

/* ---- tables of rows ---- */

typedef enum Look
{
	LOOK_TEXT,
	LOOK_COUNT,
	LOOK_BYTES,
	LOOK_PERCENT,
	LOOK_AGE, /* ms */
	LOOK_LINE /* one line of bounded length */
} Look;

typedef struct Column
{
	const char *member;
	const char *header;
	Look look;
} Column;

/* Several lines as one, blanks run together, cut at a character's end. */
static void
add_line(Table *table, const char *value)
{
	_cleanup_text_ Text line = {0};
	bool blank = false;
	size_t length = 0;

	for (; *value != '\0' && length < QUERY_SHOWN; value++)
	{
		bool is_blank = strchr(" \t\r\n", *value) != NULL;

		if (is_blank && blank)
			continue;
		text_append_bytes(&line, is_blank ? " " : value, 1);
		blank = is_blank;
		length += ((unsigned char) value[1] & 0xc0) != 0x80;
	}
	table_add(table, "%s%s", text_string(&line), *value != '\0' ? "…" : "");
}

static void
add_cell(Table *table, const Column *column, const json_t *row)
{
	double number = member_number(row, column->member);
	char text[OUTPUT_TEXT_BYTES];

	if (!member_is_set(row, column->member))
		table_add(table, "%s", "");
	else if (column->look == LOOK_COUNT)
		table_add(table, "%.0f", number);
	else if (column->look == LOOK_PERCENT)
		table_add(table, "%.1f %%", number);
	else if (column->look == LOOK_LINE)
		add_line(table, member_text(row, column->member));
	else if (column->look == LOOK_TEXT)
		table_add(table, "%s", member_text(row, column->member));
	else
	{
		(column->look == LOOK_BYTES ? output_format_bytes : output_format_age)(number, text);
		table_add(table, "%s", text);
	}
}

static void
rows_print(const Column *columns, json_t *rows)
{
	const char *headers[COLUMNS_MAX];
	size_t count = 0;
	const json_t *row;
	size_t index;
	Table table;

	for (; count < COLUMNS_MAX && columns[count].member != NULL; count++)
		headers[count] = columns[count].header;
	table_begin(&table, count, headers);
	json_array_foreach(rows, index, row)
	{
		for (size_t i = 0; i < count; i++)
			add_cell(&table, &columns[i], row);
	}
	table_print(&table);
}

/* Finds, connects and asks. */
static int
ask(const CliInvocation *invocation, const char *sql, json_t **ret_json)
{
	_cleanup_database_ Database database = {0};
	_cleanup_pgconn_ PGconn *connection = NULL;
	uint64_t timeout_ms;
	int code = api_read_timeout(invocation, TIMEOUT, &timeout_ms);

	if (code == EXIT_CODE_OK)
		code = database_find(invocation, &database);
	if (code == EXIT_CODE_OK)
		code = database_dig(invocation, &database, 0);
	if (code == EXIT_CODE_OK)
		code = database_connect(&database, timeout_ms, &connection);
	return code == EXIT_CODE_OK ? database_query_json(connection, sql, ret_json) : code;
}

/* ---- tables ---- */

static const char tables_sql[] =
	"SELECT coalesce(json_agg(t), '[]') FROM (SELECT n.nspname AS schema, c.relname AS name,"
	" CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'"
	"  WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind,"
	" pg_get_userbyid(c.relowner) AS owner,"
	" CASE WHEN c.relkind IN ('r', 'm') AND c.reltuples >= 0 THEN c.reltuples::bigint END AS \"estimated-rows\","
	" CASE WHEN c.relkind IN ('r', 'm') THEN pg_total_relation_size(c.oid) END AS \"size-bytes\","
	" obj_description(c.oid, 'pg_class') AS comment"
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	" WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
	" AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
	"  AND d.deptype = 'e')"
	" ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\") t";

static const Column table_columns[] = {
	{"schema", "SCHEMA", LOOK_TEXT},
	{"name", "NAME", LOOK_TEXT},
	{"kind", "KIND", LOOK_TEXT},
	{"owner", "OWNER", LOOK_TEXT},
	{"estimated-rows", "ROWS (ESTIMATE)", LOOK_COUNT},
	{"size-bytes", "SIZE", LOOK_BYTES},
	{"comment", "COMMENT", LOOK_LINE},
	{0},
};

int
run_postgres_tables(const CliInvocation *invocation)
{
	json_t *tables;
	int code = ask(invocation, tables_sql, &tables);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(tables);
	else
		rows_print(table_columns, tables);
	json_decref(tables);
	return EXIT_CODE_OK;
}

/* ---- stats ---- */

/* Of columns that older servers don't have, to_jsonb gives NULL. */
static const char stats_sql[] =
	"SELECT json_build_object('activity', (SELECT coalesce(json_agg(t), '[]') FROM ("
	" SELECT pid, usename AS \"user\", datname AS database, application_name AS application,"
	"  host(client_addr) AS client, state,"
	"  (extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint AS \"since-ms\","
	"  wait_event_type || ': ' || wait_event AS waits, query FROM pg_stat_activity a"
	"  WHERE pid <> pg_backend_pid() AND coalesce(to_jsonb(a)->>'backend_type', 'client backend') = 'client backend'"
	"  ORDER BY pid) t),"
	" 'databases', (SELECT coalesce(json_agg(t), '[]') FROM ("
	" SELECT s.datname AS database, numbackends AS sessions, xact_commit AS commits, xact_rollback AS rollbacks,"
	"  round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 1) AS \"cache-hit-percent\","
	"  tup_returned AS read, tup_inserted AS inserted, tup_updated AS updated, tup_deleted AS deleted, deadlocks,"
	"  temp_bytes AS \"temporary-bytes\","
	"  CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END AS \"size-bytes\""
	"  FROM pg_stat_database s JOIN pg_database d ON d.oid = s.datid WHERE NOT d.datistemplate"
	"  ORDER BY s.datname COLLATE \"C\") t),"
	" 'tables', (SELECT coalesce(json_agg(t), '[]') FROM ("
	" SELECT schemaname AS schema, relname AS name, n_live_tup AS live, n_dead_tup AS dead, seq_scan AS \"seq-scans\","
	"  idx_scan AS \"index-scans\", n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted,"
	"  greatest(last_vacuum, last_autovacuum) AS \"last-vacuum\","
	"  (extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum)) * 1000)::bigint"
	"   AS \"vacuumed-ms-ago\","
	"  (extract(epoch FROM clock_timestamp() - greatest(last_analyze, last_autoanalyze)) * 1000)::bigint"
	"   AS \"analyzed-ms-ago\""
	"  FROM pg_stat_user_tables ORDER BY schemaname COLLATE \"C\", relname COLLATE \"C\") t))";

static const Column activity_columns[] = {
	{"pid", "PID", LOOK_COUNT},			 {"user", "USER", LOOK_TEXT},
	{"database", "DATABASE", LOOK_TEXT}, {"application", "APPLICATION", LOOK_TEXT},
	{"client", "CLIENT", LOOK_TEXT},	 {"state", "STATE", LOOK_TEXT},
	{"since-ms", "SINCE", LOOK_AGE},	 {"waits", "WAITS FOR", LOOK_TEXT},
	{"query", "QUERY", LOOK_LINE},		 {0},
};

static const Column database_columns[] = {
	{"database", "DATABASE", LOOK_TEXT},
	{"sessions", "SESSIONS", LOOK_COUNT},
	{"commits", "COMMITS", LOOK_COUNT},
	{"rollbacks", "ROLLBACKS", LOOK_COUNT},
	{"cache-hit-percent", "CACHE HITS", LOOK_PERCENT},
	{"read", "READ", LOOK_COUNT},
	{"inserted", "INSERTED", LOOK_COUNT},
	{"updated", "UPDATED", LOOK_COUNT},
	{"deleted", "DELETED", LOOK_COUNT},
	{"deadlocks", "DEADLOCKS", LOOK_COUNT},
	{"temporary-bytes", "TEMPORARY", LOOK_BYTES},
	{"size-bytes", "SIZE", LOOK_BYTES},
	{0},
};

static const Column table_stat_columns[] = {
	{"schema", "SCHEMA", LOOK_TEXT},		   {"name", "NAME", LOOK_TEXT},
	{"live", "LIVE ROWS", LOOK_COUNT},		   {"dead", "DEAD ROWS", LOOK_COUNT},
	{"seq-scans", "SEQ SCANS", LOOK_COUNT},	   {"index-scans", "INDEX SCANS", LOOK_COUNT},
	{"inserted", "INSERTED", LOOK_COUNT},	   {"updated", "UPDATED", LOOK_COUNT},
	{"deleted", "DELETED", LOOK_COUNT},		   {"vacuumed-ms-ago", "VACUUMED", LOOK_AGE},
	{"analyzed-ms-ago", "ANALYZED", LOOK_AGE}, {0},
};

int
run_postgres_stats(const CliInvocation *invocation)
{
	json_t *stats;
	int code = ask(invocation, stats_sql, &stats);

	if (code != EXIT_CODE_OK)
		return code;
	if (cli_has(invocation, OPTION_JSON))
		output_json(stats);
	else
	{
		puts("Sessions");
		rows_print(activity_columns, json_object_get(stats, "activity"));
		puts("\nDatabases");
		rows_print(database_columns, json_object_get(stats, "databases"));
		puts("\nTables");
		rows_print(table_stat_columns, json_object_get(stats, "tables"));
	}
	json_decref(stats);
	return EXIT_CODE_OK;
}

/* ---- health ---- */

typedef enum State
{
	STATE_AWAKE,
	STATE_ASLEEP, /* a client brings it back */
	STATE_ELSE
} State;

static State
state_judge(const char *phase)
{
	static const char *const asleep[] = {"suspending", "suspended", "hibernating", "hibernated", "stopped"};

	for (size_t i = 0; i < sizeof(asleep) / sizeof(asleep[0]); i++)
	{
		if (strcmp(phase, asleep[i]) == 0)
			return STATE_ASLEEP;
	}
	return strcmp(phase, "ready") == 0 || strcmp(phase, "resuming") == 0 ? STATE_AWAKE : STATE_ELSE;
}

/* What lttled knows of the cluster's machine, which has its name. */
static int
health_add_phase(const CliInvocation *invocation, json_t *health, State *ret_state)
{
	static const char *const members[] = {"namespace", "name",	   "phase", "reason",
										  "since-ms",  "suspends", "wakes", "last-wake-ms"};
	_cleanup_text_ Text target = {0};
	json_t *machine;
	int code;

	api_path(&target, invocation, "machines", invocation->arguments[0], "");
	code = api_request(invocation, "GET", text_string(&target), &machine);
	if (code != EXIT_CODE_OK)
		return code;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_set(health, members[i], json_object_get(machine, members[i]));
	*ret_state = state_judge(member_text(machine, "phase"));
	json_decref(machine);
	return EXIT_CODE_OK;
}

/* Connects and asks the two questions. */
static int
health_add_answer(const CliInvocation *invocation, json_t *health)
{
	uint64_t start_ns = clock_monotonic_ns();
	json_t *answer;
	int code = ask(invocation, "SELECT json_build_object('one', 1, 'version', version())", &answer);

	json_object_set_new(health, "answers", json_boolean(code == EXIT_CODE_OK && member_number(answer, "one") == 1));
	if (code != EXIT_CODE_OK)
		return code;
	json_object_set(health, "version", json_object_get(answer, "version"));
	json_object_set_new(health, "answered-in-us", json_integer((json_int_t) (clock_monotonic_ns() - start_ns) / 1000));
	json_decref(answer);
	return EXIT_CODE_OK;
}

static void
health_print(const json_t *health, State state)
{
	char text[OUTPUT_TEXT_BYTES];
	Listing listing = {0};

	listing_add(&listing, "healthy", "%s", json_is_true(json_object_get(health, "healthy")) ? "yes" : "no");
	if (member_is_set(health, "phase"))
	{
		output_format_age((double) clock_realtime_ms() - member_number(health, "since-ms"), text);
		listing_add(&listing, "phase", "%s, for %s", member_text(health, "phase"), text);
		listing_add(&listing, "reason", "%s", member_text(health, "reason"));
		listing_add(&listing, "suspends", "%.0f", member_number(health, "suspends"));
		listing_add(&listing, "wakes", "%.0f", member_number(health, "wakes"));
	}
	if (member_is_set(health, "version"))
	{
		output_format_took(member_number(health, "answered-in-us"), text);
		listing_add(&listing, "SELECT 1", "answered in %s", text);
		listing_add(&listing, "version", "%s", member_text(health, "version"));
	}
	else if (state == STATE_ASLEEP)
		listing_add(&listing, "SELECT 1", "not asked: that would wake it (--wake)");
	listing_print(&listing);
}

int
run_postgres_health(const CliInvocation *invocation)
{
	json_t *health = json_object();
	State state = STATE_AWAKE;
	int code = EXIT_CODE_OK;

	if (!cli_has(invocation, OPTION_URL) && invocation->argument_count > 0)
		code = health_add_phase(invocation, health, &state);
	if (code != EXIT_CODE_OK)
	{
		json_decref(health);
		return code;
	}
	if (state == STATE_AWAKE || cli_has(invocation, OPTION_WAKE))
		code = health_add_answer(invocation, health);
	else if (state == STATE_ELSE)
		code = EXIT_CODE_FAILURE;
	json_object_set_new(health, "healthy", json_boolean(code == EXIT_CODE_OK));
	if (cli_has(invocation, OPTION_JSON))
		output_json(health);
	else
		health_print(health, state);
	json_decref(health);
	return code;
}
