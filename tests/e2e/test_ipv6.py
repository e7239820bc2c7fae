"""A machine's IPv6 address: served awake, asleep in memory and on disk like the other one, by sessions and new clients."""

import errno
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import harness
import psycopg2
import pytest
from harness import rows, wait_until

CLIENTS = 60


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "six")
    yield server
    server.delete()


def connect6(server, **more):
    return server.connect(host=server.get()["address6"], **more)


def query6(server, sql):
    connection = connect6(server)
    try:
        return rows(connection, sql)
    finally:
        connection.close()


def test_it_is_shown_and_belongs_to_the_machine(server):
    state = server.get()
    v4 = socket.inet_pton(socket.AF_INET, state["address"])
    assert socket.inet_pton(socket.AF_INET6, state["address6"]) == bytes.fromhex("fd6c74746c65000000000000") + v4
    assert state["address6"] in server.host.cli("machine", "get", "--ns", server.namespace, server.name).stdout
    session = connect6(server)
    local = socket.socket(fileno=socket.dup(session.fileno())).getsockname()[0]
    assert rows(session, "SELECT host(inet_client_addr()), host(inet_server_addr())") == [(local, state["address6"])]
    session.close()


def test_nobody_else_answers_for_an_address_without_machine(server):
    network = server.get()["address6"].rsplit(":", 1)[0]
    with pytest.raises(OSError) as refused:
        harness.tcp_connect(f"{network}:fe")
    assert refused.value.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_new_clients_and_open_sessions_wake_it(server, phase):
    session = connect6(server)
    pid = rows(session, "SELECT pg_backend_pid()")[0][0]
    for ask, kind in ((lambda: query6(server, "SELECT 42"), "connection"), (lambda: rows(session, "SELECT 42"), "session")):
        server.sleep(phase)
        wakes = server.get()["wakes"]
        assert ask() == [(42,)]
        state = server.get()
        assert state["wakes"] > wakes
        assert kind in state["woken-by"] and "[fd6c:7474:6c65::" in state["woken-by"]
    assert rows(session, "SELECT pg_backend_pid()") == [(pid,)]
    session.close()


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_probes_and_ends_wake_nobody(server, phase):
    ending = connect6(server)
    server.sleep(phase)
    state = server.get()
    for _ in range(20):
        harness.tcp_connect(state["address6"]).close()
    silent = harness.tcp_connect(state["address6"])
    ending.close()
    for _ in range(40):
        now = server.get()
        assert now["phase"] == phase and now["wakes"] == state["wakes"], now
        time.sleep(0.02)
    silent.settimeout(30)
    silent.sendall(struct.pack("!II", 8, 80877103))  # SSLRequest
    assert silent.recv(1) in (b"S", b"N")
    assert server.get()["wakes"] == state["wakes"] + 1
    silent.close()


def test_many_of_both_families_at_once(server):
    sessions = [server.connect() if number % 2 else connect6(server) for number in range(20)]
    server.hibernate()
    state, answers, errors = server.get(), [], []
    gate = threading.Barrier(CLIENTS + len(sessions))

    def ask(number, session):
        try:
            gate.wait(30)
            if session is None:
                session = psycopg2.connect(host=state["address" if number % 2 else "address6"], user="user",
                                           password="password", dbname="db")
            answers.append(rows(session, "SELECT %s", number)[0][0])
            session.close()
        except Exception as error:  # noqa: BLE001
            errors.append(f"client {number}: {error!r}")

    clients = [(number, None) for number in range(CLIENTS)]
    clients += [(CLIENTS + number, session) for number, session in enumerate(sessions)]
    threads = [threading.Thread(target=ask, args=client, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == [] and sorted(answers) == list(range(CLIENTS + len(sessions)))
    assert server.get()["wakes"] > state["wakes"]


def test_keepalives_are_answered_for_it(server):
    session = connect6(server, keepalives=1, keepalives_idle=1, keepalives_interval=1, keepalives_count=2)
    server.hibernate()
    began = time.monotonic()
    while time.monotonic() - began < 5:
        assert server.phase() == "hibernated"
        time.sleep(0.05)
    assert rows(session, "SELECT 42") == [(42,)]
    session.close()


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_a_coordinator_that_comes_anew_keeps_it(server, phase):
    session = connect6(server)
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.sleep(phase)
    server.host.stop(signal.SIGKILL)
    server.host.start()
    wait_until("it to be asleep again", lambda: server.phase() == phase)
    assert query6(server, "SELECT 1") == [(1,)]
    server.sleep(phase)
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    session.close()


@pytest.mark.parametrize(("phase", "comes_back"), [("suspended", "stopped"), ("hibernated", "hibernated")])
def test_after_a_reboot_a_client_brings_it_back(server, phase, comes_back):
    """As far as the machine can tell: neither its processes nor its network are there any more."""
    server.query("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS n")
    server.sleep(phase)
    state = server.get()
    server.host.kill()
    if state["pid"]:
        os.kill(state["pid"], signal.SIGKILL)
        for freezer in (f for base in harness.cgroup_roots() for f in base.glob(f"{server.host.prefix}/*/cgroup.freeze")):
            freezer.write_text("0")
        wait_until("its first process to be gone", lambda: harness.process_start_time(state["pid"]) is None)
    subprocess.run(["ip", "link", "delete", state["host-link"]], check=True)
    (pin,) = (server.host.run / "netns").iterdir()
    subprocess.run(["umount", "--lazy", pin], check=True)
    server.host.start()
    wait_until("it to be reachable", lambda: server.phase() == comes_back and Path(f"/sys/class/net/{state['host-link']}").exists())
    assert query6(server, "SELECT n FROM kept") == [(42,)]
    assert "[fd6c:7474:6c65::" in server.get()["woken-by"] or comes_back == "stopped"
