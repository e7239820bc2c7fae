"""
A volume that grows under its running server. Where the kernel resizes no file system in use, or where a fault point says
that it does not, the machine goes to disk for it, with its sessions.
"""

import os
import signal
import threading

import crash_host
import harness
import pytest
from harness import rows, wait_until

# As the kernel does to a root without CAP_SYS_RESOURCE.
REFUSED = "volume-in-use:error:EBUSY"
STEP_MIB = 64


@pytest.fixture(scope="module")
def host():
    # In a mount namespace of its own: nobody else's copy of its mounts keeps a volume.
    with crash_host.CrashHost(f"g{os.getpid() % 100000:05d}", harness.subnet(1)) as host:
        yield host


class Growing(harness.Database):
    """A server whose volume becomes larger from test to test."""

    def __init__(self, host):
        super().__init__(host, "growing")
        self.mib, self.kept, self.read = 200, 0, 0
        self.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '100ms'")
        self.query("SELECT pg_reload_conf()")
        self.query("CREATE TABLE told (number int PRIMARY KEY)")
        session = self.connect()
        self.inside = self.mib_inside(session)
        session.close()

    def mib_inside(self, session):
        """As the server sees its volume; less than the volume's size, of which a journal and tables are a part."""
        rows(session, "CREATE TEMP TABLE IF NOT EXISTS inside (mib int)")
        rows(session, "COPY inside FROM PROGRAM 'df --output=size -m $PGDATA | tail -n 1'")
        return rows(session, "SELECT max(mib) FROM inside")[0][0]

    def deploy_larger(self):
        self.seen = len(self.events())
        before, self.mib = self.mib, self.mib + STEP_MIB
        answer = self.host.deploy(harness.database_yaml(self.name, size=f"{self.mib}Mi"))
        assert f"size: {before}Mi → {self.mib}Mi" in answer
        return answer

    def events(self):
        return self.host.events("--ns", self.namespace, "--name", self.name)

    def reasons(self):
        """What has become of it since it was deployed last."""
        return [event["reason"] for event in self.events()[self.seen:]]

    def wait_for_note(self, words):
        wait_until(lambda: f"'{words}' among {self.reasons()}: {self.get()}; the log: "
                           f"{[line for line in self.host.log().splitlines() if ' api: ' not in line][-40:]}",
                   lambda: any(words in reason for reason in self.reasons()))

    def session(self):
        """An open session that has something to lose, and one row more that is acknowledged."""
        session = self.connect()
        rows(session, "CREATE TEMP TABLE mine AS SELECT generate_series(1, 500) AS n")
        rows(session, "PREPARE mine AS SELECT sum(n) FROM mine")
        self.kept += 1
        rows(session, "INSERT INTO told VALUES (%s)", self.kept)
        return session

    def check(self, session):
        """The session goes on as if nothing had been, and sees a larger volume."""
        assert rows(session, "EXECUTE mine") == [(125250,)]
        before, self.inside = self.inside, self.mib_inside(session)
        assert before + STEP_MIB // 2 < self.inside <= self.mib
        assert rows(session, "SELECT count(*), max(number) FROM told") == [(self.kept, self.kept)]
        session.close()


@pytest.fixture(scope="module")
def server(host):
    server = Growing(host)
    yield server
    host.disarm()
    server.delete()


def test_in_use_or_by_way_of_the_disk(host, server):
    """As this kernel lets us: one of the two, and the events say which."""
    host.disarm()
    session = server.session()
    answer = server.deploy_larger()
    assert ("size: it grows in use" in answer) != ("goes to disk for it, with its sessions" in answer), answer
    wait_until(lambda: f"the volume to have grown: {server.reasons()}",
               lambda: any("it has, in use" in reason or "while it was on disk" in reason for reason in server.reasons()))
    server.check(session)


