"""
The commands of `lttle postgres` that speak to a database: psql, port-forward, tunnel, tables, stats, health, inspect. They
wake the server by connecting and let it sleep again; --url leads to any PostgreSQL.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import harness
import psycopg2
import pytest
from harness import rows, wait_until

INSPECT = Path(__file__).parent / "inspect"
# What would outlive a test that is killed.
DIES_WITH_US = ["setpriv", "--pdeathsig", "TERM"]


FILE = """postgres:
  name: looked-at
  namespace: samples
  size: tiny
  storage: 200Mi
  database: db
  databases:
    - name: inspected
  mode:
    flash:
      timeout: 500ms
  expose:
    access:
      internal: {}
      connection-tracking:
        traffic-aware:
          inactivity-timeout: 500ms
  users:
    - name: app
    - name: mapper
      access:
        - level: metadata
"""


class Cluster(harness.Database):
    """A cluster: its machine has its name."""

    def __init__(self, host):
        self.host, self.name, self.namespace = host, "looked-at", "samples"
        path = host.root / "cluster.yaml"
        path.write_text(FILE)
        host.cli("deploy", path)
        self.passwords = {user: self.access(user)["password"] for user in ("app", "mapper", "postgres")}
        self.passwords["tool"] = "a b/c?d"

    def access(self, user):
        return self.host.json("postgres", "access-info", "--ns", self.namespace, self.name, user)

    def connect(self, **more):
        return super().connect(**{"user": "postgres", "password": self.passwords["postgres"], **more})

    def delete(self):
        self.host.cli("postgres", "delete", "--ns", self.namespace, self.name, "--volumes", "-y")


@pytest.fixture(scope="module")
def server(own_host):
    server = Cluster(own_host)
    connection = server.connect(dbname="inspected")
    rows(connection, (INSPECT / "awkward.sql").read_text())
    connection.close()
    yield server
    server.delete()


def url(server, database="db", user="postgres", password=None, host=None, port=5432):
    password = quote(password or server.passwords[user], safe="")
    return f"postgresql://{quote(user)}:{password}@{host or server.address}:{port}/{database}"


def postgres(server, *arguments, check=True, **more):
    return server.host.cli("postgres", *arguments, check=check, **more)


# ---- psql ----


def test_psql_runs_as_the_user_with_its_arguments(server):
    server.hibernate()
    done = postgres(server, "psql", "--url", url(server), "--", "-X", "-At", "-c", "SELECT current_user, current_database(), 6 * 7")
    assert done.stdout == "postgres|db|42\n" and done.stderr == ""
    done = postgres(server, "psql", "--url", url(server), "-d", "inspected", "--", "-X", "-At", input="SELECT current_database();\n")
    assert done.stdout == "inspected\n"
    done = postgres(server, "psql", "--url", url(server), "--", "-X", "-c", "SELECT no_such_column", check=False)
    assert done.returncode == 1 and "no_such_column" in done.stderr


def test_psql_has_no_password_in_its_arguments(server):
    command = [str(harness.LTTLE), "postgres", "psql", "--url", url(server, "inspected", "tool"),
               "--", "-X", "-At"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("SELECT current_user;\n")
        process.stdin.flush()
        assert process.stdout.readline() == "tool\n"
        # lttle has become psql, and its arguments are psql's.
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert arguments.split(b"\0")[1:-1] == [b"-X", b"-At"] and b"a b" not in arguments
        process.stdin.close()
        assert process.wait(timeout=harness.DEADLINE) == 0


# ---- clusters by their names ----


def by_name(server, command, *arguments, **more):
    return postgres(server, command, "--ns", server.namespace, server.name, *arguments, **more)


def test_a_clusters_name_is_enough(server):
    server.hibernate()
    create = "CREATE TABLE orders (id int PRIMARY KEY, total numeric); COMMENT ON TABLE orders IS 'what was sold'"
    by_name(server, "psql", "--", "-X", "-q", "-c", create)
    assert by_name(server, "psql", "--", "-X", "-At", "-c", "SELECT current_user").stdout == "app\n"
    assert by_name(server, "psql", "postgres", "--", "-X", "-At", "-c", "SELECT current_user").stdout == "postgres\n"
    (table,) = json.loads(by_name(server, "tables", "--json").stdout)
    assert table["name"] == "orders" and table["owner"] == "app" and table["comment"] == "what was sold"
    session = server.connect(user="app", password=server.passwords["app"], dbname="db")
    rows(session, "SELECT 'seen by a superuser'")
    assert "seen by a superuser" in by_name(server, "stats", "postgres").stdout
    assert "seen by a superuser" not in by_name(server, "stats", "mapper").stdout
    session.close()
    missing = by_name(server, "tables", "nobody", check=False)
    assert missing.returncode == 3 and "nobody" in missing.stderr


def test_inspect_takes_the_metadata_user(server):
    """It sees a table that was made after it, by somebody else."""
    server.hibernate()
    document = json.loads(by_name(server, "inspect", "--json").stdout)
    (table,) = [table for schema in document["schemas"] for table in schema["tables"]]
    assert table["name"] == "orders" and [column["name"] for column in table["columns"]] == ["id", "total"]
    assert by_name(server, "inspect", "mapper", "--json").stdout == by_name(server, "inspect", "--json").stdout
    nobody = postgres(server, "inspect", "--ns", server.namespace, "nobody", check=False)
    assert nobody.returncode == 3


def test_health_wakes_only_when_told_to(server):
    server.hibernate()
    wakes = server.get()["wakes"]
    assert "would wake it" in by_name(server, "health").stdout
    assert server.get()["wakes"] == wakes and server.phase() == "hibernated"
    health = json.loads(by_name(server, "health", "--wake", "--json").stdout)
    assert health["healthy"] and health["answers"] and health["version"].startswith("PostgreSQL 17")
    assert server.get()["wakes"] > wakes


def test_port_forward_of_a_cluster(server):
    with Forward("port-forward", "--ns", server.namespace, server.name, server=server) as forward:
        server.suspend()
        session = forward.connect()
        assert rows(session, "SELECT current_user, inet_server_port()") == [("app", 5432)]
        session.close()
        assert forward.end() == 0


# ---- tables, stats ----


def test_tables(server):
    server.suspend()
    wakes = server.get()["wakes"]
    tables = json.loads(postgres(server, "tables", "--url", url(server, "inspected"), "--json").stdout)
    assert server.get()["wakes"] > wakes
    found = {(table["schema"], table["name"]): table for table in tables}
    assert ("public", "partly") in found and ("hidden", "secrets") in found
    customers = found['sales "<script>alert(1)</script>"', "customers"]
    assert customers["kind"] == "table" and customers["size-bytes"] > 0 and customers["owner"] == "postgres"
    assert found['sales "<script>alert(1)</script>"', "happy <customers>"]["size-bytes"] is None
    text = postgres(server, "tables", "--url", url(server, "inspected")).stdout
    assert text.splitlines()[0].split() == ["SCHEMA", "NAME", "KIND", "OWNER", "ROWS", "(ESTIMATE)", "SIZE", "COMMENT"]
    assert len(text.splitlines()) == len(tables) + 1, "a name of two lines is one row"


def test_stats(server):
    idle = server.connect(application_name="an application", dbname="inspected")
    rows(idle, "SELECT 'a query\n   of   two lines'")
    stats = json.loads(postgres(server, "stats", "--url", url(server, "inspected"), "--json").stdout)
    (session,) = [session for session in stats["activity"] if session["application"] == "an application"]
    assert session["user"] == "postgres" and session["state"] == "idle" and "two lines" in session["query"]
    databases = {database["database"]: database for database in stats["databases"]}
    assert databases["inspected"]["sessions"] >= 1 and databases["inspected"]["size-bytes"] > 1 << 20
    assert any(table["name"] == "partly" for table in stats["tables"])
    text = postgres(server, "stats", "--url", url(server, "inspected")).stdout
    assert "SELECT 'a query of two lines'" in text
    assert [line for line in text.splitlines() if line in ("Sessions", "Databases", "Tables")] == ["Sessions", "Databases", "Tables"]
    idle.close()


# ---- health ----


def test_health_of_any_server(server):
    server.hibernate()
    health = json.loads(postgres(server, "health", "--url", url(server), "--json").stdout)
    assert health["healthy"] and health["answers"] and health["version"].startswith("PostgreSQL 17")
    wrong = postgres(server, "health", "--url", url(server, password="wrong"), "--json", check=False)
    assert wrong.returncode == 1 and not json.loads(wrong.stdout)["healthy"] and "password" in wrong.stderr
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    nobody = postgres(server, "health", "--url", url(server, host="127.0.0.1", port=port), check=False)
    assert nobody.returncode == 1 and "healthy: no" in nobody.stdout


def test_health_does_not_wake(server):
    server.hibernate()
    wakes = server.get()["wakes"]
    health = json.loads(postgres(server, "health", "--ns", server.namespace, server.name, "--json").stdout)
    assert health["healthy"] and health["phase"] == "hibernated" and "answers" not in health
    assert "would wake it" in postgres(server, "health", "--ns", server.namespace, server.name).stdout
    assert server.get()["wakes"] == wakes and server.phase() == "hibernated"
    missing = postgres(server, "health", "--ns", server.namespace, "nobody", check=False)
    assert missing.returncode == 3 and "nobody" in missing.stderr


# ---- usage ----


@pytest.mark.parametrize("arguments, message", [
    (["tables"], "CLUSTER or --url is missing"),
    (["tables", "some", "--url", "postgresql://h"], "either CLUSTER or --url"),
    (["tables", "--url", "https://secret-word@x"], "this is no connection URL"),
    (["port-forward", "--url", "postgresql://127.0.0.1:5432", "65536"], "is no port"),
    (["port-forward", "--url", "postgresql://not-an-address:5432"], "is no address"),
    (["tunnel", "--url", "postgresql://h"], "--ssh USER@JUMP is missing"),
    (["tunnel", "--url", "postgresql://a,b/db", "--ssh", "j"], "one host"),
    (["inspect", "--url", "postgresql://h", "--format", "pdf"], "none of markdown, html and json"),
])
def test_wrong_usage(server, arguments, message):
    done = postgres(server, *arguments, check=False)
    assert done.returncode in (1, 2) and message in done.stderr and "secret-word" not in done.stderr


# ---- port-forward ----


class Forward:
    """port-forward or tunnel while it runs; it says where as soon as it can be connected to."""

    def __init__(self, *arguments, server):
        self.password = server.passwords["app"]
        command = [*DIES_WITH_US, str(harness.LTTLE), "--socket", str(server.host.socket), "postgres", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("127.0.0.1:"), self.process.communicate()[1]
        self.port = int(line.split(":")[1])

    def connect(self):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="app", password=self.password, dbname="db",
                                      connect_timeout=60)
        connection.autocommit = True
        return connection

    def end(self, signal_number=signal.SIGINT):
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=harness.DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.communicate()


def test_port_forward_lets_the_server_sleep(server):
    with Forward("port-forward", "--url", url(server), server=server) as forward:
        session = forward.connect()
        pid = rows(session, "SELECT pg_backend_pid()")
        for sleep in (server.suspend, server.hibernate):
            sleep()
            wakes = server.get()["wakes"]
            assert rows(session, "SELECT pg_backend_pid()") == pid
            assert server.get()["wakes"] == wakes + 1
        # Much more than what may wait on the way.
        assert len(rows(session, "SELECT repeat('x', 20000000)")[0][0]) == 20000000
        assert rows(session, "SELECT length(%s)", "y" * 5000000) == [(5000000,)]
        session.close()
        others = [forward.connect() for _ in range(5)]
        assert [rows(other, "SELECT 1") for other in others] == [[(1,)]] * 5
        for other in others:
            other.close()
        assert forward.end() == 0


def test_port_forward_on_a_port_of_ones_own(server):
    with Forward("port-forward", "--url", url(server), server=server) as first:
        taken = postgres(server, "port-forward", "--url", url(server), first.port, check=False)
        assert taken.returncode == 1 and str(first.port) in taken.stderr
        assert first.end(signal.SIGTERM) == 0
    with Forward("port-forward", "--url", url(server), first.port, server=server) as second:
        assert second.port == first.port
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host="127.0.0.1", port=second.port, user="app", password="wrong", dbname="db")
        assert second.end() == 0


# ---- inspect ----


def inspect(server, *arguments, user="postgres"):
    return postgres(server, "inspect", "--url", url(server, "inspected", user), *arguments).stdout


def compare(name, text):
    """With LTTLE_WRITE_EXPECTED=1 the expected files are written anew, to be looked at with git diff."""
    expected = INSPECT / name
    if os.environ.get("LTTLE_WRITE_EXPECTED"):
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.parametrize("format, name", [("json", "expected.json"), ("markdown", "expected.md"), ("html", "expected.html")])
def test_inspect(server, format, name):
    text = inspect(server, "--format", format)
    compare(name, text)
    assert inspect(server, "--format", format) == text


class Tags(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.cells = set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag in ("td", "h2", "h3"):
            self.cells.append("")
        if tag not in ("br", "meta"):
            self.open.append(tag)
        elif tag == "br" and self.cells:
            self.cells[-1] += "\n"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def test_a_page_holds_no_tag_that_a_name_brought(server):
    page = Tags(inspect(server, "--format", "html"))
    assert page.open == []
    assert page.tags == {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "span", "p", "br", "table", "thead",
                         "tbody", "tr", "th", "td", "pre", "code"}
    cells = [cell.strip() for cell in page.cells]
    assert 'Schema sales "<script>alert(1)</script>"' in cells
    assert "it's `bad`" in cells and "two\nlines" in cells


def test_rows_of_markdown_have_as_many_cells_as_their_header(server):
    text = inspect(server)
    counted = 0
    for line in text.splitlines():
        cells = line.replace("\\\\", "").replace("\\|", "").count("|") if line.startswith("| ") else None
        if cells is not None and counted:
            assert cells == counted, line
            continue
        counted = cells or 0
    # Between fences nothing is escaped, and nothing means anything.
    outside = re.sub(r"^(`{3,})sql\n.*?^\1$", "", text, flags=re.M | re.S)
    assert "alert" in outside and "<" not in outside.replace("<br>", "")


def test_inspect_shows_what_the_user_may_see(server):
    document = json.loads(inspect(server, "--json", user="tool"))
    assert [schema["name"] for schema in document["schemas"]] == ["public"]
    assert [table["name"] for table in document["schemas"][0]["tables"]] == ["partly"]
    assert "hidden" not in inspect(server, user="tool")


def test_inspect_into_a_file(server, tmp_path):
    path = tmp_path / "shop.md"
    assert inspect(server, "-o", path) == ""
    assert path.read_text() == (INSPECT / "expected.md").read_text()
    wrong = postgres(server, "inspect", "--url", url(server, password="wrong"), "-o", path, check=False)
    assert wrong.returncode == 1 and path.read_text() == (INSPECT / "expected.md").read_text()
    assert os.listdir(tmp_path) == ["shop.md"]


# ---- a PostgreSQL elsewhere ----

OLDER = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def older_server():
    """The URL of a plain PostgreSQL 15, nobody's machine, with the awkward database in it."""
    data = Path(tempfile.mkdtemp(prefix="lttle-older-", dir="/tmp"))
    shutil.chown(data, "postgres", "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(["runuser", "-u", "postgres", "--", OLDER / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"],
                   check=True, capture_output=True, cwd="/")
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            [*DIES_WITH_US, "--reuid", "postgres", "--regid", "postgres", "--clear-groups", OLDER / "postgres", "-D", data,
             "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    try:
        def connect(database):
            assert process.poll() is None, (data / "log").read_text()
            try:
                connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname=database)
            except psycopg2.OperationalError:
                return None
            connection.autocommit = True
            return connection

        wait_until("PostgreSQL 15 to start", lambda: connect("postgres"))
        for database, sql in (("postgres", "CREATE DATABASE inspected"), ("inspected", (INSPECT / "awkward.sql").read_text())):
            connection = connect(database)
            rows(connection, sql)
            connection.close()
        yield f"postgresql://postgres@127.0.0.1:{port}/inspected"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=harness.DEADLINE)
        shutil.rmtree(data)


