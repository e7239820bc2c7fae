"""A service manager that speaks systemd's protocol, and an lttled that it runs."""

import fcntl
import os
import socket
import threading

import harness


class ServiceManager:
    """$NOTIFY_SOCKET's other end, with a descriptor store."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.states = []
        self.kept = []
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while True:
            text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 16)
            lines = dict(line.split("=", 1) for line in text.decode().splitlines())
            if not lines:
                return
            self.states.append(lines)
            if lines.get("FDSTORE") == "1":
                for descriptor in descriptors:
                    self.kept.append((lines["FDNAME"], fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100)))
                    os.close(descriptor)
            elif lines.get("FDSTOREREMOVE") == "1":
                for kept in [kept for kept in self.kept if kept[0] == lines["FDNAME"]]:
                    self.kept.remove(kept)
                    os.close(kept[1])

    def has_said(self, key):
        return any(key in lines for lines in self.states)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        for _, descriptor in self.kept:
            os.close(descriptor)


class Service(harness.Coordinator):
    """lttled as systemd starts it: told where to say that it is ready, and given what was kept, from descriptor 3 on."""

    manager = None

    def wrapper(self):
        kept = list(self.manager.kept)
        moves = "".join(f"exec {3 + i}<&{descriptor} {descriptor}<&-\n" for i, (_, descriptor) in enumerate(kept))
        names = ":".join(name for name, _ in kept)
        listening = f"export LISTEN_PID=$$ LISTEN_FDS={len(kept)} LISTEN_FDNAMES={names}\n" if kept else ""
        return [*super().wrapper(), "bash", "-c", f'{moves}{listening}exec "$@"', "lttled"]

    def start(self, **environment):
        if self.manager is None:
            self.manager = ServiceManager(self.root / "notify")
        self.manager.states.clear()
        self.descriptors = [descriptor for _, descriptor in self.manager.kept]
        return super().start(NOTIFY_SOCKET=self.manager.path, **environment)

    def close(self):
        try:
            return super().close()
        finally:
            self.manager.close()
