/* The tables of commands and options; see command.h. */
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

/* clang-format off */
const CliOption cli_options[OPTION_COUNT] = {
	{OPTION_HELP,        'h', "help",        NULL, NULL,       "show this help"},
	{OPTION_SOCKET,      0,   "socket",      NULL, "PATH",     "the coordinator's socket (else $LTTLE_SOCKET, else " CLI_DEFAULT_SOCKET ")"},
	{OPTION_NAMESPACE,   0,   "namespace",   "ns", "NS",       "the namespace (without it: " CLI_DEFAULT_NAMESPACE ")"},
	{OPTION_ALL_NAMESPACES, 'A', "all-namespaces", NULL, NULL, "everything, whatever its namespace"},
	{OPTION_JSON,        0,   "json",        NULL, NULL,       "print JSON"},
	{OPTION_YES,         'y', "yes",         NULL, NULL,       "do not ask"},
	{OPTION_FOLLOW,      'f', "follow",      NULL, NULL,       "go on with what comes from now on"},
	{OPTION_TAIL,        0,   "tail",        NULL, "N",        "begin with the last N lines"},
	{OPTION_INTERACTIVE, 'i', "interactive", NULL, NULL,       "pass standard input on; without it the program's is empty"},
	{OPTION_TERMINAL,    't', "tty",         NULL, NULL,       "give the program a terminal"},
	{OPTION_FOR,         0,   "for",         NULL, "PHASE",    "the phase to wait for (without it: ready)"},
	{OPTION_TIMEOUT,     0,   "timeout",     NULL, "DURATION", "how long to wait, such as 30s or 5m (without it: 1m; drain: 90s; deploy: 10m; postgres: 30s; its user, database, rotate: 2m)"},
	{OPTION_LAST,        0,   "last",        NULL, "N",        "how many, the newest ones (without it: 100; with -f: 10)"},
	{OPTION_NAME,        0,   "name",        NULL, "NAME",     "only of this machine"},
	{OPTION_NO_WAIT,     0,   "no-wait",     NULL, NULL,       "do not wait for what was begun"},
	{OPTION_SINCE,       0,   "since",       NULL, "TIME",     "begin with what was written then: 10m ago, or 2026-03-01T12:00:00Z"},
	{OPTION_TIMES,       't', "timestamps",  NULL, NULL,       "begin each line with the time at which it was written"},
	{OPTION_VOLUMES,     0,   "volumes",     NULL, NULL,       "volumes too, with their data"},
	{OPTION_RECURSIVE,   'r', "recursive",   NULL, NULL,       "of a directory take all files in it and below that end in .yaml or .yml"},
	{OPTION_DRY_RUN,     0,   "dry-run",     NULL, NULL,       "change nothing; print what would change"},
	{OPTION_VARIABLE,    'v', "var",         NULL, "NAME=VALUE", "the value of ${{ var.NAME }}; may be given several times"},
	{OPTION_VARS,        0,   "vars",        NULL, "FILE",     "a file of such lines"},
	{OPTION_ENV,         0,   "env",         NULL, "FILE",     "a file of lines NAME=VALUE for ${{ env.NAME }}; else it is the client's environment"},
	{OPTION_OUTPUT,      'o', "output",      NULL, "FILE",     "the file that is written whole or not at all; backup: or a directory for one with the time in its name (without it: backup: in the current directory; inspect: standard output)"},
	{OPTION_FORMAT,      0,   "format",      NULL, "FORMAT",   "backup: custom, which pg_restore reads, or plain, which is SQL (without it: custom); inspect: markdown, html or json (without it: markdown)"},
	{OPTION_DATABASE,    'd', "database",    NULL, "NAME",     "the database (without it: backup, restore: the one that the server was made with; else the user's own)"},
	{OPTION_CLEAN,       0,   "clean",       NULL, NULL,       "drop first what the backup holds"},
	{OPTION_NO_OWNER,    0,   "no-owner",    NULL, NULL,       "leave out who owned what and who could do what, for users that are not there"},
	{OPTION_KEEP,        0,   "keep",        NULL, "N",        "remove all but the newest N backups of this database from the directory"},
	{OPTION_KEEP_FOR,    0,   "keep-for",    NULL, "AGE",      "remove those that are older, such as 30d; the newest always stays"},
	{OPTION_URL,         0,   "url",         NULL, "URL",      "a PostgreSQL anywhere, as postgresql://USER:PASSWORD@HOST:PORT/DATABASE (a password in an argument can be seen; $PGPASSWORD and ~/.pgpass count, too)"},
	{OPTION_WAKE,        0,   "wake",        NULL, NULL,       "ask the server also when it sleeps, which wakes it"},
	{OPTION_SSH,         0,   "ssh",         NULL, "USER@JUMP", "go through this host, by OpenSSH; also ssh://USER@JUMP:PORT"},
	{OPTION_KEY,         0,   "key",         NULL, "FILE",     "the private key for it, and no other"},
	{OPTION_SSH_CONFIG,  0,   "ssh-config",  NULL, "FILE",     "a configuration of ssh in place of the user's own"},
	{OPTION_SIZE,        0,   "size",        NULL, "SIZE",     "tiny, small, medium, large or huge (without it: small)"},
	{OPTION_STORAGE,     0,   "storage",     NULL, "SIZE",     "how much the volume holds, such as 10Gi"},
	{OPTION_USER,        'u', "user",        NULL, "USER",     "the user who owns the database (without it: the cluster's name)"},
	{OPTION_IMAGE,       0,   "image",       NULL, "IMAGE",    "another image"},
	{OPTION_PG_VERSION,  0,   "pg-version",  NULL, "N",        "the major version of PostgreSQL (without it: 17)"},
	{OPTION_LOCALHOST,   0,   "localhost",   NULL, NULL,       "by a port on 127.0.0.1, which is opened for good when there is none"},
	{OPTION_FROM,        'n', "from",        NULL, "NS",       "as this namespace has it; an error when it has no credentials of the user"},
	{OPTION_REASSIGN_OWNED, 0, "reassign-owned", NULL, NULL,   "what users of a cluster own goes to its superuser when they are dropped"},
	{OPTION_ROLES,       0,   "roles",       NULL, "ROLE,…",   "what the user is: Superuser, Createdb, Createrole, Inherit, Login, Replication, Bypassrls; all others are taken away"},
	{OPTION_ACCESS,      0,   "access",      NULL, "ACCESS,…", "what the user may do: LEVEL[:DATABASE[:SCHEMA+SCHEMA…]], LEVEL being owner, readwrite, readonly or metadata"},
	{OPTION_NAMESPACES,  0,   "namespaces",  NULL, "NS,…",     "the namespaces that get the user's credentials, besides the cluster's own"},
	{OPTION_OWNER,       0,   "owner",       NULL, "USER",     "the user whose database it is (without it: the superuser's)"},
	{OPTION_ADOPT,       0,   "adopt",       NULL, NULL,       "take over a role or database that is there and was not made by lttle"},
	{OPTION_REPAIR,      0,   "repair",      NULL, NULL,       "undo what was changed on the server by hand, of all users"},
	{OPTION_DROP_OWNED,  0,   "drop-owned",  NULL, NULL,       "drop what the user owns, too"},
	{OPTION_REASSIGN_TO, 0,   "reassign-to", NULL, "USER",     "give what the user owns to this one"},
	{OPTION_SCHEDULE,    0,   "schedule",    NULL, "WHEN",     "not now, but whenever it is time: every 6h or 1d, at 03:30, Sun 03:30 or Mon..Fri 22:15; off ends it"},
};

