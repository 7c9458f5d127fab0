"""`tidings events tail` and `cat`: the log line by line, read beside whoever writes it."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TextIO

from events.ids import unix_ms
from events.log import Record
from events.partitioner import partition_of
from infra.cli.lines import HEADER, Filter, Open, Shown, as_json, as_table, shown
from streams.log_reader import LogReader, in_order_of_time
from streams.places import instant_ms, offsets_of

POLL_MS = 100
WRITE_AT_ONCE = 200
FORMATS: dict[str, Callable[[Shown], str]] = {"json": as_json, "table": as_table}


@dataclass(frozen=True, slots=True)
class Span:
    """From which places on, and up to which, as people named them. `until` None: for ever, or the log's end."""

    begin: str
    until: str | None
    chat: str | None = None


class Bounds:
    """A span in one log, and how far it has been read."""

    def __init__(self, reader: LogReader, span: Span, now: Callable[[], datetime]) -> None:
        """Raises BadPlace, Unavailable."""
        self._reader = reader
        self._now = now
        started = now()
        ends = reader.ends()
        self.offsets = offsets_of(span.begin, reader, ends, started)
        self._until_ms: int | None = None
        """A time that may lie ahead."""
        self._last: dict[int, int] | None = None
        if span.until is not None:
            self._until_ms = instant_ms(span.until, started)
            self._last = offsets_of(span.until, reader, ends, started)
        home = None if span.chat is None else partition_of(span.chat, reader.partitions)
        for partition in list(self.offsets):
            if home not in (None, partition) or (self._last is not None and partition not in self._last):
                del self.offsets[partition]
        self.ends = self._cut(ends)
        """Partition → up to where there is something to read, as of now or the last look."""

    def look(self) -> None:
        """See whether there is more by now. Raises Unavailable."""
        if self._until_ms is not None:
            is_past = unix_ms(self._now()) > self._until_ms
            self._last = self._reader.offsets_at(self._until_ms)
            self._until_ms = None if is_past else self._until_ms
        self.ends = self._cut(self._reader.ends())

    def _cut(self, ends: dict[int, int]) -> dict[int, int]:
        last = self._last or ends
        return {
            partition: max(offset, min(ends[partition], last[partition])) for partition, offset in self.offsets.items()
        }

    @property
    def is_over(self) -> bool:
        """Whether nothing of the span can come any more."""
        if self._last is None or self._until_ms is not None:
            return False
        return all(offset >= self._last[partition] for partition, offset in self.offsets.items())


def tail(
    reader: LogReader,
    bounds: Bounds,
    wanted: Filter,
    out: TextIO,
    *,
    follow: bool,
    limit: int = 0,
    style: str = "json",
    opened: Open | None = None,
) -> None:
    """Write lines until the span or the log ends; `limit` 0: any number. Ends quietly when nobody reads `out`.

    Without `follow` the log's end is where it was when `bounds` were made.
    """
    written = 0
    try:
        if style == "table":
            out.write(f"{HEADER}\n")
        while True:
            for batch in _batches(in_order_of_time(reader, bounds.offsets, bounds.ends, wanted.chat)):
                found = shown(batch, wanted, opened)
                if limit:
                    found = found[: limit - written]
                out.writelines(FORMATS[style](one) + "\n" for one in found)
                written += len(found)
                if limit and written >= limit:
                    out.flush()
                    return
            out.flush()
            bounds.offsets = bounds.ends
            if not follow or bounds.is_over or is_hung_up(out, POLL_MS):
                return
            bounds.look()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    each = iter(records)
    while batch := list(islice(each, WRITE_AT_ONCE)):
        yield batch


def is_hung_up(out: TextIO, wait_ms: int) -> bool:
    """Wait, and say whether meanwhile the reading end of `out` was closed: `tail | head -1` has to end."""
    poll = select.poll()
    poll.register(out, 0)
    return any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll(wait_ms))
