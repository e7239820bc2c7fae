"""
Section "scale": a staircase of sleeping servers on one coordinator. At each step: what each of them takes, what lttled takes,
how long one of them needs to wake while all the others sleep. At the end what happens when many of them get a client in the
same second: suspended, on disk, and started cold. What a server on disk takes is measured on a coordinator of its own.
"""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
from measure import PAUSE, Client, Host, median, quantile, say, table
from wake import zram_bytes

# Before compression: 13 MiB a server that nobody has used yet, and a few more when it was used.
SETTINGS = "zram:\n  mode: on\n  size: 32Gi\n"
NAMESPACE = "bench"
STORM = 200
COUNTS = [1, 10, 100, 300, 500, 1000]
ON_DISK = 50
IDLE_SECONDS = 60  # two of the coordinator's looks at the host's memory
WAKES_A_ROUND = 5  # among so many that they need not wait for each other to sleep again
MANY = 100
FILE_SERVERS = 250  # a file that is deployed has at most 1,000 resources and 1 MiB
AT_ONCE = 4
MIB = 2**20

# The kernel's own memory, /proc/meminfo, in the order of the report.
KERNEL = ["PageTables", "KernelStack", "SUnreclaim", "Percpu"]


def name_of(number):
    return f"db-{number:04d}"


def meminfo():
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


class Herd:
    """Servers of one coordinator, which sleep after half a second, and one that never does, to compare with."""

    def __init__(self, host):
        self.host, self.count = host, 0
        self.clients = {}
        self.running = None
        self.bare = meminfo()
        self.bare_zram = zram_bytes(host) or 0

    def command(self, verb, number, *options, check=True):
        return self.host.cli("machine", verb, "--ns", NAMESPACE, name_of(number), *options, check=check, timeout=3700)

    def get(self, number):
        return self.host.json("machine", "get", "--ns", NAMESPACE, name_of(number))

    def machines(self):
        return self.host.json("machine", "list", "--ns", NAMESPACE)

    def deploy(self, names, timeout):
        texts = [harness.database_yaml(name, namespace=NAMESPACE, size="128Mi", timeout=timeout) for name in names]
        self.host.deploy("---\n".join(texts).replace(
            "    POSTGRES_DB: db\n", "    POSTGRES_DB: db\n    POSTGRES_HOST_AUTH_METHOD: trust\n"))

    def grow(self, count):
        """Deploys up to this many and waits until all of them sleep. Returns the seconds that each took."""
        new = range(self.count, count)
        began = time.monotonic()
        for first in range(self.count, count, FILE_SERVERS):
            last = min(first + FILE_SERVERS, count)
            self.deploy([name_of(number) for number in range(first, last)], "500ms")
            for number in range(first, last):
                self.command("wait", number, "--for", "suspended", "--timeout", "3600s")
        took = time.monotonic() - began
        self.count = count
        self.settle()
        return took / len(new)

    def start_running(self):
        """The server that never sleeps again, once its first client has come."""
        self.deploy(["running"], "1h")
        self.host.cli("machine", "wait", "--ns", NAMESPACE, "running", "--for", "suspended", "--timeout", "300s")
        self.running = Client(self.host.json("machine", "get", "--ns", NAMESPACE, "running")["address"])
        self.running.ask("connect")

    def settle(self, phase="suspended"):
        """Waits until all of them sleep and no memory is being given back any more."""
        last = []

        def settled():
            machines = [machine for machine in self.machines() if machine["name"] != "running"]
            time.sleep(0.2)
            if any(machine["phase"] != phase for machine in machines):
                return False
            last.append(sum(machine["memory"]["resident-bytes"] for machine in machines))
            return len(last) > 10 and max(last[-10:]) - min(last[-10:]) < MIB

        harness.wait_until("all machines to sleep", settled, 1800)

    def client(self, number):
        if number not in self.clients:
            self.clients[number] = Client(self.get(number)["address"])
        return self.clients[number]

    def wakes(self, rounds, rng):
        """
        One after the other, all others asleep, with the running server in turns: milliseconds to the first row. The same
        servers twice, because the first wake finds no record yet of what it will need. Each draws others than the last.
        """
        chosen = [rng.randrange(self.count) for _ in range(rounds)] if self.count < rounds else rng.sample(
            range(self.count), rounds)
        found = {"running": [], "first": [], "later": []}
        for kind in ("first", "later"):
            for number in chosen:
                harness.wait_until("it to sleep", lambda number=number: self.get(number)["phase"] == "suspended", 600)
                time.sleep(PAUSE)
                found["running"].append(self.running.milliseconds("connect"))
                found[kind].append(self.client(number).milliseconds("connect"))
            self.close_clients()
        return found

    def storm(self, count):
        """A client at each at once: milliseconds to the first row of each, and the errors of those that got none."""
        for number in range(count):
            self.client(number)
        found, failed = [], []
        start = threading.Barrier(count)

        def one(number):
            start.wait()
            try:
                found.append(self.client(number).milliseconds("connect"))
            except (RuntimeError, ValueError) as error:
                failed.append(str(error))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.close_clients()
        return found, failed

    def each(self, count, work):
        """Work for each of the first so many, some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(work, range(count)))

    def to_disk(self, count):
        self.each(count, lambda number: harness.wait_until(
            lambda: f"{name_of(number)} to be on disk: {self.get(number)}",
            lambda: self.command("hibernate", number, check=False).returncode == 0, 600))

    def make_cold(self, count):
        """To disk, and there their snapshots are spoilt: they are refused, and the next client starts the servers cold."""
        self.to_disk(count)
        for number in range(count):
            image = self.host.state / f"machines/{NAMESPACE}/{name_of(number)}/snapshot/pstree.img"
            os.truncate(image, 1)

    def close_clients(self):
        for client in self.clients.values():
            client.close()
        self.clients = {}

    def close(self):
        """Deleted some at a time: the coordinator's end would do it one by one."""
        self.close_clients()
        if self.running is not None:
            self.running.close()
        self.each(self.count, lambda number: self.host.cli("app", "delete", "--ns", NAMESPACE, name_of(number), "-y"))

    def memory(self):
        """
        Bytes that each of them takes, by what. What is charged to the control groups and what zram holds is theirs alone;
        of the kernel's memory that is charged to nobody (links, mounts, file systems) there is only the host's total.
        """
        info = meminfo()
        machines = [machine["memory"] for machine in self.machines() if machine["name"] != "running"]
        kernel = {key: (info[key] - self.bare[key]) / self.count for key in KERNEL}
        found = {
            "resident": sum(memory["resident-bytes"] for memory in machines) / self.count,
            "kernel": sum(memory["kernel-bytes"] for memory in machines) / self.count,
            "swapped": sum(memory["swapped-bytes"] for memory in machines) / self.count,
            "zram": ((zram_bytes(self.host) or 0) - self.bare_zram) / self.count,
        }
        found["uncharged"] = max(sum(kernel.values()) - found["kernel"], 0)
        found["all"] = found["resident"] + found["kernel"] + found["zram"] + found["uncharged"]
        return found | kernel


