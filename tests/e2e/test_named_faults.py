"""
Faults that need a coordinator with fault points, and are no crash of the host: what is promised after each stands in
docs/reliability.md.
"""

import ctypes
import os
import signal
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
        asked = subprocess.Popen(["sh", "-c", "exec psql -X -A -t -c 'SELECT 42' \"$0\"", f"host={server.address} user=user "
                                  "password=password dbname=db"], stdout=subprocess.PIPE, text=True)
        wait_until("the client to be seen", lambda: "phase=resuming" in faulty.log()[begin:])
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert asked.poll() is None and server.phase() == "resuming"
            assert (faulty.state / f"machines/{server.namespace}/{server.name}/snapshot/manifest.json").exists(), "it is spent"
            time.sleep(0.05)
    finally:
        held.let_go()
    assert asked.communicate(timeout=harness.DEADLINE)[0] == "42\n"
    assert rows(session, "SELECT n FROM mine") == [(7,)], "it was restored, and not started cold"
    session.close()