def without_definitions(part):
    """PostgreSQL 15 writes expressions in other words than 17."""
    if isinstance(part, list):
        return [without_definitions(item) for item in part]
    if isinstance(part, dict):
        return {key: without_definitions(value) for key, value in part.items() if key != "definition"}
    return part


def test_a_postgresql_elsewhere(server, older_server):
    health = json.loads(postgres(server, "health", "--url", older_server, "--json").stdout)
    assert health["version"].startswith("PostgreSQL 15")
    document = json.loads(postgres(server, "inspect", "--url", older_server, "--json").stdout)
    assert without_definitions(document) == without_definitions(json.loads((INSPECT / "expected.json").read_text()))
    stats = json.loads(postgres(server, "stats", "--url", older_server, "--json").stdout)
    assert stats["activity"] == [] and stats["databases"][0]["database"] == "inspected"
    assert len(json.loads(postgres(server, "tables", "--url", older_server, "--json").stdout)) > 5


# ---- through a jump host ----

SSHD_RUN = Path("/run/sshd")


class JumpHost:
    """An sshd of its own on loopback, with its own keys, that lets root in by one key and forwards to one server."""

    def __init__(self, directory, allowed):
        self.directory = directory
        for key in ("host_key", "user_key", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
        (directory / "authorized_keys").write_text((directory / "user_key.pub").read_text())
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {directory}/host_key\nPidFile none\nUsePAM {self.pam()}\nStrictModes no\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nPermitOpen {allowed}\nPermitTTY no\nForceCommand /bin/false\n")
        kind, key = (directory / "host_key.pub").read_text().split()[:2]
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        (directory / "ssh_config").write_text(
            f"Host *\n  UserKnownHostsFile {directory}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n  BatchMode yes\n")
        # sshd wants this directory, which its service would make.
        self.own_directory = not SSHD_RUN.exists()
        SSHD_RUN.mkdir(mode=0o755, exist_ok=True)
        self.log = open(directory / "sshd.log", "wb")
        self.process = subprocess.Popen([*DIES_WITH_US, "/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"], stderr=self.log)
        wait_until(lambda: f"sshd to listen: {(directory / 'sshd.log').read_text()}", self.listens)

    @staticmethod
    def pam():
        """Without PAM sshd lets nobody in whose password is locked, not even by a key."""
        (root,) = [line for line in Path("/etc/shadow").read_text().splitlines() if line.startswith("root:")]
        return "yes" if root.split(":")[1].startswith("!") else "no"

    def listens(self):
        assert self.process.poll() is None, (self.directory / "sshd.log").read_text()
        try:
            harness.tcp_connect("127.0.0.1", self.port).close()
        except ConnectionRefusedError:
            return False
        return True

    def options(self, key="user_key"):
        return ["--ssh", f"ssh://root@127.0.0.1:{self.port}", "--key", self.directory / key,
                "--ssh-config", self.directory / "ssh_config"]

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=harness.DEADLINE)
        self.log.close()
        if self.own_directory:
            SSHD_RUN.rmdir()