def daemon_figures(host, seconds):
    """lttled's proportional share of memory in bytes, its share of a processor while nothing happens, and its descriptors."""
    def on_processor_ns():
        return int((process / "schedstat").read_text().split()[0])

    process = Path(f"/proc/{host.process.pid}")
    lines = (process / "smaps_rollup").read_text().splitlines()
    proportional = int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    began, before = time.monotonic_ns(), on_processor_ns()
    time.sleep(seconds)
    share = (on_processor_ns() - before) / (time.monotonic_ns() - began)
    return {"memory": proportional, "cpu": share, "descriptors": len(list((process / "fd").iterdir()))}


def list_milliseconds(herd):
    began = time.monotonic()
    herd.machines()
    return (time.monotonic() - began) * 1e3


def look(herd, seconds_each, rounds, rng):
    """Everything about the herd as it sleeps now; most of it has never been woken."""
    memory = herd.memory()
    listing = median([list_milliseconds(herd) for _ in range(5)])
    return {"count": herd.count, "deploy": seconds_each, "memory": memory, "listing": listing,
            "daemon": daemon_figures(herd.host, IDLE_SECONDS), "wakes": herd.wakes(rounds, rng)}


def measure_on_disk(count):
    """What a server on disk takes, in place of one that sleeps in memory."""
    say(f"{count} servers on disk")
    with Host(SETTINGS) as host:
        herd = Herd(host)
        herd.grow(count)
        suspended = herd.memory()
        herd.to_disk(count)
        herd.settle("hibernated")
        hibernated = herd.memory()
        herd.close()
    return {"count": count, "suspended": suspended, "hibernated": hibernated}


def measure_storms(herd, count):
    """
    The same servers each time: asleep as most are by then, with a record of what a wake needs, on disk, and cold. With them
    the memory of servers that have been used before they fell asleep.
    """
    storms = {}
    used = None
    for kind, prepare in (("suspended", None), ("suspended, woken before", None), ("on disk", herd.to_disk),
                          ("started cold", herd.make_cold)):
        say(f"a client at each of {count} servers in the same second: {kind}")
        herd.settle()
        if prepare is None:
            used = herd.memory()
        else:
            prepare(count)
        storms[kind] = herd.storm(count)
    herd.settle()
    return storms, used


