"""From an entry to the bytes of its `event` frame, opened and encoded once for all sockets."""

from __future__ import annotations

import logging

from api.render import data_shape, rfc3339
from api.shapes import EventShape
from api.ws.counters import Counters
from api.ws.frames import EventFrame, encode
from commands.errors import Corrupt, Unavailable
from commands.sealing import Sealer
from events.types import EventData, MessageSent
from projections.ports import Entry

log = logging.getLogger(__name__)


def event_frame(entry: Entry, data: EventData, sealer: Sealer, counters: Counters) -> bytes:
    """The `event` frame. The author's key should be warm: a message that nothing opens is shown as erased."""
    if type(data) is MessageSent:
        shape = data_shape(data, _text(entry, data, sealer, counters))
        n: int | None = entry.n
    else:
        shape, n = data_shape(data, None), None
    event = EventShape(entry.type, entry.actor_id, rfc3339(entry.at_us), shape)
    return encode(EventFrame(entry.chat_id, entry.seq, n, event))


def _text(entry: Entry, data: MessageSent, sealer: Sealer, counters: Counters) -> str | None:
    try:
        return sealer.open(entry.chat_id, data.message_id, entry.actor_id, data.body)
    except (Corrupt, Unavailable):
        # Held back, it would hide everything after it for ever: an author unknown to SQL has no key at all.
        counters.unreadable += 1
        log.exception(
            "message %s of chat %s cannot be opened",
            data.message_id,
            entry.chat_id,
            extra={
                "chat_id": entry.chat_id,
                "seq": entry.seq,
                "message_id": data.message_id,
                "user_id": entry.actor_id,
            },
        )
        return None
