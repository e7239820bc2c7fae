"""What users see of a machine's life: why one does not start, what a deploy came to, logs, events, namespaces."""

import datetime
import errno
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading

import pytest

import harness
from harness import wait_until

NAMESPACE = "life"
# As the first process it has to want to end.
SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"


def app(name, script, *, namespace=NAMESPACE, image=harness.IMAGE, more=""):
    """A cheap app: a shell script, without volume and service."""
    return (
        f"app:\n  name: {name}\n  namespace: {namespace}\n  image: {image}\n"
        f"  resources:\n    cpu: 1\n    memory: 64\n  mode: regular\n"
        f"  command: [sh, -c, {json.dumps(script)}]\n{more}"
    )


@pytest.fixture(scope="module")
def life():
    settings = "restart-delay-max: 200ms\nstop-timeout: 1s\nlogs:\n  size: 64Ki\n  files: 20\n"
    with harness.Coordinator(f"l{os.getpid() % 100000:05d}", harness.subnet(1), settings) as coordinator:
        yield coordinator


@pytest.fixture
def clean(life):
    """Apps of a test are gone behind it."""
    yield life
    for left in life.json("namespace", "list"):
        if left["name"] != "servers":
            life.cli("namespace", "delete", left["name"], "--volumes", "-y")


def machine(host, name, namespace=NAMESPACE):
    return host.json("machine", "get", "--ns", namespace, name)


def test_a_machine_that_ends_says_why(clean):
    clean.deploy(app("ends", "echo one; echo two; echo three words >&2; exit 3"))
    found = wait_until("two restarts", lambda: (m := machine(clean, "ends"))["restarts"] >= 2 and m)
    assert found["exit-status"] == 3
    assert found["last-words"][-3:] == ["one", "two", "three words"] and len(found["last-words"]) <= 10
    listing = clean.cli("machine", "get", "--ns", NAMESPACE, "ends").stdout
    assert "exit status: 3\n" in listing and " three words\n" in listing
    listing = clean.cli("app", "get", "--ns", NAMESPACE, "ends").stdout
    assert "exit status: 3\n" in listing and " three words\n" in listing
    header, row = clean.cli("app", "list", "--ns", NAMESPACE).stdout.splitlines()
    cells = dict(zip(header.split(), row.split()))
    assert (cells["EXIT"], cells["ADDRESS"]) == ("3", found["address"]) and int(cells["RESTARTS"]) >= 2


def test_a_wait_for_what_has_failed_ends(clean):
    clean.deploy(app("nowhere", "true", image="127.0.0.1:1/no/such:image"))
    done = clean.cli("machine", "wait", "--ns", NAMESPACE, "nowhere", "--timeout", "5m", check=False)
    assert done.returncode == 1 and "is error: " in done.stderr, done.stderr
    assert "127.0.0.1:1/no/such:image" in done.stderr
    assert clean.cli("machine", "wait", "--ns", NAMESPACE, "nowhere", "--for", "error").returncode == 0
    assert machine(clean, "nowhere")["last-words"] == []


def deploy(host, text, *arguments, **more):
    return host.cli("deploy", *arguments, "-", input=text, check=False, **more)


def test_deploy_waits_until_it_is_ready(clean):
    done = deploy(clean, app("waits", SLEEP))
    assert (done.returncode, done.stdout) == (0, f"Successfully deployed app: {NAMESPACE}/waits\n"), done.stderr
    assert machine(clean, "waits")["phase"] == "ready"
    assert f"{NAMESPACE}/waits: ready, " in done.stderr
    again = deploy(clean, app("waits", SLEEP))
    assert (again.returncode, again.stdout, again.stderr) == (0, f"Unchanged app: {NAMESPACE}/waits\n", "")


def test_deploy_says_what_has_failed(clean):
    text = "---\n".join([app("good", SLEEP), app("bad", "echo no such luck; exit 7"),
                          app("nowhere", "true", image="127.0.0.1:1/no/such:image")])
    done = deploy(clean, text)
    assert (done.returncode, done.stdout) == (1, f"Successfully deployed app: {NAMESPACE}/good\n")
    assert f"lttle: app {NAMESPACE}/bad: is restarting: " in done.stderr and "exit status 7" in done.stderr
    assert "  | no such luck\n" in done.stderr
    assert f"lttle: app {NAMESPACE}/nowhere: is error: " in done.stderr


