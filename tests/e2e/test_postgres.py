"""Clusters as people have them: a file becomes a server with users, databases, settings and credentials, and is changed
with it; nothing that only looks wakes the server."""

import os
import subprocess

import harness
import psycopg2
import pytest
from harness import rows, wait_until

NS = "samples"

FILE = """postgres:
  name: shop
  namespace: samples
  tags: [production]
  size: tiny
  storage: 300Mi
  database: shop
  databases:
    - {{name: crm, owner: app}}
  users:
    - name: app
      namespaces: [{namespace}]
    - name: 're "ports"'
      access:
        - {{level: readonly}}
  parameters:
    {parameter}
  values: {{tier: gold}}
  mode: {{flash: {{timeout: 500ms}}}}
  expose:
    access:
      connection-tracking: {{traffic-aware: {{inactivity-timeout: 500ms}}}}
"""


def shop_file(parameter="work_mem: 8MB", namespace="web"):
    return FILE.format(parameter=parameter, namespace=namespace)


class Cluster:
    """One that is deployed by a file, and the ways to look at it."""

    def __init__(self, host, name, namespace=NS):
        self.host, self.name, self.namespace = host, name, namespace

    def cli(self, command, *more, check=True):
        return self.host.cli("postgres", command, "--ns", self.namespace, self.name, *more, check=check)

    def deploy(self, text, *options, check=True):
        path = self.host.root / f"{self.name}.yaml"
        path.write_text(text)
        return self.host.cli("deploy", *options, path, check=check)

    def get(self):
        return self.host.json("postgres", "get", "--ns", self.namespace, self.name)

    def machine(self):
        return self.host.json("machine", "get", "--ns", self.namespace, self.name)

    def url(self, *arguments):
        return self.cli("access-info", *arguments).stdout.strip()

    def query(self, sql, *arguments):
        connection = psycopg2.connect(self.url(*arguments), connect_timeout=60)
        connection.autocommit = True
        try:
            return rows(connection, sql)
        finally:
            connection.close()

    def suspend(self):
        wait_until(
            lambda: f"{self.name} to be suspended: {self.machine()}",
            lambda: self.host.cli("machine", "suspend", "--ns", self.namespace, self.name, check=False).returncode == 0,
        )


def names(host, kind, namespace):
    return {entry["name"] for entry in host.json(kind, "list", "--ns", namespace)}


@pytest.fixture(scope="module")
def shop(own_host):
    cluster = Cluster(own_host, "shop")
    cluster.deploy(shop_file())
    yield cluster
    cluster.cli("delete", "-y", "--volumes")


def test_a_file_becomes_a_cluster(own_host, shop):
    # Deploying has waited: all of it is there.
    assert shop.get()["state"] == "ready"
    app = own_host.json("app", "get", "--ns", NS, "shop")
    volume = own_host.json("volume", "get", "--ns", NS, "shop-data")
    assert (app["owner"], volume["owner"]) == ("postgres/shop", "postgres/shop")
    for kind, name in (("app", "shop"), ("volume", "shop-data")):
        assert "owner: postgres/shop\n" in own_host.cli(kind, "get", "--ns", NS, name).stdout
    assert (app["resources"], volume["size"], app["tags"]) == ({"cpu": 1, "memory": 256}, "300Mi", ["production"])
    assert {entry["kind"] for entry in own_host.json("query", "name=shop*", "tag=production")} >= {"postgres", "app"}
    assert [entry["clusters"] for entry in own_host.json("namespace", "list") if entry["name"] == NS] == [1]
    assert shop.query("SELECT current_user, current_database(), current_setting('shared_buffers'),"
                      " current_setting('work_mem'), current_setting('max_wal_size')") == [("app", "shop", "64MB", "8MB", "75MB")]
    owners = dict(shop.query("SELECT datname, datdba::regrole::text FROM pg_database"))
    assert (owners["shop"], owners["crm"]) == ("app", "app")
    assert shop.deploy(shop_file()).stdout.startswith("Unchanged postgres: samples/shop\n")


