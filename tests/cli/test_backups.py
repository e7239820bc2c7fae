"""Schedules of backups, as commands and routes; what is wrong with a backup's options before anybody is asked."""

import json

import pytest
from test_cli import FAILURE, NOT_FOUND, OK, USAGE, ends

HEADER = "NAMESPACE   NAME   DATABASE   SCHEDULE   NEXT   DIRECTORY   LAST\n"


def schedule(coordinator, *arguments):
    return coordinator.cli("postgres", "backup", *arguments)


def test_a_schedule_is_set_shown_and_ended(coordinator, tmp_path):
    ends(coordinator.cli("postgres", "backups"), OK, HEADER)
    ends(schedule(coordinator, "pg", "--schedule", "6h", "-o", tmp_path), OK,
         f"default/pg is backed up by schedule (6h), next at 2025-10-11 19:14:44, into {tmp_path}\n")
    told = json.loads(schedule(coordinator, "--schedule", "1d", "--keep", "7", "--keep-for", "30d", "--format", "plain",
                               "--database", "d", "--json", "--ns", "samples", "pg").stdout)
    assert (told["keep"], told["keep-for-ms"], told["format"], told["database"]) == (7, 30 * 86400000, "plain", "d")
    found = coordinator.cli("postgres", "backups", "-A").stdout.decode()
    assert "none yet" in found and "2025-10-11 19:14:44: failed: pg_dump has failed" in found
    assert [b["name"] for b in json.loads(coordinator.cli("postgres", "backups", "--json", "--ns", "samples").stdout)] == ["pg"]
    ends(schedule(coordinator, "pg", "--schedule", "off"), OK,
         "default/pg is not backed up by schedule any more; its files stay.\n")
    ends(schedule(coordinator, "pg", "--schedule", "off"), NOT_FOUND,
         err="lttle: default/pg: has no schedule of backups\n")
    ends(schedule(coordinator, "nobody", "--schedule", "1d"), NOT_FOUND, err="lttle: machine default/nobody: not found\n")


def test_a_directory_is_told_as_it_is_from_everywhere(coordinator):
    told = json.loads(schedule(coordinator, "pg", "--schedule", "1d", "-o", "here/dumps", "--json").stdout)
    assert told["directory"].startswith("/") and told["directory"].endswith("/here/dumps")


def test_the_routes(coordinator):
    path = "/v1/namespaces/samples/backups/pg"
    assert coordinator.error("GET", path) == (404, "not-found")
    assert coordinator.error("PUT", path, "{}")[0] == 400
    assert coordinator.request("PUT", path, '{"schedule": "1d"}')[1]["last"]["ok"] is False
    assert coordinator.request("GET", path)[1]["schedule"] == "1d"
    assert len(coordinator.request("GET", "/v1/backups")[1]) == 1
    assert coordinator.request("GET", "/v1/backups?namespace=other")[1] == []
    assert coordinator.request("DELETE", path) == (200, {})
    assert coordinator.error("DELETE", path) == (404, "not-found")


@pytest.mark.parametrize("arguments, complaint", [
    (["--format", "tar"], "--format tar: must be custom or plain"),
    (["--keep", "0"], "--keep 0: must be a whole number from 1 to 100000"),
    (["--keep", "-1"], "--keep -1: must be a whole number from 1 to 100000"),
    (["--keep", "x"], "--keep x: must be a whole number from 1 to 100000"),
    (["--keep", "3", "-o", "/nowhere/file"], "--keep and --keep-for count the backups of a directory: --output must be one"),
])
def test_options_that_are_wrong(coordinator, arguments, complaint):
    ends(schedule(coordinator, "pg", *arguments), USAGE, err=f"lttle: {complaint}\n")


def test_files_that_cannot_be_written_or_read_wake_nobody(coordinator, tmp_path):
    before = list(coordinator.lines)
    ends(schedule(coordinator, "pg", "-o", "/nowhere/file"), FAILURE, err="lttle: /nowhere/: No such file or directory\n")
    ends(coordinator.cli("postgres", "restore", "pg", tmp_path / "none"), FAILURE,
         err=f"lttle: {tmp_path}/none: No such file or directory\n")
    sql = tmp_path / "own.sql"
    sql.write_text("select 1;")
    ends(coordinator.cli("postgres", "restore", "--clean", "pg", sql), USAGE,
         err=f"lttle: {sql}: is SQL, which is run as it is; --clean and --no-owner are for the custom format\n")
    assert coordinator.lines == before
