"""More servers are wanted at once than are restored at a time: they queue in the order of their clients."""

import os
import threading

import harness
import pytest

SERVERS = 6


@pytest.fixture(scope="module")
def one_at_a_time():
    with harness.Coordinator(f"q{os.getpid() % 100000:05d}", harness.subnet(1), "max-resumes: 1\n") as coordinator:
        yield coordinator


def test_all_are_served_in_the_order_of_their_clients(one_at_a_time):
    servers = [harness.Database(one_at_a_time, f"queued-{n}", wait=False) for n in range(SERVERS)]
    for server in servers:
        server.wait("suspended")
    sessions = [server.connect() for server in servers[::2]]
    for server in servers:
        server.hibernate()
    newest = max(event["id"] for event in one_at_a_time.json("events", "--ns", "samples", "--last", "1"))
    addresses = [server.address for server in servers]
    gate, answers, errors = threading.Barrier(2 * SERVERS), [], []

    def ask(number, session):
        try:
            gate.wait(30)
            if session is None:
                session = harness.psycopg2.connect(
                    host=addresses[number], user="user", password="password", dbname="db")
            answers.append(harness.rows(session, "SELECT %s", number)[0][0])
            session.close()
        except Exception as error:  # noqa: BLE001
            errors.append(f"client of {number}: {error!r}")

    # Two clients each: every other server has an open session and a new one, the rest have two new ones.
    asks = [(number, None) for number in range(SERVERS)]
    asks += [(number, sessions[number // 2] if number % 2 == 0 else None) for number in range(SERVERS)]
    threads = [threading.Thread(target=ask, args=one, daemon=True) for one in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == [] and sorted(answers) == sorted(2 * list(range(SERVERS)))

    events = [e for e in one_at_a_time.json("events", "--ns", "samples", "--last", "1000") if e["id"] > newest]
    came = [e["name"] for e in events if e["phase"] == "resuming"]
    restored = [e["name"] for e in events if e["reason"].startswith("restored from disk")]
    assert sorted(came) == sorted(server.name for server in servers)
    assert restored == came
    # They did queue: not each was there again before the next one came.
    steps = [e["phase"] == "resuming" for e in events
             if e["phase"] == "resuming" or e["reason"].startswith("restored from disk")]
    assert steps != [True, False] * SERVERS
    assert [server.get()["restarts"] for server in servers] == [0] * SERVERS
    for server in servers:
        server.delete()
