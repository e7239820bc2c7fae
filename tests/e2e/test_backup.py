"""Scripts of a first start, backups and restores, on servers that suspend."""

import errno
import gzip
import json
import os
import pty
import signal
import sqlite3
import stat
import subprocess
import time

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
    # Another error in the same place: it is told, and not the one before it, which is in the log too.
    (tmp_path / "sql" / "2-bad.sql.gz").write_text("not packed")
    done = deploy_with(host, tmp_path, "fails", "sql", check=False)
    assert "its first start has failed: 2-bad.sql.gz failed (exit status 1): gzip: " in done.stderr
    # And one of the shell, which says nothing about its line itself.
    (tmp_path / "sql" / "2-bad.sql.gz").unlink()
    (tmp_path / "sql" / "2-bad.sh").write_text('#!/bin/bash\nset -e\nexport PGUSER=$POSTGRES_USER PGDATABASE=$POSTGRES_DB\npsql -c "SELECT 1" \\\n  -c "TABLE nowhere"\n')
    (tmp_path / "sql" / "2-bad.sh").chmod(0o755)
    done = deploy_with(host, tmp_path, "fails", "sql", check=False)
    assert (
        'its first start has failed: 2-bad.sh:4: psql … failed (exit status 1): ERROR:  relation "nowhere" does not exist'
        in done.stderr
    ), done.stderr
    (tmp_path / "sql" / "2-bad.sh").unlink()
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


# ---- backups ----


@pytest.fixture(scope="module")
def server(host):
    """One that is asleep, with something in it."""
    server = harness.Database(host, "server", namespace=NAMESPACE)
    server.query(
        "create table items (id serial primary key, what text, noise text); create index on items (what);"
        "insert into items (what, noise) select 'item ' || i, md5(random()::text) from generate_series(1, 4000) i;"
        "create view few as select * from items where id < 10;"
        "comment on table items is 'Übung \"quoted\"'"
    )
    server.query('create database "odd name; --"')
    server.sum = lambda: server.query("select count(*), md5(string_agg(id || what || noise, ',' order by id)) from items")[0]
    server.whole = server.sum()
    yield server


def backup(host, *arguments, **more):
    return host.cli("postgres", "backup", "--ns", NAMESPACE, "server", *arguments, **more)


def restore(host, *arguments, **more):
    return host.cli("postgres", "restore", "--ns", NAMESPACE, "server", *arguments, **more)


