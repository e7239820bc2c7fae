"""lttle against a real API: what it prints, byte for byte, and how it ends."""

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading

import pytest
from conftest import DEADLINE_SECONDS, LTTLE, TOP, wait_until

OK, FAILURE, USAGE, NOT_FOUND, REFUSED, NO_COORDINATOR, TIMED_OUT = 0, 1, 2, 3, 4, 5, 124


def ends(done, code, out="", err=""):
    assert (done.stdout.decode(), done.stderr.decode(), done.returncode) == (out, err, code)


# ---- the guide ----

GUIDE_LISTING = """\
               name: postgresql
          namespace: samples
               mode: flash
  snapshot strategy: manual
    suspend timeout: 3s
              image: ghcr.io/lttle-cloud/postgres:17-flash
               cpus: 1
             memory: 256 MiB
        environment: POSTGRES_DB = db
                     POSTGRES_PASSWORD = password
                     POSTGRES_USER = user
            volumes: samples/pgdata → /var/lib/postgresql/data
       dependencies:
           services: access: tcp://postgresql-access.samples.svc.lttle.local:5432 → :5432
"""

GUIDE_FILE = """\
volume:
  name: pgdata
  namespace: samples
  mode: writeable
  size: 100Mi
---
app:
  name: postgresql
  namespace: samples
  image: ghcr.io/lttle-cloud/postgres:17-flash
  resources:
    cpu: 1
    memory: 256
  mode:
    flash:
      strategy: manual
      timeout: 3
  environment:
    POSTGRES_PASSWORD: password
    POSTGRES_USER: user
    POSTGRES_DB: db
  volumes:
    - name: pgdata
      path: /var/lib/postgresql/data
  expose:
    access:
      port: 5432
      internal: {}
"""


def test_app_get_is_the_guides_listing(coordinator):
    ends(coordinator.cli("app", "get", "--ns", "samples", "postgresql"), OK,
         GUIDE_LISTING + "              phase: suspended\n            address: 10.88.0.2\n           restarts: 0\n")


def test_deploy_says_what_the_guide_says(coordinator, tmp_path):
    path = tmp_path / "postgresql.lttle.yaml"
    path.write_text(GUIDE_FILE)
    ends(coordinator.cli("deploy", path), OK,
         "Successfully deployed volume: samples/pgdata\nSuccessfully deployed app: samples/postgresql\n")
    ends(coordinator.cli("deploy", path), OK, "Unchanged volume: samples/pgdata\nUnchanged app: samples/postgresql\n")
    path.write_text(GUIDE_FILE.replace("memory: 256", "memory: 512").replace("timeout: 3", "timeout: 5"))
    done = coordinator.cli("deploy", path)
    lines = done.stdout.decode().splitlines()
    assert lines[:2] == ["Unchanged volume: samples/pgdata", "Successfully deployed app: samples/postgresql"]
    assert sorted(lines[2:]) == ["  changed: mode.flash.timeout: 3s → 5s", "  changed: resources.memory: 256 MiB → 512 MiB"]


def test_deleting_says_what_the_guide_says(coordinator):
    ends(coordinator.cli("app", "delete", "--ns", "samples", "postgresql", "-y"), OK,
         "App 'postgresql' has been deleted.\n")
    ends(coordinator.cli("volume", "rm", "--ns", "samples", "pgdata", "-y"), OK, "Volume 'pgdata' has been deleted.\n")
    ends(coordinator.cli("service", "delete", "--ns", "other", "web", "-y"), OK, "Service 'web' has been deleted.\n")
    coordinator.expect_all(["delete app samples/postgresql", "delete volume samples/pgdata", "delete service other/web"])


def test_logs_take_a_prefix_as_in_the_guide(coordinator):
    ends(coordinator.cli("machine", "logs", "--ns", "samples", "postgres"), OK, "one\ntwo\nthree\n")


# ---- events ----


def test_events_are_followed(start):
    coordinator = start()
    for arguments, first in [([], ["ready", "suspended"]), (["--last", "0"], [])]:
        process = coordinator.begin("events", "-f", "--json", "--ns", "samples", *arguments)
        events = [json.loads(process.stdout.readline()) for _ in range(len(first) + 2)]
        assert [event["phase"] for event in events] == first + ["booting", "ready"]
        process.kill()
        process.communicate()
        coordinator.expect("events no longer followed")
        coordinator.lines.remove("events no longer followed")
    process = coordinator.begin("events", "-f", "--ns", "samples", "--last", "1")
    assert process.stdout.readline().split() == b"TIME NAMESPACE NAME PHASE TOOK REASON".split()
    assert process.stdout.readline() == (
        b"2025-10-11 19:14:44   samples        postgresql         suspended       -            idle for 3s\n")
    process.stdout.readline()
    process.stdout.readline()
    coordinator.process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=DEADLINE_SECONDS)[1] == b"lttle: the coordinator has ended\n"
    assert process.returncode == NO_COORDINATOR


