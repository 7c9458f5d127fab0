"""Whatever fan-out loses, repeats or reorders, whenever the views answer, and whenever clients come and go: each
connection is told, in each chat, every event it may see exactly once and in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.render import data_of
from api.ws import connecting
from commands.chat import Chat, evolve
from events.ids import uuid7
from events.types import ChatCreated, ChatRetitled, Data, MemberAdded, MemberJoined, MemberLeft, MemberRemoved
from projections.ports import Entry
from tests.support.history import ANA, BEN, CLEO, NOON
from tests.support.world import Client, World, settle, settled_after

USERS = (ANA, BEN, CLEO)
ROOMS = tuple(uuid7(NOON + timedelta(seconds=second)) for second in range(3))


@dataclass
class Device:
    """A client that keeps where it is in each chat, over all its connections."""

    user_id: str
    seqs: dict[str, int] = field(default_factory=dict)
    client: Client | None = None
    resumed: dict[str, int] | None = None
    read: int = 0
    """How many frames of the connection were taken in."""
    live: dict[str, int] = field(default_factory=dict)
    """Chat → the last seq that this connection was told, or started from."""

    def come(self, world: World, *, resume: bool) -> None:
        self.resumed = dict(self.seqs) if resume else None
        self.client, self.read, self.live = world.open(), 0, {}
        self.client.say_connect(self.user_id, self.resumed)

    def take_in(self, truth: Mapping[str, list[Entry]]) -> None:
        """Check every new frame against what a client may rely on."""
        if self.client is None:
            return
        frames = self.client.link.frames
        for frame in frames[self.read :]:
            self._take(frame, truth)
        self.read = len(frames)

    def _take(self, frame: dict[str, Any], truth: Mapping[str, list[Entry]]) -> None:
        chat_id = frame.get("chat_id", "")
        match frame["type"]:
            case "connected":
                for each, state in frame["chats"].items():
                    known = (self.resumed or {}).get(each)
                    self.live[each] = state["head_seq"] if known is None else known
            case "chat":
                chat_id = frame["chat"]["chat_id"]
                assert chat_id not in self.live, "told of a chat that it knew"
                self.live[chat_id] = frame["chat"]["me"]["joined_seq"] - 1
            case "gone":
                self.live.pop(chat_id, None)
                self.seqs.pop(chat_id, None)
            case "limited":
                assert frame["head_seq"] > self.live[chat_id]
                self.live[chat_id] = self.seqs[chat_id] = frame["head_seq"]
            case "event":
                seq = frame["seq"]
                first = visible_from(truth[chat_id], self.user_id, seq)
                assert first is not None, "told what it may not see"
                assert seq == max(self.live[chat_id] + 1, first), "a hole, or a repeat"
                entry = truth[chat_id][seq - 1]
                assert (entry.seq, entry.type) == (seq, frame["event"]["type"])
                self.live[chat_id] = self.seqs[chat_id] = seq


def visible_from(entries: list[Entry], user_id: str, seq: int) -> int | None:
    """From which seq on a member may see, at `seq`; None for who was no member then. Removal is still seen."""
    chat = Chat("any")
    for entry in entries[:seq]:
        before = chat.members.get(user_id)
        evolve(chat, entry.actor_id, data_of(entry), entry.at_us)
    member = chat.members.get(user_id) or before
    return None if member is None else member.visible_from


WEIGHTS = {
    "answer": 8,
    "talk": 4,
    "publish": 4,
    "move": 3,
    "come": 3,
    "go": 2,
    "repeat": 1,
    "lose": 1,
    "compare": 1,
    "create": 1,
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from([kind for kind, weight in WEIGHTS.items() for _ in range(weight)]),
        st.integers(0, 11),
        st.integers(0, 11),
    ),
    min_size=10,
    max_size=80,
)
"""What happens next, and two numbers that say to whom."""


@settings(max_examples=150)
@given(steps=STEPS, stale=st.lists(st.booleans(), min_size=1, max_size=7), limit=st.sampled_from([200, 2]))
def test_each_connection_is_told_each_event_once_and_in_order(
    steps: list[tuple[str, int, int]], stale: list[bool], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connecting, "MAX_PER_CHAT", limit)
        asyncio.run(play(steps, stale))


async def play(steps: list[tuple[str, int, int]], stale: list[bool]) -> None:
    world = await World.begin()
    await world.happen(ANA, ROOMS[0], ChatCreated("group", "Room", True, "since_join", [ANA, BEN]))
    world.unpublished.clear()
    devices = [Device(user_id) for user_id in (*USERS, ANA)]
    answers = cycle(stale)
    world.views.stale = lambda: next(answers)
    world.views.page = 2
    world.views.gate.is_open = False
    for step in steps:
        await act(world, devices, *step)
        for device in devices:
            device.take_in(world.views.entries)
    await at_last(world, devices)
    await world.end()


async def act(world: World, devices: list[Device], what: str, one: int, other: int) -> None:
    room, user, device = ROOMS[one // 6 % 2], USERS[other % 3], devices[one % 4]
    match what:
        case "create":
            first = [user, *(each for each in USERS if each != user)][:2]
            await world.happen(user, room, ChatCreated("group", "Room", True, "since_join", first))
        case "talk":
            for number in range(other % 3 + 1):
                await world.happen(owner_of(world, room), room, ChatRetitled(f"{world.timers.time()} {number}"))
        case "move":
            await world.happen(*moving(world, room, user))
        case "publish" | "repeat" if world.unpublished:
            # Mostly the oldest, at times another.
            changes = world.unpublished[one // 6 * other % len(world.unpublished)]
            if what == "publish":
                world.unpublished.remove(changes)
            await world.fanout.publish(changes)
        case "lose" if world.unpublished:
            del world.unpublished[one % len(world.unpublished)]
        case "come" if device.client is None:
            device.come(world, resume=other > 2)
        case "go" if device.client is not None:
            device.client.hang_up()
            device.client = None
        case "answer":
            for _ in range(other):
                if world.views.gate.waiting:
                    world.views.gate.let_through(one)
                    await settle(3)
        case "compare":
            world.hub.on_resync()
            world.timers.move(1)
    world.timers.move(0.01)
    await settle(3)


def owner_of(world: World, room: str) -> str:
    return next((user for user in USERS if world.role(room, user) == "owner"), ANA)


def moving(world: World, room: str, user: str) -> tuple[str, str, Data]:
    """In or out, by oneself or by the owner."""
    owner = owner_of(world, room)
    if world.role(room, user) is None:
        return (owner, room, MemberAdded(user)) if world.role(room, owner) else (user, room, MemberJoined(user))
    return (user, room, MemberLeft(user)) if user == owner else (owner, room, MemberRemoved(user))


async def at_last(world: World, devices: list[Device]) -> None:
    """Once the views answer and everything was compared, nobody lacks anything."""
    world.unpublished.clear()
    world.views.gate.open()
    await settle()
    world.hub.on_resync()
    await settled_after(world.timers, 4)
    for device in devices:
        device.take_in(world.views.entries)
        if device.client is None:
            continue
        assert device.client.link.closed is None
        for room, entries in world.views.entries.items():
            member = world.role(room, device.user_id) is not None
            assert (room in device.live) == member, "does not know where it is a member"
            assert not member or device.live[room] == len(entries), "lacks what came last"
