"""Every loop over many, with one member that raises: the others are served.

One test for each loop; its name says who fails and who goes on. Loops of the fold, of push and of the logs are tested
with those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from api.operations import Process
from api.ws.audience import Audience
from api.ws.caretaker import Caretaker
from api.ws.localchat import LocalChat
from api.ws.outbox import Flusher, Outbox
from api.ws.session import Session
from api.ws.wheel import Wheel
from commands.announcements import KeyDestroyed, Newsroom, SessionEnded
from commands.erasure import Departure
from commands.errors import Corrupt
from commands.files import Files
from commands.isolation import for_each
from commands.receipts import Receipts
from commands.sealing import Sealer
from commands.sessions import EndedSessions, Sessions
from events.ids import uuid7
from events.types import ChatCreated, MemberAdded, MemberRemoved, MessageRead
from infra.memory.announcements import MemoryAnnouncements
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from infra.redis.announcements import RedisAnnouncements
from infra.redis.bus import Bus
from infra.redis.fanout import RedisFanout
from infra.redis.presence import RedisPresence
from infra.redis.roster import RedisRoster
from infra.redis.wire import Digest, KeyGone, Personal, encode
from projections.ports import Changes, Membership, Refused
from tests.support.history import ANA, BEN, CLEO, DAN, NOON, ROOM
from tests.support.world import Client, Gate, MemoryKeys, MovedTimers, World, settle, settled_after

OTHER = uuid7(NOON + timedelta(seconds=5))
THIRD = uuid7(NOON + timedelta(seconds=6))


class Broken(Exception):
    """What the failing member raises."""


def broken(*arguments: object, **options: object) -> Any:
    raise Broken


def breaks(
    patch: pytest.MonkeyPatch, owner: Any, name: str, when: Callable[..., bool] = lambda *arguments: True
) -> None:
    """From now on `owner.name(…)` raises for the members for whom `when(…)` says so."""
    original = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise Broken
        return original(*arguments, **options)

    patch.setattr(owner, name, call)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Ana, Ben and Cleo share a chat; so do Ana and Ben another."""
    world = await World.begin()
    await world.happen(ANA, ROOM, ChatCreated("group", "Tea", False, "all", [ANA, BEN, CLEO]))
    await world.happen(ANA, OTHER, ChatCreated("group", "Two", False, "all", [ANA, BEN]))
    world.unpublished.clear()
    yield world
    await world.end()


def test_each_is_served_though_the_first_raises_and_the_list_may_change_meanwhile() -> None:
    members, served = [1, 2, 3], []

    def act(member: int) -> None:
        members.remove(member)
        if member == 1:
            raise Broken
        served.append(member)

    assert not for_each("testing", members, act)
    assert served == [2, 3]
    assert for_each("testing", [], act)


# --- Sockets -----


class Wire:
    def __init__(self, breaks: bool = False) -> None:
        self.written = b""
        self.breaks = breaks

    def write(self, data: bytes) -> None:
        if self.breaks:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.written += data


@pytest.mark.parametrize("how", ["send", "much", "finish", "drop"])
def test_a_socket_that_takes_nothing_keeps_no_other_from_being_written_to(how: str) -> None:
    calls: list[Callable[[], None]] = []
    flusher = Flusher(calls.append)
    ended: list[str] = []
    bad, good = Wire(breaks=True), Wire()
    one = Outbox(bad, flusher, lambda: None, lambda: ended.append("one"))
    other = Outbox(good, flusher, lambda: None)
    match how:
        case "send":
            one.send(b"a")
        case "much":
            for _ in range(3):
                one.send(b"a" * 200_000)
        case "finish":
            one.finish(b"bye", drop=False)
        case "drop":
            one.finish(b"bye", drop=True)
    other.send(b"b")
    while calls:
        calls.pop(0)()
    assert good.written == b"b"
    assert ended == ["one"]  # told once, at the end of the tick


def test_an_outbox_that_raises_keeps_no_other_from_being_flushed() -> None:
    calls: list[Callable[[], None]] = []
    flusher = Flusher(calls.append)
    good = Wire()
    flusher.add(cast(Outbox, SimpleNamespace(flush=broken)))
    Outbox(good, flusher, lambda: None).send(b"b")
    calls.pop()()
    assert good.written == b"b"


