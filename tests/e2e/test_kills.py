"""
kill -9 of lttled and of CRIU at random moments, while clients work and machines suspend, hibernate and wake as often as
they can: every machine comes back, every acknowledged row is there, nobody hangs. A machine goes cold, and loses its
sessions, only when CRIU died with it in its hands; a service manager keeps what lttled has for clients that wait.
LTTLE_KILLS: how many of each (the issue's figure is 50).
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import harness
import psycopg2
import pytest
import service_manager
from harness import rows, wait_until

KILLS = int(os.environ.get("LTTLE_KILLS", "8"))
HANG = 60.0  # seconds; a cold start on a slow machine fits in several times
MACHINES = ("left", "right")


@pytest.fixture(scope="module")
def own_host():
    with service_manager.Service(f"k{os.getpid() % 100000:05d}", harness.subnet(1)) as coordinator:
        yield coordinator


def children():
    """PID to its children, of all processes."""
    tree = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            tree.setdefault(int(path.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(path.parent.name))
        except (OSError, IndexError):
            continue
    return tree


def criu_below(pid):
    """A CRIU that descends from this process: its PID, and whether it dumps or restores."""
    tree, waiting = children(), [pid]
    while waiting:
        for child in tree.get(waiting.pop(), []):
            waiting.append(child)
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"/criu") and words[1] in (b"dump", b"restore"):
                return child, words[1].decode()
    return None


def local_port(connection):
    """By which the coordinator's log and ss(8) know a client."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        return f"from port {end.getsockname()[1]}"


