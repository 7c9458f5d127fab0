"""Pushes of a whole embedded server, to a server that speaks Apple's protocol; and the command line about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.metrics.catalogue import SPECS
from tests.live.conftest import MakeServer
from tests.support.caller import Caller, Newcomers, newcomers
from tests.support.cli import Done, run
from tests.support.providers.apple import Apple, apple
from tests.support.providers.keys import KEY_ID, TEAM_ID, TOPIC, Keys, make_keys
from tests.support.server import Server


@dataclass
class Scene:
    server: Server
    theirs: Apple
    people: Newcomers
    settings: dict[str, str]

    def cli(self, *arguments: str) -> Done:
        return run(self.server.data, *arguments, settings=self.settings)


def settings_of(keys: Keys, theirs: Apple) -> dict[str, str]:
    return {
        "TIDINGS_PUSH_APNS_KEY": str(keys.apns_key),
        "TIDINGS_PUSH_APNS_KEY_ID": KEY_ID,
        "TIDINGS_PUSH_APNS_TEAM_ID": TEAM_ID,
        "TIDINGS_PUSH_APNS_TOPIC": TOPIC,
        "TIDINGS_PUSH_APNS_URL": theirs.url,
        "TIDINGS_PUSH_APNS_CA": str(keys.certificate),
    }


@asynccontextmanager
async def scene(make_server: MakeServer, folder: Path) -> AsyncIterator[Scene]:
    keys = make_keys(folder)
    async with apple(keys) as theirs:
        settings = settings_of(keys, theirs)
        server = make_server(settings)
        await asyncio.to_thread(server.start)
        with newcomers(server.url) as people:
            yield Scene(server, theirs, people, settings)


def phone(caller: Caller, token: str, device_id: str = "phone", **more: Any) -> None:
    answer = caller.put(f"/devices/{device_id}", {"platform": "IOS", "token": token, **more})
    assert answer.status_code == 200, answer.text


async def settled(its: Scene, notes: int) -> None:
    """Wait until the pushes of so many messages are done with, marks and all."""
    wanted = f"tidings_push_notes_total {float(notes)}"
    async with asyncio.timeout(20):
        while wanted not in (await off(lambda: its.people.http.get("/metrics"))).text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def off(work: Callable[[], Any]) -> Any:
    """Blocking calls, while the provider goes on answering here."""
    return await asyncio.to_thread(work)


async def test_a_server_pushes_to_who_is_away_over_a_kill_and_not_after_signing_out(
    make_server: MakeServer, tmp_path: Path
) -> None:
    async with scene(make_server, tmp_path) as its:
        ana, ben = await off(lambda: its.people.some("Ana", "Ben"))
        chat = await off(lambda: ana.direct(ben))
        await off(lambda: ana.say(chat, "before there was any device"))
        await off(lambda: phone(ben, "ben-phone", locale="ko"))
        await off(lambda: ana.say(chat, "tea?"))
        received = its.theirs.ledger.accepted
        await its.theirs.ledger.until(lambda: len(received) == 1)
        assert received[0].token == "ben-phone"
        assert received[0].body["aps"]["alert"] == {"title": "Ana", "body": "tea?"}
        assert received[0].body["aps"]["badge"] == 2

        await settled(its, notes=1)  # a kill between send and mark may repeat it
        its.server.kill()
        await off(its.server.start)
        await off(lambda: ana.say(chat, "still there?"))
        await its.theirs.ledger.until(lambda: len(received) == 2)
        assert received[1].body["aps"]["alert"]["body"] == "still there?"
        assert set(its.theirs.ledger.counts.values()) == {1}

        lines = (await off(lambda: its.cli("push", "log", "--json"))).stdout.splitlines()
        assert [(line["result"], line["device_id"], line["seq"]) for line in map(json.loads, lines)] == [
            ("sent", "phone", 3),
            ("sent", "phone", 4),
        ]
        shown = (await off(lambda: its.cli("push", "log", "--limit", "1"))).stdout
        assert "sent" in shown
        assert f"{chat}:4" in shown
        assert "still" not in shown

        metrics = (await off(lambda: its.people.http.get("/metrics"))).text
        assert 'tidings_pushes_total{result="sent"} 1.0' in metrics
        assert "tidings_push_behind_seconds" in SPECS

        # Ana has one too: after Ben signed out, hers alone hears of what is said.
        await off(lambda: phone(ana, "ana-phone"))
        (session,) = await off(lambda: ben.read("/sessions")["items"])
        assert (await off(lambda: ben.call("DELETE", f"/sessions/{session['session_id']}"))).status_code == 204
        cleo = await off(lambda: its.people("Cleo"))
        group = await off(lambda: cleo.group(ana, ben))
        await off(lambda: cleo.say(group, "all here?"))
        await its.theirs.ledger.until(lambda: len(received) == 3)
        assert received[2].token == "ana-phone"


async def test_one_push_by_hand(make_server: MakeServer, tmp_path: Path) -> None:
    async with scene(make_server, tmp_path) as its:
        ana, ben = await off(lambda: its.people.some("Ana", "Ben"))
        for caller, token in ((ana, "one"), (ben, "gone-1")):
            await off(lambda: phone(caller, token))  # noqa: B023
        await off(lambda: phone(ana, "two", "tablet"))
        done = await off(lambda: its.cli("push", "test", "--device", "tablet"))
        assert (done.status, done.stdout) == (0, "sent to tablet (IOS)\n")
        assert its.theirs.ledger.accepted[0].token == "two"

        done = await off(lambda: its.cli("push", "test", "--device", "phone"))
        assert done.status == 1
        assert "2 users have a device phone; say whose with --user" in done.stderr
        name = (await off(lambda: ben.read("/me")))["username"]
        done = await off(lambda: its.cli("push", "test", "--device", "phone", "--user", name))
        assert done.status == 1
        assert "the token of phone is dead: Unregistered" in done.stderr
        done = await off(lambda: its.cli("push", "test", "--device", "none"))
        assert "there is no device none" in done.stderr
        its.settings.clear()
        done = await off(lambda: its.cli("push", "test", "--device", "tablet"))
        assert "no provider is set up for IOS; set TIDINGS_PUSH_APNS_KEY" in done.stderr
