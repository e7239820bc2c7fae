"""Services with real clients: ports of the host, names, other machines, and who is kept out."""

import os
import socket
import subprocess

import harness
import psycopg2
import pytest
from harness import rows, wait_until

def app_yaml(name, namespace, *exposes):
    """An app without a volume: its cluster lives as long as the app. exposes: further entries, in YAML's flow style."""
    lines = [
        "app:", f"  name: {name}", f"  namespace: {namespace}", f"  image: {harness.IMAGE}",
        "  resources: {cpu: 1, memory: 256}", "  mode: {flash: {strategy: manual, timeout: 500ms}}",
        "  environment: {POSTGRES_PASSWORD: password, POSTGRES_USER: user, POSTGRES_DB: db}", "  expose:",
    ]
    for expose in ("access: {port: 5432, internal: {}, TRACKING}", *exposes):
        lines.append("    " + expose.replace("TRACKING", "connection-tracking: {traffic-aware: {inactivity-timeout: 500ms}}"))
    return "\n".join(lines) + "\n"


class Server(harness.Database):
    """A deployed app of app_yaml."""

    def __init__(self, host, name, namespace, *exposes):
        self.host, self.name, self.namespace = host, name, namespace
        self.text = app_yaml(name, namespace, *exposes)
        host.deploy(self.text)

    def delete(self):
        self.host.cli("app", "delete", "--ns", self.namespace, self.name, "-y")

    def run(self, *command, check=True):
        return self.host.cli("machine", "exec", "--ns", self.namespace, self.name, "--", *command, check=check)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def ports():
    return {"forward": free_port(), "outside": free_port()}


@pytest.fixture(scope="module")
def server(own_host, ports):
    """Wakes for its clients, at a port of the host's loopback, one of an outside address, and under another number."""
    server = Server(
        own_host, "main", "samples",
        f"local: {{port: 5432, external: {{protocol: tcp, port: {ports['forward']}}}, TRACKING}}",
        f"outside: {{port: 5432, external: {{protocol: tcp, host: 198.51.100.{10 + harness.slot()}, port: {ports['outside']}}}, TRACKING}}",
        "other: {port: 5432, internal: {port: 6432}, TRACKING}",
    )
    server.wait("suspended")
    yield server
    server.delete()


@pytest.fixture(scope="module")
def neighbour(own_host):
    """Another machine of the same namespace."""
    machine = Server(own_host, "neighbour", "samples")
    machine.wait("suspended")
    yield machine
    machine.delete()


@pytest.fixture(scope="module")
def stranger(own_host):
    """A machine of another namespace."""
    machine = Server(own_host, "stranger", "others")
    machine.wait("suspended")
    yield machine
    machine.delete()


def ask(host, port, sql="SELECT 42"):
    connection = psycopg2.connect(host=host, port=port, user="user", password="password", dbname="db", connect_timeout=30)
    try:
        return rows(connection, sql)
    finally:
        connection.close()


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_a_port_of_the_host_wakes_it(server, ports, phase):
    server.sleep(phase)
    wakes = server.get()["wakes"]
    assert ask("127.0.0.1", ports["forward"]) == [(42,)]
    assert server.get()["wakes"] > wakes


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_a_session_at_a_port_of_the_host_is_kept(server, ports, phase):
    session = psycopg2.connect(host="127.0.0.1", port=ports["forward"], user="user", password="password", dbname="db")
    session.autocommit = True
    pid = rows(session, "SELECT pg_backend_pid()")
    server.sleep(phase)
    wakes = server.get()["wakes"]
    assert rows(session, "SELECT pg_backend_pid()") == pid
    assert server.get()["wakes"] == wakes + 1
    session.close()


def test_a_bare_probe_of_the_port_wakes_nobody(server, ports):
    server.wait("suspended")
    wakes = server.get()["wakes"]
    harness.tcp_connect("127.0.0.1", ports["forward"]).close()
    connection = harness.tcp_connect("127.0.0.1", ports["forward"])
    assert server.get()["wakes"] == wakes and server.phase() == "suspended"
    connection.close()


