"""What a process of a cluster cannot do without, from the settings; all that is missing is told at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from commands.errors import FieldError
from infra.settings import PREFIX, BadSettings, Settings

log = logging.getLogger(__name__)

_WANTED = {
    "kafka": "the brokers, host:port,…",
    "cassandra": "the nodes, host:port,…",
    "redis": "redis://host:port/0",
    "node": "this worker's name, such as worker-1, which no other one has",
    "accounts_url": "postgresql://user:password@host/database",
    "master_key": "32 bytes in base64 or hex, the same for every process: it opens what was written",
    "jwt_secret": "32 bytes in base64 or hex, the same for every gateway: it signs tokens",
}


@dataclass(frozen=True, slots=True, repr=False)
class ForGateway:
    redis: str
    accounts_url: str
    master: bytes
    jwt: bytes


@dataclass(frozen=True, slots=True)
class ForWorker:
    redis: str
    member: str


@dataclass(frozen=True, slots=True, repr=False)
class ForPush:
    accounts_url: str
    master: bytes


def for_gateway(settings: Settings) -> ForGateway:
    """Raises BadSettings. No secret is ever made up here: each gateway would have another one."""
    missing = _missing(settings, "kafka", "cassandra", "redis", "accounts_url", "master_key", "jwt_secret")
    url = settings.accounts_url
    if url is not None and not url.startswith("postgresql"):
        missing.append(FieldError(f"{PREFIX}ACCOUNTS_URL", "accounts of a cluster are kept in PostgreSQL"))
    redis, master, jwt = settings.redis, settings.master_secret, settings.token_secret
    if missing or redis is None or url is None or master is None or jwt is None:
        raise _refused(missing)
    return ForGateway(redis, url, master, jwt)


def for_worker(settings: Settings) -> ForWorker:
    """Raises BadSettings."""
    missing = _missing(settings, "kafka", "cassandra", "redis", "node")
    if missing or settings.redis is None or settings.node is None:
        raise _refused(missing)
    return ForWorker(settings.redis, settings.node)


def for_push(settings: Settings) -> ForPush | None:
    """None where this worker is not to push, or by default lacks what it takes. Raises BadSettings."""
    if settings.push == "off":
        return None
    missing = _missing(settings, "accounts_url", "master_key")
    url, master = settings.accounts_url, settings.master_secret
    if not missing and url is not None and master is not None:
        return ForPush(url, master)
    if settings.push == "on":
        raise _refused(missing)
    log.info("no pushes from here: %s", "; ".join(f"{each.field}: {each.message}" for each in missing))
    return None


def _missing(settings: Settings, *names: str) -> list[FieldError]:
    return [
        FieldError(PREFIX + name.upper(), f"not set: {_WANTED[name]}") for name in names if not getattr(settings, name)
    ]


def _refused(missing: list[FieldError]) -> BadSettings:
    return BadSettings("; ".join(f"{each.field}: {each.message}" for each in missing), errors=tuple(missing))
