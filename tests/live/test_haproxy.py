"""Who HAProxy sends where. The gateways behind it are small stand-ins that tell their names."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
import pytest

from infra.cluster.haproxy import BALANCE_FACTOR, SOURCE
from infra.cluster.services import Haproxy
from tests.live.conftest import MakeServer

pytestmark = pytest.mark.needs("haproxy")
USERS = [f"user-{number}" for number in range(20)]


class Gateway(ThreadingHTTPServer):
    """Answers everything with its name and what it was told of the caller; /held only when it is let go."""

    request_queue_size = 128

    def __init__(self, name: str) -> None:
        outer = self
        self.name, self.ready = name, True
        self.let_go = Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/held"):
                    self.send_response(200)
                    self.send_header("Name", name)
                    self.end_headers()
                    self.wfile.flush()
                    outer.let_go.wait()
                    self.wfile.write(name.encode())
                    return
                told = {"name": name, "for": self.headers.get_all("X-Forwarded-For")}
                answer = json.dumps(told).encode()
                self.send_response(200 if outer.ready or self.path != "/readyz" else 503)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Tests need no access log."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Health checks go before they have read all. Anything else would show in what a test asks."""

    def end(self) -> None:
        self.let_go.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Pair:
    """Two stand-ins, and HAProxy before them."""

    def __init__(self, folder: Path, max_per_gateway: int = 100) -> None:
        self.gateways = {name: Gateway(name) for name in ("one", "two")}
        addresses = {name: f"127.0.0.1:{each.server_address[1]}" for name, each in self.gateways.items()}
        self.proxy = Haproxy(folder, addresses, max_per_gateway=max_per_gateway)

    def ask(self, path: str, **headers: str) -> dict[str, Any]:
        with urlopen(Request(f"{self.proxy.url}{path}", headers=headers), timeout=10) as answer:
            read: dict[str, Any] = json.loads(answer.read())
            return read

    def whereabouts(self) -> dict[str, str]:
        """User → gateway."""
        return {user: self.ask(f"/v1/ws?u={user}")["name"] for user in USERS}

    @contextmanager
    def held(self, user: str) -> Iterator[str]:
        """A connection that stays while the block runs; gives where it is."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.proxy.ports["http"], timeout=10)) as line:
            line.request("GET", f"/held?u={user}")
            with closing(line.getresponse()) as answer:
                yield answer.headers["Name"]

    def end(self) -> None:
        self.proxy.kill()
        for gateway in self.gateways.values():
            gateway.end()


@pytest.fixture
def pair(service_folder: Path, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(service_folder / tmp_path.name)
    made.proxy.start()
    yield made
    made.end()


def test_a_user_stays_on_a_gateway_until_it_is_drained(pair: Pair) -> None:
    first = pair.whereabouts()
    assert set(first.values()) == {"one", "two"}
    assert pair.whereabouts() == first
    pair.proxy.set_state("one", "drain")
    assert set(pair.whereabouts().values()) == {"two"}
    pair.proxy.set_state("one", "ready")
    assert pair.whereabouts() == first
    with pytest.raises(KeyError):
        pair.proxy.set_state("three", "drain")


def test_calls_go_where_the_users_sockets_are(pair: Pair) -> None:
    sockets = pair.whereabouts()
    for user in USERS:
        token = jwt.encode({"sub": user, "exp": 1}, "x" * 32, "HS256")
        assert pair.ask("/v1/chats", Authorization=f"Bearer {token}")["name"] == sockets[user]


@pytest.mark.parametrize("header", ["Bearer not-a-token", "Bearer a.b.c", "Basic dXNlcjp4", "Bearer"])
def test_who_says_nothing_that_can_be_read_is_served_too(pair: Pair, header: str) -> None:
    assert pair.ask("/v1/chats", Authorization=header)["name"] == pair.ask("/v1/info")["name"]


def test_nobody_speaks_for_another_address(pair: Pair) -> None:
    told = pair.ask("/v1/info", **{"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https"})
    assert told["for"] == ["127.0.0.1"]


def test_limits_count_the_address_that_haproxy_saw_whatever_a_client_says(
    make_server: MakeServer, service_folder: Path, tmp_path: Path
) -> None:
    limits = {"TIDINGS_LOGINS_PER_MINUTE": "3", "TIDINGS_FORWARDED_ALLOW_IPS": SOURCE}
    gateway = make_server(limits).start()
    proxy = Haproxy(service_folder / tmp_path.name, {"one": f"127.0.0.1:{gateway.port}"})
    proxy.start()

    def statuses(port: int, source: str = "127.0.0.1") -> list[int]:
        found = []
        for number in range(4):
            said = {"X-Forwarded-For": f"10.1.2.{number}", "Content-Type": "application/json"}
            body = json.dumps({"username": "nobody", "password": "wrong wrong"})
            with closing(http.client.HTTPConnection("127.0.0.1", port, 10, (source, 0))) as line:
                line.request("POST", "/v1/auth/login", body, said)
                found.append(line.getresponse().status)
        return found

    try:
        assert statuses(proxy.ports["http"]) == [401, 401, 401, 429]
        if SOURCE != "127.0.0.1":
            assert statuses(proxy.ports["http"], "127.0.0.7") == [401, 401, 401, 429]
            # Nor does who comes past HAProxy choose an address.
            assert statuses(gateway.port) == [429, 429, 429, 429]
    finally:
        proxy.kill()


def test_one_address_takes_so_many_connections_of_haproxy(service_folder: Path, tmp_path: Path) -> None:
    gateway = Gateway("one")
    address = f"127.0.0.1:{gateway.server_address[1]}"
    proxy = Haproxy(service_folder / tmp_path.name, {"one": address}, max_per_address=3)
    proxy.start()

    def is_served(stack: ExitStack, source: str) -> bool:
        """Whether a connection that then stays open is taken."""
        try:
            line = socket.create_connection(("127.0.0.1", proxy.ports["http"]), 10, (source, 0))
            stack.enter_context(line).sendall(b"GET /v1/info HTTP/1.1\r\nHost: chat\r\n\r\n")
            return b" 200 " in line.recv(1_000).partition(b"\r\n")[0]
        except ConnectionError:
            return False

    try:
        with ExitStack() as stack:
            assert [is_served(stack, "127.0.0.1") for _ in range(4)] == [True, True, True, False]
            if SOURCE != "127.0.0.1":
                assert is_served(stack, "127.0.0.3")
    finally:
        proxy.kill()
        gateway.end()


def test_half_a_request_does_not_stay_at_haproxy(pair: Pair) -> None:
    assert "timeout http-request 10s" in pair.proxy.configuration()
    with socket.create_connection(("127.0.0.1", pair.proxy.ports["http"]), 15) as line:
        line.sendall(b"GET /v1/info HTTP/1.1\r\nHost: ch")
        assert line.recv(1_000).startswith(b"HTTP/1.1 408")


def test_no_gateway_gets_much_more_than_its_share(pair: Pair) -> None:
    with ExitStack() as stack:
        load = Counter(stack.enter_context(pair.held("ana")) for _ in range(40))
        for gateway in pair.gateways.values():
            gateway.let_go.set()
    assert load.total() == 40
    assert max(load.values()) <= 20 * BALANCE_FACTOR / 100 + 1, load


def test_more_than_all_may_hold_wait_for_a_place(service_folder: Path, tmp_path: Path) -> None:
    pair = Pair(service_folder / tmp_path.name, max_per_gateway=1)
    pair.proxy.start()
    try:
        users = {gateway: user for user, gateway in pair.whereabouts().items()}
        with pair.held(users["one"]) as one, pair.held(users["two"]) as other:
            assert (one, other) == ("one", "two")
            waited: list[str] = []
            third = Thread(target=lambda: waited.append(pair.ask("/v1/ws?u=ana")["name"]))
            third.start()
            while not pair.proxy.waiting():
                assert third.is_alive(), f"it did not wait: {waited}"
            for gateway in pair.gateways.values():
                gateway.let_go.set()
            third.join()
        assert len(waited) == 1
    finally:
        pair.end()


def test_a_gateway_that_is_gone_is_passed_over_at_once(pair: Pair) -> None:
    before = pair.whereabouts()
    pair.gateways["one"].end()
    assert set(pair.whereabouts().values()) == {"two"}
    assert "one" in before.values()


def test_a_gateway_that_is_not_ready_gets_nobody_new_soon(pair: Pair) -> None:
    assert "one" in pair.whereabouts().values()
    pair.gateways["one"].ready = False
    while "one" in pair.whereabouts().values():
        pass
    pair.gateways["one"].ready = True
    while "one" not in pair.whereabouts().values():
        pass


def test_where_none_is_ready_they_are_asked_all_the_same(pair: Pair) -> None:
    first = pair.whereabouts()
    for gateway in pair.gateways.values():
        gateway.ready = False
    while any(pair.proxy.up().values()):
        pass
    assert set(pair.whereabouts().values()) == {"one", "two"}
    for gateway in pair.gateways.values():
        gateway.ready = True
    while not all(pair.proxy.up().values()):
        pass
    assert pair.whereabouts() == first


def test_without_any_gateway_the_answer_is_503(pair: Pair) -> None:
    for gateway in pair.gateways.values():
        gateway.end()
    with pytest.raises(HTTPError, match="503") as refused:
        pair.ask("/v1/info")
    refused.value.close()
