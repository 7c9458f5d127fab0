"""A record as a line: JSON with the whole envelope, or columns for the eye.

Bodies are sealed in the log and stay so here, unless they were opened on purpose: a line tells their size. A record
that no code of ours wrote has a line as well, with an `error`, whatever filters ask for, as long as it is of the chat.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from commands.attachments import sealed_file
from commands.sealing import Sealed
from events.codec import Undecodable, decode
from events.log import Position, Record
from events.types import MessageSent

Shown = dict[str, Any]
Open = Callable[[Collection[Sealed]], Sequence[str | None]]
"""Sealed bodies → their texts, None where erased."""
HEADER = f"{'POSITION':<12} {'APPENDED':<23} {'TYPE':<20} {'CHAT':<36} {'ACTOR':<36} DATA"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """What to show; None or nothing shows all. `user` did it, or it was done to them."""

    chat: str | None = None
    types: Collection[str] = ()
    user: str | None = None

    def admits(self, envelope: Shown) -> bool:
        """Whether a well-formed event of the right chat is wanted."""
        if self.types and envelope["type"] not in self.types:
            return False
        if self.user is None or envelope["actor_id"] == self.user:
            return True
        data = envelope["data"]
        return self.user == data.get("user_id") or self.user in data.get("member_ids", ())


def shown(records: Sequence[Record], wanted: Filter, opened: Open | None = None) -> list[Shown]:
    """What to show of some records, those left out that are not wanted. Raises what `opened` raises."""
    found: list[Shown] = []
    sealed: list[tuple[Shown, str, Sealed]] = []
    for record in records:
        if wanted.chat is not None and record.key != wanted.chat:
            continue
        at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
        one: Shown = {
            "position": str(Position(record.partition, record.offset)),
            "appended_at": at.replace("+00:00", "Z"),
        }
        try:
            data = decode(record.value).event.data
        except Undecodable as error:
            # Nobody knows which part of it somebody wrote, so none is shown.
            found.append(one | {"key": record.key, "error": str(error), "value": f"({len(record.value)} bytes)"})
            continue
        envelope = msgspec.json.decode(record.value)
        if not wanted.admits(envelope):
            continue
        found.append(one | envelope)
        if not isinstance(data, MessageSent):
            continue
        if opened is None:
            for name in ("body", "file"):
                if name in envelope["data"]:
                    envelope["data"][name] = f"(sealed, {len(a2b_base64(envelope['data'][name]))} bytes)"
        else:
            body = (envelope["chat_id"], data.message_id, envelope["actor_id"], data.body)
            sealed.append((envelope["data"], "body", body))
            file = sealed_file(envelope["chat_id"], envelope["actor_id"], data)
            if file is not None:
                sealed.append((envelope["data"], "file", file))
    if opened is not None and sealed:
        for (shown_data, name, _), text in zip(sealed, opened([each for _, _, each in sealed]), strict=True):
            del shown_data[name]
            if name == "body":
                shown_data |= {"text": None, "erased": True} if text is None else {"text": text}
            elif text is not None:
                shown_data["file"] = msgspec.json.decode(text)
    return found


def as_json(one: Shown) -> str:
    """One line, without its end."""
    return msgspec.json.encode(one).decode()


def as_table(one: Shown) -> str:
    """One line under `HEADER`, without its end."""
    place = f"{one['position']:<12} {one['appended_at'][:-1].replace('T', ' '):<23}"
    if "error" in one:
        return f"{place} {'(unreadable)':<20} {one['key']:<36} {'':<36} {one['error']}"[: 130 + _WIDTH]
    data = " ".join(f"{name}={_plain(value)}" for name, value in one["data"].items() if value is not None)
    cut = data if len(data) <= _WIDTH else f"{data[: _WIDTH - 1]}…"
    return f"{place} {one['type']:<20} {one['chat_id']:<36} {one['actor_id']:<36} {cut}"


def _plain(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    # A line stays a line, and a terminal is told nothing by what somebody wrote.
    return "".join(letter if letter.isprintable() else "·" for letter in text)
