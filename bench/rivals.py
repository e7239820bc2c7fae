"""
What people use instead, on the same image and with the same data: a container of runc, started cold or restored from a
checkpoint, a plain `pg_ctl start`, and a server that systemd starts for the first client. Everything lies below one directory and carries one prefix, and is recorded like
a coordinator of the tests, so that a run that was killed is swept by the next one.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import harness
from measure import Client, Host, drop_cache, make_table, prewarm

UID = 999
DATA = "var/lib/postgresql/data"
BIN = "/usr/lib/postgresql/17/bin"
ENVIRONMENT = {
    "PATH": f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{BIN}", "LANG": "en_US.utf8", "PG_MAJOR": "17",
    "PGDATA": f"/{DATA}", "HOME": "/var/lib/postgresql", "POSTGRES_USER": "user", "POSTGRES_DB": "db",
    "POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_PASSWORD": "password",
}
CAP_SYS_RESOURCE = 24
PROXY = "/lib/systemd/systemd-socket-proxyd"
# Where the image's own CRIU is taken from; the coordinator uses the same.
CRIU = "/usr/local/lib/lttle/criu" if os.access("/usr/local/lib/lttle/criu", os.X_OK) else "criu"
# prlimit(2) on a process of another user needs CAP_SYS_RESOURCE or that user's real ids, and CRIU's dump asks for limits.
AS_USER = f"""#!/usr/bin/python3 -IS
import os, sys
os.setresgid({UID}, -1, -1)
os.setresuid({UID}, -1, -1)
os.execvp("{CRIU}", ["{CRIU}", *sys.argv[1:]])
"""


def run(*arguments, **more):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
    return done.stdout


def lacks_capability(number):
    status = Path("/proc/self/status").read_text()
    return not int(status.split("CapEff:")[1].split()[0], 16) >> number & 1


class Rivals:
    """A container and a plain server, one at a time, at one address in a network namespace of their own."""

    def __init__(self, image_root, arguments=(), table_mib=0):
        self.prefix = f"b{os.getpid() % 10000:04d}r"
        self.root = harness.ROOTS / self.prefix
        self.table_mib, self.image_root = table_mib, image_root
        self.address, self.host_address = f"{Host.network}.255.2", f"{Host.network}.255.1"
        self.arguments = ["postgres", *arguments]
        self.activated = None
        self.record = harness.RECORDS / f"{self.prefix}.json"

    def __enter__(self):
        self.root.mkdir(parents=True)
        self.record.write_text(json.dumps({
            "owner": os.getpid(), "owner_start": harness.process_start_time(os.getpid()), "daemon": None,
            "daemon_start": None, "prefix": self.prefix, "root": str(self.root)}))
        try:
            self.make_network()
            for name in ("runc", "plain"):
                self.make_root(name)
            self.make_bundle()
            self.client = Client(self.address)
            self.make_data()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.activated is not None:
            self.activated.kill()
            self.activated.wait()
        self.runc("delete", "--force", "one", check=False)
        self.pg_ctl("stop", "-m", "immediate", check=False)
        harness.sweep(self.prefix, self.root)
        self.record.unlink(missing_ok=True)

    # -- made once --

    def make_network(self):
        pin, link = self.root / "netns", f"{self.prefix}1"
        pin.touch()
        run("unshare", f"--net={pin}", "true")
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pin)
        run("ip", "addr", "add", f"{self.host_address}/30", "dev", link)
        run("ip", "link", "set", link, "up")
        for arguments in (("addr", "add", f"{self.address}/30", "dev", "eth0"), ("link", "set", "eth0", "up"),
                          ("link", "set", "lo", "up")):
            run("nsenter", f"--net={pin}", "ip", *arguments)

    def make_root(self, name):
        """An overlay over the image, as a container engine makes it, with the data directory in it."""
        base = self.root / name
        for part in ("rootfs", "upper", "work", "data"):
            (base / part).mkdir(parents=True)
        os.chown(base / "data", UID, UID)
        (base / "data").chmod(0o700)
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={self.image_root},upperdir={base}/upper,workdir={base}/work", base / "rootfs")
        (base / "rootfs" / DATA).mkdir(parents=True, exist_ok=True)
        if name == "plain":
            run("mount", "--bind", base / "data", base / "rootfs" / DATA)
            for device in ("null", "urandom"):
                (base / "rootfs/dev" / device).touch()
                run("mount", "--bind", f"/dev/{device}", base / "rootfs/dev" / device)
            (base / "rootfs/dev/shm").mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "shm", base / "rootfs/dev/shm")

    def make_bundle(self):
        base = self.root / "runc"
        run("runc", "spec", "--bundle", base)
        config = json.loads((base / "config.json").read_text())
        process = config["process"]
        process["terminal"] = False
        process["user"] = {"uid": UID, "gid": UID}
        process["env"] = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        # Standard streams of the host could not be taken into a checkpoint.
        process["args"] = ["sh", "-c", 'exec docker-entrypoint.sh "$@" </dev/null >>/tmp/log 2>&1', "sh", *self.arguments]
        process["capabilities"] = {kind: [] for kind in process["capabilities"]}
        process.pop("rlimits", None)
        config["root"] = {"path": "rootfs", "readonly": False}
        config["mounts"].append({"destination": f"/{DATA}", "type": "bind", "source": str(base / "data"),
                                 "options": ["bind", "rw"]})
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = str(self.root / "netns")
        config["linux"]["cgroupsPath"] = f"/{self.prefix}/one"
        config["annotations"] = {"org.criu.config": str(base / "criu.conf")}
        # CRIU's own lock of connections fails without CAP_SYS_RESOURCE, and nobody is connected.
        (base / "criu.conf").write_text("network-lock skip\ntcp-established\n")
        (base / "config.json").write_text(json.dumps(config))
        (base / "criu-dump").write_text(AS_USER)
        (base / "criu-dump").chmod(0o755)

    def make_data(self):
        """The first start makes the cluster; the plain server gets a copy."""
        self.run_cold()
        if self.table_mib:
            make_table(self.address, self.table_mib)
        self.stop()
        run("cp", "-a", "--reflink=auto", f"{self.root}/runc/data/.", f"{self.root}/plain/data/")

    # -- runc --

    def runc(self, *arguments, criu=CRIU, check=True):
        done = subprocess.run(["runc", "--root", str(self.root / "state"), "--criu", str(criu), *map(str, arguments)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if check and done.returncode != 0:
            logs = [path.read_text(errors="replace")[-1500:] for path in (self.root / "runc/images").glob("*.log")]
            raise RuntimeError(f"runc {arguments[0]}: {done.stderr} {logs}")

    def first_row(self, start):
        """Milliseconds from just before the start to the first row."""
        self.client.send("await")
        start()
        return int(self.client.receive()) / 1e6

    def run_cold(self, drop=None):
        if drop is not None:
            drop()
        return self.first_row(lambda: self.runc("run", "--detach", "--bundle", self.root / "runc", "one"))

    def warm(self, mebibytes):
        prewarm(self.address, mebibytes)

    def checkpoint(self):
        images = self.root / "runc/images"
        run("rm", "-rf", images)
        self.runc("checkpoint", "--image-path", images, "--work-path", images, "one",
                  criu=self.root / "runc/criu-dump" if lacks_capability(CAP_SYS_RESOURCE) else CRIU)
        run("sync", "--file-system", images)

    def image_files(self):
        return [path for path in (self.root / "runc/images").iterdir() if path.is_file()]

    def drop_images(self):
        drop_cache(self.image_files())

    def restore(self, drop=None):
        images = self.root / "runc/images"
        if drop is not None:
            drop()
        return self.first_row(lambda: self.runc("restore", "--detach", "--image-path", images, "--work-path", images,
                                                "--bundle", self.root / "runc", "one"))

    def stop(self):
        self.runc("kill", "one", "INT")
        harness.wait_until("the container to stop", lambda: self.state() == "stopped")
        self.runc("delete", "one")

    def state(self):
        return json.loads(run("runc", "--root", self.root / "state", "state", "one"))["status"]

    # -- a plain server --

    def pg_ctl(self, *arguments, check=True):
        plain = self.root / "plain/rootfs"
        done = subprocess.run(["nsenter", f"--net={self.root}/netns", "chroot", f"--userspec={UID}:{UID}", str(plain),
                               f"{BIN}/pg_ctl", "-D", f"/{DATA}", "-w", "-s", *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env={"LANG": "C", "PATH": ENVIRONMENT["PATH"]})
        if check and done.returncode != 0:
            raise RuntimeError(f"pg_ctl {arguments[0]}: {done.stderr}")

    def move_plain(self, as_service):
        """
        The plain server as a service, in a control group of the weight that every group has by itself, or as it is when
        pg_ctl starts it, in none.
        """
        roots = harness.cgroup_roots()  # the first is the v2 tree, unless there is one of v1 for the CPU
        group = next((base for base in roots if (base / "cpu.shares").exists()), roots[0])
        if as_service:
            group = group / self.prefix / "plain"
            group.mkdir(parents=True, exist_ok=True)
        pid = (self.root / "plain/data/postmaster.pid").read_text().split()[0]
        for process in (pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            with contextlib.suppress(ProcessLookupError):  # the backend of a session that ends
                (group / "cgroup.procs").write_text(process)

    def start_plain(self, drop=None):
        options = " ".join(self.arguments[1:])
        if drop is not None:
            drop()
        took = self.first_row(lambda: self.pg_ctl("start", "-l", "/tmp/log", "-o", options))
        self.pg_ctl("stop", "-m", "fast")
        return took

    # -- the plain server, started by systemd's parts for the first client --

    def is_listening(self):
        return f"{self.address}:5432" in run("nsenter", f"--net={self.root}/netns", "ss", "--no-header", "-ltn")

    def start_activated(self, drop=None):
        """
        What a socket unit, a service of PostgreSQL and one of the proxy after it do: systemd-socket-activate listens,
        and when a client comes the server is started, and systemd-socket-proxyd when the server is ready. The client
        connects once.
        """
        plain, arguments = self.root / "plain/rootfs", " ".join(self.arguments[1:])
        script = f"""env -u LISTEN_FDS -u LISTEN_PID chroot --userspec={UID}:{UID} {plain} {BIN}/postgres -D /{DATA} \
                         -c listen_addresses=127.0.0.1 {arguments} 3<&- >>{plain}/tmp/log 2>&1 &
                     until grep -qs '^ready' {plain}/{DATA}/postmaster.pid; do sleep 0.001; done
                     exec {PROXY} 127.0.0.1:5432"""
        self.activated = subprocess.Popen(
            ["nsenter", f"--net={self.root}/netns", "systemd-socket-activate", "--listen", f"{self.address}:5432", "sh",
             "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until("systemd-socket-activate to listen", self.is_listening)
        if drop is not None:
            drop()
        took = self.client.milliseconds("connect")
        self.pg_ctl("stop", "-m", "fast")
        self.activated.terminate()
        self.activated.wait(timeout=harness.DEADLINE)
        self.activated = None
        return took
