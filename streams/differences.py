"""Where two generations differ: a chat's heads, members, refusals and entries, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from commands.chat import Chat
from projections.inspection import Whole
from projections.ports import Entry, MemberRow, Refused

_SHOWN = 200
"""Characters of a value that differs."""
_HEAD = tuple(each.name for each in fields(Chat) if each.name not in ("members", "left"))
"""What the head itself says: members have rows of their own, and who left last is read from those."""


@dataclass(frozen=True, slots=True)
class Difference:
    chat_id: str
    seq: int | None
    """None where it is not about one numbered event."""
    what: str
    served: str | None
    rebuilt: str | None
    renumbers: bool = False
    """Clients know this seq as another event."""


def heads(one: Whole, other: Whole) -> list[Difference]:
    return [
        Difference(one.chat.chat_id, None, f"head: {name}", text(a), text(b))
        for name in _HEAD
        if (a := getattr(one.chat, name)) != (b := getattr(other.chat, name))
    ]


def members(one: Whole, other: Whole) -> list[Difference]:
    a: dict[str, MemberRow] = {row.member.user_id: row for row in one.rows}
    b: dict[str, MemberRow] = {row.member.user_id: row for row in other.rows}
    return [
        Difference(one.chat.chat_id, None, f"member {user_id}", text(a.get(user_id)), text(b.get(user_id)))
        for user_id in sorted(a.keys() | b.keys())
        if a.get(user_id) != b.get(user_id)
    ]


def refusals(one: Whole, other: Whole) -> list[Difference]:
    upto = min(one.chat.offset, other.chat.offset)
    a: dict[int, Refused] = {each.offset: each for each in one.refused if each.offset <= upto}
    b: dict[int, Refused] = {each.offset: each for each in other.refused if each.offset <= upto}
    return [
        Difference(one.chat.chat_id, None, f"refused at {offset}", text(a.get(offset)), text(b.get(offset)))
        for offset in sorted(a.keys() | b.keys())
        if a.get(offset) != b.get(offset)
    ]


def faults(
    chat_id: str, about: str, served: Sequence[tuple[int | None, str]], rebuilt: Sequence[tuple[int | None, str]]
) -> list[Difference]:
    """(seq, what is wrong) of each side, where the other does not have the same."""
    return [Difference(chat_id, seq, about, what, None) for seq, what in served if (seq, what) not in rebuilt] + [
        Difference(chat_id, seq, about, None, what) for seq, what in rebuilt if (seq, what) not in served
    ]


def entry_differences(chat_id: str, a: list[Entry], b: list[Entry]) -> list[Difference]:
    one, other = {entry.seq: entry for entry in a}, {entry.seq: entry for entry in b}
    found = []
    for seq in sorted(one.keys() | other.keys()):
        served, rebuilt = one.get(seq), other.get(seq)
        if served != rebuilt:
            another = served is not None and rebuilt is not None and served.offset != rebuilt.offset
            what = "another event" if another else "event"
            found.append(Difference(chat_id, seq, what, text(served), text(rebuilt), renumbers=another))
    return found


def text(value: object) -> str | None:
    return None if value is None else repr(value)[:_SHOWN]