class Client(threading.Thread):
    """Inserts numbered rows, one after the other, over one session as long as it lives or over a new one each time."""

    def __init__(self, server, address, number, stays, over):
        super().__init__(daemon=True)
        self.server, self.address, self.number, self.stays, self.over = server, address, number, stays, over
        self.acknowledged, self.lost, self.refused, self.since, self.stage = 0, 0, 0, None, "waits"
        self.connection, self.problem, self.unsure = None, None, False
        self.chance = random.Random(number)

    def connect(self):
        self.stage = "connects"
        connection = psycopg2.connect(host=self.address, user="user", password="password", dbname="db",
                                      connect_timeout=int(HANG))
        connection.autocommit = True
        if self.lost or self.refused:
            # What was sent with no answer may have been committed; nothing else may be missing or too much.
            self.stage = f"asks what is there, {local_port(connection)}"
            count, last = rows(connection, "SELECT count(*), coalesce(max(number), 0) FROM told WHERE client = %s", self.number)[0]
            if count != last or last not in (self.acknowledged, self.acknowledged + 1):
                self.problem = f"{(count, last)} where {self.acknowledged} were acknowledged"
            self.acknowledged, self.unsure = last, False
        return connection

    def check_told(self, count, last):
        """At the end. Of a client whose last session was lost under an insert, that one may be there or not."""
        assert count == last and last in (self.acknowledged, self.acknowledged + self.unsure), (
            f"{self.server.name}, client {self.number}: {(count, last)} where {self.acknowledged} were acknowledged, "
            f"{'and one was lost' if self.unsure else 'and none was lost'}")

    def step(self):
        if self.connection is None:
            self.connection = self.connect()
        self.stage = f"inserts row {self.acknowledged + 1}, {local_port(self.connection)}"
        rows(self.connection, "INSERT INTO told VALUES (%s, %s)", self.number, self.acknowledged + 1)
        self.acknowledged += 1
        if not self.stays:
            self.connection.close()
            self.connection = None

    def run(self):
        while not self.over.is_set() and self.problem is None:
            self.since = time.monotonic()
            try:
                self.step()
            except psycopg2.OperationalError:
                if self.connection is None:
                    self.refused += 1
                else:
                    self.lost += 1
                    self.unsure = True
                self.connection = None
            except Exception as error:  # noqa: BLE001
                self.problem = repr(error)
            self.since, self.stage = None, "waits"
            # Short and long: a machine has to be left alone for a while to get to disk.
            self.over.wait(self.chance.choice((0.01, 0.3, 3)) * self.chance.random())

    def check(self):
        since = self.since
        assert self.problem is None, f"{self.server.name}, client {self.number}: {self.problem}"
        assert since is None or time.monotonic() - since < HANG, self.hang()

    def hang(self):
        """How far a client that hangs has come, what both ends know of its machine's connections, and where the whole log
        is: what is seen once must be enough."""
        since = self.since
        seconds = 0 if since is None else time.monotonic() - since
        found = [f"{self.server.name}: client {self.number} hangs for {seconds:.1f} s: {self.stage}"]
        for place in ([], ["nsenter", f"--net={self.server.host.run}/netns/{self.server.namespace}.{self.server.name}"]):
            done = subprocess.run([*place, "ss", "-Htanoi", "exclude", "time-wait", *([] if place else ["dst", self.address])],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            found += ["in the machine:" if place else "on the host:", done.stdout]
        with tempfile.NamedTemporaryFile(prefix="lttle-hang-", suffix=".log", delete=False) as log:
            shutil.copyfile(self.server.host.log_file, log.name)
        return "\n".join([*found, f"the whole log of lttled is kept in {log.name}"])


class Storm:
    """Two machines, their clients, and somebody who sends them to sleep in all ways all the time."""

    def __init__(self, host):
        self.host, self.over, self.done = host, threading.Event(), {"hibernate": 0, "suspend": 0}
        self.servers = [harness.Database(host, name, timeout="50ms") for name in MACHINES]
        self.clients = []
        for server in self.servers:
            server.query("CREATE EXTENSION amcheck")
            server.query("CREATE TABLE told (client int, number int, PRIMARY KEY (client, number))")
            for number, stays in enumerate((True, False)):
                self.clients.append(Client(server, server.address, number, stays, self.over))
        self.starts = {server.name: {self.started(server)} for server in self.servers}
        self.lullers = [threading.Thread(target=self.lull, args=(server,), daemon=True) for server in self.servers]

    def started(self, server):
        return server.query("SELECT pg_postmaster_start_time()")[0][0]

    def lull(self, server):
        chance = random.Random(server.name)
        while not self.over.wait(chance.uniform(0, 0.1)):
            command = chance.choice(("hibernate", "hibernate", "suspend"))
            done = self.host.cli("machine", command, "--ns", server.namespace, server.name, check=False)
            self.done[command] += done.returncode == 0

    def check(self):
        """Every machine answers, and notes whether it has started anew."""
        for server in self.servers:
            def ask(server=server):
                try:
                    return self.started(server)
                except (psycopg2.OperationalError, harness.Failure):
                    return None

            self.starts[server.name].add(wait_until(lambda: f"{server.name}: {server.get()}", ask, HANG))
        for client in self.clients:
            client.check()

    def colds(self):
        return sum(len(starts) - 1 for starts in self.starts.values())

    def turns(self):
        """From the log: each phase before a cold start, and what was told at it."""
        lines = [line for line in self.host.log().splitlines() if re.search(r"machine=\S+ phase=\S+", line)]
        before = {}
        for line in lines:
            name, phase = re.search(r"machine=(\S+) phase=(\S+)", line).groups()
            if phase == "creating":
                yield from [*before.get(name, []), line]
            before[name] = [*before.get(name, []), line][-3:]

    def end(self):
        self.check()
        self.over.set()
        for thread in self.clients + self.lullers:
            thread.join(timeout=HANG)
            assert not thread.is_alive(), thread.hang() if thread in self.clients else f"{thread} hangs"
        for server in self.servers:
            told = {c: (n, m) for c, n, m in server.query("SELECT client, count(*), max(number) FROM told GROUP BY 1")}
            for client in self.clients:
                if client.server is server:
                    client.check_told(*told.pop(client.number, (0, 0)))
            assert not told, told
            done = self.host.cli("machine", "exec", "--ns", server.namespace, server.name, "sh", "-c",
                                 "pg_amcheck --heapallindexed -h /var/run/postgresql -U user db 2>&1", check=False)
            assert (done.returncode, done.stdout) == (0, "")

    def figures(self):
        return (f"{self.done['hibernate']} hibernations, {self.done['suspend']} suspends, "
                f"{sum(c.acknowledged for c in self.clients)} rows, {self.colds()} cold starts, "
                f"{sum(c.lost for c in self.clients)} sessions lost, {sum(c.refused for c in self.clients)} refused")


@pytest.fixture
def storm(own_host):
    storm = Storm(own_host)
    for thread in storm.clients + storm.lullers:
        thread.start()
    yield storm
    storm.over.set()
    for thread in storm.clients + storm.lullers:
        thread.join(timeout=HANG)
    for server in storm.servers:
        server.delete()


@pytest.fixture
def chance():
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    return random.Random(seed)


def assert_sessions(storm, hands):
    """No more machines went cold than CRIU had in its hands, and only a machine that went cold loses anything."""
    assert storm.colds() <= hands, "\n".join(storm.turns())
    assert sum(client.lost for client in storm.clients if client.stays) <= storm.colds()
    assert storm.colds() > 0 or not any(client.lost or client.refused for client in storm.clients)


def test_lttled_is_killed(own_host, storm, chance):
    hands = 0
    for _ in range(KILLS):
        time.sleep(chance.uniform(0, 0.8))
        own_host.kill()
        # A restore dies with lttled, a dump goes on.
        phases = (re.findall(rf"machine={server.name} phase=(\S+)", own_host.log()) for server in storm.servers)
        hands += sum(found[-1] == "resuming" for found in phases)
        own_host.start()
        storm.check()
    storm.end()
    print(f"lttled killed {KILLS} times: {storm.figures()}")
    assert_sessions(storm, hands)


def test_criu_is_killed(own_host, storm, chance):
    killed = {"dump": 0, "restore": 0}
    while sum(killed.values()) < KILLS:
        pid, command = wait_until("CRIU to be at work", lambda: criu_below(own_host.process.pid))
        start = harness.process_start_time(pid)
        time.sleep(chance.uniform(0, 0.08))
        if start is None or harness.process_start_time(pid) != start:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed[command] += 1
        storm.check()
    storm.end()
    print(f"criu killed in {killed['dump']} dumps, {killed['restore']} restores: {storm.figures()}")
    assert_sessions(storm, sum(killed.values()))
