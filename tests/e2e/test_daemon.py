"""The coordinator itself: restarted or killed at any moment, two on one host, sleeping machines that cost nothing."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import harness
from harness import rows, wait_until


def test_frozen_machines_are_adopted_and_still_wake(own_host):
    server = harness.Database(own_host, "kept")
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 42 AS n")
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        state = server.wait("suspended")
        own_host.stop(signal_number)
        assert harness.process_start_time(state["pid"]) is not None, "the machine ended with its coordinator"
        own_host.start()
        adopted = server.get()
        assert adopted["phase"] == "suspended" and adopted["pid"] == state["pid"]
        assert rows(session, "SELECT n FROM mine") == [(42,)]
        assert server.get()["wakes"] == adopted["wakes"] + 1
    session.close()
    server.wait("suspended")


def test_a_client_that_came_while_no_coordinator_was_there_is_served_afterwards(own_host):
    server = harness.Database(own_host, "waiting")
    address = server.address
    session = server.connect()
    server.wait("suspended")
    own_host.kill()
    answers = []
    asking = [
        threading.Thread(target=lambda: answers.append(rows(session, "SELECT 1")[0][0])),
        threading.Thread(target=lambda: answers.append(ask(address))),
    ]
    for thread in asking:
        thread.start()
    own_host.start()
    for thread in asking:
        thread.join(timeout=30)
    assert answers == [1, 1]
    session.close()


def ask(address):
    connection = harness.psycopg2.connect(host=address, user="user", password="password", dbname="db")
    value = rows(connection, "SELECT 1")[0][0]
    connection.close()
    return value


def test_killed_at_random_moments_of_suspending(own_host):
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    chance = random.Random(seed)
    server = harness.Database(own_host, "shot", timeout="50ms")
    session = server.connect()
    rows(session, "CREATE TEMP TABLE count_me (n int)")
    pid = server.get()["pid"]
    for number in range(20):
        rows(session, "INSERT INTO count_me VALUES (%s)", number)
        time.sleep(chance.uniform(0.03, 0.15))
        own_host.kill()
        own_host.start()
        assert server.get()["pid"] == pid, f"seed {seed}"
    assert rows(session, "SELECT count(*), sum(n) FROM count_me") == [(20, 190)]
    session.close()
    server.wait("suspended")


def test_killed_while_it_creates(own_host):
    own_host.deploy(harness.YAML.format(
        name="half", namespace="samples", image=harness.IMAGE, timeout="500ms", memory=256, size="200Mi", tracking=""))
    own_host.kill()
    own_host.start()
    own_host.cli("machine", "wait", "--ns", "samples", "half", "--for", "suspended", "--timeout", "120s")
    address = own_host.json("machine", "get", "--ns", "samples", "half")["address"]
    assert ask(address) == 1


def test_a_second_daemon_on_the_same_root_is_refused(own_host):
    second = subprocess.run(
        [str(harness.LTTLED), "--config", str(own_host.settings_file)], capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 1
    assert "another" in second.stderr
    assert own_host.answers()


def test_the_service_manager_is_told(own_host):
    path = own_host.root / "notify.sock"
    own_host.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        own_host.start(NOTIFY_SOCKET=str(path))
        assert manager.recv(100) == b"READY=1"
        own_host.stop()
        assert manager.recv(100) == b"STOPPING=1"
    own_host.start()


def test_a_killed_postmaster_comes_back(own_host):
    server = harness.Database(own_host, "crashing")
    server.query("CREATE TABLE safe AS SELECT generate_series(1, 1000) AS n")
    before = server.get()
    os.kill(before["pid"], signal.SIGKILL)
    after = wait_until("the restart", lambda: server.get()["restarts"] > before["restarts"] and server.get())
    server.wait("suspended")
    assert server.query("SELECT count(*) FROM safe") == [(1000,)]
    assert server.get()["pid"] != before["pid"]
    assert after["restarts"] == before["restarts"] + 1


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def times_woken(pid):
    """Each time that it has waited for something is one voluntary switch; the others are the host's doing."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))


def test_sleeping_machines_cost_the_coordinator_nothing(own_host):
    names = [f"idle{number}" for number in range(5)]
    servers = [harness.Database(own_host, name, timeout="300ms", wait=False) for name in names]
    for server in servers:
        server.wait("suspended")
    daemon = own_host.process.pid
    wait_until("background work to end", lambda: all(s.get()["memory"]["resident-bytes"] < 16 << 20 for s in servers))
    children = [server.get()["pid"] for server in servers]
    machines_before = [cpu_ticks(pid) for pid in children]

    def costs_of_five_seconds():
        woken, ticks = times_woken(daemon), cpu_ticks(daemon)
        time.sleep(5)
        return times_woken(daemon) - woken, cpu_ticks(daemon) - ticks

    # What happens on the host, memory that gets short say, may wake it; a clock of its own would do so all the time.
    costs = [costs_of_five_seconds()]
    while costs[-1][0] > 2 or costs[-1][1] > 1:
        assert len(costs) < 5, f"times woken and clock ticks of 10 ms in 5 s each, although nothing happens: {costs}"
        costs.append(costs_of_five_seconds())
    assert [cpu_ticks(pid) for pid in children] == machines_before
    for server in servers:
        server.delete()


def test_two_coordinators_live_side_by_side(host, own_host):
    one, two = harness.Database(host, "twin"), harness.Database(own_host, "twin")
    try:
        assert one.address != two.address
        one.query("CREATE TABLE here (n int)")
        two.query("CREATE TABLE there (n int)")
        assert one.query("SELECT to_regclass('here') IS NOT NULL, to_regclass('there') IS NOT NULL") == [(True, False)]
        assert two.query("SELECT to_regclass('here') IS NOT NULL, to_regclass('there') IS NOT NULL") == [(False, True)]
        two.delete()
        assert one.query("SELECT 1") == [(1,)]
    finally:
        one.delete()
