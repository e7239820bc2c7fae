"""The API of the real coordinator: its answers are those of docs/openapi.yaml, and exec carries what it is given."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import harness

sys.path.insert(0, str(harness.TOP / "tests/cli"))

import openapi  # noqa: E402


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lttle", timeout=harness.DEADLINE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(host, method, target, body=None):
    """Returns (status, JSON), checked against the description."""
    connection = UnixConnection(host.socket)
    connection.request(method, target, body=body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    openapi.check(method, target.split("?")[0], response.status, answer)
    return response.status, answer


def exec_arguments(host, database, *words):
    return [str(harness.LTTLE), "--socket", str(host.socket), "machine", "exec", "--ns", database.namespace,
            database.name, *words]


def test_every_answer_is_as_described(host, database):
    one = f"/v1/namespaces/{database.namespace}"
    for target in ["/v1/version", "/v1/doctor", "/v1/apps", "/v1/machines", "/v1/volumes", "/v1/images", "/v1/events",
                   f"{one}/apps/{database.name}", f"{one}/machines/{database.name}",
                   f"{one}/volumes/{database.name}-data",
                   f"{one}/machines/{database.name}/wait?phase=suspended"]:
        status, answer = request(host, "GET", target)
        assert status == 200 and answer, target
    assert request(host, "POST", "/v1/deploy?file=x", database.text)[1]["results"][0]["action"] == "unchanged"
    status, answer = request(host, "POST", "/v1/deploy?file=x", database.text.replace("cpu: 1", "cpu: many"))
    assert status == 400 and answer["diagnostics"][0]["key"] == "app.resources.cpu"
    for action in ["wake", "suspend", "wake"]:
        harness.wait_until(action, lambda: request(host, "POST", f"{one}/machines/{database.name}/{action}")[0] == 200)
    assert request(host, "GET", f"{one}/machines/{database.name}")[1]["phase"] in ("ready", "suspending", "suspended")


def test_errors_are_as_described(host, database):
    one = f"/v1/namespaces/{database.namespace}"
    for method, target, status, code in [
        ("GET", f"{one}/machines/nobody", 404, "not-found"), ("DELETE", f"{one}/apps/nobody", 404, "not-found"),
        ("DELETE", f"{one}/volumes/{database.name}-data", 409, "busy"),
        ("GET", f"{one}/machines/{database.name}/wait?phase=stopped&timeout-ms=50", 504, "timed-out"),
        ("POST", f"{one}/machines/{database.name}/exec", 426, "upgrade-required"),
    ]:
        got, answer = request(host, method, target)
        assert (got, answer["error"]["code"]) == (status, code), answer


def test_exec_carries_ten_megabytes_both_ways(host, database):
    data = os.urandom(10_000_000)
    done = subprocess.run(exec_arguments(host, database, "-i", "cat"), input=data, capture_output=True, timeout=120)
    assert (done.stdout == data, done.stderr, done.returncode) == (True, b"", 0)


def test_a_client_that_is_killed_ends_its_program(host, database):
    client = subprocess.Popen(exec_arguments(host, database, "sh", "-c", "echo up; exec sleep 98765"),
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert client.stdout.readline() == b"up\n"

    def sleeps():
        done = subprocess.run(exec_arguments(host, database, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return "sleep 98765" in done.stdout

    assert sleeps()
    client.send_signal(signal.SIGKILL)
    client.wait()
    harness.wait_until("the program to be gone", lambda: not sleeps())


def test_following_the_log_does_not_keep_it_awake(host, database):
    follower = subprocess.Popen(
        [str(harness.LTTLE), "--socket", str(host.socket), "machine", "logs", "--ns", database.namespace, database.name,
         "-f", "--tail", "0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        database.wait("suspended")
        connection = database.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE LOG 'seen by the follower'; END $$")
        connection.close()
        line = b""
        while b"seen by the follower" not in line:
            line = follower.stdout.readline()
            assert line
        database.wait("suspended")
    finally:
        follower.kill()
        follower.wait()
