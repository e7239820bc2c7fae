"""
Images whose user is root, as most images of registries are: what they do before their server becomes another user works,
they sleep and come back as everything else does, and root inside is root of nothing else.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import harness
import pytest
from harness import wait_until

YAML = """app:
  name: {name}
  namespace: rooted
  image: example.org/{image}
  resources:
    memory: 128
  mode:
    flash:
      strategy: first-listen
      timeout: 300ms
  command: {command}
  expose:
    main:
      port: {port}
      internal: {{}}
"""

# As the entrypoints of redis, PostgreSQL and others: the data directory is given to the server's user, then it is that user.
ENTRYPOINT = """mkdir -p /var/lib/own && chown redis:redis /var/lib/own && chmod 0700 /var/lib/own && cd /var/lib/own &&
exec setpriv --reuid=redis --regid=redis --init-groups redis-server --bind '*' --protected-mode no --dir /var/lib/own"""


@pytest.fixture(scope="module")
def rooted_host(tmp_path_factory):
    made = subprocess.run([harness.TOP / "tests/e2e/build-images"], check=True, capture_output=True, text=True).stdout.strip()
    layout = tmp_path_factory.mktemp("layout") / "layout"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{made}:nginx-root", f"oci:{layout}:nginx-root"], check=True)
    subprocess.run(["umoci", "config", "--image", f"{layout}:nginx-root", "--tag", "shell-root", "--no-history",
                    "--clear", "config.entrypoint", "--clear", "config.cmd", "--config.stopsignal", "SIGTERM"], check=True)
    host = harness.Coordinator(f"o{os.getpid() % 100000:05d}", harness.subnet(1))
    try:
        host.start()
        for tag in ("nginx-root", "shell-root"):
            host.cli("image", "import", f"example.org/{tag}", f"oci:{layout}:{tag}")
        yield host
    finally:
        left = host.close()
    assert not left, f"left behind after everything was deleted: {left}"


class Server(harness.Database):
    """A deployed machine that is no database."""

    def __init__(self, host, name, image, port, command):
        self.host, self.name, self.namespace = host, name, "rooted"
        host.deploy(YAML.format(name=name, image=image, port=port, command=json.dumps(command)))

    def inside(self, script, check=True):
        return self.host.cli("machine", "exec", "--ns", self.namespace, self.name, "--", "sh", "-c", script, check=check)


def redis(server, *words):
    done = subprocess.run(["redis-cli", "-h", server.address, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def curl(server):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "60", f"http://{server.address}/"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


CAP_SYS_RESOURCE = 24


def has_capability(number):
    capabilities = int(re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)
    return bool(capabilities >> number & 1)


def test_nginx_as_root_has_workers_of_another_user(rooted_host):
    nginx = Server(rooted_host, "nginx", "nginx-root", 80, ["-c", "/etc/nginx/root.conf", "-g", "daemon off;"])
    nginx.wait("suspended")
    assert curl(nginx) == "it works\n"
    users = nginx.inside("stat -c %U /proc/[0-9]*/comm").stdout.split()
    assert {"root", "www-data"} <= set(users), users
    nginx.wait("suspended")
    if has_capability(CAP_SYS_RESOURCE):
        nginx.hibernate()
    else:  # CRIU may not ask processes of several users for their limits; the server is none the worse for it
        wait_until(lambda: f"it to say why it cannot go to disk: {nginx.get()}", lambda: "CAP_SYS_RESOURCE" in rooted_host.cli(
            "machine", "hibernate", "--ns", nginx.namespace, nginx.name, check=False).stderr)
    assert curl(nginx) == "it works\n"
    nginx.wait("suspended")
    assert nginx.get()["restarts"] == 0


def test_a_server_that_becomes_another_user_sleeps_and_comes_back_cold_too(rooted_host):
    server = Server(rooted_host, "redis", "shell-root", 6379, ["sh", "-c", ENTRYPOINT])
    server.wait("suspended")
    assert redis(server, "set", "key", "value") == "OK"
    assert server.inside("stat -c %U /proc/1/comm /var/lib/own").stdout.split() == ["redis", "redis"]
    server.wait("suspended")
    assert redis(server, "get", "key") == "value"
    server.hibernate()
    assert redis(server, "get", "key") == "value"
    assert server.get()["restarts"] == 0 and server.get()["snapshot-problem"] is None
    assert redis(server, "save") == "OK"
    server.hibernate()
    # Its snapshot is of no use: it starts anew while its client waits at the port, which another user binds.
    manifest = rooted_host.state / "machines/rooted/redis/snapshot/manifest.json"
    manifest.write_text(manifest.read_text().replace('"boot-id": "', '"boot-id": "not-'))
    assert redis(server, "get", "key") == "value"
    assert "boot" in server.get()["snapshot-problem"]
    server.wait("suspended")


def test_root_inside_is_root_of_nothing_else(rooted_host):
    server = Server(rooted_host, "plain", "shell-root", 6379, ["redis-server", "--bind", "*", "--protected-mode", "no"])
    server.wait("suspended")
    capabilities = server.inside("grep Cap /proc/1/status /proc/self/status; grep NoNewPrivs: /proc/1/status").stdout.split()
    assert {value for value in capabilities if len(value) == 16} == {"00000000000004fb", "0" * 16} and capabilities[-1] == "1"
    for script in ("echo 1 >/proc/sys/kernel/sysrq", "echo b >/proc/sysrq-trigger", "touch /run/lttle/new", "mknod /tmp/sda b 8 0",
                   "chown 1 /run/lttle", "chroot / true", "unshare -n true", "nsenter -t 1 -n true",
                   "echo -1000 >/proc/self/oom_score_adj", "date -s 12:00", "hostname other",
                   "dmesg", "setpriv --ambient-caps +sys_admin --inh-caps +sys_admin true"):
        done = server.inside(f"exec 2>&1; {script}", check=False)
        assert done.returncode != 0 and "not found" not in done.stdout, (script, done.stdout)
    # What it makes for itself gives a user of the host nothing, not even a setuid program of root's.
    server.inside("cp /bin/sh /tmp/sh && chmod 4755 /tmp/sh")
    program = rooted_host.state / "machines/rooted/plain/upper/tmp/sh"
    assert program.stat().st_mode & 0o4000 and program.stat().st_uid == 0
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "cat", program],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "Permission denied" in done.stderr
    assert server.inside("setpriv --reuid=www-data --clear-groups /tmp/sh -p -c 'id -u'").stdout != "0\n"
