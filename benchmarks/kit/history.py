"""A log of one-to-one messages, made without a server: what folding and appending are measured on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from commands.sealing import Sealer
from events.codec import encode, make
from events.ids import direct_chat_id, uuid7
from events.types import ChatCreated, MessageSent

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_STEP = timedelta(milliseconds=1)


class FixedKeys:
    """A key for whoever is asked for."""

    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        return dict.fromkeys(author_ids, b"k" * 32)


async def records(events: int, chats: int, text_bytes: int) -> Iterator[tuple[str, bytes]]:
    """(key, value) of `events` records: the chats first, then sealed messages to one chat after the other."""
    people = [(uuid7(_BEGIN), uuid7(_BEGIN)) for _ in range(chats)]
    sealer = Sealer(FixedKeys())
    await sealer.warm(user for pair in people for user in pair)
    return _records(events, people, sealer, "x" * text_bytes)


def _records(events: int, people: list[tuple[str, str]], sealer: Sealer, text: str) -> Iterator[tuple[str, bytes]]:
    at = _BEGIN
    ids = [direct_chat_id(*pair) for pair in people]
    for number in range(events):
        at += _STEP
        chat_id, pair = ids[number % len(ids)], people[number % len(ids)]
        round_ = number // len(ids)
        actor_id = pair[round_ % 2]
        if round_ == 0:
            created = ChatCreated("direct", None, False, "since_join", [actor_id, pair[1]])
            yield chat_id, encode(make(uuid7(at), chat_id, actor_id, at, created))
        else:
            message_id = uuid7(at)
            body = sealer.seal(chat_id, message_id, actor_id, text)
            yield chat_id, encode(make(uuid7(at), chat_id, actor_id, at, MessageSent(message_id, "TEXT", body)))