# ---- namespaces, and everything at once ----


def test_namespaces(coordinator):
    ends(coordinator.cli("namespace", "list"), OK,
         "NAME      CLUSTERS   APPS   MACHINES   SERVICES   VOLUMES   SECRETS   VALUES\n"
         "other     0          1      1          0          0         0         0\n"
         "samples   0          1      4          1          1         2         0\n")
    assert [found["name"] for found in json.loads(coordinator.cli("namespace", "ls", "--json").stdout)] == ["other", "samples"]
    ends(coordinator.cli("namespace", "delete", "samples"), USAGE,
         err="lttle: there is no terminal to ask on; -y goes on without asking\n")
    ends(coordinator.cli("namespace", "delete", "samples", "-y"), OK,
         "Deleted from namespace 'samples': 1 app, 4 machines, 2 secrets.\n")
    ends(coordinator.cli("namespace", "rm", "samples", "--yes", "--volumes"), OK,
         "Deleted from namespace 'samples': 1 app, 4 machines, 1 volume, 2 secrets.\n")
    assert coordinator.cli("namespace", "delete", "busy", "-y").returncode == REFUSED
    coordinator.expect_all(["delete namespace samples", "delete namespace samples and volumes", "delete namespace busy"])
    session = Terminal(coordinator, "namespace", "delete", "samples", "--volumes")
    session.expect(b"Stop and delete all clusters, apps, machines, services, secrets and values of namespace 'samples', and its volumes, with their data? [y/N] ")
    session.type(b"n\n")
    assert session.end() == FAILURE


@pytest.mark.parametrize("filters, found", [
    ([], ["app/postgresql", "app/plain", "machine/postgresql", "machine/redis-a", "machine/redis-b", "machine/busy",
          "machine/ended", "service/postgresql-access", "service/web", "volume/pgdata", "image/ghcr.io/lttle-cloud/postgres:17-flash"]),
    (["kind=app"], ["app/postgresql", "app/plain"]),
    (["kind=app", "kind=volume", "namespace=samples"], ["app/postgresql", "volume/pgdata"]),
    (["name=redis-*"], ["machine/redis-a", "machine/redis-b"]),
    (["name=redis-?", "phase=suspended"], []),
    (["phase=suspended", "phase=restarting", "kind=m*"], ["machine/postgresql", "machine/ended"]),
    (["tag=team-*"], ["app/plain"]),
    (["tag=blue", "tag=no"], ["app/plain"]),
    (["tag=blu"], []),
    (["namespace=*", "kind=image"], []),
])
def test_query(coordinator, filters, found):
    answer = json.loads(coordinator.cli("query", "--json", *filters).stdout)
    assert [f"{one['kind']}/{one['name']}" for one in answer] == found


def test_query_prints_a_table(coordinator):
    ends(coordinator.cli("query", "namespace=other"), OK,
         "KIND      NAMESPACE   NAME    PHASE       TAGS\n"
         "app       other       plain   ready       team-a,blue\n"
         "service   other       web     suspended   -\n")
    ends(coordinator.cli("query", "colour=red"), USAGE,
         err="lttle: 'colour=red' is no filter: kind=, namespace=, name=, tag= and phase= are\n")


# ---- lists and listings ----

AGE = r"\d+d\d+h"


