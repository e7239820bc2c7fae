"""
A container of podman, checkpointed and restored with podman's own commands over the same runc, the same CRIU, the same
image and in the same network namespace as the other rivals. podman has no engine that would have to run, and all that it
keeps lies below one directory.
"""

import os
import resource
import shutil
import subprocess

import harness
from measure import drop_cache
from rivals import BIN, CRIU, DATA, ENVIRONMENT, UID, CAP_SYS_RESOURCE, lacks_capability, run

NAME = "one"


def limits():
    """Below this process's own and what podman makes of them, because raising one needs a capability."""
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        most = resource.getrlimit(number)[1] // 4
        yield from ("--ulimit", f"{name}={most}:{most}")


class Podman:
    """rivals: what the network and the data come from; its container must not run at the same time."""

    def __init__(self, rivals):
        self.rivals, self.base = rivals, rivals.root / "podman"
        for part in ("root", "runroot", "tmp", "bin", "bin-dump"):
            (self.base / part).mkdir(parents=True)
        # podman finds CRIU on the path; a dump may need the one that takes the server's user.
        (self.base / "bin/criu").symlink_to(shutil.which(CRIU))
        (self.base / "bin-dump/criu").symlink_to(rivals.root / "runc/criu-dump" if lacks_capability(CAP_SYS_RESOURCE)
                                                 else shutil.which(CRIU))
        (self.base / "containers.conf").write_text("[engine]\n")
        run("cp", "-a", "--reflink=auto", rivals.root / "runc/data", self.base / "data")

    def podman(self, *arguments, directory="bin", check=True):
        options = ("--root", self.base / "root", "--runroot", self.base / "runroot", "--tmpdir", self.base / "tmp",
                   "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend",
                   "none")
        done = subprocess.run([str(word) for word in ("podman", *options, *arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env={**os.environ, "CONTAINERS_CONF": str(
                                  self.base / "containers.conf"), "PATH": f"{self.base / directory}:{os.environ['PATH']}"})
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {arguments[0]}: {done.stderr} {self.criu_errors()}")
        return done.stdout

    def criu_errors(self):
        return [line for log in self.container_files("*.log") for line in log.read_text(errors="replace").splitlines()
                if "Error" in line]

    def container_files(self, pattern):
        return [path for path in (self.base / "root").glob(f"overlay-containers/*/userdata/{pattern}") if path.is_file()]

    def start(self):
        script = f"exec docker-entrypoint.sh {' '.join(self.rivals.arguments)} </dev/null >>/tmp/log 2>&1"
        environment = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
        self.podman("run", "--detach", "--name", NAME, "--network", f"ns:{self.rivals.root}/netns", "--user", f"{UID}:{UID}",
                    "--cap-drop", "all", "--security-opt", "seccomp=unconfined", "--log-driver", "none", "--no-hosts",
                    "--cgroup-parent", f"/{self.rivals.prefix}", *limits(), *environment, "--annotation",
                    f"org.criu.config={self.rivals.root}/runc/criu.conf", "--volume", f"{self.base}/data:/{DATA}",
                    "--entrypoint", f'["sh","-c","{script}"]', "--rootfs", f"{self.rivals.image_root}:O")

    def run_cold(self):
        return self.rivals.first_row(self.start)

    def checkpoint(self):
        self.podman("container", "checkpoint", "--tcp-established", "--keep", NAME, directory="bin-dump")
        run("sync", "--file-system", self.base)

    def image_files(self):
        return self.container_files("checkpoint/*")

    def restore(self, drop=None):
        if drop is not None:
            drop()
        return self.rivals.first_row(lambda: self.podman("container", "restore", "--tcp-established", "--keep", NAME))

    def drop_images(self):
        drop_cache(self.image_files())

    def stop(self):
        self.podman("exec", NAME, f"{BIN}/pg_ctl", "-D", f"/{DATA}", "-m", "fast", "-W", "stop")
        harness.wait_until("podman's container to stop", lambda: self.podman(
            "inspect", "--format", "{{.State.Status}}", NAME).strip() == "exited")
        self.podman("rm", "--force", NAME)

    def close(self):
        self.podman("rm", "--force", "--ignore", "--time", "0", NAME, check=False)
