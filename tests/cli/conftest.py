"""A coordinator over a double of the engine, and the real lttle, for the tests of this folder."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import openapi
import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LTTLE_BUILD", TOP / "build/coordinator")).resolve()
LTTLE = BUILD / "lttle"
FAKE = BUILD / "unit/fake_coordinator"
DEADLINE_SECONDS = 20


@pytest.fixture(scope="session", autouse=True)
def built():
    subprocess.run(
        ["make", "--no-print-directory", "-s", "-C", TOP / "coordinator", f"BUILD={BUILD}", "cli-tests"], check=True
    )


def wait_until(what, condition):
    """Waits for the condition to become true, and returns what it gave."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.01)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lttle", timeout=DEADLINE_SECONDS)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Coordinator:
    """The running double: `lines` is what it says, in order."""

    def __init__(self, directory, arguments=()):
        self.socket = directory / "lttle.sock"
        self.log = directory / "machine.log"
        if not self.log.exists():
            self.log.write_text("one\ntwo\nthree\n")
        self.process = subprocess.Popen(
            [FAKE, self.socket, self.log, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_until("the coordinator", lambda: "ready" in self.lines or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.stderr.read()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def expect(self, line):
        wait_until(f"'{line}' in {self.lines}", lambda: line in self.lines)

    def expect_all(self, lines):
        wait_until(f"nothing but {lines}", lambda: len(self.lines) > len(lines))
        assert self.lines[1:] == lines

    def stop(self):
        """Ends it in order, and asserts that it was still alive and left nothing."""
        assert self.process.poll() is None, "the coordinator has died: " + self.process.stderr.read()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE_SECONDS) == 0, self.process.stderr.read()
        assert not self.socket.exists()

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE_SECONDS)
        client.connect(str(self.socket))
        return client

    def request(self, method, target, body=None, headers=None):
        """Returns (status, JSON), checked against docs/openapi.yaml."""
        connection = UnixConnection(self.socket)
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.headers["Content-Type"] == "application/json", text
        answer = json.loads(text)
        openapi.check(method, target.split("?")[0], response.status, answer)
        return response.status, answer

    def error(self, method, target, body=None, headers=None):
        status, answer = self.request(method, target, body, headers)
        return status, answer["error"]["code"]

    def environment(self):
        return {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8", "LTTLE_SOCKET": str(self.socket)}

    def cli(self, *arguments, input=None, environment=None):
        return subprocess.run(
            [LTTLE, *map(str, arguments)], input=input, capture_output=True, timeout=DEADLINE_SECONDS * 3,
            stdin=subprocess.DEVNULL if input is None else None, env={**self.environment(), **(environment or {})},
        )

    def begin(self, *arguments):
        """lttle in the background, for whoever calls to end."""
        return subprocess.Popen(
            [LTTLE, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.environment(),
        )


@pytest.fixture
def coordinator(tmp_path):
    running = Coordinator(tmp_path)
    yield running
    try:
        running.stop()
    finally:
        running.process.kill()


@pytest.fixture
def start(tmp_path):
    """Starts coordinators with arguments of their own."""
    started = []

    def start_one(*arguments):
        started.append(Coordinator(tmp_path, arguments))
        return started[-1]

    yield start_one
    for running in started:
        running.process.kill()
        running.process.wait()
