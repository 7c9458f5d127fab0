"""The whole way of a push in one process: people, a log, its fold, queues, and the stream, with a scripted provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.presence import Presence
from commands.attachments import seal_file
from commands.devices import Device, Platform
from commands.files import FileInfo
from commands.users import Account
from events.ids import direct_chat_id, uuid7
from events.types import ChatCreated, Data, MessageKind, MessageRead, MessageSent
from infra.memory.presence import MemoryPresence
from infra.push.embedded import open_queues
from infra.push.role import PushQueues, online_in
from infra.sqlite.push_journal import read_journal
from infra.sqlite.views import SqliteViews
from streams.batch import BatchFold
from streams.push.notifier import Notifier
from streams.push.plan import Planner
from streams.push.ports import Outcome, Provider, Push
from streams.push.stream import PushStream
from tests.support.history import History
from tests.support.people import Clock, Site, site

SENT = Outcome("sent")


class Scripted:
    """A provider that answers as it is told, and `sent` otherwise."""

    def __init__(self) -> None:
        self.given: list[Push] = []
        self.answers: dict[str, list[Outcome]] = {}
        """Token → its next answers."""
        self._news = asyncio.Event()

    async def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        self.given += pushes
        self._news.set()
        return [self._answer(push.device.token) for push in pushes]

    def _answer(self, token: str) -> Outcome:
        answers = self.answers.get(token)
        return answers.pop(0) if answers else SENT

    async def close(self) -> None:
        """There is nothing to close."""

    async def got(self, count: int) -> list[Push]:
        """Wait until it was given so many in all."""
        async with asyncio.timeout(20):
            while len(self.given) < count:
                self._news.clear()
                await self._news.wait()
        return self.given

    @property
    def texts(self) -> list[tuple[str, str | None, str]]:
        """(token, title, body)."""
        return [(push.device.token, push.title, push.body) for push in self.given]


@dataclass
class Street:
    """People with devices, and the stream that pushes to them while `pushing` runs."""

    its: Site
    clock: Clock
    folder: Path
    views: SqliteViews
    notifier: Notifier
    queues: PushQueues
    presence: Presence
    provider: Scripted
    stream: PushStream
    history: History = field(default_factory=History)
    _fold: BatchFold | None = None

    async def person(self, name: str, *tokens: str, platform: Platform = "IOS", **about: Any) -> str:
        """A user id; each token is a device of the same name."""
        account = Account(uuid7(self.clock()), name, name.title(), "hash", self.clock(), **about)
        await self.its.store.add(account)
        for token in tokens:
            await self.device(account.user_id, token, platform)
        return account.user_id

    async def device(self, user_id: str, token: str, platform: Platform = "IOS", **more: Any) -> Device:
        signed_in = await self.its.accounts.sign_in(user_id)
        session_id = self.its.tokens.verify(signed_in.access_token).session_id
        return await self.its.devices.put(user_id, session_id, token, platform, token, **more)

    async def happen(self, actor_id: str, data: Data, chat_id: str) -> None:
        """An event, in the log and folded, as the runner does it."""
        record = self.history.add(actor_id, data, chat_id, self.clock())
        if self._fold is None:
            self._fold = BatchFold(self.views)
            await self.notifier.take_over(0)
        changes = await self._fold.fold([record])
        await self.notifier.notify(changes)
        await self.views.apply(changes)

    async def direct(self, one: str, other: str) -> str:
        chat_id = direct_chat_id(one, other)
        await self.happen(one, ChatCreated("direct", None, False, "all", [one, other]), chat_id)
        return chat_id

    async def group(self, *members: str, title: str = "Tea") -> str:
        chat_id = uuid7(self.clock())
        await self.happen(members[0], ChatCreated("group", title, False, "since_join", list(members)), chat_id)
        return chat_id

    async def say(
        self, chat_id: str, author: str, text: str = "hello", kind: MessageKind = "TEXT", file: str | None = None
    ) -> str:
        """`file`: its name."""
        message_id = uuid7(self.clock())
        await self.its.sealer.warm([author])
        body = self.its.sealer.seal(chat_id, message_id, author, text)
        sent = MessageSent(message_id, kind, body)
        if file is not None:
            info = FileInfo(uuid7(self.clock()), file, "application/pdf", 5, "ab" * 32, self.clock())
            about = seal_file(self.its.sealer, chat_id, message_id, author, info)
            sent = MessageSent(message_id, kind, body, info.file_id, None, about)
        await self.happen(author, sent, chat_id)
        return message_id

    async def read(self, chat_id: str, user_id: str, up_to: int) -> None:
        await self.happen(user_id, MessageRead(up_to), chat_id)

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator[Scripted]:
        task = asyncio.create_task(self.queues.holder.hold(self.stream.works))
        try:
            yield self.provider
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def pushed(self, count: int) -> list[tuple[str, str | None, str]]:
        """Run the stream until so many pushes were given to the provider, and all notes are done."""
        async with self.pushing() as provider:
            await provider.got(count)
            await self.idle()
        assert len(provider.given) == count
        return provider.texts

    async def idle(self) -> None:
        """Wait until no note waits."""
        notes = self.queues.holder._queues["notifications"]  # type: ignore[attr-defined]
        await until(lambda: notes.waiting() == 0)

    def results(self) -> list[tuple[str, str]]:
        """(device, result) of everything in the journal."""
        return [(line.device_id, line.result) for line in read_journal(self.folder / "push.db", 0, 1000)]


async def until(condition: Callable[[], bool], patience_s: float = 20.0) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110  what it looks at is in files, which tell nobody
            await asyncio.sleep(0.005)


@asynccontextmanager
async def street(folder: Path) -> AsyncIterator[Street]:
    from contextlib import AsyncExitStack

    clock = Clock()
    async with site(folder, clock) as its, AsyncExitStack() as stack:
        views = SqliteViews(folder / "views.db", "a log", {0: 10**9})
        stack.callback(views.close)
        notifier, queues, any_device = open_queues(folder / "push.db", "a log", 1, clock, stack)
        await any_device.note(True)
        presence = MemoryPresence(clock)
        provider = Scripted()
        everywhere: dict[Platform, Provider] = {"ANDROID": provider, "IOS": provider, "WEB": provider}
        planner = Planner(views, its.device_store, its.store, its.sealer, online_in(presence), clock)
        stream = PushStream(
            planner,
            everywhere,
            its.device_store,
            queues.retries,
            queues.letters,
            queues.tag,
            clock,
            journal=queues.journal,
            chance=lambda: 0.0,
        )
        yield Street(its, clock, folder, views, notifier, queues, presence, provider, stream)
