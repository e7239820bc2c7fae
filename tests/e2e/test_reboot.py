"""
The host's shutdown and its reboot. What a reboot takes away is taken away: processes, control groups, namespaces,
links, mounts, loop devices, the run directory. The lttled that comes afterwards sees another boot id, and monotonic
clocks that began a moment ago (a time namespace of its own), as on a host that has just started.
"""

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import uuid
from pathlib import Path

import harness
import pytest
from harness import rows, wait_until

# Becomes lttled in the end, so that signals reach it. Mounting over /proc is this mount namespace's own affair.
NEW_BOOT = 'mount --make-private /proc && mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


class Host(harness.Coordinator):
    """
    A coordinator that is started as the boot of the moment wants it. Always in a mount namespace of its own, so that no
    namespace that somebody else makes meanwhile gets a copy of its mounts and keeps their loop devices over the reboot.
    """

    boot = ["unshare", "--mount"]

    def wrapper(self):
        return [*self.boot, *super().wrapper()]


def reboot(host, addresses=()):
    """
    Starts lttled as on a host that was started anew. Where it still runs, it is killed: a power cut. Who tries to
    reach the servers meanwhile has no route to them; nobody is refused, and once lttled is ready everybody gets in.
    """
    if host.process is not None:
        host.kill()
    harness.sweep_kernel(host.prefix, host.root)
    # Loop devices go when the last user of a mount that was taken away lets go of it.
    wait_until(lambda: f"nothing to be left: {harness.leftovers(host.prefix, host.root)}",
               lambda: not harness.leftovers(host.prefix, host.root))
    shutil.rmtree(host.run)
    boot_id = host.root / "boot-id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    uptime = int(float(Path("/proc/uptime").read_text().split()[0]))
    host.boot = ["unshare", "--mount", "--time", f"--monotonic={5 - uptime}", f"--boottime={5 - uptime}",
                 "sh", "-c", NEW_BOOT, str(boot_id)]
    callers = Callers(host, addresses)
    try:
        host.start()
        for address in addresses:
            harness.tcp_connect(address).close()
    finally:
        callers.end()
    assert callers.failed <= {errno.EHOSTUNREACH}
    offsets = dict(line.split()[:2] for line in Path(f"/proc/{host.process.pid}/timens_offsets").read_text().splitlines())
    assert int(offsets["monotonic"]) == 5 - uptime, "lttled's clock is not that of a fresh boot"


@pytest.fixture(scope="module")
def host():
    with Host(f"r{os.getpid() % 100000:05d}", harness.subnet(1)) as coordinator:
        yield coordinator


@pytest.fixture
def addresses(servers):
    return [server.address for server in servers]


@pytest.fixture
def servers(host):
    """Two servers with rows in them, asleep; gone again after the test."""
    made = [harness.Database(host, name, timeout="1s", wait=False) for name in ("one", "two")]
    for server in made:
        server.wait("suspended")
        server.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    yield made
    if host.process is None:
        host.start()
    elif not can_start(host):
        host.stop()
        host.start()
    for server in made:
        server.delete()


class Callers:
    """
    Clients that try to connect all through the host's reboot, and say nothing when they got through, so that nobody
    wakes. Each is as a load balancer's probe.
    """

    def __init__(self, host, addresses):
        # The one thing that this reboot leaves: these packets must not leave by the default route.
        routes = subprocess.run(["ip", "route", "show", "type", "unreachable"], check=True, capture_output=True, text=True)
        assert f"unreachable {host.subnet} " in routes.stdout
        self.failed = set()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.call, args=[address]) for address in addresses]
        for thread in self.threads:
            thread.start()

    def call(self, address):
        # A hundred a second, no flood: probes that fill the queue of a server's port do wake it.
        while not self.ended.wait(0.01):
            try:
                harness.tcp_connect(address).close()
            except OSError as error:
                self.failed.add(error.errno)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def can_start(host):
    """False while the host is drained: then a coordinator says no to whoever wants to start something."""
    return host.cli("deploy", "-", input="", check=False).stderr.find("drained") < 0