def test_deploy_as_json_says_it_too(clean):
    done = deploy(clean, app("bad", "echo no such luck; exit 7"), "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert (done.returncode, done.stderr, result["action"]) == (1, "", "created")
    assert "exit status 7" in result["error"] and result["last-words"][-1] == "no such luck"


def test_deploy_does_not_wait_for_longer_than_it_may(clean):
    # A machine whose port nobody listens on is booting.
    text = app("slow", SLEEP, more="  expose:\n    access:\n      port: 9\n      internal: {}\n")
    done = deploy(clean, text, "--timeout", "500ms")
    assert (done.returncode, done.stdout) == (124, "")
    assert f"lttle: app {NAMESPACE}/slow: is not ready yet, and goes on: booting, " in done.stderr
    assert machine(clean, "slow")["phase"] == "booting"
    assert deploy(clean, text, "--no-wait").returncode == 0


def test_a_terminal_shows_how_far_it_is(clean):
    leader, follower = pty.openpty()
    try:
        fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        done = subprocess.run(
            [harness.LTTLE, "--socket", clean.socket, "deploy", "-"], input=app("shown", SLEEP).encode(),
            stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}, timeout=harness.DEADLINE,
        )
        os.close(follower)
        shown = b""
        while select.select([leader], [], [], harness.DEADLINE)[0]:
            try:
                shown += os.read(leader, 65536)
            except OSError as error:  # all of it was read, and nobody can write any more
                assert error.errno == errno.EIO
                break
        shown = shown.decode()
    finally:
        os.close(leader)
    assert (done.returncode, done.stdout.decode()) == (0, f"Successfully deployed app: {NAMESPACE}/shown\n")
    rows = re.findall(r"\r\x1b\[K([^\r]*)\r\n", shown)
    assert rows[0].startswith("Deploying: 0 of 1 ready, 0 failed  ") and max(map(len, rows)) <= 60
    assert any(row.startswith(f"  {NAMESPACE}/shown ") for row in rows)
    assert re.search(r"\x1b\[2A\r\x1b\[J$", shown), "the display is still there"


def test_many_apps_come_a_few_at_a_time(clean):
    count = int(os.environ.get("LTTLE_DEPLOY_APPS", "20"))
    text = "---\n".join(app(f"many-{number}", SLEEP) for number in range(count))
    done = deploy(clean, text)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"Successfully deployed app: {NAMESPACE}/many-{number}\n" for number in range(count))
    # Of those that have begun and are not yet ready there were never more than max-boots.
    events = [event for event in clean.json("events", "--ns", NAMESPACE, "--last", 5 * count)
              if event["name"].startswith("many-")]
    assert sum(event["phase"] == "ready" for event in events) == count
    on_their_way = most = 0
    for event in events:
        on_their_way += {"booting": 1, "ready": -1}.get(event["phase"], 0)
        most = max(most, on_their_way)
    assert 1 <= most <= 4


# ---- events ----


class Follower:
    """lttle events -f --json, in the background."""

    def __init__(self, host, *arguments):
        self.process = subprocess.Popen(
            [harness.LTTLE, "--socket", host.socket, "events", "-f", "--json", *arguments], stdout=subprocess.PIPE,
            text=True,
        )
        self.events = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def until(self, condition):
        wait_until(lambda: f"events; there are {self.events}", lambda: self.events and condition(self.events))
        return list(self.events)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def test_events_are_followed_as_they_come(clean):
    deploy(clean, app("told", SLEEP))
    with Follower(clean, "--ns", NAMESPACE, "--name", "told", "--last", "2") as follower:
        follower.until(lambda events: len(events) == 2)
        clean.cli("machine", "restart", "--ns", NAMESPACE, "told")
        events = follower.until(lambda events: events[-1]["phase"] == "ready" and len(events) > 2)
    assert [event["phase"] for event in events] == ["booting", "ready", "stopping", "creating", "booting", "ready"]
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    assert events == clean.json("events", "--ns", NAMESPACE, "--name", "told")[-6:]


