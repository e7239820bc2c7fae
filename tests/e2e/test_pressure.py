"""When the host's memory runs short the machine that has slept for longest goes to disk, and nobody goes without need."""

import subprocess
from pathlib import Path

import harness
import pytest
from harness import wait_until

# No host has all of its memory available, so that this is pressure everywhere.
ALWAYS = "pressure:\n  memory-available-min: 100\n"
LOOKED = "memory looked at"


@pytest.fixture(scope="module")
def sleepers(own_host):
    """Two machines; the one that comes last by its name has slept for longer."""
    older = harness.Database(own_host, "zulu")
    younger = harness.Database(own_host, "alpha")
    yield older, younger
    for server in (older, younger):
        server.delete()


@pytest.fixture
def with_settings(own_host):
    """Starts the coordinator anew with more settings; the machines sleep on meanwhile."""
    text = own_host.settings_file.read_text()

    def restart(more):
        own_host.stop()
        own_host.settings_file.write_text(text + more)
        return own_host.start()

    yield restart
    restart("")


def events(server):
    return server.host.events("--ns", server.namespace, "--name", server.name)


def attempts(server):
    return [event for event in events(server) if event["phase"] == "hibernating"]


def looks(host):
    return host.log().count(LOOKED)


def look_again(host, times=1):
    before = looks(host)
    wait_until("memory to be looked at", lambda: looks(host) >= before + times)


def test_with_the_defaults_nobody_goes(own_host, sleepers):
    older, younger = sleepers
    younger.query("SELECT 1")
    look_again(own_host)
    younger.wait("suspended")
    assert [server.phase() for server in sleepers] == ["suspended", "suspended"]
    assert attempts(older) == attempts(younger) == []
    assert older.get()["since-ms"] < younger.get()["since-ms"]


def test_who_has_slept_for_longest_goes_first_and_one_at_a_time(with_settings, sleepers):
    older, younger = sleepers
    before = [server.get()["since-ms"] for server in sleepers]
    with_settings("")
    for server in sleepers:
        server.wait("suspended")
    assert [server.get()["since-ms"] for server in sleepers] == before, "a new coordinator does not know since when"

    with_settings(ALWAYS)
    for server in sleepers:
        server.wait("hibernated")
        snapshot = server.get()["snapshot"]
        assert snapshot["reason"].startswith("memory pressure: ") and "available, less than 100 %" in snapshot["reason"]
        assert "memory pressure: " in attempts(server)[-1]["reason"]
    gone = {server.name: next(event for event in events(server) if event["phase"] == "hibernated") for server in sleepers}
    assert gone["zulu"]["id"] < attempts(younger)[-1]["id"]
    listing = older.host.cli("machine", "get", "--ns", older.namespace, older.name).stdout
    assert "memory pressure: " in listing


def test_they_come_back_for_their_clients(sleepers):
    for number, server in enumerate(sleepers):
        assert server.query(f"SELECT {number}") == [(number,)]
        server.wait("suspended")


def test_one_that_cannot_go_is_left_alone(with_settings, own_host, sleepers):
    """CRIU that fails at the dump: each machine is tried once, runs on, sleeps again, and is not tried at every look."""
    own = Path("/usr/local/lib/lttle/criu")
    program = own_host.root / "criu"
    program.write_text(f'#!/bin/sh\n[ "$1" = dump ] && {{ echo "no dump today" >&2; exit 1; }}\n'
                       f'exec {own if own.exists() else "criu"} "$@"\n')
    program.chmod(0o755)
    tried = [len(attempts(server)) for server in sleepers]
    host = with_settings(ALWAYS + f"criu: {program}\n")
    failure = "could not go to disk under memory pressure"
    failed_before = host.log().count(failure)
    wait_until("both to be tried", lambda: host.log().count(failure) >= failed_before + 2)
    for server in sleepers:
        server.wait("suspended")
    look_again(host)
    for server in sleepers:
        assert server.query("SELECT 7") == [(7,)]
        server.wait("suspended")
    look_again(host)
    assert host.log().count(failure) == failed_before + 2
    assert [len(attempts(server)) for server in sleepers] == [count + 1 for count in tried]
    assert all(server.get()["snapshot"] is None for server in sleepers)


def test_without_reports_it_is_looked_at_slowly(with_settings, sleepers):
    """As on a kernel without PSI: the first look follows the restart, the second a slow timer."""
    host = with_settings("pressure:\n  memory-pressure-limit: 100\n")
    for server in sleepers:
        server.wait("suspended")
    look_again(host, 2)
    assert [server.phase() for server in sleepers] == ["suspended", "suspended"]


def test_processes_that_wait_for_memory(with_settings, own_host, sleepers):
    """A machine that reads more than it may hold makes the kernel report stalls; that alone decides here."""
    older, younger = sleepers
    host = with_settings("pressure:\n  memory-available-min: 30\n  memory-pressure-limit: 1\n")
    with Path("/proc/meminfo").open() as meminfo:
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in meminfo}
    assert sizes["MemAvailable"] > sizes["MemTotal"] * 0.3, "this host is too full for the test"
    hungry = harness.Database(host, "hungry", memory=80, size="300Mi", wait=False)
    hungry.wait("ready")
    script = "cd /var/lib/postgresql/data/.. && dd if=/dev/zero of=data/big bs=1M count=160 && while cat data/big; do :; done"
    reader = subprocess.Popen(
        [str(harness.LTTLE), "--socket", str(host.socket), "machine", "exec", "--ns", hungry.namespace, hungry.name,
         "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        older.wait("hibernated")
        assert "processes waited for memory, more than 1 % of the time" in older.get()["snapshot"]["reason"]
        assert hungry.phase() == "ready"
    finally:
        reader.terminate()
        reader.wait(timeout=30)
        hungry.delete()
    assert younger.query("SELECT 1") == [(1,)]
    assert older.query("SELECT 1") == [(1,)]
