"""
A host that can crash: its state directory is a file system of its own, in a file, and lttled runs in a mount namespace
of its own with a boot id of its own. A crash shuts that file system down in the way that a power cut does (what had not
reached its disk is gone), kills every process, and mounts the file again. Also: a coordinator with fault points.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import uuid
from pathlib import Path

import harness
from harness import wait_until

FAULTS_BUILD = harness.TOP / "build/coordinator-faults"
# linux/fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
EXT4_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING = 2
# Nothing reaches the disk by the passing of time, or because a rename happens to flush.
MOUNT_OPTIONS = "loop,commit=300,noauto_da_alloc"


class FaultyCoordinator(harness.Coordinator):
    """A coordinator with the fault points of coordinator/base/fault.h, which can be armed while it runs."""

    program = FAULTS_BUILD / "lttled"

    def __init__(self, prefix, subnet, settings=""):
        subprocess.run(["make", "-s", "-C", harness.TOP / "coordinator", "FAULTS=1", "-j2"], check=True,
                       stdout=subprocess.DEVNULL)
        super().__init__(prefix, subnet, settings)
        self.faults = self.root / "faults"
        self.hits = self.root / "faults.hits"

    def start(self, *, wait=True, **environment):
        return super().start(wait=wait, LTTLED_FAULT=str(self.faults), **environment)

    def arm(self, faults):
        """Arms what fault.h describes, and forgets what was armed before."""
        self.hits.unlink(missing_ok=True)
        aside = self.root / "faults.new"
        aside.write_text(faults)
        aside.rename(self.faults)

    def disarm(self):
        self.arm("")

    def hit(self):
        """The points that were reached, with the process that was there: [(name, pid)]."""
        lines = self.hits.read_text().splitlines() if self.hits.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def wait_for_hit(self, name):
        return wait_until(lambda: f"{name} to be reached; the log ends with {self.log()[-3000:]}",
                          lambda: [pid for hit, pid in self.hit() if hit == name])[0]


class CrashHost(FaultyCoordinator):
    """One lttled and all that it has, which can be cut off from one moment to the next."""

    def __init__(self, prefix, subnet, settings="", disk_mib=1500):
        super().__init__(prefix, subnet, settings)
        self.disk = self.root / "disk.img"
        self.boot_id = self.root / "boot_id"
        self.images = self.root / "images"
        self.images.mkdir()
        with open(self.disk, "wb") as disk:
            disk.truncate(disk_mib << 20)
        # No blocks are put aside for root: full is full.
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=1", self.disk],
                       check=True)
        self.plug_in()

    def plug_in(self):
        """
        Mounts the disk, as after switching the host on. In a mount namespace of its own, which a process holds that does
        nothing else: what anybody else on this machine unshares then has no copy of these mounts.
        """
        self.boot_id.write_text(f"{uuid.uuid4()}\n")
        state = self.root / "state"
        state.mkdir(exist_ok=True)
        script = (f"mount -o {MOUNT_OPTIONS} {self.disk} {state} && mkdir -p {state}/images && "
                  f"mount --bind {self.images} {state}/images && "
                  f"mount --bind {self.boot_id} /proc/sys/kernel/random/boot_id && echo up && exec sleep infinity")
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.namespace = os.stat(f"/proc/{self.holder.pid}/ns/mnt").st_ino
        self.state = Path(f"/proc/{self.holder.pid}/root{state}")

    def wrapper(self):
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *super().wrapper()]

    def processes(self):
        """All of this host: those in lttled's mount namespace, and those in its machines' control groups."""
        found = set()
        for group in (g for base in harness.cgroup_roots() for g in (base / self.prefix).glob("**/cgroup.procs")):
            try:
                found.update(int(pid) for pid in group.read_text().split())
            except OSError:
                continue  # removed meanwhile
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.stat(process / "ns/mnt").st_ino == self.namespace:
                    found.add(int(process.name))
            except OSError:
                continue  # ended meanwhile
        return found

    def cut_off(self):
        """From here on nothing reaches the disk."""
        fd = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.ioctl(fd, EXT4_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING))
        os.close(fd)

    def crash(self):
        """The power goes, and comes back: what is on the disk is all that is left."""
        self.cut_off()
        self.process.kill()
        self.process.wait(timeout=harness.DEADLINE)
        self.process = None
        # As long as it is held open no other mount namespace gets its number: not one of somebody else's machines, whose
        # processes would be killed as if they were of this host.
        held = os.open(f"/proc/{self.holder.pid}/ns/mnt", os.O_RDONLY)
        self.holder.kill()
        self.holder.wait(timeout=harness.DEADLINE)
        killed = {}

        def all_gone():
            for pid in self.processes():
                killed[pid] = harness.process_start_time(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            # Reaped as well: after a reboot nobody has the number and the start time of a process before it.
            return not self.processes() and not any(
                start and harness.process_start_time(pid) == start for pid, start in killed.items())

        try:
            wait_until(lambda: f"processes to end: {self.processes()} of {killed}", all_gone)
        finally:
            os.close(held)
            self.namespace = None
        harness.sweep_kernel(self.prefix, self.root)
        wait_until(lambda: f"the host to be empty: {harness.leftovers(self.prefix, self.root)}",
                   lambda: not harness.leftovers(self.prefix, self.root))
        shutil.rmtree(self.run, ignore_errors=True)
        self.disarm()
        self.plug_in()

    def expected(self, line):
        return super().expected(line) or line.endswith(f"({self.disk})")

    def close(self):
        self.disarm()
        try:
            return super().close()
        finally:
            self.holder.kill()
            self.holder.wait(timeout=harness.DEADLINE)
