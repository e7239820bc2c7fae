"""lttle postgres: what its commands send and say. tests/e2e/test_postgres.py does the same with servers."""

import json
import os
import subprocess

from conftest import LTTLE
from test_cli import FAILURE, NOT_FOUND, OK, REFUSED, USAGE, ends

CREATED = "Successfully deployed postgres: default/shop\n"


def create(coordinator, *more):
    return coordinator.cli("postgres", "create", "shop", *more)


def spec(coordinator):
    return json.loads(coordinator.cli("postgres", "get", "shop", "--json").stdout)


def test_options_become_keys(coordinator):
    done = create(coordinator, "--size", "tiny", "--storage", "2Gi", "--database", "d b", "--user", "it's",
                  "--pg-version", "16", "work_mem=8MB", "x.y=a=b: 'c'")
    ends(done, OK, CREATED)
    found = spec(coordinator)
    assert (found["size"], found["storage"], found["database"], found["version"]) == ("tiny", "2Gi", "d b", 16)
    assert found["users"][0]["name"] == "it's"
    assert found["users"][0]["access"] == [{"database": "d b", "level": "owner"}]
    assert found["parameters"] == {"work_mem": "8MB", "x.y": "a=b: 'c'"}


def test_one_that_is_there_is_not_changed_by_create(coordinator):
    ends(create(coordinator, "--size", "small"), OK, CREATED)
    ends(create(coordinator, "--size", "tiny"), REFUSED,
         err="lttle: postgres default/shop: is there already; lttle postgres edit changes it\n")
    assert spec(coordinator)["size"] == "small"


def test_what_is_wrong_is_said_by_its_key(coordinator):
    done = create(coordinator, "checkpoint_segments=16")
    assert done.returncode == FAILURE
    assert b"postgres.parameters.checkpoint_segments" in done.stderr and b"max_wal_size" in done.stderr
    done = create(coordinator, "--size", "gigantic")
    assert done.returncode == FAILURE and b"must be 'tiny', 'small'" in done.stderr
    ends(create(coordinator, "work_mem"), USAGE, err="lttle: work_mem: must be PARAMETER=VALUE\n")
    ends(coordinator.cli("postgres", "get", "shop"), NOT_FOUND, err="lttle: postgres default/shop: not found\n")


def test_what_is_no_text_is_refused(coordinator):
    for wrong in (["\udcff"], ["shop", "--size", "\udcff"], ["shop", "work_mem=\udcff"], ["shop", "\udcff=1"]):
        ends(coordinator.cli("postgres", "create", *wrong), USAGE,
             err="lttle: the name, the options and the parameters must be UTF-8\n")


def test_list_and_get(coordinator):
    create(coordinator, "--user", "app")
    ends(coordinator.cli("postgres", "list"), OK,
         "NAMESPACE   NAME   VERSION   PHASE       STATE   ADDRESS          DATABASE   USERS\n"
         "default     shop   17        suspended   ready   10.88.0.9:5432   postgres   app\n")
    got = coordinator.cli("postgres", "get", "shop").stdout.decode()
    assert "users: app: owner in postgres\n" in got and "state: ready\n" in got
    ends(coordinator.cli("query", "kind=postgres"), OK,
         "KIND       NAMESPACE   NAME   PHASE       TAGS\n"
         "postgres   default     shop   suspended   -\n")


def test_a_server_that_is_not_there(coordinator):
    done = coordinator.cli("postgres", "tables", "--url", "postgresql://reader:hidden@127.0.0.1:1/shop")
    ends(done, FAILURE, err='lttle: connection to server at "127.0.0.1", port 1 failed: Connection refused;'
                            ' Is the server running on that host and accepting TCP/IP connections?\n')


def editor(tmp_path, script):
    program = tmp_path / "edit"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**os.environ, "EDITOR": str(program), "VISUAL": "", "TMPDIR": str(tmp_path)}


