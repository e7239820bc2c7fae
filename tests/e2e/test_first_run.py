"""The guide's file, from deploy to asleep to deleted, with the guide's own words."""

import errno
import re
from pathlib import Path

import harness
import pytest

EXAMPLE = harness.TOP / "examples/postgresql.lttle.yaml"


@pytest.fixture(scope="module")
def deployed(host):
    output = host.cli("deploy", EXAMPLE).stdout
    yield output
    host.cli("app", "delete", "--ns", "samples", "postgresql", "-y", check=False)
    host.cli("volume", "rm", "--ns", "samples", "pgdata", "-y", check=False)


def machine(host):
    return host.json("machine", "get", "--ns", "samples", "postgresql")


def test_deploy_says_what_the_guide_says(deployed):
    assert deployed == (
        "Successfully deployed volume: samples/pgdata\nSuccessfully deployed app: samples/postgresql\n"
    )


def test_app_get_is_the_guides_listing(host, deployed):
    assert host.cli("app", "get", "--ns", "samples", "postgresql").stdout.startswith(
        "               name: postgresql\n"
        "          namespace: samples\n"
        "               mode: flash\n"
        "  snapshot strategy: manual\n"
        "    suspend timeout: 3s\n"
        "              image: ghcr.io/lttle-cloud/postgres:17-flash\n"
        "               cpus: 1\n"
        "             memory: 256 MiB\n"
        "        environment: POSTGRES_DB = db\n"
        "                     POSTGRES_PASSWORD = password\n"
        "                     POSTGRES_USER = user\n"
        "            volumes: samples/pgdata → /var/lib/postgresql/data\n"
        "       dependencies:\n"
        "           services: access: tcp://postgresql-access.samples.svc.lttle.local:5432 → :5432\n"
        "              phase: "
    )


def test_the_extension_triggers_the_first_suspend(host, deployed):
    host.cli("machine", "wait", "--ns", "samples", "postgresql", "--for", "suspended", "--timeout", "120s")
    events = host.json("events", "--ns", "samples", "--name", "postgresql")
    phases = [event["phase"] for event in events]
    assert phases.index("ready") < phases.index("suspended")
    reasons = [event["reason"] for event in events if event["phase"] == "suspending"]
    assert "manual trigger" in reasons[0]


def test_the_log_reads_like_the_guides(host, deployed):
    log = host.cli("machine", "logs", "--ns", "samples", "postgres").stdout
    for line in [
        'The files belonging to this database system will be owned by user "postgres".',
        "This user must also own the server process.",
        'The database cluster will be initialized with locale "en_US.utf8".',
        'The default database encoding has accordingly been set to "UTF8".',
        'The default text search configuration will be set to "english".',
        "fixing permissions on existing directory /var/lib/postgresql/data ... ok",
        "creating subdirectories ... ok",
        "creating configuration files ... ok",
        "running bootstrap script ... ok",
        "performing post-bootstrap initialization ... ok",
        "syncing data to disk ... ok",
        "Success. You can now start the database server using:",
    ]:
        assert line in log.splitlines(), line
    assert re.search(r"waiting for server to start\.+.* UTC \[\d+\] LOG:  lttle_pg: init$", log, re.M)
    assert re.search(r" UTC \[\d+\] LOG:  starting PostgreSQL 17", log)
    assert re.search(r" UTC \[\d+\] LOG:  lttle_pg: flash ready worker$", log, re.M)


def test_asleep_it_is_frozen_and_its_memory_is_gone(host, deployed):
    host.cli("machine", "wait", "--ns", "samples", "postgresql", "--for", "suspended", "--timeout", "60s")
    freeze = Path("/sys/fs/cgroup/unified") / host.prefix / "samples.postgresql/cgroup.freeze"
    if not freeze.exists():
        freeze = Path("/sys/fs/cgroup") / host.prefix / "samples.postgresql/cgroup.freeze"
    assert freeze.read_text().strip() == "1"
    harness.wait_until(
        lambda: f"the memory to be given back: {machine(host)['memory']}",
        lambda: machine(host)["memory"]["resident-bytes"] < 8 << 20,
    )
    assert machine(host)["phase"] == "suspended"


def test_psql_wakes_it_and_it_sleeps_again(host, deployed):
    before = machine(host)
    assert before["phase"] == "suspended"
    connection = harness.psycopg2.connect(host=before["address"], user="user", password="password", dbname="db")
    connection.autocommit = True
    assert harness.rows(connection, "SELECT 6 * 7") == [(42,)]
    after = machine(host)
    assert after["phase"] == "ready"
    assert after["wakes"] == before["wakes"] + 1
    client = harness.rows(
        connection, "SELECT host(inet_client_addr()) || ':' || inet_client_port()")[0][0]
    assert client in after["woken-by"]
    assert "connection" in after["awake-because"]
    connection.close()
    host.cli("machine", "wait", "--ns", "samples", "postgresql", "--for", "suspended", "--timeout", "60s")
    assert machine(host)["suspends"] == before["suspends"] + 1


def test_deploying_again_changes_nothing(host, deployed):
    before = machine(host)
    output = host.cli("deploy", EXAMPLE).stdout
    assert output == "Unchanged volume: samples/pgdata\nUnchanged app: samples/postgresql\n"
    assert machine(host)["pid"] == before["pid"]


def test_a_changed_file_says_what_changed_and_applies_it(host, deployed):
    changed = EXAMPLE.read_text().replace("timeout: 3", "timeout: 2").replace("memory: 256", "memory: 300")
    pid = machine(host)["pid"]
    output = host.deploy(changed)
    assert "memory" in output and "256" in output and "300" in output and "timeout" in output
    assert machine(host)["memory"]["limit-bytes"] == 300 << 20
    assert machine(host)["pid"] == pid, "limits and time-outs are applied to the running machine"
    host.cli("deploy", EXAMPLE)


def test_the_volume_in_use_cannot_be_deleted(host, deployed):
    refused = host.cli("volume", "rm", "--ns", "samples", "pgdata", "-y", check=False)
    assert refused.returncode != 0
    assert "in use" in refused.stderr and "samples/postgresql" in refused.stderr


def test_delete_gives_everything_back(host, deployed):
    link, address = machine(host)["host-link"], machine(host)["address"]
    assert host.cli("app", "delete", "--ns", "samples", "postgresql", "-y").stdout == (
        "App 'postgresql' has been deleted.\n"
    )
    assert host.cli("volume", "rm", "--ns", "samples", "pgdata", "-y").stdout == "Volume 'pgdata' has been deleted.\n"
    left = [line for line in harness.leftovers(host.prefix, host.root) if "samples" in line or link in line]
    assert left == []
    # The address is nobody's now, and must not lead to whoever answers beyond the host's default route.
    with pytest.raises(OSError) as refused:
        harness.tcp_connect(address)
    assert refused.value.errno == errno.EHOSTUNREACH
    assert not (host.run / "netns/samples.postgresql").exists()
    assert not (host.state / "machines/samples/postgresql").exists()
    assert not (host.state / "volumes/samples/pgdata.ext4").exists()
