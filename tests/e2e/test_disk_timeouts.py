"""What becomes of PostgreSQL's time-outs while the server is on disk; docs/extension.md has the table."""

import struct
import time

import harness
import pytest
from harness import rows
from test_timeouts import RawSession, end_of, with_time_enough

TIMEOUT = 6.0
ENDING = {
    "idle_session_timeout": ("", "57P05"),
    "idle_in_transaction_session_timeout": ("BEGIN", "25P03"),
    "transaction_timeout": ("BEGIN", "25P04"),
}


@pytest.fixture(scope="module")
def server(own_host):
    server = harness.Database(own_host, "timed")
    server.query("CREATE EXTENSION lttle_pg")
    server.query("ALTER SYSTEM SET lttle_pg.transaction_hold = '100ms'")
    server.query("SELECT pg_reload_conf()")
    yield server
    server.delete()


class Timed:
    """A session that the time-outs may end, and what became of it."""

    def __init__(self, server, settings):
        self.session = RawSession(server)
        self.pid = int(self.first_value("SELECT pg_backend_pid()"))
        self.session.query(settings)
        self.answered = None

    def first_value(self, sql):
        self.session.send(b"Q", sql.encode() + b"\0")
        row = self.session.until(b"D")
        self.session.until(b"Z")
        return row[11:].decode()

    def ask(self):
        self.session.send(b"Q", b"SELECT 1\0")

    def answer(self):
        """Whether the question was answered, as opposed to the session's end."""
        message = self.session.message()
        if message[:1] == b"T":
            self.session.until(b"Z")
            return True
        assert message[:1] == b"E", message
        return message.split(b"\0C", 1)[1].split(b"\0", 1)[0].decode()


def pipeline(server, timeout):
    """A statement that is not complete, whose Sync has not come: its statement_timeout runs on."""
    session = RawSession(server)
    session.query(f"SET statement_timeout = '{timeout}s'")
    session.send(b"P", b"\0SELECT generate_series(1, 3)\0" + bytes(2))
    session.send(b"B", b"\0\0" + bytes(6))
    session.send(b"E", b"\0" + struct.pack("!I", 1))
    session.send(b"H", b"")
    session.until(b"s")
    return session


def stay_on_disk(server, seconds):
    """Writes it to disk, and sees it there for so long."""
    server.hibernate()
    began, wakes = time.monotonic(), server.get()["wakes"]
    while time.monotonic() - began < seconds:
        state = server.get()
        assert state["phase"] == "hibernated" and state["wakes"] == wakes, state
        time.sleep(0.05)


