"""
Faults from outside, one after the other, on a real host: what is promised after each stands in docs/reliability.md. Every
test ends with the truth still being there, and the machine asleep or awake as it should be.
"""

import collections
import json
import os
import random
import re
import resource
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time
from pathlib import Path

import harness
import pytest
from harness import rows, wait_until

FLOOD_CLIENTS = int(os.environ.get("LTTLE_FLOOD_CLIENTS", "1000"))
TRUTH = "SELECT count(*), sum(n) FROM truth"


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "faults")
    server.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
    yield server
    server.delete()


def holds(server):
    """The truth is there, if need be after PostgreSQL's own recovery, and the machine goes back to sleep."""
    wait_until(lambda: f"the server to answer: {server.get()}", lambda: answers(server))
    assert server.query(TRUTH) == [(1000, 500500)]
    server.wait("suspended")


def answers(server):
    try:
        return server.query("SELECT 1") == [(1,)]
    except harness.psycopg2.OperationalError:
        return False


# ---- processes that are killed ----


def host_pids(server):
    """The machine's processes as the host sees them, by their number inside."""
    found = {}
    for base in harness.cgroup_roots():
        for group in (base / server.host.prefix).glob(f"{server.namespace}.{server.name}/cgroup.procs"):
            for pid in group.read_text().split():
                status = Path(f"/proc/{pid}/status").read_text()
                inside = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
                found[int(inside)] = int(pid)
    return found


def test_a_backend_is_killed(server):
    """PostgreSQL ends all other sessions and recovers by itself; the machine sleeps again afterwards."""
    victim, other = server.connect(), server.connect()
    restarts = server.get()["restarts"]
    pid = host_pids(server)[rows(victim, "SELECT pg_backend_pid()")[0][0]]
    rows(other, "INSERT INTO truth VALUES (0)")
    rows(other, "DELETE FROM truth WHERE n = 0")
    os.kill(pid, signal.SIGKILL)
    for session in (victim, other):
        with pytest.raises(harness.psycopg2.Error):
            wait_until("the session to end", lambda s=session: not rows(s, "SELECT 1"))
    holds(server)
    assert server.get()["restarts"] == restarts, "the postmaster lives on, so this is no restart of the machine"


def test_a_backend_is_killed_in_its_sleep(server):
    victim = server.connect()
    pid = host_pids(server)[rows(victim, "SELECT pg_backend_pid()")[0][0]]
    server.wait("suspended")
    os.kill(pid, signal.SIGKILL)
    holds(server)


def test_the_postmaster_is_killed_in_its_sleep(server):
    session = server.connect()
    before = server.get()
    server.wait("suspended")
    os.kill(before["pid"], signal.SIGKILL)
    wait_until("the restart", lambda: server.get()["restarts"] == before["restarts"] + 1)
    with pytest.raises(harness.psycopg2.Error):
        rows(session, "SELECT 1")
    wait_until("the server to be there", lambda: server.phase() in ("ready", "suspended"))
    holds(server)


# ---- no space ----


@pytest.fixture
def small_place(own_host):
    """A server whose own directory (log, writable layer, snapshots) is on a file system of its own, which can be filled."""
    directory = own_host.state / "machines/samples/small"
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96M,mode=0700", "small", directory], check=True)
    filler = directory / "filler"

    def fill():
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 65536):
                    pass
            except OSError as error:
                assert error.errno == 28, error

    try:
        small = harness.Database(own_host, "small")
        small.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
        small.wait("suspended")
        small.fill, small.empty = fill, filler.unlink
        yield small
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        small.delete()


