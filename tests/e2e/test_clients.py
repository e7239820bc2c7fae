"""
The programs of people: node's pool, psycopg2, asyncpg and psql. Each does one step, then the server is put to sleep, in
memory and on disk in turn, then comes the next step over the same connections. No client may see an error or connect anew.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import harness
import pytest
from harness import wait_until

PROGRAMS = Path(__file__).parent / "clients"
CACHE = Path(os.environ.get("LTTLE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lttle_pg")


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "shop")
    # A session that is still in a transaction would hold the server awake for a minute, as long as a test may wait.
    server.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '200ms'")
    server.query("SELECT pg_reload_conf()")
    yield server
    server.delete()


class Sleeper:
    """Puts the server to sleep before each step, by turns, and knows that the step has woken it."""

    def __init__(self, server):
        self.server, self.turns = server, 0

    def sleep(self):
        self.server.hibernate() if self.turns % 2 else self.server.suspend()
        self.turns += 1
        state = self.server.get()
        assert state["phase"] in ("suspended", "hibernated"), f"somebody has woken it: {state['woken-by']}"
        return state["wakes"]

    def woken_since(self, wakes):
        return self.server.get()["wakes"] > wakes


class Program:
    """A client program that is led step by step; its errors are kept apart and must be none."""

    def __init__(self, server, directory, command, **environment):
        self.sleeper = Sleeper(server)
        self.errors = directory / "errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, env={**os.environ, **environment})
        self.await_connected()

    def await_connected(self):
        """A client that still connects would wake a server that has just been put to sleep."""
        assert json.loads(self.read_line()) == "connected"

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the program has ended: {self.errors.read_text()}") from None

    def read_line(self):
        line = self.process.stdout.readline()
        assert line, f"the program has ended: {self.errors.read_text()}"
        return line.rstrip("\n")

    def step(self, name):
        """One step of a server that sleeps; what it returned."""
        wakes = self.sleeper.sleep()
        self.send(name)
        result = json.loads(self.read_line())
        assert self.sleeper.woken_since(wakes), f"{name} was answered without a wake"
        return result

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=harness.DEADLINE) == 0
        assert self.errors.read_text() == ""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def database_url(server, database):
    server.query(f"CREATE DATABASE {database}")
    return f"postgresql://user:password@{server.address}:5432/{database}"


def test_node_pool_of_ten_connections(server, tmp_path):
    modules = CACHE / "clients/node_modules"
    assert (modules / "pg").is_dir(), f"{modules} is not there: run make setup"
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("steps.mjs", "node_pool.mjs"):
        shutil.copy(PROGRAMS / name, tmp_path)
    with Program(server, tmp_path, ["node", "node_pool.mjs"], DATABASE_URL=database_url(server, "nodeshop")) as shop:
        assert shop.step("connect") == [{"one": 1}]
        backends = shop.step("backends")
        assert len(set(backends)) == 10
        assert [row["indexname"] for row in shop.step("schema")] == ["idx_orders_user_id", "idx_users_email"]
        assert shop.step("create") == {"email": "a@b.com", "name": "Alice", "status": "active", "born": True}
        assert shop.step("bulk") == 29
        assert shop.step("read") == ["Alice"]
        assert shop.step("pages") == [20, 10, 30]
        assert shop.step("count") == "30"
        assert shop.step("update") == 1
        assert shop.step("upsert") == [{"key": "theme", "value": "dark"}]
        assert shop.step("transaction") == "committed"
        assert shop.step("rollback") == "rolled back: no_debts"
        assert shop.step("join") == [{"total": "40.00", "status": "pending", "email": "a@b.com", "balance": "60.00"}]
        assert shop.step("softDelete") == [{"status": "active", "count": "29"}, {"status": "deleted", "count": "1"}]
        assert shop.step("remove") == 1
        assert shop.step("single").startswith("PostgreSQL 17")
        assert shop.step("backends") == backends
        shop.end()


def test_psycopg2(server, tmp_path):
    command = ["/usr/bin/python3", PROGRAMS / "python_psycopg2.py"]
    with Program(server, tmp_path, command, DATABASE_URL=database_url(server, "psycopg")) as program:
        backends = program.step("backends")
        program.step("schema")
        assert program.step("create") == 36
        assert program.step("read") == [["dora@d.com", "Dora"]]
        assert program.step("update") == 1
        assert program.step("rollback") == [1, 1]
        assert program.step("reread") == [["Dora D."]]
        assert program.step("remove") == 1
        assert program.step("parameters").startswith("PostgreSQL 17")
        assert program.step("backends") == backends
        program.end()


def test_asyncpg(server, tmp_path):
    command = ["/usr/bin/python3", PROGRAMS / "python_asyncpg.py"]
    with Program(server, tmp_path, command, DATABASE_URL=database_url(server, "asyncpg")) as program:
        backends = program.step("backends")
        assert program.step("schema") == "CREATE TABLE"
        assert program.step("create") == 1
        assert program.step("many") == 51
        assert program.step("cursor") == [1, 2, 3, 4, 5]
        assert program.step("rollback") == 51
        assert program.step("kept") == 42
        assert program.step("notify") == ["it is awake"]
        assert program.step("backends") == backends
        program.end()


class Psql(Program):
    """psql that reads its commands from a pipe; \\echo tells where a step's output ends."""

    def await_connected(self):
        assert self.ask("SELECT 'connected';") == ["connected"]

    def ask(self, text):
        self.send(f"{text}\n\\echo '-- end of step'")
        lines = []
        while (line := self.read_line()) != "-- end of step":
            lines.append(line)
        return lines

    def step(self, text):
        wakes = self.sleeper.sleep()
        lines = self.ask(text)
        assert self.sleeper.woken_since(wakes), f"{text} was answered without a wake"
        return lines