@pytest.mark.parametrize("told", ["event", "typing", "receipt", "rejected"])
async def test_a_session_that_cannot_be_told_keeps_nothing_from_the_others_and_ends(world: World, told: str) -> None:
    bad = await world.connect(ANA)
    others = [await world.connect(user_id) for user_id in (ANA, BEN, CLEO)]
    if told == "receipt":
        others[0].send(ROOM, uuid7(NOON))
        await world.turn()
    for each in others:
        each.link.take()
    bad.link.send = broken  # type: ignore[method-assign]
    match told:
        case "event":
            await world.tell(BEN, ROOM, await world.message(BEN, ROOM))
        case "typing":
            world.hub.on_typing(ROOM, BEN)
        case "receipt":
            await world.tell(BEN, ROOM, MessageRead(2))
        case "rejected":
            world.hub.on_refused([Refused(ROOM, 0, 1, DAN, "x", None), Refused(ROOM, 0, 1, ANA, "x", None)])
    await settle()
    expected = {"typing": [1, 0, 1], "rejected": [1, 0, 0]}.get(told, [1, 1, 1])
    assert [len(each.link.of(told)) for each in others] == expected
    assert bad.link.code == 1011
    assert bad.session not in world.gateway.sessions


async def test_a_newcomer_and_somebody_seen_off_who_cannot_be_told_leave_the_others_told(world: World) -> None:
    dan, tablet, ben = await world.connect(DAN), await world.connect(DAN), await world.connect(BEN)
    dan.link.send = broken  # type: ignore[method-assign]
    await world.tell(ANA, ROOM, MemberAdded(DAN))
    await settle()
    assert [len(tablet.link.of(kind)) for kind in ("chat", "event")] == [1, 1]
    assert dan.link.code == 1011
    late = await world.connect(DAN)
    late.link.send = broken  # type: ignore[method-assign]
    await world.tell(ANA, ROOM, MemberRemoved(DAN))
    await settle()
    assert len(tablet.link.of("gone")) == 1
    assert len(ben.link.of("event")) == 2
    assert late.link.code == 1011


async def test_a_newcomer_who_cannot_be_welcomed_keeps_nothing_from_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dan, ben = await world.connect(DAN), await world.connect(BEN)
    breaks(monkeypatch, Audience, "_welcome", lambda chat, user, *rest: user.user_id == DAN)
    await world.tell(ANA, ROOM, MemberAdded(DAN))
    await settle()
    assert len(ben.link.of("event")) == 1
    assert dan.link.code == 1011


async def test_a_socket_that_cannot_be_closed_is_out_of_every_list_all_the_same(world: World) -> None:
    bad, good = await world.connect(ANA), await world.connect(ANA)
    other = await world.connect(ANA, session_id="tablet")
    bad.link.close = broken  # type: ignore[method-assign]
    world.gateway.session_ended("phone", ANA)
    assert good.link.code == 4401
    assert other.link.code is None
    assert world.gateway.sessions == {other.session}
    assert world.hub.users[ANA].sessions == [other.session]


async def test_a_session_that_cannot_be_closed_keeps_no_other_of_its_sign_in_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await world.connect(ANA), await world.connect(ANA)
    breaks(monkeypatch, Session, "close", lambda session, *rest: session is bad.session)
    world.gateway.session_ended("phone", ANA)
    assert good.link.code == 4401


async def test_a_session_that_cannot_leave_keeps_no_other_from_being_sent_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await world.connect(user_id) for user_id in (ANA, BEN, CLEO)]
    bad = next(iter(world.gateway.sessions))
    breaks(monkeypatch, Session, "leave", lambda session, *rest: session is bad)
    world.gateway.drain()
    assert sorted(client.link.code or 0 for client in clients) == [0, 1012, 1012]


async def test_a_client_that_cannot_be_told_to_come_back_is_closed_all_the_same(world: World) -> None:
    client = await world.connect(ANA)
    client.link.send = broken  # type: ignore[method-assign]
    world.gateway.drain()
    assert client.link.code == 1012


async def test_a_list_that_cannot_be_left_keeps_a_session_in_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((world.gateway.wheel, "discard"), (world.gateway.watchers, "remove"), (world.hub, "leave")):
        client = await world.connect(ANA)
        with monkeypatch.context() as patch:
            breaks(patch, owner, name)
            client.hang_up()
        assert client.session not in world.gateway.sessions
        assert not world.presence._users[ANA].online


