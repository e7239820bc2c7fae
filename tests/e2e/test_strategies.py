"""
Images other than ours: nginx and redis from Debian packages, and servers of a few lines, without anything inside that
speaks to us. What triggers the first suspend, what keeps them awake, who wakes them, from memory and from disk.
"""

import json
import os
import signal
import socket
import subprocess

import harness
import pytest
from harness import wait_until

NAMESPACE = "web"

YAML = """app:
  name: {name}
  namespace: web
  image: example.org/servers
  resources:
    memory: 128
  mode:
    flash:
      strategy: {strategy}
      timeout: 300ms
  command: {command}
  expose:
    main:
      port: {port}
      internal: {{}}
      connection-tracking: {tracking}
"""

# Listens on the ports of its arguments, on each one only when a client of the one before has said so.
ONE_AFTER_THE_OTHER = """use IO::Socket::INET;
for my $port (@ARGV) {
  my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $@;
  push @servers, $server; my $client = $server->accept; <$client>; print $client "next\\n"; close $client;
}
sleep"""

# Says the first word, like a mail server, then repeats what it hears.
GREETER = """use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(LocalPort => 2525, Listen => 5, ReuseAddr => 1) or die $@;
while (my $client = $server->accept) { print $client "hello\\n"; print $client $_ while <$client>; close $client }"""

# Listens when it is told to.
LATE = """use IO::Socket::INET; select undef, undef, undef, .02 until -e "/tmp/go";
my $server = IO::Socket::INET->new(LocalPort => 4000, Listen => 5, ReuseAddr => 1) or die $@;
while (my $client = $server->accept) { print $client "late\\n"; close $client }"""

# Works without a client until it is told to stop.
WORKER = """use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 4000, Listen => 5, ReuseAddr => 1) or die $@;
1 until -e "/tmp/rest"; sleep"""


@pytest.fixture(scope="module")
def servers_host():
    """A coordinator of the module's own, which its tests may kill, with the one image that has all these servers."""
    layout = subprocess.run([harness.TOP / "tests/e2e/build-images"], check=True, capture_output=True, text=True).stdout.strip()
    host = harness.Coordinator(f"v{os.getpid() % 100000:05d}", harness.subnet(1))
    try:
        host.start()
        host.cli("image", "import", "example.org/servers", f"oci:{layout}:servers")
        yield host
    finally:
        left = host.close()
    assert not left, f"left behind after everything was deleted: {left}"


class Server(harness.Database):
    """A deployed machine that is no database."""

    def __init__(self, host, name, strategy, port, command, traffic_aware=False):
        self.host, self.name, self.namespace, self.port = host, name, NAMESPACE, port
        host.deploy(YAML.format(
            name=name, strategy=strategy, port=port, command=json.dumps(command),
            tracking="{traffic-aware: {inactivity-timeout: 300ms}}" if traffic_aware else "connection-aware"))

    def delete(self):
        self.host.cli("app", "delete", "--ns", NAMESPACE, self.name, "-y")

    def connect(self, port=None):
        return socket.create_connection((self.address, port or self.port), timeout=30)

    def reasons(self, phase):
        events = self.host.events("--ns", NAMESPACE, "--name", self.name)
        return [event["reason"] for event in events if event["phase"] == phase]

    def exec(self, *command):
        self.host.cli("machine", "exec", "--ns", NAMESPACE, self.name, "--", *command)


@pytest.fixture
def serve(servers_host):
    servers = []

    def begin(*arguments, **more):
        servers.append(Server(servers_host, *arguments, **more))
        return servers[-1]

    yield begin
    for server in servers:
        server.delete()


NGINX = ["nginx", "-g", "daemon off;"]
REDIS = ["redis-server", "--bind", "*", "--protected-mode", "no", "--dir", "/tmp"]


def perl(program, *arguments):
    return ["perl", "-e", "$SIG{TERM} = sub { exit };" + program, *map(str, arguments)]