#define NS   OPTION_BIT(OPTION_NAMESPACE)
#define ALL  OPTION_BIT(OPTION_ALL_NAMESPACES)
#define JSON OPTION_BIT(OPTION_JSON)
#define YES  OPTION_BIT(OPTION_YES)
/* What leads to a database, directly or through a jump host. */
#define TO_DATABASE (NS | OPTION_BIT(OPTION_URL) | OPTION_BIT(OPTION_DATABASE))
#define BY_SSH      (OPTION_BIT(OPTION_SSH) | OPTION_BIT(OPTION_KEY) | OPTION_BIT(OPTION_SSH_CONFIG))

const CliCommand cli_commands[] = {
	{NULL, "deploy", NULL, "FILE…", 1, 1000, false,
	 NS | JSON | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_RECURSIVE) |
		 OPTION_BIT(OPTION_DRY_RUN) | OPTION_BIT(OPTION_VARIABLE) | OPTION_BIT(OPTION_VARS) | OPTION_BIT(OPTION_ENV) |
		 OPTION_BIT(OPTION_REASSIGN_OWNED),
	 "files", run_deploy, "Apply files of resources",
	 "All of the files are checked before anything changes. What is wrong is printed as FILE:LINE:COLUMN: KEY: message,\n"
	 "and then nothing is applied. '-' reads standard input. Deploying an unchanged file changes nothing.\n"
	 "--namespace is the value of ${{ namespace }}.\n"
	 "Then it waits until every machine of the files is ready or asleep, and shows on standard error how far they are. What\n"
	 "has failed is named with its last words, and the exit code is 1; so is a machine that ends three times before it is\n"
	 "ready. Nothing is taken back then, and when the time is over nothing is stopped."},

	{"app", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_app_list, "List apps", NULL},
	{"app", "get", NULL, "NAME", 1, 1, false, NS | JSON, "apps", run_app_get, "Show an app",
	 "NAME may be a unique prefix."},
	{"app", "delete", "rm", "NAME", 1, 1, false, NS | YES, "apps", run_app_delete,
	 "Stop an app's machine and forget the app", "Its volumes stay."},

	{"machine", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_machine_list, "List machines", NULL},
	{"machine", "get", NULL, "NAME", 1, 1, false, NS | JSON, "machines", run_machine_get, "Show a machine",
	 "NAME may be a unique prefix."},
	{"machine", "delete", "rm", "NAME", 1, 1, false, NS | YES, "machines", run_machine_delete,
	 "Stop and forget a machine", "Of one that belongs to an app: lttle app delete. Its volumes stay."},
	{"machine", "logs", NULL, "NAME", 1, 1, false,
	 NS | OPTION_BIT(OPTION_FOLLOW) | OPTION_BIT(OPTION_TAIL) | OPTION_BIT(OPTION_SINCE) | OPTION_BIT(OPTION_TIMES), "machines",
	 run_machine_logs, "Print what a machine has written",
	 "NAME may be a unique prefix. Reading does not wake the machine. --since takes a duration (so long ago) or RFC 3339; a time\n"
	 "without a zone is local. Times are those at which lttled saw the log grow, at most a second apart."},
	{"machine", "exec", NULL, "NAME PROGRAM [ARGUMENT…]", 1, 1, true,
	 NS | OPTION_BIT(OPTION_INTERACTIVE) | OPTION_BIT(OPTION_TERMINAL), "machines", run_machine_exec,
	 "Run a program in a machine",
	 "Wakes the machine and keeps it awake until the program has ended. Options of lttle stand before PROGRAM; everything\n"
	 "behind it belongs to the program. The exit code is the program's own; 128 + N when signal N ended it."},
	{"machine", "restart", NULL, "NAME", 1, 1, false, NS, "machines", run_machine_restart,
	 "Stop a machine in order and start it again", NULL},
	{"machine", "hibernate", NULL, "NAME", 1, 1, false, NS, "machines", run_machine_hibernate,
	 "Write a machine to disk now", "No process and no memory stay; a client brings it back. Refused while something in it is active."},
	{"machine", "suspend", NULL, "NAME", 1, 1, false, NS, "machines", run_machine_suspend, "Suspend a machine now",
	 "Refused while something in it is active."},
	{"machine", "wake", NULL, "NAME", 1, 1, false, NS, "machines", run_machine_wake,
	 "Wake a machine, or start a stopped one", "It goes back to sleep by its own rules."},
	{"machine", "wait", NULL, "NAME", 1, 1, false,
	 NS | JSON | OPTION_BIT(OPTION_FOR) | OPTION_BIT(OPTION_TIMEOUT), "machines", run_machine_wait,
	 "Wait until a machine is in a phase",
	 "NAME may be a unique prefix. Ends early, with the reason and exit code 1, when the machine is in phase error."},

	{"service", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_service_list, "List services",
	 "Also those that an app exposes."},
	{"service", "get", NULL, "NAME", 1, 1, false, NS | JSON, "services", run_service_get, "Show a service",
	 "NAME may be a unique prefix."},
	{"service", "delete", "rm", "NAME", 1, 1, false, NS | YES, "services", run_service_delete, "Delete a service",
	 "Open connections stay. One that an app exposes goes when its app is deployed without it."},

	{"volume", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_volume_list, "List volumes", NULL},
	{"volume", "get", NULL, "NAME", 1, 1, false, NS | JSON, "volumes", run_volume_get, "Show a volume",
	 "NAME may be a unique prefix."},
	{"volume", "rm", "delete", "NAME", 1, 1, false, NS | YES, "volumes", run_volume_delete,
	 "Delete a volume and its data", "Refused while an app uses it."},

	{"image", "list", "ls", "", 0, 0, false, JSON, NULL, run_image_list, "List images", NULL},
	{"image", "pull", NULL, "NAME", 1, 1, false, JSON, NULL, run_image_pull, "Fetch an image from its registry",
	 "Asks also when it is there already, because a tag may have moved. Machines that run keep what they run; a deploy takes\n"
	 "what is new. Credentials are those of `docker login` (setting registry-auth-file)."},
	{"image", "import", NULL, "NAME SOURCE", 2, 2, false, JSON, NULL, run_image_import, "Import an image under a name",
	 "SOURCE is written as skopeo does it: oci-archive:/path, docker-archive:/path, docker://registry/name."},
	{"image", "rm", "delete", "NAME", 1, 1, false, YES, NULL, run_image_remove, "Remove an image",
	 "Refused while an app or a machine uses it."},
	{"image", "prune", NULL, "", 0, 0, false, JSON | YES, NULL, run_image_prune, "Remove every image that nobody uses", NULL},

	{"namespace", "list", "ls", "", 0, 0, false, JSON, NULL, run_namespace_list, "List namespaces, and what is in them",
	 "A namespace is there as long as something is in it."},
	{"namespace", "delete", "rm", "NAME", 1, 1, false, YES | OPTION_BIT(OPTION_VOLUMES), "namespaces", run_namespace_delete,
	 "Delete everything in a namespace", "Its volumes stay, unless --volumes says otherwise."},

	{"postgres", "create", NULL, "NAME [PARAMETER=VALUE…]", 1, 200, false,
	 NS | JSON | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_SIZE) |
		 OPTION_BIT(OPTION_STORAGE) | OPTION_BIT(OPTION_DATABASE) | OPTION_BIT(OPTION_USER) | OPTION_BIT(OPTION_IMAGE) |
		 OPTION_BIT(OPTION_PG_VERSION),
	 NULL, run_postgres_create, "Make a PostgreSQL cluster",
	 "PARAMETER=VALUE are settings of postgresql.conf. Everything else that a cluster can have stands in a file: lttle deploy, or\n"
	 "lttle postgres edit. It waits until the server is what was asked for. --database is the one that is made."},
	{"postgres", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_postgres_list, "List PostgreSQL clusters", NULL},
	{"postgres", "get", NULL, "NAME", 1, 1, false, NS | JSON, "postgres", run_postgres_get, "Show a PostgreSQL cluster",
	 "Also what somebody has changed by hand since (drift): it is shown and left alone. Does not wake it."},
	{"postgres", "edit", NULL, "NAME", 1, 1, false,
	 NS | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_REASSIGN_OWNED), "postgres",
	 run_postgres_edit, "Change a PostgreSQL cluster in an editor",
	 "Its file opens in $VISUAL, $EDITOR or vi, and is deployed when it was changed. What is refused is kept beside, to go on with."},
	{"postgres", "delete", "rm", "NAME", 1, 1, false, NS | YES | OPTION_BIT(OPTION_VOLUMES), "postgres",
	 run_postgres_delete, "Delete a PostgreSQL cluster",
	 "With its users' credentials. Its volume stays, unless --volumes says otherwise; a cluster of the same name takes it over."},
	{"postgres", "access-info", NULL, "CLUSTER [USER]", 1, 2, false,
	 NS | JSON | OPTION_BIT(OPTION_LOCALHOST) | OPTION_BIT(OPTION_FROM), "postgres", run_postgres_access_info,
	 "Print how a user reaches a cluster: the connection URL",
	 "USER is the cluster's first one, unless named. Does not wake it. export DATABASE_URL=$(lttle postgres access-info shop app)"},
	{"postgres", "user", NULL, "add|edit|drop|list CLUSTER [USER]", 2, 3, false,
	 NS | JSON | YES | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_ROLES) |
		 OPTION_BIT(OPTION_ACCESS) | OPTION_BIT(OPTION_NAMESPACES) | OPTION_BIT(OPTION_ADOPT) | OPTION_BIT(OPTION_REPAIR) |
		 OPTION_BIT(OPTION_DROP_OWNED) | OPTION_BIT(OPTION_REASSIGN_TO),
	 "add edit drop list", run_postgres_user, "Add, change, drop or list the users of a cluster",
	 "It changes the cluster's file, as lttle postgres edit does, and waits until the server is so. edit changes what is given, and\n"
	 "leaves the rest. drop is refused while the user owns something, with a list of it, and nothing is changed. A server that\n"
	 "sleeps is woken, but for list.\n"
	 "lttle postgres user add shop web --access readwrite:shop:public+sales --namespaces frontend"},
	{"postgres", "database", NULL, "create|edit|drop|list CLUSTER [DATABASE]", 2, 3, false,
	 NS | JSON | YES | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT) | OPTION_BIT(OPTION_OWNER) | OPTION_BIT(OPTION_ADOPT),
	 "create edit drop list", run_postgres_database, "Create, change, drop or list the databases of a cluster",
	 "drop ends the sessions of the database, after asking. One that is only taken out of the cluster's file keeps its data until\n"
	 "it is dropped here."},
	{"postgres", "rotate", NULL, "CLUSTER USER", 2, 2, false, NS | OPTION_BIT(OPTION_NO_WAIT) | OPTION_BIT(OPTION_TIMEOUT), "postgres",
	 run_postgres_rotate, "Give a user of a cluster another password",
	 "It is set on the server, and then in every secret that holds it. Sessions that are open go on. USER postgres is the superuser."},
	{"postgres", "check", NULL, "CLUSTER", 1, 1, false, NS | JSON, "postgres", run_postgres_check,
	 "See what was changed on a cluster's server by hand",
	 "Each thing that is otherwise than the cluster's file says is a line, and the exit code is 1. It is left alone; lttle postgres user\n"
	 "edit --repair undoes it. Wakes the server."},

	{"secrets", "set", NULL, "NAME", 1, 1, false, NS, "secrets", run_secret_set, "Set a secret",
	 "It is read from standard input, without the last end of line, or asked for on a terminal. Machines name it in their\n"
	 "environment, ${{ secret.NAME }}, or get it as a file (key secrets). They have it at their next start; deploying them\n"
	 "again starts those anew whose secrets have changed."},
	{"secrets", "get", NULL, "NAME", 1, 1, false, NS | JSON, "secrets", run_secret_get, "Print a secret", NULL},
	{"secrets", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_secret_list, "List secrets, without what they are",
	 NULL},
	{"secrets", "rm", "delete", "NAME", 1, 1, false, NS | YES, "secrets", run_secret_remove, "Remove a secret",
	 "Refused while a machine uses it."},

	{"values", "set", NULL, "NAME [VALUE]", 1, 2, false, NS, "values", run_secret_set, "Set a value",
	 "Without VALUE it is read from standard input, without the last end of line. Files name it as ${{ value.NAME }}."},
	{"values", "get", NULL, "NAME", 1, 1, false, NS | JSON, "values", run_secret_get, "Print a value", NULL},
	{"values", "list", "ls", "", 0, 0, false, NS | ALL | JSON, NULL, run_secret_list, "List values", NULL},
	{"values", "rm", "delete", "NAME", 1, 1, false, NS | YES, "values", run_secret_remove, "Remove a value",
	 "Refused while a machine uses it."},

	{"postgres", "backup", NULL, "NAME", 1, 1, false,
	 NS | JSON | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_FORMAT) | OPTION_BIT(OPTION_DATABASE) | OPTION_BIT(OPTION_KEEP) |
		 OPTION_BIT(OPTION_KEEP_FOR) | OPTION_BIT(OPTION_SCHEDULE),
	 "machines", run_postgres_backup, "Write a database into a file",
	 "pg_dump runs beside the server, which is woken, kept awake meanwhile, and sleeps again by its own rules. The file gets its\n"
	 "name when it is whole, on disk and checked; whatever fails before leaves nothing. Only its owner may read it. Users are not\n"
	 "in it: they are the server's, not the database's.\n"
	 "With --schedule lttled does it, also when nobody is logged in; --output is a directory then (without it: backups/NS/NAME\n"
	 "of its state directory, for root alone). What was missed while the host was off is done once. lttle postgres backups\n"
	 "shows when the next one is and what became of the last."},
	{"postgres", "backups", NULL, "", 0, 0, false, NS | ALL | JSON, NULL, run_postgres_backups,
	 "List schedules of backups, and what became of the last one", NULL},
	{"postgres", "restore", NULL, "NAME FILE", 2, 2, false,
	 NS | JSON | YES | OPTION_BIT(OPTION_DATABASE) | OPTION_BIT(OPTION_CLEAN) | OPTION_BIT(OPTION_NO_OWNER), "machines",
	 run_postgres_restore, "Read a file of backup or pg_dump into a database",
	 "The custom format, or SQL; which one is seen. The file is read through before anything changes, and all of it is one\n"
	 "transaction: what fails leaves the database as it was. What the database has already is an error, unless --clean says\n"
	 "otherwise."},
	{"postgres", "psql", NULL, "CLUSTER [USER] [-- ARGUMENT…]", 0, 2, PROGRAM_BEHIND_DASHES, TO_DATABASE, "postgres",
	 run_postgres_psql, "Open psql as a user of a cluster",
	 "USER is the cluster's first one, unless named. What stands behind -- goes to psql. The server may sleep while nobody types.\n"
	 "The password is in psql's environment, in no argument."},
	{"postgres", "port-forward", NULL, "CLUSTER [PORT]", 0, 2, false, NS | OPTION_BIT(OPTION_URL), "postgres",
	 run_postgres_port_forward, "Open a port on 127.0.0.1 that leads to a cluster, until Ctrl-C",
	 "Without PORT it is any that is free. The address is printed as soon as it can be connected to. Only clients' bytes flow, so\n"
	 "the server sleeps while they are silent."},
	{"postgres", "tunnel", NULL, "CLUSTER [PORT]", 0, 2, false, NS | OPTION_BIT(OPTION_URL) | BY_SSH, "postgres",
	 run_postgres_tunnel, "Open a port on 127.0.0.1 that leads to a PostgreSQL behind a jump host, until Ctrl-C",
	 "OpenSSH does the work, with its own configuration, keys and known hosts. --url names a PostgreSQL elsewhere; its host is\n"
	 "called as the jump host calls it. Without PORT it is any that is free."},
	{"postgres", "tables", NULL, "CLUSTER [USER]", 0, 2, false, TO_DATABASE | BY_SSH | JSON | OPTION_BIT(OPTION_TIMEOUT),
	 "postgres", run_postgres_tables, "List a database's tables and views, with their sizes", NULL},
	{"postgres", "stats", NULL, "CLUSTER [USER]", 0, 2, false, TO_DATABASE | BY_SSH | JSON | OPTION_BIT(OPTION_TIMEOUT),
	 "postgres", run_postgres_stats, "Show sessions, databases and tables with what they did",
	 "From pg_stat_activity, pg_stat_database and pg_stat_user_tables. What others' sessions run, only some users may see\n"
	 "(superusers and members of pg_read_all_stats)."},
	{"postgres", "health", NULL, "CLUSTER [USER]", 0, 2, false,
	 TO_DATABASE | BY_SSH | JSON | OPTION_BIT(OPTION_WAKE) | OPTION_BIT(OPTION_TIMEOUT), "postgres", run_postgres_health,
	 "Show whether a server is well: exit code 0",
	 "A server that sleeps is well: a client would wake it. It is not woken for this, unless --wake is given; then, or when it is\n"
	 "awake, it has to answer SELECT 1."},
	{"postgres", "inspect", NULL, "CLUSTER [USER]", 0, 2, false,
	 TO_DATABASE | BY_SSH | JSON | OPTION_BIT(OPTION_FORMAT) | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_TIMEOUT),
	 "postgres", run_postgres_inspect, "Document a database: schemas, tables, columns, types, keys, indexes, comments",
	 "Views, enums and functions, too. USER is the cluster's first one with the access 'metadata', unless named. Only what the user\n"
	 "may see is there: schemas that it may use, tables that it may read. The same database gives the same page."},

	{NULL, "query", NULL, "[KEY=VALUE…]", 0, 32, false, JSON,
	 "kind= kind=postgres kind=app kind=machine kind=service kind=volume kind=image namespace= name= tag= phase=", run_query,
	 "List resources of all kinds, filtered",
	 "KEY is kind (postgres, app, machine, service, volume or image), namespace, name, tag or phase; VALUE may have the wildcards *, ?\n"
	 "and […]. Several values of one key mean any of them, several keys mean all of them:\n"
	 "lttle query kind=machine phase=ready phase=booting name='web-*'"},
	{NULL, "drain", NULL, "", 0, 0, false, JSON | OPTION_BIT(OPTION_TIMEOUT), NULL, run_drain,
	 "Put every machine on disk, before the host shuts down",
	 "What is not there within the time-out is stopped in order. Nothing new starts until lttled is started anew, and then\n"
	 "only what somebody asks for. Exit code 1 when a machine had to be killed or has not come to rest."},
	{NULL, "events", NULL, "", 0, 0, false,
	 NS | ALL | JSON | OPTION_BIT(OPTION_NAME) | OPTION_BIT(OPTION_LAST) | OPTION_BIT(OPTION_FOLLOW), NULL, run_events,
	 "List what became of machines, oldest first",
	 "Changes of phase, who woke a machine, and what keeps one from going to sleep. -f goes on with those that come; with\n"
	 "--json each is then an object on a line of its own."},
	{NULL, "schema", NULL, "", 0, 0, false, 0, NULL, run_schema,
	 "Print the JSON Schema of files of resources, for editors", NULL},
	{NULL, "doctor", NULL, "", 0, 0, false, JSON, NULL, run_doctor,
	 "Show what this host has and lacks, and what follows from it", "Exit code 1 when something is missing."},
	{NULL, "version", NULL, "", 0, 0, false, JSON, NULL, run_version, "Show the versions of lttle and lttled", NULL},
	{NULL, "completion", NULL, "bash", 1, 1, false, 0, "bash", run_completion, "Print the completion script for a shell",
	 "source <(lttle completion bash)"},
	{NULL, "help", NULL, "[COMMAND…]", 0, 2, false, 0, NULL, run_help, "Show help", NULL},
	{NULL, "reference", NULL, "", 0, 0, false, 0, NULL, run_reference, NULL, NULL},
	/* Commands of lttle's that a user may look for. */
	{NULL, "login", NULL, "", 0, 1000, false, 0, NULL, run_not_offered, NULL,
	 "there is no login on a single host: whoever may use the socket of lttled may do everything (root, group lttle)"},
	{NULL, "profile", NULL, "", 0, 1000, false, 0, NULL, run_not_offered, NULL,
	 "there are no profiles on a single host: --socket and $LTTLE_SOCKET say which lttled is meant"},
	{NULL, "build", NULL, "", 0, 1000, false, 0, NULL, run_not_offered, NULL,
	 "there are no remote builds on a single host: an image is imported or pulled (lttle image)"},
	{NULL, "names", NULL, "KIND", 1, 1, false, NS | ALL, NULL, run_names, NULL, NULL},
};

