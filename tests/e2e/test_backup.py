"""Scripts of a first start, backups and restores, on servers that suspend."""

import gzip
import os
import subprocess

import pytest

import harness
from harness import wait_until

NAMESPACE = "backups"


@pytest.fixture(scope="module")
def host():
    with harness.Coordinator(f"b{os.getpid() % 100000:05d}", harness.subnet(1), "restart-delay-max: 200ms\n") as coordinator:
        coordinator.import_image()
        yield coordinator


# ---- scripts of the first start ----


def scripts_of(directory, **files):
    """Writes scripts; NAME_sql_gz is NAME.sql.gz."""
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        path = directory / name.replace("_", ".")
        data = text.encode()
        if path.suffix == ".gz":
            data = gzip.compress(data)
        elif path.suffix == ".zst":
            data = subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout
        path.write_bytes(data)


def deploy_with(host, directory, name, scripts, check=True, more=""):
    path = directory / "resources.yaml"
    path.write_text(harness.database_yaml(name, NAMESPACE) + f"  init-scripts: [{scripts}]\n{more}")
    return host.cli("deploy", "--timeout", "4m", path, check=check)


def database(host, name):
    """Of one that is deployed already."""
    found = harness.Database.__new__(harness.Database)
    found.host, found.name, found.namespace = host, name, NAMESPACE
    return found


def delete(host, name):
    host.cli("app", "delete", "--ns", NAMESPACE, "-y", name)
    host.cli("volume", "rm", "--ns", NAMESPACE, "-y", f"{name}-data")


def test_scripts_run_once_in_order_in_the_database_named(host, tmp_path):
    note = "INSERT INTO seen (what) VALUES ('{} in ' || current_database());\n"
    scripts_of(
        tmp_path / "sql",
        **{"10-table_sql": "CREATE TABLE seen (n serial, what text);\n" + note.format("plain")},
        **{"20-more_sql_gz": note.format("gz"), "30-more_sql_zst": note.format("zst"), "README_txt": "no script"},
    )
    (tmp_path / "40-last.sh").write_text('psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "' + note.format("sh").strip() + '"\n')
    deploy_with(host, tmp_path, "scripts", "sql, ./40-last.sh")
    server = database(host, "scripts")
    expected = [("plain in db",), ("gz in db",), ("zst in db",), ("sh in db",)]
    assert server.query("select what from seen order by n") == expected
    # They are the host's no longer, and the server starts without them.
    for path in [*(tmp_path / "sql").iterdir(), tmp_path / "40-last.sh"]:
        path.unlink()
    host.cli("machine", "restart", "--ns", NAMESPACE, "scripts")
    host.cli("machine", "wait", "--ns", NAMESPACE, "scripts", "--for", "suspended")
    assert server.query("select what from seen order by n") == expected
    delete(host, "scripts")


def test_a_script_that_fails_ends_the_deployment(host, tmp_path):
    scripts_of(
        tmp_path / "sql", **{"1-good_sql": "CREATE TABLE half ();\n", "2-bad_sql_gz": "SELECT 1;\nSELECT 1/0;\n", "3_sql": "SELECT 1;"}
    )
    done = deploy_with(host, tmp_path, "fails", "sql", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "fails: is error: its first start has failed: 2-bad.sql.gz:2: ERROR:  division by zero" in done.stderr
    assert "psql:/docker-entrypoint-initdb.d/2-bad.sql.gz:2: ERROR:  division by zero" in done.stderr
    found = host.json("machine", "get", "--ns", NAMESPACE, "fails")
    assert (found["phase"], found["restarts"]) == ("error", 0)
    # The script is mended, the same file deployed: it begins anew.
    scripts_of(tmp_path / "sql", **{"2-bad_sql_gz": "CREATE TABLE whole ();\n"})
    deploy_with(host, tmp_path, "fails", "sql")
    assert database(host, "fails").query("select string_agg(relname, ' ' order by 1) from pg_class where relname in ('half', 'whole')") == [
        ("half whole",)
    ]
    delete(host, "fails")


def test_scripts_that_are_not_there_are_told_before_anything_changes(host, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no script")
    for scripts, complaint in (
        ("nowhere.sql", f"app.init-scripts[0]: {tmp_path}/nowhere.sql: No such file or directory"),
        ("empty", f"app.init-scripts[0]: {tmp_path}/empty: holds no script"),
        ("notes.txt", f"app.init-scripts[0]: {tmp_path}/notes.txt: is no script: it must end in .sql"),
    ):
        done = deploy_with(host, tmp_path, "never", scripts, check=False)
        assert done.returncode == 1 and complaint in done.stderr, done.stderr
    assert "never" not in [m["name"] for m in host.json("machine", "list", "--ns", NAMESPACE)]