def psql(server, directory, database, user="user", password="password"):
    command = ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", server.address, "-U", user, "-d", database]
    return Psql(server, directory, command, PGPASSWORD=password)


def test_psql_of_an_administrator(server, tmp_path):
    with psql(server, tmp_path, "db") as admin:
        (pid,) = admin.step("SELECT pg_backend_pid();")
        assert admin.step("SELECT 1;") == ["1"]
        assert admin.step("SELECT version();")[0].startswith("PostgreSQL 17")
        admin.step("CREATE DATABASE myapp_db;")
        admin.step("CREATE USER myapp_user WITH PASSWORD 'strong-random-password'; "
                   "GRANT CONNECT ON DATABASE myapp_db TO myapp_user;")
        # psql of Debian 12 is too old for \\l of this server; the machine has its own.
        databases = server.host.cli("machine", "exec", "--ns", server.namespace, server.name, "psql", "-U", "user", "-d", "db",
                                    "-Atc", "\\l").stdout
        assert any(line.startswith("myapp_db|") for line in databases.splitlines())
        assert any(line.startswith("myapp_user|") for line in admin.step("\\du"))
        assert "myapp_user" in admin.step("SELECT rolname FROM pg_roles;")
        assert admin.step("SELECT pg_backend_pid();") == [pid]
        # Another database is another connection, and the rights belong to it.
        admin.step("\\c myapp_db")
        admin.step("GRANT USAGE ON SCHEMA public TO myapp_user; "
                   "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO myapp_user; "
                   "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO myapp_user;")
        admin.step("CREATE TABLE made_later (id serial, word text);")
        assert admin.step("\\dt") == ["public|made_later|table|user"]
        with psql(server, tmp_path, "myapp_db", "myapp_user", "strong-random-password") as user:
            assert user.step("INSERT INTO made_later (word) VALUES ('mine') RETURNING id, word;")[0] == "1|mine"
            # The user's session is ended by the administrator, so it has no end of its own.
            admin.step("\\c db")
            admin.step("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'myapp_db';")
            wait_until("the user's session to end", lambda: not server.query(
                "SELECT 1 FROM pg_stat_activity WHERE datname = 'myapp_db' AND backend_type = 'client backend'"))
        admin.step("DROP DATABASE myapp_db;")
        admin.step("DROP USER myapp_user;")
        admin.end()
