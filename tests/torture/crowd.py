"""The client processes of a torture run and the one event log that they write together."""

import collections
import signal
import subprocess
import threading
import time


class Member:
    """One client process, and what its events have said."""

    def __init__(self, kind, number, process):
        self.kind, self.number, self.process = kind, number, process
        self.waiting_since = None
        self.waiting_for = ""
        self.problem = None
        self.summary = None


class Crowd:
    def __init__(self, log_path, hang_seconds):
        self.members = []
        self.readers = []
        self.log = open(log_path, "w", buffering=1)
        self.lock = threading.Lock()
        self.hang_seconds = hang_seconds
        self.stopping = False
        # Worst wait in milliseconds by kind: while the machine was held awake, and since.
        self.awake = collections.Counter()
        self.asleep = collections.Counter()
        self.counts = collections.Counter()
        self.limits = None
        self.found = []

    def note(self, text):
        """A line of the event log that is not a client's."""
        with self.lock:
            self.log.write(f"{time.monotonic_ns() // 1000000} run {text}\n")

    def start(self, program, kinds, seed, server):
        origin = time.monotonic_ns() // 1000000
        for number, kind in enumerate(kinds):
            process = subprocess.Popen(
                [program, kind, str(number), str(seed), str(origin), str(server.beat_ms), str(server.timeout_ms),
                 server.conninfo], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
            member = Member(kind, number, process)
            self.members.append(member)
            reader = threading.Thread(target=self.read, args=(member,), daemon=True)
            reader.start()
            self.readers.append(reader)

    def read(self, member):
        for line in member.process.stdout:
            with self.lock:
                self.log.write(line)
                self.take(member, line.split(maxsplit=3))

    def take(self, member, words):
        mark, rest = words[2], words[3] if len(words) > 3 else ""
        if mark == ">":
            member.waiting_since, member.waiting_for = time.monotonic(), rest.strip()
        elif mark == "<":
            member.waiting_since = None
            what, waited_us = rest.split()
            self.judge(member, what, int(waited_us) / 1000)
        elif mark == "!":
            member.problem = rest.strip()
        elif mark == "=":
            member.summary = dict(zip(rest.split()[::2], map(int, rest.split()[1::2])))

    def judge(self, member, what, waited_ms):
        worst = self.awake if self.limits is None else self.asleep
        worst[member.kind] = max(worst[member.kind], waited_ms)
        self.counts[member.kind] += 1
        if self.limits is not None and waited_ms > self.limits[member.kind]:
            self.found.append(f"{member.kind} client {member.number} waited {waited_ms:.0f} ms for {what}; this run's "
                              f"baseline explains {self.limits[member.kind]:.0f}")

    def learn_limits(self, tolerance, baseline):
        """From now on the machine sleeps: nobody may wait longer than for the same awake, a hibernation and a wake."""
        with self.lock:
            silent = {m.kind for m in self.members} - set(self.awake)
            assert not silent, f"these have not waited once while the machine was awake: {silent}"
            self.limits = {kind: tolerance * (worst + baseline.worst_ms()) for kind, worst in self.awake.items()}

    def problems(self):
        with self.lock:
            found = list(self.found)
            for member in self.members:
                status = member.process.poll()
                if member.problem:
                    found.append(f"{member.kind} client {member.number}: {member.problem}")
                elif status not in (None, 0) or (status == 0 and not self.stopping):
                    found.append(f"{member.kind} client {member.number} ended with status {status}")
                elif member.waiting_since and time.monotonic() - member.waiting_since > self.hang_seconds:
                    found.append(f"{member.kind} client {member.number} hangs: it waits for {member.waiting_for}")
            return found

    def stop(self, seconds):
        """Asks all to end in order; whoever does not is a problem."""
        self.stopping = True
        for member in self.members:
            member.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + seconds
        for member, reader in zip(self.members, self.readers):
            reader.join(max(0.0, end - time.monotonic()))
            try:
                member.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.found.append(f"{member.kind} client {member.number} does not end; it waits for {member.waiting_for}")
                continue
            if member.summary is None and not member.problem:
                self.found.append(f"{member.kind} client {member.number} ended without its last checks")

    def kill(self):
        for member in self.members:
            if member.process.poll() is None:
                member.process.kill()
                member.process.wait()

    def table(self):
        for kind in dict.fromkeys(m.kind for m in self.members):
            group = [m for m in self.members if m.kind == kind]
            turns = sum(m.summary["turns"] for m in group)
            yield (f"{kind:13} {len(group):7} {turns:6} {self.counts[kind]:6} {self.awake[kind]:22.1f} "
                   f"{self.asleep[kind]:7.1f} {self.limits[kind]:7.0f}")
