"""Users, access, databases and passwords of a PostgreSQL cluster: tried by those who may and by those who may not. The
server sleeps between the steps; what needs it wakes it."""

import contextlib
import os
import subprocess
from pathlib import Path

import harness
import psycopg2
import pytest
from harness import rows, wait_until
from psycopg2 import errors

FILE = """postgres:
  name: shop
  namespace: stores
  size: tiny
  storage: 200Mi
  database: shop
  databases:
    - name: crm
  mode:
    flash:
      timeout: 500ms
  expose:
    access:
      internal: {}
      connection-tracking:
        traffic-aware:
          inactivity-timeout: 500ms
  parameters:
    log_statement: all
    log_min_duration_statement: "0"
  users:
    - name: boss
    - name: writer
      access:
        - level: readwrite
    - name: reader
      namespaces: [web]
      access:
        - level: readonly
        - level: readonly
          database: crm
    - name: mapper
      access:
        - level: metadata
          schemas: [sales]
    - name: we"ird 'na\\me; DROP--
      roles: [Login, Createdb]
"""
ODD = "we\"ird 'na\\me; DROP--"


class Cluster:
    def __init__(self, host):
        self.host = host

    def postgres(self, *arguments, **more):
        return self.host.cli("postgres", *arguments, "--ns", "stores", **more)

    def refused(self, *arguments):
        """What it says, which must be a refusal."""
        done = self.postgres(*arguments, check=False)
        assert done.returncode == 4, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def access(self, user, **more):
        found = self.host.json("postgres", "access-info", "--ns", "stores", "shop", user)
        return {"host": found["host"], "user": user, "password": found["password"], "dbname": "shop",
                "connect_timeout": 60, **more}

    def connect(self, user, **more):
        connection = psycopg2.connect(**self.access(user, **more))
        connection.autocommit = True
        return connection

    def run(self, user, sql, **more):
        connection = self.connect(user, **more)
        try:
            return rows(connection, sql)
        finally:
            connection.close()

    def get(self):
        return self.host.json("postgres", "get", "--ns", "stores", "shop")

    def secret(self, name_space, name):
        done = self.host.cli("secrets", "get", "--ns", name_space, name, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def sleep(self):
        wait_until(lambda: f"the cluster to sleep: {self.get()['phase']}", lambda: self.get()["phase"] == "suspended")


@pytest.fixture(scope="module")
def cluster():
    with harness.Coordinator(f"u{os.getpid() % 100000:05d}", harness.subnet(1)) as host:
        path = host.root / "shop.yaml"
        path.write_text(FILE)
        host.cli("deploy", path)
        cluster = Cluster(host)
        assert cluster.get()["state"] == "ready"
        yield cluster


def test_each_may_what_its_access_says(cluster):
    cluster.run("boss", "CREATE TABLE orders (id serial, note text); CREATE TABLE sales.deals (id int)")
    cluster.sleep()
    cluster.run("writer", "INSERT INTO orders (note) VALUES ('a'); UPDATE orders SET note = 'b'; DELETE FROM orders")
    for sql in ("CREATE TABLE more (id int)", "TRUNCATE orders", "SELECT * FROM sales.deals"):
        with pytest.raises(errors.InsufficientPrivilege):
            cluster.run("writer", sql)
    assert cluster.run("reader", "SELECT * FROM orders") == []
    cluster.run("reader", "SELECT 1", dbname="crm")
    for sql in ("INSERT INTO orders (note) VALUES ('a')", "UPDATE orders SET note = 'b'", "SELECT nextval('orders_id_seq')"):
        with pytest.raises(errors.InsufficientPrivilege):
            cluster.run("reader", sql)
    assert cluster.run("mapper", "SELECT * FROM sales.deals") == []
    with pytest.raises(errors.InsufficientPrivilege):
        cluster.run("mapper", "SELECT * FROM orders")
    cluster.run(ODD, "CREATE DATABASE mine")
    cluster.run(ODD, "DROP DATABASE mine")
    # What the superuser makes later is covered as well.
    cluster.run("postgres", "CREATE TABLE later (id int)", dbname="shop")
    assert cluster.run("reader", "SELECT * FROM later") == []
    with pytest.raises(errors.InsufficientPrivilege):
        cluster.run("reader", "DELETE FROM later")


def test_users_come_change_and_go(cluster):
    cluster.sleep()
    cluster.postgres("user", "add", "shop", "temp", "--access", "readwrite", "--namespaces", "web")
    assert cluster.secret("web", "shop-temp-password") == cluster.secret("stores", "shop-temp-password")
    cluster.run("temp", "INSERT INTO orders (note) VALUES ('temp')")
    cluster.postgres("user", "edit", "shop", "temp", "--access", "readonly", "--roles", "Login,Inherit,Createdb",
                     "--namespaces", "reports")
    assert cluster.secret("web", "shop-temp-password") is None
    assert cluster.secret("reports", "shop-temp-username") == "temp"
    with pytest.raises(errors.InsufficientPrivilege):
        cluster.run("temp", "INSERT INTO orders (note) VALUES ('temp')")
    cluster.run("temp", "CREATE DATABASE passing")
    said = cluster.refused("user", "drop", "shop", "temp", "-y")
    assert 'user "temp" owns 1 thing: database passing' in said
    assert "temp" in [user["name"] for user in cluster.get()["users"]]
    cluster.run("postgres", "DROP DATABASE passing")
    cluster.sleep()
    table = cluster.postgres("user", "list", "shop").stdout
    assert "temp" in table and cluster.get()["phase"] == "suspended"
    cluster.postgres("user", "drop", "shop", "temp", "-y")
    assert cluster.run("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'temp'") == [(0,)]
    assert cluster.secret("reports", "shop-temp-password") is None


def test_who_owns_things_is_not_dropped_unless_told(cluster):
    cluster.postgres("user", "add", "shop", "maker", "--roles", "Login,Inherit")
    cluster.postgres("database", "create", "shop", "made", "--owner", "maker")
    cluster.run("maker", "".join(f"CREATE TABLE t{n:02} (id int); " for n in range(12)), dbname="made")
    # An owner has at its disposal what others make there.
    cluster.run("postgres", "CREATE TABLE by_superuser (id int)", dbname="made")
    cluster.run("maker", "INSERT INTO by_superuser VALUES (1)", dbname="made")
    cluster.run("postgres", "DROP TABLE by_superuser", dbname="made")
    said = cluster.refused("user", "drop", "shop", "maker", "-y")
    assert 'user "maker" owns 12 things: in database "made" table public.t00, ' in said
    assert "table public.t09, and 2 more; " in said and "--reassign-to USER" in said
    assert cluster.get()["state"] == "ready"
    cluster.postgres("user", "drop", "shop", "maker", "-y", "--reassign-to", "boss")
    assert cluster.run("postgres", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'",
                       dbname="made") == [("boss",)]
    # A database in use goes only when that is confirmed; its session ends.
    session = cluster.connect("boss", dbname="made")
    done = cluster.postgres("database", "drop", "shop", "made", check=False)
    assert done.returncode == 2 and rows(session, "SELECT 1") == [(1,)]
    cluster.postgres("database", "drop", "shop", "made", "-y")
    with pytest.raises(psycopg2.Error):
        rows(session, "SELECT 1")
    assert cluster.run("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'made'") == [(0,)]


def test_a_file_without_a_user_who_owns_things_is_refused_by_the_server(cluster):
    cluster.postgres("user", "add", "shop", "it's")
    cluster.run("postgres", 'CREATE TABLE filed (id int); ALTER TABLE filed OWNER TO "it\'s"', dbname="shop")
    before = cluster.get()
    cluster.sleep()
    done = cluster.host.cli("deploy", cluster.host.root / "shop.yaml", check=False)
    assert done.returncode == 1 and done.stderr.splitlines() == [
        f"{cluster.host.root}/shop.yaml:1:1: postgres.users: user \"it's\" owns 1 thing: in database \"shop\" table "
        "public.filed; lttle postgres user drop shop 'it'\\''s' --ns stores --reassign-to USER gives it all to another "
        "user, with --drop-owned what databases hold goes, too"]
    # Nothing has changed: neither the file, nor the credentials, nor the server.
    after = cluster.get()
    assert (after["state"], after["users"]) == ("ready", before["users"])
    cluster.run("it's", "TABLE filed", dbname="shop")
    # The command does it, and then the file says nothing new.
    cluster.postgres("user", "drop", "shop", "it's", "-y", "--reassign-to", "boss")
    assert cluster.run("boss", "SELECT tableowner FROM pg_tables WHERE tablename = 'filed'") == [("boss",)]
    assert "Unchanged postgres: stores/shop" in cluster.host.cli("deploy", cluster.host.root / "shop.yaml").stdout
    # So does the file itself, when it is told to: what was the user's is the superuser's then.
    cluster.postgres("user", "add", "shop", "it's")
    cluster.run("postgres", 'ALTER TABLE filed OWNER TO "it\'s"', dbname="shop")
    cluster.host.cli("deploy", "--reassign-owned", cluster.host.root / "shop.yaml")
    assert cluster.run("boss", "SELECT tableowner FROM pg_tables WHERE tablename = 'filed'") == [("postgres",)]
    assert cluster.run("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'it''s'") == [(0,)]
    cluster.run("postgres", "DROP TABLE filed", dbname="shop")
    # Another refusal, at the line of the user whom it is about; a dry run is refused as well.
    cluster.run("postgres", "CREATE ROLE theirs")
    changed = cluster.host.root / "theirs.yaml"
    changed.write_text(FILE + "    - name: theirs\n")
    for more in ([], ["--dry-run"]):
        done = cluster.host.cli("deploy", *more, changed, check=False)
        line = len(FILE.splitlines()) + 1
        assert f'{changed}:{line}:7: postgres.users[5]: role "theirs" is there already' in done.stderr, done.stderr
    assert cluster.get()["state"] == "ready"
    cluster.run("postgres", "DROP ROLE theirs")


def test_a_role_of_somebody_else_is_left_alone(cluster):
    cluster.run("postgres", "CREATE ROLE theirs LOGIN CREATEDB PASSWORD 'theirs'")
    said = cluster.refused("user", "add", "shop", "theirs")
    assert 'role "theirs" is there already' in said
    theirs = {**cluster.access("boss"), "user": "theirs", "password": "theirs"}
    psycopg2.connect(**theirs).close()
    cluster.postgres("user", "add", "shop", "theirs", "--adopt")
    with pytest.raises(errors.InsufficientPrivilege):
        cluster.run("theirs", "CREATE DATABASE passing")
    cluster.postgres("user", "drop", "shop", "theirs", "-y")


def test_what_was_changed_by_hand_is_told_and_left(cluster):
    assert cluster.postgres("check", "shop").stdout == "The server is what the file says.\n"
    cluster.run("postgres", "ALTER ROLE reader CREATEDB; REVOKE SELECT ON orders FROM reader", dbname="shop")
    cluster.sleep()
    done = cluster.postgres("check", "shop", check=False)
    assert done.returncode == 1 and done.stdout.splitlines() == [
        'user "reader" was given CREATEDB',
        'database "shop": "reader" has no SELECT on 1 of the tables in schema "public", such as "orders"']
    cluster.postgres("user", "edit", "shop", "writer", "--roles", "Login,Inherit,Replication")
    assert cluster.run("postgres", "SELECT rolcreatedb FROM pg_roles WHERE rolname = 'reader'") == [(True,)]
    assert 'user "reader" was given CREATEDB' in cluster.get()["drift"]
    cluster.postgres("user", "edit", "shop", "writer", "--repair")
    assert cluster.postgres("check", "shop").stdout == "The server is what the file says.\n"
    cluster.run("reader", "SELECT * FROM orders")


def test_a_password_is_changed_everywhere(cluster):
    before = cluster.access("reader")
    cluster.sleep()
    cluster.postgres("rotate", "shop", "reader")
    after = cluster.access("reader")
    assert after["password"] != before["password"] and len(after["password"]) == 32
    assert cluster.secret("web", "shop-reader-password") == after["password"]
    assert after["password"] in cluster.secret("web", "shop-reader-url")
    cluster.run("reader", "SELECT 1")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(**before)
    cluster.postgres("rotate", "shop", "postgres")
    cluster.postgres("user", "edit", "shop", "writer", "--roles", "Login,Inherit")
    cluster.run("postgres", "SELECT 1")


def test_a_coordinator_that_dies_while_it_rotates_leaves_a_password_that_works(cluster):
    before = cluster.access("reader")
    blocker = cluster.connect("postgres", dbname="shop")
    looker = cluster.connect("postgres", dbname="shop") # within a transaction pg_stat_activity stays as it was
    rows(blocker, "BEGIN; ALTER ROLE reader VALID UNTIL 'infinity'")
    rotation = subprocess.Popen([str(harness.LTTLE), "--socket", str(cluster.host.socket), "postgres", "rotate", "--ns",
                                 "stores", "shop", "reader"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until("the rotation to wait for the row", lambda: rows(looker, """
        SELECT 1 FROM pg_stat_activity WHERE application_name = 'lttled' AND wait_event_type = 'Lock'"""))
    # Neither the server's view of its sessions nor any process shows the password that is being set.
    (statement,), = rows(looker, """
        SELECT query FROM pg_stat_activity WHERE application_name = 'lttled' AND wait_event_type = 'Lock'""")
    password = cluster.secret("stores", "shop-reader-password_next")
    assert "SCRAM-SHA-256$" in statement and len(password) == 32
    for hidden in (password, before["password"]):
        assert hidden not in str(rows(looker, "SELECT * FROM pg_stat_activity"))
        for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
            with contextlib.suppress(OSError):
                assert hidden.encode() not in path.read_bytes(), path
    cluster.host.kill()
    rotation.wait(timeout=harness.DEADLINE)
    wait_until("the dead one's session to end", lambda: not rows(looker, """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lttled'"""))
    psycopg2.connect(**before).close()
    rows(blocker, "ROLLBACK")
    blocker.close()
    looker.close()
    cluster.host.start()
    wait_until("the new coordinator to end what was begun", lambda: cluster.access("reader")["password"] != before["password"])
    cluster.run("reader", "SELECT 1")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(**before)


def test_no_password_was_ever_written_down(cluster):
    log = cluster.host.cli("machine", "logs", "--ns", "stores", "shop").stdout
    assert "COMMENT ON ROLE" in log and "ALTER DEFAULT PRIVILEGES" in log
    assert "SCRAM-SHA-256$" not in log
    for user in [*(user["name"] for user in cluster.get()["users"]), "postgres"]:
        password = cluster.access(user)["password"]
        assert password not in log and password not in cluster.host.log()
        for name in ("lttle.db", "lttle.db-wal"):
            assert password.encode() not in (cluster.host.state / name).read_bytes()
