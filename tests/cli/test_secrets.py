"""lttle secrets and values, and their routes."""

import json

import pytest
from test_cli import FAILURE, NOT_FOUND, OK, REFUSED, USAGE, Terminal, complete, ends

NOTHING = "NAMESPACE   NAME   OWNER   CHANGED\n"


def test_a_secret_is_set_shown_by_name_and_removed(coordinator):
    ends(coordinator.cli("secrets", "set", "db-password", input=b"s3cret=\xc3\xbc \n"), OK,
         "Secret 'db-password' has been set.\n")
    ends(coordinator.cli("secrets", "get", "db-password"), OK, "s3cret=ü \n")
    assert json.loads(coordinator.cli("secrets", "get", "db-password", "--json").stdout)["value"] == "s3cret=ü "
    ends(coordinator.cli("secrets", "list"), OK, """\
NAMESPACE   NAME          OWNER   CHANGED
default     db-password   -       2025-10-11 19:14:44
""")
    assert b"s3cret" not in coordinator.cli("secrets", "list", "-A", "--json").stdout
    ends(coordinator.cli("secrets", "rm", "db-password"), USAGE,
         err="lttle: there is no terminal to ask on; -y goes on without asking\n")
    ends(coordinator.cli("secrets", "rm", "db-password", "-y"), OK, "Secret 'db-password' has been removed.\n")
    ends(coordinator.cli("secrets", "list"), OK, NOTHING)
    ends(coordinator.cli("secrets", "get", "db-password"), NOT_FOUND,
         err="lttle: secret default/db-password: does not exist\n")


def test_what_is_read_keeps_all_but_its_last_end_of_line(coordinator):
    for given in (b"one\ntwo\n\n", b"", b"\n", b" \t\\'\"$`" + bytes(range(33, 127)) + b"\n"):
        assert coordinator.cli("secrets", "set", "x", input=given).returncode == OK
        assert coordinator.cli("secrets", "get", "x").stdout == given.removesuffix(b"\n") + b"\n"


def test_what_cannot_be_a_secret(coordinator):
    for given in (b"\xff\xfe", b"a\0b"):
        ends(coordinator.cli("secrets", "set", "x", input=given), USAGE, err="lttle: Secret 'x': must be UTF-8 text\n")
    ends(coordinator.cli("secrets", "set", "1x", input=b"a"), FAILURE,
         err="lttle: secret default/1x: a name must begin with a letter\n")
    ends(coordinator.cli("secrets", "list"), OK, NOTHING)


def test_it_is_never_taken_from_the_command_line(coordinator):
    done = coordinator.cli("secrets", "set", "x", "plain")
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (USAGE, "lttle: one word too many: 'plain'")


def test_a_terminal_does_not_show_it(coordinator):
    session = Terminal(coordinator, "secrets", "set", "typed")
    session.expect(b"Secret 'typed': ")
    session.type(b"hidden words\n")
    session.expect(b"has been set")
    assert session.end() == OK
    assert b"hidden" not in session.text
    ends(coordinator.cli("secrets", "get", "typed"), OK, "hidden words\n")


def test_what_belongs_to_a_cluster_is_not_changed_by_hand(coordinator):
    refusal = "lttle: secret samples/owned: belongs to postgres/samples/db\n"
    ends(coordinator.cli("secrets", "set", "owned", "--ns", "samples", input=b"x"), REFUSED, err=refusal)
    ends(coordinator.cli("secrets", "rm", "owned", "--ns", "samples", "-y"), REFUSED, err=refusal)
    ends(coordinator.cli("secrets", "get", "broken"), FAILURE,
         err="lttle: secret/default/broken: cannot be decrypted\n")


def test_values(coordinator):
    ends(coordinator.cli("values", "set", "region", "eu-1", "--ns", "samples"), OK, "Value 'region' has been set.\n")
    ends(coordinator.cli("values", "set", "text", input=b"from a file\n"), OK, "Value 'text' has been set.\n")
    ends(coordinator.cli("values", "list", "-A"), OK, """\
NAMESPACE   NAME     OWNER   CHANGED               VALUE
samples     region   -       2025-10-11 19:14:44   eu-1
default     text     -       2025-10-11 19:14:44   from a file
""")
    ends(coordinator.cli("values", "get", "region", "--ns=samples"), OK, "eu-1\n")
    ends(coordinator.cli("secrets", "list", "-A"), OK, NOTHING)
    ends(coordinator.cli("secrets", "get", "region", "--ns=samples"), NOT_FOUND,
         err="lttle: secret samples/region: does not exist\n")
    ends(coordinator.cli("values", "get", "region"), NOT_FOUND, err="lttle: value default/region: does not exist\n")
    assert complete(coordinator, "lttle values get --ns samples ") == {"region"}
    ends(coordinator.cli("values", "rm", "region", "-y", "--ns", "samples"), OK, "Value 'region' has been removed.\n")
    ends(coordinator.cli("values", "rm", "region", "-y", "--ns", "samples"), NOT_FOUND,
         err="lttle: value samples/region: does not exist\n")


@pytest.mark.parametrize("kind", ["secrets", "values"])
def test_the_routes(coordinator, kind):
    path = f"/v1/namespaces/samples/{kind}/one"
    assert coordinator.request("PUT", path, json.dumps({"value": "a\"b\\"})) == (200, {})
    assert coordinator.request("GET", path) == (200, {
        "namespace": "samples", "name": "one", "owner": None, "changed-ms": 1760210084000, "value": "a\"b\\"})
    assert len(coordinator.request("GET", f"/v1/{kind}")[1]) == 1
    assert coordinator.request("GET", f"/v1/{kind}?namespace=other") == (200, [])
    assert coordinator.request("DELETE", path) == (200, {})
    assert coordinator.error("DELETE", path) == (404, "not-found")
    for body in ("{}", "[]", '{"value": 1}', '{"value": "a", "more": 1}', '{"value": "a\\u0000"}', "a", None):
        assert coordinator.error("PUT", path, body) == (400, "invalid"), body
    assert coordinator.error("GET", path) == (404, "not-found")
