"""What every section of the benchmark uses: the client that measures, a server in its own coordinator, statistics."""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests/e2e"))

import harness  # noqa: E402

OUT = TOP / "build/bench"
NAME = ("--ns", "bench", "bench")

# Seconds of silence before each measurement, asleep or not, so that both begin from rest; and long enough after a wake for
# the hot set to be recorded, as it is between a wake and the end of any usual time-out.
PAUSE = 0.5


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Client:
    """bench/latency.c, which measures; commands go in, figures come out."""

    def __init__(self, address, prefix=()):
        self.process = subprocess.Popen([*prefix, str(OUT / "latency"), address, "5432", "user", "db"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def receive(self):
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the client has ended")
        return answer

    def ask(self, command):
        self.send(command)
        return self.receive()

    def milliseconds(self, command):
        return int(self.ask(command)) / 1e6

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def make_swap_file(path, mebibytes):
    """Below a coordinator's root; it goes away in harness.sweep(), also when this run is killed."""
    for arguments in (("fallocate", "--length", f"{mebibytes}MiB", path), ("chmod", "0600", path), ("mkswap", path),
                      ("swapon", path)):
        subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)


class Host(harness.Coordinator):
    """A coordinator of the benchmark's own, with the image; what is left of it is told at the end."""

    number = 0
    network = "10.253"  # the first two numbers of all addresses; the upper half is for the rivals

    def __init__(self, settings="", swap_mib=0):
        Host.number += 1
        super().__init__(f"b{os.getpid() % 10000:04d}{chr(ord('a') + Host.number)}", f"{Host.network}.0.0/17", settings)
        self.swap_mib = swap_mib

    def __enter__(self):
        try:
            if self.swap_mib:
                make_swap_file(self.root / "swapfile", self.swap_mib)
            self.start()
            self.import_image()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            say(f"the coordinator's log ends with\n{self.log()[-3000:]}")
        left = self.close()
        if left:
            say(f"left behind: {left}")

    def image_root(self):
        """The unpacked image, which others may take as a lower layer."""
        return next((self.state / "images/roots").glob("*/rootfs"))


class Server:
    """One PostgreSQL in its own coordinator, which never suspends unless it is told to."""

    def __init__(self, host, reclaims=True, memory=512, size="400Mi", command=()):
        self.host, self.reclaims = host, reclaims
        text = harness.YAML.format(name="bench", namespace="bench", image=harness.IMAGE, timeout="1h", memory=memory,
                                   size=size, tracking=harness.TRAFFIC_AWARE.format(timeout="1h"))
        text = text.replace("    POSTGRES_DB: db\n", "    POSTGRES_DB: db\n    POSTGRES_HOST_AUTH_METHOD: trust\n")
        if command:
            text = text.replace("  resources:\n", f"  command: [{', '.join(command)}]\n  resources:\n", 1)
        host.deploy(text)
        self.wait("suspended")

    def get(self):
        return self.host.json("machine", "get", *NAME)

    @property
    def address(self):
        return self.get()["address"]

    def wait(self, phase):
        self.host.cli("machine", "wait", *NAME, "--for", phase, "--timeout", "120s")

    def wake(self):
        self.host.cli("machine", "wake", *NAME)

    def restart(self):
        self.host.cli("machine", "restart", *NAME)

    def insist(self, command):
        """Gives a command again and again while something is still ending."""
        harness.wait_until(lambda: f"the {command}: {self.get()}",
                           lambda: self.host.cli("machine", command, *NAME, check=False).returncode == 0)

    def suspend(self):
        """Suspends it and waits until its memory has been given back."""
        given_back = self.host.log().count("memory given back")
        self.insist("suspend")
        if self.reclaims:
            harness.wait_until("its memory to be given back",
                               lambda: self.host.log().count("memory given back") > given_back)

    def hibernate(self):
        self.insist("hibernate")
        harness.wait_until(lambda: f"it to be on disk: {self.get()}", lambda: self.get()["phase"] == "hibernated")

    def memory(self):
        memory = self.get()["memory"]
        return memory["resident-bytes"], memory["swapped-bytes"]

    def snapshot_files(self):
        return [path for path in (self.host.state / "machines/bench/bench/snapshot").rglob("*") if path.is_file()]

    def last_steps(self, message):
        """The steps that the coordinator's log told last after these words, as {name: milliseconds}."""
        found = re.findall(rf'{message} machine=bench/bench steps="([^"]*)"', self.host.log())
        return {name: float(took) for name, took in re.findall(r"(\S+)=([\d.]+)ms", found[-1] if found else "")}


def sql(address, text, prefix=()):
    """Runs SQL by psql, because the server may be in a network namespace of its own."""
    done = subprocess.run([*prefix, "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", address, "-U", "user",
                           "db"], input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def make_table(address, mib, prefix=()):
    """A table of this size: four rows fill a page of 8 KiB. Half of each row does not compress, as half of real data."""
    sql(address, f"""CREATE EXTENSION IF NOT EXISTS pg_prewarm;
        CREATE TABLE warm AS
            WITH noise AS MATERIALIZED (SELECT string_agg(sha512(n::text::bytea), '') AS bytes FROM generate_series(1, 2000) n)
            SELECT n, substr(bytes, n * 37 % 120000 + 1, 976) || decode(repeat('00', 976), 'hex') AS filler
            FROM generate_series(1, {mib * 128 * 4}) n, noise;
        VACUUM ANALYZE warm;
        CHECKPOINT;""", prefix)


def prewarm(address, mib, prefix=()):
    """Reads that much of the table into the shared buffers."""
    prewarm_pages(address, mib * 128, prefix)


def prewarm_pages(address, wanted, prefix=()):
    pages = int(sql(address, f"SELECT pg_prewarm('warm', 'buffer', 'main', 0, {wanted - 1})", prefix))
    if pages != wanted:
        raise RuntimeError(f"{pages} pages were read and not {wanted}")


def drop_cache(files):
    """Out of the page cache; what is dirty would stay, and a snapshot's files are synced."""
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def drop_all_caches(_=None):
    """Everything that the host has cached of any file, as after a reboot, except what is mapped or locked."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def cached_bytes(files):
    if not files:
        return 0
    done = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", *map(str, files)],
                          capture_output=True, text=True, check=True)
    return sum(map(int, done.stdout.split()))


def quantile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def median(values):
    return statistics.median(values)


def spread(values, digits=1):
    """The middle half of the samples: the quartiles."""
    return f"{quantile(values, 0.25):.{digits}f}–{quantile(values, 0.75):.{digits}f}"


def mib(value):
    return "–" if value is None else f"{value / 2**20:.1f}"


def table(head, rows):
    """Lines of a Markdown table."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)]
