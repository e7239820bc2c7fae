"""
Section "throughput": what an awake server does, by pgbench: ours, the same machine without the extension, the same server
bare in a network namespace of its own, and ours behind the proxies that others put in the data path. The same data, the
same client, in turns in one run. Who comes first, and after whom, changes from round to round, since a server inherits
the processors as the one before it left them; and each ratio is to the bare server of its own round.

The bare server is measured twice: as a service, in a control group of its own, like every unit of systemd's; and as pg_ctl
leaves it, in the root group. There the kernel's autogroup gives each session the same share of the processors, and each
backend of PostgreSQL begins a session, so that pgbench weighs as much as one of its 32 backends. In a group all backends
together weigh as much as the client.
"""

import os
import re
import socket
import subprocess

import harness
from measure import OUT, Host, median, say, spread, sql, table
from rivals import Rivals

PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
CLIENTS = [1, 8, 32]
SCALE = CLIENTS[-1]  # with fewer branches than clients TPC-B measures who waits for whose row
SETTINGS = ["-c", "shared_buffers=640MB"]  # for all of it
SECONDS = 1  # short and often: where the kernel puts eight backends and their client differs from one run to the next
WORKLOADS = [("select", ("-S",), "`SELECT` (`pgbench -S`)"), ("tpcb", ("-b", "tpcb-like"), "TPC-B-like")]
TARGETS = [
    ("ours", "ours"),
    ("no-extension", "our machine without the extension"),
    ("bare", "bare server, as a service"),
    ("by-hand", "bare server, started by hand"),
    ("haproxy", "ours behind HAProxy"),
    ("pgbouncer", "ours behind PgBouncer, a pool by transaction"),
]


def pgbench(target, *arguments):
    address, port = target
    done = subprocess.run([PGBENCH, "-h", address, "-p", str(port), "-U", "user", *arguments, "db"], text=True,
                          capture_output=True, env={**os.environ, "PGSSLMODE": "disable"})
    if done.returncode != 0:
        raise RuntimeError(f"pgbench {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def deploy(host, name, extension):
    """A machine with all of the host's processors, like the bare server; it never sleeps in between."""
    text = harness.database_yaml(name, namespace="bench", timeout="1h", memory=2048, size="2Gi", traffic_aware=False)
    text = text.replace("    cpu: 1\n", f"    cpu: {os.cpu_count()}\n")
    text = text.replace("    POSTGRES_DB: db\n", "    POSTGRES_DB: db\n    POSTGRES_HOST_AUTH_METHOD: trust\n")
    command = ["postgres", *SETTINGS, *([] if extension else ["-c", "shared_preload_libraries="])]
    text = text.replace("  mode:\n", f"  command: [{', '.join(command)}]\n  mode:\n")
    if not extension:
        text = re.sub(r"  mode:\n    flash:\n      strategy: manual\n      timeout: 1h\n\s*\n", "  mode: regular\n", text)
    host.deploy(text)
    host.cli("machine", "wait", "--ns", "bench", name, "--for", "suspended" if extension else "ready", "--timeout", "120s")
    return host.json("machine", "get", "--ns", "bench", name)["address"], 5432


class Proxy:
    """A program in front of a server, on loopback; it ends with its context."""

    def __init__(self, name, arguments, configuration):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        path = OUT / f"{name}.conf"
        path.write_text(configuration.replace("PORT", str(self.port)))
        self.name, self.arguments = name, [*arguments, "/dev/stdin"]
        self.configuration = path

    def __enter__(self):
        with open(self.configuration, encoding="utf-8") as configuration:
            self.process = subprocess.Popen(self.arguments, stdin=configuration, stdout=subprocess.DEVNULL)
        harness.wait_until(f"{self.name} to listen", self.listens)
        return "127.0.0.1", self.port

    def listens(self):
        assert self.process.poll() is None, f"{self.name} has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        self.process.wait(timeout=30)


def haproxy(target):
    return Proxy("haproxy", ["haproxy", "-q", "-db", "-f"],
                 "defaults\n mode tcp\n timeout connect 10s\n timeout client 1h\n timeout server 1h\n"
                 f"listen db\n bind 127.0.0.1:PORT\n server db {target[0]}:{target[1]}\n")


def pgbouncer(target):
    # It refuses to run as root.
    return Proxy("pgbouncer", ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "pgbouncer", "-q"],
                 f"[databases]\ndb = host={target[0]} port={target[1]} user=user\n"
                 "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = PORT\nunix_socket_dir =\nauth_type = any\n"
                 "pool_mode = transaction\ndefault_pool_size = 40\nignore_startup_parameters = extra_float_digits\n")


