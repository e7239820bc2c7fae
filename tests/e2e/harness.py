"""
Drives a real lttled with its own root: state and run directory, name prefix, subnet and socket are the test's. Nothing
of an installed coordinator is touched, and whatever an earlier run that was killed left behind is swept first.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg2

TOP = Path(__file__).resolve().parents[2]
# LTTLE_BUILD: where lttled and lttle are, for builds with sanitizers; LTTLED_WRAPPER: a program to start lttled with.
BUILD = Path(os.environ.get("LTTLE_BUILD", TOP / "build/coordinator"))
LTTLED = BUILD / "lttled"
LTTLE = BUILD / "lttle"
IMAGE_FILE = TOP / "build/image/postgres-17-flash.oci.tar"
IMAGE = "ghcr.io/lttle-cloud/postgres:17-flash"
GRACE_PERIODS = Path("/sys/kernel/rcu_expedited")
RECORDS = Path("/run/lttle-tests")
ROOTS = Path("/var/tmp/lttle-tests")
DEADLINE = 60.0


class Failure(Exception):
    """A command of lttle that ended with another status than wanted."""

    def __init__(self, status, output, errors):
        super().__init__(f"exit status {status}: {errors or output}")
        self.status, self.output, self.errors = status, output, errors


def wait_until(what, condition, seconds=DEADLINE):
    """Polls until condition() is true and returns its value; fails loudly at the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(0.02)


def process_start_time(pid):
    """Field 22 of /proc/PID/stat, or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def cgroup_roots():
    return [Path("/sys/fs/cgroup")] + [p for p in Path("/sys/fs/cgroup").iterdir() if p.is_dir()]


def slot():
    """
    Keeps sessions at the same time apart: LTTLE_TEST_SLOT (0 to 9). One that runs files side by side (pytest-xdist) takes
    a slot for each of its workers, from this one on.
    """
    return int(os.environ.get("LTTLE_TEST_SLOT", "0")) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


def subnet(number):
    """The addresses of a session's coordinators: two networks a slot."""
    return f"10.{231 + 2 * slot() + number}.0.0/16"


def released_loops(root):
    """
    The loop devices below this root, once nobody else keeps one of a removed volume: a device goes with the last mount
    anywhere, and whoever makes a mount namespace, another session's machine say, has copies of all mounts for a while.
    """
    end = time.monotonic() + DEADLINE
    while True:
        lines = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout.splitlines()
        found = [line for line in lines if str(root) in line]
        if not any(line.endswith("(deleted))") for line in found) or time.monotonic() > end:
            return found
        time.sleep(0.02)


