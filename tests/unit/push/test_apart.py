"""One device, one message or one chat that makes something raise keeps no other from being pushed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from commands.chat import Chat, Member
from commands.devices import Addressee, Device
from commands.errors import Corrupt, Unavailable
from events.log import NOTIFICATIONS_TOPIC, RETRIES_TOPIC
from infra.push.retry_after import seconds
from infra.push.role import PushRole
from projections.ports import Changes, Entry, Parked
from streams.push.apart import sent_apart
from streams.push.backoff import GIVE_UP_S, delay_ms
from streams.push.notifier import Notifier
from streams.push.plan import Planner, Wanted
from streams.push.ports import Outcome, Push
from streams.push.queues import Item
from streams.push.records import Note, Retry, decode_retry, encode_note, encode_retry
from streams.push.stream import PushStream
from streams.push.together import Together

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
TAG = "log"
BAD = "bad"
"""A chat, a user or a device with this in its name makes something raise."""


def device(user_id: str, name: str = "") -> Device:
    return Device(user_id, name or f"phone of {user_id}", "IOS", f"token of {name or user_id}", "session", NOW)


def push(user_id: str, chat_id: str = "tea") -> Push:
    return Push(device(user_id), chat_id, 1, "message", None, "hello", 1, NOW + timedelta(hours=1))


# --- planning ----------------------------------------------------------------------------------------------------


class Views:
    """Chats of Ana with one other member each, who is called after the chat."""

    async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
        found = {}
        for chat_id in chat_ids:
            chat = found[chat_id] = Chat(chat_id, "group", "Tea", seq=9)
            for user_id in ("ana", f"reader of {chat_id}"):
                chat.members[user_id] = Member(user_id, "member", 1, 1, 0, 0, 0)
        return found

    async def entries_at(self, keys: Sequence[tuple[str, int]]) -> list[Entry]:
        at_us = int(NOW.timestamp() * 1_000_000)
        raw = b'{"message_id":"m","kind":"TEXT","body":"AA=="}'
        return [
            Entry(chat_id, seq, seq, seq, at_us, "message.sent", "ana", b"\xff" if BAD in chat_id else raw)
            for chat_id, seq in keys
        ]

    async def unread_of(self, user_ids: Collection[str]) -> dict[str, int]:
        return dict.fromkeys(user_ids, 1)


class Devices:
    def __init__(self, per_user: int = 1) -> None:
        self.per_user = per_user
        self.removed: list[str] = []

    async def addressees(self, user_ids: Collection[str], now: datetime) -> list[Addressee]:
        return [
            Addressee(device(user_id, f"{user_id} {number}"), True, "en")
            for user_id in sorted(user_ids)
            for number in range(self.per_user)
        ]

    async def muted(self, pairs: Collection[tuple[str, str]], now: datetime) -> set[tuple[str, str]]:
        return set()

    async def remove_token(self, gone: Device) -> None:
        if BAD in gone.device_id:
            raise ZeroDivisionError
        self.removed.append(gone.device_id)


class Keys:
    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.unknown: set[str] = set()

    def ready(self, author_id: str) -> bool:
        return author_id not in self.broken | self.unknown

    async def warm(self, author_ids: Collection[str]) -> None:
        if self.broken.intersection(author_ids):
            raise Corrupt("a key does not open")

    def open(self, chat_id: str, message_id: str, author_id: str, sealed: bytes) -> str:
        if author_id in self.unknown:
            raise Unavailable("the author's sealing key is not at hand")
        return "hello"


class People:
    async def users(self, user_ids: Collection[str]) -> list[Any]:
        return [SimpleNamespace(user_id=user_id, display_name=user_id) for user_id in user_ids]


async def nobody(user_ids: Collection[str]) -> set[str]:
    return set()


def planner(views: Any = None, devices: Devices | None = None, keys: Keys | None = None) -> Planner:
    made: Any = (views or Views(), devices or Devices(), People(), keys or Keys(), nobody, lambda: NOW)
    return Planner(*made)


CHATS = ["tea", f"{BAD} 1", "coffee", "water", f"{BAD} 2", "milk"]


async def test_a_message_that_cannot_be_read_keeps_no_other_from_being_planned() -> None:
    pushes, late, failed = await Together(planner(), linger_s=0).plan([Wanted(chat, 1) for chat in CHATS])
    assert [one.chat_id for one, _ in pushes] == ["tea", "coffee", "water", "milk"]
    assert late == []
    assert [(one.chat_id, "cannot be planned" in why) for one, why in failed] == [
        (f"{BAD} 1", True),
        (f"{BAD} 2", True),
    ]


async def test_what_fails_by_itself_is_told_to_whoever_wanted_it_and_not_to_others() -> None:
    together = Together(planner(), linger_s=0.01)
    bad, good = await asyncio.gather(together.plan([Wanted(BAD, 1)]), together.plan([Wanted("tea", 1)]))
    assert (len(bad[0]), len(bad[2])) == (0, 1)
    assert (len(good[0]), len(good[2])) == (1, 0)


@pytest.mark.parametrize("call", ["chats", "entries_at", "unread_of"])
async def test_a_view_that_raises_over_one_chat_keeps_no_other_from_being_planned(call: str) -> None:
    views = Views()
    original = getattr(views, call)

    async def raises(asked: Collection[Any]) -> Any:
        if any(BAD in str(each) for each in asked):
            raise KeyError(BAD)
        return await original(asked)

    setattr(views, call, raises)
    if call != "entries_at":
        views.entries_at = _readable  # type: ignore[method-assign]
    pushes, _, failed = await Together(planner(views), linger_s=0).plan([Wanted(chat, 1) for chat in CHATS])
    assert (len(pushes), len(failed)) == (4, 2)


async def _readable(keys: Sequence[tuple[str, int]]) -> list[Entry]:
    [like] = await Views().entries_at([("tea", 1)])
    return [Entry(chat, seq, seq, seq, like.at_us, like.type, like.actor_id, like.raw) for chat, seq in keys]


async def test_a_device_for_which_no_push_can_be_made_keeps_no_other_from_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streams.push import plan

    def breaks(case: Any, addressee: Addressee, *rest: Any) -> Push:
        if addressee.device.device_id.endswith("1"):
            raise ZeroDivisionError
        return original(case, addressee, *rest)

    original = plan._push
    monkeypatch.setattr(plan, "_push", breaks)
    pushes, late = await planner(devices=Devices(3)).plan([Wanted("tea", 1)])
    assert [each.device.device_id[-1] for _, each in pushes] == ["0", "2"]
    assert late == []


async def test_a_body_whose_key_does_not_open_or_is_not_there_is_pushed_without_it() -> None:
    for field in ("broken", "unknown"):
        keys = Keys()
        getattr(keys, field).add("ana")
        pushes, _ = await planner(keys=keys).plan([Wanted("tea", 1), Wanted("coffee", 1)])
        assert [each.body for _, each in pushes] == ["ana: New message"] * 2, field


async def test_while_keys_cannot_be_asked_for_nothing_is_planned() -> None:
    class Away(Keys):
        async def warm(self, author_ids: Collection[str]) -> None:
            raise Unavailable("no SQL")

    with pytest.raises(Unavailable):
        await Together(planner(keys=Away()), linger_s=0).plan([Wanted("tea", 1)])


@pytest.mark.parametrize(
    ("visible_from", "read_seq", "hears"), [(3, 0, True), (4, 0, False), (9, 2, False), (1, 3, False)]
)
async def test_only_those_hear_of_a_message_who_may_see_it_and_have_not_read_it(
    visible_from: int, read_seq: int, hears: bool
) -> None:
    """Their marks alone do not tell: who came later may have none."""

    class Later(Views):
        async def chats(self, chat_ids: Collection[str]) -> dict[str, Chat]:
            found = await super().chats(chat_ids)
            found["tea"].members["reader of tea"] = Member(
                "reader of tea", "member", visible_from, visible_from, 0, read_seq, 0
            )
            return found

    pushes, _ = await planner(Later()).plan([Wanted("tea", 3)])
    assert bool(pushes) is hears


# --- sending -----------------------------------------------------------------------------------------------------


class Provider:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        if any(BAD in each.device.user_id for each in pushes):
            raise UnicodeEncodeError("ascii", "…", 0, 1, "a bad token")
        self.sent += [each.device.user_id for each in pushes]
        return [Outcome("gone" if "gone" in each.device.user_id else "sent") for each in pushes]

    async def close(self) -> None: ...


async def test_a_push_over_which_a_provider_raises_keeps_no_other_from_being_sent() -> None:
    provider = Provider()
    users = ["ana", f"{BAD} 1", "ben", "cleo", f"{BAD} 2"]
    outcomes = await sent_apart(provider.send, [push(user) for user in users])
    assert [outcome.result for outcome in outcomes] == ["sent", "busy", "sent", "sent", "busy"]
    assert sorted(provider.sent) == ["ana", "ben", "cleo"]
    assert "a bad token" in outcomes[1].detail


async def test_a_provider_that_answers_too_little_is_not_believed() -> None:
    async def send(pushes: Sequence[Push]) -> list[Outcome]:
        return [Outcome("sent")] * (len(pushes) - 1)

    outcomes = await sent_apart(send, [push("ana"), push("ben")])
    assert [outcome.result for outcome in outcomes] == ["busy", "busy"]


class Kept:
    """A queue of retries, letters and a journal, which keep what they are given."""

    def __init__(self) -> None:
        self.retries: list[Retry] = []
        self.dead: list[Parked] = []
        self.done_below = 0

    async def put(self, partition: Any, items: Sequence[Any] = ()) -> None:
        if isinstance(partition, int):
            self.retries += [decode_retry(*item) for item in items]
        else:
            self.dead += partition


class Held:
    """A partition with some items, which closes when they are done."""

    partition = 0

    def __init__(self, items: Sequence[tuple[str, bytes]]) -> None:
        self.items = [Item(offset, *item) for offset, item in enumerate(items)]
        self.closing = False
        self.done_below = 0

    async def before(self, limit: int) -> Sequence[Item]:
        return []

    async def take(self, limit: int) -> Sequence[Item]:
        taken, self.items = self.items, []
        if not taken:
            self.closing = True
        return taken

    async def done(self, offset: int) -> None:
        self.done_below = offset


def stream(provider: Any, kept: Kept, devices: Devices, plans: Any = None, journal: Any = None) -> PushStream:
    async def now_and_then(sent: Any) -> None:
        if journal is not None:
            journal(sent)

    made: Any = (
        plans or planner(devices=devices),
        {"IOS": provider},
        devices,
        kept,
        dict.fromkeys((NOTIFICATIONS_TOPIC, RETRIES_TOPIC), kept),
        TAG,
        lambda: NOW,
    )
    return PushStream(*made, journal=now_and_then, chance=lambda: 0.0)


def notes(*chats: str) -> list[tuple[str, bytes]]:
    return [encode_note(Note(chat, 1, offset, TAG)) for offset, chat in enumerate(chats)]


async def test_whatever_fails_for_one_the_others_are_pushed_and_the_queue_goes_on() -> None:
    provider, kept, devices, held = Provider(), Kept(), Devices(), Held(notes(*CHATS, "gone"))

    def journal(sent: Any) -> None:
        raise ZeroDivisionError

    await stream(provider, kept, devices, journal=journal).notifications(held)
    readers = sorted(f"reader of {chat}" for chat in ("tea", "coffee", "water", "milk", "gone"))
    assert sorted(provider.sent) == readers
    assert held.done_below == len(CHATS) + 1
    assert sorted(retry.chat_id for retry in kept.retries) == [f"{BAD} 1", f"{BAD} 2"]
    assert all("cannot be planned" in retry.reason for retry in kept.retries)
    assert devices.removed == ["reader of gone 0"]


async def test_a_token_that_cannot_be_removed_keeps_no_outcome_from_being_stored() -> None:
    class Busy(Provider):
        async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
            return [Outcome("gone" if "tea" in each.device.user_id else "busy") for each in pushes]

    kept, devices, held = Kept(), Devices(), Held(notes("tea", "coffee"))

    async def remove_token(gone: Device) -> None:
        raise ZeroDivisionError

    devices.remove_token = remove_token  # type: ignore[method-assign]
    await stream(Busy(), kept, devices).notifications(held)
    assert [retry.chat_id for retry in kept.retries] == ["coffee"]
    assert held.done_below == 2


async def test_a_retry_that_waits_for_ever_holds_nobody_up() -> None:
    """Stored while a clock was years ahead, or by nobody of ours."""
    waits = [
        encode_retry(Retry(chat, 1, TAG, None, None, 1, NOW_MS, due_ms, ""))
        for chat, due_ms in (("tea", NOW_MS + 10**12), ("coffee", NOW_MS - 1))
    ]
    provider, held = Provider(), Held([*waits, ("water", b"\xff")])
    async with asyncio.timeout(5):
        await stream(provider, Kept(), Devices()).retries(held)
    assert provider.sent == ["reader of tea", "reader of coffee"]
    assert held.done_below == 3


@pytest.mark.parametrize("asked", [0.0, 86_400.0, 1e9, float("inf")])
def test_no_provider_makes_a_push_wait_longer_than_a_day(asked: float) -> None:
    queue, wait_ms = delay_ms(1, asked, lambda: 1.0)
    assert 0 <= wait_ms <= GIVE_UP_S * 1.25 * 1000
    assert 0 <= queue < 6


@pytest.mark.parametrize(
    "said", ["9" * 400, "x", "", "Mon, 99 Foo 99999999999 99:99:99 GMT", "Fri, 1 Jan 0000 00:00:00 GMT"]
)
def test_whatever_a_provider_says_of_when_to_come_back_is_no_error(said: str) -> None:
    after = seconds(said, lambda: NOW)
    assert after is None or after >= 0


# --- the fold's side, and the role -------------------------------------------------------------------------------


async def test_a_note_that_cannot_be_read_does_not_stop_the_fold() -> None:
    put: list[Any] = []

    class Shelf:
        async def tail(self, partition: int, limit: int) -> list[Item]:
            return [Item(0, "tea", b"\xff"), Item(1, *encode_note(Note("tea", 1, 5, TAG)))]

        async def put(self, partition: int, items: Sequence[Any]) -> None:
            put.extend(items)

    shelf: Any = Shelf()
    notifier = Notifier(shelf, TAG, lambda: NOW, lambda: True)
    await notifier.take_over(0)
    at_us = int(NOW.timestamp() * 1_000_000)
    entries = [Entry("tea", seq, seq, 4 + seq, at_us, "message.sent", "ana", b"") for seq in (1, 2)]
    await notifier.notify(Changes(0, 7, entries))
    assert len(put) == 1, "the one that is stored is known, though it stands beside one that cannot be read"


async def test_the_role_begins_again_whatever_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.push.role.AGAIN_S", 0)
    errors: list[Exception] = [ZeroDivisionError(), Unavailable("away"), ExceptionGroup("some", [KeyError()])]
    again = asyncio.Event()

    class Holder:
        async def hold(self, works: Any) -> None:
            if errors:
                raise errors.pop()
            again.set()
            await asyncio.Event().wait()

    holder: Any = Holder()
    role = asyncio.create_task(PushRole(stream(Provider(), Kept(), Devices()), holder).run())
    async with asyncio.timeout(5):
        await again.wait()
    assert not errors
    role.cancel()
    await asyncio.gather(role, return_exceptions=True)