def drain(host, timeout, status=0):
    done = host.cli("drain", "--timeout", timeout, "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return {machine["name"]: machine for machine in json.loads(done.stdout)["machines"]}


def outcomes(answer):
    return {name: machine["outcome"] for name, machine in answer.items()}


def assert_nothing_runs(host, phase):
    for machine in host.json("machine", "list", "--all-namespaces"):
        assert (machine["phase"], machine["pid"]) == (phase, None)
    for base in harness.cgroup_roots():
        for processes in (base / host.prefix).glob("samples.*/cgroup.procs"):
            assert processes.read_text() == ""


def server_log(server):
    return server.host.cli("machine", "logs", "--ns", server.namespace, server.name).stdout


def startup_packet():
    body = struct.pack("!I", 196608) + b"user\0user\0database\0db\0\0"
    return struct.pack("!I", len(body) + 4) + body


def test_drained_machines_are_on_disk_and_come_back_after_the_reboot(host, servers, addresses):
    answer = drain(host, "60s")
    assert outcomes(answer) == {"one": "hibernated", "two": "hibernated"}
    assert all(machine["not-on-disk-because"] is None for machine in answer.values())
    # From now on nobody starts anything; a client waits and is not turned away.
    for refused in (["machine", "wake", "--ns", "samples", "one"], ["machine", "restart", "--ns", "samples", "one"],
                    ["machine", "exec", "--ns", "samples", "one", "true"]):
        done = host.cli(*refused, check=False)
        assert done.returncode == 4 and "the host is being drained" in done.stderr
    assert "the host is being drained" in host.cli("deploy", "-", input=servers[0].text, check=False).stderr
    with harness.tcp_connect(servers[0].address) as client:
        client.sendall(startup_packet())
        client.settimeout(1)
        with pytest.raises(socket.timeout):
            client.recv(1)
    assert_nothing_runs(host, "hibernated")
    assert outcomes(drain(host, "60s")) == {"one": "hibernated", "two": "hibernated"}

    assert host.stop() == 0
    reboot(host, addresses)
    assert_nothing_runs(host, "hibernated")
    for server in servers:
        assert server.query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]
        state = server.get()
        assert "client" in state["woken-by"] and state["last-error"] is None
        # Not "just active" until the uptime has caught up with the one of the boot before.
        server.wait("suspended", timeout="60s")
        assert "database system was shut down" not in server_log(server).split("ready to accept")[-1]
    assert servers[0].query("SELECT count(*) FROM kept") == [(1000,)]


def test_a_session_from_outside_outlives_the_reboot(host, servers):
    """The client's own host has not been started anew: its connection, and all that the session holds, is kept."""
    session = servers[0].connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 42 AS n")
    assert outcomes(drain(host, "60s"))["one"] == "hibernated"
    host.stop()
    reboot(host)
    assert rows(session, "SELECT n FROM mine") == [(42,)]
    session.close()


def test_what_cannot_go_to_disk_in_time_is_stopped_in_order(host, servers, addresses):
    answer = drain(host, "0s")
    assert outcomes(answer) == {"one": "stopped", "two": "stopped"}
    assert answer["one"]["not-on-disk-because"] == "there was no time left"
    for server in servers:
        assert "database system is shut down" in server_log(server)
    host.stop()
    reboot(host, addresses)
    assert_nothing_runs(host, "stopped")
    # Nor in the same boot, however often lttled is started.
    for _ in range(2):
        host.stop()
        host.start()
        assert_nothing_runs(host, "stopped")
    for server in servers:
        before = len(server_log(server))
        assert server.query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]
        said = server_log(server)[before:]
        assert "database system was shut down at" in said and "was not properly shut down" not in said
        server.wait("suspended", timeout="60s")


