"""What wakes a sleeping server, what does not, and what survives the sleep."""

import select
import socket
import struct
import threading
import time

import harness
from harness import rows, wait_until


def test_a_query_on_an_open_session_wakes(database):
    session = database.connect()
    pid = rows(session, "SELECT pg_backend_pid()")[0][0]
    database.wait("suspended")
    wakes = database.get()["wakes"]
    assert rows(session, "SELECT pg_backend_pid()")[0][0] == pid
    after = database.get()
    assert after["wakes"] == wakes + 1
    assert "session" in after["woken-by"]
    session.close()


def test_a_new_connection_wakes(database):
    database.wait("suspended")
    wakes = database.get()["wakes"]
    assert database.query("SELECT 1") == [(1,)]
    assert database.get()["wakes"] > wakes


def test_everything_a_session_holds_survives(database):
    session = database.connect(application_name="survivor")
    listener = database.connect()
    rows(session, "CREATE TEMP TABLE remembered AS SELECT generate_series(1, 1000) AS n")
    rows(session, "PREPARE twice(int) AS SELECT $1 * 2")
    rows(session, "SET my.setting = 'kept'")
    rows(session, "SET work_mem = '7MB'")
    rows(session, "SELECT pg_advisory_lock(4711)")
    rows(listener, "LISTEN news")
    for _ in range(3):
        database.wait("suspended")
        assert rows(session, "SELECT sum(n) FROM remembered") == [(500500,)]
        assert rows(session, "EXECUTE twice(21)") == [(42,)]
        assert rows(session, "SHOW my.setting") == [("kept",)]
        assert rows(session, "SHOW work_mem") == [("7MB",)]
        assert rows(session, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711") == [(1,)]
    database.wait("suspended")
    rows(session, "NOTIFY news, 'awake'")
    wait_until("the notification", lambda: select.select([listener], [], [], 0.1)[0])
    listener.poll()
    assert [n.payload for n in listener.notifies] == ["awake"]
    session.close()
    listener.close()


def test_an_open_cursor_and_transaction_survive_a_forced_sleep(host, database):
    session = database.connect()
    session.autocommit = False
    with session.cursor() as cursor:
        cursor.execute("SET LOCAL lttle.note = 'x'; DECLARE c CURSOR FOR SELECT generate_series(1, 10)")
        cursor.execute("FETCH 3 FROM c")
        assert cursor.fetchall() == [(1,), (2,), (3,)]
        refused = host.cli("machine", "suspend", "--ns", database.namespace, database.name, check=False)
        assert refused.returncode != 0 and "transaction" in refused.stderr
        cursor.execute("FETCH 2 FROM c")
        assert cursor.fetchall() == [(4,), (5,)]
    session.commit()
    session.close()


def no_wake_during(database, action):
    """Performs the action on the sleeping server and proves by a later event that it woke nobody."""
    database.wait("suspended")
    before = database.get()
    result = action(before["address"])
    # The proof that the coordinator has seen it is the order of its own event queue: this request comes after.
    for _ in range(20):
        assert database.get()["phase"] == "suspended"
        time.sleep(0.02)
    assert database.get()["wakes"] == before["wakes"]
    return result


def test_a_bare_tcp_probe_wakes_nobody(database):
    def probe(address):
        for _ in range(20):
            harness.tcp_connect(address).close()

    no_wake_during(database, probe)


def test_a_probe_that_resets_wakes_nobody(database):
    def probe(address):
        for _ in range(5):
            connection = harness.tcp_connect(address)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    no_wake_during(database, probe)


def test_a_silent_connection_wakes_nobody_until_it_speaks(database):
    silent = no_wake_during(database, harness.tcp_connect)
    wakes = database.get()["wakes"]
    silent.sendall(struct.pack("!II", 8, 80877103))  # SSLRequest
    assert silent.recv(1) in (b"S", b"N")
    assert database.get()["wakes"] == wakes + 1
    silent.close()


def test_a_session_that_merely_ends_wakes_nobody(database):
    ending, resetting = database.connect(), database.connect()

    def end(_address):
        ending.close()
        raw = socket.socket(fileno=resetting.fileno())
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    no_wake_during(database, end)
    wait_until(
        "the two sessions to be gone",
        lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") == [(1,)],
    )


def test_a_client_sees_the_end_of_a_session_that_the_server_ends(database):
    """A duplicate that the coordinator still held would keep the connection open for ever."""
    session = database.connect()
    pid = rows(session, "SELECT pg_backend_pid()")[0][0]
    database.wait("suspended")
    database.query(f"SELECT pg_terminate_backend({pid})")
    raw = socket.socket(fileno=socket.dup(session.fileno()))
    raw.settimeout(10)
    while raw.recv(4096):
        pass
    raw.close()


def test_cancel_requests_work_on_a_server_that_slept(database):
    session = database.connect()
    database.wait("suspended")
    outcome = []

    def run():
        try:
            rows(session, "SELECT pg_sleep(60)")
        except Exception as error:  # noqa: BLE001
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(
        "the statement to run",
        lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == [(1,)],
    )
    session.cancel()
    thread.join(timeout=harness.DEADLINE)
    assert not thread.is_alive()
    assert "canceling statement due to user request" in str(outcome[0])
    session.close()


def test_client_address_is_the_clients_own(database):
    session = database.connect()
    local = socket.socket(fileno=socket.dup(session.fileno())).getsockname()[0]
    assert rows(session, "SELECT host(inet_client_addr())") == [(local,)]
    session.close()
