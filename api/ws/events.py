"""From an entry to the bytes of its `event` frame, opened and encoded once for all sockets."""

from __future__ import annotations

import logging

from api.render import data_shape, rfc3339
from api.shapes import EventShape
from api.ws.counters import Counters
from api.ws.frames import EventFrame, encode
from commands.attachments import read_file, sealed_file
from commands.errors import Corrupt, Unavailable
from commands.files import FileInfo
from commands.sealing import Sealed, Sealer
from events.types import EventData, MessageSent
from projections.ports import Entry

log = logging.getLogger(__name__)


def event_frame(entry: Entry, data: EventData, sealer: Sealer, counters: Counters) -> bytes:
    """The `event` frame. The author's key should be warm: a message that nothing opens is shown as erased."""
    if type(data) is MessageSent:
        text = _opened(entry, (entry.chat_id, data.message_id, entry.actor_id, data.body), sealer, counters)
        shape = data_shape(data, text, None if data.file is None else _file(entry, data, sealer, counters))
        n: int | None = entry.n
    else:
        shape, n = data_shape(data, None), None
    event = EventShape(entry.type, entry.actor_id, rfc3339(entry.at_us), shape)
    return encode(EventFrame(entry.chat_id, entry.seq, n, event))


def _file(entry: Entry, data: MessageSent, sealer: Sealer, counters: Counters) -> FileInfo | None:
    sealed = sealed_file(entry.chat_id, entry.actor_id, data)
    try:
        return None if sealed is None else read_file(_opened(entry, sealed, sealer, counters))
    except Corrupt:
        counters.unreadable += 1
        log.exception("message %s of chat %s describes no file", data.message_id, entry.chat_id)
        return None


def _opened(entry: Entry, sealed: Sealed, sealer: Sealer, counters: Counters) -> str | None:
    try:
        return sealer.open(*sealed)
    except (Corrupt, Unavailable):
        # Held back, it would hide everything after it for ever: an author unknown to SQL has no key at all.
        counters.unreadable += 1
        log.exception(
            "message %s of chat %s cannot be opened",
            sealed[1],
            entry.chat_id,
            extra={
                "chat_id": entry.chat_id,
                "seq": entry.seq,
                "message_id": sealed[1],
                "user_id": entry.actor_id,
            },
        )
        return None