def test_users_can_what_their_access_says(shop):
    shop.query("CREATE TABLE goods (id int PRIMARY KEY)")
    shop.query("INSERT INTO goods VALUES (7)")
    assert shop.query("SELECT id FROM goods", 're "ports"') == [(7,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.query("INSERT INTO goods VALUES (8)", 're "ports"')
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.query("CREATE DATABASE another", 're "ports"')


def test_credentials_are_in_the_namespaces_that_the_file_names(own_host, shop):
    own = names(own_host, "secrets", NS)
    assert {"shop-username", "shop-password", "shop-app-url", "shop-re-ports-password", "postgres-password"} <= own
    assert names(own_host, "secrets", "web") == {"shop-app-username", "shop-app-password", "shop-app-url"}
    values = {v["name"]: v["value"] for v in own_host.json("values", "list", "--ns", NS)}
    assert values == {"tier": "gold", **{f"{prefix}-{what}": value for prefix in ("shop", "postgres") for what, value in (
        ("host", shop.get()["address"]), ("port", "5432"), ("database", "shop"))}}
    assert shop.url("app", "-n", "web") == own_host.cli("secrets", "get", "--ns", "web", "shop-app-url").stdout.strip()
    for user, namespace in (("app", "other"), ('re "ports"', "web")):
        refused = shop.cli("access-info", user, "-n", namespace, check=False)
        assert refused.returncode == 3 and f"namespace {namespace} has no credentials of it" in refused.stderr
    assert shop.cli("access-info", "nobody", check=False).returncode == 3
    # What belongs to the cluster is not changed by hand.
    assert own_host.cli("secrets", "set", "--ns", NS, "shop-password", input="x", check=False).returncode == 4


def test_a_namespace_that_is_taken_off_the_list_loses_them(own_host, shop):
    shop.deploy(shop_file(namespace="other"))
    assert names(own_host, "secrets", "web") == set()
    assert shop.cli("access-info", "app", "-n", "web", check=False).returncode == 3
    assert shop.url("app", "-n", "other") == shop.url("app")
    shop.deploy(shop_file())
    assert names(own_host, "secrets", "other") == set()


def test_they_are_not_taken_from_a_machine_that_uses_them(own_host, shop):
    site = f"""machine:
  name: site
  namespace: web
  image: {harness.IMAGE}
  command: [sh, -c, "trap 'exit 0' TERM; sleep 1000 & wait"]
  environment:
    DATABASE_URL: ${{{{ secret.shop-app-url }}}}
"""
    own_host.deploy(site)
    moved = shop_file(namespace="other")
    line = moved[: moved.index("- name: app")].count("\n") + 1
    complaint = "secret web/shop-app-url would be taken away, and web/site uses it; change that first\n"
    refused = shop.deploy(moved, check=False)
    assert (refused.returncode, refused.stderr) == (
        1, f"{own_host.root}/shop.yaml:{line}:7: postgres.users[0].namespaces: {complaint}")
    for command in (("edit", "shop", "app", "--namespaces", "other"), ("drop", "shop", "app", "-y")):
        refused = own_host.cli("postgres", "user", *command, "--ns", NS, check=False)
        assert refused.returncode != 0 and complaint in refused.stderr, refused.stderr
    assert shop.get()["users"][0]["namespaces"] == ["web"]
    assert "shop-app-url" in names(own_host, "secrets", "web") and names(own_host, "secrets", "other") == set()
    # Both in one deployment: the machine does without them, and then they go.
    shop.deploy(moved + "---\n" + site.replace("${{ secret.shop-app-url }}", "none"))
    assert names(own_host, "secrets", "web") == set()
    own_host.cli("machine", "delete", "--ns", "web", "site", "-y")
    shop.deploy(shop_file())
    assert names(own_host, "secrets", "other") == set()


def test_the_superuser_s_password_is_in_no_environment_and_no_argument(own_host, shop):
    password = own_host.cli("secrets", "get", "--ns", NS, "shop-superuser-password").stdout.strip()
    assert len(password) == 32

    def run(*command):
        return own_host.cli("machine", "exec", "--ns", NS, "shop", "--", *command).stdout

    assert password not in run("sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert run("stat", "-c", "%a %U", "/run/lttle/superuser-password") == "400 postgres\n"
    assert run("stat", "-f", "-c", "%T", "/run/lttle/superuser-password") == "tmpfs\n"


def test_looking_never_wakes(own_host, shop):
    shop.suspend()
    before = shop.machine()
    for arguments in (("app",), ("--localhost",), ("postgres", "--json")):
        shop.cli("access-info", *arguments)
    shop.get()
    own_host.cli("postgres", "list", "-A")
    own_host.cli("secrets", "list", "-A")
    own_host.cli("values", "get", "--ns", NS, "shop-host")
    after = shop.machine()
    assert (after["phase"], after["wakes"]) == ("suspended", before["wakes"])


def test_a_shell_gets_a_url_of_this_host_that_works_at_once(own_host, shop):
    script = ('export DATABASE_URL=$("$LTTLE" postgres access-info --ns samples shop app --localhost) &&'
              ' psql "$DATABASE_URL" -Atc "SELECT current_user, inet_server_port()" && echo "$DATABASE_URL"')
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "LTTLE": str(harness.LTTLE), "LTTLE_SOCKET": str(own_host.socket)})
    assert done.returncode == 0, done.stderr
    result, url = done.stdout.splitlines()
    assert result == "app|5432" and "@127.0.0.1:" in url
    assert shop.url("app", "--localhost") == url


def test_settings_change_under_open_sessions_or_the_answer_says_otherwise(own_host, shop):
    session = psycopg2.connect(shop.url(), connect_timeout=60)
    session.autocommit = True
    pid = rows(session, "SELECT pg_backend_pid()")
    said = shop.deploy(shop_file("work_mem: 9MB")).stdout
    assert "changed: parameters.work_mem: 8MB → 9MB" in said and "anew" not in said
    assert rows(session, "SELECT pg_backend_pid()") == pid
    wait_until("the session to have the setting", lambda: rows(session, "SHOW work_mem") == [("9MB",)])
    said = shop.deploy(shop_file("max_connections: 33")).stdout
    assert "the server was started anew for max_connections" in said
    with pytest.raises(psycopg2.OperationalError):
        rows(session, "SELECT 1")
    session.close()
    # What is no longer written is what it was without.
    assert shop.query("SELECT current_setting('max_connections'), current_setting('work_mem')") == [("33", "1310kB")]


def test_the_server_checks_parameters_before_anything_changes(own_host, shop):
    before = shop.get()
    for parameter, said in (
        ("work_mem: lots", 'invalid value for parameter "work_mem": "lots"'),
        ("wal_level: much", "Available values: minimal, replica, logical"),
        ("no_such: 1", 'unrecognized configuration parameter "no_such"'),
        ("checkpoint_segments: 32", "max_wal_size"),
        ("shared_buffers: 900GB", "900GB is more than the machine's memory, 256 MiB; "),
    ):
        refused = shop.deploy(shop_file(parameter), check=False)
        name = parameter.split(":")[0]
        assert refused.returncode == 1
        assert f"shop.yaml:17:5: postgres.parameters.{name}: " in refused.stderr and said in refused.stderr
    assert shop.get()["parameters"] == before["parameters"]
    new = Cluster(own_host, "never")
    refused = new.deploy("postgres:\n  name: never\n  namespace: samples\n  parameters: {log_statement: some}\n", check=False)
    assert "postgres.parameters.log_statement: PostgreSQL says: " in refused.stderr
    assert new.cli("get", check=False).returncode == 3
    assert "never" not in names(own_host, "app", NS) | names(own_host, "secrets", NS)


def test_what_belongs_to_a_cluster_is_changed_with_it(own_host, shop):
    refused = own_host.cli("app", "delete", "--ns", NS, "shop", "-y", check=False)
    assert refused.returncode == 4 and "belongs to postgres/shop" in refused.stderr
    assert own_host.cli("volume", "rm", "--ns", NS, "shop-data", "-y", check=False).returncode == 4
    for text in ("app: {name: shop, namespace: samples, image: x}", "volume: {name: shop-data, namespace: samples, size: 1Gi}"):
        refused = shop.deploy(text, check=False)
        assert refused.returncode == 1 and "belongs to postgres/shop" in refused.stderr
    refused = shop.deploy(shop_file().replace("size: tiny", "version: 16"), check=False)
    assert refused.returncode == 1 and "the data is PostgreSQL 17's" in refused.stderr


def test_a_new_coordinator_knows_all_of_it(own_host, shop):
    before = shop.url()
    shop.suspend()
    wakes = shop.machine()["wakes"]
    own_host.kill()
    own_host.start()
    assert (shop.url(), shop.get()["state"]) == (before, "ready")
    wait_until("it to be taken over in its sleep", lambda: shop.machine()["phase"] == "suspended")
    assert shop.machine()["wakes"] == wakes
    assert shop.query("SELECT id FROM goods") == [(7,)]
    assert shop.deploy(shop_file("max_connections: 33")).stdout.startswith("Unchanged postgres")
    assert shop.get()["state"] == "ready"


def test_init_scripts_run_once_and_one_that_fails_ends_the_deployment(own_host):
    cluster = Cluster(own_host, "init")
    directory = own_host.root / "init"
    directory.mkdir()
    (directory / "2.sql").write_text("INSERT INTO made VALUES (current_database());\nSELECT 1 / 0;\n")
    (directory / "1.sql").write_text("CREATE TABLE made (place text);\nGRANT SELECT ON made TO PUBLIC;\n")
    text = ("volume: {name: store, namespace: samples, size: 300Mi}\n---\n"
            "postgres:\n  name: init\n  namespace: samples\n  size: tiny\n  volume: store\n  database: shop\n"
            "  users: [{name: app}]\n  init-scripts: [./init]\n  mode: {flash: {timeout: 500ms}}\n")
    try:
        refused = cluster.deploy(text, check=False)
        assert refused.returncode == 1 and "2.sql:2" in refused.stderr and "division by zero" in refused.stderr
        assert cluster.get()["state"] == "failed"
        (directory / "2.sql").write_text("INSERT INTO made VALUES (current_database());\n")
        cluster.deploy(text)
        assert cluster.query("SELECT place FROM made") == [("shop",)]
        (directory / "2.sql").write_text("INSERT INTO made VALUES ('twice');\n")
        own_host.cli("machine", "restart", "--ns", NS, "init")
        assert cluster.query("SELECT place FROM made") == [("shop",)]
    finally:
        cluster.cli("delete", "-y", "--volumes", check=False)
    # A volume that somebody has deployed is not the cluster's to delete.
    assert {"store"} == names(own_host, "volume", NS) & {"store", "init-data"}
    own_host.cli("volume", "rm", "--ns", NS, "store", "-y")


def test_commands_make_edit_and_delete_one(own_host):
    cluster = Cluster(own_host, "quick", "default")
    try:
        said = cluster.cli("create", "--size", "tiny", "--storage", "300Mi", "--database", "d", "--user", "me", "work_mem=5MB")
        assert "Successfully deployed postgres: default/quick" in said.stdout
        assert cluster.query("SELECT current_user, current_database(), current_setting('work_mem')") == [("me", "d", "5MB")]
        cluster.query("CREATE TABLE kept AS SELECT 42 AS answer")
        editor = own_host.root / "editor"
        editor.write_text('#!/bin/sh\nsed -i "s/5MB/6MB/" "$1"\n')
        editor.chmod(0o755)
        subprocess.run([harness.LTTLE, "--socket", own_host.socket, "postgres", "edit", "quick"], check=True, timeout=120,
                       env={**os.environ, "VISUAL": str(editor)}, stdout=subprocess.DEVNULL)
        assert cluster.query("SHOW work_mem") == [("6MB",)]
        # The data stays, and one of the same name takes it over, with another password.
        old = cluster.url()
        assert "its data is in the volume 'quick-data'" in cluster.cli("delete", "-y").stdout
        assert names(own_host, "app", "default") == set() and names(own_host, "volume", "default") == {"quick-data"}
        cluster.cli("create", "--size", "tiny", "--storage", "300Mi", "--database", "d", "--user", "me")
        assert cluster.query("SELECT answer FROM kept") == [(42,)] and cluster.url() != old
    finally:
        cluster.cli("delete", "-y")
        own_host.cli("volume", "rm", "quick-data", "-y")
    assert not any(names(own_host, kind, "default") for kind in ("app", "volume", "secrets", "values", "service"))
