"""To disk and back: nobody is refused, nothing that a session holds is lost, and no snapshot is used twice."""

import os
import random
import signal
import threading
import time

import harness
import pytest
from harness import rows, wait_until

CYCLES = int(os.environ.get("LTTLE_HIBERNATE_CYCLES", "15"))


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "disk")
    yield server
    server.delete()


def test_on_disk_there_is_no_process_and_no_memory(server):
    server.wait("suspended")
    pid = server.get()["pid"]
    server.hibernate()
    state = server.get()
    assert state["pid"] is None
    assert harness.process_start_time(pid) is None
    assert state["snapshot"]["size-bytes"] > 1 << 20
    assert state["snapshot"]["reason"] == "API" and state["snapshot"]["synced"] is True
    wait_until(
        lambda: f"the cached files to be given back: {server.get()['memory']}",
        lambda: server.get()["memory"]["resident-bytes"] < 4 << 20,
    )
    snapshot = server.host.state / "machines" / server.namespace / server.name / "snapshot"
    assert (snapshot / "manifest.json").exists()
    assert not list(snapshot.glob("tmpfs-*")), "CRIU packs a file system in memory of the machine's own, by tar"
    shm = f"{server.host.run}/shm/"
    wait_until("the memory of /dev/shm to be given back", lambda: shm not in open("/proc/self/mountinfo").read())
    listing = server.host.cli("machine", "get", "--ns", server.namespace, server.name).stdout
    assert "snapshot: " in listing and "API" in listing


def test_a_new_connection_is_served(server):
    server.wait("suspended") if server.phase() != "hibernated" else None
    if server.phase() != "hibernated":
        server.hibernate()
    wakes = server.get()["wakes"]
    assert server.query("SELECT 42") == [(42,)]
    state = server.get()
    assert state["wakes"] > wakes and state["snapshot"] is None
    assert "client" in state["woken-by"]


def test_everything_a_session_holds_survives(server):
    session, listener = server.connect(), server.connect()
    pid = rows(session, "SELECT pg_backend_pid()")[0][0]
    rows(session, "CREATE TEMP TABLE remembered AS SELECT generate_series(1, 1000) AS n")
    rows(session, "PREPARE twice(int) AS SELECT $1 * 2")
    rows(session, "SET my.setting = 'kept'")
    rows(session, "SELECT pg_advisory_lock(4711)")
    rows(listener, "LISTEN news")
    for _ in range(2):
        server.hibernate()
        assert rows(session, "SELECT sum(n) FROM remembered") == [(500500,)]
        assert rows(session, "EXECUTE twice(21)") == [(42,)]
        assert rows(session, "SHOW my.setting") == [("kept",)]
        assert rows(session, "SELECT pg_backend_pid()") == [(pid,)]
        assert rows(session, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711") == [(1,)]
    server.hibernate()
    rows(session, "NOTIFY news, 'awake'")

    def told():
        listener.poll()
        return listener.notifies

    assert wait_until("the notification", told)[0].payload == "awake"
    session.close()
    listener.close()


def test_a_client_of_each_kind_at_once(server):
    """A new connection must be served although open sessions are kept; their sockets share the port."""
    session = server.connect()
    server.hibernate()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.query("SELECT 1")[0][0])) for _ in range(5)]
    threads.append(threading.Thread(target=lambda: answers.append(rows(session, "SELECT 1")[0][0])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert answers == [1] * 6
    session.close()


def test_a_second_command_does_not_forget_the_client_that_came(server):
    """Asked to hibernate again while it is being written, and a client has come in between."""
    session = server.connect()
    knocked, again = "a client is there; the snapshot is being written", "event=hibernate reason=API"

    def command():
        return server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False).returncode == 0

    def begun(begin):
        return "writing the snapshot" in server.host.log()[begin:]

    def met():
        """One try; whether the second command came in time. The client is answered in any case. Each try begins awake: the
        second command of one that came too late may have put it on disk, where the next first one would find it."""
        assert rows(session, "SELECT 6") == [(6,)]
        begin = len(server.host.log())
        answers = []
        first = threading.Thread(target=lambda: wait_until("the snapshot to be begun", lambda: command() or begun(begin)))
        first.start()
        wait_until("the snapshot to be begun", lambda: begun(begin))
        client = threading.Thread(target=lambda: answers.append(rows(session, "SELECT 7")))
        client.start()
        wait_until("the client to be seen", lambda: knocked in server.host.log()[begin:] or answers)
        command()
        client.join(timeout=30)
        first.join(timeout=30)
        assert answers == [[(7,)]], "the client was forgotten"
        log = server.host.log()[begin:]
        return again in log.partition(knocked)[2]

    wait_until("a second command while the snapshot is written", met)
    session.close()


def test_no_snapshot_is_begun_while_the_extension_connects(server):
    """Just after a wake its worker comes back; a connection to the outside would fail the dump."""
    begin = len(server.host.log())
    for _ in range(8):
        server.hibernate()
        server.query("SELECT 1")
        server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False)
    assert "the snapshot could not be written" not in server.host.log()[begin:]