@pytest.fixture(scope="module")
def awake(life):
    """A server that open connections keep awake."""
    return harness.Database(life, "awake", namespace="servers", traffic_aware=False)


def test_events_say_who_wakes_and_what_keeps_awake(life, awake):
    connection = awake.connect()
    with Follower(life, "--ns", "servers", "--name", "awake", "--last", "100") as follower:
        follower.until(lambda events: events[-1]["reason"].startswith("stays awake: connection: "))
    connection.close()
    awake.wait("suspended")
    reasons = [event["reason"] for event in life.json("events", "--ns", "servers", "--name", "awake")]
    assert any(re.match(r"a client is there: .*\d+\.\d+\.\d+\.\d+", reason) for reason in reasons), reasons
    assert sum(reason.startswith("stays awake: connection: ") for reason in reasons) == 1


# ---- logs ----


def log_parts(host, name, namespace=NAMESPACE):
    """How long the log is now, and the older parts that were cut off its front."""
    directory = host.state / "machines" / namespace / name
    return (directory / "machine.log").stat().st_size, sorted(directory.glob("machine.log." + 20 * "[0-9]"))


def log_bytes(host, name):
    if not (host.state / "machines" / NAMESPACE / name / "machine.log").exists():
        return 0
    size, older = log_parts(host, name)
    return size + sum(part.stat().st_size for part in older)


def logs(host, name, *arguments, namespace=NAMESPACE):
    return host.cli("machine", "logs", "--ns", namespace, name, *arguments).stdout


def test_rotation_loses_nothing(clean):
    # 40 bursts of 1,000 lines, while it is rotated at most once a second.
    burst = "n=$((n + 1)); seq $((n * 1000)) $((n * 1000 + 999)); sleep 0.1"
    script = f"n=0; while [ $n -lt 40 ]; do {burst}; done; echo the end; {SLEEP}"
    wanted = [str(number) for number in range(1000, 41000)] + ["the end"]
    deploy(clean, app("writer", script), "--no-wait")
    wait_until("the log", lambda: machine(clean, "writer")["phase"] == "ready")
    with subprocess.Popen([harness.LTTLE, "--socket", clean.socket, "machine", "logs", "--ns", NAMESPACE, "-f", "writer"],
                          stdout=subprocess.PIPE, text=True) as follower:
        followed = []
        for line in follower.stdout:
            followed.append(line.rstrip("\n"))
            if followed[-1] == "the end":
                break
        follower.kill()
    assert followed == wanted
    wait_until("the last rotation", lambda: log_parts(clean, "writer")[0] <= 65536)
    size, older = log_parts(clean, "writer")
    assert len(older) >= 2 and size + sum(part.stat().st_size for part in older) == len("\n".join(wanted)) + 1
    assert logs(clean, "writer").splitlines() == wanted
    assert logs(clean, "writer", "--tail", "30000").splitlines() == wanted[-30000:]


def test_a_killed_coordinator_holds_no_writer_up(clean):
    """The machine writes on, and a new coordinator rotates what the old one had begun to, whatever that was."""
    burst = "n=$((n + 1)); seq $((n * 1000)) $((n * 1000 + 999)); sleep 0.1"
    deploy(clean, app("alone", f"n=0; while [ $n -lt 40 ]; do {burst}; done; echo the end; {SLEEP}"), "--no-wait")
    for longer in (70000, 120000):
        wait_until("some of the log", lambda: log_bytes(clean, "alone") > longer)
        clean.kill()
        begun = log_bytes(clean, "alone")
        wait_until("more of it", lambda: log_bytes(clean, "alone") > begun)
        clean.start()
    wait_until("its end", lambda: logs(clean, "alone", "--tail", "1") == "the end\n")
    wait_until("a rotation", lambda: log_parts(clean, "alone")[0] <= 65536)
    assert logs(clean, "alone").splitlines() == [str(number) for number in range(1000, 41000)] + ["the end"]


