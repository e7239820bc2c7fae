"""The machine of a torture run: PostgreSQL with TLS and prepared transactions, its accounts, and how fast it wakes."""

import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import harness
from harness import rows

TIMEOUT_MS = 60
HIBERNATE_AFTER_MS = 200
ROUNDS = 5
FORBIDDEN = ("PANIC", "terminated by signal", "invalid page", "could not read block", "TRAP:")

SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account SELECT n, 1000 FROM generate_series(0, {accounts}) AS n;
CREATE TABLE told (client int, number bigint, value bigint, PRIMARY KEY (client, number));
CREATE FUNCTION transfer(a int, b int, amount int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM account WHERE id IN (a, b) ORDER BY id FOR UPDATE;
    UPDATE account SET balance = balance - amount WHERE id = a;
    UPDATE account SET balance = balance + amount WHERE id = b;
    RETURN amount;
END $$;
CREATE EXTENSION amcheck;
"""

# In silence an open transaction holds the machine for less than a beat: it must be able to sleep in the middle of one.
SETTINGS = ["max_prepared_transactions=20", "max_connections=100", f"lttle_pg.transaction_hold={2 * TIMEOUT_MS}ms",
            "log_connections=off", "autovacuum_naptime=5s"]


class Baseline:
    """What one client waits for when the machine sleeps, in milliseconds, with as many sessions open as in the run."""

    def __init__(self, suspended, hibernated, hibernating):
        self.suspended, self.hibernated, self.hibernating = suspended, hibernated, hibernating

    def worst_ms(self):
        """A client may come in the worst moment: just when it has begun to go to disk, and so with a wake after that."""
        return max(self.suspended) + max(self.hibernated) + max(self.hibernating)

    def beat_ms(self, timeout_ms):
        """Far enough apart that most times the machine can go to disk between two beats, and come back."""
        return int(14 * timeout_ms + HIBERNATE_AFTER_MS + statistics.median(self.hibernating) +
                   statistics.median(self.hibernated))

    def __str__(self):
        return (f"first row after a suspend at most {max(self.suspended):.0f} ms, from disk {max(self.hibernated):.0f} ms, "
                f"to disk {max(self.hibernating):.0f} ms")


class Server(harness.Database):
    def __init__(self, host, clients):
        self.clients = clients
        self.timeout_ms = TIMEOUT_MS
        self.beat_ms = None
        self.host, self.name, self.namespace = host, "torture", "torture"
        self.deploy(hibernates=False)
        self.install_tls()
        self.query(SCHEMA.format(accounts=99 + 10 * clients))
        self.conninfo = (f"hostaddr={self.address} user=user password=password dbname=db sslmode=disable "
                         "connect_timeout=120")

    def deploy(self, hibernates):
        timeout = f"{TIMEOUT_MS}ms"
        if hibernates:
            timeout += f"\n      hibernate-after: {HIBERNATE_AFTER_MS}ms"
        command = "".join(f", -c, {setting}" for setting in SETTINGS)
        text = harness.YAML.format(name=self.name, namespace=self.namespace, image=harness.IMAGE, timeout=timeout, memory=512,
                                   size="1Gi", tracking=harness.TRAFFIC_AWARE.format(timeout=f"{TIMEOUT_MS}ms"))
        text = text.replace("    POSTGRES_DB: db\n", "    POSTGRES_DB: db\n    POSTGRES_INITDB_ARGS: --data-checksums\n")
        self.host.deploy(text.replace("  mode:\n    flash:", f"  command: [postgres{command}]\n  mode:\n    flash:"))
        self.wait("ready" if hibernates else "suspended")

    def install_tls(self):
        """A certificate of its own, made now, and put where the server looks for it."""
        with tempfile.TemporaryDirectory() as directory:
            key, certificate = Path(directory) / "server.key", Path(directory) / "server.crt"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=torture",
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)
            for file in (key, certificate):
                self.host.cli("machine", "exec", "--ns", self.namespace, "-i", self.name, "sh", "-c",
                              f'umask 077; cat >"${{PGDATA:-/var/lib/postgresql/data}}/{file.name}"', input=file.read_text())
        session = self.connect()
        rows(session, "ALTER SYSTEM SET ssl = on")
        rows(session, "SELECT pg_reload_conf()")
        session.close()
        harness.wait_until("the server to take TLS", self.takes_tls)

    def takes_tls(self):
        try:
            self.connect(sslmode="require").close()
            return True
        except harness.psycopg2.OperationalError as error:
            assert "does not support SSL" in str(error), error
            return False

    def command(self, command):
        return self.host.cli("machine", command, "--ns", self.namespace, self.name, check=False)

    @contextlib.contextmanager
    def held_awake(self):
        """A program that runs inside keeps the machine awake; it ends with its standard input."""
        inside = subprocess.Popen([harness.LTTLE, "--socket", str(self.host.socket), "machine", "exec", "--ns",
                                   self.namespace, "-i", self.name, "sh", "-c", "echo there; exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert inside.stdout.readline() == "there\n"
        try:
            yield
        finally:
            inside.stdin.close()
            inside.wait(timeout=60)

    def verify(self):
        """What must hold when all is over: the sums, every index against its table, every page, and a quiet log."""
        session = self.connect()
        assert rows(session, "SELECT sum(balance) - 1000 * count(*) FROM account") == [(0,)], "money was made or lost"
        assert rows(session, "SELECT count(*) FROM pg_prepared_xacts") == [(0,)], "a prepared transaction is left"
        for table in ("account", "told"):
            assert rows(session, f"SELECT * FROM verify_heapam('{table}')") == [], f"{table} is damaged"
            rows(session, f"SELECT bt_index_check('{table}_pkey', true)")
        assert rows(session, "SELECT sum(checksum_failures) FROM pg_stat_database") == [(0,)], "a page's checksum is wrong"
        session.close()
        log = self.logs()
        for line in log.splitlines():
            assert not any(word in line for word in FORBIDDEN), f"the server's log says: {line}"
        assert self.get()["restarts"] == 0, "the server was started anew"

    def sleeps(self):
        """How often it has been asleep, in both ways, and woken."""
        state, log = self.get(), self.host.log()
        return {"suspends": state["suspends"], "hibernates": log.count("info its snapshot is on disk"),
                "restores": log.count("info restored from disk"), "wakes": state["wakes"]}

    def logs(self):
        return self.host.cli("machine", "logs", "--ns", self.namespace, self.name).stdout

    def write_report(self, directory):
        """Everything that tells what the machine was doing. Nothing here may hide what was found."""
        texts = {
            "machine.json": lambda: json.dumps(self.get(), indent=1),
            "phases.log": lambda: self.host.cli("events", "--ns", self.namespace, "--name", self.name).stdout,
            "postgresql.log": self.logs,
            "lttled.log": self.host.log,
            "sockets.log": lambda: subprocess.run(["ss", "-tinao"], capture_output=True, text=True).stdout,
        }
        for name, text in texts.items():
            try:
                (directory / name).write_text(text())
            except Exception as error:  # noqa: BLE001
                (directory / name).write_text(f"not to be had: {error!r}\n")


def measure_baseline(server):
    """Asleep and woken by one client, several times, with as many sessions open as there will be; then it hibernates by
    itself, too."""
    sessions = [server.connect() for _ in range(server.clients + 5)]
    suspended, hibernated, hibernating = [], [], []
    for _ in range(ROUNDS):
        server.suspend()
        suspended.append(milliseconds(lambda: server.query("SELECT 1")))
        hibernating.append(milliseconds(lambda: harness.wait_until(
            "the machine to go to disk", lambda: server.command("hibernate").returncode == 0)))
        hibernated.append(milliseconds(lambda: server.query("SELECT 1")))
    for session in sessions:
        session.close()
    server.deploy(hibernates=True)
    return Baseline(suspended, hibernated, hibernating)


def milliseconds(action):
    begin = time.monotonic()
    action()
    return (time.monotonic() - begin) * 1000
