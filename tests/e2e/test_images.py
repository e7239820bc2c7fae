"""
Images from a registry: the real one, Debian's docker-registry on loopback, with and without passwords. What a tag stands for
may move; what runs stays as it is until it is deployed again; what nobody uses can go.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import warnings

import harness
import pytest
from harness import wait_until

REGISTRY = """version: 0.1
storage: {{filesystem: {{rootdirectory: {root}/registry}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}}}
log: {{level: error, accesslog: {{disabled: true}}}}
{auth}
"""

YAML = """app:
  name: {name}
  namespace: images
  image: {image}
  resources:
    memory: 64
  mode: regular
"""


def bcrypt(password):
    """The one kind of password that docker-registry takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))


class Registry:
    """docker-registry on a free port of loopback, ended with the test."""

    def __init__(self, root, password=None):
        root.mkdir()
        auth = ""
        if password is not None:
            (root / "htpasswd").write_text(f"user:{bcrypt(password)}\n")
            auth = f"auth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (root / "config.yml").write_text(REGISTRY.format(root=root, port=port, auth=auth))
        self.host = f"127.0.0.1:{port}"
        self.password = password
        self.log = open(root / "log", "wb")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", str(root / "config.yml")],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until("the registry to listen", lambda: self.listens(port))

    def listens(self, port):
        assert self.process.poll() is None, "docker-registry has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            return True
        except OSError:
            return False

    def push(self, source, name):
        """source: an OCI layout and a tag, as skopeo writes them. Returns the digest that the registry gives it."""
        credentials = ["--dest-creds", f"user:{self.password}"] if self.password else []
        subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *credentials,
                        f"oci:{source}", f"docker://{self.host}/{name}"], check=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        self.log.close()


@pytest.fixture(scope="module")
def small_images(tmp_path_factory):
    """An OCI layout with two small images, `one` and `two`: a static program and little else."""
    root = tmp_path_factory.mktemp("layout")
    (root / "sleep.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    subprocess.run(["gcc", "-static", "-O2", "-o", root / "sleeper", root / "sleep.c"], check=True)
    layout = root / "layout"
    subprocess.run(["umoci", "init", "--layout", layout], check=True)
    for tag in ("one", "two"):
        image = f"{layout}:{tag}"
        subprocess.run(["umoci", "new", "--image", image], check=True)
        subprocess.run(["umoci", "insert", "--image", image, root / "sleeper", "/sleeper"], check=True)
        (root / "which").write_text(tag)
        subprocess.run(["umoci", "insert", "--image", image, root / "which", "/which"], check=True)
        subprocess.run(["umoci", "config", "--image", image, "--config.entrypoint", "/sleeper", "--config.user", "1234:1234",
                        "--config.stopsignal", "SIGKILL"], check=True)
    return layout


@pytest.fixture(scope="module")
def images_host(tmp_path_factory):
    """A coordinator of the module's own, whose credentials the tests write."""
    auth_file = tmp_path_factory.mktemp("auth") / "config.json"
    auth_file.write_text("{}")
    host = harness.Coordinator(f"w{os.getpid() % 100000:05d}", harness.subnet(1), f"registry-auth-file: {auth_file}\n")
    host.auth_file = auth_file
    try:
        host.start()
        yield host
    finally:
        left = host.close()
    assert not left, f"left behind after everything was deleted: {left}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("open") / "r")
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory, small_images):
    registry = Registry(tmp_path_factory.mktemp("closed") / "r", password="secret")
    registry.push(f"{small_images}:one", "private/sleeper:1")
    yield registry
    registry.stop()


