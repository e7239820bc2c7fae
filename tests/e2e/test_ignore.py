"""Monitoring and pollers that cost nothing more than their own query, and a real PgBouncer in front of a sleeping server."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import harness
import psycopg2
import pytest
from harness import rows, wait_until
from test_services import app_yaml, free_port

AWAKE = "2s"
IGNORE = "ignore: {users: [monitor], application-names: [poller]}"


class Server(harness.Database):
    """An app whose time-out is so long that who falls asleep before it was let."""

    def __init__(self, host, name, tracking, timeout=AWAKE):
        self.host, self.name, self.namespace = host, name, "samples"
        self.text = app_yaml(name, "samples").replace("{traffic-aware: {inactivity-timeout: 500ms}}", tracking) \
            .replace("manual, timeout: 500ms", f"manual, timeout: {timeout}")
        assert tracking in self.text and f"manual, timeout: {timeout}" in self.text
        host.deploy(self.text)
        self.wait("suspended")

    def delete(self):
        self.host.cli("app", "delete", "--ns", self.namespace, self.name, "-y")


@pytest.fixture(scope="module", params=["traffic-aware", "connection-aware"])
def server(own_host, request):
    tracking = {"traffic-aware": "{traffic-aware: {inactivity-timeout: 10ms, %s}}" % IGNORE,
                "connection-aware": "{connection-aware: {%s}}" % IGNORE}[request.param]
    server = Server(own_host, f"watched-{request.param.split('-')[0]}", tracking)
    server.query("CREATE ROLE monitor LOGIN PASSWORD 'password' IN ROLE pg_monitor")
    yield server
    server.delete()


def since_last_wake(server):
    """How long it was awake when it was last suspended, in milliseconds."""
    events = server.host.json("events", "--ns", "samples", "--name", server.name, "--last", "20")
    slept = max(event["time-ms"] for event in events if event["phase"] == "suspended")
    return slept - server.get()["last-wake-ms"]


def poll(server, **who):
    connection = server.connect(**who)
    try:
        return rows(connection, "SELECT count(*) > 0 FROM pg_stat_activity")
    finally:
        connection.close()


@pytest.mark.parametrize("who", [{"user": "monitor"}, {"application_name": "poller"}])
def test_a_poller_wakes_it_for_its_query_alone(server, who):
    server.wait("suspended")
    server.query("SELECT 1")
    server.wait("suspended")
    counted, awake = since_last_wake(server), []
    for _ in range(3):
        wakes = server.get()["wakes"]
        assert poll(server, **who) == [(True,)]
        server.wait("suspended")
        assert server.get()["wakes"] > wakes
        awake.append(since_last_wake(server))
    # The other one was awake for the time-out; a ratio, and the best of three, since the machine may be slow.
    assert min(awake) < counted / 2, awake


def test_an_open_session_of_a_poller_keeps_nobody_awake(server):
    """Idle, in a transaction, and while its query runs for longer than the grace: it is let end."""
    session = server.connect(user="monitor")
    server.wait("suspended")
    wakes = server.get()["wakes"]
    assert rows(session, "SELECT 42") == [(42,)]
    server.wait("suspended")
    assert rows(session, "SELECT 43 FROM pg_sleep(1)") == [(43,)]
    server.wait("suspended")
    rows(session, "BEGIN")
    server.wait("suspended")
    rows(session, "COMMIT")
    server.wait("suspended")
    assert server.get()["wakes"] == wakes + 4
    session.close()


def test_a_poller_does_not_prolong_anything(server):
    """Its queries while the server is awake for somebody else are no activity: it sleeps between two of them."""
    server.wait("suspended")
    session = server.connect(user="monitor")
    server.query("SELECT 1")
    suspends = server.get()["suspends"]
    begun = time.monotonic()
    while server.get()["suspends"] == suspends:
        rows(session, "SELECT 42")
        assert time.monotonic() - begun < harness.DEADLINE, "it never sleeps"
        time.sleep(0.2)
    session.close()


def test_others_keep_it_awake_as_ever(server):
    poller = server.connect(user="monitor")
    session = server.connect()

    def awake():
        rows(session, "SELECT 1")
        rows(poller, "SELECT 1")
        state = server.get()
        return state["phase"] == "ready" and state

    state = wait_until("it to be seen awake", awake)
    if "connection" in server.name:
        assert "connection" in state["awake-because"] and state["sessions"] == 1
    else:
        assert state["suspend-in-ms"] > 0
    session.close()
    poller.close()


def test_who_is_ignored_can_be_changed(server):
    """Without a restart, for sessions that begin afterwards."""
    server.wait("suspended")
    pid = server.get()["pid"]
    server.host.deploy(server.text.replace("[poller]", "[somebody]"))
    poll(server, application_name="poller")
    server.wait("suspended")
    assert server.get()["pid"] == pid
    counted = since_last_wake(server)
    poll(server, application_name="somebody")
    server.wait("suspended")
    assert since_last_wake(server) < counted / 2
    server.host.deploy(server.text)


# ---- PgBouncer ----


@pytest.fixture(scope="module")
def pooled(own_host):
    server = Server(own_host, "pooled", "{traffic-aware: {inactivity-timeout: 300ms}}", timeout="300ms")
    server.query("CREATE TABLE t (n int)")
    yield server
    server.delete()


@pytest.fixture(scope="module")
def pgbouncer(pooled):
    """Debian's own program with its defaults, in front of the machine's address."""
    directory = Path(tempfile.mkdtemp(prefix="lttle-bouncer-"))
    port, program = free_port(), shutil.which("pgbouncer")
    assert program
    (directory / "users").write_text('"user" "password"\n')
    (directory / "ini").write_text(
        f"[databases]\ndb = host={pooled.address} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = plain\nauth_file = {directory}/users\npool_mode = transaction\ndefault_pool_size = 5\n"
        f"min_pool_size = 5\nmax_client_conn = 200\nunix_socket_dir =\nlogfile = {directory}/log\n")
    owner = pwd.getpwnam("postgres")
    for path in (directory, *directory.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    process = subprocess.Popen([program, "-q", "-u", "postgres", str(directory / "ini")], stdin=subprocess.DEVNULL)
    try:
        wait_until("PgBouncer to listen", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield port, directory / "log"
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(directory, ignore_errors=True)


def through(port, sql, *parameters):
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="user", password="password", dbname="db", connect_timeout=30)
    connection.autocommit = True
    try:
        return rows(connection, sql, *parameters)
    finally:
        connection.close()


def backends(server, port):
    return through(port, "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'client backend'")[0][0]


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_pgbouncers_pool_stays_over_a_sleep(pooled, pgbouncer, phase):
    """Five pooled sessions, the same before and after each sleep; no client sees an error, none is logged."""
    port, log = pgbouncer
    clients = [psycopg2.connect(host="127.0.0.1", port=port, user="user", password="password", dbname="db") for _ in range(20)]
    for client in clients:
        client.autocommit = True
        assert rows(client, "SELECT 1") == [(1,)]
    wait_until("the pool to be full", lambda: len(backends(pooled, port)) == 5)
    pids = backends(pooled, port)
    for turn in range(3):
        if phase == "hibernated":
            pooled.hibernate()
        else:
            pooled.wait("suspended")
        wakes = pooled.get()["wakes"]
        assert all(rows(client, "INSERT INTO t VALUES (%s) RETURNING n", turn) == [(turn,)] for client in clients)
        assert pooled.get()["wakes"] >= wakes + 1, log.read_text()
        assert backends(pooled, port) == pids, log.read_text()
    for client in clients:
        client.close()
    # One that comes while it sleeps.
    pooled.wait("suspended")
    assert through(port, "SELECT count(*) > 0 FROM t") == [(True,)]
    text = log.read_text()
    assert "ERROR" not in text and "closing because: server" not in text, text
