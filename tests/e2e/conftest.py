"""One coordinator a session; what it leaves behind after everything was deleted fails the session."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make namespaces and mounts: run them as root", 2)
    for needed in (harness.LTTLED, harness.LTTLE, harness.IMAGE_FILE):
        if not needed.exists():
            pytest.exit(f"{needed} is not there: run make coordinator image first", 2)
    harness.sweep_dead_runs()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for coordinator in harness.RUNNING:
        coordinator.mark_log()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the coordinators logged during the test: where it cannot be repeated it must explain itself."""
    report = (yield).get_result()
    if report.failed:
        for coordinator in harness.RUNNING:
            if coordinator.log_file.exists() and coordinator.log_since_mark():
                report.sections.append((f"end of the log of lttled {coordinator.prefix}", coordinator.log_since_mark()))


@pytest.fixture(scope="session")
def host():
    with harness.Coordinator(f"t{os.getpid() % 100000:05d}", harness.subnet(0), "zram:\n  mode: auto\n  size: 4Gi\n") as coordinator:
        yield coordinator


@pytest.fixture(scope="module")
def database(host, request):
    """A server of the module's own; its name is the module's."""
    name = request.module.__name__.removeprefix("test_").replace("_", "-")
    server = harness.Database(host, name)
    yield server
    server.delete()


@pytest.fixture(scope="module")
def own_host():
    """A coordinator of the module's own, which its tests may kill."""
    with harness.Coordinator(f"k{os.getpid() % 100000:05d}", harness.subnet(1)) as coordinator:
        yield coordinator
