"""Who is pushed what, and what becomes of each push: the stream over real queues, views and accounts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

import pytest

from commands.devices import MAX_DEVICES
from events.types import MemberAdded, MemberRemoved
from streams.push import stream as stream_module
from streams.push.backoff import DELAYS_S, GIVE_UP_S, JITTER, delay_ms
from streams.push.ports import Outcome
from tests.support.pushing import Street, street, until

BUSY = Outcome("busy", "TooManyRequests")


@pytest.fixture
async def our(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    monkeypatch.setattr(stream_module, "_NAP_S", 0.005)
    async with street(tmp_path) as made:
        yield made


# --- who hears what ---


async def test_a_message_goes_to_every_device_of_the_others_and_to_none_of_its_sender(our: Street) -> None:
    ana, ben = await our.person("ana", "ana-1"), await our.person("ben", "ben-1", "ben-2")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "tea?")
    assert sorted(await our.pushed(2)) == [("ben-1", "Ana", "tea?"), ("ben-2", "Ana", "tea?")]
    push = our.provider.given[0]
    assert (push.chat_id, push.seq, push.badge) == (chat, 2, 1)
    assert push.expires_at - our.clock() == timedelta(hours=24)


async def test_in_a_group_its_title_stands_above_and_the_name_in_front(our: Street) -> None:
    ana, ben, cleo = [await our.person(name, name) for name in ("ana", "ben", "cleo")]
    await our.say(await our.group(ana, ben, cleo), ana, "tea?")
    assert sorted(await our.pushed(2)) == [("ben", "Tea", "Ana: tea?"), ("cleo", "Tea", "Ana: tea?")]


async def test_images_and_files_are_named_in_the_readers_language(our: Street) -> None:
    ana = await our.person("ana")
    ben = await our.person("ben", "ben", locale="ko-KR")
    await our.device(ben, "german", locale="de")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "", "IMAGE")
    await our.say(chat, ana, "", "FILE")
    await our.say(chat, ana, "look", "IMAGE")
    assert {(token, body) for token, _, body in await our.pushed(6)} == {
        *(("ben", "📷 사진"), ("ben", "📎 파일"), ("ben", "📷 look")),
        *(("german", "📷 Foto"), ("german", "📎 Datei"), ("german", "📷 look")),
    }


async def test_a_file_is_told_by_its_name_and_a_picture_is_not(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben", locale="fr")
    chat, group = await our.direct(ana, ben), await our.group(ana, ben)
    await our.say(chat, ana, "", "FILE", "plan.pdf")
    await our.say(chat, ana, "as agreed", "FILE", "plan.pdf")
    await our.say(group, ana, "", "FILE", "plan.pdf")
    await our.say(group, ana, "", "IMAGE", "DSC_0042.JPG")
    assert await our.pushed(4) == [
        ("ben", "Ana", "📎 plan.pdf"),
        ("ben", "Ana", "📎 plan.pdf: as agreed"),
        ("ben", "Tea", "Ana: 📎 plan.pdf"),
        ("ben", "Tea", "Ana: 📷 Photo"),
    ]


async def test_an_erased_persons_file_has_no_name(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben", locale="de")
    await our.say(await our.direct(ana, ben), ana, "", "FILE", "plan.pdf")
    await our.its.store.erase(ana, our.clock())
    our.its.sealer.forget(ana)
    assert await our.pushed(1) == [("ben", "Jemand", "📎 Datei")]


async def test_who_wants_no_preview_is_shown_nothing(our: Street) -> None:
    ana = await our.person("ana")
    ben = await our.person("ben", "ben", push_preview=False, locale="ko")
    group = await our.group(ana, ben)
    await our.say(group, ana, "secret")
    await our.say(group, ana, "", "FILE", "secret.pdf")
    assert await our.pushed(2) == [("ben", None, "새 메시지")] * 2


async def test_who_is_online_is_left_out_and_who_is_away_is_not(our: Street) -> None:
    ana = await our.person("ana")
    here, away = await our.person("here", "here"), await our.person("away", "away")
    await our.presence.beat("gateway")
    await our.presence.put("gateway", {here: "online", away: "away"})
    await our.say(await our.group(ana, here, away), ana)
    assert [token for token, _, _ in await our.pushed(1)] == ["away"]


async def test_who_muted_the_chat_is_left_out_until_the_end_of_it(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat, other = await our.group(ana, ben), await our.group(ana, ben)
    await our.its.accounts.set_mute(ben, chat, our.clock() + timedelta(hours=1))
    await our.say(chat, ana, "muted")
    await our.say(other, ana, "not muted")
    assert [body for _, _, body in await our.pushed(1)] == ["Ana: not muted"]
    our.clock.advance(3600)
    await our.say(chat, ana, "heard")
    assert [body for _, _, body in await our.pushed(2)] == ["Ana: not muted", "Ana: heard"]


async def test_who_has_read_it_already_is_left_out(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "read")
    await our.say(chat, ana, "not read")
    await our.read(chat, ben, 2)
    assert await our.pushed(1) == [("ben", "Ana", "not read")]


async def test_who_left_or_came_later_hears_nothing_of_it(our: Street) -> None:
    ana, ben, cleo = [await our.person(name, name) for name in ("ana", "ben", "cleo")]
    chat = await our.group(ana, ben)
    await our.say(chat, ana)
    await our.happen(ana, MemberRemoved(ben), chat)
    await our.happen(ana, MemberAdded(cleo), chat)
    await our.say(chat, ana, "later")
    assert [token for token, _, _ in await our.pushed(1)] == ["cleo"]


async def test_the_badge_is_all_that_is_unread(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat, other = await our.direct(ana, ben), await our.group(ana, ben)
    for _ in range(3):
        await our.say(other, ana)
    await our.read(other, ben, 2)
    await our.say(chat, ana)
    await our.pushed(3)
    assert {push.badge for push in our.provider.given} == {3}


async def test_what_is_not_needed_is_not_read(our: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, ben, cleo, dan = [
        await our.person(name, *tokens) for name, *tokens in (["ana"], ["ben", "b"], ["cleo"], ["dan", "d"])
    ]
    await our.presence.beat("gateway")
    await our.presence.put("gateway", {dan: "online"})
    asked: list[set[str]] = []
    unread_of = our.views.unread_of

    async def noted(user_ids: Collection[str]) -> dict[str, int]:
        asked.append(set(user_ids))
        return await unread_of(user_ids)

    monkeypatch.setattr(our.views, "unread_of", noted)
    await our.say(await our.group(ana, ben, cleo, dan), ana)
    await our.pushed(1)
    assert asked == [{ben}]


async def test_what_an_erased_person_wrote_is_not_shown(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "forget me")
    await our.its.store.erase(ana, our.clock())
    our.its.sealer.forget(ana)
    assert await our.pushed(1) == [("ben", "Somebody", "New message")]


async def test_an_old_message_is_nobodys_news(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "old")
    our.clock.advance(86_400)
    await our.say(chat, ana, "new")
    assert await our.pushed(1) == [("ben", "Ana", "new")]


async def test_long_and_wild_texts_are_cut_to_a_line(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    await our.say(await our.direct(ana, ben), ana, "a\n\x01b" + "x" * 100_000)
    ((_, _, body),) = await our.pushed(1)
    assert body.startswith("a bxxx")
    assert body.endswith("x…")
    assert len(body) == 240


# --- what becomes of it ---


async def test_a_dead_token_takes_its_device_along(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "dead", "fine")
    chat = await our.direct(ana, ben)
    our.provider.answers["dead"] = [Outcome("gone", "Unregistered")]
    await our.say(chat, ana)
    await our.pushed(2)
    assert [device.token for device in await our.its.device_store.of_user(ben)] == ["fine"]
    assert sorted(our.results()) == [("dead", "gone"), ("fine", "sent")]


async def test_a_token_that_died_before_the_device_was_named_anew_stays(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "phone")
    our.provider.answers["phone"] = [Outcome("gone", "x", gone_since=our.clock() - timedelta(days=1))]
    await our.say(await our.direct(ana, ben), ana)
    await our.pushed(1)
    assert len(await our.its.device_store.of_user(ben)) == 1


async def test_a_busy_provider_is_tried_again_for_that_device_alone(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "busy", "fine")
    our.provider.answers["busy"] = [BUSY, BUSY]
    await our.say(await our.direct(ana, ben), ana)
    async with our.pushing() as provider:
        await provider.got(2)
        await our.idle()
        our.clock.advance(DELAYS_S[0])
        await provider.got(3)
        await until(lambda: our.results().count(("busy", "busy")) == 2)
        our.clock.advance(DELAYS_S[1])
        await provider.got(4)
        await until(lambda: ("busy", "sent") in our.results())
        await until(lambda: our.stream.counts.retries == 2)
    assert [push.device.token for push in provider.given[2:]] == ["busy", "busy"]


async def test_when_the_provider_says_so_is_early_enough(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    our.provider.answers["ben"] = [Outcome("busy", "later", retry_after_s=100)]
    await our.say(await our.direct(ana, ben), ana)
    async with our.pushing() as provider:
        await provider.got(1)
        await our.idle()
        our.clock.advance(119)  # the queue of two minutes is the next that is long enough
        await our.say(await our.group(ana, ben), ana)  # the stream goes on
        await provider.got(2)
        assert [push.seq for push in provider.given if push.title == "Ana"] == [2]
        our.clock.advance(2)
        await provider.got(3)
    assert provider.given[2].title == "Ana"


async def test_reading_meanwhile_cancels_what_waits(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    our.provider.answers["ben"] = [BUSY]
    chat = await our.direct(ana, ben)
    await our.say(chat, ana)
    async with our.pushing() as provider:
        await provider.got(1)
        await our.idle()
        await our.read(chat, ben, 2)
        our.clock.advance(DELAYS_S[0])
        await until(lambda: our.stream.counts.retries == 1)
    assert len(provider.given) == 1


async def test_signing_out_meanwhile_cancels_what_waits(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    our.provider.answers["ben"] = [BUSY]
    await our.say(await our.direct(ana, ben), ana)
    async with our.pushing() as provider:
        await provider.got(1)
        await our.idle()
        await our.its.sessions.end_all(ben)
        our.clock.advance(DELAYS_S[0])
        await until(lambda: our.stream.counts.retries == 1)
    assert len(provider.given) == 1


def dead(our: Street) -> list[tuple[str, str]]:
    with sqlite3.connect(our.folder / "push.db") as db:
        return [(topic, reason) for topic, reason in db.execute("SELECT topic, reason FROM dead_letters")]


async def test_what_a_provider_refuses_for_ever_is_a_dead_letter(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    our.provider.answers["ben"] = [Outcome("refused", "BadTopic")]
    await our.say(await our.direct(ana, ben), ana)
    await our.pushed(1)
    assert dead(our) == [("notifications", "BadTopic")]


async def test_after_a_day_it_is_given_up_as_a_dead_letter(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    our.provider.answers["ben"] = [BUSY] * 100
    await our.say(await our.direct(ana, ben), ana)
    tries = 0
    async with our.pushing() as provider:
        while not dead(our):
            tries += 1
            await provider.got(tries)
            await until(lambda: our.results().count(("ben", "busy")) == tries)  # noqa: B023
            our.clock.advance(DELAYS_S[min(tries, len(DELAYS_S)) - 1])
            if tries > 40:
                break
    ((topic, reason),) = dead(our)
    assert topic == "push-retries"
    assert reason == f"given up after {tries - 1} tries: TooManyRequests"
    assert 24 <= tries <= 30


async def test_a_restart_pushes_nothing_twice_and_loses_nothing(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    for number in range(5):
        await our.say(chat, ana, str(number))
    await our.pushed(5)
    for number in range(5, 8):
        await our.say(chat, ana, str(number))
    assert [body for _, _, body in await our.pushed(8)] == [str(number) for number in range(8)]


async def test_a_note_stored_twice_is_pushed_once_also_after_a_restart(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana)
    notes = our.notifier._queue
    (item,) = await notes.tail(0, 10)
    await notes.put(0, [(item.key, item.value)])
    await our.pushed(1)
    await notes.put(0, [(item.key, item.value)])
    await our.pushed(1)
    assert our.stream.counts.repeats == 2


async def test_a_note_ahead_of_the_views_waits_for_them(our: Street) -> None:
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "first")
    (item,) = await our.notifier._queue.tail(0, 10)
    ahead = item.value.replace(b'"seq":2', b'"seq":3')
    await our.notifier._queue.put(0, [(item.key, ahead)])
    async with our.pushing() as provider:
        await provider.got(0)
        our.notifier._known[0]._last = 10**9  # its note is stored already
        await our.say(chat, ana, "second")
        await provider.got(2)
    assert sorted(push.body for push in provider.given) == ["first", "second"]


async def test_a_note_that_no_view_has_does_not_hold_the_others_up(
    our: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "VIEWS_S", 0.05)
    ana, ben = await our.person("ana"), await our.person("ben", "ben")
    chat = await our.direct(ana, ben)
    await our.say(chat, ana, "first")
    (item,) = await our.notifier._queue.tail(0, 10)
    await our.notifier._queue.put(0, [(item.key, item.value.replace(b'"seq":2', b'"seq":99'))])
    assert await our.pushed(1) == [("ben", "Ana", "first")]
    assert len(await our.queues.retries.tail(0, 10)) == 1


# --- the way back ---


def test_waiting_grows_and_never_ends_before_the_provider_wants() -> None:
    waits = [delay_ms(attempts, None, lambda: 0.0) for attempts in range(1, 9)]
    assert [queue for queue, _ in waits] == [0, 1, 2, 3, 4, 5, 5, 5]
    assert [wait / 1000 for _, wait in waits[:6]] == list(DELAYS_S)
    assert delay_ms(1, 77, lambda: 0.0) == (2, 120_000)
    assert delay_ms(1, 10_000, lambda: 0.0) == (5, 10_000_000)
    assert delay_ms(1, None, lambda: 1.0)[1] == 1000 * DELAYS_S[0] * (1 + JITTER)
    assert GIVE_UP_S == 86_400
    assert MAX_DEVICES == 20