const CliGroup cli_groups[] = {
	{"app", "Apps: a machine and the services that expose it"},
	{"machine", "Machines: look at them, wake them, run programs in them"},
	{"service", "Services: where machines can be reached"},
	{"volume", "Volumes: data that outlives machines"},
	{"image", "Images that machines are made of"},
	{"namespace", "Namespaces: what belongs together"},
	{"postgres", "PostgreSQL clusters: servers, their users, their databases"},
	{"secrets", "Secrets of namespaces, kept encrypted, for machines to use"},
	{"values", "Values of namespaces: what isn't secret and files need not hold"},
};

const ExitCodeText cli_exit_codes[] = {
	{EXIT_CODE_OK, "success"},
	{EXIT_CODE_FAILURE, "failure"},
	{EXIT_CODE_USAGE, "wrong usage"},
	{EXIT_CODE_NOT_FOUND, "not found"},
	{EXIT_CODE_REFUSED, "refused: busy, in use, or a prefix that fits several names"},
	{EXIT_CODE_NO_COORDINATOR, "no coordinator reachable"},
	{EXIT_CODE_TIMED_OUT, "the time-out of 'machine wait' or 'deploy' is over"},
};
/* clang-format on */

const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);
const size_t cli_group_count = sizeof(cli_groups) / sizeof(cli_groups[0]);
const size_t cli_exit_code_count = sizeof(cli_exit_codes) / sizeof(cli_exit_codes[0]);

