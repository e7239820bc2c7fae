"""
What can go wrong on the way to disk and back, without a crash of the host: it ends in the running server or in a cold
start, the reason is told with CRIU's own words, nothing that was acknowledged is lost, and the next time works.
"""

import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import crash_host
import harness
import psycopg2
import pytest
from harness import rows, wait_until

# CRIU as it is, but while break_file exists it is to dump a process, or to restore to a root, that isn't there: it fails by
# itself, with its own log. While kill_file exists it is killed at the end of a dump, with all sockets in repair mode.
# -p: its real user is another than the effective one.
CRIU = """#!/bin/sh -p
if [ -e {break_file} ]; then
	case $1 in
	dump) set -- "$@" -t 4194303 ;;
	restore) set -- "$@" --root /not/there ;;
	esac
fi
if [ -e {kill_file} ] && [ "$1" = dump ]; then
	set -- "$@" --action-script {kill_script}
fi
exec {criu} "$@"
"""
KILL_CRIU = """#!/bin/sh -p
[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ] || kill -9 $PPID
"""


@pytest.fixture(scope="module")
def failing():
    prefix = f"f{os.getpid() % 100000:05d}"
    root = harness.ROOTS / prefix
    host = crash_host.CrashHost(prefix, harness.subnet(1), f"criu: {root}/criu\n")
    own = "/usr/local/lib/lttle/criu"
    (root / "criu").write_text(CRIU.format(
        break_file=root / "break", kill_file=root / "kill", kill_script=root / "kill_criu",
        criu=own if os.path.exists(own) else shutil.which("criu")))
    (root / "kill_criu").write_text(KILL_CRIU)
    for name in ("criu", "kill_criu"):
        (root / name).chmod(0o755)
    with host:
        yield host