def curl(server):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "30", f"http://{server.address}/"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def redis(server, *words):
    done = subprocess.run(["redis-cli", "-h", server.address, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nginx_sleeps_when_it_listens_and_wakes_for_curl(serve):
    nginx = serve("nginx", "{listen-on-port: 80}", 80, NGINX)
    assert nginx.wait("suspended")["wakes"] == 0
    assert any("listen-on-port 80" in reason for reason in nginx.reasons("suspending"))
    assert curl(nginx) == "it works\n"
    assert "(connection)" in nginx.get()["woken-by"]
    nginx.wait("suspended")
    assert curl(nginx) == "it works\n"
    nginx.hibernate()
    assert nginx.get()["pid"] is None
    assert curl(nginx) == "it works\n"
    assert nginx.get()["restarts"] == 0 and nginx.get()["snapshot-problem"] is None
    nginx.wait("suspended")


def test_redis_keeps_its_data_in_memory_and_on_disk(serve):
    server = serve("redis", "first-listen", 6379, REDIS)
    server.wait("suspended")
    assert any("first-listen" in reason for reason in server.reasons("suspending"))
    assert redis(server, "set", "key", "value") == "OK"
    server.wait("suspended")
    assert redis(server, "get", "key") == "value"
    server.hibernate()
    assert redis(server, "get", "key") == "value"
    assert redis(server, "incr", "counter") == "1"
    with server.connect() as client:  # and a connection that is open meanwhile
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        server.hibernate()
        client.sendall(b"INCR counter\r\n")
        assert client.recv(100) == b":2\r\n"
    assert server.get()["restarts"] == 0


def test_a_connected_client_keeps_it_awake_until_it_has_gone(serve):
    server = serve("connected", "first-listen", 6379, REDIS)
    server.wait("suspended")
    with server.connect() as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        wait_until(lambda: f"it to say why: {server.get()}", lambda: server.get()["awake-because"] == "connection: 1 open")
        suspends = server.get()["suspends"]
        # Another machine comes and goes to sleep meanwhile: more than its own time-out.
        other = serve("other", "first-listen", 6379, REDIS)
        other.wait("suspended")
        assert redis(other, "ping") == "PONG"
        other.wait("suspended")
        assert server.get()["suspends"] == suspends and server.phase() == "ready"
    server.wait("suspended")


def test_silent_connections_stay_open_when_traffic_counts(serve):
    server = serve("traffic", "first-listen", 6379, REDIS, traffic_aware=True)
    server.wait("suspended")
    with server.connect() as client:
        for _ in range(2):
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
            server.wait("suspended")
        assert server.get()["sessions"] == 1


def test_a_server_that_speaks_first_is_woken_by_a_bare_connection(serve):
    server = serve("greeter", "first-listen", 2525, perl(GREETER))
    server.wait("suspended")
    with server.connect() as client:
        assert client.recv(100) == b"hello\n"
        client.sendall(b"X\0\0\0\4\n")  # which PostgreSQL would take for the end of a session
        assert client.recv(100) == b"X\0\0\0\4\n"
        server.hibernate()
        client.sendall(b"X\0\0\0\4")
        client.sendall(b"again\n")
        assert client.recv(100) == b"X\0\0\0\4again\n"
    server.wait("suspended")
    server.hibernate()
    with server.connect() as client:
        assert client.recv(100) == b"hello\n"


def test_the_nth_listen_counts_over_a_restart_of_the_coordinator(serve, servers_host):
    ports = (4001, 4002, 4003)
    server = serve("nth", "{nth-listen: 3}", 4001, perl(ONE_AFTER_THE_OTHER, *ports))
    for number, port in enumerate(ports[:2]):
        client = wait_until(f"port {port}", lambda p=port: try_connect(server, p))
        with client:
            server.wait("booting")
            client.sendall(b"go\n")
            assert client.recv(100) == b"next\n"
        if number == 0:
            servers_host.kill()
            servers_host.start()
    assert server.wait("suspended")["restarts"] == 0
    assert any("nth-listen 3" in reason for reason in server.reasons("suspending"))


def try_connect(server, port):
    try:
        return server.connect(port)
    except OSError:  # nobody listens there yet, or it has no network yet
        return None


def test_user_space_ready_sleeps_as_soon_as_a_client_could_wake_it(serve):
    server = serve("late", "user-space-ready", 4000, perl(LATE))
    server.wait("ready")
    wait_until("it to say why it is awake", lambda: "no exposed port" in (server.get()["awake-because"] or ""))
    server.exec("touch", "/tmp/go")
    server.wait("suspended")
    assert any("user-space-ready" in reason for reason in server.reasons("suspending"))
    with server.connect() as client:
        assert client.recv(100) == b"late\n"


def test_work_without_a_client_keeps_it_awake(serve):
    server = serve("worker", "{listen-on-port: 4000}", 4000, perl(WORKER))
    wait_until(lambda: f"it to say why it is awake: {server.get()}",
               lambda: "of a processor" in (server.get()["awake-because"] or ""))
    assert server.get()["suspends"] == 0
    server.exec("touch", "/tmp/rest")
    server.wait("suspended")


def test_a_sleeping_one_is_woken_by_a_new_coordinator(serve, servers_host):
    nginx = serve("adopted", "{listen-on-port: 80}", 80, NGINX)
    nginx.wait("suspended")
    servers_host.kill()
    servers_host.start()
    nginx.wait("suspended")
    assert curl(nginx) == "it works\n"
    nginx.wait("suspended")
    nginx.hibernate()
    servers_host.stop(signal.SIGTERM)
    servers_host.start()
    assert nginx.wait("hibernated")["restarts"] == 0
    assert curl(nginx) == "it works\n"
