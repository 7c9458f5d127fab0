"""The demo's people and chats are made once, however often it starts and wherever it was interrupted."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from commands.errors import Corrupt, Unavailable
from commands.handlers import Commands
from events.ids import uuid7
from infra.app import App, running
from infra.demo.script import PEOPLE, SCENES, STARS
from infra.demo.setting import Made, demo_url, set_the_scene
from infra.layout import demo_file
from infra.settings import Settings
from tests.support.people import PASSWORD


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, argon2_time_cost=1, argon2_memory_kib=8)


async def messages(app: App, made: Made, star: str) -> dict[str, tuple[int, int]]:
    """Chat id → (how many messages, how many unread) for one of the people."""
    user_id = made.people[star]
    chats = await app.views.chats_of(user_id)
    return {
        summary.chat.chat_id: (summary.chat.n, summary.chat.n - summary.own.read_n)
        for summary in await app.views.summaries(user_id, chats)
    }


async def test_an_empty_installation_gets_people_chats_and_something_unread(settings: Settings) -> None:
    async with running(settings, demo=True) as app:
        made = await set_the_scene(app)
        assert made.finished
        users = await app.accounts.users([made.people[name] for name in PEOPLE])
        assert [(user.username, user.display_name) for user in users] == list(PEOPLE.items())
        for star in STARS:
            inbox = await messages(app, made, star)
            scenes = [scene for scene in SCENES if star in scene.members]
            assert Counter(inbox.values()) == Counter((len(scene.lines), scene.unread.get(star, 0)) for scene in scenes)
            sessions = await app.services.sessions.of_user(made.people[star], None, 10)
            assert list(sessions) == [], "registering left a sign-in behind"


async def test_a_second_start_makes_nothing_and_its_codes_are_fresh(settings: Settings) -> None:
    ends, urls = [], []
    for _ in range(2):
        async with running(settings, demo=True) as app:
            urls.append(await demo_url(app, "http://here"))
            ends.append(await app.log.end())
    assert ends[0] == ends[1]
    assert urls[0] != urls[1]
    assert all(url.startswith("http://here/demo#ana=") for url in urls)


@pytest.mark.parametrize("sends", [0, 1, 8, 20])
async def test_an_interrupted_start_is_completed_by_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, sends: int
) -> None:
    tries = count()
    send = Commands.send

    async def failing(self: Commands, *arguments: Any) -> Any:
        if next(tries) == sends:
            raise Unavailable("the power went")
        return await send(self, *arguments)

    with monkeypatch.context() as broken:
        broken.setattr(Commands, "send", failing)
        async with running(settings, demo=True) as app:
            with pytest.raises(Unavailable, match="the power went"):
                await set_the_scene(app)
    async with running(settings, demo=True) as app:
        made = await set_the_scene(app)
        for star in STARS:
            inbox = await messages(app, made, star)
            assert sum(n for n, _ in inbox.values()) == sum(
                len(scene.lines) for scene in SCENES if star in scene.members
            )
        chats = [await app.views.chat(chat_id) for chat_id in inbox]
        assert all(chat is not None and chat.void == 0 for chat in chats)


async def test_a_name_that_somebody_has_is_left_to_them(settings: Settings) -> None:
    async with running(settings, demo=True) as app:
        real = await app.accounts.register("ana", PASSWORD)
        made = await set_the_scene(app)
        assert made.people["ana"] != real.user.user_id
        [user] = await app.accounts.users([made.people["ana"]])
        assert (user.username, user.display_name) == ("ana2", "Ana")


async def test_where_one_of_its_people_is_unknown_the_demo_begins_anew(settings: Settings) -> None:
    async with running(settings, demo=True) as app:
        before = await set_the_scene(app)
        noted = demo_file(settings.data).read_text()
        demo_file(settings.data).write_text(noted.replace(before.people["ben"], uuid7(app.now())))
        after = await set_the_scene(app)
        assert set(before.people.values()).isdisjoint(after.people.values())
        assert set(before.chats.values()).isdisjoint(after.chats.values())


async def test_a_file_that_is_not_the_demos_is_refused(settings: Settings) -> None:
    demo_file(settings.data).write_text("{broken")
    async with running(settings, demo=True) as app:
        with pytest.raises(Corrupt, match=r"demo\.json"):
            await set_the_scene(app)


def test_everybody_in_the_script_exists_and_answers_what_was_said_before() -> None:
    for scene in SCENES:
        assert {speaker for speaker, _ in scene.lines} <= set(scene.members) <= set(PEOPLE)
        assert set(scene.unread) <= set(scene.members)
        assert all(answered < line < len(scene.lines) for line, answered in scene.reply_to.items())
        assert (scene.title is None) == (len(scene.members) == 2)
        for reader, unread in scene.unread.items():
            newest = scene.lines[len(scene.lines) - unread :]
            assert reader not in [speaker for speaker, _ in newest], "a send reads everything before it"
