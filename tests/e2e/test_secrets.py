"""Secrets and values of a namespace: machines have them, in their environment and as files, and nobody else does."""

import re
import subprocess

import harness
import pytest
from harness import wait_until

# Every character that can be printed, and one that takes two bytes.
PASSWORD = "first-Pa55word" + "".join(map(chr, range(32, 127))) + "ü"
ROTATED = "second-Pa55word"

TEXT = harness.YAML.format(
    name="sealed", namespace="samples", image=harness.IMAGE, timeout="500ms", memory=256, size="200Mi",
    tracking=harness.TRAFFIC_AWARE.format(timeout="500ms"),
).replace("    POSTGRES_PASSWORD: password\n    POSTGRES_USER: user\n", """\
    POSTGRES_PASSWORD_FILE: /run/secrets/db-password
    POSTGRES_USER: ${{ value.db-user }}
    URL: postgres://${{ value.db-user }}:${{ secret.db-password }}@db
""").replace("  expose:", "  secrets:\n    - name: db-password\n    - name: token\n      path: /etc/app/token\n  expose:")

PLAIN = """machine:
  name: plain
  namespace: NAMESPACE
  image: IMAGE
  environment:
    A: x
    TOKEN: a ${{ secret.token }}
""".replace("IMAGE", harness.IMAGE)


def put(host, name, text, kind="secrets", namespace="samples"):
    host.cli(kind, "set", name, "--ns", namespace, input=text + "\n")


class Sealed(harness.Database):
    def __init__(self, host):
        self.host, self.name, self.namespace = host, "sealed", "samples"
        host.deploy(TEXT)
        self.wait("suspended")

    def connect(self, password=PASSWORD):
        return super().connect(password=password)

    def inside(self, command):
        return self.host.cli("machine", "exec", "--ns", "samples", "sealed", "sh", "-c", command).stdout

    def files(self):
        return self.inside("cat /run/secrets/db-password /etc/app/token")


@pytest.fixture(scope="module")
def server(own_host):
    put(own_host, "db-password", PASSWORD)
    put(own_host, "token", "samples' token")
    put(own_host, "token", "others' token", namespace="others")
    put(own_host, "db-user", "user", kind="values")
    server = Sealed(own_host)
    yield server
    server.delete()


def test_files_and_environment(server):
    assert server.query("SELECT current_user") == [("user",)]
    assert server.files() == PASSWORD + "samples' token"
    listing = server.inside("stat -L -c '%a %U %F' /run/secrets/db-password /etc/app/token; stat -f -c %T /etc/app/token")
    assert listing == "400 postgres regular file\n" * 2 + "tmpfs\n"
    assert server.inside("printenv URL") == f"postgres://user:{PASSWORD}@db\n"
    assert server.inside("tr '\\0' '\\n' </proc/1/environ | grep -c '^URL=postgres://user:first-'") == "1\n"
    assert "ro," in server.inside("grep ' /etc/app/token ' /proc/self/mountinfo")
    refused = server.inside("{ echo x >/run/secrets/db-password; chmod 644 /etc/app/token; rm /etc/app/token; } 2>&1; true")
    assert len(refused.splitlines()) == 3, refused


def test_what_is_shown_and_stored_are_the_expressions(server):
    host = server.host
    server.query("SELECT 1")
    app = host.json("app", "get", "--ns", "samples", "sealed")
    assert app["environment"]["URL"] == "postgres://${{ value.db-user }}:${{ secret.db-password }}@db"
    assert app["secrets"] == [{"name": "db-password", "path": "/run/secrets/db-password"},
                              {"name": "token", "path": "/etc/app/token"}]
    shown = [host.cli(*words).stdout for words in (
        ["app", "get", "--ns", "samples", "sealed"], ["machine", "get", "--ns", "samples", "sealed", "--json"],
        ["query", "--json"], ["events", "-A", "--json"], ["secrets", "list", "-A", "--json"],
        ["machine", "logs", "--ns", "samples", "sealed"])]
    for text in [*shown, host.log()]:
        assert "Pa55word" not in text and "token'" not in text
    for name in ("lttle.db", "lttle.db-wal"):
        assert b"Pa55word" not in (host.state / name).read_bytes()
    # Nor is it anywhere else on disk: the machine's own layer, the bundle, the run directory.
    found = subprocess.run(["grep", "-rlF", "--exclude-dir=volumes", "--exclude-dir=roots", "first-Pa55word", host.state],
                           capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 1)


