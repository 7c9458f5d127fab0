"""A gateway in a world that a test controls: the real fold and the real hub and sessions, views and a log in memory,
and time, sockets, fan-out and every answer of the views in the test's hands.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import msgspec

from api.presence import Acquaintance, PresenceTracker
from api.services import Limits as Rates
from api.ws.gateway import Gateway
from api.ws.hub import Hub
from api.ws.limits import Limits
from api.ws.session import Session
from commands.chat import Chat
from commands.errors import BadToken, Unavailable
from commands.handlers import Commands
from commands.ports import Appended
from commands.receipts import Receipts
from commands.sealing import Sealer
from commands.sessions import Claims
from events.codec import Event, encode, make
from events.ids import uuid7
from events.log import Position, Record
from events.types import Data, MessageSent
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from projections.fold import snapshot
from projections.ports import Changes, Entry, FirstUse, Page, Refused, Summary
from streams.batch import BatchFold
from streams.progress import FoldProgress
from tests.contracts.adversary import Adversary
from tests.support.contract import check_told
from tests.support.history import NOON

T = TypeVar("T")


class MovedTimers:
    """Timers whose clock only the test moves; `now` is the same clock as a time of day."""

    def __init__(self) -> None:
        self._time = 1_000.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._tie = count()

    def time(self) -> float:
        return self._time

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._time - 1_000.0)

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> _Call:
        call = _Call(callback, args)
        heapq.heappush(self._calls, (self._time + max(delay, 0.0), next(self._tie), call))
        return call

    def move(self, seconds: float) -> None:
        """Let time pass, calling what falls due on the way."""
        until = self._time + seconds
        while self._calls and self._calls[0][0] <= until:
            at, _, call = heapq.heappop(self._calls)
            self._time = max(self._time, at)
            if not call.is_cancelled:
                call.callback(*call.args)
        self._time = until


@dataclass(slots=True)
class _Call:
    callback: Callable[..., object]
    args: tuple[object, ...]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


async def settle(turns: int = 40) -> None:
    """Let everything run that needs no more than the loop's turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def settled_after(timers: MovedTimers, seconds: float, step_s: float = 0.5) -> None:
    """Let time pass in steps, with everything that it sets off."""
    passed = 0.0
    while passed < seconds:
        timers.move(min(step_s, seconds - passed))
        passed += step_s
        await settle()


