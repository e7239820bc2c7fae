-- A database whose names and comments are as awkward as PostgreSQL allows: what must be escaped in JSON, Markdown and HTML.
COMMENT ON DATABASE inspected IS 'Everything <b>awkward</b> & "quoted" | in one place';
COMMENT ON SCHEMA public IS '1. not a list
- nor this';
CREATE SCHEMA "sales ""<script>alert(1)</script>""";
COMMENT ON SCHEMA "sales ""<script>alert(1)</script>""" IS NULL;
SET search_path = "sales ""<script>alert(1)</script>""";

CREATE TYPE "mood | <i>" AS ENUM ('happy', 'so|so', 'it''s `bad`', E'two\nlines');
COMMENT ON TYPE "mood | <i>" IS '*how* it _was_';

CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email varchar(200) NOT NULL UNIQUE,
    "full | name" text DEFAULT '<none>|"none"',
    mood "mood | <i>" DEFAULT 'so|so',
    tags text[],
    shouted text GENERATED ALWAYS AS (upper(email)) STORED,
    dropped int,
    CONSTRAINT "has @ | \ 'at'" CHECK (position('@' IN email) > 0)
);
ALTER TABLE customers DROP COLUMN dropped;
COMMENT ON TABLE customers IS 'Who buys.
<br> is text here; so is &amp; and C:\path\';
COMMENT ON COLUMN customers.email IS 'a | b || c';
COMMENT ON COLUMN customers.tags IS E'control \x01, tab \t, [link](javascript:alert(1)), ~~gone~~, $x$, #1';
COMMENT ON CONSTRAINT "has @ | \ 'at'" ON customers IS 'checks little';

CREATE TABLE "order `lines` | #1
second line" (
    "order" uuid, line int, customer bigint REFERENCES customers (id) ON DELETE CASCADE, price numeric(10, 2) NOT NULL,
    PRIMARY KEY ("order", line)
);
CREATE INDEX "prices <desc>" ON "order `lines` | #1
second line" (price DESC) WHERE price > 0;
COMMENT ON INDEX "prices <desc>" IS '"fast"';

CREATE TABLE measured (at timestamptz NOT NULL, _value_ double precision, snake_case_name int) PARTITION BY RANGE (at);
CREATE TABLE measured_2025 PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

CREATE VIEW "happy <customers>" AS SELECT id, email, '```' AS fence FROM customers WHERE mood = 'happy';
COMMENT ON VIEW "happy <customers>" IS 'only those';
COMMENT ON COLUMN "happy <customers>".fence IS '`code`';
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM customers;
CREATE UNIQUE INDEX counted_n ON counted (n);

CREATE FUNCTION "greet | <all>"(who text DEFAULT '<you>', VARIADIC more text[] DEFAULT '{}') RETURNS text
    LANGUAGE sql AS $$ SELECT 'hello ' || who $$;
COMMENT ON FUNCTION "greet | <all>"(text, text[]) IS 'says "hello"';
CREATE PROCEDURE tidy(INOUT n int) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE AGGREGATE longest(text) (sfunc = textcat, stype = text);

-- What an extension brings is not the database's own.
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;
-- A schema that a tool's user may not use, and a table that it may not read.
CREATE SCHEMA hidden;
CREATE TABLE hidden.secrets (id int);
CREATE TABLE public.private (id int);
CREATE TABLE public.partly (shown int, concealed int);
CREATE ROLE tool LOGIN PASSWORD 'a b/c?d';
GRANT USAGE ON SCHEMA public TO tool;
GRANT SELECT (shown) ON public.partly TO tool;
