"""
Suspend, disk, wake, again and again under pgbench and under clients of our own, some of which connect anew for each
transaction while others stay: no error, no hang, each acknowledged row is there, the sums agree, the indexes are whole.

LTTLE_HIBERNATE_CYCLES: how many restores from disk there must have been.
"""

import os
import random
import re
import subprocess
import threading
import time

import harness
import pytest
from harness import rows

CYCLES = int(os.environ.get("LTTLE_HIBERNATE_CYCLES", "15"))
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
SLICE_SECONDS = 5
ANSWER_DEADLINE = 60.0
IDLE = "150ms"
TO_DISK = "100ms"
# All clients together ask so seldom that the server sleeps and often gets to disk between two of them.
RATE = "0.4"
LONGEST_PAUSE = 8.0
SUMS = """SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
                 (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history),
                 (SELECT count(*) FROM pgbench_history)"""


@pytest.fixture(scope="module")
def bank(own_host):
    server = harness.Database(own_host, "bank", timeout=IDLE, flash=f"hibernate-after: {TO_DISK}", memory=384, size="500Mi",
                              wait=False)
    server.wait("hibernated")
    server.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '100ms'")
    server.query("SELECT pg_reload_conf()")
    pgbench(server, "-i", "-q")
    yield server
    server.delete()


def pgbench(server, *arguments):
    done = subprocess.run(
        [PGBENCH, "-h", server.address, "-U", "user", *arguments, "db"], capture_output=True, text=True,
        env={**os.environ, "PGPASSWORD": "password"}, timeout=ANSWER_DEADLINE + SLICE_SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


class Worker(threading.Thread):
    """Something that goes on until it is told to stop, and whose first error is kept."""

    def __init__(self, name, stop, work):
        super().__init__(name=name, daemon=True)
        self.stop, self.work, self.error, self.acknowledged, self.slowest = stop, work, None, 0, 0.0

    def run(self):
        try:
            while not self.stop.is_set():
                self.work(self)
        except Exception as error:  # noqa: BLE001
            self.error = f"{self.name}: {error!r}"
            self.stop.set()


def bench_slices(server, *arguments):
    """pgbench, for some seconds at a time, and the transactions that it says were done."""

    def work(worker):
        said = pgbench(server, "-n", "-T", str(SLICE_SECONDS), "-R", RATE, *arguments)
        assert re.search(r"number of failed transactions: 0 ", said), said
        worker.acknowledged += int(re.search(r"number of transactions actually processed: (\d+)", said)[1])

    return work


def transfers(server, chance, stays):
    """A transaction like pgbench's, with a pause before, and sometimes one inside, around the time to disk."""
    address, kept = server.address, {}

    def connect():
        connection = harness.psycopg2.connect(host=address, user="user", password="password", dbname="db")
        connection.autocommit = False
        return connection

    def work(worker):
        worker.stop.wait(chance.uniform(0, LONGEST_PAUSE))
        began = time.monotonic()
        connection = kept.pop("connection", None) or connect()
        account, teller, delta = chance.randint(1, 100000), chance.randint(1, 10), chance.randint(-5000, 5000)
        rows(connection, "UPDATE pgbench_accounts SET abalance = abalance + %s WHERE aid = %s", delta, account)
        if chance.random() < 0.3:
            began += (pause := chance.uniform(0, 1.5))
            time.sleep(pause)
        rows(connection, "UPDATE pgbench_tellers SET tbalance = tbalance + %s WHERE tid = %s", delta, teller)
        rows(connection, "UPDATE pgbench_branches SET bbalance = bbalance + %s WHERE bid = 1", delta)
        rows(connection, "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (%s, 1, %s, %s, now())",
             teller, account, delta)
        connection.commit()
        worker.acknowledged += 1
        worker.slowest = max(worker.slowest, time.monotonic() - began)
        if stays:
            kept["connection"] = connection
        else:
            connection.close()

    return work


def numbered_rows(server, chance, number, stays):
    """Rows with a number of their own, in order: any that is missing or there twice is seen."""
    kept = {}

    def work(worker):
        worker.stop.wait(chance.uniform(0, LONGEST_PAUSE))
        began = time.monotonic()
        connection = kept.pop("connection", None) or server.connect()
        rows(connection, "INSERT INTO told VALUES (%s, %s)", number, worker.acknowledged + 1)
        worker.acknowledged += 1
        worker.slowest = max(worker.slowest, time.monotonic() - began)
        if stays:
            kept["connection"] = connection
        else:
            connection.close()

    return work


class Restores:
    """Counts the returns from disk in the event log, beginning now."""

    def __init__(self, server):
        self.server, self.count, self.newest = server, 0, 0
        self.look()
        self.count = 0

    def look(self):
        events = self.server.host.json("events", "--ns", self.server.namespace, "--name", self.server.name, "--last", "1000")
        for event in (e for e in events if e["id"] > self.newest):
            self.newest = event["id"]
            self.count += event["reason"].startswith("restored from disk")
            assert "cold" not in event["reason"], event
        return self.count


def test_cycles_under_pgbench_and_clients_of_our_own(bank):
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    bank.query("CREATE TABLE told (client int, number int, PRIMARY KEY (client, number))")
    stop, restores = threading.Event(), Restores(bank)
    benches = [Worker("pgbench -C", stop, bench_slices(bank, "-C")),
               Worker("pgbench -M prepared", stop, bench_slices(bank, "-M", "prepared"))]
    tellers = [Worker(f"transfers {n}", stop, transfers(bank, random.Random(seed + n), n == 0)) for n in range(2)]
    counters = [Worker(f"rows {n}", stop, numbered_rows(bank, random.Random(~seed + n), n, n == 0)) for n in range(2)]
    workers = benches + tellers + counters
    for worker in workers:
        worker.start()
    end = time.monotonic() + 120 + 10 * CYCLES
    while restores.look() < CYCLES and not stop.is_set() and time.monotonic() < end:
        # Asks nothing of the server, so it neither wakes it nor keeps it awake.
        time.sleep(0.5)
    stop.set()
    for worker in workers:
        worker.join(timeout=ANSWER_DEADLINE + SLICE_SECONDS)
    assert [w.name for w in workers if w.is_alive()] == [], "clients hang"
    assert [w.error for w in workers if w.error] == []
    assert restores.look() >= CYCLES, f"only {restores.count} returns from disk"

    accounts, at_tellers, branches, history, count = bank.query(SUMS)[0]
    assert accounts == at_tellers == branches == history
    assert count == sum(w.acknowledged for w in benches + tellers)
    told = {c: (n, m) for c, n, m in bank.query("SELECT client, count(*), max(number) FROM told GROUP BY 1")}
    assert told == {n: (w.acknowledged, w.acknowledged) for n, w in enumerate(counters)}
    check_indexes(bank)
    print(f"{restores.count} returns from disk, {count} transactions, "
          f"{sum(w.acknowledged for w in counters)} rows, slowest {max(w.slowest for w in tellers + counters):.2f} s")


def check_indexes(server):
    """Every table and B-tree of the database by the image's own pg_amcheck; it fails with what it finds."""
    done = server.host.cli("machine", "exec", "--ns", server.namespace, server.name, "pg_amcheck", "-U", "user", "-d", "db",
                           "--install-missing", "--heapallindexed", "--parent-check", "--verbose", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'checking btree index "db.public.pgbench_accounts_pkey"' in done.stdout + done.stderr, done.stderr[-2000:]
