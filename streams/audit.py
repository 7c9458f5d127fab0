"""Counting: whether the views account for every record of the log, chat by chat, while chat goes on.

A chat is looked at as of the record that its head names; records behind that one are not counted for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from commands.chat import Chat
from events.partitioner import partition_of
from projections.inspection import InspectedViews, Whole
from projections.ports import Entry
from streams.cross_checks import FileChecks, listing_faults
from streams.log_reader import LogReader

_PAGE = 1_000
_KEPT = 100


@dataclass(frozen=True, slots=True)
class Mismatch:
    chat_id: str
    what: str


@dataclass(slots=True)
class Counted:
    """What one partition has. `events` is the sum of the four after it where all is well."""

    partition: int
    chats: int = 0
    events: int = 0
    applied: int = 0
    void: int = 0
    repeats: int = 0
    parked: int = 0


@dataclass(slots=True)
class Audit:
    partitions: list[Counted]
    mismatched: int = 0
    """Chats with a mismatch: what a metric shows."""
    mismatches: list[Mismatch] = field(default_factory=list)
    """The first ones."""


async def audit(views: InspectedViews, log: LogReader, report: Callable[[int], None] = lambda records: None) -> Audit:
    """Compare views and log; `report` hears of records counted. Raises Unavailable.

    Memory grows with the number of chats, not with that of records.
    """
    ends = await views.positions()
    found = Audit([Counted(partition) for partition in range(log.partitions)])
    for partition, end in sorted(ends.items()):
        counted: Counter[str] = Counter()
        for records in log.batches(partition, 0, end):
            counted.update(record.key for record in records)
            report(len(records))
        for chat_id, count in counted.items():
            problems = await _chat(views, log, found.partitions[partition], chat_id, count, end)
            found.mismatched += bool(problems)
            found.mismatches += [Mismatch(chat_id, what) for what in problems][: _KEPT - len(found.mismatches)]
    async for chat_ids in views.chat_ids():
        for chat_id in chat_ids:
            partition = partition_of(chat_id, log.partitions)
            whole = await views.whole(chat_id) if partition not in ends else None
            if whole is not None:
                found.mismatched += 1
                found.mismatches.append(Mismatch(chat_id, "is in the views, but its partition was never folded"))
    return found


async def audit_chat(views: InspectedViews, log: LogReader, chat_id: str) -> list[str]:
    """What is wrong with one chat. Raises Unavailable."""
    partition = partition_of(chat_id, log.partitions)
    end = (await views.positions()).get(partition, 0)
    count = sum(len(records) for records in log.batches(partition, 0, end, chat_id))
    return await _chat(views, log, Counted(partition), chat_id, count, end)


async def _chat(views: InspectedViews, log: LogReader, total: Counted, chat_id: str, count: int, end: int) -> list[str]:
    """What is wrong with a chat that has `count` records below `end`."""
    partition = total.partition
    parked = [row for row in await views.parked_of(chat_id) if row.offset < end]
    whole = await views.whole(chat_id)
    chat = Chat(chat_id) if whole is None else whole.chat
    if chat.offset >= end:
        # It moved on meanwhile: what came since counts, too, up to its head.
        count += sum(len(records) for records in log.batches(partition, end, chat.offset + 1, chat_id))
    counted = chat.applied + chat.void + chat.repeated + len(parked)
    total.chats += 1
    total.events += count
    total.applied += chat.applied
    total.void += chat.void
    total.repeats += chat.repeated
    total.parked += len(parked)
    problems = []
    if counted != count:
        problems.append(
            f"{count} records, but {chat.applied} applied, {chat.void} void, {chat.repeated} repeats and "
            f"{len(parked)} parked"
        )
    return problems if whole is None else problems + await _content(views, whole)


async def _content(views: InspectedViews, whole: Whole) -> list[str]:
    """Whether numbers are dense, the head is the timeline's, marks are within it, and other tables agree."""
    chat = whole.chat
    users = [row.member.user_id for row in whole.rows]
    problems = listing_faults(whole, await views.listed(chat.chat_id, users))
    files = FileChecks(views, chat)
    marks = {0: 0}
    """The running `n` where somebody's read mark stands."""
    wanted = {row.member.read_seq for row in whole.rows}
    seq = n = at_us = last_message = 0
    while seq < chat.seq:
        page = [
            entry for entry in (await views.entries_after(chat.chat_id, seq, _PAGE)).entries if entry.seq <= chat.seq
        ]
        if not page:
            break
        for entry in page:
            if (wrong := _entry(entry, seq, n, at_us)) is not None:
                return [*problems, wrong]
            seq, n, at_us = entry.seq, entry.n, entry.at_us
            if entry.type == "message.sent":
                last_message = seq
            if seq in wanted:
                marks[seq] = n
        problems += [f"seq {at}: {what}" for at, what in await files.check(page)]
    problems += [f"seq {at}: {what}" for at, what in files.end()]
    head = (chat.seq, chat.n, chat.at_us, chat.last_message_seq)
    if (seq, n, at_us, last_message) != head and chat.seq:
        problems.append(
            f"the head says (seq, n, time, last message) {head}, the timeline {(seq, n, at_us, last_message)}"
        )
    for row in whole.rows:
        member = row.member
        if not member.read_seq <= member.delivered_seq <= chat.seq:
            problems.append(
                f"{member.user_id} has read {member.read_seq} and received {member.delivered_seq} of {chat.seq}"
            )
        elif row.left_seq is None and member.read_seq in marks and marks[member.read_seq] != member.read_n:
            problems.append(
                f"{member.user_id} has {chat.n - member.read_n} unread, recounted {chat.n - marks[member.read_seq]}"
            )
    return problems


def _entry(entry: Entry, seq: int, n: int, at_us: int) -> str | None:
    """What is wrong with the entry that follows on `seq`."""
    if entry.seq != seq + 1:
        return f"seq {seq} is followed by {entry.seq}"
    if entry.n != n + (entry.type == "message.sent"):
        return f"seq {entry.seq} has n {entry.n} after {n}"
    return f"seq {entry.seq} is older than the one before it" if entry.at_us < at_us else None
