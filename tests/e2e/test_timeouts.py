"""What becomes of PostgreSQL's time-outs that pass while the server is suspended; docs/extension.md has the table."""

import base64
import hashlib
import hmac
import os
import select
import struct
import threading
import time

import harness
import psycopg2
import pytest
from harness import rows, tcp_connect, wait_until

HOLD = 1.0
TIMEOUT = 3.0


@pytest.fixture(scope="module", autouse=True)
def short_hold(database):
    database.query(f"ALTER SYSTEM SET lttle_pg.transaction_hold = '{HOLD}s'")
    database.query("SELECT pg_reload_conf()")
    database.query("CREATE TABLE held (n int)")
    database.wait("suspended")


def sleep_past(database, timeout=TIMEOUT):
    """Sees the server suspended, and that it stays so for longer than the time-out."""
    database.wait("suspended")
    began, suspends = time.monotonic(), database.get()["suspends"]
    while time.monotonic() - began < timeout + 0.5:
        state = database.get()
        assert state["phase"] == "suspended" and state["suspends"] == suspends, state
        time.sleep(0.05)


def asleep_in_time(database, since, timeout):
    """Whether the server was suspended before the time-out that began at `since`; if so, sleeps past it."""
    database.wait("suspended")
    in_time = time.monotonic() - since < timeout
    if in_time:
        sleep_past(database, timeout)
    return in_time


def with_time_enough(attempt, shortest=TIMEOUT):
    """What the attempt gives for a time-out. It gives None where the host was too slow for that, and gets more time."""
    for timeout in (shortest, 4 * shortest, 16 * shortest):
        result = attempt(timeout)
        if result is not None:
            return result
    raise AssertionError("the host is too slow for this test")


def end_of(connection, sql="SELECT 1"):
    """The SQLSTATE that the statement ends with, and whether the session has ended by it."""
    try:
        rows(connection, sql)
    except psycopg2.Error as error:
        return error.pgcode or str(error), connection.closed != 0
    return None, False


