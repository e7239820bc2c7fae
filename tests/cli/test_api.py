"""The API over its socket: every route, every error, every limit."""

import json
import os
import socket
import stat
import struct
import subprocess
import threading
from pathlib import Path

import openapi
import pytest
from conftest import DEADLINE_SECONDS, FAKE, TOP, UnixConnection, wait_until

SAMPLES = "/v1/namespaces/samples"


# ---- routes ----


def test_version(coordinator):
    version = (TOP / "VERSION").read_text().strip()
    assert coordinator.request("GET", "/v1/version") == (200, {"version": version, "api": "v1"})


@pytest.mark.parametrize("kind, count, in_samples", [
    ("apps", 2, 1), ("machines", 5, 4), ("services", 2, 1), ("volumes", 1, 1), ("events", 2, 2),
])
def test_lists_and_their_namespace(coordinator, kind, count, in_samples):
    assert len(coordinator.request("GET", f"/v1/{kind}")[1]) == count
    assert len(coordinator.request("GET", f"/v1/{kind}?namespace=samples")[1]) == in_samples
    assert coordinator.request("GET", f"/v1/{kind}?namespace=nowhere") == (200, [])


def test_images(coordinator):
    assert coordinator.request("GET", "/v1/images")[1][0]["name"] == "ghcr.io/lttle-cloud/postgres:17-flash"
    body = json.dumps({"name": "x:1", "source": "oci-archive:/a b"})
    assert coordinator.request("POST", "/v1/images", body)[1]["name"] == "x:1"
    coordinator.expect("import oci-archive:/a b")


@pytest.mark.parametrize("body", [
    "", "{", "[]", "{}", '{"name": "x"}', '{"name": 1, "source": "y"}', '{"name": "x", "source": "y", "more": 1}',
    '{"name": "x", "name": "x", "source": "y"}',
])
def test_import_refuses_other_bodies(coordinator, body):
    assert coordinator.error("POST", "/v1/images", body) == (400, "invalid")


def test_get(coordinator):
    for kind, name in [("apps", "postgresql"), ("machines", "postgresql"), ("volumes", "pgdata"), ("services", "postgresql-access")]:
        status, answer = coordinator.request("GET", f"{SAMPLES}/{kind}/{name}")
        assert (status, answer["name"], answer["namespace"]) == (200, name, "samples")
        assert coordinator.error("GET", f"{SAMPLES}/{kind}/nobody") == (404, "not-found")
        assert coordinator.error("GET", f"/v1/namespaces/other/{kind}/{name}") == (404, "not-found")


def test_prefixes_only_where_asked_for(coordinator):
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgres") == (404, "not-found")
    assert coordinator.request("GET", f"{SAMPLES}/machines/postgres?prefix=true")[1]["name"] == "postgresql"
    assert coordinator.error("GET", f"{SAMPLES}/machines/redis?prefix=true") == (409, "ambiguous")
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgres?prefix=yes") == (400, "invalid")


def test_events_last(coordinator):
    assert [event["id"] for event in coordinator.request("GET", "/v1/events?last=1")[1]] == [2]
    assert coordinator.request("GET", "/v1/events?last=0")[1] == []
    assert coordinator.request("GET", "/v1/events?name=other")[1] == []
    for last in ["-1", "x", "", "10001", "1x", "99999999999999999999999"]:
        assert coordinator.error("GET", f"/v1/events?last={last}") == (400, "invalid")


def test_doctor(coordinator):
    checks = coordinator.request("GET", "/v1/doctor")[1]["checks"]
    assert [check["status"] for check in checks] == ["ok", "warning", "missing"]


def test_drain(coordinator):
    status, answer = coordinator.request("POST", "/v1/drain")
    coordinator.expect("drain 90000")
    assert status == 200
    assert [machine["outcome"] for machine in answer["machines"]] == ["hibernated", "stopped"]
    assert coordinator.request("POST", "/v1/drain?timeout-ms=10")[0] == 200
    coordinator.expect("drain 10")
    for timeout in ["-1", "soon", "", "86400001"]:
        assert coordinator.error("POST", f"/v1/drain?timeout-ms={timeout}") == (400, "invalid")