@pytest.fixture(scope="module")
def jump_host(server, tmp_path_factory):
    jump_host = JumpHost(tmp_path_factory.mktemp("jump"), f"{server.address}:5432")
    yield jump_host
    jump_host.end()


def test_inspect_through_a_jump_host(server, jump_host):
    server.hibernate()
    assert inspect(server, *jump_host.options()) == (INSPECT / "expected.md").read_text()
    # sshd forwards to nothing else, and says so only to who speaks.
    refused = postgres(server, "tables", "--url", url(server, port=5433), *jump_host.options(), check=False)
    assert refused.returncode == 1 and "127.0.0.1" in refused.stderr
    assert f"{server.address} port 5433" in (jump_host.directory / "sshd.log").read_text()


def test_a_jump_host_that_refuses(server, jump_host):
    key = postgres(server, "tables", "--url", url(server), *jump_host.options("other_key"), check=False)
    assert key.returncode == 1 and "Permission denied" in key.stderr and "no tunnel through ssh://root@" in key.stderr
    # What looks like an option to ssh is a host to it.
    option = postgres(server, "tables", "--url", url(server), "--ssh=-oProxyCommand=false", check=False)
    assert option.returncode == 1 and "no tunnel through" in option.stderr


def test_tunnel_lets_the_server_sleep(server, jump_host):
    with Forward("tunnel", "--url", url(server), *jump_host.options(), server=server) as tunnel:
        session = tunnel.connect()
        pid = rows(session, "SELECT pg_backend_pid()")
        server.hibernate()
        assert rows(session, "SELECT pg_backend_pid()") == pid
        (ssh,) = [int(child) for child in Path(f"/proc/{tunnel.process.pid}/task/{tunnel.process.pid}/children").read_text().split()]
        assert b"password" not in Path(f"/proc/{ssh}/cmdline").read_bytes()
        session.close()
        tunnel.end(signal.SIGTERM)
        wait_until("ssh to end with lttle", lambda: harness.process_start_time(ssh) is None)


def test_tunnel_ends_with_its_connection(server, jump_host):
    with Forward("tunnel", "--url", url(server), *jump_host.options(), server=server) as tunnel:
        (ssh,) = [int(child) for child in Path(f"/proc/{tunnel.process.pid}/task/{tunnel.process.pid}/children").read_text().split()]
        os.kill(ssh, signal.SIGTERM)
        _, errors = tunnel.process.communicate(timeout=harness.DEADLINE)
        assert tunnel.process.returncode == 1 and "the tunnel has ended" in errors
