"""What a machine is: its own sandbox, limits that hold, a volume that can be full, and the guide's exec."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import harness
from harness import wait_until


def inside(host, database, *command, check=True):
    return host.cli("machine", "exec", "--ns", database.namespace, database.name, *command, check=check)


def test_the_server_runs_without_any_privilege(host, database):
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{database.get()['pid']}/status").read_text().splitlines()
        if ":\t" in line
    )
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[field], 16) == 0, field
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Uid"].split()) == {"999"} and set(status["Gid"].split()) == {"999"}
    assert status["NSpid"].split()[-1] == "1"


def test_exec_is_under_the_same_restrictions(host, database):
    status = inside(host, database, "cat", "/proc/self/status").stdout
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert re.search(r"^Seccomp:\t2$", status, re.M)
    assert inside(host, database, "id", "-u").stdout == "999\n"
    assert inside(host, database, "hostname").stdout == f"{database.name}\n"


def test_exec_has_the_apps_environment(host, database):
    lines = inside(host, database, "env").stdout.splitlines()
    assert "POSTGRES_USER=user" in lines and any(line.startswith("PGDATA=") for line in lines)


def test_it_has_namespaces_of_its_own(host, database):
    pid = database.get()["pid"]
    for kind in ("mnt", "pid", "ipc", "uts", "net"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind


def test_forbidden_things_fail_inside(host, database):
    for command in (
        ["sh", "-c", "echo 1 > /proc/sys/kernel/hostname"],
        ["unshare", "--user", "true"],
        ["mount", "-t", "tmpfs", "none", "/tmp"],
        ["sh", "-c", "echo b > /proc/sysrq-trigger"],
    ):
        assert inside(host, database, *command, check=False).returncode != 0, command


def test_the_memory_limit_holds(host, database):
    hog = inside(host, database, "sh", "-c", "head -c 600000000 /dev/zero | tail -c 500000000 | wc -c", check=False)
    # tail keeps what it may have to print; over 256 MiB the kernel ends it, and the server lives on or comes back.
    assert hog.stdout.strip() != "500000000" or hog.returncode != 0
    wait_until("the server to answer", lambda: answers(database))


def test_what_lies_in_dev_shm_counts(host, database):
    """It has no limit of its own, so that no server meets its end there; the machine's limit ends who goes beyond it."""
    limit = int(inside(host, database, "sh", "-c", "df --output=size -B1M /dev/shm | tail -n 1").stdout)
    assert limit > 256
    hog = inside(host, database, "sh", "-c", "dd if=/dev/zero of=/dev/shm/hog bs=1M count=600", check=False)
    used = database.get()["memory"]
    assert hog.returncode != 0 and used["resident-bytes"] + used["swapped-bytes"] <= 256 << 20, (hog, used)
    inside(host, database, "rm", "-f", "/dev/shm/hog", check=False)
    wait_until("the server to answer", lambda: answers(database))


def answers(database):
    try:
        return database.query("SELECT 1") == [(1,)]
    except harness.psycopg2.Error:
        return False


def test_the_cpu_limit_holds(host, database):
    """Two busy loops on a limit of one CPU get at most about one CPU's time between them."""
    group = f"{host.prefix}/{database.namespace}.{database.name}"
    quota = Path("/sys/fs/cgroup/cpu") / group / "cpu.cfs_quota_us"
    if quota.exists():
        period = int((quota.parent / "cpu.cfs_period_us").read_text())
        assert int(quota.read_text()) == period
    else:
        limit, period = (Path("/sys/fs/cgroup") / group / "cpu.max").read_text().split()
        assert limit == period


def cpu_weight(group):
    """On the scale of v2, whichever there is."""
    shares = Path("/sys/fs/cgroup/cpu") / group / "cpu.shares"
    if shares.exists():
        return round(int(shares.read_text()) * 100 / 1024)
    return int((Path("/sys/fs/cgroup") / group / "cpu.weight").read_text())


def test_cpu_weights(host, database, own_host):
    """A machine weighs what it may use, and all of them what the setting says, or as much as the host has processors."""
    assert cpu_weight(f"{host.prefix}/{database.namespace}.{database.name}") == 100  # its limit is one CPU
    assert cpu_weight(host.prefix) == 100 * os.cpu_count()
    text = own_host.settings_file.read_text()
    for setting, weight in (("cpu-weight: 750\n", 750), ("", 100 * os.cpu_count())):
        own_host.stop()
        own_host.settings_file.write_text(text + setting)
        own_host.start()
        assert cpu_weight(own_host.prefix) == weight


