-- The view shows this very statement, and the flash worker, which never counts.
SELECT kind, state, busy, since <= clock_timestamp() AS since, locks, lock
FROM lttle.flash_activity WHERE pid = pg_backend_pid();
SELECT kind, state, busy FROM lttle.flash_activity WHERE kind = 'flash worker';

-- Every process has one slot at most.
SELECT pid, count(*) FROM lttle.flash_activity GROUP BY pid HAVING count(*) > 1;

-- Statements are counted once each, whatever they call inside.
CREATE FUNCTION pg_temp.statements() RETURNS bigint LANGUAGE sql AS
  'SELECT statements FROM lttle.flash_activity WHERE pid = pg_backend_pid()';
CREATE FUNCTION pg_temp.nested(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r int;
BEGIN
  FOR i IN 1 .. n LOOP
    EXECUTE 'SELECT 1' INTO r;
  END LOOP;
  RETURN r;
END $$;
SELECT pg_temp.statements() AS before \gset
SELECT pg_temp.nested(10);
SELECT pg_temp.statements() - :before AS counted;

-- Errors, also those that are caught inside, leave the nesting right.
SELECT pg_temp.statements() AS before \gset
DO $$
BEGIN
  FOR i IN 1 .. 3 LOOP
    BEGIN
      PERFORM 1 / (i - i);
    EXCEPTION WHEN division_by_zero THEN
      NULL;
    END;
  END LOOP;
END $$;
SELECT 1 / 0;
SELECT pg_temp.nested('x');
SAVEPOINT nowhere;
SELECT pg_temp.statements() - :before AS counted;
SELECT state, busy FROM lttle.flash_activity WHERE pid = pg_backend_pid();

-- A procedure that commits is still one statement, and active to its end.
CREATE TABLE activity_seen (step int, state text);
CREATE PROCEDURE activity_commit() LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 2 LOOP
    INSERT INTO activity_seen SELECT i, state FROM lttle.flash_activity WHERE pid = pg_backend_pid();
    COMMIT;
  END LOOP;
  INSERT INTO activity_seen SELECT 3, state FROM lttle.flash_activity WHERE pid = pg_backend_pid();
  ROLLBACK;
  INSERT INTO activity_seen SELECT 4, state FROM lttle.flash_activity WHERE pid = pg_backend_pid();
END $$;
SELECT pg_temp.statements() AS before \gset
CALL activity_commit();
SELECT pg_temp.statements() - :before AS counted;
SELECT * FROM activity_seen ORDER BY step;

-- Statements of every kind pass the hooks and keep their results.
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 5);
FETCH 2 FROM c;
MOVE 1 IN c;
FETCH ALL FROM c;
CLOSE c;
SAVEPOINT s;
SELECT 1 / 0;
ROLLBACK TO s;
SELECT state FROM lttle.flash_activity WHERE pid = pg_backend_pid();
COMMIT;
COPY activity_seen FROM stdin;
10	copied
\.
COPY (SELECT * FROM activity_seen WHERE step = 10) TO stdout;
PREPARE p AS SELECT count(*) FROM activity_seen WHERE step >= $1;
EXECUTE p(10);
DEALLOCATE p;
VACUUM activity_seen;
CREATE INDEX CONCURRENTLY activity_seen_step ON activity_seen (step);
EXPLAIN (COSTS OFF) SELECT * FROM activity_seen WHERE step = 10 AND false;
LISTEN activity_news;
UNLISTEN activity_news;
DROP PROCEDURE activity_commit();
DROP TABLE activity_seen;
