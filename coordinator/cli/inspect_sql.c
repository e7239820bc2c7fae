/*
 * The statement that reads a database's documentation as JSON; see inspect.h. A schema is seen by who may use it, a
 * table by who may read something of it, a function by who may call it. What belongs to an extension is left out.
 */
#include "cli/inspect.h"

/* Of an object (catalog, oid): that no extension has made it. */
#define NOT_OF_EXTENSION(catalog, object)                                                                              \
	"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" catalog "'::regclass AND e.objid = " object              \
	" AND e.deptype = 'e')"

#define LIST(inner) "(SELECT coalesce(json_agg(t), '[]') FROM (" inner ") t)"

#define COLUMN_NAMES(relation, numbers)                                                                                \
	"(SELECT coalesce(json_agg(a.attname ORDER BY u.place), '[]') FROM unnest(" numbers                                \
	") WITH ORDINALITY u (number, place) JOIN pg_attribute a ON a.attrelid = " relation " AND a.attnum = u.number)"

/* to_jsonb: these columns of the catalog came with PostgreSQL 10 and 12. */
#define COLUMNS                                                                                                        \
	LIST("SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,"       \
		 " CASE WHEN coalesce(to_jsonb(a)->>'attgenerated', '') = '' THEN pg_get_expr(d.adbin, d.adrelid) END"         \
		 "  AS \"default\","                                                                                           \
		 " CASE to_jsonb(a)->>'attidentity' WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,"        \
		 " CASE WHEN to_jsonb(a)->>'attgenerated' <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,"        \
		 " col_description(c.oid, a.attnum) AS comment"                                                                \
		 " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"                \
		 " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum")

#define KEYS                                                                                                           \
	LIST("SELECT k.conname AS name, CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique'"                 \
		 "  WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' ELSE 'exclusion' END AS kind, " COLUMN_NAMES(            \
			 "k.conrelid",                                                                                             \
			 "k.conkey") " AS columns,"                                                                                \
						 " CASE WHEN k.contype = 'f' THEN (SELECT json_build_object("                                  \
						 "'schema', fn.nspname, 'table', f.relname, "                                                  \
						 "'columns', " COLUMN_NAMES(                                                                   \
							 "k.confrelid",                                                                            \
							 "k.confkey") ")"                                                                          \
										  " FROM pg_class f JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE "    \
										  "f.oid = k.confrelid) END"                                                   \
										  " AS \"references\", pg_get_constraintdef(k.oid) AS definition,"             \
										  " obj_description(k.oid, 'pg_constraint') AS comment"                        \
										  " FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', "     \
										  "'u', 'f', 'c', 'x')"                                                        \
										  " ORDER BY position(k.contype::text in 'pufcx'), k.conname COLLATE \"C\"")

#define INDEXES                                                                                                        \
	LIST("SELECT i.relname AS name, x.indisunique AS \"unique\", pg_get_indexdef(x.indexrelid) AS definition,"         \
		 " obj_description(x.indexrelid, 'pg_class') AS comment"                                                       \
		 " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid"                           \
		 " ORDER BY i.relname COLLATE \"C\"")

#define RELATIONS                                                                                                      \
	" FROM pg_class c WHERE c.relnamespace = n.oid AND " NOT_OF_EXTENSION(                                             \
		"pg_class",                                                                                                    \
		"c.oid") " AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))"

#define TABLES                                                                                                         \
	LIST("SELECT c.relname AS name, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table'"            \
		 "  ELSE 'foreign table' END AS kind, pg_get_userbyid(c.relowner) AS owner,"                                   \
		 " obj_description(c.oid, 'pg_class') AS comment, " COLUMNS " AS columns, " KEYS " AS keys, " INDEXES          \
		 " AS indexes" RELATIONS " AND c.relkind IN ('r', 'p', 'f') ORDER BY c.relname COLLATE \"C\"")

#define VIEWS                                                                                                          \
	LIST("SELECT c.relname AS name, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind,"         \
		 " pg_get_userbyid(c.relowner) AS owner, obj_description(c.oid, 'pg_class') AS comment, " COLUMNS              \
		 " AS columns, " INDEXES " AS indexes, pg_get_viewdef(c.oid) AS definition" RELATIONS                          \
		 " AND c.relkind IN ('v', 'm') ORDER BY c.relname COLLATE \"C\"")

#define ENUMS                                                                                                          \
	LIST("SELECT y.typname AS name, (SELECT json_agg(v.enumlabel ORDER BY v.enumsortorder) FROM pg_enum v"             \
		 "  WHERE v.enumtypid = y.oid) AS \"values\", obj_description(y.oid, 'pg_type') AS comment"                    \
		 " FROM pg_type y WHERE y.typnamespace = n.oid AND y.typtype = 'e' AND " NOT_OF_EXTENSION(                     \
			 "pg_type", "y.oid") " ORDER BY y.typname COLLATE \"C\"")

#define FUNCTIONS                                                                                                      \
	LIST("SELECT p.proname AS name, CASE coalesce(to_jsonb(p)->>'prokind', 'f') WHEN 'p' THEN 'procedure'"             \
		 "  WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window function' ELSE 'function' END AS kind,"                    \
		 " pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS returns,"                   \
		 " l.lanname AS language, obj_description(p.oid, 'pg_proc') AS comment"                                        \
		 " FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = n.oid"                        \
		 " AND has_function_privilege(p.oid, 'EXECUTE') AND " NOT_OF_EXTENSION(                                        \
			 "pg_proc",                                                                                                \
			 "p.oid") " ORDER BY p.proname COLLATE \"C\", pg_get_function_identity_arguments(p.oid) COLLATE \"C\"")

const char inspect_sql[] =
	"SELECT json_build_object('database', current_database(),"
	" 'comment', (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()),"
	" 'schemas', " LIST("SELECT n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner,"
						" obj_description(n.oid, 'pg_namespace') AS comment, " TABLES " AS tables, " VIEWS
						" AS views, " ENUMS " AS enums, " FUNCTIONS " AS functions"
						" FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
						" AND has_schema_privilege(n.oid, 'USAGE') AND " NOT_OF_EXTENSION(
							"pg_namespace", "n.oid") " ORDER BY n.nspname COLLATE \"C\"") ")";