def test_a_full_volume_is_an_error_and_not_the_end(host):
    server = harness.Database(host, "full", size="100Mi")
    try:
        session = server.connect()
        harness.rows(session, "CREATE TABLE kept AS SELECT 1 AS n")
        # Unlogged, so that it is the table for which there is no room, and not the log, after which PostgreSQL restarts.
        harness.rows(session, "CREATE UNLOGGED TABLE filler (t text)")
        harness.rows(session, "ALTER TABLE filler ALTER t SET STORAGE EXTERNAL")
        full = None
        for _ in range(400):
            try:
                harness.rows(session, "INSERT INTO filler SELECT string_agg(md5(random()::text), '') "
                                      "FROM generate_series(1, 30000)")
            except harness.psycopg2.Error as error:
                full = error
                break
        assert full is not None and "No space left on device" in str(full), full
        session.close()
        wait_until("the server to answer", lambda: answers(server))
        assert server.query("SELECT n FROM kept") == [(1,)]
        server.query("DROP TABLE filler")
        server.query("INSERT INTO kept VALUES (2)")
        assert server.query("SELECT count(*) FROM kept") == [(2,)]
        server.wait("suspended")
        assert not inside_has(host, server, "lost+found")
    finally:
        server.delete()


def inside_has(host, server, name):
    return name in inside(host, server, "ls", "-a", "/var/lib/postgresql/data").stdout.split()


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, *command):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def expect(self, text, seconds=harness.DEADLINE):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        assert text in self.seen, self.seen
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, text):
        os.write(self.master, text.encode())

    def close(self):
        os.close(self.master)
        return self.process.wait(timeout=harness.DEADLINE)


def test_the_guides_exec_of_psql_works_as_printed(host, database):
    database.wait("suspended")
    terminal = Terminal(
        str(harness.LTTLE), "--socket", str(host.socket), "machine", "exec", "--ns", database.namespace, database.name,
        "-i", "-t", "psql", "-d", "db", "-U", "user", "-W",
    )
    terminal.expect("Password:")
    terminal.type("password\r")
    terminal.expect("psql (17")
    terminal.expect('Type "help" for help.')
    terminal.expect("db=# ")
    terminal.type("select CURRENT_TIME;\r")
    terminal.expect("current_time")
    terminal.expect("(1 row)")
    terminal.expect("db=# ")
    terminal.type("\\q\r")
    assert terminal.process.wait(timeout=harness.DEADLINE) == 0
    terminal.close()
    database.wait("suspended")


def test_exec_gives_the_programs_own_exit_status(host, database):
    assert inside(host, database, "sh", "-c", "exit 3", check=False).returncode == 3
    assert inside(host, database, "/no/such/program", check=False).returncode == 127
    assert inside(host, database, "/etc/passwd", check=False).returncode == 126
    assert inside(host, database, "sh", "-c", "kill -9 $$", check=False).returncode == 137


def test_restart_keeps_the_data(host, database):
    database.query("CREATE TABLE IF NOT EXISTS durable AS SELECT 5 AS n")
    before = database.get()["pid"]
    host.cli("machine", "restart", "--ns", database.namespace, database.name)
    assert database.get()["pid"] != before
    assert database.query("SELECT n FROM durable") == [(5,)]


def test_suspend_and_wake_by_command(host, database):
    wakes = database.wait("suspended")["wakes"]
    host.cli("machine", "wake", "--ns", database.namespace, database.name)
    state = database.get()
    assert state["wakes"] == wakes + 1 and state["woken-by"] == "API"
    database.suspend()
    assert database.phase() == "suspended"


def test_doctor_names_what_is_there_and_what_follows(host):
    done = host.cli("doctor", check=False)
    for word in ("cgroup", "swap", "CRIU", "apabilit"):
        assert word in done.stdout, done.stdout
    checks = host.json("doctor")["checks"]
    assert all(check["status"] in ("ok", "warning", "missing") for check in checks)
    assert all(check["finding"] for check in checks)


def test_a_bad_file_changes_nothing(host):
    bad = harness.YAML.format(
        name="never", namespace="samples", image=harness.IMAGE, timeout="1s", memory=256, size="200Mi", tracking=""
    ).replace("    memory: 256", "    memroy: 256")
    path = host.root / "bad.yaml"
    path.write_text(bad)
    refused = host.cli("deploy", path, check=False)
    assert refused.returncode == 1
    line = 1 + bad.splitlines().index("    memroy: 256")
    assert f"{path}:{line}:5: app.resources" in refused.stderr and "memroy" in refused.stderr
    assert all(v["name"] != "never-data" for v in host.json("volume", "list", "--all-namespaces"))