def awake_meanwhile(function):
    """What the function gives, whose statement only a time-out ends: under a suspended server that never fires."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(timeout=harness.DEADLINE)
    assert results, "it was suspended meanwhile"
    return results[0]


def test_statement_timeout_runs_while_awake(database):
    session = database.connect()
    rows(session, f"SET statement_timeout = '{TIMEOUT}s'")
    assert awake_meanwhile(lambda: end_of(session, "SELECT pg_sleep(60)")) == ("57014", False)
    sleep_past(database)
    assert rows(session, "SELECT pg_sleep(0.1), 7")[0][1] == 7
    session.close()


@pytest.mark.parametrize(("row_limit", "answer"), [(0, b"C"), (1, b"s")])
def test_statement_timeout_of_a_pipeline_left_open(database, row_limit, answer):
    """Without a Sync it runs on until the statement is complete, awake or not."""

    def attempt(timeout):
        session, began = RawSession(database), time.monotonic()
        session.query(f"SET statement_timeout = '{timeout}s'")
        session.send(b"P", b"\0SELECT generate_series(1, 3)\0" + bytes(2))
        session.send(b"B", b"\0\0" + bytes(6))
        session.send(b"E", b"\0" + struct.pack("!I", row_limit))
        session.send(b"H", b"")
        session.until(answer)
        if asleep_in_time(database, began, timeout):
            return session
        session.close()
        return None

    session = with_time_enough(attempt)
    session.send(b"S", b"")
    if row_limit:
        assert session.sqlstate() == "57014"
    session.until(b"Z")
    session.query("SELECT 1")
    session.close()


def test_lock_timeout_runs_while_awake(database):
    holder, session = database.connect(), database.connect()
    holder.autocommit = False
    rows(holder, "LOCK TABLE held")
    rows(session, f"SET lock_timeout = '{TIMEOUT}s'")
    assert awake_meanwhile(lambda: end_of(session, "SELECT * FROM held")) == ("55P03", False)
    sleep_past(database)
    holder.rollback()
    assert rows(session, "SELECT count(*) FROM held") == [(0,)]
    holder.close()
    session.close()


@pytest.mark.parametrize(
    ("setting", "begin", "sqlstate"),
    [
        ("idle_session_timeout", "", "57P05"),
        ("idle_in_transaction_session_timeout", "BEGIN", "25P03"),
        ("transaction_timeout", "BEGIN", "25P04"),
    ],
)
def test_a_timeout_that_ends_the_session_counts_the_sleep(database, setting, begin, sqlstate):
    def attempt(timeout):
        sessions, began = [RawSession(database) for _ in range(3)], time.monotonic()
        for session in sessions[1:]:
            session.query(f"SET {setting} = '{timeout}s'; {begin}")
        sessions[0].query(begin)
        if asleep_in_time(database, began, timeout):
            return sessions
        for session in sessions:
            session.close()
        return None

    unlimited, bystander, waker = with_time_enough(attempt)
    waker.send(b"Q", b"SELECT 1\0")
    # Its end may come as a reset, since its query is still unread; it is not answered in any case.
    assert waker.end() in (sqlstate, None)
    assert bystander.end() == sqlstate
    unlimited.query("SELECT 1")
    unlimited.close()


def test_idle_session_timeout_that_has_not_passed_goes_on(database):
    session = database.connect()
    rows(session, "SET idle_session_timeout = '1h'")
    sleep_past(database)
    assert end_of(session) == (None, False)
    session.close()


def test_idle_in_transaction_session_timeout_shorter_than_the_hold_fires_awake(database):
    session = RawSession(database)
    session.query(f"SET idle_in_transaction_session_timeout = '{HOLD / 2}s'")
    session.query("BEGIN")
    assert session.end() == "25P03", "under a server that is suspended it would not fire"


@pytest.fixture
def authentication_timeout(database):
    set_option(database, "authentication_timeout", f"{TIMEOUT}s")
    yield
    set_option(database, "authentication_timeout", None)


def set_option(database, name, value):
    database.query(f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}")
    database.query("SELECT pg_reload_conf()")


def test_a_half_open_login_keeps_it_awake_until_its_timeout(database, authentication_timeout):
    """One that was asked for its password."""
    login = RawSession(database, log_in=False)
    login.startup()
    wait_until("the login to be seen", lambda: "login" in (database.get()["not-suspended-because"] or ""))
    login.end()  # under a server that is suspended it would not come
    database.wait("suspended")


def test_a_connection_that_has_said_nothing_is_not_yet_a_login(database, authentication_timeout):
    """The kernel keeps it back from PostgreSQL until it speaks: the time-out begins only then."""
    login = RawSession(database, log_in=False)
    sleep_past(database)
    login.startup()
    login.authenticate()
    login.query("SELECT 1")
    login.close()


def test_tcp_keepalives_go_on_in_the_kernel(database):
    session = database.connect(keepalives=1, keepalives_idle=1, keepalives_interval=1, keepalives_count=2)
    for name, value in (("idle", 1), ("interval", 1), ("count", 2)):
        rows(session, f"SET tcp_keepalives_{name} = {value}")
    sleep_past(database, 5.0)
    assert end_of(session) == (None, False)
    session.close()


def test_client_connection_check_interval(database):
    session = database.connect()
    rows(session, "SET client_connection_check_interval = '1s'")
    sleep_past(database)
    assert end_of(session) == (None, False)
    session.close()
    # A statement whose client has gone would keep the server awake until its end; the check ends it.
    gone = RawSession(database)
    gone.query("SET client_connection_check_interval = '1s'")
    gone.send(b"Q", b"SELECT pg_sleep(3600)\0")
    wait_until("the statement to run", lambda: "statement" in (database.get()["awake-because"] or ""))
    gone.close(terminate=False)
    database.wait("suspended")


class RawSession:
    """A session that speaks the protocol byte by byte, for where a driver would not stop."""

    def __init__(self, database, log_in=True):
        self.socket = tcp_connect(database.address)
        self.socket.settimeout(30)
        self.buffer = b""
        if log_in:
            self.startup()
            self.authenticate()

    def send(self, kind, payload):
        self.socket.sendall(kind + struct.pack("!I", len(payload) + 4) + payload)

    def startup(self):
        self.send(b"", struct.pack("!I", 196608) + b"user\0user\0database\0db\0\0")
        self.challenge = self.until(b"R")

    def authenticate(self):
        assert struct.unpack("!I", self.challenge[5:9]) == (10,), "the server asks for SCRAM"
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n=,r={nonce}"
        answer = f"n,,{first}".encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(answer)) + answer)
        server_first = self.until(b"R")[9:].decode()
        fields = dict(field.split("=", 1) for field in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", b"password", base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={fields['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{server_first},{last}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.send(b"p", f"{last},p={proof}".encode())
        self.until(b"Z")

    def message(self):
        while len(self.buffer) < 5 or len(self.buffer) < 1 + int.from_bytes(self.buffer[1:5], "big"):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionResetError("the server has closed the connection")
            self.buffer += more
        length = 1 + int.from_bytes(self.buffer[1:5], "big")
        message, self.buffer = self.buffer[:length], self.buffer[length:]
        return message

    def until(self, kind):
        while True:
            message = self.message()
            assert message[:1] != b"E" or kind == b"E", message
            if message[:1] == kind:
                return message

    def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        return self.until(b"Z")

    def sqlstate(self):
        return self.until(b"E").split(b"\0C", 1)[1].split(b"\0", 1)[0].decode()

    def end(self):
        """Waits for the server to end the session; the SQLSTATE that it gives for it, or None."""
        state = None
        try:
            while True:
                message = self.message()
                assert message[:1] in (b"E", b"N"), message
                if message[:1] == b"E":
                    state = message.split(b"\0C", 1)[1].split(b"\0", 1)[0].decode()
        except ConnectionResetError:
            return state

    def close(self, terminate=True):
        if terminate:
            try:
                self.send(b"X", b"")
            except OSError:
                pass
        self.socket.close()
