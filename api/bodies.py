"""What of a page of entries is sealed, and what it says once it was opened, by whoever may open it."""

from __future__ import annotations

from collections.abc import Sequence

from api.render import data_of
from commands.attachments import read_file, sealed_file
from commands.files import FileInfo
from commands.sealing import Sealed
from events.types import EventData, MessageSent
from projections.ports import Entry

Opened = tuple[EventData, str | None, FileInfo | None]
"""An entry's data, and a message's text and file: None where it has none, or was erased."""


def sealed(entries: Sequence[Entry]) -> list[Sealed]:
    """Texts and descriptions of files, as `Sealer.opened` takes them."""
    found: list[Sealed] = []
    for entry in entries:
        data = data_of(entry)
        if isinstance(data, MessageSent):
            found.append((entry.chat_id, data.message_id, entry.actor_id, data.body))
            file = sealed_file(entry.chat_id, entry.actor_id, data)
            if file is not None:
                found.append(file)
    return found


def opened(entries: Sequence[Entry], texts: Sequence[str | None]) -> list[Opened]:
    """`texts`: of `sealed(entries)`, in its order. Raises Corrupt."""
    each = iter(texts)
    found: list[Opened] = []
    for entry in entries:
        data = data_of(entry)
        if isinstance(data, MessageSent):
            text = next(each)
            found.append((data, text, None if data.file is None else read_file(next(each))))
        else:
            found.append((data, None, None))
    return found


def masked(entries: Sequence[Entry]) -> list[Opened]:
    """What stands in for bodies that nobody asked to open. Of files nothing is told: a name is as sealed as a text."""
    found: list[Opened] = []
    for entry in entries:
        data = data_of(entry)
        text = f"(sealed, {len(data.body)} bytes)" if isinstance(data, MessageSent) else None
        found.append((data, text, None))
    return found