def listing(directory):
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_a_backup_wakes_is_whole_and_comes_back(host, server, tmp_path, form):
    server.wait("suspended")
    path = tmp_path / f"b.{form}"
    path.write_text("an older one")
    told = host.json("postgres", "backup", "--ns", NAMESPACE, "server", "-o", path, "--format", form)
    assert (told["file"], told["format"], told["bytes"]) == (str(path), form, path.stat().st_size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and listing(tmp_path) == [path.name]
    if form == "custom":
        listed = subprocess.run(["grep", "-aq", "PGDMP", path], check=False)
        assert listed.returncode == 0
    else:
        assert "CREATE TABLE public.items" in path.read_text()
    server.wait("suspended")

    # Into a database that has all of it already: nothing changes.
    done = restore(host, path, check=False)
    assert done.returncode == 1 and "everything is as it was" in done.stderr, done.stderr
    assert 'relation "items" already exists' in done.stderr
    assert server.sum() == server.whole
    server.query("drop table items cascade")
    assert "Restored backups/server" in restore(host, path).stdout
    assert server.sum() == server.whole
    assert server.query("select obj_description('items'::regclass), count(*) from few") == [('Übung "quoted"', 9)]
    server.wait("suspended")


def test_clean_takes_the_place_of_what_is_there(host, server, tmp_path):
    backup(host, "-o", tmp_path / "b")
    server.query("update items set what = 'changed'")
    assert server.sum() != server.whole
    done = restore(host, "--clean", tmp_path / "b", check=False)
    assert done.returncode != 0 and "-y goes on" in done.stderr, done.stderr
    restore(host, "--clean", "-y", tmp_path / "b")
    assert server.sum() == server.whole


def test_a_database_by_an_odd_name(host, server, tmp_path):
    odd = "odd name; --"
    backup(host, "-o", tmp_path, "--database", "db")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith(f"{NAMESPACE}.server.db-") and path.suffix == ".dump"
    restore(host, "--database", odd, path)
    with server.connect(dbname=odd) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from items")
        assert cursor.fetchall() == [(4000,)]
    connection.close()
    done = backup(host, "-o", tmp_path / "never", "--database", "nowhere", check=False)
    assert done.returncode == 1 and 'database "nowhere" does not exist' in done.stderr
    assert listing(tmp_path) == [path.name]


def test_a_disk_that_is_full(host, server, tmp_path):
    script = (
        'mount -t tmpfs -o size=32k full "$1" && echo old >"$1/b" && shift && "$@"; status=$?; '
        'echo "left: $(ls -A "$0") $(cat "$0/b")"; exit $status'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, tmp_path, tmp_path, harness.LTTLE, "--socket", host.socket, "postgres",
         "backup", "--ns", NAMESPACE, "server", "-o", tmp_path / "b"],
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 1 and f"{tmp_path}/b: No space left on device" in done.stderr, done.stderr
    assert done.stdout.strip() == "left: b old"
    server.wait("suspended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_is_ended_leaves_nothing(host, server, tmp_path, number):
    holder = server.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("lock table items")
    client = subprocess.Popen(
        [harness.LTTLE, "--socket", host.socket, "postgres", "backup", "--ns", NAMESPACE, "server", "-o", tmp_path / "b"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    dumps = "select count(*) from pg_stat_activity where application_name in ('pg_dump', 'lttle')"
    wait_until("pg_dump to wait", lambda: server.query(dumps + " and wait_event_type = 'Lock'") == [(1,)])
    client.send_signal(number)
    _, errors = client.communicate(timeout=60)
    assert client.returncode == -number, errors
    assert listing(tmp_path) == []
    wait_until("pg_dump to have gone", lambda: server.query(dumps) == [(0,)])
    holder.close()
    server.wait("suspended")


def test_progress_on_a_terminal(host, server, tmp_path):
    master, slave = pty.openpty()
    done = subprocess.run(
        [harness.LTTLE, "--socket", host.socket, "postgres", "backup", "--ns", NAMESPACE, "server", "-o", tmp_path / "b"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env={**os.environ, "TERM": "xterm"}, timeout=120,
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError as error:  # how a terminal without anybody at its other end says so
        assert error.errno == errno.EIO
    os.close(master)
    shown = shown.decode()
    assert done.returncode == 0, shown
    assert f"Backing up {NAMESPACE}/server" in shown and shown.endswith("\r\x1b[K")


# ---- what is damaged ----


def damage_end(data):
    return data[: len(data) * 2 // 3]


def damage_middle(data):
    at = len(data) // 2
    return data[:at] + bytes(b ^ 0xFF for b in data[at : at + 64]) + data[at + 64 :]


@pytest.mark.parametrize(
    "form, damage", [("custom", damage_end), ("custom", damage_middle), ("plain", damage_end), ("custom", lambda data: data[:40])]
)
def test_a_file_that_is_damaged_changes_nothing(host, server, tmp_path, form, damage):
    path = tmp_path / "b"
    backup(host, "-o", path, "--format", form)
    path.write_bytes(damage(path.read_bytes()))
    server.query("create table witness as select 1")
    try:
        done = restore(host, *(("--clean", "-y") if form == "custom" else ()), path, check=False)
        assert done.returncode == 1 and f"{path}: is damaged" in done.stderr, done.stderr
        assert server.sum() == server.whole and server.query("select count(*) from witness") == [(1,)]
    finally:
        server.query("drop table witness")


def test_files_that_are_no_backup(host, server, tmp_path):
    packed = tmp_path / "b.sql.gz"
    packed.write_bytes(gzip.compress(b"select 1;"))
    (tmp_path / "empty").touch()
    for path, complaint in (
        (packed, "is packed; unpack it first: gzip -d"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "nowhere", "No such file or directory"),
        (tmp_path, "is no file"),
    ):
        done = restore(host, path, check=False)
        assert done.returncode == 1 and f"{path}: {complaint}" in done.stderr, done.stderr


def test_sql_is_one_transaction(host, server, tmp_path):
    path = tmp_path / "own.sql"
    path.write_text("create table made (id int);\ninsert into made values (1);\ninsert into made values ('x')")
    done = restore(host, path, check=False)
    assert done.returncode == 1 and "psql:<stdin>:4: ERROR:  invalid input syntax" in done.stderr, done.stderr
    assert server.query("select to_regclass('made')") == [(None,)]
    # No statement is ended by the end of the file, and COPY's data neither: what follows would be data.
    path.write_text("create table made (id int);\ncopy made from stdin;\n1\n2\n")
    done = restore(host, path, check=False)
    assert done.returncode == 1, done.stdout
    assert server.query("select to_regclass('made')") == [(None,)]
    path.write_text("create table made (id int);\ninsert into made values (1)")
    restore(host, path)
    assert server.query("select id from made") == [(1,)]
    server.query("drop table made")


def test_a_restore_that_is_killed_changes_nothing(host, server, tmp_path):
    path = tmp_path / "own.sql"
    path.write_text("create table made ();\nlock table items;\n")
    holder = server.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("lock table items")
    client = subprocess.Popen(
        [harness.LTTLE, "--socket", host.socket, "postgres", "restore", "--ns", NAMESPACE, "server", path],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    restores = "select count(*) from pg_stat_activity where application_name in ('psql', 'lttle')"
    wait_until("the restore to wait", lambda: server.query(restores + " and wait_event_type = 'Lock'") == [(1,)])
    client.kill()
    client.wait(timeout=60)
    wait_until("it to have gone", lambda: server.query(restores) == [(0,)])
    holder.close()
    assert server.query("select to_regclass('made')") == [(None,)]


# ---- how many are kept ----


def test_the_newest_are_kept(host, server, tmp_path):
    for name in (
        f"{NAMESPACE}.server-20250101T000000Z.dump",
        f"{NAMESPACE}.server-20250102T000000Z.sql",
        f"{NAMESPACE}.server-20250103T000000Z.dump",
        f"{NAMESPACE}.server.other-20250101T000000Z.dump",
        f"{NAMESPACE}.server2-20250101T000000Z.dump",
        f"{NAMESPACE}.server-20250101T000000Z.dump.note",
    ):
        (tmp_path / name).touch()
    others = {name for name in listing(tmp_path) if not name.endswith(("Z.dump", "Z.sql")) or ".other-" in name or "server2" in name}
    backup(host, "-o", tmp_path, "--keep", "3")
    left = set(listing(tmp_path)) - others
    assert others < set(listing(tmp_path)) and len(left) == 3
    assert {name for name in left if "-2025010" in name} == {
        f"{NAMESPACE}.server-20250102T000000Z.sql", f"{NAMESPACE}.server-20250103T000000Z.dump"
    }
    backup(host, "-o", tmp_path, "--keep-for", "30d")
    assert not [name for name in set(listing(tmp_path)) - others if "-2025010" in name]
    done = backup(host, "-o", tmp_path / "file", "--keep", "3", check=False)
    assert done.returncode == 2 and "--output must be" in done.stderr


# ---- a cluster ----

CLUSTER = """postgres:
  name: cluster
  namespace: {namespace}
  size: tiny
  storage: 300Mi
  database: shop
  users:
    - name: app
  mode: {{flash: {{timeout: 500ms}}}}
  init-scripts: [init]
"""


def test_a_cluster_with_scripts_is_backed_up(host, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.format(namespace=NAMESPACE))
    scripts_of(tmp_path / "init", **{"1_sql": "CREATE TABLE made (what text);\nINSERT INTO nowhere VALUES (1);"})
    failed = host.cli("deploy", "--timeout", "4m", path, check=False)
    assert failed.returncode == 1 and "1.sql:2: ERROR:  relation \"nowhere\" does not exist" in failed.stderr
    assert f"postgres {NAMESPACE}/cluster: its server is not ready" in failed.stderr and "postgres:" not in failed.stdout
    scripts_of(tmp_path / "init", **{"1_sql": "CREATE TABLE made (what text);\nINSERT INTO made SELECT current_database();"})
    host.cli("deploy", "--timeout", "4m", path)
    program = ("psql", "-U", "postgres", "-d", "shop", "-At", "-c")
    inside = lambda sql: host.cli("machine", "exec", "--ns", NAMESPACE, "cluster", *program, sql).stdout.strip()
    assert inside("select what from made") == "shop"
    saved = tmp_path / "saved"
    host.cli("postgres", "backup", "--ns", NAMESPACE, "cluster", "-o", saved)
    inside("drop table made")
    host.cli("postgres", "restore", "--ns", NAMESPACE, "--clean", "-y", "cluster", saved)
    assert inside("select what from made") == "shop"
    host.cli("postgres", "backup", "--ns", NAMESPACE, "cluster", "--schedule", "Sun 03:30")
    assert host.json("postgres", "get", "--ns", NAMESPACE, "cluster")["backup"]["schedule"] == "Sun 03:30"
    shown = host.cli("postgres", "get", "--ns", NAMESPACE, "cluster").stdout
    assert "backups: Sun 03:30, next at " in shown and "last backup: none yet" in shown
    host.cli("postgres", "delete", "--ns", NAMESPACE, "-y", "--volumes", "cluster")
    assert host.json("postgres", "backups", "-A") == []


# ---- by schedule ----


def schedule(host, when, *arguments, **more):
    return backup(host, "--schedule", when, *arguments, **more)


def scheduled(host):
    (found,) = host.json("postgres", "backups", "--ns", NAMESPACE)
    return found


def last_done(host, age_ms):
    """The host was off: as lttled finds it when it comes back, the last backup was so long ago."""
    host.stop()
    with sqlite3.connect(host.root / "state" / "lttle.db") as store:
        (state,) = store.execute("select state from backups").fetchone()
        state = json.loads(state) | {"since-ms": int(time.time() * 1000) - age_ms}
        store.execute("update backups set state = ?", [json.dumps(state)])
    store.close()
    host.start()


def wait_for_backup(host, before):
    return wait_until(
        lambda: f"a backup: {scheduled(host)}",
        lambda: (s := scheduled(host))["last"] and s["last"] != before and not s["running"] and s,
    )


def test_by_schedule_also_what_was_missed(host, server):
    server.wait("suspended")
    wakes = server.get()["wakes"]
    told = json.loads(schedule(host, "1d", "--keep", "2", "--json").stdout)
    directory = host.root / "state" / "backups" / NAMESPACE / "server"
    assert (told["directory"], told["schedule"], told["last"], told["keep"]) == (str(directory), "1d", None, 2)
    assert abs(told["next-ms"] / 1000 - time.time() - 86400) < 600
    assert server.get()["wakes"] == wakes, "setting a schedule wakes nobody"

    # Off for days, and off again: what was missed is done once each time, and of the backups two are kept.
    before = None
    names = []
    for age_ms in (10 * 86400000, 2 * 86400000, 86400000 - 2000):
        last_done(host, age_ms)
        found = wait_for_backup(host, before)
        before = found["last"]
        assert before["ok"], found
        names.append(os.path.basename(before["file"]))
        assert os.path.getsize(before["file"]) == before["bytes"] > 1000
        assert abs(found["next-ms"] / 1000 - time.time() - 86400) < 600
    assert listing(directory) == sorted(names)[1:]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / names[2]).stat().st_mode) == 0o600
    server.wait("suspended")
    assert f"ok, " in host.cli("postgres", "backups", "-A").stdout
    restore(host, "--clean", "-y", directory / names[2])
    assert server.sum() == server.whole


def test_a_schedule_whose_backup_fails_says_so(host, server, tmp_path):
    schedule(host, "1h", "--database", "nowhere", "-o", tmp_path / "made")
    before = scheduled(host)["last"]
    last_done(host, 3600000)
    last = wait_for_backup(host, before)["last"]
    assert not last["ok"] and 'database "nowhere" does not exist' in last["error"], last
    assert listing(tmp_path / "made") == []
    assert "failed: " in host.cli("postgres", "backups", "--ns", NAMESPACE).stdout
    assert host.cli("postgres", "backups", "--ns", "elsewhere").stdout.count("\n") <= 1
    schedule(host, "off")
    assert host.json("postgres", "backups", "-A") == []
    done = schedule(host, "off", check=False)
    assert done.returncode == 3 and "has no schedule of backups" in done.stderr


def test_schedules_that_are_none(host, server):
    for when, complaint in (("often", "schedule 'often': must be an interval"), ("30s", "must be an interval from 1m")):
        done = schedule(host, when, check=False)
        assert done.returncode != 0 and complaint in done.stderr, done.stderr
    done = host.cli("postgres", "backup", "--ns", NAMESPACE, "nobody", "--schedule", "1d", check=False)
    assert done.returncode == 3 and f"machine {NAMESPACE}/nobody: not found" in done.stderr


def test_a_schedule_goes_with_its_server(host, server):
    schedule(host, "Mon..Fri 03:30")
    assert scheduled(host)["schedule"] == "Mon..Fri 03:30"
    server.delete()
    assert host.json("postgres", "backups", "-A") == []
