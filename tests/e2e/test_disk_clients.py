"""Many clients at once at a server on disk, bare probes of it, and everything that a session holds meanwhile."""

import select
import socket
import struct
import threading
import time

import harness
import psycopg2
import pytest
from harness import rows, wait_until

CLIENTS = 200
SESSIONS = 50
ANSWER_DEADLINE = 60.0


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "crowd", memory=768)
    server.query(f"ALTER SYSTEM SET max_connections = {CLIENTS + SESSIONS + 10}")
    server.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '200ms'")
    own_host.cli("machine", "restart", "--ns", server.namespace, server.name)
    server.query("CREATE TABLE seen (n int)")
    yield server
    server.delete()


def all_at_once(functions):
    """Calls each in a thread of its own, all let go at one moment; what each returned or raised, in their order."""
    gate, results = threading.Barrier(len(functions)), [None] * len(functions)

    def call(index):
        gate.wait(ANSWER_DEADLINE)
        try:
            results[index] = functions[index]()
        except Exception as error:  # noqa: BLE001
            results[index] = repr(error)

    threads = [threading.Thread(target=call, args=(index,), daemon=True) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + ANSWER_DEADLINE
    for thread in threads:
        thread.join(timeout=max(0.0, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), f"clients hang: {results}"
    return results


def new_client(address, number):
    def ask():
        connection = psycopg2.connect(host=address, user="user", password="password", dbname="db")
        try:
            return rows(connection, "SELECT %s, pg_backend_pid() > 0", number)[0][0]
        finally:
            connection.close()

    return ask


def open_sessions(server, count):
    """Sessions with something of their own; the question each can be asked, and its answer."""
    sessions = [server.connect() for _ in range(count)]
    for number, session in enumerate(sessions):
        rows(session, f"SET my.number = '{number}'")
        rows(session, f"PREPARE mine AS SELECT current_setting('my.number')::int, {number}")
    return sessions


def session_client(session, number):
    def ask():
        assert rows(session, "EXECUTE mine") == [(number, number)]
        return number

    return ask


def test_200_new_clients_at_once(server):
    server.hibernate()
    wakes, address = server.get()["wakes"], server.address
    assert all_at_once([new_client(address, n) for n in range(CLIENTS)]) == list(range(CLIENTS))
    assert server.get()["wakes"] > wakes


def test_50_open_sessions_at_once(server):
    sessions = open_sessions(server, SESSIONS)
    for _ in range(2):
        server.hibernate()
        wakes = server.get()["wakes"]
        asked = all_at_once([session_client(session, n) for n, session in enumerate(sessions)])
        assert asked == list(range(SESSIONS))
        assert server.get()["wakes"] > wakes
    for session in sessions:
        session.close()


def test_new_clients_and_open_sessions_at_once(server):
    sessions = open_sessions(server, SESSIONS)
    server.hibernate()
    address = server.address
    asks = [session_client(session, n) for n, session in enumerate(sessions)]
    asks += [new_client(address, n) for n in range(SESSIONS, SESSIONS + 100)]
    assert all_at_once(asks) == list(range(SESSIONS + 100))
    for session in sessions:
        session.close()


def test_clients_that_come_all_the_while(server):
    """They come in every phase: while it is written, while it is on disk, while it is restored."""
    address, stop, errors, served = server.address, threading.Event(), [], [0] * 8
    newest = server.host.json("events", "--ns", server.namespace, "--name", server.name, "--last", "1")[-1]["id"]

    def come(client):
        while not stop.is_set():
            try:
                assert new_client(address, client)() == client
                served[client] += 1
            except Exception as error:  # noqa: BLE001
                errors.append(f"client {client}: {error!r}")
                return
            stop.wait(0.2 * (client + 1))

    threads = [threading.Thread(target=come, args=(client,), daemon=True) for client in range(len(served))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            # One that a client's coming has stopped half-way counts too: who came was served.
            server.host.cli("machine", "hibernate", "--ns", server.namespace, server.name, check=False)
            before = sum(served)
            wait_until("clients to be served", lambda: errors or sum(served) > before + len(served))
    finally:
        stop.set()
    for thread in threads:
        thread.join(timeout=ANSWER_DEADLINE)
    events = server.host.json("events", "--ns", server.namespace, "--name", server.name, "--last", "1000")
    assert any(event["id"] > newest and event["phase"] == "hibernating" for event in events)
    assert errors == [] and not any(thread.is_alive() for thread in threads)


# ---- probes ----


def connect_and_close(address):
    harness.tcp_connect(address).close()


def connect_and_reset(address):
    connection = harness.tcp_connect(address)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_open(address):
    """As a port scan does: closed before the three-way handshake can be told from its end."""
    probe = socket.socket()
    probe.setblocking(False)
    probe.connect_ex((address, 5432))
    probe.close()


def scan(address):
    """All ports of the machine that a scan would try first; one answers, the others refuse."""
    answers = []
    for port in (21, 22, 25, 80, 443, 3306, 5431, 5432, 5433, 6379, 8080):
        try:
            harness.tcp_connect(address, port).close()
            answers.append(port)
        except ConnectionRefusedError:
            pass
    assert answers == [5432]


def sleeps_through(server, action):
    """Performs the action on the server on disk, which must stay there; the last look is later than all that it did."""
    before = server.get()
    assert before["phase"] == "hibernated"
    result = action(before["address"])
    for _ in range(60):
        state = server.get()
        assert state["phase"] == "hibernated" and state["wakes"] == before["wakes"], state
        time.sleep(0.02)
    return result


def test_probes_wake_nobody_and_a_client_after_them_is_served(server):
    server.hibernate()
    for probe, times in ((connect_and_close, 100), (connect_and_reset, 100), (half_open, 100), (scan, 3)):
        sleeps_through(server, lambda address: [probe(address) for _ in range(times)])
    silent = sleeps_through(server, lambda address: [harness.tcp_connect(address) for _ in range(100)])
    wakes = server.get()["wakes"]
    assert server.query("SELECT 42") == [(42,)]
    assert server.get()["wakes"] > wakes
    for connection in silent:
        connection.close()


def test_silent_connections_do_not_keep_a_client_from_its_answer(server):
    """More of them than the server accepts, and one of them speaks after all."""
    server.hibernate()
    silent = sleeps_through(server, lambda address: [harness.tcp_connect(address) for _ in range(60)])
    silent[-1].sendall(struct.pack("!II", 8, 80877103))  # SSLRequest
    silent[-1].settimeout(ANSWER_DEADLINE)
    assert silent[-1].recv(1) in (b"S", b"N")
    assert server.query("SELECT 42") == [(42,)]
    for connection in silent:
        connection.close()


# ---- what a session holds ----


def test_an_open_transaction_with_all_that_is_in_it(server):
    session, other = server.connect(), server.connect()
    session.autocommit = False
    rows(session, "INSERT INTO seen VALUES (1)")
    rows(session, "SAVEPOINT here")
    rows(session, "INSERT INTO seen VALUES (2)")
    rows(session, "DECLARE steps CURSOR FOR SELECT generate_series(1, 10)")
    assert rows(session, "FETCH 3 FROM steps") == [(1,), (2,), (3,)]
    began = rows(session, "SELECT now(), pg_current_xact_id()::text")
    server.hibernate()
    assert rows(session, "SELECT now(), pg_current_xact_id()::text") == began
    server.hibernate()
    assert rows(other, "SELECT count(*) FROM seen") == [(0,)]
    assert rows(session, "FETCH 2 FROM steps") == [(4,), (5,)]
    rows(session, "ROLLBACK TO here")
    assert rows(session, "SELECT n FROM seen") == [(1,)]
    session.commit()
    assert rows(other, "SELECT n FROM seen") == [(1,)]
    session.close()
    other.close()


def test_cursors_with_hold_statements_and_temp_tables(server):
    session = server.connect()
    rows(session, "BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 10); COMMIT")
    rows(session, "CREATE TEMP TABLE mine AS SELECT generate_series(1, 1000) AS n")
    rows(session, "CREATE TEMP SEQUENCE steps; SELECT nextval('steps')")
    rows(session, "PREPARE twice(int) AS SELECT $1 * 2")
    assert rows(session, "FETCH 2 FROM held") == [(1,), (2,)]
    for step in (3, 4):
        server.hibernate()
        assert rows(session, "FETCH 1 FROM held") == [(step,)]
        assert rows(session, "SELECT sum(n) FROM mine") == [(500500,)]
        assert rows(session, "SELECT currval('steps')") == [(1,)]
        assert rows(session, "EXECUTE twice(21)") == [(42,)]
    session.close()


def test_an_advisory_lock_keeps_others_out(server):
    holder, other = server.connect(), server.connect()
    rows(holder, "SELECT pg_advisory_lock(4711)")
    server.hibernate()
    assert rows(other, "SELECT pg_try_advisory_lock(4711)") == [(False,)]
    server.hibernate()
    assert rows(holder, "SELECT pg_advisory_unlock(4711)") == [(True,)]
    assert rows(other, "SELECT pg_try_advisory_lock(4711)") == [(True,)]
    holder.close()
    other.close()


def test_a_notification_from_a_new_client_that_wakes_it(server):
    listener = server.connect()
    rows(listener, "LISTEN news")
    server.hibernate()
    server.query("NOTIFY news, 'while you slept'")
    wait_until("the notification", lambda: select.select([listener], [], [], 0.1)[0])
    listener.poll()
    assert [(n.channel, n.payload) for n in listener.notifies] == [("news", "while you slept")]
    listener.close()


def test_sessions_that_end_on_disk_end_in_the_server_too(server):
    """By Terminate, by a bare FIN, and by a reset: each is told to the server once it is awake, none wakes it."""
    sessions = [server.connect() for _ in range(3)]
    pids = [rows(session, "SELECT pg_backend_pid()")[0][0] for session in sessions]
    server.hibernate()

    def end(_address):
        sessions[0].close()
        raw = [socket.socket(fileno=socket.dup(session.fileno())) for session in sessions[1:]]
        raw[0].shutdown(socket.SHUT_RDWR)
        raw[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for session, duplicate in zip(sessions[1:], raw):
            duplicate.close()
            # The driver's own descriptor is the last one.
            socket.close(session.fileno())

    sleeps_through(server, end)
    wait_until(
        "the three sessions to be gone",
        lambda: server.query(f"SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(ARRAY{pids})") == [(0,)],
    )
