"""Clients that ask at the very moment of suspending: nothing is lost, nothing hangs, nobody sees an error."""

import os
import random
import threading
import time

import harness
import psycopg2
from harness import rows

SUSPENDS = int(os.environ.get("LTTLE_TORTURE_SUSPENDS", "200"))
ANSWER_DEADLINE = 20.0
TIMEOUT_MS = 40


class Client(threading.Thread):
    """Inserts numbered rows, with pauses drawn around the suspend time-out, and knows which were acknowledged."""

    def __init__(self, server, number, keeps_session, stop, seed):
        super().__init__()
        self.server, self.number, self.keeps_session, self.stop = server, number, keeps_session, stop
        self.random = random.Random(seed * 1000 + number)
        self.address = server.address
        self.acknowledged = 0
        self.slowest = 0.0
        self.errors = []

    def connect(self):
        connection = psycopg2.connect(host=self.address, user="user", password="password", dbname="db")
        connection.autocommit = True
        return connection

    def run(self):
        connection = None
        try:
            while not self.stop.is_set():
                started = time.monotonic()
                connection = connection or self.connect()
                rows(connection, "INSERT INTO told VALUES (%s, %s)", self.number, self.acknowledged + 1)
                self.acknowledged += 1
                self.slowest = max(self.slowest, time.monotonic() - started)
                if not self.keeps_session:
                    connection.close()
                    connection = None
                time.sleep(self.random.uniform(0.5, 3.5) * TIMEOUT_MS / 1000)
        except Exception as error:  # noqa: BLE001
            self.errors.append(f"client {self.number}: {error!r}")
        finally:
            if connection is not None:
                connection.close()


def test_suspends_against_clients_that_ask_at_random_moments(host):
    seed = int(os.environ.get("LTTLE_SEED", str(random.randrange(1 << 30))))
    print(f"replay with LTTLE_SEED={seed}")
    server = harness.Database(host, "torture", timeout=f"{TIMEOUT_MS}ms")
    try:
        server.query("CREATE TABLE told (client int, number int, PRIMARY KEY (client, number))")
        stop = threading.Event()
        clients = [Client(server, number, number % 2 == 0, stop, seed) for number in range(2)]
        begin = server.get()["suspends"]
        for client in clients:
            client.start()
        try:
            harness.wait_until(
                lambda: f"{SUSPENDS} suspends; there were {server.get()['suspends'] - begin}",
                lambda: server.get()["suspends"] - begin >= SUSPENDS or any(c.errors for c in clients),
                600,
            )
        finally:
            stop.set()
            for client in clients:
                client.join(timeout=ANSWER_DEADLINE)
        hung = [client.number for client in clients if client.is_alive()]
        assert not hung, f"clients hang: {hung}; seed {seed}"
        assert [e for c in clients for e in c.errors] == [], f"seed {seed}"
        told = dict((c, (n, m)) for c, n, m in server.query("SELECT client, count(*), max(number) FROM told GROUP BY 1"))
        for client in clients:
            assert told[client.number] == (client.acknowledged, client.acknowledged), f"seed {seed}"
            assert client.slowest < ANSWER_DEADLINE
        print(f"{server.get()['suspends'] - begin} suspends, {sum(c.acknowledged for c in clients)} rows")
    finally:
        server.delete()
