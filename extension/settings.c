/*
 * The settings lttle_pg.*: definitions, checks, and the one assignment that has an effect of its own.
 */
#include "postgres.h"

#include <limits.h>
#include <sys/un.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "activity.h"
#include "settings.h"

bool lttle_enabled = true;
bool lttle_prepare_checkpoint = false;
bool lttle_snapshot_at_start = true;
int lttle_max_locks = 256;
int lttle_snapshot_timeout_ms = 10000;
int lttle_transaction_hold_ms = 60000;
char *lttle_activity_file = NULL;
char *lttle_ignore_file = NULL;
char *lttle_shared_memory_file = NULL;
char *lttle_socket = NULL;

static bool
check_absolute_path(char **value)
{
	if (**value == '\0' || is_absolute_path(*value))
		return true;
	GUC_check_errdetail("The path must be absolute, or empty.");
	return false;
}

static bool
check_socket(char **value, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	if (strlen(*value) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
	{
		GUC_check_errdetail("The path of a Unix socket has at most %zu bytes.",
							sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1);
		return false;
	}
	return check_absolute_path(value);
}

static bool
check_file(char **value, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	return check_absolute_path(value);
}

/* The postmaster alone publishes the value, so that the page follows a reload with or without a flash worker. */
static void
assign_transaction_hold(int value, void *extra pg_attribute_unused())
{
	if (!IsUnderPostmaster)
		lttle_activity_publish_hold((uint32) value);
}

static void
define_booleans(void)
{
	DefineCustomBoolVariable("lttle_pg.enabled", "Lets the flash worker talk to the coordinator.",
							 "When off, the worker closes its connection and waits for this setting to be turned on; "
							 "the activity page is kept all the same.",
							 &lttle_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("lttle_pg.prepare_checkpoint", "Performs a checkpoint before agreeing to a suspend.",
							 "The server is not suspended if the checkpoint does not end within the coordinator's "
							 "deadline; the coordinator then asks again later.",
							 &lttle_prepare_checkpoint, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("lttle_pg.snapshot_at_start",
							 "Asks the coordinator for a snapshot and suspend once the server has started.",
							 "Done once for each start of the server. When off, only lttle.flash_snapshot() asks.",
							 &lttle_snapshot_at_start, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_numbers(void)
{
	DefineCustomIntVariable("lttle_pg.max_locks", "Sets the number of flash locks that all sessions can hold together.",
							"A name that one session has taken several times counts once.", &lttle_max_locks, 256, 1,
							65536, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("lttle_pg.snapshot_timeout",
							"Sets how long the flash worker waits for the coordinator's answer.",
							"Holds for the first message of a connection and for every request of a snapshot that "
							"names no time of its own.",
							&lttle_snapshot_timeout_ms, 10000, LTTLE_SNAPSHOT_TIMEOUT_MIN_MS,
							LTTLE_SNAPSHOT_TIMEOUT_MAX_MS, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("lttle_pg.transaction_hold",
							"Sets how long an open transaction keeps the server awake while its client is silent.",
							"Other sessions may wait for the transaction's locks. Zero: an open transaction alone does "
							"not keep the server awake.",
							&lttle_transaction_hold_ms, 60000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL,
							assign_transaction_hold, NULL);
}

static void
define_paths(void)
{
	DefineCustomStringVariable("lttle_pg.activity_file", "Sets the path of the activity page.",
							   "The coordinator reads there which sessions are busy. Empty: the page is kept in memory "
							   "that only this server sees.",
							   &lttle_activity_file, "/run/lttle/activity", PGC_POSTMASTER, 0, check_file, NULL, NULL);
	DefineCustomStringVariable("lttle_pg.ignore_file", "Sets the path of the list of sessions that don't count.",
							   "Lines \"user NAME\" or \"application NAME\", read when a session begins: it is "
							   "served, but does not count. Empty: all count.",
							   &lttle_ignore_file, "/run/lttle/ignore", PGC_SIGHUP, 0, check_file, NULL, NULL);
	DefineCustomStringVariable("lttle_pg.shared_memory_file", "Sets the path of a file in memory for shared memory.",
							   "Snapshots of a coordinator's machine are faster for it. "
							   "Only with an activity file. Empty: it belongs to no file.",
							   &lttle_shared_memory_file, "/dev/shm/lttle_pg", PGC_POSTMASTER, 0, check_file, NULL,
							   NULL);
	DefineCustomStringVariable("lttle_pg.socket", "Sets the path of the coordinator's socket.",
							   "Empty: there is no coordinator.", &lttle_socket, "/run/lttle/flash.sock", PGC_SIGHUP, 0,
							   check_socket, NULL, NULL);
}

void
lttle_settings_define(void)
{
	define_booleans();
	define_numbers();
	define_paths();
	MarkGUCPrefixReserved("lttle_pg");
}
