"""One connection of psycopg2, as long as the process lives; transactions end by commit and rollback, as is its habit."""

import os
from urllib.parse import urlsplit

import psycopg2
from steps import follow

conn = psycopg2.connect(os.environ["DATABASE_URL"])
cur = conn.cursor()
user_id = None


def ask(sql, *parameters):
    cur.execute(sql, parameters)
    rows = cur.fetchall() if cur.description else cur.rowcount
    conn.commit()
    return rows


def create():
    global user_id
    cur.execute("INSERT INTO users (email, name) VALUES (%s, %s) RETURNING id", ("dora@d.com", "Dora"))
    user_id = cur.fetchone()[0]
    conn.commit()
    return len(user_id)


def rollback():
    cur.execute("DELETE FROM users")
    deleted = cur.rowcount
    conn.rollback()
    return deleted, ask("SELECT count(*) FROM users")[0][0]


def parameters():
    address = urlsplit(os.environ["DATABASE_URL"])
    other = psycopg2.connect(host=address.hostname, port=address.port, database=address.path[1:], user=address.username,
                             password=address.password)
    with other.cursor() as cursor:
        cursor.execute("SELECT version()")
        version = cursor.fetchone()[0]
    other.close()
    return version


follow({
    "backends": lambda: ask("SELECT pg_backend_pid()")[0],
    "schema": lambda: ask(
        "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL UNIQUE, name text NOT NULL)"),
    "create": create,
    "read": lambda: ask("SELECT email, name FROM users WHERE id = %s", user_id),
    "update": lambda: ask("UPDATE users SET name = %s WHERE id = %s", "Dora D.", user_id),
    "rollback": rollback,
    "reread": lambda: ask("SELECT name FROM users"),
    "remove": lambda: ask("DELETE FROM users WHERE id = %s", user_id),
    "parameters": parameters,
})
conn.close()