@pytest.mark.parametrize("method, path, said", [
    ("DELETE", "apps/postgresql", "delete app samples/postgresql"),
    ("DELETE", "machines/postgresql", "delete machine samples/postgresql"),
    ("DELETE", "volumes/pgdata", "delete volume samples/pgdata"),
    ("DELETE", "services/postgresql-access", "delete service samples/postgresql-access"),
    ("POST", "machines/postgresql/restart", "restart samples/postgresql"),
    ("POST", "machines/postgresql/hibernate", "hibernate samples/postgresql"),
    ("POST", "machines/postgresql/suspend", "suspend samples/postgresql"),
    ("POST", "machines/postgresql/wake", "wake samples/postgresql"),
])
def test_changes(coordinator, method, path, said):
    assert coordinator.request(method, f"{SAMPLES}/{path}")[0] == 200
    coordinator.expect(said)


@pytest.mark.parametrize("name, status, code", [
    ("busy", 409, "busy"), ("late", 504, "timed-out"), ("broken", 500, "failed"), ("twin", 409, "ambiguous"),
    ("there", 409, "exists"), ("stopping", 503, "stopping"),
])
def test_errors_of_the_engine(coordinator, name, status, code):
    answer = coordinator.request("POST", f"{SAMPLES}/machines/{name}/wake")
    assert answer == (status, {"error": {"code": code, "message": f"{name}: fails on purpose"}})


def test_names_are_percent_decoded(coordinator):
    assert coordinator.request("GET", f"{SAMPLES}/machines/%70ostgresql")[0] == 200
    assert coordinator.request("DELETE", "/v1/namespaces/a%2Fb/apps/x")[0] == 200
    coordinator.expect("delete app a/b/x")


@pytest.mark.parametrize("path", [
    "/v1/namespaces//apps/x", "/v1/namespaces/n/apps/", "/v1/namespaces/n/apps/%00x", "/v1/namespaces/n/apps/" + "x" * 256,
])
def test_unreadable_names(coordinator, path):
    assert coordinator.error("GET", path) == (400, "invalid")


# ---- deploy ----

VOLUME = "volume:\n  name: data\n  namespace: n\n  mode: writeable\n  size: 20Mi\n"


def test_deploy_tells_what_it_did(coordinator):
    result = {"kind": "volume", "namespace": "n", "name": "data"}
    assert coordinator.request("POST", "/v1/deploy", VOLUME)[1] == {
        "results": [{**result, "action": "created", "changes": [], "notes": []}]
    }
    assert coordinator.request("POST", "/v1/deploy?file=x.yaml", VOLUME)[1]["results"][0]["action"] == "unchanged"
    changed = coordinator.request("POST", "/v1/deploy", VOLUME.replace("20Mi", "30Mi"))[1]["results"][0]
    assert (changed["action"], len(changed["changes"])) == ("changed", 1)


def test_deploy_refuses_with_places(coordinator):
    status, answer = coordinator.request("POST", "/v1/deploy?file=my%20file.yaml", VOLUME.replace("20Mi", "much"))
    assert (status, answer["error"]["code"]) == (400, "invalid")
    (diagnostic,) = answer["diagnostics"]
    assert (diagnostic["file"], diagnostic["line"], diagnostic["column"]) == ("my file.yaml", 5, 9)
    assert diagnostic["key"] == "volume.size"


def test_deploy_takes_bytes_that_are_no_text(coordinator):
    assert coordinator.error("POST", "/v1/deploy", b"volume:\n  name: \xff\xfe\n") == (400, "invalid")
    assert coordinator.error("POST", "/v1/deploy", b"\0" * 100) == (400, "invalid")
    assert coordinator.error("POST", "/v1/deploy", b"") == (400, "invalid")


# ---- namespaces, and events that are followed ----


