"""What docs/security.md claims: who reaches which socket and file, and what a hostile machine or client can do."""

import errno
import os
import random
import socket
import stat
import struct
import subprocess
import threading
from pathlib import Path

import harness
import pytest
from harness import rows, wait_until

SERVER_UID = 999
NOBODY = 65534
# What lttled may grow by under a machine or client that means it harm.
GROWTH_MAX_KIB = 32 * 1024


def inside(host, database, *command, check=True, input=None):
    how = [] if input is None else ["-i"]
    return host.cli("machine", "exec", "--ns", database.namespace, database.name, *how, *command, check=check, input=input)


def as_user(uid, *command):
    """Runs a program on the host with this uid and nothing else: no group, no capability."""
    return subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", *map(str, command)],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def run_directory(host, database):
    """The machine's run directory on the host: the one whose socket the machine's own is."""
    inode = inside(host, database, "stat", "-c", "%i", "/run/lttle").stdout.strip()
    return next(path for path in (host.run / "m").iterdir() if str(path.stat().st_ino) == inode)


def resident_kib(host):
    status = Path(f"/proc/{host.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
def unmoved(host):
    """The coordinator is the same process afterwards, answers, and has not grown beyond bounds."""
    pid, before = host.process.pid, resident_kib(host)
    yield
    assert host.process.pid == pid and host.answers()
    assert resident_kib(host) - before < GROWTH_MAX_KIB


# ---- the host's users ----


@pytest.mark.parametrize("uid", [NOBODY, SERVER_UID])
def test_the_api_socket_is_for_root_and_its_group(host, uid):
    assert stat.S_IMODE(host.socket.stat().st_mode) == 0o660
    refused = as_user(uid, "curl", "--silent", "--show-error", "--unix-socket", host.socket, "http://lttle/v1/version")
    assert refused.returncode != 0 and refused.stdout == ""
    allowed = subprocess.run(["curl", "--silent", "--unix-socket", host.socket, "http://lttle/v1/version"],
                             capture_output=True, text=True, timeout=60)
    assert '"version"' in allowed.stdout


def test_no_path_leads_a_user_of_the_host_to_what_a_machine_has(host, database):
    """Not even a user with the very uid of the server inside."""
    run = run_directory(host, database)
    paths = [
        host.state / "lttle.db",
        host.state / "volumes" / database.namespace / f"{database.name}-data" / "data" / "PG_VERSION",
        host.state / "volumes" / database.namespace / f"{database.name}-data.ext4",
        host.state / "machines" / database.namespace / database.name / "machine.log",
        next((host.state / "images/roots").iterdir()) / "rootfs",
        run / "activity",
        run / "flash.sock",
    ]
    for path in paths:
        assert path.exists(), path
        for uid in (NOBODY, SERVER_UID):
            refused = as_user(uid, "stat", path)
            assert refused.returncode != 0 and "Permission denied" in refused.stderr, (uid, path)


def test_files_that_hold_secrets_are_for_root_alone(host, database):
    """Passwords of the environment are in the database; the whole memory of a server is in its snapshot."""
    host.cli("machine", "hibernate", "--ns", database.namespace, database.name)
    machine = host.state / "machines" / database.namespace / database.name
    assert (machine / "snapshot/manifest.json").exists()
    for directory in (host.state, machine, machine / "snapshot", host.run / "m"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700 and directory.stat().st_uid == 0, directory
    for file in [*host.state.glob("lttle.db*"), machine / "snapshot/manifest.json"]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.stat().st_uid == 0, file
    assert as_user(SERVER_UID, "stat", next((machine / "snapshot").glob("pages-*.img"))).returncode != 0
    assert database.query("SELECT 1") == [(1,)]


# ---- a hostile machine: what it reaches ----


def test_the_hosts_processes_and_sockets_are_not_there(host, database):
    names = inside(host, database, "sh", "-c", "cat /proc/[0-9]*/comm").stdout.split()
    assert set(names) <= {"postgres", "sh", "cat"}, names
    kinds = {line.split()[2] for line in inside(host, database, "cat", "/proc/mounts").stdout.splitlines()}
    assert kinds <= {"overlay", "ext4", "tmpfs", "proc", "devpts", "btrfs", "xfs"}, kinds
    assert inside(host, database, "ls", "/sys/fs/cgroup", check=False).stdout == ""
    assert inside(host, database, "ls", "/run/lttle").stdout.split() == ["activity", "flash.sock"]
    assert inside(host, database, "test", "-e", str(host.socket), check=False).returncode == 1


# mount, unshare, setns, ptrace, process_vm_readv, bpf, keyctl, io_uring_setup, mknodat
CALL_NUMBERS = {"x86_64": [165, 272, 308, 101, 310, 321, 250, 425, 259], "aarch64": [40, 97, 268, 117, 270, 280, 219, 425, 33]}
CALLS = """
use Socket;
my @n = (%s);
my %%calls = (
    raw => sub { socket(my $s, PF_INET, SOCK_RAW, 1) },
    packet => sub { socket(my $s, 17, SOCK_RAW, 0) },
    vsock => sub { socket(my $s, 40, SOCK_STREAM, 0) },
    mount => sub { syscall($n[0], my $none = "none", my $at = "/tmp", my $type = "tmpfs", 0, 0) == 0 },
    unshare => sub { syscall($n[1], 0x10000000) == 0 },
    setns => sub { open(my $f, "<", "/proc/1/ns/net"); syscall($n[2], fileno($f), 0) == 0 },
    ptrace => sub { syscall($n[3], 16, 1, 0, 0) == 0 },
    read_memory => sub { syscall($n[4], 1, 0, 0, 0, 0, 0) == 0 },
    bpf => sub { syscall($n[5], 0, 0, 0) != -1 },
    keyring => sub { syscall($n[6], 0, -3, 0) != -1 },
    io_uring => sub { syscall($n[7], 1, my $buffer = "\\0" x 120) != -1 },
    mknod => sub { syscall($n[8], -100, my $path = "/tmp/device", 0x6180, 0x700) == 0 },
    chroot => sub { chroot("/tmp") },
    become_root => sub { $> = 0; $> == 0 },
);
for my $name (sort keys %%calls) { print "$name ", ($calls{$name}->() ? "WORKS" : "refused"), "\\n" }
"""


def test_system_calls_that_lead_out_are_refused(host, database):
    script = CALLS % ", ".join(map(str, CALL_NUMBERS[os.uname().machine]))
    answers = dict(line.split() for line in inside(host, database, "perl", "-", input=script).stdout.splitlines())
    assert len(answers) == 14 and set(answers.values()) == {"refused"}, answers


@pytest.mark.parametrize("path", [
    "/etc/passwd", "/usr/bin/x", "/run/lttle/x", "/dev/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
    "/proc/sys/net/ipv4/ip_forward", "/proc/1/oom_score_adj", "/sys/x", "/lttle.sock",
])
def test_it_writes_to_nothing_but_its_own(host, database, path):
    refused = inside(host, database, "sh", "-c", f"echo -1000 > {path}", check=False)
    assert refused.returncode != 0, refused.stdout


def test_it_opens_no_connection_to_the_host_or_to_a_neighbour(host, database):
    """Of another namespace. Whatever the host forwards; tests/unit/root/test_forward.c shows it on a host that does."""
    other = harness.Database(host, "next-door", namespace="elsewhere", wait=False)
    listener = socket.create_server(("0.0.0.0", 0))
    port = listener.getsockname()[1]
    try:
        wait_until("the neighbour to run", lambda: other.phase() in ("ready", "suspended"))
        gateway = inside(host, database, "sh", "-c", "cat /proc/net/route").stdout.split("\t00000000\t")[1][:8]
        gateway = socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
        for address, number in ((gateway, port), (gateway, 22), (other.address, 5432)):
            refused = inside(host, database, "timeout", "10", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{number}", check=False)
            assert refused.returncode != 0, (address, number)
        assert socket.create_connection((gateway, port), timeout=10)
        assert database.query("SELECT 1") == other.query("SELECT 1") == [(1,)]
    finally:
        listener.close()
        other.delete()


FORGE = """
use Socket;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die $!;
setsockopt($s, 0, 15, 1) or die $!;  # IP_FREEBIND
bind($s, sockaddr_in(0, inet_aton("%s"))) or die $!;
print connect($s, sockaddr_in(9, inet_aton("%s"))) ? "sends" : "refused";
"""


def test_it_cannot_send_from_an_address_that_is_not_its_own(host, database):
    own = database.address
    gateway = own.rsplit(".", 1)[0] + ".1"
    for source, expected in ((own, "sends"), ("192.0.2.1", "refused"), (gateway, "refused")):
        assert inside(host, database, "perl", "-", input=FORGE % (source, gateway)).stdout == expected, source


def test_an_address_without_a_machine_is_refused_at_once(host, database):
    """Rather than sent by the default route, to somebody who could answer in a deleted machine's name."""
    unused = database.address.rsplit(".", 2)[0] + ".200.200"
    with pytest.raises(OSError) as refused:
        socket.create_connection((unused, 5432), timeout=60)
    assert refused.value.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH), refused.value


def test_links_cannot_be_planted_for_the_coordinator(host, database):
    for command in ("ln -sf /etc/shadow /run/lttle/activity", "rm -f /run/lttle/activity", "mv /run/lttle/flash.sock /tmp",
                    "mkfifo /run/lttle/pipe"):
        assert inside(host, database, "sh", "-c", command, check=False).returncode != 0, command
    assert {path.name for path in run_directory(host, database).iterdir()} == {"activity", "flash.sock"}


# ---- a hostile machine: what it says ----


def overwrite_page(host, database, size):
    """The page, garbled in place from inside, as any process of the server can."""
    inside(host, database, "sh", "-c", f"head -c {size} /dev/urandom | dd of=/run/lttle/activity conv=notrunc status=none")


def test_a_forged_activity_page_is_reported_and_keeps_only_itself_awake(host, database, unmoved):
    other = harness.Database(host, "neighbour")
    try:
        database.query("SELECT 1")
        overwrite_page(host, database, 4096)
        state = wait_until("the report", lambda: (database.get().get("awake-because") or "").find("activity") >= 0
                           and database.get())
        assert "is no activity page" in state["awake-because"], state
        session = other.connect()
        other.wait("suspended")
        assert rows(session, "SELECT 1") == [(1,)]
        session.close()
        # A server that starts anew makes its page anew.
        host.cli("machine", "restart", "--ns", database.namespace, database.name)
        database.wait("suspended")
    finally:
        other.delete()


@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_truncated_activity_page_is_reported(host, database, unmoved, size):
    """Its own backends die of it (they map it); the coordinator, which reads, does not."""
    database.query("SELECT 1")
    inside(host, database, "truncate", "--size", size, "/run/lttle/activity")
    wait_until("the report", lambda: "shorter than it says" in (database.get()["awake-because"] or "")
               or database.get()["restarts"] > 0 or database.phase() == "suspended")
    assert host.answers()
    host.cli("machine", "restart", "--ns", database.namespace, database.name)
    database.wait("suspended")
    assert database.query("SELECT 1") == [(1,)]


FLOOD = """
use Socket; use Time::HiRes qw(time);
my $end = time + %d;
my @say = (
    "HELLO=1\\nVERSION=\\e[2J\\nPID=1\\n", "READY=1\\n", "SNAPSHOT=1\\nTIMEOUT_MS=1\\n", "AGREE=1\\n",
    "DECLINE=\\e]0;owned\\a\\xff\\nRETRY_MS=3600000\\n", "WAKE_AT=99999999999999999999\\n", "STOPPING=1\\n", "X" x 4096, "=\\n", "\\0",
    join("", map { "K$_=$_\\n" } 0 .. 40), "HELLO=1\\n" x 2, "RESUMED=1\\nFROM=hibernated\\n",
);
srand(%d);
my ($connections, $messages) = (0, 0);
while (time < $end) {
    socket(my $s, AF_UNIX, 5, 0) or die $!;
    connect($s, pack_sockaddr_un("/run/lttle/flash.sock")) or next;
    $connections++;
    send($s, $say[0], 0) if rand() < 0.9;
    for (1 .. 1 + rand 200) { defined send($s, $say[rand @say], 0x4000) or last; $messages++ }
}
print "$connections $messages\\n";
"""


def test_a_flooded_flash_channel_harms_nobody_else(host, database, unmoved):
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    other = harness.Database(host, "beside")
    try:
        events = len(host.json("events", "--ns", database.namespace))
        sent = []
        flood = threading.Thread(target=lambda: sent.append(inside(host, database, "perl", "-", input=FLOOD % (4, seed))))
        flood.start()
        session = other.connect()
        while flood.is_alive():
            assert host.answers()
            assert rows(session, "SELECT 1") == [(1,)]
            wait_until("the neighbour to sleep", lambda: other.phase() == "suspended" or not flood.is_alive())
        flood.join()
        session.close()
        connections, messages = map(int, sent[0].stdout.split())
        assert connections > 50 and messages > 500, sent[0]
        assert len(host.json("events", "--ns", database.namespace)) - events < 1000
        assert "\x1b" not in host.log()
        # The true worker comes back by itself, and the machine sleeps again.
        database.wait("suspended")
        assert database.query("SELECT 1") == [(1,)]
    finally:
        other.delete()


# ---- a hostile client ----


def send_syns(address, count):
    """SYNs from addresses that nobody has and that never go on: half-open connections."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    target = socket.inet_aton(address)
    for number in range(count):
        source = struct.pack("!I", 0xC6120000 + number)  # 198.18.0.0/15
        tcp = struct.pack("!HHIIBBHHH", 1024 + number % 60000, 5432, number, 0, 5 << 4, 2, 65535, 0, 0)
        words = sum(struct.unpack("!16H", source + target + struct.pack("!HH", 6, len(tcp)) + tcp))
        words = (words >> 16) + (words & 0xFFFF)
        checksum = ~(words + (words >> 16)) & 0xFFFF
        tcp = tcp[:16] + struct.pack("!H", checksum) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source, target)
        raw.sendto(ip + tcp, (address, 0))
    raw.close()


def test_a_syn_flood_wakes_nobody_and_shuts_nobody_out(host, database, unmoved):
    wakes = database.wait("suspended")["wakes"]
    send_syns(database.address, 5000)
    state = database.get()
    assert state["phase"] == "suspended" and state["wakes"] == wakes
    assert database.query("SELECT 1") == [(1,)]


def test_many_silent_connections_wake_nobody_and_shut_nobody_out(host, database, unmoved):
    """As many as leave half of the listener's queue free; more of them wake it, so that it can let them go."""
    wakes = database.wait("suspended")["wakes"]
    address = database.address
    silent = [harness.tcp_connect(address) for _ in range(80)]
    try:
        state = database.get()
        assert state["wakes"] == wakes, state
        assert database.query("SELECT 1") == [(1,)]
        silent += [harness.tcp_connect(address) for _ in range(300)]
        assert host.answers()
    finally:
        for connection in silent:
            connection.close()
    wait_until("the server to have places again", lambda: answers(database))
    database.wait("suspended")


def answers(database):
    try:
        return database.query("SELECT 1") == [(1,)]
    except harness.psycopg2.Error:
        return False


def test_garbage_instead_of_a_login_is_the_servers_affair(host, database, unmoved):
    database.wait("suspended")
    for garbage in (b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, struct.pack("!II", 8, 80877103)[:5]):
        connection = harness.tcp_connect(database.address)
        connection.sendall(garbage)
        connection.settimeout(10)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(4096):
                pass
        except ConnectionError:
            pass
        connection.close()
    assert database.query("SELECT 1") == [(1,)]
    database.wait("suspended")