class FakeLink:
    """A socket that keeps what it is sent. While `blocked` it takes no more."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.pings = 0
        self.closed: tuple[int, str] | None = None
        self.dropped = False
        self.blocked = False
        self._drained: asyncio.Future[None] | None = None

    def send(self, frame: bytes) -> None:
        if self.closed is None:
            told = payload(frame)
            check_told(told)
            self.frames.append(told)

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str, *, drop: bool = False) -> None:
        assert self.closed is None, "closed twice"
        self.closed, self.dropped = (code, reason), drop

    @property
    def is_blocked(self) -> bool:
        return self.blocked

    async def drained(self) -> None:
        while self.blocked and self.closed is None:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def unblock(self) -> None:
        self.blocked = False
        if self._drained is not None:
            self._drained.set_result(None)

    @property
    def code(self) -> int | None:
        return None if self.closed is None else self.closed[0]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The frames of one type, in the order sent."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def take(self) -> list[dict[str, Any]]:
        """The frames since the last time."""
        taken, self.frames = self.frames, []
        return taken


def payload(frame: bytes) -> dict[str, Any]:
    """The JSON of one whole, unmasked text frame; checks the header."""
    assert frame[0] == 0x81, "not a whole text frame"
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + size, "the header gives another length"
    decoded: dict[str, Any] = msgspec.json.decode(frame[start:])
    return decoded


class Gate:
    """Holds back answers. Open, it lets everything through at once."""

    def __init__(self) -> None:
        self.is_open = True
        self.is_down = False
        self.waiting: list[asyncio.Future[None]] = []

    async def answer(self, look: Callable[[], T], *, stale: Callable[[], bool] = lambda: False) -> T:
        """`look`, before or after waiting: an answer may be older than its arrival."""
        early = stale()
        found = look() if early else None
        if not self.is_open:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(turn)
            await turn
        if self.is_down:
            raise Unavailable("the store is away")
        return found if early and found is not None else look()

    def let_through(self, index: int = 0) -> None:
        """Answer one of those who wait."""
        turn = self.waiting.pop(index % len(self.waiting))
        if not turn.done():
            turn.set_result(None)

    def open(self) -> None:
        self.is_open = True
        while self.waiting:
            self.let_through()


class MemoryViews:
    """What a gateway reads of the views, kept in memory from the fold's changes."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate or Gate()
        self.stale: Callable[[], bool] = lambda: False
        self.entries: dict[str, list[Entry]] = {}
        self.page = 10_000
        self._chats: dict[str, Chat] = {}
        self._uses: dict[tuple[str, str], FirstUse] = {}
        self._refused: dict[tuple[str, int], Refused] = {}

    def apply(self, changes: Changes) -> None:
        changes = snapshot(changes)
        for entry in changes.entries:
            self.entries.setdefault(entry.chat_id, []).append(entry)
        for use in changes.uses:
            self._uses.setdefault((use.chat_id, use.message_id), use)
        for row in changes.refused:
            self._refused[row.chat_id, row.offset] = row
        self._chats.update(changes.heads)

    def peek(self, chat_id: str) -> Chat:
        """The chat as it is, for the test's own eyes."""
        return self._chats.get(chat_id, Chat(chat_id))

    async def chat(self, chat_id: str) -> Chat | None:
        return await self._answer(lambda: _clone(self._chats[chat_id]) if chat_id in self._chats else None)

    async def chats_of(self, user_id: str) -> list[str]:
        return await self._answer(lambda: [c.chat_id for c in self._chats.values() if user_id in c.members])

    async def summaries(self, user_id: str, chat_ids: Collection[str]) -> list[Summary]:
        def look() -> list[Summary]:
            chats = [self._chats[chat_id] for chat_id in chat_ids if chat_id in self._chats]
            return [_summary(chat, user_id) for chat in chats if user_id in chat.members]

        return await self._answer(look)

    async def entries_after(self, chat_id: str, seq: int, limit: int) -> Page:
        def look() -> Page:
            later = [entry for entry in self.entries.get(chat_id, []) if entry.seq > seq]
            size = min(limit, self.page)
            return Page(later[:size], len(later) > size)

        return await self._answer(look)

    async def first_use(self, chat_id: str, message_id: str) -> FirstUse | None:
        return await self._answer(lambda: self._uses.get((chat_id, message_id)))

    async def refusal_at(self, chat_id: str, position: Position) -> str | None:
        refused = self._refused.get((chat_id, position.offset))
        return None if refused is None else refused.code

    async def _answer(self, look: Callable[[], T]) -> T:
        return await self.gate.answer(look, stale=self.stale)


def _clone(chat: Chat) -> Chat:
    return replace(chat, members=dict(chat.members))


def _summary(chat: Chat, user_id: str) -> Summary:
    delivered, read = chat.others_marks(user_id)
    return Summary(replace(chat, members={}), len(chat.members), chat.members[user_id], delivered, read)


class MemoryLog:
    """One partition. What is appended is durable, and answered, only once the test commits it."""

    partitions = 1
    incarnation = "world"

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.records: list[Record] = []
        self._now = now
        self._pending: list[tuple[Event, Appended]] = []
        self.is_down = False

    def append(self, event: Event, done: Appended) -> None:
        self._pending.append((event, done))

    async def end(self) -> dict[int, int]:
        return {0: len(self.records)}

    async def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        return self.records[offset : offset + limit]

    async def wait(self, partition: int, offset: int) -> None:
        raise AssertionError("the world folds by itself")

    @property
    def is_waiting(self) -> bool:
        return bool(self._pending)

    def commit(self) -> int:
        """Make durable and acknowledge what waits; gives how many."""
        pending, self._pending = self._pending, []
        for event, done in pending:
            if self.is_down:
                done(None, Unavailable("the log is away"))
                continue
            at = int(self._now().timestamp() * 1000)
            self.records.append(Record(0, len(self.records), at, event.chat_id, encode(event)))
            done(Position(0, len(self.records) - 1), None)
        return len(pending)


