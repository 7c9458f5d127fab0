"""Settings from the environment: every field below is `TIDINGS_` and its name in capitals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from commands.errors import FieldError, Invalid
from infra.front.proxies import parse_proxies
from infra.masking import masked
from infra.redis.address import parse as parse_address
from infra.secrets import parse_secret

PREFIX = "TIDINGS_"
Rate = Annotated[int, Field(ge=1, le=10_000_000)]


class BadSettings(Invalid):
    """A setting has a value that cannot be. The detail names each variable and what it should be."""


class Settings(BaseSettings):
    """Read once at start. Unknown variables are ignored: other tools use the prefix too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )

    data: Path = Path("data")
    """Folder of everything that is kept. A relative one is meant from where this process was started."""
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65_535)
    """0: any free port."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    """Of the process's own log on stderr."""
    tracing: float | None = Field(default=None, ge=0, le=1)
    """Share of commands that are traced; 0: none. Without it none, or 0.01 where OTEL_EXPORTER_OTLP_ENDPOINT is set."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas, whose pages may call besides our own; `*` for all."""
    forwarded_allow_ips: str = ""
    """Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses and networks, separated by commas, or
    `*`. Unset, nobody is believed, for else whoever reaches the port could choose an address."""
    connections_per_address: int = Field(default=4_096, ge=1, le=1_000_000)
    """HTTP and sockets together; of an IPv6 address, those of its /64. Proxies of ours have no limit."""
    http_head_s: float = Field(default=10.0, gt=0, le=600)
    """In which the headers of a request must be here."""
    http_stall_s: float = Field(default=20.0, gt=0, le=600)
    """By which a request's body may fall behind 1 KiB/s, and for which an answer may lie unread."""
    http_idle_s: float = Field(default=5.0, gt=0, le=3_600)
    """How long a connection is kept between two requests."""

    master_key: SecretStr | None = None
    """32 bytes in base64 or hex; without it `master.key` in the data folder."""
    jwt_secret: SecretStr | None = None
    """The same for signing tokens; without it `jwt.secret` in the data folder."""
    accounts_url: str | None = None
    """As SQLAlchemy writes it, of SQLite or PostgreSQL; without it `accounts.db` in the data folder."""
    accounts_replica_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Streaming replicas of a PostgreSQL, separated by commas: names are read and searched there."""

    node: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """This process's name in a cluster, such as `gateway-1`. A worker that comes back under its name gets the same
    partitions again, so no two that run may share one."""
    kafka: Annotated[tuple[str, ...], NoDecode] = ()
    """Brokers, `host:port`, separated by commas. With them everything below counts, and no data folder does."""
    partitions: int = Field(default=12, ge=1, le=10_000)
    """For topics not made yet. Those that exist keep what they have."""
    replication: int | None = Field(default=None, ge=1, le=9)
    """Copies of what is made new: topics, keyspaces. Without it three, or as many as there are nodes."""
    cassandra: Annotated[tuple[str, ...], NoDecode] = ()
    """Nodes, `host:port`, separated by commas; all on one port."""
    cassandra_dc: str | None = None
    """The data centre whose nodes are asked. To be named where there are several, and the same by every process."""
    cassandra_keyspace: str = Field(default="tidings", pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """Keyspaces of this installation begin with it."""
    redis: str | None = None
    """`redis://[[user]:password@]host:port/0`, `rediss://…` or `unix:///path`."""
    drain_s: float = Field(default=0.0, ge=0.0, le=600.0)
    """How long a server that was told to end still answers HTTP, with /readyz saying no, so that a load balancer
    notices before connections are refused."""

    files: str | None = None
    """Where files are kept: a folder, or `s3://bucket/prefix`. Without it `files` in the data folder; in a cluster,
    whose gateways must all reach the same place, none are taken."""
    files_days: int = Field(default=30, ge=1, le=3650)
    """How long a file is kept."""
    files_quota_mb: int = Field(default=5_120, ge=1, le=10_000_000)
    """What the files of one user may come to."""
    files_direct: bool = False
    """Clients fetch from the bucket itself, by signed links: it must be reachable for them."""
    cdn_url: str | None = None
    """Base of links to files: a CDN that fetches from here."""
    s3_endpoint: str | None = None
    """Of a store other than AWS: http://127.0.0.1:8333."""
    uploads_per_minute: Rate = 60
    """For each user."""

    push: Literal["on", "off"] | None = None
    """Whether people who are away hear of messages. Unset: on, in a worker only if it can reach the accounts."""
    push_fcm_account: Path | None = None
    """Key file of a Google service account, for devices of Android and the web."""
    push_fcm_url: str | None = None
    """Instead of Google's."""
    push_apns_key: Path | None = None
    """Key file from Apple, `AuthKey_….p8`, for iPhones; the next three go with it."""
    push_apns_key_id: str | None = None
    push_apns_team_id: str | None = None
    push_apns_topic: str | None = None
    """The app's bundle id."""
    push_apns_url: str | None = None
    """Instead of Apple's two services."""
    push_apns_ca: Path | None = None
    """Certificates to believe instead of the system's, in PEM."""

    argon2_time_cost: int = Field(default=2, ge=1, le=100)
    argon2_memory_kib: int = Field(default=19_456, ge=8, le=4_194_304)
    argon2_at_once: int = Field(default=2, ge=1, le=64)

    logins_per_minute: Rate = 10
    """For each name and address together."""
    failed_logins_per_minute: Rate = 60
    """For each address, whatever the names."""
    failed_logins_per_hour: Rate = 100
    """For each account, from wherever; on each gateway."""
    registrations_per_minute: Rate = 100
    """For each address."""
    sends_per_second: Rate = 100
    """For each user."""
    sends_burst: Rate = 1000
    marks_per_second: Rate = 200
    """Delivered and read marks of one user, over HTTP and sockets; ten times as many at once."""
    commands_per_second: Rate = 10
    """Everything else that one user changes: chats, members, roles, joining, muting, devices, the own account."""
    commands_burst: Rate = 100
    queries_per_second: Rate = 20
    """Presence and searches of one user; ten times as many at once."""
    chats_per_hour: Rate = 100
    """New chats, by who makes them."""
    approaches_per_hour: Rate = 200
    """How often others may put one user into a chat; any one of them a quarter of it."""

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()  # processes that this one starts have folders of their own

    @field_validator("files")
    @classmethod
    def _absolute_folder(cls, value: str | None) -> str | None:
        return value if value is None or "://" in value else str(Path(value).absolute())

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("accounts_replica_urls", "kafka", "cassandra", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("kafka", "cassandra")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            host_port(host)
        return value

    @field_validator("cassandra")
    @classmethod
    def _one_port(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({host_port(host)[1] for host in value}) > 1:
            raise ValueError("all nodes listen on the same port")
        return value

    @field_validator("redis")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_address(value)
            except Invalid as error:
                raise ValueError(error.detail) from None
        return value

    @field_validator("accounts_url", "accounts_replica_urls")
    @classmethod
    def _sql(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for url in (value,) if isinstance(value, str) else value or ():
            # The value is not repeated: there is a password in it.
            if not re.match(r"(sqlite|postgresql)(\+\w+)?://", url):
                raise ValueError("not a URL such as postgresql://user:password@host/database or sqlite:////path")
            try:
                _ = urlsplit(url).port
            except ValueError:
                raise ValueError("its port is no number") from None
        return value

    @field_validator("files")
    @classmethod
    def _bucket(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            parts = urlsplit(value)
            if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
                raise ValueError("a folder, or s3://bucket/prefix; credentials come from AWS_* variables or a profile")
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _proxies(cls, value: str) -> str:
        parse_proxies(value)
        return value

    @field_validator("cdn_url", "s3_endpoint")
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://none")
        if "@" in parts.netloc:
            raise ValueError("no name and password in it: others get to see it")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"{value!r} is not the base of URLs, such as https://files.example")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        origins = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
        if isinstance(origins, tuple):
            for origin in origins:
                parts = urlsplit(origin)
                bare = parts.scheme in ("http", "https") and parts.netloc and not (parts.path or parts.query)
                if origin != "*" and not bare:
                    raise ValueError(f"{origin!r} is not an origin such as https://chat.example")
        return origins

    @field_validator("master_key", "jwt_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parse_secret(value.get_secret_value())
            except ValueError as error:
                raise ValueError(f"32 bytes or more in base64 or hex, but it is {error}") from None
        return value

    @property
    def master_secret(self) -> bytes | None:
        return None if self.master_key is None else parse_secret(self.master_key.get_secret_value())

    @property
    def token_secret(self) -> bytes | None:
        return None if self.jwt_secret is None else parse_secret(self.jwt_secret.get_secret_value())


def host_port(text: str) -> tuple[str, int]:
    """`host:port`, also with an IPv6 address in brackets. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.netloc != text or "@" in text:
        raise ValueError(f"{text!r} is not host:port")
    return host, port


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the environment; what the command line gives wins. Raises BadSettings."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        errors = tuple(
            FieldError(PREFIX + ".".join(map(str, problem["loc"])).upper(), masked(_sentence(problem["msg"])))
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise BadSettings("; ".join(f"{each.field}: {each.message}" for each in errors), errors=errors) from None


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")
