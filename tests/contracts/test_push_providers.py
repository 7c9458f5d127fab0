"""What every provider of pushes must do, against servers that speak Apple's and Google's protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commands.devices import Device, Platform
from commands.errors import Invalid
from events.ids import uuid7
from infra.push.apns import RENEW_AFTER, Apns, ApnsKey, ProviderToken
from infra.push.fcm import Fcm
from streams.push.ports import Outcome, Provider, Push
from tests.support.providers.apple import GONE_AT_MS, Apple, apple
from tests.support.providers.google import google
from tests.support.providers.keys import KEY_ID, TEAM_ID, TOPIC, Keys, make_keys
from tests.support.providers.ledger import Ledger

NOW = datetime.now(UTC)
CHAT, ANA = uuid7(NOW), uuid7(NOW)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def key_of(keys: Keys) -> ApnsKey:
    return ApnsKey.read(keys.apns_key, KEY_ID, TEAM_ID, TOPIC)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Setting:
    provider: Provider
    ledger: Ledger
    platform: Platform

    def push(self, token: str = "phone-1", seq: int = 1, **about: Any) -> Push:
        device = Device(ANA, token, self.platform, token, "session", NOW)
        push = Push(device, CHAT, seq, uuid7(NOW), "Ben", "hello", 3, now() + timedelta(hours=24))
        return replace(push, **about)

    async def one(self, token: str, **about: Any) -> Outcome:
        (outcome,) = await self.provider.send([self.push(token, **about)])
        return outcome


@pytest.fixture(params=["apns", "fcm"])
async def its(request: pytest.FixtureRequest, keys: Keys) -> AsyncIterator[Setting]:
    if request.param == "apns":
        async with apple(keys) as theirs:
            provider = Apns(key_of(keys), now, url=theirs.url, tls=keys.client_tls(), answer_s=2.0)
            yield Setting(provider, theirs.ledger, "IOS")
            await provider.close()
        return
    async with google(keys) as googles:
        fcm = Fcm(keys.account, now, url=googles.url, answer_s=2.0)
        yield Setting(fcm, googles.ledger, "ANDROID")
        await fcm.close()


async def test_a_push_arrives_with_everything_in_it(its: Setting) -> None:
    assert await its.one("phone-1", seq=7) == Outcome("sent")
    (received,) = its.ledger.accepted
    assert received.key == ("phone-1", CHAT, 7)
    if its.platform == "IOS":
        assert received.body["aps"] == {
            "alert": {"title": "Ben", "body": "hello"},
            "badge": 3,
            "sound": "default",
            "thread-id": CHAT,
        }
        assert received.headers["apns-collapse-id"] == CHAT
        left = int(received.headers["apns-expiration"]) - now().timestamp()
        assert 23 * 3600 < left <= 24 * 3600
    else:
        assert received.body["notification"] == {"title": "Ben", "body": "hello"}
        android = received.body["android"]
        assert android["collapse_key"] == android["notification"]["tag"] == CHAT
        assert android["notification"]["notification_count"] == 3
        assert android["priority"] == "high"
        assert 23 * 3600 < float(android["ttl"].rstrip("s")) <= 24 * 3600


async def test_a_push_without_a_title_says_nothing_but_its_text(its: Setting) -> None:
    assert await its.one("phone-1", title=None, body="New message") == Outcome("sent")
    body = its.ledger.accepted[0].body
    shown = body["aps"]["alert"] if its.platform == "IOS" else body["notification"]
    assert shown == {"body": "New message"}


async def test_outcomes_stand_in_the_order_of_the_pushes(its: Setting) -> None:
    moods = ["fine", "gone", "fine", "busy", "bad", "broken", "refused", "fine"]
    outcomes = await its.provider.send([its.push(f"{mood}-{number}") for number, mood in enumerate(moods)])
    assert [outcome.result for outcome in outcomes] == [
        *("sent", "gone", "sent", "busy"),
        *("gone", "busy", "refused", "sent"),
    ]
    assert {received.token for received in its.ledger.accepted} == {"fine-0", "fine-2", "fine-7"}


async def test_when_to_come_back_is_what_the_provider_said(its: Setting) -> None:
    assert (await its.one("busy-1")).retry_after_s is None
    its.ledger.retry_after = "77"
    assert (await its.one("busy-1")).retry_after_s == 77
    assert (await its.one("broken-1")).retry_after_s == 77
    assert (await its.one("gone-1")).result == "gone"


async def test_a_provider_that_does_not_answer_is_busy_and_holds_nobody_up(its: Setting) -> None:
    slow, fine = await its.provider.send([its.push("slow-1"), its.push("fine-1")])
    assert (slow.result, fine.result) == ("busy", "sent")


async def test_hundreds_at_once_arrive_each_once(its: Setting) -> None:
    count = 600 if its.platform == "IOS" else 120  # more than a connection carries at once
    pushes = [its.push(f"phone-{number}", number) for number in range(count)]
    assert {outcome.result for outcome in await its.provider.send(pushes)} == {"sent"}
    assert set(its.ledger.counts.values()) == {1}
    assert len(its.ledger.counts) == count


@pytest.mark.parametrize(
    "broken", [{"body": "\ud800"}, {"token": "phone-\ud800"}, {"chat_id": "\ud800"}, {"message_id": "\ud800"}]
)
async def test_a_push_that_cannot_be_written_keeps_no_other_from_arriving(its: Setting, broken: dict[str, Any]) -> None:
    pushes = [its.push(f"fine-{number}", number) for number in range(5)]
    outcomes = await its.provider.send([*pushes[:2], its.push(**broken), *pushes[2:]])
    assert outcomes.pop(2).result in ("busy", "refused")
    assert [outcome.result for outcome in outcomes] == ["sent"] * 5
    assert {received.token for received in its.ledger.accepted} == {push.device.token for push in pushes}


async def test_a_long_text_of_any_script_fits(its: Setting) -> None:
    assert await its.one("phone-1", title="김" * 200, body="\U0001f388" * 256) == Outcome("sent")


# --- Apple's own ---


def apns(keys: Keys, theirs: Apple, clock: Callable[[], datetime] = now) -> Setting:
    provider = Apns(key_of(keys), clock, url=theirs.url, tls=keys.client_tls(), answer_s=2.0)
    return Setting(provider, theirs.ledger, "IOS")


async def test_one_connection_serves_all_within_the_limit_that_the_server_sets(keys: Keys) -> None:
    async with apple(keys, streams=7) as theirs:
        its = apns(keys, theirs)
        await its.one("phone-0")
        await its.provider.send([its.push(f"phone-{number}", number) for number in range(100)])
        assert (theirs.opened, theirs.most_at_once) == (1, 7)
        await its.provider.close()


async def test_what_a_server_that_goes_away_did_not_look_at_goes_over_the_next_connection(keys: Keys) -> None:
    async with apple(keys, goodbye_after=40) as theirs:
        its = apns(keys, theirs)
        outcomes = await its.provider.send([its.push(f"phone-{number}", number) for number in range(60)])
        assert {outcome.result for outcome in outcomes} == {"sent"}
        assert theirs.opened == 2
        assert len(theirs.ledger.counts) == 60
        assert set(theirs.ledger.counts.values()) == {1}
        await its.provider.close()


async def test_a_connection_that_breaks_leaves_its_requests_busy_and_the_next_ones_well(keys: Keys) -> None:
    async with apple(keys) as theirs:
        its = apns(keys, theirs)
        await its.one("phone-1")
        waiting = asyncio.create_task(its.one("slow-1"))
        await theirs.ledger.until(lambda: theirs.ledger.refused["(no answer)"] > 0)
        theirs.connections[0].abort()
        assert (await waiting).result == "busy"
        assert await its.one("phone-2") == Outcome("sent")
        await its.provider.close()


async def test_nobody_there_is_busy(keys: Keys) -> None:
    async with apple(keys) as theirs:
        its = apns(keys, theirs)
    assert (await its.one("phone-1")).result == "busy"


async def test_a_dead_token_comes_with_the_time_of_its_death(keys: Keys) -> None:
    async with apple(keys) as theirs:
        its = apns(keys, theirs)
        outcome = await its.one("gone-1")
        assert outcome == Outcome("gone", "Unregistered", gone_since=datetime.fromtimestamp(GONE_AT_MS / 1000, UTC))
        await its.provider.close()


async def test_a_token_found_too_old_is_made_anew_at_once(keys: Keys) -> None:
    async with apple(keys) as theirs:
        its = apns(keys, theirs)
        answers = iter([True, False])
        theirs.ledger.expired = lambda: next(answers)
        assert await its.one("phone-1") == Outcome("sent")
        await its.provider.close()


async def test_a_wrong_key_loses_nothing(keys: Keys, tmp_path: Path) -> None:
    async with apple(keys) as theirs:
        its = apns(make_keys(tmp_path), theirs)
        its.provider._tls = keys.client_tls()  # type: ignore[attr-defined]
        its.provider._tls.set_alpn_protocols(["h2"])  # type: ignore[attr-defined]
        outcome = await its.one("phone-1")
        assert (outcome.result, outcome.detail) == ("busy", "InvalidProviderToken")
        await its.provider.close()


def test_the_provider_token_is_renewed_within_the_hour_and_not_before(keys: Keys) -> None:
    at = [NOW]
    token = ProviderToken(key_of(keys), lambda: at[0])
    first = token.text
    at[0] = NOW + RENEW_AFTER
    assert token.text == first
    at[0] += timedelta(seconds=1)
    assert token.text != first
    assert timedelta(hours=1) > RENEW_AFTER


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.p8").write_text("no key")
    with pytest.raises(Invalid, match="no private key"):
        ApnsKey.read(tmp_path / "key.p8", KEY_ID, TEAM_ID, TOPIC)
    with pytest.raises(Invalid, match="no key file"):
        Fcm(tmp_path / "key.p8", now)


# --- Google's own ---


async def test_the_access_token_is_fetched_once_and_again_when_it_runs_out(keys: Keys) -> None:
    async with google(keys) as theirs:
        clock = [now()]
        provider = Fcm(keys.account, lambda: clock[0], url=theirs.url, answer_s=2.0)
        its = Setting(provider, theirs.ledger, "ANDROID")
        await its.provider.send([its.push(f"phone-{number}", number) for number in range(50)])
        assert len(theirs.tokens) == 1
        clock[0] += timedelta(minutes=56)
        assert await its.one("phone-1") == Outcome("sent")
        assert len(theirs.tokens) == 2
        await provider.close()


async def test_without_an_access_token_everything_waits(keys: Keys) -> None:
    async with google(keys) as theirs:
        theirs.gives_tokens = False
        provider = Fcm(keys.account, now, url=theirs.url, answer_s=2.0)
        its = Setting(provider, theirs.ledger, "ANDROID")
        assert (await its.one("phone-1")).result == "busy"
        theirs.gives_tokens = True
        assert await its.one("phone-1") == Outcome("sent")
        await provider.close()


async def test_an_access_token_that_google_does_not_know_any_more_is_replaced(keys: Keys) -> None:
    async with google(keys) as theirs:
        provider = Fcm(keys.account, now, url=theirs.url, answer_s=2.0)
        its = Setting(provider, theirs.ledger, "ANDROID")
        await its.one("phone-1")
        theirs.tokens.clear()
        assert (await its.one("phone-2")).result == "busy"
        assert await its.one("phone-2") == Outcome("sent")
        await provider.close()
