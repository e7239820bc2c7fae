"""What make install-coordinator installs: the units are what systemd takes them for, and name what is there."""

import re
import subprocess

import pytest
from conftest import TOP


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["make", "--no-print-directory", "-C", TOP, "install-coordinator", f"DESTDIR={root}"], check=True,
                   capture_output=True)
    return root


def units(root):
    return sorted((root / "etc/systemd/system").glob("*.service"))


def settings(unit, key):
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


def test_systemd_takes_the_units(installed):
    assert [unit.name for unit in units(installed)] == ["lttle-drain.service", "lttled.service"]
    for unit in units(installed):
        # As if it were installed for real: systemd looks whether the programs are there.
        unit.write_text(re.sub(r"^(Exec\w+=)/usr/local", rf"\1{installed}/usr/local", unit.read_text(), flags=re.M))
    done = subprocess.run(["systemd-analyze", "--man=no", "verify", *units(installed)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def test_the_shutdown_leaves_time_for_the_drain_and_touches_nothing_else(installed):
    drain, daemon = units(installed)
    (command,) = settings(drain, "ExecStop")
    timeout = seconds(re.search(r" drain --timeout (\S+)$", command).group(1))
    (stop_timeout,) = re.findall(r"`stop-timeout` .*\| `(\d+s)` \|", (TOP / "docs/reference/settings.md").read_text())
    assert seconds(*settings(drain, "TimeoutStopSec")) >= timeout + seconds(stop_timeout) + 10
    assert "lttled.service" in settings(drain, "After")[0].split()
    for unit in (drain, daemon):
        for binding in ("Requires", "BindsTo", "PartOf", "PropagatesStopTo", "StopPropagatedFrom"):
            assert settings(unit, binding) == [], "a restart of lttled would drain the host"
    assert settings(drain, "RefuseManualStop") == ["yes"]
    assert settings(daemon, "KillMode") == ["process"]