@pytest.mark.parametrize("arguments, pattern", [
    (["app", "list", "-A"], """\
NAMESPACE   NAME         MODE      PHASE       ADDRESS     SERVICES      RESTARTS   EXIT   IMAGE
samples     postgresql   flash     suspended   10.88.0.2   access:5432   0          -      ghcr.io/lttle-cloud/postgres:17-flash
other       plain        regular   ready       -           -             2          137    x
"""),
    (["app", "list"], "NAMESPACE   NAME   MODE   PHASE   ADDRESS   SERVICES   RESTARTS   EXIT   IMAGE\n"),
    (["app", "list", "--ns", "other"], """\
NAMESPACE   NAME    MODE      PHASE   ADDRESS   SERVICES   RESTARTS   EXIT   IMAGE
other       plain   regular   ready   -         -          2          137    x
"""),
    (["volume", "list", "--ns=samples"], """\
NAMESPACE   NAME     MODE        SIZE    USED     ON DISK   USED BY
samples     pgdata   writeable   100Mi   40 MiB   48 MiB    samples/postgresql
"""),
    (["volume", "get", "--ns", "samples", "pg"], """\
       name: pgdata
  namespace: samples
       mode: writeable
       size: 100Mi
       used: 40 MiB
    on disk: 48 MiB
    used by: samples/postgresql
"""),
    (["service", "list", "-A"], """\
NAMESPACE   NAME                ADDRESS                                                TARGET                    PHASE
samples     postgresql-access   tcp://postgresql-access.samples.svc.lttle.local:5432   samples/postgresql:5432   suspended
other       web                 tls://db.example.com:443                               samples/postgresql:5432   suspended
"""),
    (["service", "get", "--ns", "samples", "postgresql-a"], """\
                 name: postgresql-access
            namespace: samples
              address: tcp://postgresql-access.samples.svc.lttle.local:5432
               target: samples/postgresql:5432
    machine's address: 10.88.0.2
                phase: suspended
  connection tracking: connection-aware
"""),
    (["service", "get", "--ns", "other", "web"], """\
                  name: web
             namespace: other
               address: tls://db.example.com:443
                target: samples/postgresql:5432
     machine's address: 10.88.0.2
                 phase: suspended
   connection tracking: traffic-aware
    inactivity timeout: 3s
         ignored users: monitoring
  ignored applications: check
                        poll
"""),
    (["events", "--ns", "samples"], """\
TIME                  NAMESPACE   NAME         PHASE       TOOK      REASON
2025-10-11 19:14:40   samples     postgresql   ready       0.84 ms   connection of 10.88.0.1:41234
2025-10-11 19:14:44   samples     postgresql   suspended   -         idle for 3s
"""),
    (["events", "-A", "--last", "1"], """\
TIME                  NAMESPACE   NAME         PHASE       TOOK   REASON
2025-10-11 19:14:44   samples     postgresql   suspended   -      idle for 3s
"""),
    (["events", "-A", "--name", "other"], "TIME   NAMESPACE   NAME   PHASE   TOOK   REASON\n"),
    (["app", "get", "plain", "--namespace", "other"], """\
          name: plain
     namespace: other
          mode: regular
         image: x
          cpus: 2
        memory: 64 MiB
   environment: WEIRD = a\\x1b[31mb\\nc
       volumes:
       command: sleep
                1 2
  dependencies:
      services:
         phase: ready
      restarts: 2
   exit status: 137
    last error: killed by signal 9
    last words: oom \\x1b[1m
"""),
])
def test_tables_and_listings(coordinator, arguments, pattern):
    ends(coordinator.cli(*arguments), OK, pattern)


@pytest.mark.parametrize("arguments, pattern", [
    (["machine", "list", "--ns", "samples"], r"""NAMESPACE   NAME         PHASE       SINCE     *ADDRESS     SERVICES   RESIDENT   SWAPPED   SUSPENDS   WAKES   RESTARTS   EXIT
samples     postgresql   suspended   AGE   10\.88\.0\.2   -          1\.5 MiB    30 MiB    7          6       0          -
samples     redis-a      ready       AGE   -           web:6379   0 B        0 B       0          0       0          -
samples     redis-b      ready       AGE   -           -          0 B        0 B       0          0       0          -
samples     busy         ready       AGE   -           -          0 B        0 B       0          0       0          -
"""),
    (["machine", "get", "--ns", "samples", "post"], r"""             name: postgresql
        namespace: samples
              app: postgresql
            phase: suspended
           reason: idle for 3s
            since: 2025-10-11 19:14:44 \(AGE ago\)
         suspends: 7
            wakes: 6
         woken by: 10\.88\.0\.1:41234
        last wake: 2025-10-11 19:14:40 \(AGE ago\), took 0\.84 ms
  resident memory: 1\.5 MiB of 256 MiB
   swapped memory: 30 MiB
          address: 10\.88\.0\.2
         sessions: 1
              pid: 4242
         restarts: 0
            image: ghcr\.io/lttle-cloud/postgres:17-flash
         image id: sha256:0123456789abcdef
"""),
    (["machine", "get", "--ns", "failed", "ended"], r"""             name: ended
        namespace: failed
              app:
            phase: restarting
           reason:
            since: 2025-10-11 19:14:44 \(AGE ago\)
         suspends: 0
            wakes: 0
         woken by:
        last wake:
  resident memory: 0 B of 0 B
   swapped memory: 0 B
          address:
         sessions: 0
              pid:
         restarts: 2
            image:
         image id:
      exit status: 3
       last error: exit status 3
       last words: no \\t such
                   file
"""),
    (["image", "list"], r"""NAME                                    ID                    SIZE      CREATED +USED BY
ghcr\.io/lttle-cloud/postgres:17-flash   sha256:0123456789ab   100 MiB   AGE ago   samples/postgresql
"""),
])
def test_tables_with_ages(coordinator, arguments, pattern):
    done = coordinator.cli(*arguments)
    assert done.returncode == OK
    assert re.fullmatch(pattern.replace("AGE", AGE), done.stdout.decode()), done.stdout.decode()


