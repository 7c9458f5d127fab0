"""Registering, signing in, sessions and erasure, on a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.accounts import MAY_COME_BACK, Accounts
from commands.errors import (
    BadCredentials,
    BadToken,
    Invalid,
    NoSuchUser,
    NotFound,
    NotYet,
    Unavailable,
    UsernameTaken,
)
from commands.sessions import ACCESS_LIFE, SignedIn
from commands.users import User
from infra.passwords import Argon2Passwords
from tests.support.people import PASSWORD, Clock, Site, copy_of, site
from tests.support.postgres import database


@pytest.fixture(params=["sqlite", "postgres"])
async def its(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    url = await database(request.getfixturevalue("postgres")) if request.param == "postgres" else None
    async with site(tmp_path, url=url) as made:
        yield made


async def register(its: Site, username: str = "ana") -> SignedIn:
    return await its.accounts.register(username, PASSWORD)


def session_of(its: Site, signed_in: SignedIn) -> str:
    return its.tokens.verify(signed_in.access_token).session_id


def is_signed_in(its: Site, signed_in: SignedIn) -> bool:
    try:
        its.tokens.verify(signed_in.access_token)
    except BadToken:
        return False
    return True


# --- registering and signing in ---


async def test_who_registers_is_signed_in(its: Site) -> None:
    answer = await its.accounts.register("Ana.B", PASSWORD)
    assert answer.user == User(answer.user.user_id, "ana.b", "ana.b")
    assert answer.expires_in == 900
    assert its.tokens.verify(answer.access_token).user_id == answer.user.user_id


async def test_usernames_differ_by_more_than_case(its: Site) -> None:
    await register(its, "ana")
    with pytest.raises(UsernameTaken):
        await register(its, "ANA")


async def test_of_two_who_register_a_name_at_once_one_gets_it(its: Site) -> None:
    answers = await asyncio.gather(*(register(its) for _ in range(5)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["SignedIn"] + ["UsernameTaken"] * 4


@pytest.mark.parametrize("username", ["", "ab", "a" * 33, "a b", "ana\n", "änä", "a/b", "\u212aate"])
async def test_a_username_out_of_shape_is_refused(its: Site, username: str) -> None:
    with pytest.raises(Invalid) as refused:
        await its.accounts.register(username, PASSWORD)
    assert [each.field for each in refused.value.errors] == ["username"]


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257])
async def test_a_password_too_short_or_too_long_is_refused(its: Site, password: str) -> None:
    with pytest.raises(Invalid):
        await its.accounts.register("ana", password)
    signed_in = await register(its)
    with pytest.raises(Invalid):
        await its.accounts.change_password(signed_in.user.user_id, "s", PASSWORD, password)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\0b", "a\nb", "\t", "\u200b", "a\u202eb"])
async def test_a_display_name_out_of_shape_is_refused(its: Site, name: str) -> None:
    with pytest.raises(Invalid):
        await its.accounts.register("ana", PASSWORD, name)
    signed_in = await register(its)
    with pytest.raises(Invalid):
        await its.accounts.update(signed_in.user.user_id, {"display_name": name})


async def test_signing_in_needs_the_right_name_and_password(its: Site) -> None:
    registered = await register(its)
    assert (await its.accounts.login("ANA", PASSWORD)).user == registered.user
    for username, password in (("ana", "wrong"), ("ana", ""), ("ben", PASSWORD), ("no such name!", PASSWORD)):
        with pytest.raises(BadCredentials):
            await its.accounts.login(username, password)


async def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(its: Site) -> None:
    counted = CountingPasswords()
    accounts = Accounts(its.store, its.sessions, counted, its.clock, its.chats.leave)
    await accounts.register("ana", PASSWORD)
    work = []
    for username in ("ana", "nobody", "no such name!"):
        counted.done = 0
        with pytest.raises(BadCredentials):
            await accounts.login(username, "wrong password")
        work.append(counted.done)
    counted.close()
    assert work == [1, 1, 1]


class CountingPasswords(Argon2Passwords):
    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_kib=8)
        self.done = 0

    async def hash(self, password: str) -> str:
        self.done += 1
        return await super().hash(password)

    async def verify(self, password_hash: str, password: str) -> bool:
        self.done += 1
        return await super().verify(password_hash, password)


async def test_composed_and_decomposed_accents_are_one_password(its: Site) -> None:
    await its.accounts.register("ana", "cafe\u0301 au lait")
    await its.accounts.login("ana", "caf\u00e9 au lait")


async def test_a_password_hashed_with_older_parameters_is_hashed_anew_at_sign_in(its: Site) -> None:
    await register(its)
    stronger = Argon2Passwords(time_cost=2, memory_kib=16)
    accounts = Accounts(its.store, its.sessions, stronger, its.clock, its.chats.leave)
    await accounts.login("ana", PASSWORD)
    account = await its.store.by_username("ana")
    assert account is not None
    assert not stronger.outdated(account.password_hash)
    await accounts.login("ana", PASSWORD)
    stronger.close()


async def test_when_too_many_sign_in_at_once_some_are_sent_away_for_a_moment(its: Site) -> None:
    await register(its)
    narrow = Argon2Passwords(time_cost=1, memory_kib=8, at_once=1, waiting=2)
    outcomes = await asyncio.gather(*(narrow.hash("x") for _ in range(5)), return_exceptions=True)
    sent_away = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(sent_away) == 2
    assert sent_away[0].retry_after_ms == 1000
    assert await narrow.verify(await narrow.hash("x"), "x")
    narrow.close()


async def test_a_user_known_otherwise_signs_in_without_password(its: Site) -> None:
    registered = await register(its)
    assert is_signed_in(its, await its.accounts.sign_in(registered.user.user_id))
    with pytest.raises(NoSuchUser):
        await its.accounts.sign_in("nobody")


# --- refreshing ---


async def test_a_refresh_gives_new_tokens_of_the_same_session(its: Site) -> None:
    first = await register(its)
    its.clock.advance(1000)
    assert not is_signed_in(its, first)
    second = await its.sessions.refresh(first.refresh_token)
    assert second.refresh_token != first.refresh_token
    assert its.tokens.verify(second.access_token).user_id == first.user.user_id
    assert (await its.sessions.refresh(second.refresh_token)).user == first.user


async def test_an_old_refresh_token_ends_the_session(its: Site) -> None:
    first = await register(its)
    second = await its.sessions.refresh(first.refresh_token)
    with pytest.raises(BadToken):
        await its.sessions.refresh(first.refresh_token)
    assert not is_signed_in(its, second)
    with pytest.raises(BadToken):
        await its.sessions.refresh(second.refresh_token)


async def test_a_lost_answer_is_given_again_under_its_request_id(its: Site) -> None:
    first = await register(its)
    second = await its.sessions.refresh(first.refresh_token, "r1")
    its.clock.advance(60)
    assert await its.sessions.refresh(first.refresh_token, "r1") == second
    assert is_signed_in(its, await its.sessions.refresh(second.refresh_token, "r2"))


async def test_a_lost_answer_is_given_again_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with site(tmp_path, clock) as its:
        first = await register(its)
        second = await its.sessions.refresh(first.refresh_token, "r1")
    async with site(tmp_path, clock) as its:
        assert await its.sessions.refresh(first.refresh_token, "r1") == second


@pytest.mark.parametrize(
    ("seconds", "request_id"), [(61, "r1"), (1, "r2"), (1, None)], ids=["too late", "another request", "without id"]
)
async def test_any_other_repeat_ends_the_session(its: Site, seconds: int, request_id: str | None) -> None:
    first = await register(its)
    second = await its.sessions.refresh(first.refresh_token, "r1")
    its.clock.advance(seconds)
    with pytest.raises(BadToken):
        await its.sessions.refresh(first.refresh_token, request_id)
    assert not is_signed_in(its, second)


async def test_two_generations_back_ends_the_session_even_under_the_same_request_id(its: Site) -> None:
    first = await register(its)
    second = await its.sessions.refresh(first.refresh_token, "r1")
    third = await its.sessions.refresh(second.refresh_token, "r1")
    with pytest.raises(BadToken):
        await its.sessions.refresh(first.refresh_token, "r1")
    assert not is_signed_in(its, third)


async def test_the_same_refresh_sent_twice_at_once_gives_one_answer(its: Site) -> None:
    first = await register(its)
    answers = await asyncio.gather(*(its.sessions.refresh(first.refresh_token, "r1") for _ in range(4)))
    assert len(set(answers)) == 1


async def test_a_refresh_token_runs_out_after_thirty_days_without_use(its: Site) -> None:
    signed_in = await register(its)
    for _ in range(3):
        its.clock.advance(29 * 86_400)
        signed_in = await its.sessions.refresh(signed_in.refresh_token)
    its.clock.advance(30 * 86_400)
    with pytest.raises(BadToken):
        await its.sessions.refresh(signed_in.refresh_token)


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: "",
        lambda token: "tdr_",
        lambda token: token[4:],
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token.replace(".0.", ".1."),
        lambda token: token.replace(".0.", "."),
        lambda token: token.replace(".0.", ".00."),
        lambda token: token.replace(".0.", ".-1."),
        lambda token: token.replace(".0.", ".²."),
        lambda token: token.replace(".0.", f".{'9' * 5000}."),
        lambda token: token[:6] + "é" + token[7:],
        lambda token: "tdr_\0.0.x",
    ],
)
async def test_a_forged_refresh_token_is_refused_and_ends_nothing(its: Site, forge) -> None:  # type: ignore[no-untyped-def]
    signed_in = await register(its)
    with pytest.raises(BadToken):
        await its.sessions.refresh(forge(signed_in.refresh_token))
    with pytest.raises(BadToken):
        await its.sessions.end_by(forge(signed_in.refresh_token))
    assert is_signed_in(its, await its.sessions.refresh(signed_in.refresh_token))


async def test_no_token_stands_in_the_database(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        first = await register(its)
        second = await its.sessions.refresh(first.refresh_token, "r1")
        await its.database.scrub()
        stored = its.path.read_bytes()
        assert first.user.username.encode() in stored
        for token in (first.refresh_token, second.refresh_token, second.access_token):
            assert token.rpartition(".")[2].encode() not in stored


# --- ending sessions ---


async def test_signing_out_refuses_the_tokens_at_once_and_tells_the_observers(its: Site) -> None:
    told: list[tuple[str, str]] = []
    its.ended.observers.append(lambda session_id, user_id: told.append((session_id, user_id)))
    signed_in, other = await register(its), await its.accounts.login("ana", PASSWORD)
    session_id = session_of(its, signed_in)
    await its.sessions.end_by(signed_in.refresh_token)
    assert not is_signed_in(its, signed_in)
    assert is_signed_in(its, other)
    assert told == [(session_id, signed_in.user.user_id)]
    await its.sessions.end_by(signed_in.refresh_token)
    assert len(told) == 1


async def test_a_session_that_ended_stays_so_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with site(tmp_path, clock) as its:
        signed_in = await register(its)
        await its.sessions.end_by(signed_in.refresh_token)
    async with site(tmp_path, clock) as its:
        assert not is_signed_in(its, signed_in)


async def test_ended_sessions_are_remembered_no_longer_than_their_tokens_live(its: Site) -> None:
    signed_in = await register(its)
    session_id = session_of(its, signed_in)
    await its.sessions.end_by(signed_in.refresh_token)
    assert session_id in its.ended
    its.clock.advance(900)
    other = await register(its, "ben")
    await its.sessions.end_by(other.refresh_token)
    assert session_id not in its.ended
    assert not is_signed_in(its, signed_in)


async def test_one_ends_ones_own_sessions_only(its: Site) -> None:
    ana, ben = await register(its, "ana"), await register(its, "ben")
    for session_id in (session_of(its, ana), "\0", ""):
        with pytest.raises(NotFound):
            await its.sessions.end(ben.user.user_id, session_id)
    assert is_signed_in(its, ana)
    await its.sessions.end(ana.user.user_id, session_of(its, ana))
    assert not is_signed_in(its, ana)


async def test_a_changed_password_ends_all_other_sessions(its: Site) -> None:
    first, second = await register(its), await its.accounts.login("ana", PASSWORD)
    user_id = first.user.user_id
    with pytest.raises(BadCredentials):
        await its.accounts.change_password(user_id, session_of(its, first), "wrong password", "new password")
    await its.accounts.change_password(user_id, session_of(its, first), PASSWORD, "new password")
    assert is_signed_in(its, first)
    assert not is_signed_in(its, second)
    with pytest.raises(BadCredentials):
        await its.accounts.login("ana", PASSWORD)
    await its.accounts.login("ana", "new password")


async def test_the_admin_role_shows_in_the_tokens_from_the_next_refresh_on(its: Site) -> None:
    signed_in = await register(its)
    await its.accounts.grant("Ana")
    assert not its.tokens.verify(signed_in.access_token).admin
    refreshed = await its.sessions.refresh(signed_in.refresh_token)
    assert its.tokens.verify(refreshed.access_token).admin
    with pytest.raises(NoSuchUser):
        await its.accounts.grant("nobody")


# --- looking people up ---


async def test_users_come_in_the_order_asked_for_without_the_unknown(its: Site) -> None:
    ana, ben = (await register(its, "ana")).user, (await register(its, "ben")).user
    assert await its.accounts.users([ben.user_id, "\0", ana.user_id, ben.user_id]) == [ben, ana]
    assert await its.accounts.known_users([ben.user_id, "x"]) == {ben.user_id}


async def test_a_search_is_of_any_case(its: Site) -> None:
    ana = await its.accounts.register("ana", PASSWORD, "Émilie")
    assert (await its.accounts.search("ANA", None, 10)).users == [ana.user]
    assert (await its.accounts.search("éM", None, 10)).users == [ana.user]
    assert (await its.accounts.search("x" * 500, None, 10)).users == []


async def test_a_mute_lapses(its: Site) -> None:
    user_id = (await register(its)).user.user_id
    until = its.clock()
    its.clock.advance(-10)
    await its.accounts.set_mute(user_id, "c1", until)
    assert await its.accounts.mute_until(user_id, ["c1", "c2"]) == {"c1": until}
    its.clock.advance(10)
    assert await its.accounts.mute_until(user_id, ["c1", "c2"]) == {}


# --- erasure ---


def on_disk(path: Path) -> bytes:
    """The database's files, the write-ahead log among them."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob("accounts.db*")))