def test_a_bare_tcp_probe_wakes_nobody(server):
    server.hibernate()
    address, wakes = server.address, server.get()["wakes"]
    for _ in range(10):
        harness.tcp_connect(address).close()
    silent = harness.tcp_connect(address)
    for _ in range(20):
        assert server.phase() == "hibernated"
        time.sleep(0.02)
    assert server.get()["wakes"] == wakes
    silent.close()
    assert server.query("SELECT 1") == [(1,)]


def test_time_on_disk_does_not_count_as_idle(server):
    """The restored processes' own clock stands still while they are on disk; a query is "just now" all the same."""
    server.hibernate()
    on_disk = time.monotonic()
    wait_until("two seconds on disk", lambda: time.monotonic() > on_disk + 2)
    session = server.connect()
    before = time.monotonic()

    def awake():
        rows(session, "SELECT 1")
        state = server.get()
        return state if "idle-for-ms" in state else None

    assert wait_until("it to be awake", awake)["idle-for-ms"] <= (time.monotonic() - before) * 1000
    session.close()


def test_what_lies_in_dev_shm_survives_and_a_new_start_finds_it_empty(server):
    def inside(command):
        return server.host.cli("machine", "exec", "--ns", server.namespace, server.name, "sh", "-c", command).stdout

    assert server.query("SHOW dynamic_shared_memory_type") == [("posix",)]
    inside("echo kept >/dev/shm/note; chmod 640 /dev/shm/note")
    before = inside("stat -c '%n %a %U %s' /dev/shm/*; stat -c '%a %F' /dev/shm; stat -f -c '%T %b' /dev/shm")
    assert "/dev/shm/PostgreSQL." in before and "1777 directory\ntmpfs" in before
    server.hibernate()
    assert inside("stat -c '%n %a %U %s' /dev/shm/*; stat -c '%a %F' /dev/shm; stat -f -c '%T %b' /dev/shm") == before
    assert inside("cat /dev/shm/note") == "kept\n"
    assert server.query("SET debug_parallel_query = on; SELECT count(*) FROM pg_class") > [(100,)]
    for made, undone, reason in (
        ("mkdir /dev/shm/directory", "rmdir /dev/shm/directory", "/directory: directories and links in memory"),
        ("truncate -s 1P /dev/shm/hole", "rm /dev/shm/hole", "hole: there is too much in memory files"),
    ):
        inside(made)
        refused = server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False)
        assert refused.returncode != 0 and reason in refused.stderr
        inside(undone)
    assert server.query("SELECT 1") == [(1,)]
    server.host.cli("machine", "restart", "--ns", server.namespace, server.name)
    listing = inside("ls /dev/shm")
    assert sorted(name.split(".")[0] for name in listing.split()) == ["PostgreSQL"] * before.count("PostgreSQL.") + ["lttle_pg"]