async def test_a_part_that_cannot_end_keeps_no_other_part_running(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, world.receipts, "close")
    await world.gateway.stop()
    assert all(task.done() for task in world.presence._loops)


# --- Deadlines -----


def test_a_deadline_that_raises_keeps_no_other_of_its_second_and_none_later() -> None:
    timers = MovedTimers()
    kept: list[str] = []

    def due(thing: str) -> None:
        if thing.startswith("bad"):
            raise Broken
        kept.append(thing)

    wheel: Wheel[str] = Wheel(timers, due)
    for thing in ("bad 1", "a", "bad 2", "b", "bad 3", "c"):
        wheel.set(thing, 1)
    wheel.set("later", 5)
    timers.move(2)
    assert sorted(kept) == ["a", "b", "c"]
    timers.move(4)
    assert kept[-1] == "later"


async def test_a_socket_that_cannot_be_pinged_ends_and_the_others_end_with_their_tokens(world: World) -> None:
    clients = [await world.connect(ANA, until_s=30) for _ in range(5)]
    bad = clients[2]
    bad.link.ping = broken  # type: ignore[method-assign]
    await settled_after(world.timers, 26)
    assert [client.link.pings for client in clients] == [1, 1, 0, 1, 1]
    assert bad.link.code == 1011
    await settled_after(world.timers, 6)
    assert [client.link.code for client in clients] == [4401, 4401, 1011, 4401, 4401]


# --- Chats -----


async def test_a_chat_that_cannot_be_followed_keeps_no_other_from_its_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, cleo = await world.connect(ANA), await world.connect(CLEO)
    breaks(monkeypatch, LocalChat, "receive", lambda chat, *rest: chat.chat_id == OTHER)
    await world.happen(ANA, OTHER, await world.message(ANA, OTHER))
    await world.tell(ANA, ROOM, await world.message(ANA, ROOM))
    assert cleo.events(ROOM) == [2]
    assert ana.link.code == 1011  # who is in it must not miss anything without knowing


