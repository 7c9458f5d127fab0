"""What a connection may cost, tried with real sockets on a server whose patience is short."""

from __future__ import annotations

import json
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import pytest

from tests.support.server import Server

HEAD_S, STALL_S, IDLE_S = 1.0, 1.0, 0.5
SETTINGS = {
    "TIDINGS_HTTP_HEAD_S": str(HEAD_S),
    "TIDINGS_HTTP_STALL_S": str(STALL_S),
    "TIDINGS_HTTP_IDLE_S": str(IDLE_S),
    "TIDINGS_CONNECTIONS_PER_ADDRESS": "40",
}
PATIENCE_S = 10.0
LOGIN = b"POST /v1/auth/login HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("impatient") / "data", SETTINGS) as running:
        yield running


@contextmanager
def line_to(server: Server, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S, (source, 0)) as line:
        yield line


def rest_of(line: socket.socket) -> bytes:
    """All that comes until the server ends the connection. Fails if it does not in time."""
    answer = b""
    try:
        while more := line.recv(65_536):
            answer += more
    except ConnectionResetError:
        pass
    return answer


def answer_of(line: socket.socket) -> bytes:
    """One answer that says how long it is."""
    answer = b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and length is not None and len(body) >= int(length[1]):
            return answer
        more = line.recv(65_536)
        assert more, answer
        answer += more


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def pour(line: socket.socket, piece: bytes, times: int, pause_s: float = 0.0) -> int:
    """Send a piece over and over until the server ends the connection; how many bytes went."""
    sent = 0
    try:
        for _ in range(times):
            line.sendall(piece)
            sent += len(piece)
            sleep(pause_s)
    except (ConnectionError, TimeoutError):
        pass
    return sent


def memory_of(server: Server) -> int:
    """Resident bytes."""
    told = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", told)
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: chat\r\nX-Long: " + b"x" * 70_000, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: chat\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)), 431),
        (b"GET /healthz HTTP/1.1\r\nHost: chat\r\n" + b"y" * 70_000, 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: chat\r\n\r\n", 414),
        (b"GET /healthz?" + b"a=1&" * 6_000 + b" HTTP/1.1\r\nHost: chat\r\n\r\n", 414),
        (b"BREW\x00 nothing\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: chat\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: chat\r\n\r\n", 400),
    ],
)
def test_a_head_is_bounded(impatient: Server, head: bytes, status: int) -> None:
    with line_to(impatient) as line:
        line.sendall(head)
        answer = rest_of(line)
    assert status_of(answer) == status
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == status


@pytest.mark.parametrize("piece", [b"x" * 16_384, b"X-More: y\r\n" * 1_000, b"\r\n" * 8_192])
def test_headers_without_an_end_are_not_kept(impatient: Server, piece: bytes) -> None:
    before = memory_of(impatient)
    with line_to(impatient) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: chat\r\nX-Endless: ")
        pour(line, piece, 4_000)
    assert memory_of(impatient) - before < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"", None),
        (b"GET /healthz HTTP/1.1\r\nHost", 408),
        (LOGIN % 90 + b"{", 408),
    ],
)
def test_half_a_request_is_given_up(impatient: Server, begun: bytes, status: int | None) -> None:
    with line_to(impatient) as line:
        line.sendall(begun)
        since = monotonic()
        answer = rest_of(line)
        assert monotonic() - since < 3 * HEAD_S + 2
    assert answer == b"" if status is None else status_of(answer) == status


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (b"", b"\r\n"),
        (GET, b"\r\n"),
        (LOGIN % 9_000, b" "),
        (b"POST /v1/files HTTP/1.1\r\nHost: chat\r\nContent-Length: 9000000\r\n\r\n", b" "),
    ],
)
def test_dripping_keeps_no_connection_open(impatient: Server, begun: bytes, drip: bytes) -> None:
    with line_to(impatient) as line:
        line.sendall(begun)
        since = monotonic()
        assert pour(line, drip, 100, pause_s=0.05) < 100 * len(drip)
        assert monotonic() - since < PATIENCE_S


def test_an_idle_connection_is_ended_and_a_busy_one_is_not(impatient: Server) -> None:
    with line_to(impatient) as line:
        for _ in range(8):
            line.sendall(GET)
            assert status_of(answer_of(line)) == 200
            sleep(IDLE_S / 2)
        since = monotonic()
        assert rest_of(line) == b""
        assert monotonic() - since < IDLE_S + 2


