"""Services by host name, through HAProxy: many databases on one port by SNI, TLS passed through, HTTP by Host, and reloads."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request

import harness
import psycopg2
import pytest
from harness import wait_until
from test_services import Server, free_port

HTTP_SERVER = r"""
use IO::Socket::INET;
$SIG{INT} = $SIG{TERM} = sub { exit 0 };
my $listener = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die;
while (my $client = $listener->accept) {
	my %%header;
	while (my $line = <$client>) { last if $line =~ /^\r?$/; $header{lc $1} = $2 if $line =~ /^([\w-]+): (.*?)\r?$/; }
	my $body = "%s for $header{host} by $header{'x-forwarded-proto'}\n";
	print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	close $client;
}
"""


def make_certificate(path, host):
    """One file with the key and a certificate for the host that nobody has signed but itself."""
    key = path.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", path],
        check=True, capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    key.unlink()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def edge_host(certificates):
    for name, host in (("a.test", "a.test"), ("_.db.test", "*.db.test"), ("web.test", "web.test"), ("own", "own.test")):
        make_certificate(certificates / f"{name}.pem", host)
    with harness.Coordinator(f"h{os.getpid() % 100000:05d}", harness.subnet(1), f"certificates: {certificates}\n") as coordinator:
        yield coordinator


@pytest.fixture(scope="module")
def ports():
    return {name: free_port() for name in ("tls", "passed", "plain", "http", "https")}


def external(name, protocol, port, host=None, target=5432):
    host = f", host: {host}" if host else ""
    return f"{name}: {{port: {target}, external: {{protocol: {protocol}, port: {port}{host}}}, TRACKING}}"


@pytest.fixture(scope="module")
def databases(edge_host, certificates, ports):
    """Two on one port behind HAProxy's certificates; the second has TLS of its own as well, on ports for that."""
    first = Server(edge_host, "first", "samples", external("tls", "tls", ports["tls"], "a.test"))
    second = Server(
        edge_host, "second", "samples", external("tls", "tls", ports["tls"], "b.db.test"),
        external("passed", "tls", ports["passed"], "own.test.internal"), external("plain", "tcp", ports["plain"]),
    )
    for server in (first, second):
        server.wait("suspended")
    pem = (certificates / "own.pem").read_text()
    second.run("sh", "-c", f"umask 077; cat > $PGDATA/server.pem <<'END'\n{pem}END\n")
    for setting in ("ssl = on", "ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.pem'"):
        second.query(f"ALTER SYSTEM SET {setting}")
    second.query("SELECT pg_reload_conf()")
    yield {"first": first, "second": second}
    for server in (first, second):
        server.delete()


@pytest.fixture(scope="module")
def psql17(edge_host, databases):
    """The image's own psql, on the host: Debian 12's cannot begin with TLS."""
    [root] = [path for path in (edge_host.state / "images/roots").glob("*/rootfs") if (path / "usr/bin/psql").exists()]
    assert shutil.which("chroot")

    def command(host, port, *more):
        where = f"host={host} hostaddr=127.0.0.1 port={port} user=user password=password dbname=db connect_timeout=30 " \
                "sslmode=require sslnegotiation=direct"
        return ["chroot", str(root), "psql", "-XAt", where, *more]

    return command


