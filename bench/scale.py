"""
Section "scale": many sleeping servers on one host. What each of them takes, what lttled takes, how long one of them needs
to wake while all the others sleep, and what happens when all of them get a client in the same second, beside as many
cold starts.
"""

import os
import random
import subprocess
import threading
import time
from pathlib import Path

import harness
from measure import Client, Host, median, quantile, say, table
from wake import zram_bytes

SETTINGS = "zram:\n  mode: on\n  size: 16Gi\n"
NAMESPACE = "bench"
STORM = 200
COUNTS = [1, 10, 100, 500, 1000]
MIB = 2**20

# What the kernel counts for the whole host, /proc/meminfo, in the order of the report.
COUNTED = ["AnonPages", "PageTables", "KernelStack", "SUnreclaim", "Percpu"]


def name_of(number):
    return f"db-{number:04d}"


def meminfo():
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def settled_meminfo():
    """After what the kernel could give up at once was given up: files in memory are nobody's in particular."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")
    return meminfo()


def used(info):
    """Bytes that nobody gets back by asking: everything but free memory, files, and caches the kernel can drop."""
    return (info["MemTotal"] - info["MemFree"] - info["Buffers"] - info["Cached"] - info["SwapCached"]
            - info["SReclaimable"] + info["Shmem"])


class Herd:
    """Machines of one coordinator; they sleep after half a second."""

    def __init__(self, host):
        self.host, self.count = host, 0
        self.clients = {}

    def get(self, number):
        return self.host.json("machine", "get", "--ns", NAMESPACE, name_of(number))

    def machines(self):
        return self.host.json("machine", "list", "--ns", NAMESPACE)

    def grow(self, count):
        """Deploys up to this many, in one file, and waits until all of them sleep. Returns the seconds it took."""
        new = range(self.count, count)
        texts = [harness.database_yaml(name_of(number), namespace=NAMESPACE, size="128Mi") for number in new]
        began = time.monotonic()
        self.host.deploy("---\n".join(texts).replace(
            "    POSTGRES_DB: db\n", "    POSTGRES_DB: db\n    POSTGRES_HOST_AUTH_METHOD: trust\n"))
        for number in new:
            self.host.cli("machine", "wait", "--ns", NAMESPACE, name_of(number), "--for", "suspended", "--timeout", "3600s",
                          timeout=3700)
        took = time.monotonic() - began
        self.count = count
        self.settle()
        return took

    def settle(self):
        """Waits until all of them sleep and no memory is being given back any more."""
        last = []

        def settled():
            machines = self.machines()
            if any(machine["phase"] != "suspended" for machine in machines):
                return False
            last.append(sum(machine["memory"]["resident-bytes"] for machine in machines))
            return len(last) > 20 and max(last[-20:]) - min(last[-20:]) < MIB

        harness.wait_until("all machines to sleep", settled, 600)

    def client(self, number):
        if number not in self.clients:
            self.clients[number] = Client(self.get(number)["address"])
        return self.clients[number]

    def wakes(self, rounds, rng):
        """One after the other, all others asleep: milliseconds to the first row."""
        found = []
        for number in (rng.randrange(self.count) for _ in range(rounds)):
            found.append(self.client(number).milliseconds("connect"))
            harness.wait_until("it to sleep again", lambda number=number: self.get(number)["phase"] == "suspended")
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
        return found, failed

    def make_cold(self, count):
        """To disk, and there their snapshots are spoilt: they are refused, and the next client starts the servers cold."""
        for number in range(count):
            harness.wait_until("it to be on disk", lambda number=number: self.host.cli(
                "machine", "hibernate", "--ns", NAMESPACE, name_of(number), check=False).returncode == 0)
            image = self.host.state / f"machines/{NAMESPACE}/{name_of(number)}/snapshot/pstree.img"
            os.truncate(image, 1)

    def close_clients(self):
        for client in self.clients.values():
            client.close()
        self.clients = {}


def daemon_figures(host, seconds):
    """lttled's resident bytes and its share of a processor while nothing happens."""
    def on_processor_ns():
        return int(Path(f"/proc/{host.process.pid}/schedstat").read_text().split()[0])

    status = Path(f"/proc/{host.process.pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
    began, before = time.monotonic_ns(), on_processor_ns()
    time.sleep(seconds)
    return resident, (on_processor_ns() - before) / (time.monotonic_ns() - began)


def look(herd, bare, bare_zram, seconds_each, rounds, rng):
    """Everything about the herd as it sleeps now."""
    info = settled_meminfo()
    machines = herd.machines()
    resident, share = daemon_figures(herd.host, 10)
    count = herd.count
    return {
        "count": count,
        "deploy": seconds_each,
        "charged": sum(machine["memory"]["resident-bytes"] for machine in machines) / count,
        "swapped": sum(machine["memory"]["swapped-bytes"] for machine in machines) / count,
        "zram": ((zram_bytes(herd.host) or 0) - bare_zram) / count,
        "used": (used(info) - used(bare)) / count,
        "counted": {key: (info[key] - bare[key]) / count for key in COUNTED},
        "daemon": resident,
        "cpu": share,
        "wakes": herd.wakes(rounds, rng),
    }


def measure(options):
    """One run over growing numbers of machines, with the storms at the end."""
    counts = sorted({count for count in COUNTS if count <= options.machines} | {options.machines})
    rng = random.Random(1)
    with Host(SETTINGS) as host:
        herd = Herd(host)
        bare, bare_zram = settled_meminfo(), zram_bytes(host) or 0
        looks, before = [], 0
        for count in counts:
            say(f"{count} sleeping servers")
            took = herd.grow(count)
            looks.append(look(herd, bare, bare_zram, took / (count - before), options.rounds, rng))
            before = count
        storm_count = min(counts[-1], STORM)
        say(f"a client at each of {storm_count} servers in the same second")
        herd.settle()
        storms = {"asleep": herd.storm(storm_count)}
        herd.settle()
        herd.make_cold(storm_count)
        storms["cold"] = herd.storm(storm_count)
        herd.close_clients()
    return {"looks": looks, "count": storm_count, "storms": storms}


def report(results, options):
    lines = ["# Many sleeping servers", "",
             "MiB a server, unless it says otherwise. In all: what the host has less of, files left out; the columns after it "
             "are parts of it, or overlap with it. Wakes: milliseconds from a new connection's first byte to its first row, all "
             "others asleep.", ""]
    rows = [(found["count"], f"{found['deploy']:.1f}", f"**{found['used'] / MIB:.2f}**", f"{found['charged'] / MIB:.2f}",
             f"{found['swapped'] / MIB:.1f}", f"{found['zram'] / MIB:.2f}",
             *(f"{found['counted'][key] / MIB:.2f}" for key in COUNTED), f"{found['daemon'] / MIB:.1f}",
             f"{found['cpu'] * 100:.3f} %", f"{median(found['wakes']):.1f}", f"{quantile(found['wakes'], 0.99):.1f}")
            for found in results["looks"]]
    lines += table(("servers", "s to deploy one", "in all", "charged to its group", "in swap", "of zram", *COUNTED,
                    "lttled in all", "its CPU", "wake, median", "p99"), rows)
    asleep = quantile(results["storms"]["asleep"][0], 0.99)
    rows = []
    for key, label in (("asleep", "suspended"), ("cold", "started cold")):
        found, failed = results["storms"][key]
        rows.append((label, results["count"], len(failed), f"{median(found):.0f}", f"{quantile(found, 0.99):.0f}",
                     f"{max(found):.0f}", f"**{quantile(found, 0.99) / asleep:.1f}**"))
    lines += ["", "# A client at each server in the same second", "",
              "Milliseconds to the first row; the ratio is of the p99.", "",
              *table(("servers are", "how many", "without an answer", "median", "p99", "last", "ratio"), rows)]
    return lines


def plots(results):
    return [("scale", "Wake with the others asleep (ms)",
             [(f"{found['count']} servers", found["wakes"]) for found in results["looks"]])]
