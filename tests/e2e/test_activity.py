"""What keeps a server awake: nothing idle does, everything at work does, and `machine get` says which."""

import select
import socket
import struct
import subprocess
import threading
import time

import harness
from harness import rows, wait_until


def stays_awake(database, seconds=2.5):
    """Looks for several suspend time-outs (500 ms each) and asserts that it was never asleep."""
    before = database.get()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = database.get()
        assert state["phase"] in ("ready", "suspending"), state
        assert state["suspends"] == before["suspends"]
        time.sleep(0.05)
    return database.get()


class Background:
    """A statement that runs in a session of its own."""

    def __init__(self, database, sql):
        self.session = database.connect()
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(sql,))
        self.thread.start()
        wait_until("the statement to run", lambda: "statement" in (database.get()["awake-because"] or ""))

    def _run(self, sql):
        try:
            rows(self.session, sql)
        except Exception as error:  # noqa: BLE001
            self.error = error

    def end(self):
        self.session.cancel()
        self.thread.join(timeout=30)
        assert not self.thread.is_alive()
        self.session.close()


def test_a_long_query_keeps_it_awake(database):
    running = Background(database, "SELECT pg_sleep(60)")
    state = stays_awake(database)
    assert "statement" in state["awake-because"]
    running.end()
    database.wait("suspended")


def test_a_copy_that_waits_for_its_client_keeps_it_awake(database):
    database.query("CREATE TABLE IF NOT EXISTS copied (n int)")
    raw = RawSession(database)
    raw.query("COPY copied FROM STDIN", until=b"G")
    assert "statement" in stays_awake(database)["awake-because"]
    raw.send(b"d", b"1\n")
    raw.send(b"c", b"")
    raw.wait_ready()
    raw.close()
    database.wait("suspended")
    assert database.query("SELECT count(*) FROM copied")[0][0] >= 1


def test_vacuum_keeps_it_awake(database):
    database.query("CREATE TABLE IF NOT EXISTS swept AS SELECT n, md5(n::text) AS t FROM generate_series(1, 60000) n")
    database.query("DELETE FROM swept WHERE n % 2 = 0")
    session = database.connect()
    rows(session, "SET vacuum_cost_delay = '20ms'")
    rows(session, "SET vacuum_cost_limit = 1")
    thread = threading.Thread(target=lambda: suppress(rows, session, "VACUUM swept"))
    thread.start()
    wait_until(
        "VACUUM to run",
        lambda: database.query("SELECT count(*) FROM pg_stat_progress_vacuum") == [(1,)],
    )
    assert "statement" in stays_awake(database)["awake-because"]
    session.cancel()
    thread.join(timeout=30)
    session.close()
    database.wait("suspended")


def suppress(function, *arguments):
    try:
        function(*arguments)
    except Exception:  # noqa: BLE001
        pass


def test_an_open_transaction_keeps_it_awake_for_its_hold(database):
    database.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '3s'")
    database.query("SELECT pg_reload_conf()")
    session = database.connect()
    session.autocommit = False
    rows(session, "CREATE TEMP TABLE open_work (n int)")
    began = time.monotonic()
    state = wait_until("the transaction to be seen", lambda: "transaction" in (database.get()["awake-because"] or "")
                       and database.get())
    assert state["phase"] == "ready"
    database.wait("suspended")
    assert time.monotonic() - began >= 3.0, "suspended before the hold was over"
    rows(session, "INSERT INTO open_work VALUES (1)")
    assert rows(session, "SELECT count(*) FROM open_work") == [(1,)]
    session.commit()
    session.close()
    database.query("ALTER SYSTEM RESET lttle_pg.transaction_hold")
    database.query("SELECT pg_reload_conf()")
    database.wait("suspended")


def test_a_flash_lock_keeps_it_awake(database):
    database.query("CREATE EXTENSION IF NOT EXISTS lttle_pg")
    session = database.connect()
    rows(session, "SELECT lttle.flash_lock('migration')")
    state = stays_awake(database)
    assert "lock" in state["awake-because"] and "migration" in state["awake-because"]
    rows(session, "SELECT lttle.flash_unlock('migration')")
    database.wait("suspended")
    rows(session, "SELECT lttle.flash_lock('migration')")
    stays_awake(database, 1.5)
    session.close()
    database.wait("suspended")