@pytest.mark.parametrize("arguments", [
    ["app", "list", "-A"], ["app", "get", "--ns", "samples", "postgresql"], ["machine", "list", "-A"],
    ["machine", "get", "--ns", "samples", "postgresql"], ["volume", "list", "-A"],
    ["volume", "get", "--ns", "samples", "pgdata"], ["service", "list", "-A"], ["service", "get", "--ns", "other", "web"],
    ["image", "list"], ["events", "-A"], ["version"],
])
def test_json(coordinator, arguments):
    done = coordinator.cli(*arguments, "--json")
    assert done.returncode == OK
    assert json.loads(done.stdout)
    assert b"\x1b" not in done.stdout


def test_doctor(coordinator):
    ends(coordinator.cli("doctor"), FAILURE, """\
✓ ok       cgroup freezer  v2
! warning  swap            none
                           → only file pages are given back
✗ missing  CRIU            not installed
                           → no hibernation
""")
    assert coordinator.cli("doctor", "--json").returncode == FAILURE


def test_version(coordinator, tmp_path):
    version = (TOP / "VERSION").read_text().strip()
    ends(coordinator.cli("version"), OK, f"lttle {version}\nlttled {version}\n")
    done = coordinator.cli("--socket", tmp_path / "none", "version")
    assert (done.returncode, done.stdout.decode()) == (NO_COORDINATOR, f"lttle {version}\n")


# ---- names, errors, exit codes ----


@pytest.mark.parametrize("command", ["login", "profile", "build"])
def test_what_a_single_host_does_not_offer(coordinator, command):
    done = coordinator.cli(command, "some", "words")
    assert (done.returncode, done.stdout) == (REFUSED, b"")
    assert done.stderr.decode().startswith(f"lttle: {command}: there ") and "on a single host: " in done.stderr.decode()


def test_prefixes(coordinator):
    assert coordinator.cli("app", "get", "--ns", "samples", "post").stdout.decode().startswith(GUIDE_LISTING)
    ends(coordinator.cli("machine", "get", "--ns", "samples", "redis"), REFUSED,
         err="lttle: machine samples/redis: fits several\n")
    ends(coordinator.cli("app", "get", "--ns", "samples", "x"), NOT_FOUND, err="lttle: app samples/x: not found\n")
    ends(coordinator.cli("app", "get", "postgresql"), NOT_FOUND, err="lttle: app default/postgresql: not found\n")
    ends(coordinator.cli("machine", "wake", "--ns", "samples", "postgres"), OK, "Machine 'postgres' is awake.\n")


@pytest.mark.parametrize("name, code", [
    ("busy", REFUSED), ("there", REFUSED), ("twin", REFUSED), ("broken", FAILURE), ("late", FAILURE),
    ("stopping", NO_COORDINATOR),
])
def test_exit_codes(coordinator, name, code):
    ends(coordinator.cli("machine", "suspend", name), code, err=f"lttle: {name}: fails on purpose\n")
    ends(coordinator.cli("volume", "rm", name, "-y"), code, err=f"lttle: {name}: fails on purpose\n")
    ends(coordinator.cli("image", "import", name, "x"), code, err=f"lttle: {name}: fails on purpose\n")
    ends(coordinator.cli("image", "rm", name, "-y"), code, err=f"lttle: {name}: fails on purpose\n")


