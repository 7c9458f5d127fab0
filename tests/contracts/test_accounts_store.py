"""What every store of accounts and sessions must do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from commands.accounts import Mark
from commands.errors import UsernameTaken
from commands.sessions import Session
from commands.users import Account, User
from events.ids import uuid7
from tests.support.people import NOON, Site, site
from tests.support.postgres import database

LATER = NOON + timedelta(minutes=5)


@pytest.fixture(params=["sqlite", "postgres"])
async def its(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    url = await database(request.getfixturevalue("postgres")) if request.param == "postgres" else None
    async with site(tmp_path, url=url) as made:
        yield made


def account(username: str, display_name: str | None = None) -> Account:
    return Account(uuid7(NOON), username, display_name or username, "hash", NOON)


def session(of: Account, minutes: int = 0) -> Session:
    at = NOON + timedelta(minutes=minutes)
    return Session(uuid7(at), of.user_id, b"s" * 16, 0, at, at, at + timedelta(days=30), None, "a browser")


async def names(its: Site, prefix: str, limit: int = 50) -> list[str]:
    """All pages of a search."""
    found: list[str] = []
    after: Mark | None = None
    while True:
        page = await its.store.search(prefix, after, limit)
        assert len(page.users) <= limit
        found += [user.username for user in page.users]
        if page.following is None:
            return found
        after = page.following


async def test_an_account_comes_back_as_it_was_added(its: Site) -> None:
    ana = replace(account("ana", "Ana 🎈"), push_preview=False, locale="pt-BR", admin=True)
    await its.store.add(ana)
    assert await its.store.by_username("ana") == ana
    assert await its.store.by_id(ana.user_id) == ana


async def test_nobody_is_found_where_nobody_is(its: Site) -> None:
    assert await its.store.by_username("ana") is None
    assert await its.store.by_id("no id at all") is None
    assert await its.store.users([]) == []
    assert await its.store.users(["x"]) == []


async def test_a_username_is_taken_once(its: Site) -> None:
    await its.store.add(account("ana"))
    with pytest.raises(UsernameTaken):
        await its.store.add(account("ana"))


async def test_the_users_among_ids(its: Site) -> None:
    ana, ben = account("ana"), account("ben")
    await its.store.add(ana)
    await its.store.add(ben)
    assert set(await its.store.users([ana.user_id, "x", ben.user_id, ana.user_id])) == {ana.user, ben.user}


async def test_a_search_gives_usernames_first_then_display_names_each_once(its: Site) -> None:
    people = [("zed", "Ana Bee"), ("anna", "Zoe"), ("ana", "Ana"), ("bob", "ANA Cox"), ("eve", "Banana")]
    for username, display_name in people:
        await its.store.add(account(username, display_name))
    assert await names(its, "an") == ["ana", "anna", "zed", "bob"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_of_a_search_neither_repeat_nor_skip(its: Site, limit: int) -> None:
    for number in range(7):
        await its.store.add(account(f"sam{number}" if number % 2 else f"x{number}", "Sam"))
    assert sorted(await names(its, "sam", limit)) == sorted(await names(its, "sam", 200))
    assert len(await names(its, "sam", limit)) == 7


@pytest.mark.parametrize("prefix", ["%", "_", "a_", "*", "'", "\\"])
async def test_a_search_takes_signs_literally(its: Site, prefix: str) -> None:
    await its.store.add(account("abc", "abc"))
    assert await names(its, prefix) == []
    await its.store.add(account("other", f"{prefix} it is"))
    assert await names(its, prefix) == ["other"]


async def test_a_search_sees_no_case_and_no_spelling_variants(its: Site) -> None:
    await its.store.add(account("one", "STRASSE"))
    await its.store.add(account("two", "ﬁn"))  # a ligature
    assert await names(its, "strasse") == ["one"]
    assert await names(its, "fin") == ["two"]


async def test_a_profile_changes_in_the_named_fields_only(its: Site) -> None:
    ana = replace(account("ana"), locale="de")
    await its.store.add(ana)
    assert await its.store.update(ana.user_id, {"display_name": "Ana B"}) == replace(ana, display_name="Ana B")
    changed = replace(ana, display_name="Ana B", locale=None, push_preview=False)
    assert await its.store.update(ana.user_id, {"locale": None, "push_preview": False}) == changed
    assert await its.store.update(ana.user_id, {}) == changed
    assert await names(its, "ana b") == ["ana"]
    assert await its.store.update("nobody", {"display_name": "x"}) is None


async def test_a_password_changes_only_from_the_one_that_was_read(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    assert await its.store.set_password(ana, "second")
    assert not await its.store.set_password(ana, "third")
    assert await its.store.change_password(ana, "third", NOON, "x") is None
    read = await its.store.by_id(ana.user_id)
    assert read is not None
    assert read.password_hash == "second"


async def test_the_admin_role_is_given_and_taken(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    for admin in (True, False):
        assert await its.store.set_admin("ana", admin)
        assert await its.store.by_id(ana.user_id) == replace(ana, admin=admin)
    assert not await its.store.set_admin("nobody", True)


async def test_mutes_are_kept_for_each_user_and_chat(its: Site) -> None:
    ana, ben = account("ana"), account("ben")
    await its.store.add(ana)
    await its.store.add(ben)
    await its.store.set_mute(ana.user_id, "c1", NOON)
    await its.store.set_mute(ana.user_id, "c1", LATER)
    await its.store.set_mute(ana.user_id, "c2", NOON)
    await its.store.set_mute(ana.user_id, "c2", None)
    await its.store.set_mute(ana.user_id, "c3", None)
    assert await its.store.mutes(ana.user_id, ["c1", "c2", "c3"]) == {"c1": LATER}
    assert await its.store.mutes(ben.user_id, ["c1"]) == {}
    assert await its.store.mutes(ana.user_id, []) == {}


async def test_an_erased_user_is_gone_and_the_username_stays_taken(its: Site) -> None:
    ana, ben = account("ana"), account("ben")
    await its.store.add(ana)
    await its.store.add(ben)
    first = session(ana)
    assert await its.session_store.add(first, ana)
    assert await its.store.erase(ana.user_id, LATER) == [first.session_id]
    assert await its.store.erase(ana.user_id, LATER) == []
    assert await its.store.by_id(ana.user_id) is None
    assert await its.store.by_username("ana") is None
    assert await its.store.users([ana.user_id, ben.user_id]) == [User(ben.user_id, "ben", "ben")]
    assert await names(its, "a") == []
    assert not await its.store.set_password(ana, "x")
    assert await its.store.update(ana.user_id, {"display_name": "x"}) is None
    assert not await its.session_store.add(session(ana), ana)
    with pytest.raises(UsernameTaken):
        await its.store.add(account("ana"))


async def test_an_erased_user_is_leaving_until_said_to_have_left(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    assert await its.store.leaving() == []
    await its.store.erase(ana.user_id, LATER)
    assert await its.store.leaving() == [ana.user_id]
    assert await its.store.erased_since(LATER) == []
    await its.store.left(ana.user_id)
    assert await its.store.leaving() == []
    assert await its.store.erased_since(LATER) == [ana.user_id]
    assert await its.store.erased_since(LATER + timedelta(seconds=1)) == []


async def test_an_erasure_destroys_the_key_and_notes_when(its: Site) -> None:
    ana, ben = account("ana"), account("ben")
    await its.store.add(ana)
    await its.store.add(ben)
    before = await its.keys.load([ana.user_id, ben.user_id, "x"])
    await its.store.erase(ana.user_id, LATER)
    assert await its.keys.load([ana.user_id, ben.user_id]) == {
        ana.user_id: None,
        ben.user_id: before[ben.user_id],
    }
    assert await its.keys.destroyed() == await its.keys.destroyed(NOON) == [(ana.user_id, LATER)]
    assert await its.keys.destroyed(LATER) == []
    assert len({len(key or b"") for key in before.values()} | {32}) == 1
    assert len(set(before.values())) == 2


async def test_a_session_comes_back_with_its_user(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    first = session(ana)
    assert await its.session_store.add(first, ana)
    assert await its.session_store.get(first.session_id) == (first, ana)
    assert await its.session_store.get("x") is None


async def test_no_session_starts_under_a_password_that_was_replaced(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    await its.store.set_password(ana, "second")
    assert not await its.session_store.add(session(ana), ana)


async def test_a_session_rotates_once_from_each_generation(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    first = session(ana)
    await its.session_store.add(first, ana)
    second = replace(first, generation=1, used_at=LATER, expires_at=LATER, request_id="r1")
    assert await its.session_store.rotate(second)
    assert not await its.session_store.rotate(replace(second, request_id="r2"))
    assert await its.session_store.get(first.session_id) == (second, ana)


async def test_sessions_end_all_or_one_or_all_but_one(its: Site) -> None:
    ana, ben = account("ana"), account("ben")
    await its.store.add(ana)
    await its.store.add(ben)
    own = [session(ana, minute) for minute in range(4)]
    other = session(ben)
    for each in own:
        await its.session_store.add(each, ana)
    await its.session_store.add(other, ben)
    ids = [each.session_id for each in own]
    end = its.session_store.end
    assert await end(ana.user_id, LATER, only=other.session_id) == []
    assert await end(ana.user_id, LATER, only=ids[0]) == [ids[0]]
    assert await end(ana.user_id, LATER, only=ids[0]) == []
    assert set(await end(ana.user_id, LATER, but=ids[3])) == {ids[1], ids[2]}
    assert await end(ana.user_id, LATER) == [ids[3]]
    assert await its.session_store.get(ids[3]) is None
    assert not await its.session_store.rotate(replace(own[3], generation=1))
    assert await its.session_store.get(other.session_id) is not None


async def test_sessions_are_listed_newest_first_without_those_that_ran_out(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    own = [session(ana, minute) for minute in range(3)]
    own[1] = replace(own[1], expires_at=NOON + timedelta(minutes=10))
    for each in own:
        await its.session_store.add(each, ana)
    listed = await its.session_store.of_user(ana.user_id, LATER, None, 10)
    assert listed == own[::-1]
    assert await its.session_store.of_user(ana.user_id, NOON + timedelta(minutes=10), None, 1) == [own[2]]
    assert await its.session_store.of_user(ana.user_id, LATER, own[1].session_id, 10) == [own[0]]


async def test_the_sessions_that_ended_lately_are_known_and_older_ones_forgotten(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    own = [session(ana, minute) for minute in range(3)]
    for each in own:
        await its.session_store.add(each, ana)
    for minute, each in enumerate(own[:2]):
        await its.session_store.end(ana.user_id, NOON + timedelta(minutes=minute), only=each.session_id)
    at = NOON + timedelta(minutes=1)
    first, second = ((each.session_id, ana.user_id, when) for each, when in zip(own, (NOON, at), strict=False))
    assert await its.session_store.ended_after(NOON) == [second]
    assert await its.session_store.ended_after(NOON - timedelta(hours=1)) == [first, second]
    await its.session_store.forget_ended(NOON)
    assert await its.session_store.ended_after(NOON - timedelta(hours=1)) == [second]


async def test_signing_in_drops_sessions_that_ran_out(its: Site) -> None:
    ana = account("ana")
    await its.store.add(ana)
    old = replace(session(ana), expires_at=LATER)
    await its.session_store.add(old, ana)
    await its.session_store.add(session(ana, 5), ana)
    assert await its.session_store.get(old.session_id) is None


async def test_the_store_answers(its: Site) -> None:
    await its.store.ping()
