"""Section "snapshot": how long a dump and a restore take and how large the snapshot is, by the memory that is resident."""

import time

from measure import PAUSE, Client, Host, Server, make_table, median, mib, prewarm, quantile, say, table

SIZES_MIB = [32, 128, 256, 512, 1024, 2048]


def measure_size(host, server, size_mib, rounds):
    say(f"snapshot, {size_mib} MiB")
    server.restart()
    prewarm(server.address, size_mib)
    client = Client(server.address)
    samples = {"warm": size_mib, "resident": [], "size": [], "dump": [], "restore": [], "row": [], "dump-steps": [],
               "restore-steps": []}
    for number in range(rounds + 1):
        client.ask("connect")
        resident = sum(server.memory())
        server.hibernate()
        size = server.get()["snapshot"]["size-bytes"]
        time.sleep(PAUSE)
        row = client.milliseconds("connect")
        time.sleep(PAUSE)
        if number == 0:
            continue
        down, up = server.last_steps("on disk"), server.last_steps("back from disk")
        samples["resident"].append(resident)
        samples["size"].append(size)
        samples["row"].append(row)
        samples["dump"].append(sum(down.values()))
        samples["restore"].append(sum(up.values()))
        samples["dump-steps"].append({**{name: took for name, took in down.items() if name != "dump"},
                                      **server.last_steps("snapshot written")})
        samples["restore-steps"].append({**{name: took for name, took in up.items() if name != "restore"},
                                         **server.last_steps("snapshot restored")})
    client.close()
    return samples


def measure(options):
    sizes = [size for size in SIZES_MIB if size <= options.largest]
    with Host() as host:
        server = Server(host, memory=sizes[-1] * 2 + 512, size=f"{sizes[-1] * 2 + 1024}Mi",
                        command=("postgres", "-c", f"shared_buffers={sizes[-1] + 88}MB"))
        make_table(server.address, sizes[-1])
        return [measure_size(host, server, size, max(3, options.rounds // 4)) for size in sizes]


def step_rows(results, which):
    names = list(dict.fromkeys(name for result in results for steps in result[which] for name in steps))
    rows = [(result["warm"], *(f"{median([steps.get(name, 0.0) for steps in result[which]]):.1f}" for name in names))
            for result in results]
    return table(("warm MiB", *names), rows)


def report(results, options):
    rows = [(result["warm"], mib(median(result["resident"])), mib(median(result["size"])), f"{median(result['dump']):.0f}",
             f"{quantile(result['dump'], 0.9):.0f}", f"{median(result['restore']):.0f}",
             f"{quantile(result['restore'], 0.9):.0f}", f"{median(result['row']):.0f}") for result in results]
    return ["# Snapshots by resident memory", "",
            f"A table read into the shared buffers of one server, {len(results[0]['dump'])} times each. Dump: from the command to the "
            f"last process gone, everything on the disk. Restore: from the knock to the open gate. MiB and milliseconds.", "",
            *table(("warm MiB", "charged to the machine", "snapshot on disk", "dump, median", "p90", "restore, median", "p90",
                    "first row, median"), rows), "",
            "## Where the time of a dump goes", "", "Medians, milliseconds.", "", *step_rows(results, "dump-steps"), "",
            "## Where the time of a restore goes", "", "Medians, milliseconds.", "", *step_rows(results, "restore-steps")]


def plots(results):
    return [("snapshot", "Dump and restore by warm memory",
             {"x": ("warm MiB", [result["warm"] for result in results]),
              "dump (ms)": [median(result["dump"]) for result in results],
              "restore (ms)": [median(result["restore"]) for result in results],
              "first row (ms)": [median(result["row"]) for result in results]})]