def refused(host, *arguments):
    done = host.cli(*arguments, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def images(host):
    return {image["name"]: image for image in host.json("image", "list")}


def machine(host, name):
    return host.json("machine", "get", "--ns", "images", name)


def deploy(host, name, image):
    host.deploy(YAML.format(name=name, image=image))
    host.cli("machine", "wait", "--ns", "images", name, "--for", "ready", "--timeout", "60s")
    return machine(host, name)


def delete(host, *names):
    for name in names:
        host.cli("app", "delete", "--ns", "images", name, "-y")


def test_a_moved_tag_is_noticed_by_a_deploy_and_what_runs_keeps_its_digest(images_host, registry, small_images):
    host, name = images_host, f"{registry.host}/path/to/sleeper:latest"
    registry.push(f"{small_images}:one", "path/to/sleeper:latest")
    first = deploy(host, "first", name)
    assert images(host)[name]["id"] == first["image-id"]
    digest = images(host)[name]["digest"]
    assert digest.startswith("sha256:") and images(host)[name]["used-by"] == ["images/first"]
    assert "is up to date" in host.cli("image", "pull", name).stdout

    registry.push(f"{small_images}:two", "path/to/sleeper:latest")
    assert host.json("image", "pull", name)["changed"] is True
    assert images(host)[name]["id"] != first["image-id"] and images(host)[name]["digest"] != digest
    host.cli("machine", "restart", "--ns", "images", "first")
    assert machine(host, "first")["image-id"] == first["image-id"]
    host.kill()
    host.start()
    assert machine(host, "first")["image-id"] == first["image-id"]

    pinned = deploy(host, "pinned", f"{registry.host}/path/to/sleeper@{digest}")
    assert pinned["image-id"] == first["image-id"]

    host.deploy(YAML.format(name="first", image=name))
    wait_until(lambda: f"it to run the other one: {machine(host, 'first')}",
               lambda: machine(host, "first")["image-id"] == images(host)[name]["id"])
    host.cli("machine", "wait", "--ns", "images", "first", "--for", "ready", "--timeout", "60s")

    # Moved back, and nobody has pulled: the deploy itself asks.
    registry.push(f"{small_images}:one", "path/to/sleeper:latest")
    pid = machine(host, "pinned")["pid"]
    asked = f"its registry is asked; the machine starts again if {name} has moved"
    plan = host.cli("deploy", "--dry-run", host.root / "deploy.yaml").stdout
    assert "? app images/first\n" in plan and asked in plan and "Nothing would change" not in plan
    assert asked in host.deploy(YAML.format(name="first", image=name))
    answer = host.deploy(YAML.format(name="pinned", image=f"{registry.host}/path/to/sleeper@{digest}"))
    assert "registry is asked" not in answer
    wait_until(lambda: f"it to run the first one again: {machine(host, 'first')}",
               lambda: machine(host, "first")["image-id"] == first["image-id"])
    assert any(event["reason"].endswith(" is another image now")
               for event in host.events("--ns", "images", "--name", "first"))
    assert machine(host, "pinned")["pid"] == pid
    delete(host, "first", "pinned")


def disk_bytes(path):
    return int(subprocess.run(["du", "--summarize", "--block-size=1", path], check=True, capture_output=True, text=True).stdout.split()[0])


def test_what_is_used_stays_and_what_nobody_uses_goes(images_host, registry, small_images):
    host, used, unused = images_host, f"{registry.host}/used:1", f"{registry.host}/unused:1"
    registry.push(f"{small_images}:one", "used:1")
    registry.push(f"{small_images}:two", "unused:1")
    kept = deploy(host, "keeper", used)["image-id"].removeprefix("sha256:")
    host.cli("image", "pull", unused)
    gone = images(host)[unused]["id"].removeprefix("sha256:")
    roots = host.state / "images/roots"
    # What they take is counted when they are unpacked.
    size = images(host)[used]["size-bytes"]
    assert 0.9 < size / disk_bytes(roots / kept / "rootfs") < 1.1
    assert "KiB" in next(line for line in host.cli("image", "list").stdout.splitlines() if line.startswith(used))
    assert (roots / kept).is_dir() and (roots / gone).is_dir()

    assert refused(host, "image", "rm", used, "-y") == f"lttle: image {used}: is in use by app images/keeper\n"
    assert refused(host, "image", "rm", "nobody", "-y") == "lttle: image nobody: not found\n"
    host.cli("image", "rm", unused, "-y")
    assert unused not in images(host) and not (roots / gone).exists()

    host.cli("image", "pull", unused)
    assert (roots / gone).is_dir()
    removed = host.json("image", "prune", "-y")["removed"]
    assert unused in removed and used not in removed
    assert not (roots / gone).exists() and (roots / kept).is_dir()
    # The blobs went with them, and what is left is whole.
    assert host.json("image", "pull", used)["changed"] is False
    delete(host, "keeper")
    assert used in host.json("image", "prune", "-y")["removed"]
    assert [path for path in roots.iterdir() if not path.name.startswith(".")] == []


def test_credentials(images_host, closed_registry):
    host, name = images_host, f"{closed_registry.host}/private/sleeper:1"
    complaint = (f"lttle: image {name}: the registry {closed_registry.host} wants other credentials than it was given (see the "
                 "setting registry-auth-file)\n")
    assert refused(host, "image", "pull", name) == complaint
    write_credentials(host, closed_registry, "wrong")
    assert refused(host, "image", "pull", name) == complaint
    host.deploy(YAML.format(name="denied", image=name))
    wait_until("the deploy to fail", lambda: machine(host, "denied")["phase"] == "error")
    assert "wants other credentials" in machine(host, "denied")["last-error"]
    write_credentials(host, closed_registry, "secret")
    assert deploy(host, "denied", name)["image-id"] == images(host)[name]["id"]
    delete(host, "denied")


def write_credentials(host, registry, password):
    token = base64.b64encode(f"user:{password}".encode()).decode()
    host.auth_file.write_text(json.dumps({"auths": {registry.host: {"auth": token}}}))


def test_what_is_not_there_is_said(images_host, registry):
    name = f"{registry.host}/path/to/nothing:1"
    assert refused(images_host, "image", "pull", name) == (
        f"lttle: image {name}: the registry {registry.host} has no such image\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    assert "connection refused" in refused(images_host, "image", "pull", f"{nobody}/x")


def test_without_its_registry_a_deploy_takes_what_is_there(images_host, tmp_path, small_images):
    registry = Registry(tmp_path / "r")
    name = f"{registry.host}/gone:1"
    registry.push(f"{small_images}:one", "gone:1")
    images_host.cli("image", "pull", name)
    registry.stop()
    assert deploy(images_host, "alone", name)["image-id"] == images(images_host)[name]["id"]
    delete(images_host, "alone")


# Says what it was given, and ends at the signal that the image names.
TOOL = """#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static void bye(int number) { (void) number; static const char text[] = "bye\\n"; write(1, text, 4); _exit(0); }
int main(int argc, char **argv) {
	char directory[1000] = "";
	struct stat data = {0};
	if (argc == 3 && strcmp(argv[1], "write") == 0) {
		FILE *file = fopen(argv[2], "w");
		fputs(getenv("WORD"), file);
		return fclose(file);
	}
	signal(SIGUSR1, bye);
	stat("/data", &data);
	FILE *made = fopen("/made", "r");
	char word[100] = "";
	fgets(word, sizeof(word), made);
	printf("%d:%d in %s, /data of %d, %s %s, %s", (int) getuid(), (int) getgid(), getcwd(directory, sizeof(directory)),
		(int) data.st_uid, getenv("GREETING"), getenv("MORE"), word);
	for (int i = 1; i < argc; i++) printf(" %s", argv[i]);
	printf("\\n");
	fflush(stdout);
	for (;;) pause();
}
"""

DOCKERFILE = """FROM scratch
ARG WORD=none
COPY tool /tool
RUN ["/tool", "write", "/made"]
ENV GREETING=hello MORE=image
USER 1234:4321
WORKDIR /work
VOLUME /data
STOPSIGNAL SIGUSR1
EXPOSE 4000
ENTRYPOINT ["/tool", "serve"]
CMD ["default"]
"""

BUILD_YAML = """app:
  name: built
  namespace: images
  build:
    docker:
      context: {context}
      dockerfile: Recipe
      args: {{WORD: {word}}}
  resources:
    memory: 64
  mode: regular
  environment:
    MORE: app
"""


def test_an_image_is_built_and_all_that_it_says_is_honoured(images_host, tmp_path):
    host = images_host
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "tool.c").write_text(TOOL)
    subprocess.run(["gcc", "-static", "-O2", "-w", "-o", context / "tool", tmp_path / "tool.c"], check=True)
    (context / "Recipe").write_text(DOCKERFILE)

    def build(word, more=""):
        host.deploy(BUILD_YAML.format(context=context, word=word) + more)
        host.cli("machine", "wait", "--ns", "images", "built", "--for", "ready", "--timeout", "120s")

    def said():
        return host.cli("machine", "logs", "--ns", "images", "built").stdout.splitlines()

    build("first")
    wait_until("it to speak", said)
    assert said() == ["1234:4321 in /work, /data of 1234, hello app, first serve default"]
    first = machine(host, "built")
    assert first["image"] == "build of images/built" and images(host)[first["image"]]["used-by"] == ["images/built"]

    build("first")  # nothing has changed: the layers are there, and it runs on
    assert machine(host, "built")["pid"] == first["pid"]
    (context / "Recipe").write_text(DOCKERFILE.replace("hello", "good-day"))
    host.deploy(BUILD_YAML.format(context=context, word="first"))
    wait_until(lambda: f"the new one: {said()}", lambda: said()[-1].endswith("good-day app, first serve default"))
    assert "bye" in said()
    build("second", "  command: [other, words]\n")
    wait_until(lambda: f"the new one: {said()}", lambda: said()[-1].endswith("good-day app, second serve other words"))

    (context / "Recipe").write_text("FROM scratch\nCOPY nothing /\n")
    host.cli("deploy", host.root / "deploy.yaml", check=False)
    wait_until("the log to say what is wrong", lambda: "nothing" in host.log() and "not renewed" in host.log())
    assert machine(host, "built")["phase"] == "ready"

    # Another argument: what runs goes on while it is built, also when that fails.
    runs = machine(host, "built")["pid"]
    answer = host.deploy(BUILD_YAML.format(context=context, word="third") + "  command: [other, words]\n")
    assert "WORD: second → third" in answer and "is built beside what runs" in answer

    def reasons():
        return [event["reason"] for event in host.events("--ns", "images", "--name", "built")]

    wait_until(lambda: f"it to say so: {reasons()}", lambda: "its image stays as it was: " in " ".join(reasons()))
    assert (machine(host, "built")["phase"], machine(host, "built")["pid"]) == ("ready", runs)
    (context / "Recipe").write_text(DOCKERFILE)
    seen = len(reasons())
    host.deploy(BUILD_YAML.format(context=context, word="fourth") + "  command: [other, words]\n")
    wait_until(lambda: f"the new one: {said()}", lambda: said()[-1].endswith("hello app, fourth serve other words"))
    phases = [event["phase"] for event in host.events("--ns", "images", "--name", "built")[seen:]]
    assert "pulling-image" not in phases and "stopping" in phases
    delete(host, "built")