class Writer(threading.Thread):
    """A client that writes, pauses and comes back by a new connection, over and over; what it met is in `problem`."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.problem = server, threading.Event(), None
        self.start()

    def run(self):
        try:
            while not self.over.wait(0.1):
                session = self.server.connect()
                for _ in range(5):
                    rows(session, "INSERT INTO told VALUES (%s)", self.server.kept + 1)
                    self.server.kept += 1
                    self.over.wait(0.05)
                session.close()
        except Exception as problem:
            self.problem = problem

    def end(self):
        self.over.set()
        self.join(harness.DEADLINE)
        assert not self.is_alive() and self.problem is None, self.problem


def test_sessions_go_on_and_clients_come_while_a_volume_grows_on_disk(host, server):
    host.arm(REFUSED)
    session = server.session()
    writer = Writer(server)
    try:
        server.deploy_larger()
        server.wait_for_note("a volume of it has grown while it was on disk")
    finally:
        writer.end()
    server.check(session)
    reasons = server.reasons()
    assert any(f"volume samples/growing-data grows to {server.mib}Mi" in reason for reason in reasons), reasons
    assert server.get()["restarts"] == 0


def test_an_open_transaction_goes_on(host, server):
    host.arm(REFUSED)
    session = server.session()
    rows(session, "BEGIN")
    rows(session, "INSERT INTO told VALUES (%s)", server.kept + 1)
    server.deploy_larger()
    server.wait_for_note("a volume of it has grown while it was on disk")
    rows(session, "COMMIT")
    server.kept += 1
    server.check(session)


def test_one_on_disk_sleeps_on(host, server):
    host.arm(REFUSED)
    session = server.session()
    server.hibernate()
    answer = server.deploy_larger()
    assert "size: it grows in use" in answer or "size: it grows while samples/growing is on disk" in answer
    server.wait_for_note("a volume of it has grown while it was on disk")
    assert server.phase() == "hibernated"
    assert not any("restored" in reason for reason in server.reasons())
    server.check(session)


def test_larger_still_while_it_grows(host, server):
    session = server.session()
    host.arm(f"{REFUSED},volume-at-rest:stop:1")
    server.deploy_larger()
    stopped = host.wait_for_hit("volume-at-rest")
    server.deploy_larger()
    os.kill(stopped, signal.SIGCONT)
    server.wait_for_note("a volume of it has grown while it was on disk")
    server.check(session)
    assert server.inside > server.mib - STEP_MIB


@pytest.mark.parametrize("who", ["coordinator", "host"])
@pytest.mark.parametrize("point", ["evicting", "volume-at-rest", "volume-grown"])
def test_a_crash_while_it_grows(host, server, point, who):
    """The mark and the snapshot are on the disk: the session goes on, and the volume is as large as it was to be."""
    session = server.session()
    host.arm(f"{REFUSED},{point}:stop")
    server.deploy_larger()
    host.wait_for_hit(point)
    if who == "host":
        host.crash()
    else:
        host.kill()
    host.arm(REFUSED)
    host.start()
    # Grown by the new coordinator, at the latest when it mounts the volume for the client.
    wait_until(lambda: f"no more mark: {server.reasons()}",
               lambda: rows(session, "SELECT 1") and not list(host.state.glob("volumes/*/*.growing")))
    server.check(session)


def test_what_fails_on_disk_is_tried_again_by_the_restore(host, server):
    session = server.session()
    host.arm(f"{REFUSED},volume-grown:error:EIO:1")
    server.deploy_larger()
    server.wait_for_note("a volume of it has not grown: ")
    server.check(session)


def test_one_that_cannot_go_to_disk_is_started_again(host, server):
    session = server.session()
    host.arm(f"{REFUSED},dumping:error:ENOSPC")
    server.deploy_larger()
    server.wait_for_note("and the machine cannot go to disk: ")
    wait_until(lambda: f"it to run again: {server.get()}", lambda: server.phase() in ("ready", "suspended"))
    host.disarm()
    with pytest.raises(harness.psycopg2.Error):
        rows(session, "EXECUTE mine")
    session.close()
    server.check(server.session())