def test_no_space_for_the_log_and_for_a_snapshot(small_place):
    server = small_place
    server.fill()
    session = server.connect()
    # Each of these is a line in the log, which there is no room for: the server does not care.
    for _ in range(200):
        with pytest.raises(harness.psycopg2.Error):
            rows(session, "SELECT 1 / 0")
    rows(session, "INSERT INTO truth VALUES (1001)")
    server.wait("suspended")
    refused = server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False)
    assert refused.returncode != 0 and "No space left on device" in refused.stderr, refused
    assert rows(session, "SELECT count(*) FROM truth") == [(1001,)]
    server.wait("suspended")
    server.empty()
    server.hibernate()
    assert rows(session, "SELECT count(*) FROM truth") == [(1001,)]
    session.close()


def test_swap_is_full(own_host):
    """A device that holds next to nothing: memory stays where it is, and nobody else notices."""
    own_host.stop()
    text = own_host.settings_file.read_text()
    own_host.settings_file.write_text(text + "zram:\n  mode: on\n  size: 1Mi\n")
    try:
        own_host.start()
        server = harness.Database(own_host, "swap")
        try:
            session = server.connect()
            rows(session, "CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
            rows(session, "CREATE TABLE big AS SELECT n, md5(n::text) FROM generate_series(1, 200000) AS n")
            number = harness.zram_device(own_host.root)
            for _ in range(3):
                server.wait("suspended")
                wait_until("the device to be full", lambda: zram_free_kib(number) < 256)
                assert rows(session, TRUTH) == [(1000, 500500)]
            server.hibernate()
            assert rows(session, "SELECT count(DISTINCT md5) FROM big") == [(200000,)]
            session.close()
        finally:
            server.delete()
    finally:
        own_host.stop()
        own_host.settings_file.write_text(text)
        harness.remove_zram(own_host.root)
        own_host.start()


def zram_free_kib(number):
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        name, _, size, used, _ = line.split()
        if name == f"/dev/zram{number}":
            return int(size) - int(used)
    raise AssertionError(f"/dev/zram{number} is no swap")


def test_a_machine_at_its_memory_limit_sleeps_and_comes_back(own_host):
    """CRIU restores within the machine's own limit, which then holds its pages, those of the snapshot and CRIU itself."""
    server = harness.Database(own_host, "tight", memory=256, size="600Mi")
    try:
        session = server.connect()
        rows(session, "CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
        rows(session, "SET temp_buffers = '110MB'")
        rows(session, "CREATE TEMP TABLE mine AS SELECT n, repeat('x', 500) AS filler FROM generate_series(1, 180000) AS n")
        rows(session, "CREATE TABLE theirs AS SELECT n, repeat('x', 500) AS filler FROM generate_series(1, 180000) AS n")
        for _ in range(2):
            assert rows(session, "SELECT count(*), sum(n) FROM mine") == [(180000, 16200090000)]
            # The rest is the kernel's to choose: at the limit it drops cached pages of files, more or fewer of them.
            wait_until("its memory to be full", lambda: rows(session, "SELECT count(*), sum(n) FROM theirs") == [(
                180000, 16200090000)] and server.get()["memory"]["resident-bytes"] > 0.75 * (256 << 20))
            server.wait("suspended")
            assert rows(session, "SELECT count(*) FROM mine") == [(180000,)]
            server.hibernate()
        assert rows(session, "SELECT count(*), sum(n) FROM mine") == [(180000, 16200090000)]
        assert server.get()["restarts"] == 0
        session.close()
        holds(server)
    finally:
        server.delete()


# ---- a clock that jumps ----


@pytest.fixture(scope="module")
def shifted(own_host):
    """lttled and a server of it with a wall clock that can jump; the host's own is not touched."""
    library, place = own_host.root / "clock_shift.so", own_host.root / "shift"
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", library,
                    Path(__file__).parent / "clock_shift.c"], check=True)

    def jump(path, seconds):
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))

    jump(place, 0)
    own_host.stop()
    # A build with AddressSanitizer wants to be the first of all libraries, and does as well without.
    own_host.start(LD_PRELOAD=str(library), CLOCK_SHIFT_FILE=str(place),
                   ASAN_OPTIONS=f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0")
    try:
        inner = own_host.state / "volumes/samples/clock-data/data"
        server = harness.Database(own_host, "clock")
        for name, content in (("shift", struct.pack("=q", 0)), ("clock_shift.so", library.read_bytes())):
            (inner / name).write_bytes(content)
            (inner / name).chmod(0o755)
        environment = "    LD_PRELOAD: /var/lib/postgresql/data/clock_shift.so\n" \
                      "    CLOCK_SHIFT_FILE: /var/lib/postgresql/data/shift\n"
        own_host.deploy(server.text.replace("  environment:\n", "  environment:\n" + environment))
        server.wait("suspended")
        server.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")

        def jump_all(seconds):
            jump(place, seconds)
            jump(inner / "shift", seconds)

        server.jump = jump_all
        yield server
    finally:
        server.delete()
        own_host.stop()
        own_host.start()


def far_from_now(server):
    """How many seconds the server's wall clock is ahead of the host's."""
    return round(float(server.query("SELECT extract(epoch FROM clock_timestamp())")[0][0]) - time.time())


@pytest.mark.parametrize("seconds", [100000, -100000])
@pytest.mark.parametrize("asleep", ["suspended", "hibernated", "awake"])
def test_the_clock_jumps(shifted, asleep, seconds):
    server = shifted
    server.jump(0)
    session = server.connect()
    rows(session, "CREATE TEMP TABLE mine AS SELECT 7 AS n")
    if asleep == "hibernated":
        server.hibernate()
    elif asleep == "suspended":
        server.wait("suspended")
    server.jump(seconds)
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    assert abs(far_from_now(server) - seconds) < 100, "the clock has not jumped at all"
    # It sleeps after its usual time, in both ways, and wakes again; jumping back to the truth is a jump, too.
    server.wait("suspended", "60s")
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    server.hibernate()
    server.jump(0)
    assert rows(session, "SELECT n FROM mine") == [(7,)]
    holds(server)
    session.close()


# ---- files that are not what they were ----


def damage_truncate(text):
    return text[: len(text) // 2]


def damage_garbage(text):
    return "\0" * len(text)


def damage_types(text):
    return json.dumps({key: [value] for key, value in json.loads(text).items()})


def damage_listing(text):
    return re.sub(r'("images": "sha256:)[0-9a-f]{8}', r"\g<1>00000000", text)


def damage_empty(_):
    return ""


@pytest.mark.parametrize("damage", [damage_truncate, damage_garbage, damage_types, damage_listing, damage_empty])
def test_a_damaged_manifest(server, damage):
    """The snapshot is not used; PostgreSQL recovers as after a crash, and all that was committed is there."""
    server.query("INSERT INTO truth VALUES (5)")
    server.query("DELETE FROM truth WHERE ctid = (SELECT max(ctid) FROM truth WHERE n = 5)")
    server.hibernate()
    path = server.host.state / "machines/samples/faults/snapshot/manifest.json"
    path.write_text(damage(path.read_text()))
    begin = len(server.host.log())
    assert server.query(TRUTH) == [(1000, 500500)]
    assert "cold" in server.host.log()[begin:]
    server.wait("suspended")


@pytest.mark.parametrize("pattern", ["pages-1.img", "core-1.img", "pstree.img", "mm-1.img"])
def test_a_truncated_snapshot(server, pattern):
    server.hibernate()
    directory = server.host.state / "machines/samples/faults/snapshot"
    files = list(directory.rglob(pattern))
    assert files, sorted(p.name for p in directory.rglob("*"))
    os.truncate(files[0], files[0].stat().st_size // 2)
    begin = len(server.host.log())
    assert server.query(TRUTH) == [(1000, 500500)]
    assert "the snapshot is not whole" in server.host.log()[begin:]
    server.wait("suspended")


@pytest.mark.parametrize("part", [0.1, 0.9])
def test_a_truncated_image_archive(own_host, server, part):
    """Refused with a reason; what was there before is untouched."""
    before = own_host.json("image", "list")
    archive = own_host.root / "half.oci.tar"
    data = harness.IMAGE_FILE.read_bytes()
    archive.write_bytes(data[: int(len(data) * part)])
    done = own_host.cli("image", "import", "example.org/half:1", f"oci-archive:{archive}", check=False)
    archive.unlink()
    assert done.returncode == 1 and "half.oci.tar" in done.stderr and "unexpected EOF" in done.stderr, done
    assert own_host.json("image", "list") == before
    holds(server)


def test_a_forged_image_archive(own_host, server):
    """One bit of a layer is another one: its digest says so. To a coordinator that does not have this image yet."""
    own_host.stop()
    empty = harness.Coordinator(f"f{os.getpid() % 100000:05d}", harness.subnet(1))
    try:
        empty.start()
        archive = empty.root / "forged.oci.tar"
        data = bytearray(harness.IMAGE_FILE.read_bytes())
        data[len(data) // 2] ^= 1
        archive.write_bytes(data)
        done = empty.cli("image", "import", "example.org/forged:1", f"oci-archive:{archive}", check=False)
        archive.unlink()
        assert done.returncode == 1 and "forged.oci.tar" in done.stderr, done
        assert empty.json("image", "list") == []
        assert not list((empty.state / "images/roots").glob("*"))
    finally:
        assert empty.close() == []
        own_host.start()
    holds(server)


# ---- the coordinator's database ----


def with_database(host, change):
    """Changes lttle.db while no lttled runs."""
    host.stop()
    database = sqlite3.connect(host.state / "lttle.db")
    change(database)
    database.commit()
    database.close()


@pytest.mark.parametrize("column, value, left_out", [
    ("phase", "dancing", False), ("pid", 1, False), ("start_time", 1, False), ("image_id", "sha256:none", False),
    ("pid", -7, True), ("address_index", 4000000000, True),
    pytest.param("woken_by", "x" * 100000, True, id="woken_by-long-True")])
def test_a_forged_row_of_a_machine(own_host, server, column, value, left_out):
    """What can be found out anew is mended. A row that cannot be read leaves its machine out, and nobody else; with the true
    row it is there again."""
    neighbour = harness.Database(own_host, "neighbour")
    neighbour.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
    neighbour.wait("suspended")
    init = harness.process_start_time(1)
    kept = []

    def forge(database):
        kept.extend(database.execute(f"SELECT {column} FROM machines WHERE name = 'faults'").fetchone())
        database.execute(f"UPDATE machines SET {column} = ? WHERE name = 'faults'", (value,))

    def mend(database):
        database.execute(f"UPDATE machines SET {column} = ? WHERE name = 'faults' AND {column} = ?", (kept[0], value))

    begin = len(own_host.log())
    with_database(own_host, forge)
    try:
        own_host.start()
        assert neighbour.query(TRUTH) == [(1000, 500500)]
        assert ("machine left out" in own_host.log()[begin:]) == left_out
        if not left_out:
            holds(server)
        assert harness.process_start_time(1) == init
    finally:
        with_database(own_host, mend)
        own_host.start()
        neighbour.delete()
    holds(server)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "newer"])
def test_a_damaged_database(own_host, server, damage):
    """lttled does not start, says why, and touches nothing; with the true file all is as it was."""
    session = server.connect()
    rows(session, "SELECT 1")
    own_host.stop()
    path = own_host.state / "lttle.db"
    truth = path.read_bytes()
    if damage == "truncated":
        os.truncate(path, len(truth) // 2)
    elif damage == "garbage":
        path.write_bytes(b"\0" * 100 + truth[100:])
    else:
        path.write_bytes(truth[:60] + struct.pack(">I", 9999) + truth[64:])
    damaged = path.read_bytes()
    done = subprocess.run([harness.LTTLED, "--config", own_host.settings_file, "--foreground"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and "lttle.db" in done.stderr, done
    assert path.read_bytes() == damaged
    assert rows(session, "SELECT 1") == [(1,)], "the machine goes on without a coordinator"
    session.close()
    path.write_bytes(truth)
    own_host.start()
    holds(server)


# ---- floods ----


def startup_packet():
    body = struct.pack("!I", 196608) + b"user\0user\0database\0db\0\0"
    return struct.pack("!I", len(body) + 4) + body


def answer_kind(client):
    """What a client is told in the end. Reset: the kernel gives up whom the server's listen queue has had no room for."""
    try:
        answer = client.recv(4096)
    except ConnectionResetError:
        return "reset"
    if answer[:1] == b"R":
        return "asked for a password"
    return "too many clients" if answer[:1] == b"E" and b"C53300" in answer else repr(answer[:60])


def flood(address, count):
    """So many clients at the same moment; how many were told what. Whoever is told nothing is an error."""
    waiting, answered, loop = {}, collections.Counter(), select.epoll()
    end = time.monotonic() + 60 + count / 20
    try:
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((address, 5432))
            waiting[client.fileno()] = client
            loop.register(client.fileno(), select.EPOLLOUT)
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} of {count} clients have no answer: {answered}"
            for fd, what in loop.poll(1):
                client = waiting[fd]
                if what & select.EPOLLOUT and not what & select.EPOLLERR:
                    client.send(startup_packet())
                    loop.modify(fd, select.EPOLLIN)
                    continue
                answered[answer_kind(client)] += 1
                loop.unregister(fd)
                waiting.pop(fd).close()
    finally:
        for client in waiting.values():
            client.close()
        loop.close()
    return answered


def test_many_clients_at_once_at_a_sleeping_server(own_host):
    """Each is told what it would have been told by the running server, which is flooded first, be it that there are too many
    clients; afterwards it serves and sleeps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FLOOD_CLIENTS + 1000), hard))
    server = harness.Database(own_host, "flood")
    try:
        server.query("CREATE TABLE truth AS SELECT generate_series(1, 1000) AS n")
        awake = flood(server.address, FLOOD_CLIENTS)
        wait_until("a place for a client", lambda: answers(server))
        server.wait("suspended")
        asleep = flood(server.address, FLOOD_CLIENTS)
        print(f"{FLOOD_CLIENTS} clients: awake {dict(awake)}, asleep {dict(asleep)}")
        assert set(asleep) <= {"asked for a password", "too many clients", "reset"}, asleep
        assert asleep["asked for a password"] > 0
        assert asleep["reset"] <= awake["reset"] + FLOOD_CLIENTS / 5
        wait_until("a place for a client", lambda: answers(server))
        holds(server)
        assert server.get()["restarts"] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        server.delete()


def test_many_clients_at_the_api(own_host, server):
    """Silent ones, half requests, garbage and honest questions, many at a time: machines do not notice, and who asks
    afterwards is answered."""
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    chance = random.Random(seed)
    say = [b"", b"GET /v1/ver", b"\0\xff" * 500, b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
           b"POST /v1/deploy HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000]
    clients = []
    session = server.connect()
    memory = daemon_kib(own_host)
    try:
        for number in range(2000):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(5)
            clients.append(client)
            try:
                client.connect(str(own_host.socket))
                client.send(chance.choice(say), socket.MSG_DONTWAIT)
            except OSError:
                pass  # turned away: that is the limit at work
            if number % 100 == 0:
                assert rows(session, "SELECT 1") == [(1,)]
            if len(clients) > 400:
                clients.pop(chance.randrange(len(clients))).close()
        assert own_host.process.poll() is None
        assert daemon_kib(own_host) < memory + 100 * 1024, "lttled keeps what strangers send"
        assert rows(session, TRUTH) == [(1000, 500500)]
    finally:
        for client in clients:
            client.close()
    wait_until("the API to answer", own_host.answers)
    session.close()
    holds(server)


def daemon_kib(host):
    status = Path(f"/proc/{host.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
