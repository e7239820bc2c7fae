"""
Faults that need a coordinator with fault points, and are no crash of the host: what is promised after each stands in
docs/reliability.md.
"""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import crash_host
import harness
import pytest
from harness import rows, wait_until

TRUTH = "SELECT count(*), sum(n) FROM truth"


@pytest.fixture(scope="module")
def faulty():
    with crash_host.FaultyCoordinator(f"n{os.getpid() % 100000:05d}", harness.subnet(1)) as host:
        yield host


@pytest.fixture(scope="module")
def server(faulty):
    server = harness.Database(faulty, "named")
    server.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
    yield server
    faulty.disarm()
    server.delete()


def group_pids(server):
    """The machine's processes, as the host sees them."""
    found = set()
    for base in harness.cgroup_roots():
        for group in (base / server.host.prefix).glob(f"{server.namespace}.{server.name}/cgroup.procs"):
            found.update(int(pid) for pid in group.read_text().split())
    return found


def ask(server, sql="SELECT 42"):
    """A client that waits for its answer, beside the test."""
    return subprocess.Popen(["psql", "-X", "-A", "-t", "-c", sql,
                             f"host={server.address} user=user password=password dbname=db"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def answer(client):
    return client.communicate(timeout=harness.DEADLINE)[0]


class HeldAtItsEnd:
    """A process that, killed, does not end before it is let go: ptrace(2) stops it at its exit, where it still has all that
    it had."""

    SEIZE, DETACH, OPTION_EXIT = 0x4206, 17, 0x40

    def __init__(self, pid):
        self.pid, self.libc = pid, ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.call(self.SEIZE, self.OPTION_EXIT)

    def call(self, request, data=0):
        if self.libc.ptrace(request, self.pid, 0, data) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request} of {self.pid}")

    def wait_for_end(self):
        """Until it stands at its exit."""
        wait_until(f"process {self.pid} to be killed",
                   lambda: os.waitpid(self.pid, os.WNOHANG | 0x40000000) != (0, 0))  # __WALL

    def let_go(self):
        self.call(self.DETACH)


def test_processes_that_outlive_an_eviction_and_its_coordinator(faulty, server):
    """lttled is killed when the snapshot is whole and its processes are still there. The next one ends them, and restores
    for the client that comes meanwhile only when the last one is gone: two of one server must never be."""
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.wait("suspended")
    faulty.arm("evicting:kill")
    wait_until("the eviction", lambda: server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name,
                                                      check=False) and faulty.hit())
    faulty.process.wait(timeout=harness.DEADLINE)
    faulty.process = None
    faulty.disarm()
    held = HeldAtItsEnd(max(group_pids(server)))
    try:
        begin = len(faulty.log())
        faulty.start()
        held.wait_for_end()
        # Its answer comes when it is let go; until then it has only asked.
        asked = ask(server)
        wait_until("the client to be seen", lambda: "phase=resuming" in faulty.log()[begin:])
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert asked.poll() is None and server.phase() == "resuming"
            assert (faulty.state / f"machines/{server.namespace}/{server.name}/snapshot/manifest.json").exists(), "it is spent"
            time.sleep(0.05)
    finally:
        held.let_go()
    assert answer(asked) == "42\n"
    assert rows(session, "SELECT n FROM mine") == [(7,)], "it was restored, and not started cold"
    session.close()


# ---- no memory ----


def log_since(host, begin):
    return host.log()[begin:]


def test_no_process_can_be_made_for_a_snapshot(faulty, server):
    """Nothing is lost by it: the machine runs on, sleeps in memory and wakes, and the command says why."""
    session = server.connect()
    server.wait("suspended")
    faulty.arm("fork:error:ENOMEM")
    try:
        refused = wait_until("the refusal", lambda: [done for done in [faulty.cli(
            "machine", "hibernate", "--ns", server.namespace, server.name, check=False)] if "fork" in done.stderr])[0]
        assert "Cannot allocate memory" in refused.stderr
        assert "Cannot allocate memory" in server.get()["snapshot-problem"]
        for _ in range(3):
            assert rows(session, TRUTH) == [(1000, 500500)]
            server.wait("suspended")
    finally:
        faulty.disarm()
    server.hibernate()
    assert rows(session, TRUTH) == [(1000, 500500)]
    session.close()


def test_no_process_can_be_made_for_a_wake_from_disk(faulty, server):
    """Its client waits, and its snapshot too, until there is memory; nothing is started cold."""
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.hibernate()
    begin = len(faulty.log())
    faulty.arm("fork:error:ENOMEM")
    try:
        client = ask(server, TRUTH)
        wait_until("some tries", lambda: len(faulty.hit()) > 3)
        assert client.poll() is None and server.phase() == "resuming"
    finally:
        faulty.disarm()
    assert answer(client) == "1000|500500\n"
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    assert "cold" not in log_since(faulty, begin)
    session.close()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_memory_ends_in_the_middle_of_a_wake_from_disk(faulty, server, number):
    """The same at each process that a restore makes: the job, CRIU's guard, CRIU."""
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.hibernate()
    begin = len(faulty.log())
    faulty.arm(f"fork:error:EAGAIN:{number}")
    try:
        assert rows(session, "SELECT n FROM mine") == [(7,)]
        assert [name for name, _ in faulty.hit()] == ["fork"]
    finally:
        faulty.disarm()
    assert "cold" not in log_since(faulty, begin)
    session.close()