def test_changes(coordinator):
    ends(coordinator.cli("machine", "restart", "--ns", "n", "a"), OK, "Machine 'a' has been restarted.\n")
    ends(coordinator.cli("machine", "suspend", "--ns", "n", "a"), OK, "Machine 'a' is suspended.\n")
    ends(coordinator.cli("machine", "wake", "--ns", "n", "a b/ü"), OK, "Machine 'a b/ü' is awake.\n")
    ends(coordinator.cli("image", "import", "x:1", "oci:/a"), OK,
         "Image 'x:1' has been imported (sha256:0123456789ab).\n")
    ends(coordinator.cli("image", "pull", "x:1"), OK, "Image 'x:1' has been pulled (sha256:0123456789ab).\n")
    ends(coordinator.cli("image", "rm", "reg:5000/a b:ü", "-y"), OK, "Image 'reg:5000/a b:ü' has been removed.\n")
    ends(coordinator.cli("image", "prune", "-y"), OK, "Image 'old:1' has been removed.\n")
    coordinator.expect_all(["restart n/a", "suspend n/a", "wake n/a b/ü", "import oci:/a", "import docker://x:1",
                            "remove image reg:5000/a b:ü", "prune images"])


def test_wait(coordinator):
    ends(coordinator.cli("machine", "wait", "--ns", "samples", "postgres", "--for", "suspended"), OK,
         "Machine 'postgresql' is suspended.\n")
    ends(coordinator.cli("machine", "wait", "--ns", "samples", "postgresql", "--timeout", "20ms"), TIMED_OUT,
         err="lttle: machine: waited long enough\n")
    assert coordinator.cli("machine", "wait", "--ns", "samples", "postgresql", "--timeout", "soon").returncode == USAGE
    ends(coordinator.cli("machine", "wait", "--ns", "failed", "ended"), FAILURE,
         err="lttle: machine failed/ended: is error: exit status 3\n")


def test_drain(coordinator):
    ends(coordinator.cli("drain"), OK,
         "NAMESPACE   NAME         OUTCOME      TOOK        NOT ON DISK BECAUSE\n"
         "samples     postgresql   hibernated   420.00 ms   -\n"
         "samples     slow         stopped      1.5 s       statement: pid 57, for 3 s\n")
    coordinator.expect("drain 90000")
    done = coordinator.cli("drain", "--timeout", "100ms", "--json")
    coordinator.expect("drain 100")
    assert (done.returncode, done.stderr) == (FAILURE, b"lttle: 1 of 2 machines did not come to rest in order\n")
    assert json.loads(done.stdout)["machines"][1]["outcome"] == "killed"
    assert coordinator.cli("drain", "--timeout", "soon").returncode == USAGE


def test_no_coordinator(tmp_path, coordinator):
    none = tmp_path / "none.sock"
    ends(coordinator.cli("--socket", none, "app", "list"), NO_COORDINATOR,
         err=f"lttle: no coordinator at {none}: No such file or directory (is lttled running?)\n")
    long_path = "/" + "x" * 200
    assert coordinator.cli("--socket", long_path, "app", "list").returncode == NO_COORDINATOR
    assert coordinator.cli("app", "list", environment={"LTTLE_SOCKET": str(none)}).returncode == NO_COORDINATOR
    assert coordinator.cli("app", "list", "--socket", coordinator.socket, environment={"LTTLE_SOCKET": str(none)}).returncode == OK


def test_deleting_asks(coordinator):
    ends(coordinator.cli("app", "delete", "x"), USAGE,
         err="lttle: there is no terminal to ask on; -y goes on without asking\n")
    for answer, code in [(b"n\n", FAILURE), (b"\n", FAILURE), (b"y\n", OK)]:
        session = Terminal(coordinator, "volume", "rm", "pgdata")
        session.expect(b"Delete volume 'pgdata' in namespace 'default', with its data? [y/N] ")
        session.type(answer)
        assert session.end() == code
    coordinator.expect_all(["delete volume default/pgdata"])


# ---- the command line ----


@pytest.mark.parametrize("arguments, message", [
    (["foo"], "unknown command 'foo'"),
    (["machine"], "a command is missing behind 'lttle machine'"),
    (["machine", "foo"], "unknown command 'foo'"),
    (["--ns", "x"], "a command is missing behind 'lttle'"),
    (["app", "get"], "something is missing; it takes 'NAME'"),
    (["app", "get", "a", "b"], "one word too many: 'b'"),
    (["app", "get", "--foo", "a"], "unknown option '--foo'"),
    (["app", "get", "-x", "a"], "unknown option '-x'"),
    (["app", "get", "a", "--ns"], "a value is missing behind '--ns'"),
    (["app", "get", "a", "--ns="], "the value is empty of '--ns='"),
    (["app", "list", "--json=1"], "this option takes no value: '--json=1'"),
    (["app", "list", "-y"], "does not take the option '--yes'"),
    (["--tail", "3", "machine", "get", "a"], "does not take the option '--tail'"),
    (["machine", "exec", "a"], "something is missing; it takes 'NAME PROGRAM [ARGUMENT…]'"),
    (["machine", "exec", "a", "-z", "ls"], "unknown option '-z'"),
])
def test_wrong_usage(coordinator, arguments, message):
    done = coordinator.cli(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, b"")
    first, second = done.stderr.decode().splitlines()
    assert first == f"lttle: {message}"
    assert re.fullmatch(r"Try 'lttle[a-z ]* --help'\.", second)


