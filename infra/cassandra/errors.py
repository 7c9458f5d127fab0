"""The driver's errors, all of them, as the core knows them: the store is away, or the outcome is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, QueryExhausted
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolError
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage, InternalError, NotSupportedError
from cassandra.segment import CrcException

from commands.errors import Unavailable

DRIVER_ERRORS: tuple[type[Exception], ...] = (
    DriverException,
    NoHostAvailable,
    NoConnectionsAvailable,
    ConnectionException,
    ConnectionBusy,
    ErrorMessage,
    ProtocolError,
    InternalError,
    NotSupportedError,
    CrcException,
    QueryExhausted,
)
_SHOWN = 500


def translate(error: BaseException) -> BaseException:
    """Unavailable for what the driver raises; anything else is a defect and stays what it is."""
    if not isinstance(error, DRIVER_ERRORS):
        return error
    unavailable = Unavailable(f"Cassandra answers: {_words(error)}"[:_SHOWN])
    unavailable.__cause__ = error
    return unavailable


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable in place of the driver's errors."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error) from error


def _words(error: BaseException) -> str:
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        each = "; ".join(f"{host}: {why}" for host, why in error.errors.items())
        return f"no host can be reached ({each or 'none is up'})"
    return str(error) or type(error).__name__
