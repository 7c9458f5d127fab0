"""The live demo's play: who is cast, in which chats, who speaks when, and who reads it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from infra.cli.faults import Fault
from infra.cli.live_demo.actor import Actor, Frame
from infra.cli.live_demo.http import Http
from infra.cli.live_demo.lines import ANSWERS, NAMES, OPENERS, TITLES, TO_A_PERSON

GROUP_SIZE = 6
"""Of the cast, for each group."""
FAST = 3.0
"""Messages a second beyond which nobody is seen typing first."""
RECENT = 5
TIMES_KEPT = 2_000


@dataclass(slots=True)
class Chat:
    """A chat that some of the cast are in. `recent`: (message id, sender) of the newest messages."""

    chat_id: str
    actors: dict[str, Actor] = field(default_factory=dict)
    recent: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=RECENT))
    head_seq: int = 0


@dataclass(slots=True)
class Figures:
    """Seconds from sending: `acked` until the log had it, `delivered` until another member's socket had it."""

    sent: int = 0
    refused: int = 0
    acked: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES_KEPT))
    delivered: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES_KEPT))


class Stage:
    """`rate`: messages a second, all together. Run `cast` once, then `play`."""

    def __init__(self, http: Http, count: int, rate: float) -> None:
        self._http = http
        self._rate = rate
        suffix = token_hex(2)
        names = random.sample(NAMES, len(NAMES))
        self.actors = [
            Actor(http, f"demo-{name.lower()}-{index}-{suffix}", _called(name, index), self._heard)
            for index, name in ((index, names[index % len(names)]) for index in range(count))
        ]
        self.chats: dict[str, Chat] = {}
        self.figures = Figures()
        self._by_id: dict[str, Actor] = {}
        self._under_way: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def cast(self, company: Sequence[str] | None) -> list[str]:
        """Register everybody and make the chats; the usernames of those who are in it besides the cast.

        `company`: usernames; None: those of the server's own demo, if it has one. Raises Fault, Refused.
        """
        info = await self._http.call("GET", "/v1/info")
        await asyncio.gather(*(actor.register() for actor in self.actors))
        self._by_id = {actor.user_id: actor for actor in self.actors}
        if company is None:
            found = await self._find(["ana", "ben"]) if "demo" in info["features"] else {}
        else:
            found = await self._find(company)
            if missing := [name for name in company if name.lower() not in found]:
                raise Fault(f"there is no user {missing[0]} on {self._http.url}", "register them first")
        await self._make_chats(list(found.values()))
        return list(found)

    async def play(self, messages: int) -> None:
        """Chat until cancelled, or until so many messages were sent; 0: without an end. Raises Fault, Refused."""
        for actor in self.actors:
            self._start(actor.run())
        self._start(self._come_and_go())
        directing = asyncio.create_task(self._direct(messages))
        try:
            await asyncio.wait({directing, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await directing
        finally:
            await _cancelled(directing, *self._tasks)
            await asyncio.gather(*(actor.sign_out() for actor in self.actors))

    # --- the cast and its chats ------------------------------------------------------------------------------

    async def _find(self, usernames: Sequence[str]) -> dict[str, str]:
        """Username → id of those who exist."""
        found: dict[str, str] = {}
        token = self.actors[0].token
        for name in dict.fromkeys(each.lower() for each in usernames):
            page = await self._http.call("GET", "/v1/users", token=token, query=name, limit="200")
            found |= {user["username"]: user["user_id"] for user in page["items"] if user["username"] == name}
        return found

    async def _make_chats(self, company: list[str]) -> None:
        """Groups of a few, each with everybody of the company, and a direct chat for each of those."""
        titles = random.sample(TITLES, len(TITLES))
        for index in range(0, len(self.actors), GROUP_SIZE):
            group = self.actors[index : index + GROUP_SIZE]
            title = titles[index // GROUP_SIZE % len(titles)]
            members = [*(actor.user_id for actor in group[1:]), *company]
            body = {"title": title, "member_ids": members, "open": True}
            await self._made(group, await self._http.call("POST", "/v1/chats", body, group[0].token))
        for actor, user_id in zip(self.actors, company, strict=False):
            await self._made([actor], await self._direct_chat(actor, user_id))
        one, other = self.actors[0], self.actors[1]
        await self._made([one, other], await self._direct_chat(one, other.user_id))

    async def _direct_chat(self, actor: Actor, user_id: str) -> Any:
        return await self._http.call("PUT", f"/v1/chats/direct/{user_id}", None, actor.token)

    async def _made(self, actors: list[Actor], answer: Any) -> None:
        chat_id = answer["chat"]["chat_id"]
        self.chats[chat_id] = Chat(chat_id, {actor.user_id: actor for actor in actors})

    # --- speaking --------------------------------------------------------------------------------------------

    async def _direct(self, messages: int) -> None:
        for actor in self.actors:
            await actor.connected.wait()
        started = 0
        speaking: set[asyncio.Task[None]] = set()
        silent = list(self.chats.values())
        while not messages or started < messages:
            chat = silent.pop(0) if silent else random.choice(list(self.chats.values()))
            speaker = self._next_speaker(chat)
            if speaker is not None:
                started += 1
                is_answer = bool(chat.recent) and random.random() < 0.7
                text = random.choice(ANSWERS if is_answer else OPENERS)
                answered = random.choice(chat.recent)[0] if is_answer and random.random() < 0.3 else None
                speaking.add(self._start(self._speak(speaker, chat, text, answered)))
            await asyncio.sleep(random.expovariate(self._rate))
        await asyncio.wait(speaking)

    def _next_speaker(self, chat: Chat) -> Actor | None:
        """Nobody talks to themselves for long: in a direct chat with a person, who spoke last waits."""
        last = chat.recent[-1][1] if chat.recent else ""
        willing = [actor for user_id, actor in chat.actors.items() if user_id != last]
        return random.choice(willing) if willing else None

    async def _speak(self, speaker: Actor, chat: Chat, text: str, answered: str | None = None) -> None:
        if self._rate <= FAST:
            await speaker.typing(chat.chat_id)
            await asyncio.sleep(random.uniform(0.6, 2.2))
        began = time.monotonic()
        sent = await speaker.send(chat.chat_id, text, answered)
        if sent is None:
            self.figures.refused += 1
            return
        message_id, took = sent
        self.figures.sent += 1
        self.figures.acked.append(took)
        self._under_way[message_id] = began

    # --- listening -------------------------------------------------------------------------------------------

    def _heard(self, actor: Actor, frame: Frame) -> None:
        match frame["type"]:
            case "chat":
                chat_id = frame["chat"]["chat_id"]
                self.chats.setdefault(chat_id, Chat(chat_id)).actors[actor.user_id] = actor
            case "gone" if frame["chat_id"] in self.chats:
                self.chats[frame["chat_id"]].actors.pop(actor.user_id, None)
            case "event" if frame["event"]["type"] == "message.sent" and frame["chat_id"] in self.chats:
                self._heard_message(actor, self.chats[frame["chat_id"]], frame["seq"], frame["event"])

    def _heard_message(self, actor: Actor, chat: Chat, seq: int, event: Frame) -> None:
        sender, message_id = event["actor_id"], event["data"]["message_id"]
        if seq > chat.head_seq:  # the first of the cast to hear it
            chat.head_seq = seq
            chat.recent.append((message_id, sender))
            if sender not in self._by_id:
                answering = random.choice(list(chat.actors.values()))
                self._start(self._speak(answering, chat, random.choice(TO_A_PERSON), message_id))
        if sender != actor.user_id:
            began = self._under_way.pop(message_id, None)
            if began is not None:
                self.figures.delivered.append(time.monotonic() - began)
            self._start(self._read(actor, chat, seq))

    async def _read(self, actor: Actor, chat: Chat, seq: int) -> None:
        await actor.mark("delivered", chat.chat_id, seq)
        await asyncio.sleep(random.uniform(0.3, 4.0))
        if seq == chat.head_seq or random.random() < 0.2:
            await actor.mark("read", chat.chat_id, seq)

    async def _come_and_go(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(5, 15))
            actor = random.choice(self.actors)
            await actor.show("away")
            await asyncio.sleep(random.uniform(3, 8))
            await actor.show("online")

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _called(name: str, index: int) -> str:
    return name if index < len(NAMES) else f"{name} {index // len(NAMES) + 1}"