def test_shared_memory_is_a_file_that_the_coordinator_copies(own_host):
    """And not CRIU, page by page; on the machine's account, with what a session has in it."""
    server = harness.Database(own_host, "buffers", timeout="1h", memory=400, size="500Mi")
    session = server.connect()
    # Neither CREATE TABLE AS nor COPY, which go round in a few buffers.
    rows(session, "CREATE TABLE warm (n int, filler text)")
    rows(session, "INSERT INTO warm SELECT n, repeat('x', 900) FROM generate_series(1, 80000) AS n")
    content = "SELECT sum(n), sum(hashtext(filler)) FROM warm"
    before = rows(session, content)
    for _ in range(2):
        server.hibernate()
        snapshot = server.host.state / "machines" / server.namespace / server.name / "snapshot"
        copies = list(snapshot.glob("mount-*/lttle_pg"))
        assert len(copies) == 1 and 60 << 20 < copies[0].stat().st_blocks * 512 < copies[0].stat().st_size
        pages = sum(path.stat().st_size for path in snapshot.glob("pages-*.img"))
        assert pages < 60 << 20, f"CRIU has {pages} bytes of memory: the buffers among them"
        assert rows(session, content) == before
        state = server.get()
        assert " /dev/shm/lttle_pg\n" in open(f"/proc/{state['pid']}/maps").read()
        assert state["memory"]["resident-bytes"] > 60 << 20, "what the coordinator copies is the machine's"
    session.close()
    server.delete()


def test_exec_brings_it_back_and_holds_it(server):
    server.hibernate()
    done = server.host.cli("machine", "exec", "--ns", server.namespace, server.name, "sh", "-c", "echo inside; exit 7",
                           check=False)
    assert done.stdout == "inside\n" and done.returncode == 7
    assert server.get()["woken-by"] == "exec"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_a_coordinator_that_comes_anew_keeps_it(server, signal_number):
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.hibernate()
    server.host.stop(signal_number)
    server.host.start()
    assert server.phase() == "hibernated"
    assert server.query("SELECT 1") == [(1,)]
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    session.close()


def test_a_snapshot_over_a_newer_volume_is_refused(server):
    server.query("CREATE TABLE IF NOT EXISTS truth AS SELECT generate_series(1, 1000) AS n")
    server.hibernate()
    wal = server.host.state / "volumes/samples/disk-data/data/pg_wal"
    segment = sorted(path for path in wal.iterdir() if path.is_file())[0]
    os.utime(segment, (time.time() + 5, time.time() + 5))
    assert server.query("SELECT count(*), sum(n) FROM truth") == [(1000, 500500)]
    state = server.get()
    assert "cold" in " ".join(e["reason"] for e in server.host.json(
        "events", "--ns", server.namespace, "--name", server.name))
    assert state["snapshot"] is None
    assert (server.host.state / "machines/samples/disk/snapshot.refused").exists()


def test_cycles_under_clients_that_come_and_clients_that_stay(server):
    """Suspend, hibernate, wake, again and again: no error, and every acknowledged row is there."""
    server.query("DROP TABLE IF EXISTS told; CREATE TABLE told (client int, number int, PRIMARY KEY (client, number))")
    stop, errors, acknowledged, pause = threading.Event(), [], [0, 0], [0.4]
    address = server.address

    def work(client):
        connection = None
        try:
            while not stop.is_set():
                connection = connection or harness.psycopg2.connect(
                    host=address, user="user", password="password", dbname="db")
                connection.autocommit = True
                rows(connection, "INSERT INTO told VALUES (%s, %s)", client, acknowledged[client] + 1)
                acknowledged[client] += 1
                if client == 0:
                    connection.close()
                    connection = None
                time.sleep(random.uniform(0.05, pause[0]))
        except Exception as error:  # noqa: BLE001
            errors.append(f"client {client}: {error!r}")

    threads = [threading.Thread(target=work, args=(client,)) for client in range(2)]
    for thread in threads:
        thread.start()
    cycles = 0
    end = time.monotonic() + 60 + 5 * CYCLES
    first = server.get()["wakes"]
    while cycles < CYCLES and not errors and time.monotonic() < end:
        before = server.get()["wakes"]
        done = server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False)
        if done.returncode == 0:
            cycles += 1
            wait_until("a client to bring it back", lambda: server.get()["wakes"] > before or errors, 30)
        else:
            pause[0] = min(3, 1.05 * pause[0])  # where a snapshot takes longer than that, somebody comes in each
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive(), "a client hangs"
    assert errors == []
    assert cycles == CYCLES
    assert server.get()["wakes"] - first >= CYCLES
    told = {c: (n, m) for c, n, m in server.query("SELECT client, count(*), max(number) FROM told GROUP BY 1")}
    assert told == {c: (n, n) for c, n in enumerate(acknowledged)}
    print(f"{cycles} cycles, {sum(acknowledged)} rows")


