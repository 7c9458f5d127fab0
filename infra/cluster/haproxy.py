"""HAProxy before the gateways: a user stays on one gateway, none gets too many, and one can be drained."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from infra.cluster.files import write_whole
from infra.cluster.programs import find_haproxy
from infra.cluster.service import Service

BALANCE_FACTOR = 125
"""A gateway takes at most this many percent of the average before others take its users."""

MAX_PER_GATEWAY = 5_000
"""Connections."""

MAX_PER_ADDRESS = 4_096
"""Connections from one address; of IPv6 from one /64."""

SOURCE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Where the local cluster's HAProxy comes from, so that gateways need not believe all of this machine. Other systems
than Linux have but one loopback address."""


class Haproxy(Service):
    def __init__(
        self,
        folder: Path,
        gateways: Mapping[str, str],
        *,
        name: str = "haproxy",
        port: int | None = None,
        admin_port: int | None = None,
        max_per_gateway: int = MAX_PER_GATEWAY,
        max_per_address: int = MAX_PER_ADDRESS,
    ) -> None:
        """`gateways`: name → `host:port`. `max_per_gateway` is in connections; more wait in a queue. More
        than `max_per_address` of one address are closed at once.
        """
        super().__init__(name, folder, {"http": port, "admin": admin_port})
        self._gateways = dict(gateways)
        self._max_per_gateway = max_per_gateway
        self._max_per_address = max_per_address
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

    def waiting(self) -> int:
        """Connections that wait for a place at a gateway. Raises OSError if HAProxy is away."""
        return sum(int(told["qcur"] or 0) for told in self._told().values())

    def connections(self) -> dict[str, int]:
        """Gateway → connections to it, calls and sockets. Raises OSError if HAProxy is away."""
        told = self._told()
        return {name: sum(int(told[each]["scur"]) for each in (name, f"{name}-anyway")) for name in self._gateways}

    def up(self) -> dict[str, bool]:
        """Gateway → whether HAProxy takes it for ready. Raises OSError if HAProxy is away."""
        told = self._told()
        return {name: told[name]["status"].startswith("UP") for name in self._gateways}

    def _told(self) -> dict[str, dict[str, str]]:
        """HAProxy's statistics by the names of its servers, as it says them."""
        head, *rows = self._tell("show stat gateways 7 -1").removeprefix("# ").strip().splitlines()
        named = (dict(zip(head.split(","), row.split(","), strict=True)) for row in rows)
        return {each["svname"]: each for each in named}

    def configuration(self) -> str:
        return configuration(
            self._gateways,
            listen=f"{self.host}:{self.ports['http']}",
            admin=f"{self.host}:{self.ports['admin']}",
            max_per_gateway=self._max_per_gateway,
            max_per_address=self._max_per_address,
            source=SOURCE,
        )

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


def configuration(
    gateways: Mapping[str, str],
    *,
    listen: str,
    admin: str,
    max_per_gateway: int = MAX_PER_GATEWAY,
    max_per_address: int = MAX_PER_ADDRESS,
    name_server: str | None = None,
    source: str | None = None,
) -> str:
    """HAProxy's own. `gateways` and `max_per_gateway` as in `Haproxy`; `listen` and `admin`: address and port.

    `name_server`, `host:port`, is asked for gateways' addresses again and again, where those may change. `source`: the
    address from which gateways are called.
    """
    servers = "".join(f"    server {name} {address}\n" for name, address in gateways.items())
    anyway = "".join(f"    server {name}-anyway {address} backup no-check\n" for name, address in gateways.items())
    resolvers = f"\nresolvers names\n    nameserver one {name_server}\n" if name_server else ""
    resolved = " resolvers names init-addr libc,none" if name_server else ""
    called = f"\n    source {source}" if source else ""
    return f"""\
global
    stats socket ipv4@{admin} level admin
{resolvers}
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout client-fin 10s
    # All headers of a request must be here in time, and nobody stays without asking for anything.
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout server 60s
    timeout queue 5s
    timeout check 2s
    # A socket is pinged every 25 s, so one that is silent this long is dead.
    timeout tunnel 90s
    option redispatch 1
    retries 3

frontend public
    bind {listen}
    # Of one address, so many connections. Where another proxy stands in front, this counts that one: raise it there.
    stick-table type ipv6 size 200k expire 60s store conn_cur
    tcp-request connection track-sc0 src,ipmask(32,64)
    tcp-request connection reject if {{ sc0_conn_cur gt {max_per_address} }}
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
    balance hash var(txn.user){called}
    hash-type consistent sdbm avalanche
    hash-balance-factor {BALANCE_FACTOR}
    option httpchk GET /readyz
    http-check expect status 200
    # A gateway that says it is not ready is asked again at once, and left by newcomers if it means it.
    default-server check inter 500ms fastinter 100ms fall 2 rise 1 maxconn {max_per_gateway}{resolved}
{servers}    # Without the log none says that it is ready, yet all let people read: so where none is, all are asked.
    option allbackups
{anyway}"""