def test_namespaces(coordinator):
    assert [entry["name"] for entry in coordinator.request("GET", "/v1/namespaces")[1]] == ["other", "samples"]
    assert coordinator.request("DELETE", "/v1/namespaces/samples?volumes=true")[1]["volumes"] == 1
    assert coordinator.request("DELETE", "/v1/namespaces/samples")[1]["volumes"] == 0
    assert coordinator.error("DELETE", "/v1/namespaces/samples?volumes=all") == (400, "invalid")
    assert coordinator.error("DELETE", "/v1/namespaces/busy") == (409, "busy")


def test_events_that_are_followed_fit_their_description(coordinator):
    connection = UnixConnection(coordinator.socket)
    connection.request("GET", "/v1/events?follow=true&namespace=samples")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/x-ndjson"
    events = [json.loads(response.readline()) for _ in range(4)]
    for event in events:
        assert openapi.problems(event, {"$ref": "#/components/schemas/Event"}) == []
    assert [event["id"] for event in events] == [1, 2, 3, 4]
    connection.close()
    response.close()
    coordinator.expect("events no longer followed")
    assert coordinator.error("GET", "/v1/events?follow=perhaps") == (400, "invalid")


# ---- logs ----


def read_log(coordinator, query=""):
    connection = UnixConnection(coordinator.socket)
    connection.request("GET", f"{SAMPLES}/machines/postgresql/logs{query}")
    response = connection.getresponse()
    assert response.headers["Content-Type"].startswith("text/plain")
    text = response.read()
    connection.close()
    return text


def test_log(coordinator):
    assert read_log(coordinator) == b"one\ntwo\nthree\n"
    assert read_log(coordinator, "?follow=false") == b"one\ntwo\nthree\n"
    coordinator.log.write_bytes(b"")
    assert read_log(coordinator) == b""


@pytest.mark.parametrize("lines, text", [
    (0, b""), (1, b"three\n"), (2, b"two\nthree\n"), (3, b"one\ntwo\nthree\n"), (100, b"one\ntwo\nthree\n"),
])
def test_log_tail(coordinator, lines, text):
    assert read_log(coordinator, f"?tail={lines}") == text


def test_log_tail_of_an_unfinished_line(coordinator):
    coordinator.log.write_bytes(b"one\ntwo\nthr")
    assert read_log(coordinator, "?tail=1") == b"thr"
    assert read_log(coordinator, "?tail=2") == b"two\nthr"


def test_log_tail_across_blocks_and_big_logs(coordinator):
    text = b"".join(b"%07d " % number + b"x" * 200 + b"\n" for number in range(50000))
    coordinator.log.write_bytes(text)
    assert read_log(coordinator) == text
    assert read_log(coordinator, "?tail=2000") == text[-2000 * 209:]


@pytest.mark.parametrize("query", ["?tail=-1", "?tail=x", "?follow=1", "?tail=100001", "?lines=1"])
def test_log_refuses(coordinator, query):
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgresql/logs{query}") == (400, "invalid")


def test_log_that_is_not_there(coordinator):
    assert coordinator.error("GET", f"{SAMPLES}/machines/nobody/logs") == (404, "not-found")
    coordinator.log.unlink()
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgresql/logs") == (404, "not-found")


def follow(coordinator, query=""):
    connection = UnixConnection(coordinator.socket)
    connection.request("GET", f"{SAMPLES}/machines/postgresql/logs?follow=true{query}")
    return connection, connection.getresponse()


def test_log_follow_until_the_log_goes(coordinator):
    connection, response = follow(coordinator, "&tail=1")
    assert response.read1() == b"three\n"
    with coordinator.log.open("a") as log:
        log.write("four\n")
    assert response.read1() == b"four\n"
    coordinator.log.write_text("new\n")
    assert response.read1() == b"new\n"
    coordinator.log.unlink()
    assert response.read() == b""
    connection.close()


