"""Making the demo's people and chats, once for each data directory, through the product's own handlers.

What is to be made is noted before it is made, with every id in it, so a start that was interrupted goes on where it
stopped: what was said already is said again under the same ids, and the fold drops repeats.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import urlencode

import msgspec

from commands.decide import CreateDirect, CreateGroup, Read
from commands.errors import Corrupt, UsernameTaken
from commands.handlers import Draft
from events.ids import direct_chat_id, uuid7
from infra.app import App
from infra.demo.script import PEOPLE, SCENES, STARS, Scene
from infra.layout import demo_file
from infra.private import write_private

logger = logging.getLogger(__name__)

CLIENT = "demo"


class Made(msgspec.Struct):
    """What `demo.json` keeps."""

    people: dict[str, str] = {}
    """Name in the script → user id."""
    chats: dict[str, str] = {}
    """Scene → id of its group."""
    messages: dict[str, list[str]] = {}
    """Scene → ids of its lines."""
    finished: bool = False


async def demo_url(app: App, url: str) -> str:
    """The address that signs in the demo's two users side by side, once; its codes travel in the fragment.

    Raises Corrupt for a demo file that is none, and Unavailable.
    """
    made = await set_the_scene(app)
    codes = app.services.demo
    assert codes is not None, "the app was built without a demo"
    return f"{url}/demo#{urlencode({star: codes.make(made.people[star]) for star in STARS})}"


async def set_the_scene(app: App) -> Made:
    """Make what is missing of the demo's people and chats. Raises Corrupt, Unavailable."""
    path = demo_file(app.settings.data)
    made = _read(path)
    if len(await app.accounts.known_users(made.people.values())) < len(made.people):
        logger.info("somebody of the demo is not known here: it begins anew")
        made = Made()
    if made.finished:
        return made
    for name in PEOPLE:
        if name not in made.people:
            made.people[name] = await _register(app, name)
            _write(path, made)
    for scene in SCENES:
        made.chats.setdefault(scene.name, uuid7(app.now()))
        made.messages.setdefault(scene.name, [uuid7(app.now()) for _ in scene.lines])
    _write(path, made)
    for scene in SCENES:
        await _play(app, scene, made)
    made.finished = True
    _write(path, made)
    return made


async def _register(app: App, name: str) -> str:
    """A user with a password that nobody knows: the way in is a code. The id."""
    for username in _names(name):
        try:
            signed_in = await app.accounts.register(username, token_urlsafe(32), PEOPLE[name], CLIENT)
        except UsernameTaken:
            continue  # by somebody who is not of the demo
        await app.services.sessions.end_by(signed_in.refresh_token)
        return signed_in.user.user_id
    raise AssertionError("there is always another name")


def _names(name: str) -> Iterable[str]:
    yield name
    for number in count(2):
        yield f"{name}{number}"


async def _play(app: App, scene: Scene, made: Made) -> None:
    """Everything that happened in one chat, up to what its members have read."""
    members = [made.people[name] for name in scene.members]
    if scene.title is None:
        chat_id = direct_chat_id(members[0], members[1])
        accepted = await app.commands.carry_out(CreateDirect(members[0], members[1]), chat_id)
    else:
        chat_id = made.chats[scene.name]
        create = CreateGroup(members[0], scene.title, tuple(members[1:]), open=scene.open, history="all")
        accepted = await app.commands.carry_out(create, chat_id)
    position = accepted.position
    ids = made.messages[scene.name]
    for index, (speaker, text) in enumerate(scene.lines):
        answered = scene.reply_to.get(index)
        draft = Draft(chat_id, ids[index], "TEXT", text, reply_to_message=None if answered is None else ids[answered])
        position = await (await app.commands.send(made.people[speaker], draft))
    await app.commands.folded(chat_id, position)
    for name, user_id in zip(scene.members, members, strict=True):
        # The chat's first seq is its creation.
        read = 1 + len(scene.lines) - scene.unread.get(name, 0)
        await app.commands.submit(Read(user_id, read), chat_id)


def _read(path: Path) -> Made:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Made)
    except FileNotFoundError:
        return Made()
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} is not what a demo wrote: remove it, and the next --demo makes new users") from error


def _write(path: Path, made: Made) -> None:
    """Whole or not at all."""
    write_private(path, msgspec.json.format(msgspec.json.encode(made)))