def test_no_process_can_be_made_for_a_server_that_crashed(faulty, server):
    """It starts again as soon as there is memory, and no error is left that somebody would have to clear away."""
    before = server.get()
    assert server.query(TRUTH) == [(1000, 500500)]
    faulty.arm("fork:error:ENOMEM")
    try:
        os.kill(before["pid"], signal.SIGKILL)
        wait_until("some tries", lambda: len(faulty.hit()) > 3)
        assert server.phase() in ("restarting", "creating")
    finally:
        faulty.disarm()
    server.wait("suspended")
    assert server.query(TRUTH) == [(1000, 500500)]
    assert server.get()["restarts"] == before["restarts"] + 1


def test_lttled_has_no_memory(faulty, server):
    """It refuses, or it ends and is started again: machines notice neither."""
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    server.wait("suspended")
    subprocess.run(["prlimit", "--pid", str(faulty.process.pid), "--as=65536:"], check=True)
    clients = []

    def has_failed():
        """Each of these makes it keep a megabyte, until there is none."""
        client = socket.socket(socket.AF_UNIX)
        clients.append(client)
        client.settimeout(2)
        try:
            client.connect(str(faulty.socket))
            client.sendall(b"POST /v1/deploy HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 999999)
        except OSError:
            return True
        return faulty.process.poll() is not None

    try:
        wait_until("a refusal, or the end", has_failed)
    finally:
        for client in clients:
            client.close()
    print(f"after {len(clients)} requests lttled has {'refused' if faulty.process.poll() is None else 'ended'}")
    if faulty.process.poll() is None:
        faulty.kill()
    faulty.process = None
    faulty.start()
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    assert server.query(TRUTH) == [(1000, 500500)]
    server.wait("suspended")
    session.close()


# ---- a slow disk ----


@pytest.fixture
def slow(faulty):
    """lttled, with all that it starts, on a disk whose every sync takes as long as one likes; and who waited for one."""
    library, place = faulty.root / "slow_disk.so", faulty.root / "slow"
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", library,
                    Path(__file__).parent / "slow_disk.c"], check=True)
    place.write_bytes(struct.pack("=q", 0))
    calls = Path(f"{place}.calls")
    faulty.stop()
    faulty.start(LD_PRELOAD=str(library), SLOW_DISK_FILE=str(place))

    def delay(ms):
        calls.unlink(missing_ok=True)
        with open(place, "r+b") as file:
            file.write(struct.pack("=q", ms))

    faulty.delay = delay
    faulty.waited = lambda: [line.split(" ", 1) for line in calls.read_text().splitlines()] if calls.exists() else []
    yield faulty
    delay(0)
    faulty.stop()
    faulty.start()


def test_a_slow_disk_is_nobody_elses(slow, server):
    """A machine goes to disk and comes back at the disk's pace; lttled itself waits for none of its syncs, so
    that its neighbours wake as ever."""
    neighbour = harness.Database(slow, "neighbour")

    def own():
        """The database's own checkpoint is the one exception, once in some hundred changes of phase."""
        return [path for pid, path in slow.waited() if pid == str(slow.process.pid) and "/lttle.db" not in path]

    try:
        session = server.connect()
        rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
        other = neighbour.connect()
        server.wait("suspended")
        neighbour.wait("suspended")
        slow.delay(300)
        begin = time.monotonic()
        command = subprocess.Popen([harness.LTTLE, "--socket", slow.socket, "machine", "hibernate", "--ns", server.namespace,
                                    server.name], stdin=subprocess.DEVNULL)
        wakes = neighbour.get()["wakes"]
        while command.poll() is None:
            assert rows(other, "SELECT 1") == [(1,)]
            neighbour.suspend()
        assert command.returncode == 0 and server.phase() == "hibernated"
        took = time.monotonic() - begin
        assert len(slow.waited()) >= 4 and took > 4 * 0.3, "no disk was slow"
        assert own() == []
        assert neighbour.get()["wakes"] > wakes
        assert rows(session, "SELECT n FROM mine") == [(7,)]
        assert own() == []
        session.close()
        other.close()
    finally:
        slow.delay(0)
        neighbour.delete()


def test_the_kernel_hurries_while_a_machine_is_restored(faulty, server):
    """And only then. Another coordinator on the host may be ahead of ours at any moment, and is left alone."""
    mark = faulty.run / "rcu-expedited"

    def hurries():
        server.hibernate()
        faulty.arm("verified:stop")
        client = ask(server)
        stopped = faulty.wait_for_hit("verified")
        seen = mark.exists() and harness.GRACE_PERIODS.read_text().strip() == "1"
        faulty.disarm()
        os.kill(stopped, signal.SIGCONT)
        assert "42" in answer(client)
        return seen

    try:
        wait_until("the kernel to hurry", hurries)
    finally:
        faulty.disarm()
    wait_until("it to take its time again", lambda: not mark.exists())