def measure(options):
    """One run over growing numbers of servers, with the storms at the end."""
    counts = sorted({count for count in COUNTS if count <= options.machines} | {options.machines})
    rng = random.Random(1)
    on_disk = measure_on_disk(min(ON_DISK, options.machines))
    with Host(SETTINGS) as host:
        herd = Herd(host)
        looks = []
        for count in counts:
            say(f"{count} sleeping servers")
            seconds_each = herd.grow(count)
            if herd.running is None:
                herd.start_running()
            looks.append(look(herd, seconds_each, options.rounds * (WAKES_A_ROUND if count >= MANY else 1), rng))
        storm_count = min(counts[-1], STORM)
        storms, used = measure_storms(herd, storm_count)
        say("taking them away")
        herd.close()
    return {"on disk": on_disk, "looks": looks, "count": storm_count, "storms": storms, "used": used}


def memory_row(label, memory):
    return (label, f"**{memory['all'] / MIB:.2f}**",
            *(f"{memory[key] / MIB:.2f}" for key in ("resident", "zram", "kernel", "uncharged")),
            f"{memory['swapped'] / MIB:.1f}", *(f"{memory[key] / MIB:.2f}" for key in KERNEL))


def report_memory(results):
    on_disk = results["on disk"]
    rows = [memory_row(f"{found['count']} asleep", found["memory"]) for found in results["looks"]]
    rows.append(memory_row(f"{results['looks'][-1]['count']} asleep, {results['count']} of them used", results["used"]))
    rows.append(memory_row(f"{on_disk['count']} asleep", on_disk["suspended"]))
    rows.append(memory_row(f"the same {on_disk['count']} on disk", on_disk["hibernated"]))
    return ["# Memory of a sleeping server", "",
            "MiB a server. In all: resident pages and kernel memory that are charged to its control group, what it takes of "
            "zram, and its share of what the kernel has allocated since the first server came without charging anybody; the "
            "last columns are the host's whole difference, with everything else that happens on it.", "",
            *table(("servers", "in all", "resident", "of zram", "kernel, charged", "kernel, not charged", "swapped", *KERNEL),
                   rows)]


def report_looks(results):
    rows = []
    for found in results["looks"]:
        wakes, daemon = found["wakes"], found["daemon"]
        running = median(wakes["running"])
        rows.append((found["count"], f"{found['deploy']:.2f}", f"{daemon['memory'] / MIB:.1f}", daemon["descriptors"],
                     f"{daemon['cpu'] * 100:.3f} %", f"{found['listing']:.0f}", f"{running:.1f}",
                     f"{quantile(wakes['running'], 0.99):.1f}",
                     *(f"{value:.1f} (**{value / running:.1f}**)" for kind in ("first", "later")
                       for value in (median(wakes[kind]), quantile(wakes[kind], 0.99)))))
    return ["# Many sleeping servers", "",
            "Wakes: milliseconds from a new connection's first byte to its first row, all others asleep; in brackets the ratio "
            "to the median of a running server among them. The first wake of a server's life, and later ones.", "",
            *table(("servers", "s to deploy one", "lttled, MiB", "its descriptors", f"its CPU in {IDLE_SECONDS} s of rest",
                    "ms to list all", "running, median", "p99", "first wake, median", "p99", "later wakes, median", "p99"),
                   rows)]


def report_storms(results):
    storms = results["storms"]
    cold = quantile(storms["started cold"][0], 0.99) if storms["started cold"][0] else 0
    rows = []
    for kind, (found, failed) in storms.items():
        if not found:
            rows.append((kind, results["count"], len(failed), *["–"] * 4))
            continue
        p99 = quantile(found, 0.99)
        rows.append((kind, results["count"], len(failed), f"{median(found):.0f}", f"{p99:.0f}", f"{max(found):.0f}",
                     f"**{cold / p99:.1f}**"))
    return ["# A client at each server in the same second", "",
            "Milliseconds to the first row; the ratio is the p99 of cold starts to this p99.", "",
            *table(("servers are", "how many", "without an answer", "median", "p99", "last", "ratio"), rows)]


def report(results, options):
    return [*report_looks(results), "", *report_memory(results), "", *report_storms(results)]


def plots(results):
    looks = results["looks"]
    return [("scale", "Wake with the others asleep (ms)",
             [(f"{found['count']} servers", found["wakes"]["later"]) for found in looks]),
            ("scale-storm", "A client at each server in the same second (ms)",
             [(kind, found) for kind, (found, _) in results["storms"].items() if found])]
