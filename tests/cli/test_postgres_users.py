"""lttle postgres user, database, rotate, check: what they send and say. tests/e2e/test_postgres_users.py does the same with
a server."""

import json

import pytest
from test_cli import FAILURE, NOT_FOUND, OK, REFUSED, USAGE, ends


@pytest.fixture
def cluster(coordinator):
    coordinator.cli("postgres", "create", "shop", "--user", "app", "--database", "shop")
    return coordinator


def postgres(cluster, *arguments):
    return cluster.cli("postgres", *arguments)


def users(cluster):
    return {user["name"]: user for user in json.loads(postgres(cluster, "user", "list", "shop", "--json").stdout)}


def test_a_user_is_added_with_what_was_given(cluster):
    ends(postgres(cluster, "user", "add", "shop", "it's /me", "--roles", "Login,Createdb", "--namespaces", "web,reports",
                  "--access", "readwrite,metadata:shop:public+sales"), OK, "User 'it's /me' has been added.\n")
    assert users(cluster)["it's /me"] == {
        "name": "it's /me", "roles": ["Login", "Createdb"], "namespaces": ["web", "reports"],
        "access": [{"database": "shop", "schemas": ["public"], "level": "readwrite"},
                   {"database": "shop", "schemas": ["public", "sales"], "level": "metadata"}]}
    ends(postgres(cluster, "user", "add", "shop", "app"), REFUSED,
         err="lttle: postgres default/shop: has a user app already\n")
    table = postgres(cluster, "user", "list", "shop").stdout.decode()
    assert "it's /me   Login, Createdb   readwrite:shop:public, metadata:shop:public+sales   web, reports\n" in table


def test_a_user_is_changed_by_what_is_given_and_dropped_after_asking(cluster):
    ends(postgres(cluster, "user", "edit", "shop", "app", "--roles", "Login"), OK, "User 'app' has been changed.\n")
    assert users(cluster)["app"]["roles"] == ["Login"]
    assert users(cluster)["app"]["access"] == [{"database": "shop", "level": "owner"}]
    ends(postgres(cluster, "user", "edit", "shop", "nobody"), NOT_FOUND,
         err="lttle: postgres default/shop: has no user nobody\n")
    assert postgres(cluster, "user", "drop", "shop", "app").returncode == USAGE
    ends(postgres(cluster, "user", "drop", "shop", "app", "-y"), OK, "User 'app' has been dropped.\n")
    assert users(cluster) == {}
    ends(postgres(cluster, "user", "drop", "shop", "app", "-y"), NOT_FOUND,
         err="lttle: postgres default/shop: has no user app\n")


def test_options_reach_the_server_and_a_refusal_changes_nothing(cluster):
    ends(postgres(cluster, "user", "add", "shop", "refused", "--adopt"), REFUSED, err="lttle: refused: adopt \n")
    assert list(users(cluster)) == ["app"]
    postgres(cluster, "user", "add", "shop", "heir")
    for options, said in ((("--drop-owned",), "drop-owned "), (("--reassign-to", "heir"), "heir")):
        assert postgres(cluster, "user", "drop", "shop", "app", "-y", *options).returncode == OK
        postgres(cluster, "user", "add", "shop", "app")
    done = cluster.cli("postgres", "user", "drop", "shop", "app", "-y", "--drop-owned", "--reassign-to", "heir")
    assert done.returncode == FAILURE and b"only one of them" in done.stderr


def test_databases(cluster):
    ends(postgres(cluster, "database", "create", "shop", "crm", "--owner", "app"), OK,
         "Database 'crm' has been created.\n")
    postgres(cluster, "user", "add", "shop", "reader", "--access", "readonly:crm")
    ends(postgres(cluster, "database", "list", "shop"), OK, "DATABASE   OWNER\nshop       app\ncrm        app\n")
    ends(postgres(cluster, "database", "edit", "shop", "crm", "--owner", "reader"), OK,
         "Database 'crm' has been changed.\n")
    assert json.loads(postgres(cluster, "database", "list", "shop", "--json").stdout) == [
        {"name": "crm", "owner": "reader"}]
    assert postgres(cluster, "database", "drop", "shop", "crm").returncode == USAGE
    ends(postgres(cluster, "database", "drop", "shop", "crm", "-y"), OK, "Database 'crm' has been dropped.\n")
    assert users(cluster)["reader"]["access"] == []
    done = postgres(cluster, "database", "drop", "shop", "shop", "-y")
    assert done.returncode == FAILURE and b"is the one that the cluster was made with" in done.stderr


def test_rotate_and_check(cluster):
    ends(postgres(cluster, "rotate", "shop", "app"), OK, "User 'app' has a new password.\n")
    ends(postgres(cluster, "rotate", "shop", "nobody"), NOT_FOUND,
         err="lttle: postgres default/shop: has no user nobody\n")
    ends(postgres(cluster, "check", "shop"), FAILURE, 'user "app" was given CREATEDB\n')
    assert json.loads(postgres(cluster, "check", "shop", "--json").stdout)["notes"] == []
    ends(postgres(cluster, "check", "nothing"), NOT_FOUND, err="lttle: postgres default/nothing: not found\n")


def test_what_is_typed_wrong(cluster):
    ends(postgres(cluster, "user", "make", "shop", "x"), USAGE,
         err="lttle: unknown command 'make'; it takes add|edit|drop|list CLUSTER [USER]\n")
    ends(postgres(cluster, "user", "add", "shop"), USAGE, err="lttle: add: a name is missing\n")
    ends(postgres(cluster, "user", "list", "shop", "x"), USAGE, err="lttle: list: one word too many\n")
    ends(postgres(cluster, "user", "add", "nothing", "x"), NOT_FOUND, err="lttle: postgres default/nothing: not found\n")
    done = postgres(cluster, "user", "add", "shop", "x", "--roles", "King")
    assert done.returncode == FAILURE and b"Superuser" in done.stderr
