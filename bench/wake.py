"""Section "wake": the first row after a suspend, beside the running server, and what memory a sleeping server takes."""

import os
import re
import time
from pathlib import Path

import harness
from measure import PAUSE, Client, Host, Server, median, mib, quantile, say, spread, table

# The kinds of sleep, with the settings that make them, and the size of a swap file.
VARIANTS = [
    ("memory kept", "reclaim: false\nzram:\n  mode: off\n", 0),
    ("reclaimed, no swap", "zram:\n  mode: off\n", 0),
    ("reclaimed to zram", "zram:\n  mode: on\n  size: 4Gi\n", 0),
    ("reclaimed to a swap file", "zram:\n  mode: off\n", 512),
]


def given_back(host):
    """What the coordinator's log says of the first time that memory was given back: bytes before and after, or Nones."""
    found = re.search(r"memory given back.*?before=(\d+)KiB.*?after=(\d+)KiB", host.log())
    return tuple(int(text) * 1024 for text in found.groups()) if found else (None, None)


def other_swap(host):
    """Swap that is not the coordinator's own; it belongs to the host, or to another coordinator on it."""
    own = f"/dev/zram{harness.zram_device(host.root)}", str(host.root / "swapfile")
    return [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:] if line.split()[0] not in own]


def zram_bytes(host):
    """What the coordinator's zram device really takes in memory, or None when it has none."""
    number = harness.zram_device(host.root)
    return None if number is None else int(Path(f"/sys/block/zram{number}/mm_stat").read_text().split()[2])


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def measure_pairs(server, client, command, rounds):
    """Running and after a suspend, in turns, so that both see the same machine."""
    running, asleep = [], []
    for _ in range(rounds + 2):
        server.wake()
        for _ in range(5):
            client.ask(command)
        time.sleep(PAUSE)
        running.append(client.milliseconds(command))
        server.suspend()
        time.sleep(PAUSE)
        asleep.append(client.milliseconds(command))
        if server.get()["phase"] != "ready":
            raise RuntimeError("the query was answered and the machine is not awake")
    return running[2:], asleep[2:]  # the first two warm up: caches, hot set


def measure_variant(name, settings, swap_mib, rounds):
    say(name)
    with Host(settings, swap_mib) as host:
        server = Server(host, "reclaim: false" not in settings)
        client = Client(server.address)
        result = {"name": name, "connect": measure_pairs(server, client, "connect", rounds)}
        client.ask("open")
        result["query"] = measure_pairs(server, client, "query", rounds)
        client.ask("close")
        result["awake"] = server.memory()
        server.suspend()
        result["asleep"] = server.memory()
        result["zram"] = zram_bytes(host)
        result["first"] = given_back(host)
        result["other_swap"] = other_swap(host)
        began, ticks = time.monotonic(), cpu_ticks(host.process.pid)
        time.sleep(5)
        result["cpu"] = (cpu_ticks(host.process.pid) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
        client.close()
        return result


def measure(options):
    return [measure_variant(*variant, options.rounds) for variant in VARIANTS]


def report(results, options):
    lines = ["# First row after a suspend", "",
             f"Time from a client's first byte to its first row (`select 1`), after a suspend and on the running server, "
             f"in turns in one run, {options.rounds} times each (of fewer than 100, p99 is the slowest). A ratio of 1 would mean that nobody can tell a sleeping "
             f"server from a running one. Milliseconds; no password is asked for, so that hashing does not hide the "
             f"difference.", ""]
    rows = []
    for command, label in (("connect", "new connection"), ("query", "open session")):
        for result in results:
            running, asleep = result[command]
            a, b = median(running), median(asleep)
            rows.append((label, result["name"], f"**{b / a:.2f}**", f"{a:.2f}", spread(running, 2),
                         f"{quantile(running, 0.99):.2f}", f"{b:.2f}", spread(asleep, 2), f"{quantile(asleep, 0.99):.2f}",
                         f"{b - a:+.2f}"))
    lines += table(("client", "sleep", "ratio of medians", "running, median", "quartiles", "p99", "after a suspend, median",
                    "quartiles", "p99", "added"), rows)
    lines += ["", "# Memory of one server", "",
              "MiB that are charged to the machine's control group: before and after its first suspend, then awake again and "
              "asleep again at the end of the run. zram: what the whole device takes in memory, compressed.", ""]
    rows = [(result["name"], mib(result["first"][0]), mib(result["first"][1]), mib(result["awake"][0]),
             mib(result["asleep"][0]), mib(result["asleep"][1]), mib(result["zram"]), f"{result['cpu'] * 100:.1f} %")
            for result in results]
    lines += table(("sleep", "before the first suspend", "after it", "awake again", "asleep again", "in swap", "zram",
                    "CPU of lttled in 5 s of sleep"), rows)
    for result in results:
        if result["other_swap"]:
            lines += ["", f"During \"{result['name']}\" the host had other swap: {', '.join(result['other_swap'])}."]
    return lines


readme = report


def plots(results):
    boxes = [(f"{label}, {result['name']}", result[command][1])
             for command, label in (("connect", "new"), ("query", "open")) for result in results]
    return [("wake", "First row after a suspend (ms)", boxes)]
