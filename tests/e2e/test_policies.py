"""What happens when a machine ends by itself, and in which order machines start."""

import pytest

import harness
from harness import IMAGE, Failure, wait_until

# As the harness sets it.
RESTART_DELAY_MS = 100

# Runs until it is asked to stop.
FOREVER = 'trap "exit 0" INT TERM; sleep 1000 & wait'


@pytest.fixture(scope="module")
def own_host():
    with harness.Coordinator(f"p{harness.os.getpid() % 100000:05d}", harness.subnet(1)) as coordinator:
        yield coordinator


def machine_yaml(name, script, *more, kind="machine"):
    keys = "".join(f"  {key}\n" for key in more)
    return f"{kind}:\n  name: {name}\n  image: {IMAGE}\n  command: [sh, -c, '{script}']\n  resources: {{memory: 64}}\n{keys}---\n"


def get(host, name):
    return host.json("machine", "get", name)


def wait_for(host, name, condition):
    return wait_until(lambda: f"{name}: {get(host, name)}", lambda: condition(get(host, name)) and get(host, name))


def events_of(host, name):
    return [(event["phase"], event["time-ms"]) for event in host.events("--name", name)]


def test_restart_policies(own_host):
    own_host.deploy(
        machine_yaml("always", "exit 0")
        + machine_yaml("failing", "exit 3", "restart-policy: on-failure")
        + machine_yaml("succeeding", "exit 0", "restart-policy: on-failure")
        + machine_yaml("never", "exit 3", "restart-policy: never")
        + machine_yaml("removed", "exit 3", "restart-policy: remove")
    )
    for name, status in (("succeeding", 0), ("never", 3)):
        machine = wait_for(own_host, name, lambda machine: machine["phase"] == "stopped")
        assert (machine["exit-status"], machine["restarts"]) == (status, 0)
    for name, status in (("always", 0), ("failing", 3)):
        machine = wait_for(own_host, name, lambda machine: machine["restarts"] >= 3)
        assert machine["exit-status"] == status
    wait_until("the one that is removed to be gone",
               lambda: own_host.cli("machine", "get", "removed", check=False).returncode == 3)
    # What was stopped for good is stopped after the others have come back again and again.
    assert [phase for phase, _ in events_of(own_host, "never")].count("creating") == 1
    # Each time it takes longer, at least (the loop's clock is a coarse one).
    waits, died = [], None
    for phase, time_ms in events_of(own_host, "always"):
        if phase == "restarting":
            died = time_ms
        elif phase == "creating" and died is not None:
            waits.append(time_ms - died)
    assert all(wait >= 0.8 * RESTART_DELAY_MS * 2 ** index for index, wait in enumerate(waits[:3])), waits
    # The user can start one that has ended for good.
    own_host.cli("machine", "wake", "never", check=False)
    wait_until("the one that was woken to have ended again",
               lambda: [phase for phase, _ in events_of(own_host, "never")].count("stopped") == 2)
    for name in ("always", "failing", "succeeding", "never"):
        own_host.cli("machine", "delete", name, "-y")


def test_a_machine_that_ended_for_good_stays_so(own_host):
    """Also when nobody looked: how it ended is not known then, but that it is not to be started again is."""
    own_host.deploy(machine_yaml("once", FOREVER, "restart-policy: never")
                    + machine_yaml("gone", FOREVER, "restart-policy: remove")
                    + machine_yaml("seen", "exit 5", "restart-policy: never"))
    wait_for(own_host, "seen", lambda machine: machine["phase"] == "stopped")
    for name in ("once", "gone"):
        own_host.cli("machine", "wait", name, "--timeout", "60s")
    pids = [get(own_host, name)["pid"] for name in ("once", "gone")]
    own_host.kill()
    for pid in pids:
        harness.os.kill(pid, 9)
    own_host.start()
    assert wait_for(own_host, "once", lambda machine: machine["phase"] == "stopped")["exit-status"] is None
    assert get(own_host, "seen")["exit-status"] == 5  # which another coordinator saw
    wait_until("the other one to be gone", lambda: own_host.cli("machine", "get", "gone", check=False).returncode == 3)
    for name in ("once", "seen"):
        own_host.cli("machine", "delete", name, "-y")


