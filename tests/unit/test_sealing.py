"""Sealing bodies: what a seal binds, how long keys are held, and what an erasure does at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import BadToken, Corrupt, Invalid, Unavailable
from commands.sealing import Sealer


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class KeysInMemory:
    def __init__(self, *authors: str) -> None:
        self.keys: dict[str, bytes | None] = {author: os.urandom(32) for author in authors}
        self.away = False
        self.asked: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.asking = asyncio.Event()

    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        if self.away:
            raise Unavailable("no SQL")
        self.asked.append(list(author_ids))
        found = {author: self.keys[author] for author in author_ids if author in self.keys}
        self.asking.set()
        if self.gate is not None:
            await self.gate.wait()
        return found


def sealer(keys: KeysInMemory, clock: Clock | None = None, capacity: int = 100) -> Sealer:
    return Sealer(keys, life_s=600, capacity=capacity, clock=clock or Clock())


async def test_a_body_comes_back_as_it_was_written() -> None:
    seals = sealer(KeysInMemory("ana"))
    await seals.warm(["ana"])
    sealed = seals.seal("chat", "m1", "ana", "grüße 🎈")
    assert "grüße".encode() not in sealed
    assert seals.open("chat", "m1", "ana", sealed) == "grüße 🎈"


async def test_the_same_words_are_sealed_differently_each_time() -> None:
    seals = sealer(KeysInMemory("ana"))
    await seals.warm(["ana"])
    assert seals.seal("chat", "m1", "ana", "hi") != seals.seal("chat", "m1", "ana", "hi")


@pytest.mark.parametrize(
    "place",
    [("other", "m1", "ana"), ("chat", "m2", "ana"), ("chat", "m1", "ben")],
    ids=["chat", "id", "author"],
)
async def test_a_body_moved_to_another_place_does_not_open(place: tuple[str, str, str]) -> None:
    keys = KeysInMemory("ana")
    keys.keys["ben"] = keys.keys["ana"]  # even with the same key
    seals = sealer(keys)
    await seals.warm(["ana", "ben"])
    sealed = seals.seal("chat", "m1", "ana", "hi")
    with pytest.raises(Corrupt):
        seals.open(*place, sealed)


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=40), at=st.integers(0), bit=st.integers(0, 7))
def test_a_body_with_any_bit_flipped_does_not_open(text: str, at: int, bit: int) -> None:
    async def play() -> None:
        seals = sealer(KeysInMemory("ana"))
        await seals.warm(["ana"])
        sealed = bytearray(seals.seal("chat", "m1", "ana", text))
        sealed[at % len(sealed)] ^= 1 << bit
        with pytest.raises(Corrupt):
            seals.open("chat", "m1", "ana", bytes(sealed))

    asyncio.run(play())


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"0" * 12, b"\x02" + b"0" * 40])
async def test_a_body_cut_short_or_of_another_format_does_not_open(sealed: bytes) -> None:
    seals = sealer(KeysInMemory("ana"))
    await seals.warm(["ana"])
    with pytest.raises(Corrupt):
        seals.open("chat", "m1", "ana", sealed)


async def test_a_lone_surrogate_cannot_be_sealed() -> None:
    seals = sealer(KeysInMemory("ana"))
    await seals.warm(["ana"])
    with pytest.raises(Invalid):
        seals.seal("chat", "m1", "ana", "\ud800")


async def test_nothing_is_sealed_or_opened_before_the_key_is_at_hand() -> None:
    seals = sealer(KeysInMemory("ana"))
    assert not seals.ready("ana")
    with pytest.raises(Unavailable):
        seals.seal("chat", "m1", "ana", "hi")
    with pytest.raises(Unavailable):
        seals.open("chat", "m1", "ana", b"\x01")


async def test_a_page_opens_in_its_order_with_erased_bodies_as_none() -> None:
    keys = KeysInMemory("ana", "ben")
    seals = sealer(keys)
    await seals.warm(["ana", "ben"])
    page = [(f"c{i}", f"m{i}", who, seals.seal(f"c{i}", f"m{i}", who, f"t{i}")) for i, who in enumerate(("ana", "ben"))]
    keys.keys["ana"] = None
    assert await sealer(keys).opened(page) == [None, "t1"]


async def test_an_erasure_holds_at_once_in_this_process() -> None:
    keys = KeysInMemory("ana")
    seals = sealer(keys)
    await seals.warm(["ana"])
    sealed = seals.seal("chat", "m1", "ana", "hi")
    seals.forget("ana")
    assert seals.open("chat", "m1", "ana", sealed) is None
    with pytest.raises(BadToken):
        seals.seal("chat", "m2", "ana", "hi")


async def test_an_answer_older_than_the_erasure_does_not_bring_the_key_back() -> None:
    keys = KeysInMemory("ana")
    keys.gate = asyncio.Event()
    seals = sealer(keys)
    warming = asyncio.create_task(seals.warm(["ana"]))
    await keys.asking.wait()
    seals.forget("ana")
    keys.gate.set()
    await warming
    assert seals.open("chat", "m1", "ana", b"\x01") is None


async def test_a_key_lives_only_so_long_without_being_asked_for() -> None:
    clock, keys = Clock(), KeysInMemory("ana")
    seals = sealer(keys, clock)
    await seals.warm(["ana"])
    clock.at += 600
    assert seals.ready("ana")
    clock.at += 1
    assert not seals.ready("ana")


async def test_a_key_in_use_is_asked_for_again_and_stays_ready() -> None:
    clock, keys = Clock(), KeysInMemory("ana")
    seals = sealer(keys, clock)
    await seals.warm(["ana"])
    for _ in range(40):
        clock.at += 30
        seals.seal("chat", "m1", "ana", "hi")
        await seals.refresh()
    assert 2 <= len(keys.asked) <= 5


async def test_a_key_destroyed_elsewhere_is_noticed_within_its_life() -> None:
    clock, keys = Clock(), KeysInMemory("ana")
    seals = sealer(keys, clock)
    await seals.warm(["ana"])
    sealed = seals.seal("chat", "m1", "ana", "hi")
    keys.keys["ana"] = None
    for _ in range(20):
        clock.at += 30
        await seals.refresh()
    assert seals.open("chat", "m1", "ana", sealed) is None


async def test_an_unused_key_is_dropped_when_its_life_ends() -> None:
    clock, keys = Clock(), KeysInMemory("ana")
    seals = sealer(keys, clock)
    await seals.warm(["ana"])
    for _ in range(60):
        clock.at += 30
        await seals.refresh()
    asked = len(keys.asked)
    for _ in range(60):
        clock.at += 30
        await seals.refresh()
    assert not seals.ready("ana")
    assert len(keys.asked) == asked


async def test_known_users_go_on_while_sql_is_away_and_their_keys_are_checked_once_it_is_back() -> None:
    clock, keys = Clock(), KeysInMemory("ana", "ben")
    seals = sealer(keys, clock)
    await seals.warm(["ana", "ben"])
    sealed = seals.seal("chat", "m1", "ana", "hi")
    keys.away = True
    for _ in range(1000):
        clock.at += 30
        await seals.refresh()
        assert seals.ready("ana")
        assert seals.ready("ben")
    keys.away = False
    keys.keys["ana"] = None
    for _ in range(21):
        clock.at += 30
        await seals.refresh()
    assert seals.open("chat", "m1", "ana", sealed) is None


async def test_the_cache_is_bounded_and_keeps_those_in_use() -> None:
    authors = [f"u{i}" for i in range(50)]
    clock = Clock()
    seals = sealer(KeysInMemory("ana", *authors), clock, capacity=10)
    await seals.warm(["ana"])
    for author in authors:
        clock.at += 1
        seals.seal("chat", "m1", "ana", "hi")
        await seals.warm([author])
        assert seals.ready(author)
    assert seals.ready("ana")
    assert sum(seals.ready(author) for author in authors) <= 9


async def test_what_a_page_needs_is_not_pushed_out_by_the_rest_of_the_page() -> None:
    authors = [f"u{i}" for i in range(9)]
    clock = Clock()
    keys = KeysInMemory("ana", "ben", *authors)
    seals = sealer(keys, clock, capacity=10)
    await seals.warm(["ana"])
    sealed = seals.seal("chat", "m1", "ana", "hi")
    clock.at += 1
    await seals.warm(authors)
    clock.at += 1
    for author in authors:
        seals.seal("chat", "m1", author, "used after")
    clock.at += 1
    await seals.warm(["ana", "ben"])
    assert seals.open("chat", "m1", "ana", sealed) == "hi"


async def test_many_keys_are_asked_for_together_and_only_once() -> None:
    keys = KeysInMemory("ana", "ben")
    seals = sealer(keys)
    await seals.warm(["ana", "ben", "ana"])
    await seals.warm(["ana", "ben"])
    assert keys.asked == [["ana", "ben"]]