class MemoryKeys:
    """Everybody has a key unless it was destroyed or the user is unknown."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.destroyed: set[str] = set()
        self.unknown: set[str] = set()

    async def load(self, author_ids: Collection[str]) -> Mapping[str, bytes | None]:
        def look() -> Mapping[str, bytes | None]:
            known = [author_id for author_id in author_ids if author_id not in self.unknown]
            return {author_id: None if author_id in self.destroyed else b"k" * 32 for author_id in known}

        return await self.gate.answer(look)


class PlainTokens:
    """A token says it all: `user/session/seconds`."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.ended: set[str] = set()

    def issue(self, user_id: str, session_id: str, admin: bool, at: datetime) -> str:
        return token(user_id, session_id)

    def verify(self, token: str) -> Claims:
        user_id, _, rest = token.partition("/")
        session_id, _, until = rest.partition("/")
        expires_at = NOON + timedelta(seconds=float(until or 0))
        if not until or expires_at <= self._now() or session_id in self.ended:
            raise BadToken("the token is bad")
        return Claims(user_id, session_id, expires_at)


def token(user_id: str, session_id: str = "phone", until_s: float = 900.0) -> str:
    """`until_s` counts from noon."""
    return f"{user_id}/{session_id}/{until_s}"


@dataclass
class World:
    """Everything around one gateway. Use `await World.begin()`."""

    timers: MovedTimers = field(default_factory=MovedTimers)
    limits: Limits = field(default_factory=Limits)
    unpublished: list[Changes] = field(default_factory=list)
    """Folded, in the views, and not yet told to the gateway."""

    def __post_init__(self) -> None:
        timers = self.timers
        self.log = MemoryLog(timers.now)
        self.views = MemoryViews()
        self.keys = MemoryKeys(Gate())
        self.sealer = Sealer(self.keys, clock=timers.time)
        self.mutes: dict[tuple[str, str], datetime] = {}
        self.fanout = MemoryFanout()
        self.progress = FoldProgress()
        self.tokens = PlainTokens(timers.now)
        self.presence_store = MemoryPresence(timers.now)
        self.hub = Hub(self.views, self.fanout, self.sealer, self.progress, timers, mutes=self._muted)
        self.commands = Commands(self.log, self.hub, self.progress, self.views, self.sealer, timers.now)
        self.receipts = Receipts(self.commands, self.hub, self.log, timers, timers.now)
        self.presence = PresenceTracker(self.presence_store, self.fanout, timers, gateway_id="g1")
        self.gateway = Gateway(
            self.hub,
            self.commands,
            self.receipts,
            self.presence,
            Acquaintance(self.views),
            self.tokens,
            Rates.make(timers.time),
            timers,
            timers.now,
            limits=self.limits,
            incarnation=self.log.incarnation,
        )
        self._fold = BatchFold(Adversary())
        self._folded = 0

    @staticmethod
    async def begin(**options: Any) -> World:
        world = World(**options)
        await world.gateway.start()
        return world

    async def end(self) -> None:
        await self.gateway.stop()

    async def _muted(self, user_id: str, chat_ids: Collection[str]) -> Mapping[str, datetime]:
        return {chat: until for (user, chat), until in self.mutes.items() if user == user_id and chat in chat_ids}

    # --- What happens in chats ------------------------------------------------------------------------------

    async def happen(self, actor_id: str, chat_id: str, *events: Data) -> None:
        """Append events as another gateway would, and fold them. The views have them; nobody here was told."""
        for data in events:
            at = self.timers.now()
            self.log.append(make(uuid7(at), chat_id, actor_id, at, data), lambda position, error: None)
        await self.fold()

    async def fold(self) -> None:
        """Commit what was appended and fold it into the views."""
        self.log.commit()
        records = self.log.records[self._folded :]
        while records:
            changes = await self._fold.fold(records)
            self.views.apply(changes)
            self.unpublished.append(snapshot(changes))
            done = changes.next_offset - self._folded
            self._folded, records = changes.next_offset, records[done:]

    async def publish(self) -> None:
        """Tell the gateway everything that it was not told yet, and let it act."""
        changes, self.unpublished = self.unpublished, []
        for each in changes:
            await self.fanout.publish(each)
        await settle()

    async def tell(self, actor_id: str, chat_id: str, *events: Data) -> None:
        """`happen`, and `publish`."""
        await self.happen(actor_id, chat_id, *events)
        await self.publish()

    async def turn(self) -> None:
        """Let the gateway act, commit and fold what it appended, tell it, and so on until nothing happens."""
        await settle()
        while self.log.is_waiting or self.unpublished:
            await self.fold()
            await self.publish()
        await settle()

    def role(self, chat_id: str, user_id: str) -> str | None:
        """What the user is in the chat, by the views; None for no member."""
        member = self.views.peek(chat_id).members.get(user_id)
        return None if member is None else member.role

    async def message(self, actor_id: str, chat_id: str, text: str = "hi") -> MessageSent:
        """A message as its author's gateway would have sealed it."""
        message_id = uuid7(self.timers.now())
        elsewhere = Sealer(MemoryKeys(Gate()), clock=self.timers.time)
        await elsewhere.warm([actor_id])
        return MessageSent(message_id, "TEXT", elsewhere.seal(chat_id, message_id, actor_id, text))

    # --- Clients ----------------------------------------------------------------------------------------------

    def open(self) -> Client:
        """A socket that has not said anything."""
        return Client(self)

    async def connect(self, user_id: str, resume: Mapping[str, int] | None = None, **options: Any) -> Client:
        """A client that has said connect and got what there is to say at once."""
        client = self.open()
        client.say_connect(user_id, resume, **options)
        await settle()
        return client


