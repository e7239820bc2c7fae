"""What users see of a machine's life: why one does not start, what a deploy came to, logs, events, namespaces."""

import pytest

import harness
from harness import wait_until

NAMESPACE = "life"


def app(name, script, *, namespace=NAMESPACE, image=harness.IMAGE, more=""):
    """A cheap app: a shell script, without volume and service."""
    return (
        f"app:\n  name: {name}\n  namespace: {namespace}\n  image: {image}\n"
        f"  resources:\n    cpu: 1\n    memory: 64\n  mode: regular\n"
        f"  command: [sh, -c, {script!r}]\n{more}"
    )


@pytest.fixture(scope="module")
def life():
    settings = "restart-delay-max: 200ms\nstop-timeout: 1s\n"
    with harness.Coordinator("life", harness.subnet(1), settings) as coordinator:
        yield coordinator


@pytest.fixture
def clean(life):
    """Apps of a test are gone behind it."""
    yield life
    for deployed in life.json("app", "list", "-A"):
        life.cli("app", "delete", "--ns", deployed["namespace"], deployed["name"], "-y")


def machine(host, name, namespace=NAMESPACE):
    return host.json("machine", "get", "--ns", namespace, name)


def test_a_machine_that_ends_says_why(clean):
    clean.deploy(app("ends", "echo one; echo two; echo three words >&2; exit 3"))
    found = wait_until("two restarts", lambda: (m := machine(clean, "ends"))["restarts"] >= 2 and m)
    assert found["exit-status"] == 3
    assert found["last-words"][-3:] == ["one", "two", "three words"] and len(found["last-words"]) <= 10
    listing = clean.cli("machine", "get", "--ns", NAMESPACE, "ends").stdout
    assert "exit status: 3\n" in listing and " three words\n" in listing
    listing = clean.cli("app", "get", "--ns", NAMESPACE, "ends").stdout
    assert "exit status: 3\n" in listing and " three words\n" in listing
    header, row = clean.cli("app", "list", "--ns", NAMESPACE).stdout.splitlines()
    cells = dict(zip(header.split(), row.split()))
    assert (cells["EXIT"], cells["ADDRESS"]) == ("3", found["address"]) and int(cells["RESTARTS"]) >= 2


def test_a_wait_for_what_has_failed_ends(clean):
    clean.deploy(app("nowhere", "true", image="127.0.0.1:1/no/such:image"))
    done = clean.cli("machine", "wait", "--ns", NAMESPACE, "nowhere", "--timeout", "5m", check=False)
    assert done.returncode == 1 and "is error: " in done.stderr, done.stderr
    assert "127.0.0.1:1/no/such:image" in done.stderr
    assert clean.cli("machine", "wait", "--ns", NAMESPACE, "nowhere", "--for", "error").returncode == 0
    assert machine(clean, "nowhere")["last-words"] == []
