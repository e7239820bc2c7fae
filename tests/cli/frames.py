"""The client's side of an upgraded exec connection, for tests. See coordinator/api/frame.h."""

import json
import struct

STDIN, STDOUT, STDERR, RESIZE, EXIT, ERROR, STDIN_EOF = range(7)


def frame(kind, payload=b""):
    return struct.pack(">BI", kind, len(payload)) + payload


class Exec:
    """Runs a program; `status` is the HTTP status, `head` the answer's header."""

    def __init__(self, coordinator, name, *argv, early=b"", upgrade="lttle-exec", **body):
        self.client = coordinator.connect()
        self.received = b""
        text = json.dumps({"argv": argv, **body}).encode()
        self.client.sendall(
            f"POST /v1/namespaces/samples/machines/{name}/exec HTTP/1.1\r\nHost: lttle\r\nConnection: Upgrade\r\n"
            f"Upgrade: {upgrade}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text + early
        )
        while b"\r\n\r\n" not in self.received:
            got = self.client.recv(65536)
            assert got, self.received
            self.received += got
        self.head, _, self.received = self.received.partition(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    def send(self, kind, payload=b""):
        self.client.sendall(frame(kind, payload))

    def read(self):
        """The next frame, or None at the end."""
        while True:
            if len(self.received) >= 5:
                kind, length = struct.unpack_from(">BI", self.received)
                if len(self.received) >= 5 + length:
                    payload = self.received[5:5 + length]
                    self.received = self.received[5 + length:]
                    return kind, payload
            got = self.client.recv(1 << 20)
            if not got:
                assert self.received == b""
                return None
            self.received += got

    def finish(self):
        """Everything until the end: (standard output, standard error, exit status)."""
        streams = {STDOUT: bytearray(), STDERR: bytearray()}
        while True:
            kind, payload = self.read()
            if kind == EXIT:
                assert self.read() is None
                return bytes(streams[STDOUT]), bytes(streams[STDERR]), struct.unpack(">i", payload)[0]
            streams[kind] += payload

    def close(self):
        self.client.close()
