"""What the embedded product has for pushes: queues, dead letters and a journal, all in `push.db`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from events.log import NOTIFICATIONS_TOPIC, RETRIES_TOPIC
from infra.push.any_device import HeardOf
from infra.push.role import PushQueues
from infra.sqlite.push_file import PushFile
from infra.sqlite.push_journal import SqliteDeadLetters, SqliteJournal
from infra.sqlite.queues import SqliteHolder, SqliteQueue
from streams.push.backoff import DELAYS_S
from streams.push.notifier import Notifier
from streams.push.records import tag_of


def open_queues(
    path: Path, incarnation: str, partitions: int, now: Callable[[], datetime], stack: AsyncExitStack
) -> tuple[Notifier, PushQueues, HeardOf]:
    """For the log `incarnation` of so many partitions. Raises Unavailable."""
    file = PushFile(path)
    stack.push_async_callback(file.close)
    notes = SqliteQueue(file, NOTIFICATIONS_TOPIC, partitions)
    retries = SqliteQueue(file, RETRIES_TOPIC, len(DELAYS_S))
    tag, any_device = tag_of(incarnation), HeardOf()
    letters = {topic: SqliteDeadLetters(file, topic, now) for topic in (NOTIFICATIONS_TOPIC, RETRIES_TOPIC)}
    journal = SqliteJournal(file)
    holder = SqliteHolder([notes, retries])
    queues = PushQueues(retries, holder, letters, tag, journal=journal.note, forget=journal.forget)
    return Notifier(notes, tag, now, any_device), queues, any_device