async def test_an_erased_person_leaves_nothing_readable(its: Site) -> None:
    signed_in = await its.accounts.register("ana", PASSWORD, "Ana Unmistakable", "A Rare Browser")
    user_id = signed_in.user.user_id
    await its.accounts.set_mute(user_id, "c1", its.clock())
    await its.sealer.warm([user_id])
    sealed = its.sealer.seal("c1", "m1", user_id, "hello")
    key = (await its.keys.load([user_id]))[user_id]
    assert key is not None
    with pytest.raises(BadCredentials):
        await its.accounts.erase(user_id, "wrong password")
    await its.accounts.erase(user_id, PASSWORD)
    assert its.sealer.open("c1", "m1", user_id, sealed) is None
    assert await its.keys.load([user_id]) == {user_id: None}
    assert not is_signed_in(its, signed_in)
    assert its.chats.left == [user_id]
    with pytest.raises(BadCredentials):
        await its.accounts.login("ana", PASSWORD)
    with pytest.raises(BadToken):
        await its.sessions.refresh(signed_in.refresh_token)
    with pytest.raises(BadToken):
        await its.accounts.erase(user_id, PASSWORD)
    with pytest.raises(UsernameTaken):
        await register(its)
    assert await its.accounts.known_users([user_id]) == set()


