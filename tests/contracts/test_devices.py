"""What every store of devices must do, and their routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from commands.devices import MAX_DEVICES, Addressee, Device
from commands.sessions import Session
from commands.users import Account
from events.ids import uuid7
from tests.support.http import Web, check_problem, web
from tests.support.people import NOON, PASSWORD, Site, site
from tests.support.postgres import database

LATER = NOON + timedelta(minutes=5)
CHAT = uuid7(NOON)


@pytest.fixture(params=["sqlite", "postgres"])
async def its(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    url = await database(request.getfixturevalue("postgres")) if request.param == "postgres" else None
    async with site(tmp_path, url=url) as made:
        yield made


async def signed_in(its: Site, name: str, **about: Any) -> Session:
    account = Account(uuid7(NOON), name, name, "hash", NOON, **about)
    await its.store.add(account)
    return await again(its, account.user_id)


async def again(its: Site, user_id: str) -> Session:
    """One more sign-in."""
    account = await its.store.by_id(user_id)
    assert account is not None
    session = Session(uuid7(NOON), user_id, b"s" * 16, 0, NOON, NOON, NOON + timedelta(days=30))
    assert await its.session_store.add(session, account)
    return session


def phone(session: Session, token: str = "t-1", device_id: str = "phone", **more: Any) -> Device:
    return Device(session.user_id, device_id, "ANDROID", token, session.session_id, NOON, **more)


def tokens(found: Iterable[Addressee | Device]) -> set[str]:
    return {(each.device if isinstance(each, Addressee) else each).token for each in found}


async def test_a_device_comes_back_as_it_was_named(its: Site) -> None:
    ana = await signed_in(its, "ana")
    device = phone(ana, locale="pt-BR", environment="sandbox")
    assert not await its.device_store.any()
    assert await its.device_store.put(device)
    assert await its.device_store.of_user(ana.user_id) == [device]
    assert await its.device_store.any()


async def test_naming_a_device_anew_replaces_it(its: Site) -> None:
    ana = await signed_in(its, "ana")
    await its.device_store.put(phone(ana, "old"))
    await its.device_store.put(phone(ana, "new"))
    assert tokens(await its.device_store.of_user(ana.user_id)) == {"new"}


async def test_a_token_moves_with_its_device_to_the_next_user(its: Site) -> None:
    ana, ben = await signed_in(its, "ana"), await signed_in(its, "ben")
    await its.device_store.put(phone(ana, "shared"))
    await its.device_store.put(phone(ben, "shared", "tablet"))
    assert await its.device_store.of_user(ana.user_id) == []
    assert tokens(await its.device_store.of_user(ben.user_id)) == {"shared"}


async def test_two_users_may_use_the_same_device_name(its: Site) -> None:
    ana, ben = await signed_in(its, "ana"), await signed_in(its, "ben")
    await its.device_store.put(phone(ana, "a"))
    await its.device_store.put(phone(ben, "b"))
    found = await its.device_store.addressees([ana.user_id, ben.user_id, "x"], NOON)
    assert tokens(found) == {"a", "b"}


async def test_addressees_have_their_own_choices_and_the_devices_language_wins(its: Site) -> None:
    ana = await signed_in(its, "ana", push_preview=False, locale="ko")
    plain, own = phone(ana, "plain", "one"), phone(ana, "own", "two", locale="de")
    for device in (plain, own):
        await its.device_store.put(device)
    found = await its.device_store.addressees([ana.user_id], NOON)
    assert sorted(found, key=lambda each: each.device.device_id) == [
        Addressee(plain, False, "ko"),
        Addressee(own, False, "de"),
    ]


async def test_a_device_ends_with_the_sign_in_that_named_it_and_no_other(its: Site) -> None:
    first = await signed_in(its, "ana")
    second = await again(its, first.user_id)
    await its.device_store.put(phone(first, "a", "one"))
    await its.device_store.put(phone(second, "b", "two"))
    await its.session_store.end(first.user_id, LATER, only=first.session_id)
    assert tokens(await its.device_store.of_user(first.user_id)) == {"b"}


async def test_a_sign_in_that_has_ended_names_no_device(its: Site) -> None:
    ana = await signed_in(its, "ana")
    await its.session_store.end(ana.user_id, LATER)
    assert not await its.device_store.put(phone(ana))
    assert not await its.device_store.put(replace(phone(ana), session_id="unknown"))
    assert not await its.device_store.any()


async def test_a_sign_in_that_ran_out_gets_no_pushes_and_goes_with_its_devices(its: Site) -> None:
    ana = await signed_in(its, "ana")
    await its.device_store.put(phone(ana))
    after = ana.expires_at
    assert await its.device_store.addressees([ana.user_id], after) == []
    account = await its.store.by_id(ana.user_id)
    assert account is not None
    fresh = Session(uuid7(after), ana.user_id, b"s" * 16, 0, after, after, after + timedelta(days=30))
    await its.session_store.add(fresh, account)  # drops what ran out
    assert await its.device_store.of_user(ana.user_id) == []


async def test_an_erased_user_has_no_devices(its: Site) -> None:
    ana = await signed_in(its, "ana")
    await its.device_store.put(phone(ana))
    await its.store.erase(ana.user_id, LATER)
    assert not await its.device_store.any()


async def test_a_dead_token_goes_unless_the_device_was_named_anew(its: Site) -> None:
    ana = await signed_in(its, "ana")
    read = phone(ana, "dead")
    await its.device_store.put(read)
    await its.device_store.put(replace(read, updated_at=LATER))
    assert not await its.device_store.remove_token(read)
    assert await its.device_store.remove_token(replace(read, updated_at=LATER))
    assert await its.device_store.of_user(ana.user_id) == []


async def test_with_one_device_too_many_the_oldest_goes(its: Site) -> None:
    ana = await signed_in(its, "ana")
    for number in range(MAX_DEVICES + 1):
        at = NOON + timedelta(seconds=number)
        await its.device_store.put(replace(phone(ana, f"t-{number}", f"d-{number}"), updated_at=at))
    assert tokens(await its.device_store.of_user(ana.user_id)) == {f"t-{n}" for n in range(1, MAX_DEVICES + 1)}


async def test_mutes_hold_until_their_end(its: Site) -> None:
    ana, ben = await signed_in(its, "ana"), await signed_in(its, "ben")
    await its.store.set_mute(ana.user_id, CHAT, LATER)
    pairs = [(CHAT, ana.user_id), (CHAT, ben.user_id), ("other", ana.user_id)]
    assert await its.device_store.muted(pairs, NOON) == {(CHAT, ana.user_id)}
    assert await its.device_store.muted(pairs, LATER) == set()


# --- over HTTP ---


@pytest.fixture
async def our(tmp_path: Path) -> AsyncIterator[Web]:
    async with web(tmp_path) as made:
        yield made


async def put(our: Web, access: str, device_id: str = "phone", **more: Any) -> Any:
    body = {"platform": "IOS", "token": "abc", **more}
    return await our.call("PUT", f"/v1/devices/{device_id}", access, json=body)


async def listed(our: Web, token: str) -> list[Any]:
    answer = await our.get("/v1/devices", token)
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json()["items"]
    return items


async def test_devices_over_http(our: Web) -> None:
    ana = (await our.register("ana"))["access_token"]
    made = await put(our, ana, locale="ko", environment="sandbox", ext={"x": 1})
    assert made.status_code == 200, made.text
    shown = {
        "device_id": "phone",
        "platform": "IOS",
        "locale": "ko",
        "environment": "sandbox",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "current": True,
    }
    assert made.json() == shown
    assert await listed(our, ana) == [shown]
    assert (await our.call("DELETE", "/v1/devices/phone", ana)).status_code == 204
    assert await listed(our, ana) == []
    check_problem(await our.call("DELETE", "/v1/devices/phone", ana), 404, "not_found")


async def test_signing_out_ends_the_devices_of_that_sign_in(our: Web) -> None:
    first = await our.register("ana")
    second = (await our.post("/v1/auth/login", {"username": "ana", "password": PASSWORD})).json()
    await put(our, first["access_token"], "one", token="a")
    await put(our, second["access_token"], "two", token="b")
    assert (await our.post("/v1/auth/logout", {"refresh_token": first["refresh_token"]})).status_code == 204
    assert [each["device_id"] for each in await listed(our, second["access_token"])] == ["two"]


@pytest.mark.parametrize(
    ("device_id", "change"),
    [
        ("phone", {"token": ""}),
        ("phone", {"token": "a b"}),
        ("phone", {"token": "x" * 4097}),
        ("phone", {"platform": "PALM"}),
        ("phone", {"environment": "moon"}),
        ("phone", {"locale": "no language"}),
        ("a%20b", {}),
        ("x" * 65, {}),
    ],
)
async def test_what_is_no_device_is_refused(our: Web, device_id: str, change: dict[str, Any]) -> None:
    ana = (await our.register("ana"))["access_token"]
    check_problem(await put(our, ana, device_id, **change), 422, "invalid")
    assert await listed(our, ana) == []
