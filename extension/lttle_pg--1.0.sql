/* lttle_pg 1.0 */

\echo Use "CREATE EXTENSION lttle_pg" to load this file. \quit

CREATE SCHEMA lttle;
COMMENT ON SCHEMA lttle IS 'lttle_pg: suspends the server while nobody uses it';

CREATE FUNCTION lttle.flash_status(
    OUT connected boolean,
    OUT phase text,
    OUT locks integer,
    OUT suspends bigint,
    OUT last_suspended timestamp with time zone,
    OUT last_resumed timestamp with time zone,
    OUT last_slept interval,
    OUT woken_by text,
    OUT last_error text)
RETURNS record
AS 'MODULE_PATHNAME', 'lttle_flash_status'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION lttle.flash_status() IS
    'connection to the coordinator, phase of the flash worker, flash locks held, and when the server last slept';

/* Says so now when the library was not preloaded, and not when somebody calls the first function. */
SELECT FROM lttle.flash_status();

CREATE FUNCTION lttle.flash_snapshot(timeout interval DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'lttle_flash_snapshot'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION lttle.flash_snapshot(interval) IS
    'asks the coordinator to snapshot and suspend the server once the calling statement has ended; the argument is how long to wait for its answer, lttle_pg.snapshot_timeout when NULL';

CREATE FUNCTION lttle.flash_lock(name text)
RETURNS void
AS 'MODULE_PATHNAME', 'lttle_flash_lock'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lttle.flash_lock(text) IS
    'keeps the server from being suspended until the lock is released as often as it was taken, or the session ends';

CREATE FUNCTION lttle.flash_unlock(name text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'lttle_flash_unlock'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION lttle.flash_unlock(text) IS
    'releases a flash lock of this session once; false, with a warning, when it is not held';

CREATE FUNCTION lttle.flash_unlock_all()
RETURNS void
AS 'MODULE_PATHNAME', 'lttle_flash_unlock_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION lttle.flash_unlock_all() IS 'releases all flash locks of this session';

CREATE FUNCTION lttle.flash_list_locks(
    OUT pid integer,
    OUT name text,
    OUT since timestamp with time zone)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lttle_flash_locks'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION lttle.flash_list_locks() IS 'the flash locks that are held; read by the view lttle.flash_locks';

CREATE FUNCTION lttle.flash_list_activity(
    OUT pid integer,
    OUT kind text,
    OUT state text,
    OUT since timestamp with time zone,
    OUT busy boolean,
    OUT statements bigint,
    OUT locks integer,
    OUT lock text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lttle_flash_activity'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION lttle.flash_list_activity() IS
    'the slots of the activity page; read by the view lttle.flash_activity';

CREATE VIEW lttle.flash_locks AS
SELECT l.pid, l.name, l.since, a.usename AS "user", a.application_name AS application
FROM lttle.flash_list_locks() l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid;
COMMENT ON VIEW lttle.flash_locks IS 'flash locks: which session keeps the server awake, by which name, since when';
COMMENT ON COLUMN lttle.flash_locks.pid IS 'process that holds the lock';
COMMENT ON COLUMN lttle.flash_locks.name IS 'name of the lock';
COMMENT ON COLUMN lttle.flash_locks.since IS 'when the session took it';
COMMENT ON COLUMN lttle.flash_locks."user" IS 'user of the session';
COMMENT ON COLUMN lttle.flash_locks.application IS 'application name of the session';

CREATE VIEW lttle.flash_activity AS
SELECT a.pid, a.kind, a.state, a.since, a.busy, a.statements, a.locks, a.lock
FROM lttle.flash_list_activity() a;
COMMENT ON VIEW lttle.flash_activity IS 'what every process does, as the coordinator sees it in the activity page';
COMMENT ON COLUMN lttle.flash_activity.pid IS 'process';
COMMENT ON COLUMN lttle.flash_activity.kind IS
    'client, walsender, autovacuum worker, parallel worker, background worker, flash worker or auxiliary';
COMMENT ON COLUMN lttle.flash_activity.state IS 'starting, idle, active, in transaction or fastpath';
COMMENT ON COLUMN lttle.flash_activity.since IS 'when the state last changed';
COMMENT ON COLUMN lttle.flash_activity.busy IS 'whether it keeps the server awake now';
COMMENT ON COLUMN lttle.flash_activity.statements IS 'statements begun since the process started';
COMMENT ON COLUMN lttle.flash_activity.locks IS 'number of flash locks that it holds';
COMMENT ON COLUMN lttle.flash_activity.lock IS 'the flash lock taken last and still held';

GRANT USAGE ON SCHEMA lttle TO PUBLIC;

REVOKE ALL ON FUNCTION lttle.flash_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_snapshot(interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_lock(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_unlock(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_unlock_all() FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_list_locks() FROM PUBLIC;
REVOKE ALL ON FUNCTION lttle.flash_list_activity() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION lttle.flash_status() TO pg_monitor;
GRANT EXECUTE ON FUNCTION lttle.flash_list_locks() TO pg_monitor;
GRANT EXECUTE ON FUNCTION lttle.flash_list_activity() TO pg_monitor;
GRANT SELECT ON lttle.flash_locks TO pg_monitor;
GRANT SELECT ON lttle.flash_activity TO pg_monitor;
