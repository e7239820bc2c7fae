"""Many machines at once: they start in turn, in the order in which they were asked for, and give memory back in turn."""

import os
import re

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
    for event in host.events("--ns", "samples", "--name", name):
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


def test_a_new_coordinator_gives_memory_back_in_turn(narrow_host):
    """It finds all of them asleep, and has better things to do than to look at all of their memory at once."""
    names = [machine["name"] for machine in narrow_host.json("machine", "list", "--ns", "samples")]
    narrow_host.kill()
    began = len(narrow_host.log())
    narrow_host.start()

    def given_back():
        return set(re.findall(r"memory given back namespace=samples machine=(\S+)", narrow_host.log()[began:]))

    harness.wait_until(lambda: f"the memory of {names} to be given back, and not only of {given_back()}",
                       lambda: given_back() == set(names))
    at_once = [int(number) for number in re.findall(r"giving memory back .*at-once=(\d+)", narrow_host.log()[began:])]
    assert max(at_once) == min(os.cpu_count(), len(names)), "not as many at a time as there are processors"


def test_who_has_a_client_does_not_wait_for_its_turn(narrow_host):
    """All fall asleep together, and one of them is asked for at once."""
    names = [machine["name"] for machine in narrow_host.json("machine", "list", "--ns", "samples")]
    for name in names:
        narrow_host.cli("machine", "wake", "--ns", "samples", name)
    address = narrow_host.json("machine", "get", "--ns", "samples", names[-1])["address"]
    for name in names:
        narrow_host.cli("machine", "wait", "--ns", "samples", name, "--for", "suspended", "--timeout", "60s")
    with harness.tcp_connect(address) as client:
        client.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest: one byte is the answer
        assert client.recv(1) in (b"S", b"N")
    narrow_host.cli("machine", "wait", "--ns", "samples", names[-1], "--for", "suspended", "--timeout", "60s")
