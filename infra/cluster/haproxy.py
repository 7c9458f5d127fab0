"""HAProxy before the gateways: a user stays on one gateway, none gets too many, and one can be drained."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from infra.cluster.files import write_whole
from infra.cluster.programs import find_haproxy
from infra.cluster.service import Service

BALANCE_FACTOR = 125
"""A gateway takes at most this many percent of the average before others take its users."""


class Haproxy(Service):
    def __init__(
        self,
        folder: Path,
        gateways: Mapping[str, str],
        *,
        name: str = "haproxy",
        port: int | None = None,
        admin_port: int | None = None,
        max_per_gateway: int = 5_000,
    ) -> None:
        """`gateways`: name → `host:port`. `max_per_gateway` is in connections; more wait in a queue."""
        super().__init__(name, folder, {"http": port, "admin": admin_port})
        self._gateways = dict(gateways)
        self._max_per_gateway = max_per_gateway
        self._file = self.folder / "haproxy.cfg"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.ports['http']}"

    def prepare(self) -> None:
        write_whole(self._file, self.configuration())

    def is_current(self) -> bool:
        """Whether it was started with the configuration that it should have."""
        return self._file.exists() and self._file.read_text() == self.configuration()

    def command(self) -> list[str]:
        return [find_haproxy(), "-db", "-f", str(self._file)]

    def is_ready(self) -> bool:
        return self.pid is not None and self._ask("show info").startswith("Name: HAProxy")

    def set_state(self, gateway: str, state: Literal["ready", "drain", "maint"]) -> None:
        """`drain`: no new connections, the old ones go on. Raises OSError if HAProxy is away."""
        answer = self._tell(f"set server gateways/{gateway} state {state}")
        if answer.strip():
            raise KeyError(answer.strip())

    def configuration(self) -> str:
        servers = "".join(f"    server {name} {address}\n" for name, address in self._gateways.items())
        return f"""\
global
    stats socket ipv4@{self.host}:{self.ports["admin"]} level admin

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 5s
    timeout check 2s
    # A socket is pinged every 25 s, so one that is silent this long is dead.
    timeout tunnel 90s
    option redispatch 1
    retries 3

frontend public
    bind {self.host}:{self.ports["http"]}
    # Who comes: sockets say so in the query, calls in their token, and who says nothing is known by address. None of it
    # is verified here, nor trusted for more than the choice of a gateway.
    http-request set-var(txn.user) url_param(u)
    http-request set-var(txn.user) http_auth_bearer,jwt_payload_query('$.sub') if !{{ var(txn.user) -m found }}
    http-request set-var(txn.user) src if !{{ var(txn.user) -m found }}
    # Gateways believe these two, so what a client says of them is not passed on.
    http-request del-header X-Forwarded-For
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    option forwardfor
    default_backend gateways

backend gateways
    balance hash var(txn.user)
    hash-type consistent sdbm avalanche
    hash-balance-factor {BALANCE_FACTOR}
    option httpchk GET /readyz
    http-check expect status 200
    # A gateway that says it is not ready is asked again at once, and left by newcomers if it means it.
    default-server check inter 500ms fastinter 100ms fall 2 rise 1 maxconn {self._max_per_gateway}
{servers}"""

    def _ask(self, command: str) -> str:
        try:
            return self._tell(command)
        except OSError:
            return ""

    def _tell(self, command: str) -> str:
        with socket.create_connection((self.host, self.ports["admin"]), timeout=1) as line:
            line.sendall(command.encode() + b"\n")
            line.shutdown(socket.SHUT_WR)
            answer = b""
            while more := line.recv(65_536):
                answer += more
        return answer.decode()