def leftovers(prefix, root):
    """Everything on the host that carries this prefix or lies below this root, a line each."""
    found = []
    for base in cgroup_roots():
        for group in sorted((base / prefix).glob("*")) if (base / prefix).is_dir() else []:
            if group.is_dir():
                found.append(f"cgroup {group}")
    for line in subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout.splitlines():
        name = line.split(": ")[1].split("@")[0]
        if name.startswith(prefix) and name[len(prefix):].isdigit():
            found.append(f"link {name}")
    for line in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines():
        if line.split()[-1] in [f"{prefix}_{what}" for what in ("wall", "forward", "outside")]:
            found.append(line)
    for line in subprocess.run(["ip", "-o", "route"], capture_output=True, text=True).stdout.splitlines():
        if f"dev {prefix}" in line:
            found.append(f"route {line}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(root) in line:
            found.append(f"mount {line.split()[4]}")
    for record in sorted(Path(root).glob("run/*.pid")):
        if helper_pid(record):
            found.append(f"helper {record.stem} {helper_pid(record)}")
    return found + [f"loop {line}" for line in released_loops(root)]


def helper_pid(record):
    """
    The process that a coordinator has on record as its dnsmasq or HAProxy, if it lives. Known by its arguments, which
    lead to the run directory: its start time is another one to a coordinator in a time namespace.
    """
    try:
        pid = int(record.read_text().split()[0])
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        return None
    return pid if str(record.parent) in arguments else None


def sweep(prefix, root):
    """Gives back by force what a killed run left. Only what carries this prefix or lies below this root."""
    sweep_kernel(prefix, root)
    remove_zram(root)
    remove_swap_files(root)
    shutil.rmtree(root, ignore_errors=True)


def settle_grace_periods(root):
    """What a killed lttled has set for a restore, which its successor or a reboot would undo."""
    mark = root / "run/rcu-expedited"
    if mark.exists():
        GRACE_PERIODS.write_text("0")
        mark.unlink(missing_ok=True)


def sweep_kernel(prefix, root):
    """The part of it that is not files: processes, links, mounts, control groups, and a setting of the kernel."""
    settle_grace_periods(root)
    for base in cgroup_roots():
        if not (base / prefix).is_dir():
            continue
        for group in list((base / prefix).glob("*")) + [base / prefix]:
            for name in ("cgroup.procs",):
                try:
                    pids = (group / name).read_text().split()
                except OSError:
                    continue
                for pid in pids:
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except OSError:
                        pass
            try:
                (group / "cgroup.freeze").write_text("0")
            except OSError:
                pass
    for line in leftovers(prefix, root):
        if line.startswith("link "):
            subprocess.run(["ip", "link", "del", line.split()[1]], capture_output=True)
        if line.startswith("helper "):
            os.kill(int(line.split()[2]), signal.SIGTERM)
        if line.startswith("table "):
            subprocess.run(["nft", "delete", *line.split()], capture_output=True)
    mounts = [l.split()[1] for l in leftovers(prefix, root) if l.startswith("mount ")]
    for mount in sorted(mounts, key=len, reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True)
    for base in cgroup_roots():
        for group in sorted((base / prefix).glob("*"), reverse=True) + [base / prefix]:
            if group.is_dir():
                wait_until(f"{group} to be removable", lambda g=group: remove_group(g), 20)


def remove_group(group):
    try:
        os.rmdir(group)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def zram_device(root):
    """The number of the zram device that the coordinator with this root has set up, or None."""
    record = Path(root) / "run/zram"
    fields = dict(field.split("=") for field in record.read_text().split()) if record.exists() else {}
    this_boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return int(fields["device"]) if fields.get("boot") == this_boot else None


def remove_zram(root):
    """Takes a coordinator's zram device away: it leaves it where machines, also other coordinators', sleep in it."""
    number = zram_device(root)
    block = Path(f"/sys/block/zram{number}")
    if number is None or not block.exists():
        return
    subprocess.run(["swapoff", f"/dev/zram{number}"], capture_output=True)
    (block / "reset").write_text("1")
    Path("/sys/class/zram-control/hot_remove").write_text(str(number))


def remove_swap_files(root):
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        if line.startswith(f"{root}/"):
            subprocess.run(["swapoff", line.split()[0]], check=True)


def sweep_dead_runs():
    """Runs that were killed: their record is there, the process that wrote it is not."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    for record in RECORDS.glob("*.json"):
        data = json.loads(record.read_text())
        if process_start_time(data["owner"]) == data["owner_start"]:
            continue
        if data.get("daemon") and process_start_time(data["daemon"]) == data["daemon_start"]:
            os.kill(data["daemon"], signal.SIGKILL)
        sweep(data["prefix"], Path(data["root"]))
        record.unlink()


RUNNING = []


class Coordinator:
    """One lttled with its own root."""

    def __init__(self, prefix, subnet, settings=""):
        self.prefix = prefix
        self.subnet = subnet
        self.root = ROOTS / prefix
        self.state = self.root / "state"
        self.run = self.root / "run"
        self.socket = self.run / "lttle.sock"
        self.settings_file = self.root / "lttled.yaml"
        self.log_file = self.root / "lttled.log"
        self.process = None
        self.root.mkdir(parents=True)
        self.settings_file.write_text(
            f"state-directory: {self.state}\nrun-directory: {self.run}\nname-prefix: {prefix}\n"
            f"subnet: {subnet}\nlog-level: debug\nrestart-delay: 100ms\n{settings}"
        )
        self.log_mark = 0
        self.record()
        RUNNING.append(self)

    def record(self):
        RECORDS.mkdir(parents=True, exist_ok=True)
        daemon = self.process.pid if self.process else None
        data = {
            "owner": os.getpid(),
            "owner_start": process_start_time(os.getpid()),
            "daemon": daemon,
            "daemon_start": daemon and process_start_time(daemon),
            "prefix": self.prefix,
            "root": str(self.root),
        }
        (RECORDS / f"{self.prefix}.json").write_text(json.dumps(data))

    # -- the daemon --

    program = LTTLED
    descriptors = ()

    def wrapper(self):
        return os.environ.get("LTTLED_WRAPPER", "").split()

    def start(self, *, wait=True, **environment):
        log = open(self.log_file, "ab")
        self.process = subprocess.Popen(
            [*self.wrapper(), str(self.program), "--config", str(self.settings_file), "--foreground"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment},
            pass_fds=self.descriptors,
        )
        log.close()
        self.record()
        if wait:
            wait_until(lambda: f"lttled to answer; its log ends with {self.log()[-2000:]}", self.answers)
        return self

    def answers(self):
        assert self.process.poll() is None, f"lttled ended with {self.process.returncode}: {self.log()[-2000:]}"
        return self.cli("version", check=False).returncode == 0

    def stop(self, signal_number=signal.SIGTERM):
        if self.process is None:
            return None
        self.process.send_signal(signal_number)
        status = self.process.wait(timeout=DEADLINE)
        self.process = None
        return status

    def kill(self):
        self.stop(signal.SIGKILL)

    def mark_log(self):
        self.log_mark = self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_since_mark(self, lines=60):
        """The end of what has been logged since mark_log: the part of one test."""
        with open(self.log_file, "rb") as log:
            log.seek(self.log_mark)
            return b"".join(log.readlines()[-lines:]).decode(errors="replace")

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def __enter__(self):
        """Started, with the image. At the end whatever is left after everything was deleted is a failure."""
        try:
            self.start()
            self.import_image()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        left = self.close()
        assert not left, f"left behind after everything was deleted: {left}"

    def close(self):
        """Deletes what is deployed, ends the daemon, and sweeps. Returns what the daemon itself had left behind."""
        left = []
        try:
            if self.process is None or self.process.poll() is not None:
                self.process = None
                self.start()
            for cluster in self.json("postgres", "list", "--all-namespaces"):
                self.cli("postgres", "delete", "--ns", cluster["namespace"], cluster["name"], "-y")
            for machine in self.json("machine", "list", "--all-namespaces"):
                kind = "app" if machine["app"] else "machine"
                self.cli(kind, "delete", "--ns", machine["namespace"], machine["name"], "-y")
            for volume in self.json("volume", "list", "--all-namespaces"):
                self.cli("volume", "rm", "--ns", volume["namespace"], volume["name"], "-y")
            left = [l for l in leftovers(self.prefix, self.root) if not self.expected(l)]
            status = self.stop()
            if status != 0:
                left.append(f"lttled ended with status {status}")
            left += self.sanitizer_traces()
        finally:
            if self.process is not None:
                self.kill()
            sweep(self.prefix, self.root)
            (RECORDS / f"{self.prefix}.json").unlink(missing_ok=True)
            RUNNING.remove(self)
        return left

    def sanitizer_traces(self):
        """Lines of the log that a sanitizer wrote, or of a child that it ended where its report could not be written."""
        words = ("Sanitizer", "runtime error:", "Can't open file", "signal 6", "Aborted")
        return [f"log: {line}" for line in self.log().splitlines() if any(word in line for word in words)]

    def expected(self, line):
        """What a coordinator has while it runs, machines or not."""
        mine = (f"mount {self.run}/m", f"table ip {self.prefix}_wall", f"table ip6 {self.prefix}_wall")
        return line in mine or line.endswith(f"/{self.prefix}/pinned")

    # -- lttle --

    def cli(self, *arguments, check=True, input=None, timeout=300):
        done = subprocess.run(
            [str(LTTLE), "--socket", str(self.socket), *map(str, arguments)],
            capture_output=True, text=True, input=input, timeout=timeout,
            stdin=subprocess.DEVNULL if input is None else None,
        )
        if check and done.returncode != 0:
            raise Failure(done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def events(self, *arguments):
        """All of them; the command by itself shows the newest hundred."""
        return self.json("events", "--last", "10000", *arguments)

    def import_image(self):
        self.cli("image", "import", IMAGE, f"oci-archive:{IMAGE_FILE}")

    def deploy(self, text):
        path = self.root / "deploy.yaml"
        path.write_text(text)
        return self.cli("deploy", "--no-wait", path).stdout


YAML = """volume:
  name: {name}-data
  namespace: {namespace}
  mode: writeable
  size: {size}
---
app:
  name: {name}
  namespace: {namespace}
  image: {image}
  resources:
    cpu: 1
    memory: {memory}
  mode:
    flash:
      strategy: manual
      timeout: {timeout}
  environment:
    POSTGRES_PASSWORD: password
    POSTGRES_USER: user
    POSTGRES_DB: db
  volumes:
    - name: {name}-data
      path: /var/lib/postgresql/data
  expose:
    access:
      port: 5432
      internal: {{}}
{tracking}"""

TRAFFIC_AWARE = """      connection-tracking:
        traffic-aware:
          inactivity-timeout: {timeout}
"""


def database_yaml(name, namespace="samples", timeout="500ms", memory=256, size="200Mi", traffic_aware=True, flash=""):
    """A volume and an app for deploy. flash: a further key of mode.flash, "hibernate-after: 1s"."""
    return YAML.format(
        name=name, namespace=namespace, image=IMAGE, timeout=f"{timeout}\n      {flash}", memory=memory, size=size,
        tracking=TRAFFIC_AWARE.format(timeout=timeout) if traffic_aware else "",
    )


class Database:
    """A deployed PostgreSQL."""

    def __init__(self, host, name, *, namespace="samples", timeout="500ms", memory=256, size="200Mi", traffic_aware=True,
                 flash="", wait=True):
        self.host, self.name, self.namespace = host, name, namespace
        self.text = database_yaml(name, namespace, timeout, memory, size, traffic_aware, flash)
        host.deploy(self.text)
        if wait:
            self.wait("suspended")

    def get(self):
        return self.host.json("machine", "get", "--ns", self.namespace, self.name)

    def phase(self):
        return self.get()["phase"]

    def wait(self, phase, timeout="120s"):
        self.host.cli("machine", "wait", "--ns", self.namespace, self.name, "--for", phase, "--timeout", timeout)
        return self.get()

    def suspend(self):
        """Suspends it by the user's command, trying again while something is still ending."""
        wait_until(
            lambda: f"{self.name} to be suspended: {self.get()}",
            lambda: self.host.cli("machine", "suspend", "--ns", self.namespace, self.name, check=False).returncode == 0,
        )

    def hibernate(self):
        """Writes it to disk by the user's command, trying again while something is still ending."""
        wait_until(
            lambda: f"{self.name} to be on disk: {self.get()}",
            lambda: self.host.cli("machine", "hibernate", "--ns", self.namespace, self.name, check=False).returncode == 0,
        )
        assert self.phase() == "hibernated"

    def sleep(self, phase):
        """Falls asleep by itself, or is written to disk."""
        if phase == "hibernated":
            self.hibernate()
        else:
            self.wait(phase)

    @property
    def address(self):
        return self.get()["address"]

    def connect(self, **more):
        arguments = {"host": self.address, "user": "user", "password": "password", "dbname": "db",
                     "connect_timeout": 30, **more}
        connection = psycopg2.connect(**arguments)
        connection.autocommit = True
        return connection

    def query(self, sql):
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def delete(self):
        self.host.cli("app", "delete", "--ns", self.namespace, self.name, "-y")
        self.host.cli("volume", "rm", "--ns", self.namespace, f"{self.name}-data", "-y")


def rows(connection, sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else None


def tcp_connect(address, port=5432):
    return socket.create_connection((address, port), timeout=DEADLINE)
