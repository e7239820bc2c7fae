-- Who may do what: nobody anything by default, pg_monitor may look, others what they were granted.
CREATE ROLE regress_lttle_nobody;
CREATE ROLE regress_lttle_monitor IN ROLE pg_monitor;
CREATE ROLE regress_lttle_operator;

SELECT r.rolname, f.proname, has_function_privilege(r.oid, f.oid, 'EXECUTE') AS may
FROM pg_roles r, pg_proc f
WHERE r.rolname LIKE 'regress\_lttle\_%' AND f.pronamespace = 'lttle'::regnamespace
ORDER BY r.rolname COLLATE "C", f.proname COLLATE "C";
SELECT r.rolname, c.relname, has_table_privilege(r.oid, c.oid, 'SELECT') AS may
FROM pg_roles r, pg_class c
WHERE r.rolname LIKE 'regress\_lttle\_%' AND c.relnamespace = 'lttle'::regnamespace
ORDER BY r.rolname COLLATE "C", c.relname COLLATE "C";

SET ROLE regress_lttle_nobody;
SELECT lttle.flash_status();
SELECT lttle.flash_snapshot();
SELECT lttle.flash_lock('x');
SELECT lttle.flash_unlock('x');
SELECT lttle.flash_unlock_all();
SELECT * FROM lttle.flash_locks;
SELECT * FROM lttle.flash_activity;
SELECT * FROM lttle.flash_list_locks();
SELECT * FROM lttle.flash_list_activity();
RESET ROLE;

SELECT lttle.flash_lock('watched');
SET ROLE regress_lttle_monitor;
SELECT connected, locks FROM lttle.flash_status();
SELECT name, "user" IS NOT NULL AS "user", application FROM lttle.flash_locks;
SELECT state, lock FROM lttle.flash_activity WHERE pid = pg_backend_pid();
SELECT lttle.flash_snapshot();
SELECT lttle.flash_lock('x');
SELECT lttle.flash_unlock('watched');
SELECT lttle.flash_unlock_all();
RESET ROLE;
SELECT lttle.flash_unlock_all();

GRANT EXECUTE ON FUNCTION lttle.flash_lock(text), lttle.flash_unlock(text) TO regress_lttle_operator;
SET ROLE regress_lttle_operator;
SELECT lttle.flash_lock('mine');
SELECT lttle.flash_unlock('mine');
SELECT * FROM lttle.flash_locks;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION lttle.flash_lock(text), lttle.flash_unlock(text) FROM regress_lttle_operator;

DROP ROLE regress_lttle_nobody;
DROP ROLE regress_lttle_monitor;
DROP ROLE regress_lttle_operator;
