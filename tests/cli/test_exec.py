"""Programs over the API: frames, big streams both ways, terminals, clients that leave."""

import contextlib
import os
import struct
import threading

import pytest
from conftest import wait_until
from frames import ERROR, EXIT, RESIZE, STDIN, STDIN_EOF, STDOUT, Exec, frame

EXEC = "/v1/namespaces/samples/machines/postgresql/exec"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "lttle-exec"}


def test_output_and_exit_status(coordinator):
    program = Exec(coordinator, "postgresql", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert program.status == 101
    assert b"Connection: Upgrade" in program.head and b"Upgrade: lttle-exec" in program.head
    assert program.finish() == (b"out\n", b"err\n", 7)


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_exit_statuses(coordinator, script, status):
    assert Exec(coordinator, "postgresql", "sh", "-c", script).finish()[2] == status


def test_standard_input_is_empty_unless_asked_for(coordinator):
    assert Exec(coordinator, "postgresql", "cat").finish() == (b"", b"", 0)


def test_frames_that_come_with_the_request(coordinator):
    early = frame(STDIN, b"a\0b") + frame(STDIN, b"\xff") + frame(STDIN_EOF)
    assert Exec(coordinator, "postgresql", "cat", early=early, stdin=True).finish() == (b"a\0b\xff", b"", 0)


def test_frames_byte_by_byte(coordinator):
    program = Exec(coordinator, "postgresql", "cat", stdin=True)
    for byte in frame(STDIN, b"hello") + frame(STDIN) + frame(STDIN_EOF):
        program.client.sendall(bytes([byte]))
    assert program.finish() == (b"hello", b"", 0)


def test_ten_megabytes_both_ways(coordinator):
    data = os.urandom(10_000_000)
    program = Exec(coordinator, "postgresql", "cat", stdin=True)

    def feed():
        for at in range(0, len(data), 65536):
            program.send(STDIN, data[at:at + 65536])
        program.send(STDIN_EOF)

    feeder = threading.Thread(target=feed)
    feeder.start()
    out, err, status = program.finish()
    feeder.join()
    assert (out == data, err, status) == (True, b"", 0)


def test_big_output_behind_the_end_of_the_program(coordinator):
    program = Exec(coordinator, "postgresql", "sh", "-c", "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3")
    out, err, status = program.finish()
    assert (len(out), len(err), status) == (3_000_000, 1_000_000, 3)


def test_a_client_that_reads_nothing_stops_the_program(coordinator, tmp_path):
    counter = tmp_path / "written"
    script = f"while head -c 65536 /dev/zero; do printf x >> {counter}; done"
    program = Exec(coordinator, "postgresql", "sh", "-c", script)
    wait_until("output", lambda: counter.exists())
    sizes = []

    def stands_still():
        sizes.append(counter.stat().st_size)
        return len(sizes) > 50 and sizes[-1] == sizes[-50]

    wait_until("the program to be held up", stands_still)
    assert sizes[-1] * 65536 < 4 << 20
    assert coordinator.request("GET", "/v1/version")[0] == 200
    program.close()
    coordinator.expect("exec cancelled")
    coordinator.expect("cancelled program has ended")


def test_a_program_that_reads_nothing_stops_the_client_and_is_ended_with_it(coordinator):
    program = Exec(coordinator, "postgresql", "sleep", "1000", stdin=True)
    program.client.setblocking(False)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += program.client.send(frame(STDIN, b"x" * 65536))
    except BlockingIOError:
        pass
    assert sent < 4 << 20
    program.close()
    coordinator.expect("cancelled program has ended")


def test_a_program_that_closes_its_input(coordinator, tmp_path):
    script = f"exec <&-; echo closed; until [ -e {tmp_path}/sent ]; do sleep 0.01; done; echo done"
    program = Exec(coordinator, "postgresql", "sh", "-c", script, stdin=True)
    assert program.read() == (STDOUT, b"closed\n")
    for _ in range(20):
        program.send(STDIN, b"x" * 65536)
    (tmp_path / "sent").touch()
    assert program.finish() == (b"done\n", b"", 0)


def test_background_processes_do_not_hold_the_connection(coordinator):
    program = Exec(coordinator, "postgresql", "sh", "-c", "sleep 30 & echo $!; exit 4")
    out, _, status = program.finish()
    assert status == 4
    os.kill(int(out), 9)


# ---- clients that leave ----


@pytest.mark.parametrize("leave", ["close", "half-close", "unread"])
def test_a_client_that_leaves_ends_the_program(coordinator, leave, tmp_path):
    script = f"echo $$; echo more; touch {tmp_path}/said; sleep 1000"
    program = Exec(coordinator, "postgresql", "sh", "-c", script, stdin=True)
    kind, text = program.read()
    assert kind == STDOUT
    pid = text.split()[0]
    if leave == "half-close":
        program.client.shutdown(1)
    elif leave == "unread":
        wait_until("something unread", lambda: (tmp_path / "said").exists())
        program.close()
    else:
        program.close()
    coordinator.expect("cancelled program has ended")
    wait_until("the shell to be gone", lambda: not os.path.exists(f"/proc/{int(pid)}"))


def test_stopping_the_server_ends_programs(start):
    coordinator = start()
    program = Exec(coordinator, "postgresql", "sleep", "1000")
    coordinator.stop()
    coordinator.expect("exec cancelled")
    assert program.client.recv(1) == b""


# ---- terminals ----


def read_until(program, wanted):
    text = b""
    while wanted not in text:
        kind, payload = program.read()
        assert kind == STDOUT, (kind, payload, text)
        text += payload
    return text


def test_terminal(coordinator):
    program = Exec(coordinator, "postgresql", "sh", "-c", "tty; stty size; echo $TERM; read x; stty size; echo =$x= >&2",
                   terminal=True, stdin=True, rows=33, columns=101, environment={"TERM": "vt52"})
    text = read_until(program, b"vt52\r\n")
    assert text.startswith(b"/dev/pts/") and b"33 101\r\n" in text
    program.send(RESIZE, struct.pack(">HH", 44, 55))
    program.send(STDIN, b"typed\n")
    out, err, status = program.finish()
    assert out == b"typed\r\n44 55\r\n=typed=\r\n" and err == b"" and status == 0


def test_terminal_signals_and_end_of_file(coordinator):
    program = Exec(coordinator, "postgresql", "cat", terminal=True, stdin=True)
    program.send(STDIN, b"x\n")
    read_until(program, b"x\r\nx\r\n")
    program.send(STDIN_EOF)
    assert program.finish()[2] == 0
    program = Exec(coordinator, "postgresql", "sh", "-c", "echo up; exec sleep 1000", terminal=True, stdin=True)
    read_until(program, b"up\r\n")
    program.send(STDIN, b"\x03")
    assert program.finish()[2] == 130


def test_terminal_keeps_the_last_words(coordinator):
    for _ in range(50):
        out, _, status = Exec(coordinator, "postgresql", "sh", "-c", "head -c 5000 /dev/zero | tr '\\0' x; echo end; exit 5",
                              terminal=True).finish()
        assert (len(out), out[-5:], status) == (5005, b"end\r\n", 5)


# ---- refusals ----


def test_refusals_are_ordinary_answers(coordinator):
    good = '{"argv": ["true"]}'
    assert coordinator.error("POST", EXEC, good) == (426, "upgrade-required")
    assert coordinator.error("POST", EXEC, good, {"Upgrade": "websocket", "Connection": "Upgrade"}) == (426, "upgrade-required")
    assert coordinator.error("POST", EXEC.replace("postgresql", "nobody"), good, UPGRADE) == (404, "not-found")
    assert coordinator.error("POST", EXEC.replace("postgresql", "busy"), good, UPGRADE) == (409, "busy")


@pytest.mark.parametrize("body", [
    "", "[]", "{}", '{"argv": []}', '{"argv": "ls"}', '{"argv": [1]}', '{"argv": ["ls"], "more": 1}',
    '{"argv": ["ls"], "terminal": 1}', '{"argv": ["ls"], "rows": -1}', '{"argv": ["ls"], "columns": 65536}',
    '{"argv": ["ls"], "environment": []}', '{"argv": ["ls"], "environment": {"A": 1}}',
    '{"argv": ["ls"], "environment": {"A=B": "x"}}', '{"argv": ["l\\u0000s"]}',
])
def test_bodies_that_are_refused(coordinator, body):
    assert coordinator.error("POST", EXEC, body, UPGRADE) == (400, "invalid")


@pytest.mark.parametrize("bytes_", [
    b"\xff\0\0\0\0", frame(STDOUT, b"x"), frame(EXIT, b"\0\0\0\0"), frame(RESIZE, b"abc"), frame(STDIN_EOF, b"x"),
    b"\x00\x00\x01\x00\x01" + b"x" * 65537, b"GET / HTTP/1.1\r\n\r\n",
], ids=range(7))
def test_what_is_no_frame_ends_it(coordinator, bytes_):
    program = Exec(coordinator, "postgresql", "sleep", "1000", stdin=True)
    with contextlib.suppress(BrokenPipeError):  # it need not read to the end of what it refuses by its beginning
        program.client.sendall(bytes_)
    kind, text = program.read()
    assert kind == ERROR and b"no frame" in text
    coordinator.expect("cancelled program has ended")


def test_nothing_is_left_open(coordinator):
    directory = f"/proc/{coordinator.process.pid}/fd"
    before = len(os.listdir(directory))
    for terminal in [False, True] * 10:
        Exec(coordinator, "postgresql", "true", terminal=terminal, stdin=True).finish()
    wait_until("the descriptors to be closed", lambda: len(os.listdir(directory)) == before)