def test_a_busy_machine_is_stopped_and_the_others_go_to_disk(host, servers):
    errors = []

    def work():
        try:
            servers[0].query("SELECT pg_sleep(600)")
        except harness.psycopg2.Error as error:
            errors.append(str(error))

    client = threading.Thread(target=work)
    client.start()
    wait_until("the statement to run", lambda: "statement" in (servers[0].get()["awake-because"] or ""))
    answer = drain(host, "6s")  # much longer than the other one needs
    client.join(timeout=30)
    assert outcomes(answer) == {"one": "stopped", "two": "hibernated"}
    assert "statement" in answer["one"]["not-on-disk-because"]
    assert answer["two"]["took-ms"] < answer["one"]["took-ms"]
    assert len(errors) == 1
    said = server_log(servers[0])
    assert "terminating connection due to administrator command" in said and "database system is shut down" in said
    host.stop()
    reboot(host)
    assert {m["name"]: m["phase"] for m in host.json("machine", "list", "--all-namespaces")} == {
        "one": "stopped", "two": "hibernated"}
    for server in servers:
        assert server.query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]


def test_a_power_cut_is_followed_by_crash_recovery_when_somebody_asks(host, servers):
    servers[0].wait("suspended")
    session = servers[1].connect()
    rows(session, "INSERT INTO kept VALUES (1001)")
    reboot(host)
    assert_nothing_runs(host, "stopped")
    assert servers[1].query("SELECT count(*), sum(n) FROM kept") == [(1001, 501501)]
    assert "was not properly shut down" in server_log(servers[1])
    assert servers[0].phase() == "stopped"
    assert servers[0].query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]
    session.close()


def test_a_snapshot_that_had_not_reached_the_disk_is_refused_after_the_reboot(host, servers):
    for server in servers:
        wait_until("it to be on disk", lambda s=server: host.cli(
            "machine", "hibernate", "--ns", "samples", s.name, check=False).returncode == 0)
    host.stop()
    # lttled syncs before it writes the manifest; this is what one would look like that had not come to it.
    manifest = host.state / "machines/samples/two/snapshot/manifest.json"
    said = json.loads(manifest.read_text())
    assert said["synced"] is True
    manifest.write_text(json.dumps({**said, "synced": False}))
    reboot(host)
    assert_nothing_runs(host, "hibernated")
    for server in servers:
        assert server.query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]
    one, two = (server.get() for server in servers)
    assert one["last-error"] is None
    assert two["last-error"] == "the host has started anew, and the snapshot had not reached the disk"
    assert "had not reached the disk" in host.cli("machine", "get", "--ns", "samples", "two").stdout
    assert two["snapshot"] is None
    assert (host.state / "machines/samples/two/snapshot.refused").exists()
    assert "was not properly shut down" in server_log(servers[1])


def test_a_regular_machine_waits_for_somebody_too(host):
    text = harness.YAML.format(name="plain", namespace="samples", image=harness.IMAGE, timeout="1s", memory=256,
                               size="200Mi", tracking="")
    start, end = text.index("  mode:\n"), text.index("  environment:")
    server = harness.Database.__new__(harness.Database)
    server.host, server.name, server.namespace = host, "plain", "samples"
    host.deploy(text[:start] + "  mode: regular\n" + text[end:])

    def answer(statement):
        """A regular machine is ready when its port is listened on, as PostgreSQL does before its recovery is over."""
        try:
            return server.query(statement)
        except harness.psycopg2.OperationalError as error:
            assert "the database system is starting up" in str(error)

    server.wait("ready")
    wait_until("the server to accept connections", lambda: answer("SELECT 1"))
    server.query("CREATE TABLE kept AS SELECT 7 AS n")
    assert outcomes(drain(host, "0s")) == {"plain": "stopped"}
    host.stop()
    reboot(host)
    assert_nothing_runs(host, "stopped")
    assert wait_until("the server to accept connections", lambda: answer("SELECT n FROM kept")) == [(7,)]
    assert server.phase() == "ready"
    server.delete()