def test_killed_at_random_moments_of_hibernating(server):
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    chance = random.Random(seed)
    server.query("CREATE TABLE IF NOT EXISTS kept (n int)")
    for number in range(8):
        server.query(f"INSERT INTO kept VALUES ({number})")
        command = threading.Thread(target=lambda: server.host.cli(
            "machine", "hibernate", "--ns", server.namespace, server.name, check=False))
        command.start()
        time.sleep(chance.uniform(0, 0.4))
        server.host.kill()
        command.join(timeout=60)
        server.host.start()
        assert server.query("SELECT count(*) FROM kept") == [(number + 1,)], f"seed {seed}"


def test_hibernate_after(own_host):
    text = harness.YAML.format(
        name="later", namespace="samples", image=harness.IMAGE, timeout="300ms\n      hibernate-after: 300ms",
        memory=256, size="200Mi", tracking="")
    own_host.deploy(text)
    own_host.cli("machine", "wait", "--ns", "samples", "later", "--for", "hibernated", "--timeout", "120s")
    state = own_host.json("machine", "get", "--ns", "samples", "later")
    assert state["snapshot"]["reason"] == "hibernate-after"


@pytest.fixture
def patient_host(own_host):
    """The coordinator gives the extension ten minutes for its answers: longer than any test waits."""
    settings = own_host.settings_file.read_text()
    own_host.stop()
    own_host.settings_file.write_text(settings + "prepare-timeout: 10m\n")
    yield own_host.start()
    own_host.stop()
    own_host.settings_file.write_text(settings)
    own_host.start()


def test_manual_trigger_that_leads_to_disk(patient_host):
    own_host = patient_host
    server = harness.Database(own_host, "manual", timeout="1h", flash="snapshot: disk", traffic_aware=False, wait=False)
    server.wait("hibernated")
    state = server.get()
    assert state["snapshot"]["reason"] == "manual trigger" and state["pid"] is None
    assert "manual trigger" in own_host.cli("machine", "get", "--ns", "samples", "manual").stdout
    assert state["suspends"] == 0, "it went by way of memory"
    listing = own_host.cli("app", "get", "--ns", "samples", "manual").stdout
    assert "snapshot: disk" in listing

    session = server.connect()
    assert rows(session, "SELECT 42") == [(42,)]
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    rows(session, "CREATE EXTENSION IF NOT EXISTS lttle_pg")
    connected = "SELECT phase = 'ready' AND last_error IS NULL FROM lttle.flash_status()"
    wait_until("the worker's return", lambda: rows(session, connected) == [(True,)], 30)
    assert server.phase() == "ready"
    rows(session, "SELECT lttle.flash_snapshot('10 seconds')")
    server.wait("hibernated")
    assert server.get()["snapshot"]["reason"] == "manual trigger"
    # The worker heard OK before its server went, and the session is there as it was.
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    wait_until("the worker's return", lambda: rows(session, connected) == [(True,)], 30)
    session.close()
    server.delete()


def test_manual_trigger_without_criu_says_so(own_host):
    """The request is answered before anything happens, and the server runs on."""
    settings = own_host.settings_file.read_text()
    own_host.stop()
    own_host.settings_file.write_text(settings + "criu: /nonexistent/criu\n")
    own_host.start()
    server = harness.Database(own_host, "lacking", timeout="1h", flash="snapshot: disk", wait=False)
    try:
        server.wait("ready")
        session = server.connect()
        rows(session, "CREATE EXTENSION IF NOT EXISTS lttle_pg")
        error = "SELECT last_error FROM lttle.flash_status()"
        assert "/nonexistent/criu" in wait_until("the answer", lambda: rows(session, error)[0][0])
        rows(session, "SELECT lttle.flash_snapshot('10 seconds')")
        assert rows(session, "SELECT 1") == [(1,)]
        assert server.phase() == "ready"
        session.close()
    finally:
        server.delete()
        own_host.stop()
        own_host.settings_file.write_text(settings)
        own_host.start()


def test_delete_removes_snapshots(own_host):
    directory = own_host.state / "machines/samples/later"
    assert (directory / "snapshot/manifest.json").exists()
    own_host.cli("app", "delete", "--ns", "samples", "later", "-y")
    own_host.cli("volume", "rm", "--ns", "samples", "later-data", "-y")
    assert not directory.exists()
