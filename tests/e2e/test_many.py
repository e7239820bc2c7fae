"""Many machines at once: they start in turn, in the order in which they were asked for."""

import os

import harness
import pytest

NAMES = ["one", "two", "three", "four"]


@pytest.fixture(scope="module")
def narrow_host():
    """A coordinator that starts one machine at a time."""
    with harness.Coordinator(f"m{os.getpid() % 100000:05d}", harness.subnet(1), "max-boots: 1\n") as coordinator:
        yield coordinator


def moments(host, name):
    """When a machine came into each phase, for the first time; milliseconds."""
    first = {}
    for event in host.json("events", "--ns", "samples", "--name", name):
        first.setdefault(event["phase"], event["time-ms"])
    return first


def test_they_start_in_turn(narrow_host):
    one = harness.database_yaml("one")
    narrow_host.deploy("---\n".join([one, *(harness.database_yaml(name) for name in NAMES[1:])]))
    for name in NAMES:
        narrow_host.cli("machine", "wait", "--ns", "samples", name, "--for", "suspended", "--timeout", "300s")
    seen = [moments(narrow_host, name) for name in NAMES]
    for before, after in zip(seen, seen[1:]):
        assert before["creating"] <= after["creating"] <= before["ready"], "they were not all asked for at once"
        assert before["ready"] <= after["booting"], "the next one was started before its turn"


def test_who_is_deleted_while_it_waits_lets_the_next_one_on(narrow_host):
    names = ["five", "six", "seven"]
    narrow_host.deploy("---\n".join(harness.database_yaml(name) for name in names))
    assert narrow_host.json("machine", "get", "--ns", "samples", "six")["phase"] == "creating"
    narrow_host.cli("app", "delete", "--ns", "samples", "six", "-y")
    for name in ["five", "seven"]:
        narrow_host.cli("machine", "wait", "--ns", "samples", name, "--for", "suspended", "--timeout", "300s")
    assert "six" not in [machine["name"] for machine in narrow_host.json("machine", "list", "--ns", "samples")]