bool
cli_has(const CliInvocation *invocation, OptionId id)
{
	return invocation->values[id] != NULL;
}

const char *
cli_namespace(const CliInvocation *invocation)
{
	return cli_has(invocation, OPTION_NAMESPACE) ? invocation->values[OPTION_NAMESPACE] : CLI_DEFAULT_NAMESPACE;
}

const char *
cli_namespace_or_all(const CliInvocation *invocation)
{
	return cli_has(invocation, OPTION_ALL_NAMESPACES) ? NULL : cli_namespace(invocation);
}

const char *
cli_socket(const CliInvocation *invocation)
{
	const char *socket = invocation->values[OPTION_SOCKET];

	if (socket == NULL)
		socket = getenv("LTTLE_SOCKET");
	return socket != NULL && socket[0] != '\0' ? socket : CLI_DEFAULT_SOCKET;
}

const CliGroup *
cli_find_group(const char *name)
{
	for (size_t i = 0; i < cli_group_count; i++)
	{
		if (strcmp(cli_groups[i].name, name) == 0)
			return &cli_groups[i];
	}
	return NULL;
}

const CliCommand *
cli_find_command(const char *group, const char *name)
{
	for (size_t i = 0; i < cli_command_count; i++)
	{
		const CliCommand *command = &cli_commands[i];

		if ((group == NULL) != (command->group == NULL) || (group != NULL && strcmp(group, command->group) != 0))
			continue;
		if (strcmp(command->name, name) == 0 || (command->alias != NULL && strcmp(command->alias, name) == 0))
			return command;
	}
	return NULL;
}