def test_a_slow_body_that_keeps_coming_is_read(impatient: Server) -> None:
    body = json.dumps({"username": "nobody", "password": "x" * 200, "ext": {"padding": "y" * 8_000}}).encode()
    with line_to(impatient) as line:
        line.sendall(LOGIN % len(body))
        for start in range(0, len(body), 400):
            line.sendall(body[start : start + 400])
            sleep(0.1)
        assert status_of(line.recv(65_536)) == 401


def test_a_few_requests_may_be_sent_ahead(impatient: Server) -> None:
    with line_to(impatient) as line:
        line.sendall(GET * 10)
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 10:
            more = line.recv(65_536)
            assert more
            answer += more


@pytest.mark.parametrize("path", [b"/healthz", b"/openapi.json"])
def test_a_pipeline_without_an_end_is_not_kept(impatient: Server, path: bytes) -> None:
    before = memory_of(impatient)
    with line_to(impatient) as line:
        pour(line, b"GET %s HTTP/1.1\r\nHost: chat\r\n\r\n" % path * 2_000, 1_000)
    assert memory_of(impatient) - before < 48 * 1024 * 1024
    with urlopen(f"{impatient.url}/healthz", timeout=PATIENCE_S) as answer:
        assert answer.status == 200


def test_who_does_not_read_is_ended(impatient: Server) -> None:
    with line_to(impatient) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        for _ in range(200):
            line.setblocking(False)
            try:
                line.send(b"GET /openapi.json HTTP/1.1\r\nHost: chat\r\n\r\n")
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            sleep(0.05)
        else:
            pytest.fail("still open after 10 s")
    assert ended(impatient)["not_reading"] >= 1


def ended(server: Server) -> dict[str, float]:
    with urlopen(f"{server.url}/metrics", timeout=PATIENCE_S) as answer:
        told = answer.read().decode()
    return {
        reason: float(count)
        for reason, count in re.findall(r'tidings_connections_ended_total\{reason="(\w+)"\} ([\d.e+]+)', told)
    }


def test_one_address_takes_so_many_connections_and_leaves_the_others_theirs(impatient: Server) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(line_to(impatient, "127.0.0.9")) for _ in range(45)]
        lines[-1].sendall(GET)
        assert status_of(rest_of(lines[-1])) == 429
        with line_to(impatient) as other:
            other.sendall(GET)
            assert status_of(answer_of(other)) == 200
    until = monotonic() + PATIENCE_S
    while True:  # they are let in again once the old ones are gone
        with line_to(impatient, "127.0.0.9") as again:
            again.sendall(GET)
            if again.recv(65_536).startswith(b"HTTP/1.1 200"):
                break
        assert monotonic() < until
        sleep(0.05)


def test_sockets_count_until_they_end(impatient: Server) -> None:
    upgrade = (
        b"GET /v1/ws HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n"
    )
    with ExitStack() as stack:
        for _ in range(40):
            line = stack.enter_context(line_to(impatient, "127.0.0.8"))
            line.sendall(upgrade)
            assert status_of(line.recv(65_536)) == 101
        with line_to(impatient, "127.0.0.8") as one_more:
            assert status_of(rest_of(one_more)) == 429
    until = monotonic() + PATIENCE_S
    while b"200" not in _asked(impatient, "127.0.0.8"):
        assert monotonic() < until
        sleep(0.05)


def _asked(server: Server, source: str) -> bytes:
    with line_to(server, source) as line:
        line.sendall(GET)
        return line.recv(65_536)[:16]


def test_an_upgrade_is_not_taken_ahead_of_an_answer(impatient: Server) -> None:
    upgrade = b"GET /v1/ws HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with line_to(impatient) as line:
        line.sendall(GET + upgrade)
        answer = rest_of(line)
    assert b"101" not in answer.partition(b"\r\n")[0]
    assert answer.count(b"HTTP/1.1 101") == 0


def test_as_many_descriptors_as_allowed_are_taken(impatient: Server) -> None:
    soft, hard = resource.prlimit(impatient.pid, resource.RLIMIT_NOFILE)
    assert soft == hard