def test_they_stay_over_sleep_disk_and_new_coordinators(server):
    expected = server.files()
    server.wait("suspended")
    assert server.query("SELECT 1") == [(1,)]
    assert server.files() == expected
    server.hibernate()
    assert server.files() == expected
    server.hibernate()
    server.host.kill()
    server.host.start()
    assert server.query("SELECT 1") == [(1,)]
    assert server.files() == expected
    server.hibernate()
    snapshot = server.host.state / "machines/samples/sealed/snapshot"
    assert list(snapshot.glob("pages-*.img"))
    found = subprocess.run(["grep", "-rlF", "samples' token", snapshot], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 1), f"a file in memory has come on disk: {found.stdout}"
    # What a reboot takes away is made anew.
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo") if f"{server.host.run}/secrets/" in line]
    assert len(mounts) == 1
    subprocess.run(["umount", mounts[0]], check=True)
    assert server.query("SELECT 1") == [(1,)]
    assert server.files() == expected
    assert server.get()["snapshot-problem"] is None
    server.host.cli("machine", "restart", "--ns", "samples", "sealed")
    assert server.files() == expected
    assert server.query("SELECT 1") == [(1,)]


def test_a_changed_one_comes_with_the_next_deploy(server):
    host = server.host
    path = host.root / "sealed.yaml"
    path.write_text(TEXT)
    assert "nchanged" in host.cli("deploy", path).stdout
    put(host, "token", "a newer token")
    put(host, "db-user", "user", kind="values")
    before = server.get()["pid"]
    assert server.files() == PASSWORD + "samples' token"
    said = host.cli("deploy", path, "--dry-run").stdout
    assert "secrets[1].name: secret token has changed" in said and "db-user" not in said
    host.cli("deploy", path)
    assert server.get()["pid"] != before
    assert server.files() == PASSWORD + "a newer token"
    assert server.query("SELECT 1") == [(1,)]
    assert "nchanged" in host.cli("deploy", path).stdout


def test_an_unknown_one_is_refused_with_its_place(server):
    host = server.host
    path = host.root / "wrong.yaml"
    path.write_text(PLAIN.replace("NAMESPACE", "nowhere") + "  secrets:\n    - name: certificate\n    - name: key\n")
    done = host.cli("deploy", path, check=False)
    assert done.returncode == 1
    assert f"{path}:7:5: machine.environment.TOKEN: namespace nowhere has no secret 'token'; " \
           "set it: lttle secrets set token --ns nowhere\n" in done.stderr
    assert re.search(r":9:7: machine\.secrets\[0\]\.name: namespace nowhere has no secret 'certificate'", done.stderr)
    assert "secret 'key'" in done.stderr
    assert [m["name"] for m in host.json("machine", "list", "-A")] == ["sealed"]


def test_a_namespace_has_its_own_alone(server):
    host = server.host
    for namespace, token in (("samples", "a newer token"), ("others", "others' token")):
        host.deploy(PLAIN.replace("NAMESPACE", namespace).replace(
            "  environment:", "  command: [sh, -c, 'echo token; trap \"exit 0\" TERM; sleep 1000 & wait']\n  environment:"))
        wait_until("it to have written", lambda: host.cli("machine", "logs", "--ns", namespace, "plain", check=False).stdout)
    for namespace, token in (("samples", "a newer token"), ("others", "others' token")):
        assert host.cli("machine", "exec", "--ns", namespace, "plain", "printenv", "TOKEN").stdout == f"a {token}\n"
        host.cli("machine", "delete", "--ns", namespace, "plain", "-y")
    for namespace in ("others", "default"):
        done = host.cli("secrets", "get", "db-password", "--ns", namespace, check=False)
        assert (done.returncode, done.stderr) == (3, f"lttle: secret {namespace}/db-password: does not exist\n")


def test_one_that_is_used_is_not_removed(server):
    host = server.host
    for kind, name in (("secrets", "db-password"), ("secrets", "token"), ("values", "db-user")):
        done = host.cli(kind, "rm", name, "--ns", "samples", "-y", check=False)
        assert (done.returncode, done.stderr) == (
            4, f"lttle: {kind[:-1]} samples/{name}: samples/sealed uses it\n")
    host.cli("secrets", "rm", "token", "--ns", "others", "-y")