class Client:
    """One connection, from the client's end."""

    def __init__(self, world: World) -> None:
        self.link = FakeLink()
        self.session: Session = world.gateway.accept(self.link)
        self._ids = count(1)

    def say(self, kind: str, /, **fields: Any) -> str | None:
        """Send a frame; gives its id."""
        self.raw(msgspec.json.encode({"type": kind, **fields}))
        given: str | None = fields.get("id")
        return given

    def raw(self, frame: bytes) -> None:
        self.session.received(frame)

    def say_connect(
        self, user_id: str, resume: Mapping[str, int] | None = None, session_id: str = "phone", until_s: float = 900.0
    ) -> None:
        extra = {} if resume is None else {"resume": resume}
        self.say("connect", id="c", token=token(user_id, session_id, until_s), **extra)

    def send(self, chat_id: str, message_id: str, text: str = "hi", **extra: Any) -> str:
        frame_id = f"s{next(self._ids)}"
        self.say("send", id=frame_id, chat_id=chat_id, message_id=message_id, kind="TEXT", text=text, **extra)
        return frame_id

    def hang_up(self, code: int = 1006) -> None:
        self.session.closed(code)

    def events(self, chat_id: str) -> list[int]:
        """The seqs told in a chat, in the order told."""
        return [frame["seq"] for frame in self.link.of("event") if frame["chat_id"] == chat_id]

    def texts(self, chat_id: str) -> list[str | None]:
        events = [frame["event"] for frame in self.link.of("event") if frame["chat_id"] == chat_id]
        return [event["data"]["text"] for event in events if event["type"] == "message.sent"]


def types(frames: Iterable[Mapping[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]