@pytest.mark.parametrize("name", ["heard_of", "check", "cool"])
async def test_a_chat_that_cannot_be_looked_at_keeps_no_other_from_being(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    client = await world.connect(ANA)
    await world.happen(BEN, ROOM, await world.message(BEN, ROOM))
    await world.happen(BEN, OTHER, await world.message(BEN, OTHER))
    client.link.take()
    world.unpublished.clear()
    first, last = list(world.hub.chats)
    breaks(monkeypatch, LocalChat, name, lambda chat, *rest, **options: chat.chat_id == first)
    match name:
        case "heard_of":
            world.hub.on_digest({first: 2, last: 2})
        case "check":
            await Caretaker(world.hub).compare_everything()
        case "cool":
            await world.hub.load(last)
            for chat in world.hub.chats.values():
                chat.touched -= 1_000
            assert world.hub.chats[last].known is not None
            await Caretaker(world.hub).sweep()
    await settle()
    if name == "cool":
        assert world.hub.chats[last].known is None
    else:
        assert (client.events(first), client.events(last)) == ([], [2])


async def test_a_chat_that_cannot_be_left_or_closed_keeps_nobody_in_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.connect(ANA)
    first, last = list(world.hub.chats)
    with monkeypatch.context() as patch:
        breaks(patch, Audience, "dismiss", lambda chat, user: chat.chat_id == first)
        client.hang_up()
    assert not world.hub.chats[last].here
    assert ANA not in world.hub.users
    asked: list[str] = []

    def is_first(chat: LocalChat) -> bool:
        asked.append(chat.chat_id)
        return chat.chat_id == first

    breaks(monkeypatch, LocalChat, "close", is_first)
    world.hub.stop()
    assert asked == [first, last]


async def test_a_membership_that_cannot_be_taken_in_keeps_no_other_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connect(DAN)
    breaks(monkeypatch, world.hub, "joined", lambda user, chat_id, *rest: chat_id == OTHER)
    rows = [Membership(DAN, chat_id, 1, None, 0) for chat_id in (OTHER, THIRD)]
    world.hub.on_memberships(rows)
    assert THIRD in world.hub.chats


async def test_a_user_who_cannot_be_compared_keeps_no_other_from_being(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connect(CLEO)
    dan = await world.connect(DAN)
    breaks(monkeypatch, world.views, "chats_of", lambda user_id: user_id == CLEO)
    await world.happen(ANA, ROOM, MemberAdded(DAN))
    world.unpublished.clear()
    await Caretaker(world.hub).compare_everything()
    await settle()
    assert len(dan.link.of("chat")) == 1


async def test_a_comparison_that_finds_no_store_is_made_again(world: World) -> None:
    client = await world.connect(DAN)
    await world.happen(ANA, ROOM, MemberAdded(DAN))
    world.unpublished.clear()
    world.views.gate.is_down = True
    world.hub.on_resync()
    await settled_after(world.timers, 1.5)
    world.views.gate.is_down = False
    await settled_after(world.timers, 2)
    assert len(client.link.of("chat")) == 1


async def test_a_chat_that_cannot_be_shown_keeps_nobody_from_connecting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connect(ANA)
    await world.happen(ANA, ROOM, await world.message(ANA, ROOM))
    breaks(monkeypatch, LocalChat, "show_late", lambda chat, user: chat.chat_id == ROOM)
    second = await world.connect(ANA)
    assert len(second.link.of("connected")) == 1


# --- Marks -----


@pytest.mark.parametrize("fails", ["_append", "done"])
async def test_a_mark_that_cannot_be_sent_on_or_answered_keeps_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    await world.connect(BEN)
    for chat_id in (ROOM, OTHER):
        await world.hub.load(chat_id)
    if fails == "_append":
        breaks(monkeypatch, Receipts, "_append", lambda receipts, chat, *rest: chat.chat_id == ROOM)
    answers: list[str] = []

    def note(chat_id: str) -> Callable[..., None]:
        return lambda position, error: answers.append(chat_id if error is None else error.code)

    world.receipts.note(BEN, ROOM, "read", 1, broken if fails == "done" else note("room"))
    world.receipts.note(BEN, ROOM, "read", 1, note("room"))
    world.receipts.note(BEN, OTHER, "read", 1, note("other"))
    await settled_after(world.timers, 0.3)
    await world.turn()
    assert sorted(answers) == (["other", "unavailable", "unavailable"] if fails == "_append" else ["other", "room"])


async def test_marks_that_cannot_be_sent_on_keep_no_others_from_it_at_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = []
    world.receipts.note(BEN, ROOM, "read", 1, lambda position, error: answers.append(position))
    world.timers.move(0.05)
    world.receipts.note(BEN, OTHER, "read", 1, lambda position, error: answers.append(position))
    first = next(iter(world.receipts._slots))
    breaks(monkeypatch, world.receipts, "_flush", lambda slot: slot == first)
    closing = asyncio.get_running_loop().create_task(world.receipts.close())
    await world.turn()
    await closing
    assert len(answers) == 1


# --- Presence -----


async def watching(world: World, client: Client, *user_ids: str) -> None:
    client.say("presence.watch", id="w", user_ids=list(user_ids))
    await settle()
    client.link.take()


@pytest.mark.parametrize("fails", ["send", "acquaintance"])
async def test_a_watcher_who_cannot_be_told_keeps_no_other_from_knowing(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    bad, good = await world.connect(ANA), await world.connect(CLEO)
    for each in (bad, good):
        await watching(world, each, BEN)
    if fails == "send":
        bad.link.send = broken  # type: ignore[method-assign]
    else:
        breaks(monkeypatch, world.gateway.watchers._acquaintance, "of", lambda caller, others: caller == ANA)
    ben = await world.connect(BEN)
    await settle()
    assert [frame["status"] for frame in good.link.of("presence")] == ["online"]
    ben.hang_up(1000)
    await settle()
    assert [frame["status"] for frame in good.link.of("presence")] == ["online", "offline"]


async def test_a_user_whose_presence_cannot_be_published_keeps_no_other_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    monkeypatch.setattr(world.fanout, "publish_presence", published.append)
    breaks(monkeypatch, world.fanout, "publish_presence", lambda user_id: user_id == ANA)
    world.presence.begin(ANA)
    world.presence.begin(BEN)
    world.presence.begin(CLEO)
    await settle()
    assert sorted(published) == sorted([BEN, CLEO])
    await world.presence._renew(everything=True)
    assert published.count(BEN) == published.count(CLEO) == 2
    assert world.presence._flushing is None


@pytest.mark.parametrize("call", ["put", "drop"])
async def test_a_store_that_fails_once_is_told_again(world: World, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, world.presence_store, call)
        client = await world.connect(ANA)
        if call == "drop":
            client.hang_up(1000)
            await settle()
    await settled_after(world.timers, 2)
    seen = await world.presence_store.query([ANA])
    assert seen[ANA].status == ("online" if call == "put" else "offline")


@pytest.mark.parametrize("call", ["beat", "sweep"])
async def test_a_round_that_fails_is_not_the_last(world: World, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, world.presence_store, call)
        await settled_after(world.timers, 60)
    calls: list[tuple[object, ...]] = []

    def note(*arguments: object) -> bool:
        calls.append(arguments)
        return False

    breaks(monkeypatch, world.presence_store, call, note)
    await settled_after(world.timers, 60)
    assert calls


async def test_users_swept_are_told_of_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []

    async def swept() -> list[str]:
        return [ANA, BEN]

    monkeypatch.setattr(world.presence_store, "sweep", swept)
    monkeypatch.setattr(world.fanout, "publish_presence", published.append)
    breaks(monkeypatch, world.fanout, "publish_presence", lambda user_id: user_id == ANA)
    await settled_after(world.timers, 60)
    assert BEN in published


async def test_a_goodbye_that_cannot_be_told_lets_the_tracker_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, world.presence_store, "beat")
    await world.presence.stop()


async def test_a_gateway_that_cannot_be_read_keeps_no_other_from_being_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    presence = RedisPresence(cast(Any, None), lambda: NOON, namespace="n")
    answers: dict[str, Any] = {"EVALSHA": 1, "HGETALL": {b"bad": b"nonsense", b"good": b"1 2"}}

    async def run(*command: Any) -> Any:
        return answers[command[0]]

    async def listed(gateway_id: str, until: int) -> list[tuple[str, int]]:
        return [] if told else [(ANA, 1)]

    async def forget(gateway_id: str, gateway: object, some: object) -> list[str]:
        told.append(gateway_id)
        return [ANA]

    told: list[str] = []
    monkeypatch.setattr(presence, "_redis", SimpleNamespace(run=run))
    monkeypatch.setattr(presence, "_listed", listed)
    monkeypatch.setattr(presence, "_forget", forget)
    assert await presence.sweep() == [ANA]
    assert told == ["good"]


async def test_a_user_of_whom_nothing_was_seen_keeps_no_other_from_being_swept() -> None:
    clock = MovedTimers()
    presence = MemoryPresence(clock.now)
    await presence.beat("g", 1)
    await presence.put("g", {ANA: "online", BEN: "online"})
    del presence._last_seen[ANA]
    clock.move(1_000)
    assert set(await presence.sweep()) == {ANA, BEN}


# --- Sign-ins, keys, erasures, files -----


class Store:
    """What `Newsroom.ask` reads."""

    async def ended_after(self, at: object) -> list[tuple[str, str, Any]]:
        return [("bad", ANA, NOON), ("good", BEN, NOON)]

    async def destroyed(self, after: object = None) -> list[tuple[str, Any]]:
        return [(ANA, NOON), (BEN, NOON)]


def test_an_observer_that_raises_keeps_no_other_from_hearing_of_an_ended_sign_in() -> None:
    ended, heard = EndedSessions(lambda: NOON), []
    ended.observers += [broken, lambda session_id, user_id: heard.append(session_id)]
    ended.add("s1", ANA, NOON)
    assert "s1" in ended
    assert heard == ["s1"]


@pytest.mark.parametrize("fails", ["observer", "add"])
def test_a_sign_in_that_cannot_be_announced_keeps_no_other_valid(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    ended, heard = EndedSessions(lambda: NOON), []
    sessions = Sessions(cast(Any, None), cast(Any, None), cast(Any, None), ended, lambda: NOON)
    sessions.observers += [broken, lambda session_id, user_id, at: heard.append(session_id)]
    if fails == "add":
        breaks(monkeypatch, ended, "add", lambda session_id, *rest: session_id == "s1")
    sessions.announce(["s1", "s2"], ANA, NOON)
    assert "s2" in ended
    assert heard == ["s1", "s2"]


async def test_news_that_cannot_be_taken_in_keeps_no_other_from_holding(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, sealer = EndedSessions(lambda: NOON), Sealer(MemoryKeys(Gate()))
    breaks(monkeypatch, ended, "add", lambda session_id, *rest: session_id == "bad")
    breaks(monkeypatch, sealer, "forget", lambda user_id: user_id == ANA)
    store = Store()
    newsroom = Newsroom(MemoryAnnouncements(), cast(Any, store), store, ended, sealer, lambda: NOON)
    await newsroom.ask()
    assert "good" in ended
    assert sealer.ready(BEN)  # as erased


def test_an_observer_that_raises_keeps_no_other_from_hearing_announcements() -> None:
    board: list[MemoryAnnouncements] = []
    one, other = MemoryAnnouncements(board), MemoryAnnouncements(board)
    heard: list[object] = []
    other.observers += [broken, heard.append]
    one.tell(SessionEnded("s1", ANA, NOON))
    redis = RedisAnnouncements(cast(Any, None), namespace="n")
    redis.observers += [broken, heard.append]
    redis._heard(encode(KeyGone(ANA)))
    assert heard == [SessionEnded("s1", ANA, NOON), KeyDestroyed(ANA)]


async def test_a_key_that_cannot_be_read_keeps_no_other_author_from_being_read() -> None:
    keys = MemoryKeys(Gate())
    original = keys.load

    async def load(author_ids: Collection[str]) -> Any:
        if ANA in author_ids:
            raise Corrupt("another master key")
        return await original(author_ids)

    keys.load = load  # type: ignore[method-assign]
    clock = MovedTimers()
    sealer = Sealer(keys, life_s=600, clock=clock.time)
    await sealer.warm([ANA, BEN, CLEO])
    assert [sealer.ready(user_id) for user_id in (ANA, BEN, CLEO)] == [False, True, True]
    keys.load = original  # type: ignore[method-assign]
    await sealer.warm([ANA])
    for user_id in (ANA, BEN, CLEO):
        clock.move(1)
        sealer.seal(ROOM, "m", user_id, "x")
    keys.load = load  # type: ignore[method-assign]
    clock.move(500)
    await sealer.refresh()
    clock.move(300)
    assert [sealer.ready(user_id) for user_id in (ANA, BEN, CLEO)] == [False, True, True]


async def test_a_chat_that_cannot_be_left_keeps_nobody_who_was_erased_in_the_others() -> None:
    left: list[str] = []

    async def submit(command: object, chat_id: str) -> None:
        if chat_id == "0":
            raise Broken
        left.append(chat_id)

    async def end() -> dict[int, int]:
        return {}

    async def reach(ends: object, timeout_s: float) -> bool:
        return True

    async def chats_of(user_id: str) -> list[str]:
        return [str(number) for number in range(100)]

    departure = Departure(
        cast(Any, SimpleNamespace(submit=submit)),
        cast(Any, SimpleNamespace(end=end)),
        cast(Any, SimpleNamespace(reach=reach)),
        cast(Any, SimpleNamespace(chats_of=chats_of)),
    )
    with pytest.raises(Broken):
        await departure.leave_all_chats(ANA)
    assert len(left) == 99


async def test_a_file_that_cannot_be_removed_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = ["bad", "good", "fine"]

    async def delete(keys: list[str]) -> None:
        if any("bad" in key for key in keys):
            raise Broken

    async def find(*arguments: object) -> list[str]:
        return list(doomed)

    async def remove(gone: list[str]) -> None:
        for each in gone:
            doomed.remove(each)

    files = Files.__new__(Files)
    monkeypatch.setattr(files, "blobs", SimpleNamespace(delete=delete), raising=False)
    monkeypatch.setattr(files, "_records", SimpleNamespace(doomed=find, remove=remove), raising=False)
    monkeypatch.setattr(files, "_spools", SimpleNamespace(sweep=lambda: None), raising=False)
    monkeypatch.setattr(files, "_now", lambda: NOON, raising=False)
    with pytest.raises(Broken):
        await files.sweep()
    assert doomed == ["bad"]


# --- The bus and fan-out -----


def bus_with(handlers: dict[bytes, Callable[[bytes], None]]) -> Bus:
    bus = Bus.__new__(Bus)
    bus._handlers, bus._kind = handlers, b"smessage"
    return bus


def test_a_message_that_cannot_be_taken_in_ends_neither_the_line_nor_the_others() -> None:
    heard: list[bytes] = []
    bus = bus_with({b"bad": broken, b"good": heard.append})
    bus._pushed([b"smessage", b"bad", b"1"])
    bus._pushed([b"smessage", b"good", b"2"])
    assert heard == [b"2"]


async def test_an_observer_that_raises_keeps_no_other_from_hearing_of_a_new_line() -> None:
    heard: list[str] = []
    bus = bus_with({b"channel": broken})
    bus._leaving, bus._confirming = {}, 0
    bus.reconnected = [broken, lambda: heard.append("reconnected")]

    async def run(commands: object) -> list[object]:
        return []

    line = SimpleNamespace(send=lambda data: None, run=run)
    await bus._subscribe_all(cast(Any, line), 7)
    assert heard == ["reconnected"]


class Receiver:
    """Raises for what `fails` says and notes the rest."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def hear(*arguments: Any) -> None:
            told = " ".join([name, *(str(each) for each in arguments[:1] if isinstance(each, str | int))])
            if told == self.fails:
                raise Broken
            self.heard.append(told)

        return hear


async def changes_of_two_chats(world: World) -> Changes:
    await world.happen(ANA, ROOM, await world.message(ANA, ROOM), MemberAdded(DAN))
    rows = list(world.unpublished)
    await world.happen(ANA, OTHER, await world.message(ANA, OTHER), MessageRead(1))
    whole = rows[0]
    for each in world.unpublished[1:]:
        whole.entries += each.entries
        whole.memberships |= each.memberships
        whole.moved |= each.moved
    whole.refused.append(Refused(ROOM, 0, 1, ANA, "x", None))
    world.unpublished.clear()
    return whole


@pytest.mark.parametrize(
    "fails", [f"on_chat {ROOM}", f"on_chat {OTHER}", "on_memberships", "on_refused", "on_progress 0"]
)
async def test_a_receiver_that_fails_at_one_hears_the_rest_and_the_fold_goes_on(world: World, fails: str) -> None:
    fanout = MemoryFanout()
    receiver = Receiver(fails)
    fanout.attach(cast(Any, receiver))
    await fanout.subscribe(chats=[ROOM, OTHER], users=[ANA, DAN])
    await fanout.publish(await changes_of_two_chats(world))
    every = {f"on_chat {ROOM}", f"on_chat {OTHER}", "on_memberships", "on_refused", "on_progress 0"}
    assert set(receiver.heard) == every - {fails}


def fanout_over(posted: list[Any], receiver: object = None) -> RedisFanout:
    def post(messages: Any) -> bool:
        posted.extend(messages)
        return True

    async def room() -> None: ...

    fanout = RedisFanout(cast(Any, SimpleNamespace(post=post, room=room)), namespace="n", partitions=2)
    fanout.attach(cast(Any, receiver))
    return fanout


async def test_an_observer_of_changes_that_raises_keeps_them_from_nobody(world: World) -> None:
    posted: list[Any] = []
    fanout = fanout_over(posted)
    heard: list[Changes] = []
    fanout.observers += [broken, heard.append]
    changes = await changes_of_two_chats(world)
    await fanout.publish(changes)
    assert heard == [changes]
    assert posted


async def test_a_receiver_that_fails_at_one_thing_of_a_message_hears_the_rest() -> None:
    receiver = Receiver("on_memberships")
    fanout = fanout_over([], receiver)
    fanout._on_personal(encode(Personal([Membership(ANA, ROOM, 1, None, 0)], [Refused(ROOM, 0, 1, ANA, "x", None)])))
    assert receiver.heard == ["on_refused"]
    receiver = Receiver("on_progress 0")
    fanout = fanout_over([], receiver)
    fanout._on_digest(cast(Any, receiver), Digest("p", 1, {0: 1, 1: 1}, {ROOM: 1}))
    assert receiver.heard == ["on_progress 1", "on_resync", "on_digest"]


async def test_a_process_of_another_release_keeps_no_other_out_of_the_overview() -> None:
    good = Process(name="b", kind="gateway", version="1", since=NOON, sessions=0, users=0, partitions=())

    async def run(*command: Any) -> Any:
        return {b"a", b"b"} if command[0] == "SMEMBERS" else [b"{}", msgspec.json.encode(good)]

    assert await RedisRoster(cast(Any, SimpleNamespace(run=run)), namespace="n").all() == [good]
