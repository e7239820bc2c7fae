"""
Section "extension": what the extension costs a statement, in instructions of the backend, by callgrind: time is too noisy
for it. PostgreSQL 15 of this host with the extension and without; the difference between a long and a short run of
pgbench leaves out what a backend does when it starts.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import harness
from measure import TOP, median, say, table
from throughput import PGBENCH

BIN = Path("/usr/lib/postgresql/15/bin")
SHORT, LONG, TIMES = 100, 1100, 3
WORKLOADS = [("select", ("-S",), "`SELECT` (`pgbench -S`)"), ("tpcb", ("-b", "tpcb-like"), "TPC-B-like")]
SETTINGS = """listen_addresses = ''
unix_socket_directories = '{work}'
fsync = off
autovacuum = off
max_worker_processes = 8
dynamic_library_path = '{work}/build:$libdir'
shared_preload_libraries = '{library}'
"""


class Postgres:
    """A server of the host's PostgreSQL in a directory of its own; the extension is built aside and not installed."""

    def __init__(self):
        self.work = Path(tempfile.mkdtemp(prefix="lttle-bench-"))
        self.data = self.work / "data"

    def __enter__(self):
        build = self.work / "build"
        build.mkdir()
        for name in ("extension", "protocol"):
            shutil.copytree(TOP / name, build / name, ignore=shutil.ignore_patterns("*.o", "*.so", "*.bc"))
        shutil.copy(TOP / "lttle_pg.control", build)
        (build / "Makefile").write_text("include extension/pgxs.mk\n")
        subprocess.run(["make", "--silent", "-C", str(build), f"PG_CONFIG={BIN}/pg_config", "all"], check=True,
                       capture_output=True)
        (self.work / "profiles").mkdir()
        self.data.mkdir()
        subprocess.run(["chown", "-R", "postgres:", str(self.work)], check=True)
        self.work.chmod(0o755)
        self.as_server(BIN / "initdb", "-D", self.data, "--auth", "trust", "-U", "user", "--no-sync", "--locale", "C")
        self.start("")
        self.as_server(BIN / "createdb", "-h", self.work, "-U", "user", "db")
        self.stop()
        return self

    def __exit__(self, kind, value, trace):
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.work)

    def as_server(self, *arguments):
        done = subprocess.run(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--",
                               *map(str, arguments)], cwd=self.work, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments[0]}: {done.stderr or done.stdout}")

    def start(self, library, wrapper=()):
        (self.data / "postgresql.auto.conf").write_text(SETTINGS.format(work=self.work, library=library))
        program = ["-p", str(self.work / "wrapper")] if wrapper else []
        if wrapper:
            (self.work / "wrapper").write_text(
                f"#!/bin/sh\n# {BIN}/postgres\ncase \"$1\" in -V) exec {BIN}/postgres -V;; esac\n"
                f"exec {' '.join(wrapper)} {BIN}/postgres \"$@\"\n")
            (self.work / "wrapper").chmod(0o755)
        self.as_server(BIN / "pg_ctl", "-D", self.data, "-l", self.work / "log", "-t", "300", "-w", *program, "start")

    def stop(self, mode="fast"):
        self.as_server(BIN / "pg_ctl", "-D", self.data, "-m", mode, "-t", "300", "-w", "stop")

    def make_tables(self):
        """Anew for each server that is compared: updates leave traces that cost instructions."""
        self.start("")
        self.pgbench("-i", "-q", "-s", "1")
        self.stop()

    def pgbench(self, *arguments):
        done = subprocess.run([PGBENCH, "-h", str(self.work), "-U", "user", *arguments, "db"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"pgbench: {done.stderr}")

    def instructions(self, flags, count):
        """Of the backend that serves this many transactions; pgbench has a second one, for a look at the tables."""
        profiles = self.work / "profiles"
        before = set(profiles.iterdir())
        self.pgbench("-n", "-M", "extended", "-c", "1", "-t", str(count), *flags)
        new = []

        def both_written():
            new[:] = [path for path in set(profiles.iterdir()) - before if "totals:" in path.read_text()]
            return len(new) == 2

        harness.wait_until("the profiles of both backends", both_written)
        return max(int(re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE).group(1)) for path in new)


def measure(options):
    found = {}
    with Postgres() as server:
        for library in ("", "lttle_pg"):
            say(f"instructions, {'with the extension' if library else 'bare'}")
            server.make_tables()
            server.start(library, ["valgrind", "-q", "--tool=callgrind",
                                   f"--callgrind-out-file={server.work}/profiles/%p"])
            for key, flags, _ in WORKLOADS:
                server.instructions(flags, SHORT)  # what the server itself learns at first
                short, long = (median([server.instructions(flags, count) for _ in range(TIMES)]) for count in (SHORT, LONG))
                found[f"{key} {library or 'bare'}"] = (long - short) / (LONG - SHORT)
            server.stop()
    return found


def report(results, options):
    rows = []
    for key, _, label in WORKLOADS:
        bare, ours = results[f"{key} bare"], results[f"{key} lttle_pg"]
        rows.append((label, f"{bare:,.0f}", f"{ours:,.0f}", f"**{(ours / bare - 1) * 100:+.2f} %**"))
    return ["# What the extension costs", "",
            "Instructions of the backend for a transaction, user space, PostgreSQL 15 of this host, by callgrind.", "",
            *table(("workload", "without the extension", "with it", "more"), rows)]


def plots(results):
    return []
