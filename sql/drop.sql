-- Dropping leaves nothing, and the server goes on; a new creation starts afresh.
SELECT lttle.flash_lock('held while the extension goes');
DROP EXTENSION lttle_pg;
SELECT count(*) FROM pg_namespace WHERE nspname = 'lttle';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%lttle_pg%';
CREATE EXTENSION lttle_pg;
SELECT name FROM lttle.flash_locks;
SELECT lttle.flash_unlock_all();
DROP EXTENSION lttle_pg;

\set VERBOSITY terse
-- A schema of that name that is somebody else's is not taken over.
CREATE SCHEMA lttle;
CREATE EXTENSION lttle_pg;
DROP SCHEMA lttle;