def test_without_anything_it_shows_its_help(coordinator):
    done = coordinator.cli()
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr == coordinator.cli("--help").stdout


def commands():
    overview = subprocess.run([LTTLE, "--help"], capture_output=True, text=True, check=True).stdout
    groups = re.findall(r"^  (\w+) ", overview.partition("Groups of commands:")[2].partition("Options:")[0], re.M)
    alone = re.findall(r"^  (\w+) ", overview.partition("Commands:")[2].partition("Groups of")[0], re.M)
    for group in groups:
        text = subprocess.run([LTTLE, group, "--help"], capture_output=True, text=True, check=True).stdout
        for command in re.findall(r"^  ([\w-]+) ", text.partition("Commands:")[2], re.M):
            yield [group, command]
    for command in alone:
        yield [command]


def test_every_command_has_help_and_stands_in_the_reference(built):
    found = list(commands())
    assert len(found) == 63
    reference = (TOP / "docs/reference/cli.md").read_text()
    for command in found:
        texts = [subprocess.run([LTTLE, *words], capture_output=True, text=True, check=True).stdout
                 for words in ([*command, "--help"], [*command, "-h"], ["help", *command], ["--help", *command])]
        assert len(set(texts)) == 1
        assert texts[0].startswith("Usage: lttle " + " ".join(command) + " [OPTIONS]")
        assert "### lttle " + " ".join(command) + "\n" in reference


def test_generated_files_are_current(built):
    for arguments, path in [(["reference"], "docs/reference/cli.md"),
                            (["completion", "bash"], "packaging/bash-completion/lttle")]:
        printed = subprocess.run([LTTLE, *arguments], capture_output=True, text=True, check=True).stdout
        assert printed == (TOP / path).read_text(), f"{path}: print it anew with lttle {' '.join(arguments)}"