def test_logs_have_times_and_keep_over_restarts(clean):
    times = clean.state / "machines" / NAMESPACE / "timed" / "machine.log.times"
    before = now()
    assert deploy(clean, app("timed", f"echo first; {SLEEP}")).returncode == 0
    wait_until("the time of the first line", lambda: times.exists() and times.stat().st_size == 16)
    between = now()
    clean.cli("machine", "restart", "--ns", NAMESPACE, "timed")
    wait_until("the second line", lambda: logs(clean, "timed") == "first\nfirst\n")
    wait_until("its time", lambda: times.stat().st_size == 32)
    after = now()
    first, second = [line.split() for line in logs(clean, "timed", "-t").splitlines()]
    assert before <= first[0] <= between <= second[0] <= after
    assert logs(clean, "timed", "--since", between) == "first\n"
    assert logs(clean, "timed", "--since", "1h") == "first\nfirst\n"
    assert logs(clean, "timed", "--since", after) == ""


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_log_that_was_rotated_goes_to_disk_and_back(life, awake):
    def write_and_rotate(word):
        before = len(log_parts(life, "awake", "servers")[1])
        awake.query(f"DO $$ BEGIN RAISE LOG '{word} %', repeat('x', 100000); END $$")
        wait_until("a rotation", lambda: len(log_parts(life, "awake", "servers")[1]) > before)

    write_and_rotate("ashore")
    awake.hibernate()
    wakes = awake.get()["wakes"]
    assert awake.query("SELECT 1") == [(1,)]
    found = awake.get()
    assert (found["wakes"], found["snapshot-problem"], found["restarts"]) == (wakes + 1, None, 0)
    write_and_rotate("abroad")
    text = logs(life, "awake", namespace="servers")
    assert text.index("ashore xxx") < text.index("abroad xxx")


# ---- namespaces ----


def test_a_namespace_is_deleted_with_all_that_is_in_it(clean):
    volume = "volume:\n  name: kept\n  namespace: going\n  mode: writeable\n  size: 64Mi\n---\n"
    mounts = "  volumes:\n    - name: kept\n      namespace: going\n      path: /kept\n"
    parts = [volume + app("one", SLEEP, namespace="going", more=mounts), app("two", SLEEP, namespace="going"),
             app("other", SLEEP)]
    assert deploy(clean, "---\n".join(parts)).returncode == 0
    clean.cli("secrets", "set", "token", "--ns", "going", input="x")
    clean.cli("values", "set", "place", "here", "--ns", "going")
    assert {"name": "going", "clusters": 0, "apps": 2, "machines": 2, "services": 0, "volumes": 1, "secrets": 1, "values": 1} in clean.json("namespace", "list")
    assert [found["name"] for found in clean.json("query", "kind=app", "phase=ready", "namespace=going")] == ["one", "two"]

    done = clean.cli("namespace", "delete", "going", "--yes")
    assert done.stdout == "Deleted from namespace 'going': 2 apps, 2 machines, 1 secret, 1 value.\n"
    assert clean.json("secrets", "list", "-A") == clean.json("values", "list", "-A") == []
    assert [found["name"] for found in clean.json("query", "namespace=going")] == ["kept"]
    assert machine(clean, "other")["phase"] == "ready"

    # A volume that somebody else has mounted keeps all of the namespace.
    assert deploy(clean, app("user", SLEEP, more=mounts)).returncode == 0
    refused = clean.cli("namespace", "delete", "going", "--volumes", "-y", check=False)
    assert refused.returncode == 4 and f"its volume kept is in use by {NAMESPACE}/user" in refused.stderr
    clean.cli("app", "delete", "--ns", NAMESPACE, "user", "-y")
    done = clean.cli("namespace", "delete", "going", "--volumes", "-y")
    assert done.stdout == "Deleted from namespace 'going': 1 volume.\n"
    assert clean.json("query", "namespace=going") == []
    assert clean.cli("namespace", "delete", "going", "-y", check=False).returncode == 3