def keep_older_part(coordinator):
    """The log as after a rotation: ten bytes have gone to an older part, whose time is known."""
    Path(f"{coordinator.log}.{10:020}").write_bytes(b"zero\nhalf\n")
    Path(f"{coordinator.log}.{10:020}.times").write_bytes(struct.pack("=QQ", 10, 1760210080120))
    Path(f"{coordinator.log}.times").write_bytes(struct.pack("=QQQQ", 14, 1760210081000, 24, 1760210084999))


@pytest.mark.parametrize("query, text", [
    ("", "zero half one two three"), ("?tail=4", "half one two three"), ("?since-ms=1760210080120", "zero half one two three"),
    ("?since-ms=1760210080121", "one two three"), ("?since-ms=1760210081001", "two three"),
    ("?since-ms=1760210081001&tail=1", "three"), ("?since-ms=1760210085000", ""),
])
def test_log_of_several_parts(coordinator, query, text):
    keep_older_part(coordinator)
    assert read_log(coordinator, query).decode().split() == text.split()


def test_log_with_times(coordinator):
    keep_older_part(coordinator)
    assert read_log(coordinator, "?timestamps=true&tail=4").decode().splitlines() == [
        "2025-10-11T19:14:40.120Z half", "2025-10-11T19:14:41.000Z one", "2025-10-11T19:14:44.999Z two",
        "2025-10-11T19:14:44.999Z three",
    ]
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgresql/logs?timestamps=yes") == (400, "invalid")
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgresql/logs?since-ms=noon") == (400, "invalid")


def count_open_files(coordinator):
    return len(os.listdir(f"/proc/{coordinator.process.pid}/fd"))


def test_log_follow_ends_with_the_client(coordinator):
    before = count_open_files(coordinator)
    for _ in range(5):
        connection, response = follow(coordinator)
        assert response.read1() == b"one\ntwo\nthree\n"
        connection.close()
    # also one that leaves with unread bytes in its socket
    client = coordinator.connect()
    client.sendall(f"GET {SAMPLES}/machines/postgresql/logs?follow=true HTTP/1.1\r\n\r\n".encode())
    client.recv(1)
    client.close()
    wait_until("all descriptors to be closed", lambda: count_open_files(coordinator) == before)


def test_a_reader_that_does_not_read_costs_little(coordinator):
    with coordinator.log.open("wb") as log:
        log.truncate(200 << 20)
    client = coordinator.connect()
    client.sendall(f"GET {SAMPLES}/machines/postgresql/logs HTTP/1.1\r\n\r\n".encode())
    assert client.recv(5) == b"HTTP/"
    assert coordinator.request("GET", "/v1/version")[0] == 200
    with open(f"/proc/{coordinator.process.pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident < 32 << 10
    client.close()


# ---- wait ----


def test_wait(coordinator):
    wait = f"{SAMPLES}/machines/postgresql/wait"
    assert coordinator.request("GET", f"{wait}?phase=suspended")[1]["name"] == "postgresql"
    assert coordinator.request("GET", f"{SAMPLES}/machines/post/wait?phase=suspended&prefix=true")[0] == 200
    assert coordinator.error("GET", f"{wait}?phase=ready&timeout-ms=20") == (504, "timed-out")
    assert coordinator.error("GET", wait) == (400, "invalid")
    assert coordinator.error("GET", f"{wait}?phase=ready&timeout-ms=soon") == (400, "invalid")
    assert coordinator.error("GET", f"{SAMPLES}/machines/nobody/wait?phase=ready") == (404, "not-found")


def test_wait_is_cancelled_when_the_client_leaves(coordinator):
    client = coordinator.connect()
    client.sendall(f"GET {SAMPLES}/machines/postgresql/wait?phase=ready HTTP/1.1\r\n\r\n".encode())
    coordinator.expect("waiting for ready")
    client.close()
    coordinator.expect("wait cancelled")


def test_a_client_that_leaves_before_the_answer(coordinator):
    client = coordinator.connect()
    client.sendall(f"POST {SAMPLES}/machines/postgresql/restart HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    client.close()
    coordinator.expect("restart samples/postgresql")
    assert coordinator.request("GET", "/v1/version")[0] == 200


def test_stopping_with_everything_under_way(coordinator):
    clients = []
    for target in ["machines/postgresql/logs?follow=true", "machines/postgresql/wait?phase=ready"]:
        clients.append(coordinator.connect())
        clients[-1].sendall(f"GET {SAMPLES}/{target} HTTP/1.1\r\n\r\n".encode())
    clients.append(coordinator.connect())
    clients[-1].sendall(f"DELETE {SAMPLES}/apps/slow HTTP/1.1\r\n\r\n".encode())
    clients.append(coordinator.connect())
    clients[-1].sendall(b"GET /v1/ver")
    coordinator.expect("delete app samples/slow")
    coordinator.expect("waiting for ready")
    # the fixture stops it, and asserts that it ends well
    assert clients[0].recv(5) == b"HTTP/"


# ---- paths, methods, queries ----


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v2/apps", "/v1/apps/", "/v1/apps/x", "/v1/namespaces/n/x",
                                  "/v1/namespaces/n/apps/x/y", "//v1/apps", "/v1/../v1/apps"])
