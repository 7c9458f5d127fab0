"""What all of librdkafka's clients here share: settings, logging, and the translation of errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import OFFSET_INVALID, KafkaException
from confluent_kafka.admin import ListOffsetsResultInfo

from commands.errors import Unavailable

logger = logging.getLogger(__name__)

ANSWER_S = 5.0
"""How long a broker may take to answer before it counts as away."""
_CRITICAL = 2
"""Of syslog's levels."""

T = TypeVar("T")
Settings = Mapping[str, str | int | float | bool]


def settings(bootstrap: str, **more: str | int | float | bool) -> dict[str, Any]:
    """librdkafka's settings; in `more`, underscores stand for dots. `bootstrap`: `host:port`, by commas."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "tidings",
        # A broker that comes back should be noticed at once: the default waits up to 10 s.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "socket.nagle.disable": True,
        # Else each attempt to reconnect writes a line. Whoever calls is told in any case.
        "log_level": _CRITICAL,
        "logger": logger,
        **{name.replace("_", "."): value for name, value in more.items()},
    }


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into Unavailable: Kafka is away or the outcome unknown."""
    try:
        yield
    except KafkaException as error:
        raise Unavailable(f"Kafka answers: {error.args[0]}") from error


async def answer(future: Future[T]) -> T:
    """What an admin call gives. Raises Unavailable."""
    with translated():
        return await asyncio.wrap_future(future)


def offset_of(told: ListOffsetsResultInfo) -> int:
    """Of an answer to `list_offsets`; -1 where no record is as late as was asked.

    Raises Unavailable: in the midst of an election a broker may answer, without an error, that there is none (-1001).
    """
    if told.offset == OFFSET_INVALID:
        raise Unavailable("Kafka does not know its offsets: a partition changes its leader")
    return int(told.offset)