def test_another_number(server):
    assert ask(server.address, 6432) == [(42,)]
    assert ask(server.address, 5432) == [(42,)]


@pytest.fixture()
def outside(server):
    """A network namespace beyond a link of the host, whose address there is the one that the service is bound to."""
    slot = 10 + harness.slot()
    name, link = f"{server.host.prefix}out", f"{server.host.prefix}o"
    commands = [
        f"ip netns add {name}", f"ip link add {link} type veth peer name eth0 netns {name}",
        f"ip addr add 198.51.100.{slot}/32 dev {link}", f"ip link set {link} up",
        f"ip route add 192.0.2.{slot}/32 dev {link}",
        f"ip -n {name} addr add 192.0.2.{slot}/32 dev eth0", f"ip -n {name} link set eth0 up",
        f"ip -n {name} route add 198.51.100.{slot}/32 dev eth0 src 192.0.2.{slot}",
        f"ip -n {name} route add default via 198.51.100.{slot}",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", link], capture_output=True)
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def ask_from(namespace, address, port, sql="SELECT 42"):
    return subprocess.run(
        ["ip", "netns", "exec", namespace, "psql", "-XAt", "-c", sql,
         f"host={address} port={port} user=user password=password dbname=db connect_timeout=20"],
        capture_output=True, text=True, timeout=120,
    )


def test_an_address_of_the_host_serves_the_outside(server, ports, outside):
    """And nothing else of the host or of the machine does."""
    address = f"198.51.100.{10 + harness.slot()}"
    # The link came after the service: a change, or a new start, takes it in.
    server.host.deploy(server.text.replace("6432", "6433"))
    server.wait("suspended")
    wakes = server.get()["wakes"]
    done = wait_until("the port to answer", lambda: answer(ask_from(outside, address, ports["outside"], "SELECT host(inet_client_addr())")))
    assert done == f"192.0.2.{10 + harness.slot()}"
    assert server.get()["wakes"] > wakes
    for target, port in ((server.address, 5432), (address, ports["forward"]), (address, 5432)):
        refused = ask_from(outside, target, port)
        assert refused.returncode != 0 and "42" not in refused.stdout
    server.host.deploy(server.text)


def answer(done):
    return done.stdout.strip() if done.returncode == 0 else None


# ---- names and other machines ----


def psql(machine, address, sql="SELECT 42", port=5432):
    return machine.run(
        "psql", "-XAt", "-c", sql,
        f"host={address} port={port} user=user password=password dbname=db connect_timeout=20", check=False,
    )


def resolve(name):
    """As the host asks; empty when nobody has the name."""
    gateway = harness.subnet(1).replace(".0/16", ".1")
    done = subprocess.run(["dig", "+short", "+time=2", "+tries=1", f"@{gateway}", name], capture_output=True, text=True)
    return done.stdout.strip()


def test_a_name_resolves_on_the_host_when_asked(server):
    wait_until("the name", lambda: resolve("main-access.samples.svc.lttle.local") == server.address)
    assert resolve("main-access.others.svc.lttle.local") == ""


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_a_machine_wakes_another_by_its_name(server, neighbour, phase):
    server.sleep(phase)
    wakes = server.get()["wakes"]
    done = psql(neighbour, "main-access.samples.svc.lttle.local", "SELECT host(inet_client_addr())")
    assert done.stdout.strip() == neighbour.address, done.stderr
    assert server.get()["wakes"] > wakes
    done = psql(neighbour, "main-other", port=6432)
    assert done.stdout.strip() == "42", done.stderr


def test_a_namespace_is_closed_to_others(server, stranger):
    assert server.address in stranger.run("getent", "hosts", "main-access.samples.svc.lttle.local").stdout
    refused = psql(stranger, "main-access.samples.svc.lttle.local")
    assert refused.returncode != 0 and "No route to host" in refused.stderr


def test_a_service_opens_it_to_another_namespace(server, stranger):
    text = "service: {name: bridge, namespace: others, target: {name: main, namespace: samples, port: 5432}, bind: {internal: {}}}\n"
    server.host.deploy(text)
    done = wait_until("the service", lambda: answer(psql(stranger, "bridge")))
    assert done == "42"
    server.host.cli("service", "delete", "--ns", "others", "bridge", "-y")
    wait_until("it to be closed", lambda: psql(stranger, "main-access.samples.svc.lttle.local").returncode != 0)
    assert resolve("bridge.others.svc.lttle.local") == ""


def test_a_service_without_a_name(server, stranger):
    """bind: tcp: the machine's own address and port, for the namespace of the service too."""
    assert "No route to host" in psql(stranger, server.address).stderr
    server.host.deploy("service: {name: plain, namespace: others, target: {name: main, namespace: samples, port: 5432}, bind: tcp}\n")
    done = wait_until("the service", lambda: answer(psql(stranger, server.address)))
    assert done == "42"
    assert resolve("plain.others.svc.lttle.local") == ""
    server.host.cli("service", "delete", "--ns", "others", "plain", "-y")
    wait_until("it to be closed", lambda: psql(stranger, server.address).returncode != 0)


def test_dnsmasq_is_started_again(server):
    record = server.host.run / "dnsmasq.pid"
    before = wait_until("dnsmasq", lambda: harness.helper_pid(record))
    os.kill(before, 9)
    wait_until("another one", lambda: harness.helper_pid(record) not in (None, before))
    wait_until("the name", lambda: resolve("main-access.samples.svc.lttle.local") == server.address)
    assert "dnsmasq does not run" in server.host.log()


def test_a_new_coordinator_takes_it_all_over(server, ports, neighbour):
    """The programs go on, connections too, and what was open is open."""
    record = server.host.run / "dnsmasq.pid"
    before = wait_until("dnsmasq", lambda: harness.helper_pid(record))
    session = psycopg2.connect(host="127.0.0.1", port=ports["forward"], user="user", password="password", dbname="db")
    address = server.address
    server.host.kill()
    assert resolve("main-access.samples.svc.lttle.local") == address
    server.host.start()
    assert rows(session, "SELECT 42") == [(42,)]
    session.close()
    assert harness.helper_pid(record) == before
    assert psql(neighbour, "main-access").stdout.strip() == "42"


# ---- ports that are taken ----


def refuse(host, text):
    with pytest.raises(harness.Failure) as refused:
        host.deploy(text)
    return refused.value.errors


def test_a_port_belongs_to_one(server, ports):
    taken = app_yaml("late", "samples", f"local: {{port: 5432, external: {{protocol: tcp, port: {ports['forward']}}}}}")
    assert f"port {ports['forward']} of the host belongs to service samples/main-local" in refuse(server.host, taken)
    twice = app_yaml("late", "samples", *[f"{name}: {{port: 5432, external: {{protocol: tcp, port: 6000}}}}" for name in "ab"])
    assert "port 6000 of the host belongs to service samples/late-a" in refuse(server.host, twice)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        taken = app_yaml("late", "samples", f"local: {{port: 5432, external: {{protocol: tcp, port: {port}}}}}")
        errors = refuse(server.host, taken)
    assert f"port {port} of 127.0.0.1 is taken by" in errors and f"(pid {os.getpid()})" in errors


def test_what_cannot_be_is_refused(server):
    errors = refuse(server.host, app_yaml("late", "samples", "a: {port: 80, external: {protocol: https, host: a.example}}"))
    assert "there is no certificate for it: a.example.pem" in errors
    errors = refuse(server.host, app_yaml("late", "samples", "a: {port: 80, external: {protocol: tcp, host: '::1'}}"))
    assert "IPv6" in errors
    errors = refuse(server.host, app_yaml("late", "samples", "a: {port: 80, internal: {port: 5432}}"))
    assert "port 5432 of samples/late belongs to service samples/late-access" in errors