def test_a_user_of_the_host_reads_none(server):
    host = server.host
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo") if f"{host.run}/secrets/" in line]
    lttle = host.root / "lttle"  # where everybody may execute it
    lttle.write_bytes(harness.LTTLE.read_bytes())
    lttle.chmod(0o755)
    for command, message in (
        ([lttle, "--socket", host.socket, "secrets", "get", "db-password", "--ns", "samples"], "Permission denied"),
        ([lttle, "--socket", host.socket, "secrets", "list"], "Permission denied"),
        (["cat", host.state / "secrets.key"], "Permission denied"),
        (["cat", host.state / "lttle.db"], "Permission denied"),
        (["cat", f"{mounts[0]}/0"], "Permission denied"),
        (["cat", f"/proc/{server.get()['pid']}/environ"], "Permission denied"),
    ):
        done = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *map(str, command)],
                              capture_output=True, text=True)
        assert done.returncode != 0 and message in done.stderr, (command, done)
        assert "Pa55word" not in done.stdout


def test_a_password_is_rotated(server):
    """The server's own password is changed by its superuser, the secret by its file."""
    host = server.host
    session = server.connect()
    put(host, "db-password", ROTATED)
    with session.cursor() as cursor:
        cursor.execute("ALTER ROLE \"user\" PASSWORD %s", (ROTATED,))
    session.close()
    path = host.root / "sealed.yaml"
    path.write_text(TEXT)
    host.cli("deploy", path)
    assert server.inside("cat /run/secrets/db-password") == ROTATED
    assert server.inside("printenv URL") == f"postgres://user:{ROTATED}@db\n"
    assert harness.rows(server.connect(ROTATED), "SELECT 1") == [(1,)]


CLUSTER = """postgres:
  name: shop
  namespace: samples
  size: tiny
  storage: 300Mi
  users:
    - name: app
      namespaces: [web]
  mode: {flash: {timeout: 500ms}}
  expose:
    access:
      connection-tracking: {traffic-aware: {inactivity-timeout: 500ms}}
---
""" + PLAIN.replace("NAMESPACE", "web").replace("${{ secret.token }}", "${{ secret.shop-app-password }}").replace(
    "  environment:", "  command: [sh, -c, 'trap \"exit 0\" TERM; sleep 1000 & wait']\n  environment:")


def test_a_cluster_and_what_uses_its_secrets_in_one_file(own_host):
    """The secret isn't there when the file is checked, and is when the machine starts. On disk is no password."""
    path = own_host.root / "cluster.yaml"
    path.write_text(CLUSTER.replace("secret.shop-app-password", "secret.shop-other-password"))
    done = own_host.cli("deploy", path, check=False)
    assert done.returncode == 1 and "namespace web has no secret 'shop-other-password'" in done.stderr
    path.write_text(CLUSTER)
    own_host.cli("deploy", "--no-wait", path)
    password = own_host.cli("secrets", "get", "shop-app-password", "--ns", "web").stdout.strip()
    assert password == own_host.cli("secrets", "get", "postgres-password", "--ns", "samples").stdout.strip()
    wait_until("the machine to run", lambda: own_host.json("machine", "get", "--ns", "web", "plain")["pid"])
    assert own_host.cli("machine", "exec", "--ns", "web", "plain", "printenv", "TOKEN").stdout == f"a {password}\n"
    own_host.cli("machine", "wait", "--ns", "samples", "shop", "--for", "suspended", "--timeout", "5m")
    superuser = own_host.cli("secrets", "get", "shop-superuser-password", "--ns", "samples").stdout.strip()

    def on_disk():
        return own_host.cli("machine", "hibernate", "--ns", "samples", "shop", check=False).returncode == 0

    wait_until("it to be on disk", on_disk)
    snapshot = own_host.state / "machines/samples/shop/snapshot"
    found = subprocess.run(["grep", "-rlF", "-e", superuser, "-e", password, snapshot, own_host.state / "lttle.db"],
                           capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 1)
    assert list(snapshot.glob("mount-*/postgresql.conf"))
    own_host.cli("machine", "delete", "--ns", "web", "plain", "-y")
    own_host.cli("postgres", "delete", "--ns", "samples", "shop", "-y")
    assert own_host.json("secrets", "list", "--ns", "web") == []