class Server(harness.Database):
    """With numbered rows, of which every one was acknowledged."""

    def __init__(self, host, name):
        super().__init__(host, name)
        self.number = 0
        self.query("CREATE TABLE told (number int PRIMARY KEY)")
        self.write()

    def write(self):
        for _ in range(10):
            self.number += 1
            self.query(f"INSERT INTO told VALUES ({self.number})")

    def check(self):
        assert self.query("SELECT count(*), sum(number) FROM told") == [
            (self.number, self.number * (self.number + 1) // 2)]

    def snapshot(self):
        return self.host.state / f"machines/{self.namespace}/{self.name}/snapshot"

    def started(self):
        return self.query("SELECT pg_postmaster_start_time()")

    def query_when_up(self, sql):
        """Crash recovery refuses clients for a moment, as anywhere."""
        def ask():
            try:
                return self.query(sql)
            except psycopg2.OperationalError:
                return None

        return wait_until(lambda: f"{self.name} to be up: {self.get()}", ask)

    def hibernate(self):
        """The command's end, once the server was idle enough for it to be tried."""
        def ask():
            done = self.host.cli("machine", "hibernate", "--ns", self.namespace, self.name, check=False)
            return done if done.returncode == 0 or self.get()["snapshot-problem"] else None

        return wait_until(lambda: f"{self.name} to be asked: {self.get()}", ask)

    def hibernate_to(self, point):
        """The command, under way, and the process that has stopped at this fault point."""
        commands = []

        def has_stopped():
            # Refused at once while the server is not idle enough.
            if not self.host.hit() and (not commands or commands[-1].poll() is not None):
                commands.append(subprocess.Popen(
                    [harness.LTTLE, "--socket", self.host.socket, "machine", "hibernate", "--ns", self.namespace, self.name],
                    stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            return self.host.hit()

        self.host.arm(f"{point}:stop:1")
        stopped = wait_until(lambda: f"{point} to be reached: {self.get()}", has_stopped)[0][1]
        return commands[-1], stopped

    def go_to_disk(self):
        wait_until(lambda: f"{self.name} to be on disk: {self.get()}", lambda: self.hibernate().returncode == 0)

    def events(self):
        return " | ".join(e["reason"] for e in self.host.events("--ns", self.namespace, "--name", self.name))

    def assert_told(self, event, *words):
        """Both places say it: `machine get` and the event log."""
        problem, events = self.get()["snapshot-problem"], self.events()
        assert event in events
        for word in words:
            assert word in problem and word in events
        listing = self.host.cli("machine", "get", "--ns", self.namespace, self.name).stdout
        assert "snapshot problem: " in listing

    def assert_next_time_works(self):
        started = self.started()
        session = self.connect()
        rows(session, "CREATE TEMP TABLE mine AS SELECT 42 AS n")
        self.go_to_disk()
        assert self.get()["snapshot-problem"] is None
        assert rows(session, "SELECT n FROM mine") == [(42,)]
        session.close()
        assert self.started() == started
        self.write()
        self.check()


@pytest.fixture(scope="module")
def server(failing):
    return Server(failing, "fails")


def assert_runs_on(server, session, pid, done):
    assert done.returncode != 0
    assert server.get()["pid"] == pid
    assert rows(session, "SELECT n FROM kept") == [(7,)]
    session.close()
    server.write()
    server.check()
    assert not (server.snapshot() / "manifest.json").exists()


def kept_session(server):
    session = server.connect()
    rows(session, "CREATE TEMP TABLE kept AS SELECT 7 AS n")
    return session, server.get()["pid"]


def test_the_disk_is_full(server):
    session, pid = kept_session(server)
    free = os.statvfs(server.host.state)
    ballast = server.host.state / "ballast"
    subprocess.run(["fallocate", "-l", str((free.f_bavail * free.f_frsize) - (6 << 20)), ballast], check=True)
    try:
        done = server.hibernate()
        server.assert_told("could not be written; it runs on", "No space left on device")
    finally:
        ballast.unlink()
    assert_runs_on(server, session, pid, done)
    server.assert_next_time_works()


@pytest.mark.parametrize("fault", ["dumping:error:ENOSPC", "images-synced:error:EIO", "volumes-synced:error:EIO",
                                   "file-renamed:error:EIO:2", "frozen:error:ENOMEM", "gate-closed:error:ENOMEM"])
def test_a_step_of_the_dump_fails(server, fault):
    session, pid = kept_session(server)
    server.host.arm(fault)
    done = server.hibernate()
    server.host.disarm()
    server.assert_told("could not be written; it runs on", f"fault point {fault.split(':')[0]}")
    assert_runs_on(server, session, pid, done)
    server.assert_next_time_works()


def test_criu_fails_to_dump(server):
    session, pid = kept_session(server)
    broken = server.host.root / "break"
    broken.touch()
    done = server.hibernate()
    broken.unlink()
    server.assert_told("could not be written; it runs on", "criu dump: exit status 1", "Error (criu/")
    assert_runs_on(server, session, pid, done)
    server.assert_next_time_works()


def test_criu_does_not_end(server):
    """Processes whose CRIU was killed may lie in pieces: they don't run on."""
    session, _ = kept_session(server)
    started = server.started()
    server.host.arm("criu-late:error:ETIME")
    assert server.hibernate().returncode != 0
    server.host.disarm()
    server.assert_told("starting cold", "criu dump: did not end within")
    assert_cold(server, session, started)


@pytest.fixture
def killed_criu(server):
    """Each dump ends with CRIU killed, at a moment at which the sockets' end would be told to nobody."""
    kill = server.host.root / "kill"
    kill.touch()
    yield kill
    kill.unlink(missing_ok=True)


def test_who_only_listens_hears_that_criu_was_killed(server, killed_criu):
    session, _ = kept_session(server)
    rows(session, "LISTEN news")
    started = server.started()
    assert server.hibernate().returncode != 0
    killed_criu.unlink()
    server.assert_told("starting cold", "criu dump: ended by signal 9")
    assert select.select([session], [], [], harness.DEADLINE)[0] == [session], "its session ended without a word"
    assert_cold(server, session, started)


def bytes_acknowledged(session):
    """By the server's kernel; struct tcp_info in linux/tcp.h."""
    with socket.socket(fileno=os.dup(session.fileno())) as client:
        return struct.unpack_from("Q", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128), 120)[0]


def test_a_query_between_the_last_look_and_the_gate(server, killed_criu):
    """
    The kernel has acknowledged it, so the client will not send it again, and nobody has read it: no dump may begin with
    it. One that begins all the same, and takes it along to its end, is what killed_criu is for.
    """
    session, pid = kept_session(server)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(rows(session, "SELECT n FROM kept")), daemon=True)
    command, lttled = server.hibernate_to("frozen")
    try:
        before = bytes_acknowledged(session)
        asking.start()
        wait_until("the query to be in the frozen server's socket", lambda: bytes_acknowledged(session) > before)
    finally:
        server.host.disarm()
        os.kill(lttled, signal.SIGCONT)
    refused = command.communicate(timeout=harness.DEADLINE)[1]
    asking.join(timeout=harness.DEADLINE)
    assert answers == [[(7,)]], f"the client hangs, or was told nonsense: {refused}"
    assert "a client came before the snapshot was begun" in refused
    killed_criu.unlink()
    assert server.get()["pid"] == pid
    session.close()
    server.assert_next_time_works()


def assert_cold(server, session, started):
    """Its sessions are told so, and nothing else is lost."""
    server.query_when_up("SELECT 1")
    with pytest.raises(psycopg2.Error):
        rows(session, "SELECT n FROM kept")
    assert server.started() != started
    server.check()
    server.assert_next_time_works()


def test_criu_fails_to_restore(server):
    session, _ = kept_session(server)
    silent = server.connect()
    rows(silent, "LISTEN news")
    started = server.started()
    server.go_to_disk()
    broken = server.host.root / "break"
    broken.touch()
    server.query_when_up("SELECT 1")
    broken.unlink()
    assert select.select([silent], [], [], harness.DEADLINE)[0] == [silent], "its session ended without a word"
    silent.close()
    server.assert_told("cannot be restored; starting cold", "criu restore: exit status", "Error (criu/")
    assert (server.snapshot().parent / "snapshot.refused/restore.log").exists()
    assert_cold(server, session, started)


def listening_session(server):
    session = server.connect()
    rows(session, "LISTEN news")
    return session, server.started()


def assert_told_by_the_next_lttled(server, session, started):
    server.host.disarm()
    server.host.start()
    assert select.select([session], [], [], harness.DEADLINE)[0] == [session], "its session ended without a word"
    session.close()
    server.query_when_up("SELECT 1")
    assert server.started() != started
    server.check()
    server.assert_next_time_works()


def test_lttled_and_its_restore_are_killed(server):
    session, started = listening_session(server)
    server.go_to_disk()
    server.host.arm("spent:stop:1")
    asking = subprocess.Popen(["psql", "-X", "-c", "SELECT 1", f"host={server.address} user=user password=password dbname=db"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.host.wait_for_hit("spent")
    server.host.kill()
    asking.wait(timeout=harness.DEADLINE)
    assert_told_by_the_next_lttled(server, session, started)


def test_lttled_and_its_dump_are_killed(server, killed_criu):
    """lttled first: it does not come to see that CRIU has died with the machine in its hands."""
    session, started = listening_session(server)
    command, job = server.hibernate_to("dumping")
    server.host.process.send_signal(signal.SIGSTOP)
    os.kill(job, signal.SIGCONT)
    wait_until("the dump to be cut off", lambda: Path(f"/proc/{job}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")
    killed_criu.unlink()
    server.host.kill()
    command.communicate(timeout=harness.DEADLINE)
    assert_told_by_the_next_lttled(server, session, started)


@pytest.mark.parametrize("image", ["pages-1.img", "pstree.img"])
def test_a_shortened_image_is_refused(server, image):
    """CRIU would take a part of the memory for the whole of it."""
    session, _ = kept_session(server)
    started = server.started()
    server.go_to_disk()
    path = server.snapshot() / image
    os.truncate(path, path.stat().st_size // 2)
    server.query_when_up("SELECT 1")
    server.assert_told("cannot be restored; starting cold", "the snapshot is not whole: its images are not as they were written")
    assert_cold(server, session, started)


def kill_machine(server):
    """lttled and the server die; the host lives, and with it what it has in memory of the disk."""
    pid = server.get()["pid"]
    server.host.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until("the machine to be gone", lambda: harness.process_start_time(pid) is None)


@pytest.mark.parametrize("end", [kill_machine, lambda server: server.host.crash()], ids=["killed", "host crashed"])
def test_a_stale_snapshot_is_refused(server, end):
    """
    A copy of a whole snapshot, put back after the machine was restored from it, committed, and came to its end. A crash
    of the host leaves the commits on the disk, and not the times of the files that they are in.
    """
    started = server.started()
    server.go_to_disk()
    copy = server.host.root / "copy"
    shutil.copytree(server.snapshot(), copy)
    server.write()
    assert server.started() == started
    wait_until("the spent one to be removed", lambda: not server.snapshot().exists())
    end(server)
    shutil.copytree(copy, server.snapshot(), dirs_exist_ok=True)
    shutil.rmtree(copy)
    server.host.start()
    assert server.get()["phase"] == "hibernated"
    server.query_when_up("SELECT 1")
    server.assert_told("cannot be restored; starting cold", "the volume has changed since the snapshot was written")
    assert (server.snapshot().parent / "snapshot.refused/manifest.spent.json").exists()
    assert server.started() != started
    server.check()
    server.assert_next_time_works()