async def test_neither_the_key_nor_the_person_stands_in_the_files_after_an_erasure(tmp_path: Path) -> None:
    async with site(tmp_path) as its:
        signed_in = await its.accounts.register("ana_unmistakable", PASSWORD, "Ana Unmistakable", "A Rare Browser")
        wrapped = await its.database.read(lambda db: db.exec_driver_sql("SELECT wrapped FROM data_keys").scalar_one())
        traces = [
            wrapped,
            b"ana_unmistakable",
            b"Ana Unmistakable",
            b"ana unmistakable",
            b"A Rare Browser",
            b"argon2id",
        ]
        assert all(trace in on_disk(its.path) for trace in traces)
        await its.accounts.erase(signed_in.user.user_id, PASSWORD)
        assert [trace for trace in traces if trace in on_disk(its.path)] == []


async def test_an_erasure_that_could_not_leave_the_chats_stands_and_is_finished_later(its: Site) -> None:
    signed_in = await register(its)
    its.chats.failing = NotYet("busy")
    await its.accounts.erase(signed_in.user.user_id, PASSWORD)
    assert not is_signed_in(its, signed_in)
    assert await its.accounts.finish_erasures() == 0
    its.chats.failing = None
    assert await its.accounts.finish_erasures() == 1
    assert its.chats.left == [signed_in.user.user_id]
    assert await its.accounts.finish_erasures() == 0