def test_depends_on(own_host):
    waiting = machine_yaml("second", FOREVER, "depends-on: [{name: first}]")
    # Nobody ever listens there, so the first one is never ready.
    first = machine_yaml("first", FOREVER, "expose: {nobody: {port: 8000}}", kind="app")
    own_host.deploy(waiting + first)
    machine = wait_for(own_host, "second", lambda machine: machine["phase"] == "waiting")
    assert machine["waits-for"] == ["default/first"]
    assert get(own_host, "first")["phase"] in ("creating", "booting")
    own_host.deploy(machine_yaml("first", FOREVER, kind="app"))
    own_host.cli("machine", "wait", "second", "--timeout", "60s")
    assert get(own_host, "second")["waits-for"] == []
    ready = [time for phase, time in events_of(own_host, "first") if phase == "ready"][0]
    assert [time for phase, time in events_of(own_host, "second") if phase == "booting"][0] >= ready

    with pytest.raises(Failure) as refused:
        own_host.deploy(machine_yaml("third", FOREVER, "depends-on: [{name: second}]")
                        + machine_yaml("first", FOREVER, "depends-on: [{name: third}]", kind="app"))
    assert ("deploy.yaml:1:1: machine.depends-on: these wait for each other: default/third → default/second → "
            "default/first → default/third\n") in refused.value.errors
    assert own_host.cli("machine", "get", "third", check=False).returncode == 3

    assert "delete the app" in own_host.cli("machine", "delete", "first", "-y", check=False).stderr
    assert "there is a machine" in own_host.cli("app", "delete", "second", "-y", check=False).stderr
    own_host.cli("app", "delete", "first", "-y")
    own_host.cli("machine", "delete", "second", "-y")
    assert own_host.json("machine", "list") == []


def test_who_waits_for_one_that_is_deleted_says_so(own_host):
    waiting = machine_yaml("after", FOREVER, "depends-on: [{name: before}]")
    before = machine_yaml("before", FOREVER, "expose: {nobody: {port: 8000}}", kind="app")
    own_host.deploy(waiting + before)
    wait_for(own_host, "after", lambda machine: machine["phase"] == "waiting")
    own_host.cli("app", "delete", "before", "-y")
    machine = wait_for(own_host, "after", lambda machine: "not there" in machine["reason"])
    assert machine["reason"] == "it depends on default/before, which is not there any more" and machine["phase"] == "waiting"
    assert "default/before, which is not there" in own_host.cli("machine", "get", "after").stdout
    own_host.deploy(machine_yaml("before", FOREVER, kind="app"))
    own_host.cli("machine", "wait", "after", "--timeout", "60s")
    own_host.cli("app", "delete", "before", "-y")
    own_host.cli("machine", "delete", "after", "-y")


def volume_yaml(name, size, mode="writeable"):
    return f"volume: {{name: {name}, size: {size}, mode: {mode}}}\n---\n"


def inside(host, name, command, check=True):
    return host.cli("machine", "exec", name, "sh", "-c", command, check=check)


def mib_of(host, name, path):
    return int(inside(host, name, f"df --output=size -m {path} | tail -n 1").stdout)


def test_a_volume_grows_and_does_not_shrink(own_host):
    machine = machine_yaml("writer", FOREVER, "volumes: [{name: data, path: /data}]")
    own_host.deploy(volume_yaml("data", "32Mi") + machine)
    own_host.cli("machine", "wait", "writer", "--timeout", "60s")
    inside(own_host, "writer", "echo kept > /data/file")
    before = mib_of(own_host, "writer", "/data")
    answer = own_host.deploy(volume_yaml("data", "96Mi"))
    assert "changed: size: 32Mi → 96Mi" in answer
    assert "size: it grows in use" in answer or "size: default/writer starts again for it: no exposed port" in answer

    def has_grown():
        done = inside(own_host, "writer", "df --output=size -m /data | tail -n 1", check=False)
        return done.returncode == 0 and int(done.stdout) > before + 48

    wait_until(lambda: f"the volume to have grown: {get(own_host, 'writer')}", has_grown)
    assert inside(own_host, "writer", "cat /data/file").stdout == "kept\n"
    with pytest.raises(Failure) as refused:
        own_host.deploy(volume_yaml("data", "32Mi"))
    assert "volume.size: volume default/data exists with 96Mi; a volume can grow, but not shrink" in refused.value.errors

    # What was written is read by any number of machines, and not written again.
    own_host.cli("machine", "delete", "writer", "-y")
    readers = "".join(machine_yaml(name, FOREVER, "volumes: [{name: data, path: /data}]") for name in ("one", "two"))
    with pytest.raises(Failure) as refused:
        own_host.deploy(readers)
    assert "a writeable volume belongs to one" in refused.value.errors or "only one may write" in refused.value.errors
    own_host.deploy(volume_yaml("data", "96Mi", "read-only") + readers)
    for name in ("one", "two"):
        own_host.cli("machine", "wait", name, "--timeout", "60s")
        assert inside(own_host, name, "cat /data/file").stdout == "kept\n"
        assert "Read-only file system" in inside(own_host, name, "echo x > /data/file", check=False).stderr

    # All of them see it grow.
    answer = own_host.deploy(volume_yaml("data", "160Mi", "read-only"))
    assert "size: it grows in use" in answer or "size: its machines start again for it" in answer
    for name in ("one", "two"):
        def sees_more():
            done = inside(own_host, name, "df --output=size -m /data | tail -n 1", check=False)
            return done.returncode == 0 and int(done.stdout) > before + 112

        wait_until(lambda: f"{name} to see a larger volume: {get(own_host, name)}", sees_more)
        assert inside(own_host, name, "cat /data/file").stdout == "kept\n"
    for name in ("one", "two"):
        own_host.cli("machine", "delete", name, "-y")
    own_host.cli("volume", "rm", "data", "-y")
