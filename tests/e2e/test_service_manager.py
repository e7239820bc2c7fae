"""
What lttled and its service manager do together, with a service manager that speaks systemd's protocol: readiness, and
stub listeners that outlive a coordinator which is killed or started anew.
"""

import fcntl
import os
import signal
import socket
import struct

import harness
import pytest
import service_manager
from harness import wait_until


@pytest.fixture(scope="module")
def service():
    with service_manager.Service(f"v{os.getpid() % 100000:05d}", harness.subnet(1)) as coordinator:
        yield coordinator


@pytest.fixture(scope="module")
def server(service):
    database = harness.Database(service, "kept", timeout="1s")
    yield database
    database.delete()


def call(address):
    """A new client that has said who it is, and waits."""
    client = harness.tcp_connect(address)
    body = struct.pack("!I", 196608) + b"user\0user\0database\0db\0\0"
    client.sendall(struct.pack("!I", len(body) + 4) + body)
    return client


def assert_served(client):
    client.settimeout(harness.DEADLINE)
    assert client.recv(1) == b"R", "not the server's question for a password"
    client.close()


def test_it_says_when_it_is_ready_and_when_it_ends(service):
    assert service.manager.has_said("READY")
    assert not service.manager.has_said("STOPPING")
    service.stop()
    wait_until("it to say that it ends", lambda: service.manager.has_said("STOPPING"))
    service.start()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_who_waits_at_a_machine_on_disk_outlives_the_coordinator(service, server, signal_number):
    address = server.address
    session = server.connect()
    server.hibernate()
    wait_until("a stub of each family to be kept", lambda: len(service.manager.kept) == 2)
    clients = []
    if signal_number == signal.SIGKILL:
        service.process.send_signal(signal.SIGSTOP)
        clients.append(call(address))
    service.stop(signal_number)
    clients.append(call(address))
    service.start()
    for client in clients:
        assert_served(client)
    assert harness.rows(session, "SELECT 1") == [(1,)]
    session.close()
    assert server.get()["last-error"] is None
    wait_until("nothing to be kept for a machine that runs", lambda: service.manager.kept == [])


def test_what_nobody_claims_is_ended(service):
    """A stub of a machine that needs none any more must not take clients from its server."""
    service.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiting = socket.create_connection(listener.getsockname())
        service.manager.kept.append(("stub-nobody", fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 100)))
        service.start()
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
        waiting.close()
    # As systemd does when a descriptor hangs up.
    os.close(service.manager.kept.pop()[1])