def test_no_such_path(coordinator, path):
    assert coordinator.error("GET", path) == (404, "not-found")


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/v1/apps", "GET"), ("PUT", "/v1/images", "GET, POST, DELETE"), ("GET", "/v1/deploy", "POST"),
    ("PATCH", f"{SAMPLES}/apps/x", "GET, DELETE"), ("OPTIONS", "/v1/version", "GET"), ("TRACE", "/v1/version", "GET"),
])
def test_wrong_method(coordinator, method, path, allow):
    connection = UnixConnection(coordinator.socket)
    connection.request(method, path)
    response = connection.getresponse()
    assert (response.status, response.headers["Allow"]) == (405, allow)
    assert json.loads(response.read())["error"]["code"] == "method-not-allowed"
    connection.close()


def test_unknown_queries(coordinator):
    assert coordinator.error("GET", "/v1/apps?name=x") == (400, "invalid")
    assert coordinator.error("GET", "/v1/version?x=1") == (400, "invalid")
    assert coordinator.error("GET", "/v1/events?names=x") == (400, "invalid")


def test_one_connection_takes_many_requests(coordinator):
    connection = UnixConnection(coordinator.socket)
    for _ in range(100):
        connection.request("GET", "/v1/version")
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


def test_requests_in_one_breath(coordinator):
    client = coordinator.connect()
    client.sendall(b"GET /v1/version HTTP/1.1\r\n\r\n" * 3)
    answer = b""
    while answer.count(b'"version"') < 3:
        got = client.recv(65536)
        assert got
        answer += got
    assert answer.count(b"HTTP/1.1 200 OK") == 3


# ---- limits ----


def test_bodies_have_a_limit(coordinator):
    assert coordinator.error("POST", "/v1/deploy", b"#" * ((4 << 20) + 1)) == (413, "too-large")
    assert coordinator.error("POST", "/v1/deploy", b"#" * ((1 << 20) + 1)) == (400, "invalid")
    assert coordinator.error("POST", "/v1/deploy", b"#" * (1 << 20)) == (400, "invalid")


@pytest.mark.parametrize("header", [b"Content-Length: 999999999999", b"Content-Length: -1", b"Content-Length: x",
                                    b"Transfer-Encoding: chunked\r\n\r\nffffffff"])
def test_bodies_that_lie(coordinator, header):
    client = coordinator.connect()
    client.sendall(b"POST /v1/deploy HTTP/1.1\r\n" + header + b"\r\n\r\n" + b"x" * 1000)
    client.shutdown(socket.SHUT_WR)
    answer = client.recv(4096)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    assert coordinator.request("GET", "/v1/version")[0] == 200


