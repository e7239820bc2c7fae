-- Flash locks: session level, counted, gone with the session.
SELECT lttle.flash_lock('migration');
SELECT pid = pg_backend_pid() AS mine, name, since <= clock_timestamp() AS since, "user" = current_user AS "user", application
FROM lttle.flash_locks;
SELECT lttle.flash_unlock('migration');
SELECT count(*) FROM lttle.flash_locks;

-- What is not held is not released.
SELECT lttle.flash_unlock('migration');

-- Taken twice, released twice; the time is that of the first.
SELECT lttle.flash_lock('twice');
SELECT since AS first FROM lttle.flash_locks \gset
SELECT lttle.flash_lock('twice');
SELECT name, since = :'first' AS since FROM lttle.flash_locks;
SELECT lttle.flash_unlock('twice');
SELECT name FROM lttle.flash_locks;
SELECT lttle.flash_unlock('twice');
SELECT name FROM lttle.flash_locks;
SELECT lttle.flash_unlock('twice');

-- Several names; the activity page shows how many, and the one taken last.
SELECT lttle.flash_lock('a'), pg_sleep(0.001);
SELECT lttle.flash_lock('b'), pg_sleep(0.001);
SELECT lttle.flash_lock('c');
SELECT locks, lock, busy FROM lttle.flash_activity WHERE pid = pg_backend_pid();
SELECT lttle.flash_unlock('c');
SELECT locks, lock FROM lttle.flash_activity WHERE pid = pg_backend_pid();
SELECT lttle.flash_unlock_all();
SELECT lttle.flash_unlock_all();
SELECT locks, lock FROM lttle.flash_activity WHERE pid = pg_backend_pid();
SELECT count(*) FROM lttle.flash_locks;

-- They belong to the session: a transaction's end, whichever, does not touch them.
BEGIN;
SELECT lttle.flash_lock('kept');
ROLLBACK;
SELECT name FROM lttle.flash_locks;
BEGIN;
SELECT lttle.flash_unlock('kept');
SELECT 1 / 0;
ROLLBACK;
SELECT name FROM lttle.flash_locks;

-- DISCARD ALL, which poolers send, gives them back; DISCARD PLANS does not.
SELECT lttle.flash_lock('pooled');
DISCARD PLANS;
SELECT name FROM lttle.flash_locks;
DISCARD ALL;
SELECT name FROM lttle.flash_locks;

-- So does the end of the session.
SELECT lttle.flash_lock('ended');
\c
DO $$
BEGIN
  FOR i IN 1 .. 3000 LOOP
    IF NOT EXISTS (SELECT FROM lttle.flash_locks WHERE name = 'ended') THEN
      RAISE NOTICE 'released';
      RETURN;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RAISE EXCEPTION 'still held';
END $$;

-- Names: 1 to 63 bytes of UTF-8.
SELECT lttle.flash_lock('');
SELECT lttle.flash_unlock('');
SELECT lttle.flash_lock(NULL) IS NULL AS nothing;
SELECT lttle.flash_unlock(NULL) IS NULL AS nothing;
SELECT lttle.flash_lock(repeat('x', 63));
SELECT name = repeat('x', 63) AS whole FROM lttle.flash_locks;
SELECT lttle.flash_lock(repeat('x', 64));
SELECT lttle.flash_unlock(repeat('x', 63));
SELECT lttle.flash_lock('a name; with ''quotes'', and spaces');
SELECT name FROM lttle.flash_locks;
SELECT lttle.flash_unlock_all();

-- The table is bounded. A name that is held already still has room.
\set VERBOSITY terse
DO $$
BEGIN
  FOR i IN 1 .. current_setting('lttle_pg.max_locks')::int LOOP
    PERFORM lttle.flash_lock('lock ' || i);
  END LOOP;
END $$;
SELECT count(*) = current_setting('lttle_pg.max_locks')::int AS full FROM lttle.flash_locks;
SELECT lttle.flash_lock('one too many');
SELECT lttle.flash_lock('lock 1');
SELECT lttle.flash_unlock('lock 1'), lttle.flash_unlock('lock 1'), lttle.flash_unlock('lock 1');
SELECT lttle.flash_lock('one too many');
SELECT lttle.flash_unlock_all();
SELECT count(*) FROM lttle.flash_locks;