def prepare(target):
    pgbench(target, "-i", "-q", "-s", str(SCALE))
    # A commit's wait for the disk would hide everything else, and the disks differ.
    sql(target[0], "ALTER DATABASE db SET synchronous_commit = off; VACUUM ANALYZE; CHECKPOINT")


def measure_once(target, flags, clients):
    text = pgbench(target, "-n", "-M", "extended", *flags, "-c", str(clients), "-j", str(min(clients, 2)),
                   "-T", str(SECONDS))
    return float(re.search(r"tps = ([\d.]+)", text).group(1)), float(re.search(r"latency average = ([\d.]+)", text).group(1))


def in_turn(names, number):
    """Each round begins with another one, and every second one goes backwards."""
    start = number // 2 % len(names)
    turned = names[start:] + names[:start]
    return turned if number % 2 else turned[::-1]


def measure_all(targets, rivals, rounds):
    found = {}
    for number in range(rounds + 1):
        say(f"throughput, round {number} of {rounds}")
        for key, flags, _ in WORKLOADS:
            for clients in CLIENTS:
                for name in in_turn(list(targets), number):
                    if name in ("bare", "by-hand"):
                        rivals.move_plain(as_service=name == "bare")
                    took = measure_once(targets[name], flags, clients)
                    if number > 0:  # the first round warms up
                        found.setdefault(f"{key} {clients} {name}", []).append(took)
    return found


def measure(options):
    with Host() as host:
        ours, machine = deploy(host, "bench", True), deploy(host, "plain", False)
        with Rivals(host.image_root()) as rivals, haproxy(ours) as behind_haproxy, pgbouncer(ours) as behind_pgbouncer:
            rivals.pg_ctl("start", "-l", "/tmp/log", "-o", " ".join([*SETTINGS, "-c", "shared_preload_libraries="]))
            bare = rivals.address, 5432
            for target in (ours, machine, bare):
                prepare(target)
            targets = {"ours": ours, "no-extension": machine, "bare": bare, "by-hand": bare, "haproxy": behind_haproxy,
                       "pgbouncer": behind_pgbouncer}
            return measure_all(targets, rivals, options.rounds)


def report(results, options):
    lines = ["# Throughput while awake", "",
             f"Transactions a second by `pgbench -M extended`, scale {SCALE}, everything in memory, `synchronous_commit` off, "
             f"{SECONDS} s each, medians and quartiles of {options.rounds} rounds, in each another order. The ratio is to "
             f"the bare server as a service (a control group of its own) in the same round; by hand there is none, and each of "
             f"its backends weighs as much as the client, which takes its part of the same processors."]
    for key, _, label in WORKLOADS:
        rows = []
        for clients in CLIENTS:
            bare = [tps for tps, _ in results[f"{key} {clients} bare"]]
            for name, what in TARGETS:
                values = [tps for tps, _ in results[f"{key} {clients} {name}"]]
                latency = median([took for _, took in results[f"{key} {clients} {name}"]])
                ratios = [value / other for value, other in zip(values, bare, strict=True)]
                rows.append((clients, what, f"{median(values):.0f}", spread(values, 0), f"{latency:.2f}",
                             f"**{median(ratios):.2f}**", spread(ratios, 2)))
        lines += ["", f"## {label}", "", *table(("clients", "server", "a second", "quartiles", "latency (ms)", "ratio",
                                                "quartiles"), rows)]
    return lines


def plots(results):
    return [(f"throughput-{key}", f"{label.replace('`', '')}, transactions a second",
             [(f"{what}, {clients}", [tps for tps, _ in results[f"{key} {clients} {name}"]])
              for clients in CLIENTS for name, what in TARGETS])
            for key, _, label in WORKLOADS]
