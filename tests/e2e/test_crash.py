"""
The host crashes at every step of going to disk and of coming back: what is on the disk then is enough. With a whole
snapshot the sessions go on as if nothing had been; without one PostgreSQL starts by crash recovery; either way the rows
are those that were acknowledged.
"""

import os
import signal
import subprocess
import threading

import crash_host
import harness
import pytest
from harness import rows, wait_until

# The fault point, and how the machine comes back: from its snapshot, cold, or (no directory was synced) in either way.
GOING = [
    ("frozen", "cold"),
    ("gate-closed", "cold"),
    ("dumping", "cold"),
    ("dumped", "cold"),
    ("images-synced", "cold"),
    ("volumes-synced", "cold"),
    ("file-written:stop:2", "cold"),
    ("file-renamed:stop:2", "either"),
    ("sealed", "warm"),
    ("evicting", "warm"),
    ("evicted", "warm"),
]
COMING = [
    ("verified", "warm"),
    ("spending", "either"),
    ("spent", "cold"),
    ("restored", "cold"),
    ("resuming", "cold"),
    ("resumed", "cold"),
]
ROWS = 2000


class Ledger:
    """What was acknowledged, kept outside of the server: numbered rows, and updates all over a table."""

    def __init__(self, server):
        self.server, self.number, self.rounds = server, 0, 0
        server.query("CREATE EXTENSION amcheck")
        server.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '100ms'")
        server.query("SELECT pg_reload_conf()")
        server.query("CREATE TABLE told (number int PRIMARY KEY, filler text)")
        server.query(f"CREATE TABLE spread AS SELECT n, 0 AS value, repeat('x', 100) AS filler "
                     f"FROM generate_series(1, {ROWS}) n")
        server.query("CREATE INDEX ON spread (value)")

    def write(self, count=20):
        """Rows in many transactions, and one that touches every page of a table; each acknowledged."""
        session = self.server.connect()
        for _ in range(count):
            rows(session, "INSERT INTO told VALUES (%s, repeat('y', 200))", self.number + 1)
            self.number += 1
        rows(session, "UPDATE spread SET value = value + 1")
        self.rounds += 1
        session.close()

    def check(self):
        found = self.server.query("SELECT count(*), coalesce(sum(number), 0), coalesce(max(number), 0) FROM told")
        assert found == [(self.number, self.number * (self.number + 1) // 2, self.number)]
        assert self.server.query("SELECT count(*), sum(value) FROM spread") == [(ROWS, ROWS * self.rounds)]
        by_index = ("SET enable_seqscan = off; SET enable_bitmapscan = off; "
                    f"SELECT count(*) FROM spread WHERE value = {self.rounds}")
        assert self.server.query(by_index) == [(ROWS,)]
        done = self.server.host.cli("machine", "exec", "--ns", self.server.namespace, self.server.name, "sh", "-c",
                                    "pg_amcheck --heapallindexed -h /var/run/postgresql -U user db 2>&1",
                                    check=False)
        assert (done.returncode, done.stdout) == (0, "")


class Rig:
    """A host, a server on it, its ledger, and a session that holds a temporary table and an open transaction."""

    def __init__(self, host):
        self.host = host
        self.server = harness.Database(host, "safe")
        self.ledger = Ledger(self.server)
        self.session = None
        self.over = threading.Event()

    def work(self):
        """Leaves a session with something to lose, and acknowledged rows that no checkpoint has seen."""
        if self.session is not None:
            self.session.close()
        self.session = self.server.connect()
        rows(self.session, "CREATE TEMP TABLE mine AS SELECT generate_series(1, 500) AS n")
        rows(self.session, "BEGIN")
        rows(self.session, "INSERT INTO mine VALUES (501)")
        self.ledger.write()

    def hibernate(self):
        return self.host.cli("machine", "hibernate", "--ns", self.server.namespace, self.server.name, check=False)

    def in_background(self, work, again=False):
        """Runs it until the crash; `again`: asking anew, because a server that is still busy declines."""
        def run():
            work()
            while again and not self.over.wait(0.05):
                work()

        self.over.clear()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def crash_at(self, point, work):
        """The host crashes when the point is reached."""
        name, armed = point.split(":")[0], point if ":" in point else f"{point}:stop"
        self.host.arm(armed)
        working = self.in_background(work, again=True)
        self.host.wait_for_hit(name)
        self.over.set()
        self.host.crash()
        working.join(timeout=harness.DEADLINE)
        assert not working.is_alive()

    def hibernate_wholly(self):
        wait_until(lambda: f"it to be on disk: {self.server.get()}", lambda: self.hibernate().returncode == 0)

    def boot(self):
        """After a crash; returns how it comes back to its first client."""
        self.host.start()
        state = wait_until(lambda: f"its door to be there: {self.server.get()}", self.door)
        assert state["phase"] in ("hibernated", "stopped"), "nothing starts before somebody asks"
        snapshot = state["snapshot"]
        assert (snapshot is None) == (state["phase"] == "stopped")
        return "cold" if snapshot is None else "warm"

    def door(self):
        """Its state, once a client can connect. A bare connection wakes nobody."""
        try:
            harness.tcp_connect(self.server.address).close()
        except OSError:
            return None
        return self.server.get()

    def check(self, came):
        """Acknowledged rows, exactly; from a whole snapshot the session too, with its transaction still open."""
        if came == "warm":
            assert rows(self.session, "SELECT sum(n) FROM mine") == [(501 * 502 // 2,)]
            rows(self.session, "ROLLBACK")
            assert rows(self.session, "SELECT count(*) FROM mine") == [(500,)]
        self.ledger.check()
        state = self.server.get()
        assert state["phase"] in ("ready", "suspending", "suspended") and state["snapshot"] is None


@pytest.fixture(scope="module")
def rig():
    with crash_host.CrashHost(f"c{os.getpid() % 100000:05d}", harness.subnet(1)) as host:
        yield Rig(host)


def test_a_crash_loses_what_had_not_reached_the_disk(rig):
    """The means of this test: a file that was not synced is gone, one that was is there. The deployed app is, too."""
    kept, lost = rig.host.state / "kept", rig.host.state / "lost"
    kept.write_text("kept")
    subprocess.run(["sync", kept, rig.host.state], check=True)
    rig.work()
    lost.write_text("lost")
    before = (rig.host.boot_id.read_text(), rig.server.get()["pid"])
    rig.host.crash()
    kept, lost = rig.host.state / "kept", rig.host.state / "lost"
    assert kept.read_text() == "kept"
    assert not lost.exists() or lost.read_text() == ""  # somebody's fsync may have brought its name to the disk
    assert rig.boot() == "cold"
    rig.check("cold")
    assert (rig.host.boot_id.read_text(), rig.server.get()["pid"]) != before


@pytest.mark.parametrize("fault, expected", GOING)
def test_going_to_disk(rig, fault, expected):
    rig.work()
    rig.crash_at(fault, rig.hibernate)
    came = rig.boot()
    assert came == expected or expected == "either"
    rig.check(came)


def test_on_disk(rig):
    rig.work()
    rig.hibernate_wholly()
    rig.host.crash()
    assert rig.boot() == "warm"
    rig.check("warm")


@pytest.mark.parametrize("fault, expected", COMING)
def test_coming_back(rig, fault, expected):
    rig.work()
    rig.hibernate_wholly()
    rig.crash_at(fault, lambda: rig.host.cli(
        "machine", "wake", "--ns", rig.server.namespace, rig.server.name, check=False))
    came = rig.boot()
    assert came == expected or expected == "either"
    rig.check(came)


def test_after_the_first_write(rig):
    """The volume is newer than the snapshot that was restored, and that one is spent."""
    rig.work()
    rig.hibernate_wholly()
    rig.ledger.write()
    rig.host.crash()
    assert rig.boot() == "cold"
    rig.check("cold")


def test_a_client_came_while_the_snapshot_was_written(rig):
    """It is whole, it is dropped, the server runs on and commits: a crash must not find the dropped snapshot again."""
    rig.work()
    rig.host.arm("sealed:stop")
    asking = rig.in_background(rig.hibernate, again=True)
    stopped = rig.host.wait_for_hit("sealed")
    rig.over.set()
    answers = []
    client = threading.Thread(target=lambda: answers.extend(rows(rig.session, "SELECT sum(n) FROM mine")), daemon=True)
    client.start()
    wait_until("the client to be noticed", lambda: "snapshot is being written" in rig.server.get()["reason"])
    rig.host.disarm()
    os.kill(stopped, signal.SIGCONT)
    client.join(timeout=harness.DEADLINE)
    assert answers == [(501 * 502 // 2,)]
    rig.ledger.write()
    rig.host.crash()
    asking.join(timeout=harness.DEADLINE)
    assert rig.boot() == "cold"
    rig.check("cold")
