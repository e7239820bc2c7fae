"""
Section "disk": the first row from a server that is on disk, beside what people would use instead: a restored checkpoint
and a cold start of a container by runc or podman, `pg_ctl start`, and systemd's socket activation. The same image, the
same data, in turns in one run; with an empty database, and with 512 MiB of warm shared buffers; with files cached and not.
"""

import contextlib
import time

from measure import (PAUSE, Client, Host, Server, cached_bytes, drop_all_caches, drop_cache, make_table, median, mib,
                     prewarm, quantile, say, spread, table)
from podman import Podman
from rivals import Rivals

WARM_MIB = 512
BUFFERS_MIB = WARM_MIB + 88

# What is measured each round, in this order: key, what it is.
OURS = [
    ("running", "running server, new connection"),
    ("running-open", "running server, open session"),
    ("disk", "from disk, new connection"),
    ("disk-open", "from disk, open session"),
    ("disk-cold", "from disk, images not cached, new connection"),
    ("disk-open-cold", "from disk, images not cached, open session"),
    ("disk-dropped", "from disk, no file cached, new connection"),
]
THEIRS = [
    ("runc-run", "container, cold start by runc"),
    ("runc-restore", "container, restored by runc"),
    ("runc-restore-cold", "container, restored by runc, images not cached"),
    ("runc-restore-dropped", "container, restored by runc, no file cached"),
    ("runc-run-dropped", "container, cold start by runc, no file cached"),
    ("podman-run", "container, cold start by podman"),
    ("podman-restore", "container, restored by podman"),
    ("podman-restore-dropped", "container, restored by podman, no file cached"),
    ("pg_ctl", "`pg_ctl start` on the host"),
    ("pg_ctl-dropped", "`pg_ctl start` on the host, no file cached"),
    ("activation", "socket activation by systemd, with its proxy"),
    ("activation-dropped", "socket activation by systemd, with its proxy, no file cached"),
]
SCENARIOS = [("fresh", "a fresh server", 0), ("warm", f"{WARM_MIB} MiB of warm shared buffers", WARM_MIB)]


class Samples:
    def __init__(self):
        self.values = {key: [] for key, _ in OURS + THEIRS}
        self.steps, self.cached, self.size = [], {True: [], False: []}, []


def measure_ours(server, client, samples):
    for key, command in (("running", "connect"), ("running-open", "query")):
        client.ask(command)
        time.sleep(PAUSE)
        samples.values[key].append(client.milliseconds(command))
    for key, command, cold in (("disk", "connect", None), ("disk-open", "query", None), ("disk-cold", "connect", drop_cache),
                               ("disk-open-cold", "query", drop_cache), ("disk-dropped", "connect", drop_all_caches)):
        server.hibernate()
        files = server.snapshot_files()
        if cold is not None:
            cold(files)
        samples.cached[cold is not None].append(cached_bytes(files))
        samples.size.append(server.get()["snapshot"]["size-bytes"])
        time.sleep(PAUSE)
        samples.values[key].append(client.milliseconds(command))
        if server.get()["phase"] != "ready":
            raise RuntimeError("the query was answered and the machine is not awake")
        if cold is None:
            samples.steps.append({**server.last_steps("snapshot restored"), **{
                name: took for name, took in server.last_steps("back from disk").items() if name in ("queue", "gate")}})
        time.sleep(PAUSE)


def measure_theirs(rivals, podman, warm_mib, samples):
    for container, start, restores in (
            (rivals, "runc-run", (("runc-restore", None), ("runc-restore-cold", rivals.drop_images),
                                  ("runc-restore-dropped", drop_all_caches))),
            (podman, "podman-run", (("podman-restore", None), ("podman-restore-dropped", drop_all_caches)))):
        samples.values[start].append(container.run_cold())
        if warm_mib:
            rivals.warm(warm_mib)
        for key, drop in restores:
            container.checkpoint()
            time.sleep(PAUSE)
            samples.values[key].append(container.restore(drop))
        container.stop()
    samples.values["runc-run-dropped"].append(rivals.run_cold(drop_all_caches))
    rivals.stop()
    for key, start in (("pg_ctl", rivals.start_plain), ("activation", rivals.start_activated)):
        samples.values[key].append(start())
        samples.values[f"{key}-dropped"].append(start(drop_all_caches))


