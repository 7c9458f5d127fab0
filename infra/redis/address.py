"""Where a Redis server is, from a URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from commands.errors import Invalid


@dataclass(frozen=True, slots=True)
class Address:
    """`path` names a Unix socket; without it host and port count."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @property
    def name(self) -> str:
        """For logs: without the password."""
        return self.path or f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """`redis://[[user]:password@]host[:port][/database]`, the same with `rediss` for TLS, or
    `unix://[[user]:password@]/path[?db=database]`. Raises Invalid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        database = parse_qs(parts.query).get("db", ["0"])[0] if parts.scheme == "unix" else parts.path.strip("/") or "0"
        number = int(database)
    except ValueError as error:
        raise Invalid(f"not the URL of a Redis server: {error}") from error
    if parts.scheme not in ("redis", "rediss", "unix") or number < 0:
        raise Invalid("the URL of a Redis server reads redis://host:port/0, rediss://… or unix:///path")
    return Address(
        host=host or "127.0.0.1",
        port=port or 6379,
        path=parts.path if parts.scheme == "unix" else None,
        database=number,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
    )