def ask(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WHERE = "SELECT host(inet_server_addr()), (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"


@pytest.mark.parametrize("phase", ["suspended", "hibernated"])
def test_many_databases_on_one_port(databases, ports, psql17, phase):
    for name, host in (("first", "a.test"), ("second", "b.db.test")):
        server = databases[name]
        server.sleep(phase)
        wakes = server.get()["wakes"]
        assert ask(psql17(host, ports["tls"], "-c", WHERE)) == f"{server.address}|f"
        assert server.get()["wakes"] > wakes


def test_tls_of_the_servers_own_is_passed_through(databases, ports, psql17):
    server = databases["second"]
    server.wait("suspended")
    assert ask(psql17("own.test.internal", ports["passed"], "-c", WHERE)) == f"{server.address}|t"
    assert certificate_at(ports["passed"], "own.test.internal") == certificate_at_postgres(ports["plain"])


def test_a_client_that_asks_for_tls_gets_the_servers_own(databases, ports):
    server = databases["second"]
    server.wait("suspended")
    connection = psycopg2.connect(
        host="127.0.0.1", port=ports["plain"], user="user", password="password", dbname="db", sslmode="require")
    assert harness.rows(connection, WHERE) == [(server.address, True)]
    connection.close()


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


def certificate_at(port, name):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        with tls_context().wrap_socket(plain, server_hostname=name) as wrapped:
            assert wrapped.selected_alpn_protocol() == "postgresql"
            return wrapped.getpeercert(binary_form=True)


def certificate_at_postgres(port):
    done = subprocess.run(["openssl", "s_client", "-starttls", "postgres", "-connect", f"127.0.0.1:{port}"],
                          capture_output=True, text=True, input="", timeout=60)
    return ssl.PEM_cert_to_DER_cert(done.stdout[done.stdout.index("-----BEGIN"):].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")


def test_a_handshake_alone_wakes_nobody(databases, ports, certificates):
    server = databases["first"]
    server.wait("suspended")
    wakes = server.get()["wakes"]
    harness.tcp_connect("127.0.0.1", ports["tls"]).close()
    pem = (certificates / "a.test.pem").read_text().split("-----BEGIN PRIVATE")[0]
    assert certificate_at(ports["tls"], "a.test") == ssl.PEM_cert_to_DER_cert(pem)
    assert server.get()["wakes"] == wakes and server.phase() == "suspended"


def test_a_name_that_nobody_has(databases, ports, psql17):
    for port in (ports["tls"], ports["passed"]):
        done = subprocess.run(psql17("nobody.test", port, "-c", "SELECT 1"), capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and done.stdout == ""


# ---- reloads ----


class Session:
    """A psql that stays."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, bufsize=1)

    def ask(self, sql):
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


def test_a_reload_drops_nobody(edge_host, databases, ports, psql17):
    """An open session goes on in the old process; clients that come all the while are all served."""
    server = databases["first"]
    session = Session(psql17("a.test", ports["tls"]))
    pid = session.ask("SELECT pg_backend_pid();")
    stop, errors, served = threading.Event(), [], [0]

    def come():
        while not stop.is_set():
            try:
                certificate_at(ports["tls"], "a.test")
                served[0] += 1
            except OSError as error:
                errors.append(repr(error))

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    master = harness.helper_pid(edge_host.run / "haproxy.pid")
    try:
        for number in range(3):
            host = f"more{number}.db.test"
            edge_host.deploy(f"service: {{name: more{number}, namespace: samples, target: {{name: first, port: 5432, "
                             "connection-tracking: {traffic-aware: {inactivity-timeout: 500ms}}}, "
                             f"bind: {{external: {{protocol: tls, host: {host}, port: {ports['tls']}}}}}}}\n")
            wait_until("the new name", lambda: subprocess.run(
                psql17(host, ports["tls"], "-c", "SELECT 1"), capture_output=True, timeout=60).returncode == 0)
    finally:
        stop.set()
        thread.join(timeout=60)
    assert errors == [] and served[0] > 0 and not thread.is_alive()
    assert harness.helper_pid(edge_host.run / "haproxy.pid") == master
    for phase in ("suspended", "hibernated"):
        server.sleep(phase)
        assert session.ask("SELECT pg_backend_pid();") == pid
    session.close()
    for number in range(3):
        edge_host.cli("service", "delete", "--ns", "samples", f"more{number}", "-y")


def test_a_certificate_that_is_none_stops_nobody_else(edge_host, databases, ports, psql17, certificates):
    (certificates / "bad.test.pem").write_text("no certificate\n")
    text = "service: {name: bad, namespace: samples, target: {name: first, port: 5432}, " \
           f"bind: {{external: {{protocol: tls, host: bad.test, port: {ports['tls']}}}}}}}\n"
    edge_host.deploy(text)
    wait_until("the complaint", lambda: "services with tls, http and https stay as they were" in edge_host.log())
    assert ask(psql17("a.test", ports["tls"], "-c", "SELECT 1")) == "1"
    edge_host.cli("service", "delete", "--ns", "samples", "bad", "-y")


def test_a_renewed_certificate_is_read(edge_host, databases, ports, psql17, certificates):
    """Nobody has to say so, and a session that is open stays open; what is no certificate is not taken."""
    before = certificate_at(ports["tls"], "a.test")
    session = Session(psql17("a.test", ports["tls"]))
    pid = session.ask("SELECT pg_backend_pid();")
    make_certificate(certificates / "a.test.pem", "a.test")
    wait_until("the new certificate", lambda: certificate_at(ports["tls"], "a.test") != before)
    renewed = certificate_at(ports["tls"], "a.test")
    good = (certificates / "a.test.pem").read_text()
    complaints = edge_host.log().count("stay as they were")
    (certificates / "a.test.pem").write_text("no certificate\n")
    wait_until("the complaint", lambda: edge_host.log().count("stay as they were") > complaints)
    assert certificate_at(ports["tls"], "a.test") == renewed
    (certificates / "new").write_text(good)
    (certificates / "new").rename(certificates / "a.test.pem")  # as careful programs do
    assert session.ask("SELECT pg_backend_pid();") == pid
    session.close()
    # While no coordinator runs nothing is noticed; the next one looks.
    edge_host.kill()
    make_certificate(certificates / "a.test.pem", "a.test")
    edge_host.start()
    wait_until("the certificate of meanwhile", lambda: certificate_at(ports["tls"], "a.test") not in (before, renewed))


def test_haproxy_is_started_again_and_taken_over(edge_host, databases, ports, psql17):
    record = edge_host.run / "haproxy.pid"
    before = harness.helper_pid(record)
    session = Session(psql17("a.test", ports["tls"]))
    pid = session.ask("SELECT pg_backend_pid();")
    edge_host.kill()
    edge_host.start()
    assert session.ask("SELECT pg_backend_pid();") == pid
    session.close()
    assert harness.helper_pid(record) == before
    os.kill(before, 9)
    wait_until("another one", lambda: harness.helper_pid(record) not in (None, before))
    wait_until("it to answer", lambda: subprocess.run(
        psql17("a.test", ports["tls"], "-c", "SELECT 1"), capture_output=True, timeout=60).returncode == 0)


# ---- HTTP ----


@pytest.fixture(scope="module")
def web(edge_host, ports):
    text = ""
    for name in ("web", "other"):
        program = "\n".join("      " + line for line in (HTTP_SERVER % name).strip().splitlines())
        text += f"app:\n  name: {name}\n  namespace: samples\n  image: {harness.IMAGE}\n  resources: {{cpu: 1, memory: 64}}\n" \
                f"  mode: regular\n  command:\n    - perl\n    - -e\n    - |\n{program}\n  expose:\n" \
                f"    http: {{port: 8080, external: {{protocol: http, host: {name}.test, port: {ports['http']}}}}}\n"
        if name == "web":
            text += f"    https: {{port: 8080, external: {{protocol: https, host: web.test, port: {ports['https']}}}}}\n---\n"
    edge_host.deploy(text)
    for name in ("web", "other"):
        edge_host.cli("machine", "wait", "--ns", "samples", name, "--for", "ready", "--timeout", "60s")
    yield
    for name in ("web", "other"):
        edge_host.cli("app", "delete", "--ns", "samples", name, "-y")


def fetch(scheme, port, host):
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}/", headers={"Host": host})
    context = tls_context() if scheme == "https" else None
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()
    except urllib.error.URLError as error:
        return None, str(error)


def test_http_by_host(edge_host, web, ports):
    for name in ("web", "other"):
        expected = (200, f"{name} for {name}.test by http")
        assert wait_until("an answer", lambda: (got := fetch("http", ports["http"], f"{name}.test")) == expected and got)
    assert fetch("http", ports["http"], "web.test:80") == (200, "web for web.test:80 by http")
    assert fetch("http", ports["http"], "nobody.test") == (404, "no such host")
    assert edge_host.json("service", "get", "--ns", "samples", "web-http")["host"] == "web.test"


def test_https_with_the_hosts_certificate(web, ports):
    done = subprocess.run(
        ["curl", "-sk", "--resolve", f"web.test:{ports['https']}:127.0.0.1", "--retry", "20", "--retry-all-errors",
         "--retry-delay", "1", "-w", "%{http_version}", f"https://web.test:{ports['https']}/"],
        capture_output=True, text=True, timeout=120)
    assert done.stdout == f"web for web.test:{ports['https']} by https\n2", done
