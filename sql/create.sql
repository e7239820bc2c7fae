-- The extension is created, every object of it is documented, and nothing else is in its schema.
CREATE EXTENSION lttle_pg;

SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'lttle_pg';

SELECT pg_describe_object(classid, objid, objsubid) AS object, obj_description(objid, classid::regclass::name) AS comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'lttle_pg')
  AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
ORDER BY pg_describe_object(classid, objid, objsubid) COLLATE "C";

SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, col_description(c.oid, a.attnum) AS comment
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'lttle'::regnamespace AND a.attnum > 0
ORDER BY c.relname, a.attnum;

-- A second time is refused as for any extension.
CREATE EXTENSION lttle_pg;