def rounds_of(warm_mib, options):
    """Warm ones take many times as long."""
    return max(3, options.rounds // 2) if warm_mib else options.rounds


def measure_scenario(key, warm_mib, options):
    say(f"disk, {key}")
    arguments = ("-c", f"shared_buffers={BUFFERS_MIB}MB") if warm_mib else ()
    samples = Samples()
    with Host() as host:
        server = Server(host, memory=512 + 2 * warm_mib, size=f"{400 + 3 * warm_mib}Mi",
                        command=("postgres", *arguments) if arguments else ())
        client = Client(server.address)
        client.ask("open")
        if warm_mib:
            make_table(server.address, warm_mib)
            prewarm(server.address, warm_mib)
        with Rivals(host.image_root(), arguments, warm_mib) as rivals, contextlib.closing(Podman(rivals)) as podman:
            for number in range(rounds_of(warm_mib, options) + 1):
                # The first round warms up: caches, and what a new cluster does once.
                round_samples = samples if number > 0 else Samples()
                measure_ours(server, client, round_samples)
                measure_theirs(rivals, podman, warm_mib, round_samples)
        client.close()
    return {"values": samples.values, "steps": samples.steps, "size": median(samples.size),
            "cached": {cold: median(values) for cold, values in samples.cached.items()}}


def measure(options):
    return {key: measure_scenario(key, warm_mib, options) for key, _, warm_mib in SCENARIOS}


def figures(values):
    return [f"{median(values):.1f}", spread(values), f"{quantile(values, 0.9):.1f}", f"{quantile(values, 0.99):.1f}"]


def report(results, options):
    lines = ["# First row from disk", "",
             f"Time from a client's first byte to its first row, when the server is on disk (hibernated): no process, no memory. "
             f"For the others, from just before the start command to the first row of a client that tries every millisecond; "
             f"with socket activation the client connects once, as with ours. One image, the same data, in turns in one run; "
             f"milliseconds. The ratio is to the new connection to our server on disk: above 1, the other is slower. Of fewer "
             f"than 100 samples, p99 is the slowest."]
    for key, label, _ in SCENARIOS:
        result = results[key]
        base = median(result["values"]["disk"])
        rows = [(what, *figures(result["values"][name]), f"**{median(result['values'][name]) / base:.2f}**")
                for name, what in OURS + THEIRS]
        lines += ["", f"## {label[0].upper()}{label[1:]}", "",
                  *table(("first row", "median", "quartiles", "p90", "p99", "ratio of medians"), rows), "",
                  f"Samples of each: {len(result['values']['disk'])}.", "",
                  f"A snapshot of {mib(result['size'])} MiB. In the page cache before a wake: {mib(result['cached'][False])} MiB of it, "
                  f"and {mib(result['cached'][True])} MiB for \"images not cached\", where the program's files and the volume stay "
                  f"cached. \"No file cached\": all that the host has cached is dropped before (drop_caches), but for what is mapped "
                  f"or locked, such as an image's program while lttled runs."]
    lines += ["", "# Where the time of a wake from disk goes", "",
              "Medians of the steps that `lttled` notes (`log-level: debug`), milliseconds, images cached. criu: from its start to its "
              "end, the processes run then; gate: waiting clients are handed over.", ""]
    names = list(dict.fromkeys(name for key, _, _ in SCENARIOS for steps in results[key]["steps"] for name in steps))
    lines += table(("server", *names), [
        (label, *(f"{median([steps.get(name, 0.0) for steps in results[key]['steps']]):.1f}" for name in names))
        for key, label, _ in SCENARIOS])
    return lines


def readme(results, options):
    """One table for both."""
    keys = ["disk", "disk-open", "disk-cold", "disk-dropped", "runc-run", "runc-run-dropped", "runc-restore",
            "runc-restore-dropped", "podman-restore", "pg_ctl", "activation", "activation-dropped"]
    names = dict(OURS + THEIRS)
    rows = []
    for name in keys:
        cells = [names[name]]
        for key, _, _ in SCENARIOS:
            values = results[key]["values"]
            cells += [f"{median(values[name]):.0f}", f"{quantile(values[name], 0.9):.0f}",
                      f"**{median(values[name]) / median(values['disk']):.2f}**"]
        rows.append(cells)
    head = ["first row"]
    for _, label, _ in SCENARIOS:
        head += [f"{label}: median", "p90", "ratio"]
    return ["# First row from disk", "",
            f"On disk there is no process and no memory. The others are started, or restored from a checkpoint, for the client that "
            f"then tries every millisecond; a server behind systemd's socket by the client itself. \"No file cached\": the host's "
            f"cache of files was dropped before. Milliseconds, in turns in one run, "
            f"{' and '.join(str(len(results[key]['values']['disk'])) for key, _, _ in SCENARIOS)} times each; the ratio is to the "
            f"first line.", "", *table(head, rows)]


def plots(results):
    return [(f"disk-{key}", f"First row, {label} (ms)",
             [(what.replace("`", ""), results[key]["values"][name]) for name, what in OURS + THEIRS])
            for key, label, _ in SCENARIOS]
