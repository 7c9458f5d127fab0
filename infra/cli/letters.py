"""`tidings dead-letters …`: records that could not be folded, and the chats that wait because of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from events.codec import Undecodable, decode, encode, make
from events.ids import uuid7
from events.log import Position
from events.partitioner import partition_of
from events.types import ChatReleased
from infra.cli.faults import Fault
from infra.estate import Estate
from projections.inspection import InspectedViews
from projections.ports import Parked

OPERATOR = "operator"
PATIENCE_S = 30.0
_POLL_S = 0.1


async def list_chats(estate: Estate, as_json: bool) -> bool:
    """A line for each chat that is parked in the served generation."""
    views = await _served(estate)
    for chat_id, offset in sorted((await views.parked_chats()).items(), key=lambda each: each[1]):
        rows = await views.parked_of(chat_id)
        told = {
            "chat_id": chat_id,
            "position": str(Position(rows[0].partition, offset)),
            "waiting": len(rows) - 1,
            "error": _reason(rows[0]),
        }
        print(json.dumps(told) if as_json else "{chat_id}  {position}  {waiting} waiting  {error}".format(**told))
    return True


async def show(estate: Estate, chat_id: str, as_json: bool) -> bool:
    """Every record of a chat that waits. Contents are not shown: nobody knows which part of them somebody wrote."""
    for row in await _parked(await _served(estate), chat_id):
        told = {
            "position": str(Position(row.partition, row.offset)),
            "type": _type(row),
            "bytes": len(row.value),
            "error": _reason(row),
        }
        print(json.dumps(told) if as_json else "{position}  {type}  {bytes} bytes  {error}".format(**told))
    return True


async def retry(estate: Estate, chat_id: str) -> bool:
    """Have what waits in a chat folded again, in order; whether all of it was."""
    await _parked(await _served(estate), chat_id)
    return await _release(estate, chat_id, [])


async def discard(estate: Estate, position: Position) -> bool:
    """Pass over the record that parks a chat, for ever, and fold what waits behind it; whether all of it was."""
    views = await _served(estate)
    for chat_id, offset in (await views.parked_chats()).items():
        if Position(partition_of(chat_id, estate.log.partitions), offset) == position:
            await estate.discard(position)
            return await _release(estate, chat_id, [offset])
    raise Fault(f"no chat is parked at {position}", "tidings dead-letters list shows those that are", 2)


async def _release(estate: Estate, chat_id: str, discarded: list[int]) -> bool:
    now = datetime.now(UTC)
    await estate.append(chat_id, encode(make(uuid7(now), chat_id, OPERATOR, now, ChatReleased(discarded))))
    partition = partition_of(chat_id, estate.log.partitions)
    if not await estate.is_served():
        print("noted; whoever starts next folds what waits")
        return True
    views = await _served(estate)
    end, until = estate.log.ends()[partition], time.monotonic() + PATIENCE_S
    while True:
        if (await views.positions()).get(partition, 0) >= end:
            break
        if time.monotonic() > until:
            raise Fault("the log has it, but nobody folds it", "tidings projections lag shows where the views stand")
        await asyncio.sleep(_POLL_S)
    since = (await views.parked_chats()).get(chat_id)
    if since is None:
        print(f"chat {chat_id} is released")
        return True
    rows = await views.parked_of(chat_id)
    print(f"chat {chat_id} is still parked at {Position(partition, since)}: {_reason(rows[0])}")
    return False


async def _served(estate: Estate) -> InspectedViews:
    return await estate.views((await estate.registry.read()).served)


async def _parked(views: InspectedViews, chat_id: str) -> list[Parked]:
    rows = await views.parked_of(chat_id)
    if not rows:
        raise Fault(f"chat {chat_id} is not parked", "tidings dead-letters list shows those that are", 2)
    return rows


def _reason(row: Parked) -> str:
    """What is wrong with a record as this code sees it, else what was noted."""
    return next(_undecodable(row), row.error)


def _undecodable(row: Parked) -> Iterator[str]:
    try:
        decode(row.value)
    except Undecodable as error:
        yield str(error)


def _type(row: Parked) -> str:
    try:
        return decode(row.value).event.type
    except Undecodable:
        return "?"