def test_edit_deploys_what_the_editor_leaves(coordinator, tmp_path):
    create(coordinator, "--user", "true", "work_mem=4MB")
    done = coordinator.cli("postgres", "edit", "shop", environment=editor(tmp_path, "sed -i s/4MB/16MB/ \"$1\""))
    assert done.returncode == OK and "parameters.work_mem: 4MB → 16MB" in done.stdout.decode()
    assert spec(coordinator)["users"][0]["name"] == "true"
    ends(coordinator.cli("postgres", "edit", "shop", environment=editor(tmp_path, "true")), OK, "Nothing was changed.\n")
    assert not list(tmp_path.glob("lttle-postgres-*"))


def test_edit_keeps_what_is_refused(coordinator, tmp_path):
    create(coordinator, "work_mem=4MB")
    done = coordinator.cli("postgres", "edit", "shop", environment=editor(tmp_path, "sed -i s/work_mem/port/ \"$1\""))
    draft, = tmp_path.glob("lttle-postgres-*.yaml")
    assert done.returncode == FAILURE and f"what you have written is in {draft}" in done.stderr.decode()
    assert draft.stat().st_mode & 0o777 == 0o600 and "port: " in draft.read_text()
    done = coordinator.cli("postgres", "edit", "shop", environment=editor(tmp_path, "exit 3"))
    assert done.returncode == FAILURE and b"has failed; nothing was changed" in done.stderr
    assert spec(coordinator)["parameters"] == {"work_mem": "4MB"}


def test_edit_without_a_terminal_starts_no_editor_that_needs_one(coordinator, tmp_path):
    create(coordinator, "work_mem=4MB")
    program = tmp_path / "vi"
    program.write_text("#!/bin/sh\nsed -i s/4MB/16MB/ \"$1\"\n")
    program.chmod(0o755)
    unset = {"EDITOR": "", "VISUAL": "", "TMPDIR": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ends(coordinator.cli("postgres", "edit", "shop", environment=unset), USAGE,
         err="lttle: there is no terminal to edit on; $EDITOR names a program that needs none, and lttle deploy takes a file\n")
    assert spec(coordinator)["parameters"] == {"work_mem": "4MB"}
    main, terminal = os.openpty()
    try:
        done = subprocess.run([LTTLE, "postgres", "edit", "shop"], stdin=terminal, stdout=terminal, stderr=terminal,
                              env={**coordinator.environment(), **unset}, timeout=60)
    finally:
        os.close(terminal)
        os.close(main)
    assert (done.returncode, spec(coordinator)["parameters"]) == (OK, {"work_mem": "16MB"})


def test_access_info_prints_the_url_alone(coordinator):
    create(coordinator)
    ends(coordinator.cli("postgres", "access-info", "shop", "app"), OK, "postgresql://app:secret@10.88.0.9:5432/shop\n")
    ends(coordinator.cli("postgres", "access-info", "shop", "--localhost"), OK,
         "postgresql://app:secret@127.0.0.1:15432/shop\n")
    found = json.loads(coordinator.cli("postgres", "access-info", "shop", "a b", "--json").stdout)
    assert found == {"host": "10.88.0.9", "port": 5432, "user": "a b", "password": "secret", "database": "shop",
                     "url": "postgresql://a b:secret@10.88.0.9:5432/shop"}
    ends(coordinator.cli("postgres", "access-info", "shop", "app", "-n", "web"), NOT_FOUND,
         err="lttle: namespace web has no credentials of it\n")


def test_delete_asks_and_tells_where_the_data_is(coordinator):
    create(coordinator)
    ends(coordinator.cli("postgres", "delete", "shop"), USAGE,
         err="lttle: there is no terminal to ask on; -y goes on without asking\n")
    ends(coordinator.cli("postgres", "delete", "shop", "-y"), OK,
         "Cluster 'shop' has been deleted; its data is in the volume 'pgdata'.\n")
    create(coordinator)
    ends(coordinator.cli("postgres", "delete", "shop", "-y", "--volumes"), OK, "Cluster 'shop' has been deleted.\n")
    ends(coordinator.cli("postgres", "delete", "shop", "-y"), NOT_FOUND, err="lttle: postgres default/shop: not found\n")