def complete(coordinator, line):
    words = line.split(" ")
    script = (TOP / "packaging/bash-completion/lttle").read_text() + """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lttle; printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
        env={"PATH": f"{LTTLE.parent}:{os.environ['PATH']}", "LTTLE_SOCKET": str(coordinator.socket)},
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_completion(coordinator):
    assert {"app", "machine", "deploy", "version", "doctor"} <= complete(coordinator, "lttle ")
    assert complete(coordinator, "lttle ma") == {"machine"}
    assert complete(coordinator, "lttle machine res") == {"restart"}
    assert complete(coordinator, "lttle machine wait --ti") == {"--timeout"}
    assert complete(coordinator, "lttle --he") == {"--help"}
    assert complete(coordinator, "lttle machine get --ns samples ") == {"postgresql", "redis-a", "redis-b", "busy"}
    assert complete(coordinator, "lttle machine logs --ns samples re") == {"redis-a", "redis-b"}
    assert complete(coordinator, "lttle volume rm --namespace samples ") == {"pgdata"}
    assert complete(coordinator, "lttle app get --ns samples postgresql ") == set()
    assert complete(coordinator, "lttle completion ") == {"bash"}
    assert complete(coordinator, "lttle namespace delete ") == {"other", "samples"}
    assert complete(coordinator, "lttle query ki") == {"kind=", *(f"kind={k}" for k in ("postgres", "app", "machine", "service", "volume", "image"))}


# ---- logs ----


def test_logs_tail_and_follow(coordinator):
    ends(coordinator.cli("machine", "logs", "--ns", "samples", "postgresql", "--tail", "1"), OK, "three\n")
    ends(coordinator.cli("machine", "logs", "--ns", "samples", "nobody"), NOT_FOUND,
         err="lttle: machine samples/nobody: not found\n")
    follower = subprocess.Popen(
        [LTTLE, "--socket", coordinator.socket, "machine", "logs", "--ns", "samples", "postgresql", "-f", "--tail=1"],
        stdout=subprocess.PIPE)
    assert follower.stdout.readline() == b"three\n"
    with coordinator.log.open("a") as log:
        log.write("four\n")
    assert follower.stdout.readline() == b"four\n"
    coordinator.log.unlink()
    assert follower.stdout.read() == b""
    assert follower.wait(DEADLINE_SECONDS) == OK


@pytest.mark.parametrize("since, text", [
    ("2025-10-11T19:14:41Z", "one two three"), ("2025-10-11T19:14:41.001Z", "two three"),
    ("2025-10-11t21:14:42.5+02:00", "two three"), ("2025-10-11 19:14:42", "two three"), ("2025-10-12", ""),
    ("2025-10-11", "one two three"), ("10m", ""), ("20000d", "one two three"),
])
def test_logs_since(coordinator, since, text):
    (coordinator.log.parent / "machine.log.times").write_bytes(
        struct.pack("=QQQQ", 4, 1760210081000, 14, 1760210084999))
    done = coordinator.cli("machine", "logs", "--ns", "samples", "postgresql", "--since", since)
    assert (done.returncode, done.stdout.decode().split()) == (OK, text.split())
    done = coordinator.cli("machine", "logs", "-t", "--ns", "samples", "postgresql", "--since", since)
    assert done.stdout.decode().split()[1::2] == text.split()


@pytest.mark.parametrize("since", ["soon", "2025-13-11", "2025-10-11T", "2025-10-11T19:14", "2025-10-11T19:14:41+2", "-1m"])
def test_logs_since_no_time(coordinator, since):
    done = coordinator.cli("machine", "logs", "x", f"--since={since}")
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr.startswith(f"lttle: --since: '{since}' is neither a duration such as 10m nor a time".encode())


def test_output_that_cannot_be_written_is_a_failure(coordinator):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([LTTLE, "--socket", coordinator.socket, "app", "list"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (FAILURE, b"lttle: standard output cannot be written\n")


# ---- exec ----


def exec_(coordinator, *arguments, **options):
    return coordinator.cli("machine", "exec", *arguments, **options)


@pytest.mark.parametrize("arguments", [
    ["--ns", "samples", "postgresql", "sh", "-c", "echo $0 $*; echo err >&2; exit 9", "-i", "--ns", "--help"],
    ["postgresql", "--ns=samples", "--", "sh", "-c", "echo $0 $*; echo err >&2; exit 9", "-i", "--ns", "--help"],
    ["--namespace", "samples", "--", "postgresql", "sh", "-c", "echo $0 $*; echo err >&2; exit 9", "-i", "--ns", "--help"],
])
def test_what_stands_behind_the_program_belongs_to_it(coordinator, arguments):
    ends(exec_(coordinator, *arguments), 9, "-i --ns --help\n", "err\n")


@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 200", 200), ("kill -9 $$", 137)])
def test_exec_ends_with_the_programs_code(coordinator, script, code):
    assert exec_(coordinator, "--ns", "samples", "postgresql", "sh", "-c", script).returncode == code


def test_exec_refusals(coordinator):
    ends(exec_(coordinator, "postgresql", "ls"), NOT_FOUND, err="lttle: machine default/postgresql: not found\n")
    assert exec_(coordinator, "--ns", "samples", "busy", "ls").returncode == REFUSED
    assert exec_(coordinator, "--socket", "/nowhere", "x", "ls").returncode == NO_COORDINATOR
    assert exec_(coordinator, "--ns", "samples", "postgresql", os.fsdecode(b"\xff")).returncode == USAGE


def test_exec_standard_input(coordinator):
    data = os.urandom(10_000_000)
    done = exec_(coordinator, "--ns", "samples", "postgresql", "-i", "cat", input=data)
    assert (done.stdout == data, done.returncode) == (True, 0)
    ends(exec_(coordinator, "--ns", "samples", "postgresql", "cat", input=b"not read"), 0)
    done = exec_(coordinator, "--ns", "samples", "postgresql", "-i", "true", input=data)
    assert done.returncode == 0


def test_exec_when_the_coordinator_goes(start):
    coordinator = start()
    program = subprocess.Popen(
        [LTTLE, "--socket", coordinator.socket, "machine", "exec", "--ns", "samples", "postgresql", "sh", "-c", "echo up; sleep 1000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout.readline() == b"up\n"
    coordinator.stop()
    assert program.wait(DEADLINE_SECONDS) == NO_COORDINATOR
    assert b"the coordinator has gone" in program.stderr.read()


class Terminal:
    """lttle on a terminal of its own."""

    def __init__(self, coordinator, *arguments, rows=24, columns=80):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="vt52", LTTLE_SOCKET=str(coordinator.socket), LC_ALL="C.UTF-8")
            os.environ.pop("NO_COLOR", None)
            # the size must be there before lttle asks for it
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(LTTLE, [str(LTTLE), *arguments])

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        """False at the end."""
        ready, _, _ = select.select([self.fd], [], [], DEADLINE_SECONDS)
        assert ready, f"nothing more after {self.text!r}"
        try:
            got = os.read(self.fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            got = b""
        self.text += got
        return bool(got)

    def expect(self, wanted):
        while wanted not in self.text:
            assert self.read(), f"{wanted!r} is not in {self.text!r}"
        _, _, self.text = self.text.partition(wanted)

    def type(self, text):
        os.write(self.fd, text)

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def end(self):
        while self.read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_exec_on_a_terminal(coordinator):
    session = Terminal(coordinator, "machine", "exec", "--ns", "samples", "postgresql", "-i", "-t", "sh", "-c",
                       "stty size; echo $TERM; read x; stty size; read -p 'more? ' y; exit 6", rows=33, columns=101)
    session.expect(b"33 101\r\nvt52\r\n")
    assert session.is_raw()
    session.resize(44, 55)
    session.type(b"typed\n")
    session.expect(b"typed\r\n44 55\r\n")
    session.expect(b"more? ")
    session.type(b"\n")
    assert session.end() == 6


def test_a_resized_window_reaches_the_program(coordinator):
    session = Terminal(coordinator, "machine", "exec", "--ns", "samples", "postgresql", "-it", "bash", "--norc", "-c",
                       "trap 'stty size' WINCH; trap 'exit 130' INT; echo up; "
                       # In the background: what bash itself waits for in the foreground may take the signal from it.
                       "while :; do sleep 0.05 & wait; done")
    session.expect(b"up\r\n")
    session.resize(44, 55)
    session.expect(b"44 55\r\n")
    session.type(b"\x03")
    assert session.end() == 130


def test_the_terminal_is_brought_back_when_a_signal_ends_lttle(coordinator):
    for number in [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]:
        session = Terminal(coordinator, "machine", "exec", "--ns", "samples", "postgresql", "-i", "-t", "sh", "-c",
                           "echo up; sleep 1000")
        session.expect(b"up\r\n")
        assert session.is_raw()
        keep = os.open(os.readlink(f"/proc/{session.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
        os.kill(session.pid, number)
        _, status = os.waitpid(session.pid, 0)
        assert os.waitstatus_to_exitcode(status) == -number
        assert not session.is_raw()
        os.close(keep)
        os.close(session.fd)
    wait_until("all programs to end", lambda: coordinator.lines.count("cancelled program has ended") == 3)


def test_the_terminal_is_brought_back_when_the_coordinator_goes(start):
    coordinator = start()
    session = Terminal(coordinator, "machine", "exec", "--ns", "samples", "postgresql", "-i", "-t", "sh", "-c", "echo up; sleep 1000")
    session.expect(b"up\r\n")
    keep = os.open(os.readlink(f"/proc/{session.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    coordinator.stop()
    _, status = os.waitpid(session.pid, 0)
    assert os.waitstatus_to_exitcode(status) == NO_COORDINATOR
    assert not session.is_raw()
    os.close(keep)
    os.close(session.fd)


def test_a_terminal_for_the_program_only(coordinator):
    done = exec_(coordinator, "--ns", "samples", "postgresql", "-i", "-t", "sh", "-c", "read x; echo got $x; cat", input=b"a\n")
    assert done.returncode == 0
    assert b"got a\r\n" in done.stdout


# ---- colours ----


def test_colours_only_on_a_terminal(coordinator):
    session = Terminal(coordinator, "machine", "wake", "x")
    session.expect(b"\x1b[32mMachine 'x' is awake.\x1b[0m\r\n")
    assert session.end() == OK
    session = Terminal(coordinator, "machine", "get", "x")
    session.expect(b"\x1b[31mlttle: machine default/x: not found\x1b[0m\r\n")
    assert session.end() == NOT_FOUND
    assert b"\x1b" not in coordinator.cli("machine", "wake", "x").stdout


def test_many_at_once(coordinator):
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(
        exec_(coordinator, "--ns", "samples", "postgresql", "-i", "cat", input=b"x" * 500_000).stdout == b"x" * 500_000))
        for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [True] * 10
