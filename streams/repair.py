"""Mending one chat of a generation: folded anew from the log beside it, compared, and written over what is there.

Nobody may fold the chat meanwhile: it is held (`chat.held`), or nobody folds at all.
"""

from __future__ import annotations

from collections.abc import Callable

from commands.chat import Chat
from events.partitioner import partition_of
from projections.inspection import Extra, InspectedViews, MendableViews, Whole
from projections.ports import Changes, FileUse, FoldStore, Membership
from streams.batch import BatchFold, Discards
from streams.cross_checks import file_of
from streams.differences import Difference, text
from streams.log_reader import LogReader
from streams.verify import Comparer, message_id_of

_PAGE = 500


class BeyondRepair(Exception):
    """Rows that do not take what the log says: somebody wrote them by hand, with a time of their own."""


async def fold_truth(
    reader: LogReader,
    discards: Discards,
    store: FoldStore,
    chat_id: str,
    end: int,
    report: Callable[[int], None] = lambda offset: None,
) -> None:
    """Fold a chat from where `store` has it to `end` of its partition, exclusive, as a rebuild would; `report` hears
    how far it is. Raises Unavailable.
    """
    partition = partition_of(chat_id, reader.partitions)
    fold = BatchFold(store, discards=discards)
    begin = (await store.positions()).get(partition, 0)
    for batch in reader.batches(partition, begin, end, chat_id):
        rest = list(batch)
        while rest:
            changes = await fold.fold(rest)
            await store.apply(changes)
            rest = [record for record in rest if record.offset >= changes.next_offset]
        report(batch[-1].offset + 1)


async def differences(chat_id: str, views: InspectedViews, truth: InspectedViews, log: LogReader) -> list[Difference]:
    """Where a chat is not what the log says, the first ones. Sound while it is folded, too. Raises Unavailable."""
    comparer = Comparer(views, truth, log)
    await comparer.compare(chat_id)
    found = comparer.result.differences
    upto = (await truth.positions()).get(partition_of(chat_id, log.partitions), 0)
    one = [row for row in await views.parked_of(chat_id) if row.offset < upto]
    other = await truth.parked_of(chat_id)
    if one != other:
        served, right = text([row.offset for row in one]), text([row.offset for row in other])
        found.append(Difference(chat_id, None, "parked records", served, right))
    return found


async def mend(chat_id: str, views: MendableViews, truth: InspectedViews, log: LogReader) -> int:
    """Write a chat that differs as `truth` has it, until nothing differs; gives how often that took.

    Raises BeyondRepair, Unavailable.
    """
    revisions = views.revisions
    for times, revision in enumerate(revisions):
        if not await differences(chat_id, views, truth, log):
            return times
        await _write(chat_id, views, truth, log, revision)
    if left := await differences(chat_id, views, truth, log):
        raise BeyondRepair(f"{left[0].what} of chat {chat_id} stays {left[0].served}, and should be {left[0].rebuilt}")
    return len(revisions)


async def _write(chat_id: str, views: MendableViews, truth: InspectedViews, log: LogReader, revision: int) -> None:
    """Rows before the head and its members, which go together."""
    partition = partition_of(chat_id, log.partitions)
    end = (await truth.positions()).get(partition, 0)
    right = await truth.whole(chat_id) or Whole(Chat(chat_id), [], [], 0)
    files: dict[tuple[str, str], FileUse] = {}
    seq = 0
    while seq < right.chat.seq:
        entries = (await truth.entries_after(chat_id, seq, _PAGE)).entries
        ids = [message_id_of(entry) for entry in entries if entry.type == "message.sent"]
        uses = await truth.uses_of(chat_id, ids)
        for entry in entries:
            if (file_id := file_of(entry)) is not None:
                files[file_id, chat_id] = FileUse(file_id, chat_id, entry.seq, entry.offset)
        await views.mend(Changes(partition, end, entries, list(uses.values())), Extra(), revision)
        seq = entries[-1].seq
    refused_ids = [row.message_id for row in right.refused if row.message_id is not None]
    head = Changes(partition, end, refused=right.refused, parked=await truth.parked_of(chat_id), files=files)
    head.uses = [use for use in (await truth.uses_of(chat_id, refused_ids)).values() if use.code is not None]
    if right.chat.offset >= 0:
        head.heads[chat_id] = right.chat
    for row in right.rows:
        user_id = row.member.user_id
        head.members[chat_id, user_id] = row
        listed = Membership(user_id, chat_id, row.member.joined_seq, row.left_seq, row.offset)
        head.memberships[user_id, chat_id] = listed
    await views.mend(head, await _extra(chat_id, views, right, head, end), revision)


async def _extra(chat_id: str, views: InspectedViews, right: Whole, head: Changes, end: int) -> Extra:
    found = await views.whole(chat_id)
    parked = {row.offset for row in await views.parked_of(chat_id) if row.offset < end}
    parked -= {row.offset for row in head.parked}
    if found is None:
        return Extra(parked=sorted(parked))
    members = {row.member.user_id for row in found.rows} - {row.member.user_id for row in right.rows}
    refused = {row.offset for row in found.refused} - {row.offset for row in right.refused}
    return Extra(sorted(members), sorted(refused), sorted(parked))