def test_flash_snapshot_suspends_at_once(database):
    database.query("CREATE EXTENSION IF NOT EXISTS lttle_pg")
    session = database.connect()
    suspends = database.get()["suspends"]
    rows(session, "SELECT lttle.flash_snapshot('10 seconds')")
    wait_until("the snapshot", lambda: database.get()["suspends"] > suspends)
    status = rows(session, "SELECT connected, suspends FROM lttle.flash_status()")
    assert status[0][0] is True and status[0][1] >= 1
    session.close()
    database.wait("suspended")


def test_exec_wakes_and_holds_it_awake(host, database):
    database.wait("suspended")
    program = subprocess.Popen(
        [str(harness.LTTLE), "--socket", str(host.socket), "machine", "exec", "--ns", database.namespace, database.name,
         "-i", "sh", "-c", "echo inside; read line; exit 7"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert program.stdout.readline() == "inside\n"
    state = stays_awake(database)
    assert "exec" in state["awake-because"]
    assert state["woken-by"] == "exec"
    program.communicate("\n", timeout=30)
    assert program.returncode == 7
    database.wait("suspended")


def test_connection_aware_stays_awake_while_connected(host):
    server = harness.Database(host, "aware", traffic_aware=False)
    try:
        session = server.connect()
        assert "connection" in stays_awake(server)["awake-because"]
        session.close()
        server.wait("suspended")
    finally:
        server.delete()


class RawSession:
    """A session that speaks the protocol byte by byte, for what a driver would not do."""

    def __init__(self, database):
        self.connection = database.connect()
        self.socket = socket.socket(fileno=socket.dup(self.connection.fileno()))
        self.socket.settimeout(30)
        self.buffer = b""

    def send(self, kind, payload):
        self.socket.sendall(kind + (len(payload) + 4).to_bytes(4, "big") + payload)

    def message(self):
        while len(self.buffer) < 5 or len(self.buffer) < 1 + int.from_bytes(self.buffer[1:5], "big"):
            more = self.socket.recv(65536)
            assert more, "the server closed the connection"
            self.buffer += more
        length = 1 + int.from_bytes(self.buffer[1:5], "big")
        message, self.buffer = self.buffer[:length], self.buffer[length:]
        return message

    def until(self, kind):
        while True:
            message = self.message()
            assert message[:1] != b"E", message
            if message[:1] == kind:
                return message

    def query(self, sql, until=b"Z"):
        self.send(b"Q", sql.encode() + b"\0")
        return self.until(until)

    def wait_ready(self):
        return self.until(b"Z")

    def close(self):
        self.send(b"X", b"")
        self.socket.close()
        self.connection.close()


def test_an_extended_protocol_sync_left_open_keeps_it_awake(database):
    raw = RawSession(database)
    raw.send(b"P", b"\0SELECT 1\0" + (0).to_bytes(2, "big"))
    raw.send(b"B", b"\0\0" + (0).to_bytes(2, "big") * 3)
    raw.send(b"E", b"\0" + (0).to_bytes(4, "big"))
    raw.send(b"H", b"")
    raw.until(b"C")
    stays_awake(database)
    raw.send(b"S", b"")
    raw.wait_ready()
    raw.close()
    database.wait("suspended")


def answered(raw):
    return select.select([raw.socket], [], [], 0.05)[0] != []


def test_a_fast_path_call_keeps_it_awake(database):
    oid = database.query("SELECT 'pg_sleep'::regproc::oid")[0][0]
    raw = RawSession(database)
    argument = struct.pack("!d", 3.0)
    raw.send(b"F", struct.pack("!I", oid) + struct.pack("!hh", 1, 1) + struct.pack("!h", 1)
             + struct.pack("!i", len(argument)) + argument + struct.pack("!h", 1))
    suspends = wait_until("the call to run", lambda: "statement" in (database.get()["awake-because"] or "")
                          and str(database.get()["suspends"]))
    while not answered(raw):
        state = database.get()
        assert answered(raw) or (state["phase"] in ("ready", "suspending") and str(state["suspends"]) == suspends), state
    raw.wait_ready()
    raw.close()
    database.wait("suspended")
