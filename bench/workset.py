"""
Section "workset": what a wake costs by how much data is warm, from one page to 1 GiB. Two times: the first row of a new
connection, which needs none of that data, and then a query that reads all of it; from the same server running, asleep in
memory with its memory kept, given back to zram and to a swap file, and on disk.
"""

import time

from measure import PAUSE, Client, Host, Server, make_table, median, prewarm_pages, quantile, say, spread, table

PAGE_KIB = 8  # PostgreSQL reads no less; half of one is a page of the kernel's
SIZES_KIB = [8, 64, 512, 4 * 1024, 32 * 1024, 256 * 1024, 1024 * 1024]
BUFFERS_MIB = SIZES_KIB[-1] // 1024 + 88
ZRAM = "zram:\n  mode: on\n  size: 4Gi\n"
NO_ZRAM = "zram:\n  mode: off\n"

# Each has its coordinator: its settings, the size of a swap file, and the ways of sleeping that are measured with it.
HOSTS = [
    ("reclaim: false\n" + NO_ZRAM, 0, [("kept", "memory kept"), ("disk", "on disk, images cached")]),
    (ZRAM, 0, [("zram", "reclaimed to zram")]),
    (NO_ZRAM, 2048, [("swap", "reclaimed to a swap file")]),
]
WAYS = [("running", "running"), *(way for _, _, ways in HOSTS for way in ways)]


def size_text(kib):
    return f"{kib} KiB" if kib < 1024 else f"{kib // 1024} MiB"


def put_to_sleep(server, way):
    if way == "running":
        server.wake()
    elif way == "disk":
        server.hibernate()
    else:
        server.suspend()


def measure_way(server, client, way, pages):
    """Milliseconds to the first row of a new connection, and of the query that then reads it all."""
    put_to_sleep(server, way)
    time.sleep(PAUSE)
    first = client.milliseconds("connect")
    read = client.milliseconds(f"sql SELECT sum(n) FROM warm WHERE ctid < '({pages},0)'")
    if server.get()["phase"] != "ready":
        raise RuntimeError("the query was answered and the machine is not awake")
    time.sleep(PAUSE)
    return first, read


def measure_size(server, ways, kib, rounds):
    say(f"workset, {size_text(kib)}, {', '.join(way for way, _ in ways)}")
    pages = kib // PAGE_KIB
    samples = {way: {"first": [], "read": []} for way in ["running", *(way for way, _ in ways)]}
    server.restart()
    prewarm_pages(server.address, pages)
    client = Client(server.address)
    client.ask("open")
    for number in range(rounds + 1):
        for way, kept in samples.items():
            first, read = measure_way(server, client, way, pages)
            if number > 0:  # the first round warms up: caches, hot set
                kept["first"].append(first)
                kept["read"].append(read)
    client.close()
    return samples


def measure(options):
    sizes = [size for size in SIZES_KIB if size <= options.largest * 1024]
    results = {way: {size: {"first": [], "read": []} for size in sizes} for way, _ in WAYS}
    for settings, swap_mib, ways in HOSTS:
        with Host(settings, swap_mib) as host:
            server = Server(host, "reclaim: false" not in settings, memory=2 * BUFFERS_MIB + 512,
                            size=f"{3 * sizes[-1] // 1024 + 400}Mi",
                            command=("postgres", "-c", f"shared_buffers={BUFFERS_MIB}MB"))
            make_table(server.address, max(1, sizes[-1] // 1024))
            for size in sizes:
                for way, samples in measure_size(server, ways, size, max(3, options.rounds // 4)).items():
                    for what, values in samples.items():
                        results[way][size][what] += values
    return {way: [{"kib": size, **samples} for size, samples in of_size.items()] for way, of_size in results.items()}


def rows_of(results, what):
    for number, running in enumerate(results["running"]):
        base = median(running[what])
        cells = [f"{base:.2f}"]
        for way, _ in WAYS[1:]:
            values = results[way][number][what]
            cells.append(f"{median(values):.2f} ({spread(values)}; {quantile(values, 0.99):.1f}) **{median(values) / base:.1f}**")
        yield (size_text(running["kib"]), *cells)


def report(results, options):
    head = ("warm", *(label for _, label in WAYS))
    return ["# A wake by the data that is warm", "",
            f"A table of which that much lies in the shared buffers, and is read after each wake. Milliseconds: the median, in "
            f"brackets the quartiles and the slowest, in bold the ratio to the running server; {len(results['zram'][0]['first'])} "
            f"times each, in turns with the running server. PostgreSQL's own page, of 8 KiB, is the least that there is.", "",
            "## First row of a new connection", "", *table(head, rows_of(results, "first")), "",
            "## A query that reads all of it, right after that", "", *table(head, rows_of(results, "read"))]


def plots(results):
    places = [of_size["kib"] for of_size in results["running"]]
    return [(f"workset-{what}", title,
             {"x": ("warm KiB", places), **{label: [median(of_size[what]) for of_size in results[way]] for way, label in WAYS}})
            for what, title in (("first", "First row of a new connection, by warm data (ms)"),
                                ("read", "Reading all warm data after a wake (ms)"))]
