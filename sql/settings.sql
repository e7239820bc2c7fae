-- Every setting: description, unit, range, context, default.
SELECT name, vartype, unit, min_val, max_val, context, boot_val
FROM pg_settings WHERE name LIKE 'lttle\_pg.%' ORDER BY name COLLATE "C";

SELECT name, short_desc, extra_desc FROM pg_settings WHERE name LIKE 'lttle\_pg.%' ORDER BY name COLLATE "C" \gx

-- None of them can be set by a session.
SET lttle_pg.enabled = off;
SET lttle_pg.socket = '/tmp/other.sock';
SET lttle_pg.activity_file = '/tmp/other';
SET lttle_pg.shared_memory_file = '/tmp/other';
SET lttle_pg.transaction_hold = 0;
SET lttle_pg.snapshot_timeout = '1s';
SET lttle_pg.snapshot_at_start = off;
SET lttle_pg.prepare_checkpoint = on;
SET lttle_pg.max_locks = 1;

-- Values that make no sense are refused before they reach the file.
ALTER SYSTEM SET lttle_pg.socket = 'relative.sock';
SELECT format('ALTER SYSTEM SET lttle_pg.socket = %L', '/' || repeat('x', 107)) AS too_long \gset
:too_long;
ALTER SYSTEM SET lttle_pg.activity_file = 'relative';
ALTER SYSTEM SET lttle_pg.shared_memory_file = 'relative';
\set VERBOSITY sqlstate
ALTER SYSTEM SET lttle_pg.transaction_hold = -1;
ALTER SYSTEM SET lttle_pg.snapshot_timeout = '99ms';
ALTER SYSTEM SET lttle_pg.snapshot_timeout = '25h';
\set VERBOSITY default
ALTER SYSTEM SET lttle_pg.max_locks = 0;
ALTER SYSTEM SET lttle_pg.enabled = 'perhaps';

-- A setting that does not exist is no placeholder.
SET lttle_pg.sokcet = '/tmp/x';