def test_headers_have_a_limit(coordinator):
    client = coordinator.connect()
    client.sendall(b"GET /v1/version HTTP/1.1\r\nX: " + b"x" * 40000)
    assert client.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("garbage", [
    b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200, b"hello\r\n\r\n", b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000, b"GET /v1/version HTTP/1.1\r\nno colon\r\n\r\n", b"FOO / HTTP/1.1\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"GET * HTTP/1.1\r\n\r\n",
    b"GET /v1/%zz HTTP/1.1\r\n\r\n", b"GET /v1/apps?%zz=%00&&&=x HTTP/1.1\r\n\r\n", bytes(range(256)) * 20,
], ids=range(14))
def test_garbage_harms_nobody(coordinator, garbage):
    client = coordinator.connect()
    client.sendall(garbage)
    client.shutdown(socket.SHUT_WR)
    answer = b""
    try:
        while got := client.recv(65536):
            answer += got
    except ConnectionResetError:
        pass
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert coordinator.request("GET", "/v1/version")[0] == 200


def test_a_silent_client_is_dropped(start):
    coordinator = start(256, 200)
    for beginning in [b"", b"GET /v1/ver", b"POST /v1/deploy HTTP/1.1\r\nContent-Length: 10\r\n\r\nx"]:
        client = coordinator.connect()
        client.sendall(beginning)
        assert client.recv(1) == b""
    # but one that waits for an answer, or for a log to go on, is not
    connection, response = follow(coordinator, "&tail=0")
    assert coordinator.error("GET", f"{SAMPLES}/machines/postgresql/wait?phase=ready&timeout-ms=600") == (504, "timed-out")
    with coordinator.log.open("a") as log:
        log.write("late\n")
    assert response.read1() == b"late\n"
    connection.close()
    coordinator.stop()


def test_connections_have_a_limit(start):
    coordinator = start(10)
    clients = []
    for _ in range(10):
        clients.append(coordinator.connect())
        clients[-1].sendall(b"GET /v1/version HTTP/1.1\r\n\r\n")
        assert clients[-1].recv(4096).startswith(b"HTTP/1.1 200")
    refused = coordinator.connect()
    answer = b""
    while got := refused.recv(4096):
        answer += got
    assert answer.startswith(b"HTTP/1.1 503")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
    # the others are still served, and their places are given to others
    clients[3].sendall(b"GET /v1/version HTTP/1.1\r\n\r\n")
    assert clients[3].recv(4096).startswith(b"HTTP/1.1 200")
    clients.pop().close()

    def served():
        with coordinator.connect() as client:
            client.sendall(b"GET /v1/version HTTP/1.1\r\n\r\n")
            try:
                return client.recv(4096).startswith(b"HTTP/1.1 200")
            except ConnectionResetError:
                return False

    wait_until("a place", served)
    coordinator.stop()


def test_many_clients_at_once(coordinator):
    failures = []

    def ask():
        for _ in range(50):
            if coordinator.request("GET", "/v1/machines")[0] != 200:
                failures.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert failures == []


# ---- the socket ----


def test_socket_mode(coordinator):
    assert stat.S_IMODE(coordinator.socket.stat().st_mode) == 0o660


def test_a_live_socket_is_refused(coordinator):
    second = subprocess.run([FAKE, coordinator.socket, "/dev/null"], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert second.stderr.endswith("another coordinator listens on it\n")
    assert coordinator.request("GET", "/v1/version")[0] == 200


def test_a_stale_socket_is_replaced(start):
    first = start()
    first.process.kill()
    first.process.wait()
    assert first.socket.exists()
    second = start()
    assert second.request("GET", "/v1/version")[0] == 200
    second.stop()


def test_what_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("precious")
    done = subprocess.run([FAKE, path, "/dev/null"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "no socket" in done.stderr
    assert path.read_text() == "precious"
    long_path = tmp_path / ("x" * 120)
    assert "1 to 107 characters" in subprocess.run(
        [FAKE, long_path, "/dev/null"], capture_output=True, text=True, timeout=20).stderr