async def test_who_was_erased_is_looked_for_in_chats_until_their_last_token_has_run_out(its: Site) -> None:
    first, second = await its.accounts.register("ana", PASSWORD), await its.accounts.register("ben", PASSWORD)
    await its.accounts.look_again()
    for signed_in in (first, second):
        await its.accounts.erase(signed_in.user.user_id, PASSWORD)
    both = {first.user.user_id, second.user.user_id}
    its.chats.left.clear()
    its.chats.failing = NotYet("busy")
    await its.accounts.look_again()
    its.chats.failing = None
    await its.accounts.look_again()
    assert set(its.chats.left) == both
    its.clock.advance(ACCESS_LIFE.total_seconds())
    await its.accounts.look_again()
    assert len(its.chats.left) == 4
    its.clock.advance(MAY_COME_BACK.total_seconds())
    await its.accounts.look_again()
    assert len(its.chats.left) == 4


async def test_an_erasure_holds_while_a_reader_keeps_old_pages_and_removes_them_afterwards(tmp_path: Path) -> None:
    async with site(tmp_path, busy_ms=20) as its:
        signed_in = await its.accounts.register("ana_unmistakable", PASSWORD)
        reader = sqlite3.connect(its.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchone()
        erased: list[str] = []
        its.accounts.observers.append(erased.append)
        await its.accounts.erase(signed_in.user.user_id, PASSWORD)
        assert erased == [signed_in.user.user_id]
        assert not is_signed_in(its, signed_in)
        assert b"ana_unmistakable" in on_disk(its.path)
        reader.close()
    async with site(tmp_path) as its:
        assert b"ana_unmistakable" not in on_disk(its.path)


async def test_a_restored_backup_revives_no_destroyed_key(tmp_path: Path) -> None:
    live, backup = tmp_path / "live", tmp_path / "backup"
    live.mkdir()
    async with site(live) as its:
        user_id = (await register(its)).user.user_id
    copy_of(live, backup)
    async with site(live) as its:
        await its.accounts.erase(user_id, PASSWORD)
        destroyed = await its.keys.destroyed()
    async with site(backup) as its:
        assert (await its.keys.load([user_id]))[user_id] is not None
        await its.keys.destroy_again(destroyed)
        assert await its.keys.load([user_id]) == {user_id: None}
        assert await its.keys.destroyed() == destroyed