def alive(watcher):
    return {row[0] for row in rows(watcher, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")}


def sleepers(server, timeout):
    """
    A stay on disk that outlasts everybody's time-out: those that are to ask then, those that keep silent, one with two
    time-outs, one with a short one besides, one that is in a statement. None: it was on disk so late that it would prove
    nothing.
    """
    asking, silent, began = {}, {}, time.monotonic()
    for setting, (begin, _) in ENDING.items():
        asking[setting] = Timed(server, f"SET {setting} = '{timeout}s'; {begin}")
        silent[setting] = Timed(server, f"SET {setting} = '{timeout}s'; {begin}")
    # PostgreSQL sets no idle_in_transaction_session_timeout that a transaction_timeout comes before.
    both = Timed(server, f"SET transaction_timeout = '{timeout}s'; "
                         f"SET idle_in_transaction_session_timeout = '{timeout - 1}s'; BEGIN")
    short = Timed(server, f"SET idle_session_timeout = '{timeout}s'; SET statement_timeout = '1s'")
    piped = pipeline(server, timeout)
    server.hibernate()
    late = time.monotonic() - began
    if late < timeout / 2:
        stay_on_disk(server, timeout - late + 0.5)
        return asking, silent, both, short, piped
    for timed in (*asking.values(), *silent.values(), both, short):
        timed.session.close()
    piped.close()
    return None


@pytest.fixture(scope="class")
def restored(server):
    """After that, some ask, some keep silent."""
    watcher = server.connect()
    asking, silent, both, short, piped = with_time_enough(lambda timeout: sleepers(server, timeout), TIMEOUT)
    for timed in (*asking.values(), both):
        timed.ask()
    short.session.send(b"Q", b"SELECT pg_sleep(3600)\0")
    piped.send(b"S", b"")
    rows(watcher, "SELECT lttle.flash_lock('timers run')")
    there = alive(watcher)
    yield {"asking": asking, "silent": silent, "both": both, "short": short, "piped": piped, "there": there}
    for timed in (*asking.values(), *silent.values(), both, short):
        timed.session.close()
    piped.close()
    watcher.close()


class TestRestoredAfterTheTimeOut:
    @pytest.mark.parametrize("setting", ENDING)
    def test_the_query_that_wakes_is_answered(self, restored, setting):
        assert restored["asking"][setting].answer() is True

    @pytest.mark.parametrize("setting", ENDING)
    def test_the_time_out_stands_still_on_disk(self, restored, setting):
        """Nothing fires on waking; what was left passes awake, and then the session ends."""
        timed = restored["silent"][setting]
        assert timed.pid in restored["there"]
        assert timed.session.end() == ENDING[setting][1]

    def test_a_transaction_timeout_behind_another_timer_is_found_to_have_passed(self, restored):
        """It is by the wall clock that PostgreSQL judges when the first of two timers is put away."""
        assert restored["both"].answer() == "25P04"

    def test_a_statement_timeout_after_it_is_on_time(self, restored):
        """The timer of before, which has more time left, does not hold up a new one."""
        assert restored["short"].session.sqlstate() == "57014"

    def test_the_statement_timeout_of_a_pipeline_stands_still(self, restored):
        piped = restored["piped"]
        piped.until(b"Z")
        piped.query("SELECT 1")


def test_what_has_passed_in_memory_ends_the_session_on_the_way_to_disk(server):
    session, unlimited = RawSession(server), RawSession(server)
    session.query("SET idle_session_timeout = '2s'")
    began = time.monotonic()
    server.wait("suspended")
    suspends = server.get()["suspends"]
    while time.monotonic() - began < 2.5:
        assert server.phase() == "suspended" and server.get()["suspends"] == suspends
        time.sleep(0.05)
    server.hibernate()
    assert session.end() == "57P05"
    assert server.phase() == "hibernated"
    unlimited.query("SELECT 1")
    unlimited.close()


def test_authentication_timeout_begins_when_the_client_speaks(server):
    server.query("ALTER SYSTEM SET authentication_timeout = '3s'")
    server.query("SELECT pg_reload_conf()")
    server.hibernate()
    login, began = RawSession(server, log_in=False), time.monotonic()
    while time.monotonic() - began < 3.5:
        assert server.phase() == "hibernated"
        time.sleep(0.05)
    login.startup()
    login.authenticate()
    login.query("SELECT 1")
    login.close()
    server.query("ALTER SYSTEM RESET authentication_timeout")
    server.query("SELECT pg_reload_conf()")


def test_tcp_keepalives_of_both_sides(server):
    """The client's probes are answered in the machine's name; the server's own stand still. The session lives."""
    session = server.connect(keepalives=1, keepalives_idle=1, keepalives_interval=1, keepalives_count=2)
    for name, value in (("idle", 1), ("interval", 1), ("count", 2)):
        rows(session, f"SET tcp_keepalives_{name} = {value}")
    stay_on_disk(server, 6.0)
    assert end_of(session) == (None, False)
    session.close()


def test_tcp_user_timeout_of_both_sides(server):
    """Nothing that was sent waits for its acknowledgement when the machine goes to disk."""
    session = server.connect(tcp_user_timeout=2000, keepalives=1, keepalives_idle=1, keepalives_interval=1)
    rows(session, "SET tcp_user_timeout = '2s'")
    stay_on_disk(server, 5.0)
    assert end_of(session) == (None, False)
    session.close()


def test_client_connection_check_interval(server):
    session = server.connect()
    rows(session, "SET client_connection_check_interval = '1s'")
    stay_on_disk(server, 3.0)
    assert rows(session, "SELECT pg_sleep(1.5), 7")[0][1] == 7
    session.close()


def test_lock_timeout_after_it_is_on_time(server):
    """The timer of before, which has more time left, does not hold up a new one."""
    server.query("CREATE TABLE held (n int)")
    first, second = server.connect(), server.connect()
    rows(second, "SET lock_timeout = '500ms'; SET idle_session_timeout = '1h'")
    server.hibernate()
    first.autocommit = False
    rows(first, "LOCK TABLE held")
    assert end_of(second, "SELECT * FROM held") == ("55P03", False)
    first.rollback()
    assert rows(second, "SELECT count(*) FROM held") == [(0,)]
    first.close()
    second.close()
