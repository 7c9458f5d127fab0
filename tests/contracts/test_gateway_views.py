"""The views that gateway tests read in memory answer as the real ones do."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ws.local import Views
from events.ids import uuid7
from events.types import ChatCreated, ChatRetitled, Data, MemberAdded, MemberLeft, MessageDelivered, MessageSent
from infra.sqlite.views import SqliteViews
from streams.batch import BatchFold
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, ROOM, History
from tests.support.world import MemoryViews

OTHER = uuid7(NOON)
USERS = (ANA, BEN, CLEO, DAN)

EVENTS = st.lists(
    st.tuples(
        st.sampled_from([ROOM, OTHER]),
        st.sampled_from(USERS),
        st.one_of(
            st.builds(MemberAdded, st.sampled_from(USERS)),
            st.builds(MessageDelivered, st.integers(0, 9)),
            st.builds(ChatRetitled, st.sampled_from(["Tea", "Toast"])),
            st.just("message"),
            st.just("leave"),
        ),
    ),
    max_size=30,
)


@given(steps=EVENTS)
async def test_memory_answers_as_sqlite_does(steps: list[tuple[str, str, Data | str]]) -> None:
    history = History()
    for room in (ROOM, OTHER):
        history.add(ANA, ChatCreated("group", "Room", False, "since_join", [ANA, BEN]), room)
    for room, user, what in steps:
        history.clock.move(1)
        match what:
            case "message":
                history.add(user, MessageSent(uuid7(history.clock()), "TEXT", b"x"), room)
            case "leave":
                history.add(user, MemberLeft(user), room)
            case str():
                raise AssertionError(what)
            case _:
                history.add(user, what, room)
    memory = MemoryViews()
    with TemporaryDirectory() as folder:
        store = SqliteViews(Path(folder) / "views.db", "log", {0: 10**6})
        try:
            changes = await BatchFold(store).fold(history.records)
            await store.apply(changes)
            memory.apply(changes)
            assert await answers(memory, history) == await answers(store, history)
        finally:
            store.close()


async def answers(views: Views, history: History) -> list[Any]:
    """Every question that a gateway may ask."""
    told: list[Any] = []
    for room in (ROOM, OTHER, "nowhere"):
        told.append(await views.chat(room))
        told += [await views.entries_after(room, seq, limit) for seq in (0, 1, 5, 99) for limit in (1, 3, 200)]
    for user in USERS:
        told.append(sorted(await views.chats_of(user)))
        summaries = await views.summaries(user, [ROOM, OTHER, "nowhere"])
        told.append(sorted(((s.chat.chat_id, s) for s in summaries), key=lambda pair: pair[0]))
    return told


@pytest.mark.parametrize("adapter", ["memory", "sqlite"])
async def test_the_first_use_of_an_id_is_told(adapter: str, tmp_path: Path) -> None:
    history = History()
    history.add(ANA, ChatCreated("group", "Room", False, "since_join", [ANA, BEN]))
    taken, refused = uuid7(NOON), uuid7(NOON)
    history.add(ANA, MessageSent(taken, "TEXT", b"x"))
    history.add(CLEO, MessageSent(refused, "TEXT", b"x"))
    store = SqliteViews(tmp_path / "views.db", "log", {0: 10**6})
    changes = await BatchFold(store).fold(history.records)
    await store.apply(changes)
    memory = MemoryViews()
    memory.apply(changes)
    views: Views = memory if adapter == "memory" else store
    found = [await views.first_use(ROOM, message_id) for message_id in (taken, refused, uuid7(NOON))]
    assert [None if use is None else (use.seq, use.code) for use in found] == [(2, None), (0, "no_such_chat"), None]
    store.close()
