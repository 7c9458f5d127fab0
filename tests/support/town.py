"""A small town for tests of a real server: people, chats between them, and clients that talk without end.

It can tell whether everything that was acknowledged is there, exactly once, in a dense order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, Protocol
from uuid import uuid4

import httpx
import pytest

from events.ids import uuid7
from tests.support.talkers import Talker

PACE_S = 0.02
"""Mean pause of a talker."""
SETTLE_S = 30.0
REFUSED = ("no_such_chat",)
"""What the fold says to a send of somebody who has left."""

Event = dict[str, Any]


class Served(Protocol):
    """Where a product answers: an embedded server, or a cluster."""

    @property
    def url(self) -> str: ...

    @property
    def ws_url(self) -> str: ...


@dataclass
class User:
    user_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Town:
    """Users, their chats, and everybody's connections."""

    server: Served
    random: Random
    users: list[User]
    readers: dict[str, User]
    """Chat → a member who never leaves and sees everything."""
    talkers: list[Talker]
    wanderers: list[Talker]
    """Two devices of one user who joins and leaves: one does so, the other writes meanwhile."""

    @property
    def everybody(self) -> list[Talker]:
        return [*self.talkers, *self.wanderers]

    async def speak_up(self) -> None:
        """Let everybody talk, once they are connected."""
        for talker in self.everybody:
            await settle(talker, talker.is_connected)
        for talker in self.everybody:
            talker.quiet = False

    def hush(self) -> None:
        """Nobody says anything new; what was not answered is still repeated."""
        for talker in self.everybody:
            talker.quiet = True


async def register(http: httpx.AsyncClient) -> User:
    answer = await http.post("/v1/auth/register", json={"username": f"u{uuid4().hex[:20]}", "password": "long enough"})
    assert answer.status_code == 201, answer.text
    return User(answer.json()["user"]["user_id"], answer.json()["access_token"])


async def settle_town(server: Served, random: Random, pace_s: float = PACE_S, *more: Served) -> Town:
    """Six people with three direct chats and two open groups between them, and a wanderer. `more`: servers of the
    same product, over which they are spread."""
    async with client(server) as http:
        users = [await register(http) for _ in range(7)]
        *steady, wanderer = users
        readers: dict[str, User] = {}
        rooms: list[list[User]] = [steady[0:2], steady[2:4], steady[4:6]]
        for one, other in rooms:
            made = await _made(http, "PUT", f"/v1/chats/direct/{other.user_id}", {}, one)
            readers[made] = one
        rooms += [steady[:4], steady[3:]]
        for owner, *others in rooms[3:]:
            body = {"title": "Square", "member_ids": [other.user_id for other in others], "open": True}
            made = await _made(http, "POST", "/v1/chats", {**body, "chat_id": uuid7(datetime.now(UTC))}, owner)
            readers[made] = owner
    chats = list(readers)
    squares = chats[3:]
    servers = [server, *more]
    talkers = []
    for number, user in enumerate(steady):
        own = [chat_id for chat_id, members in zip(chats, rooms, strict=True) if user in members]
        talkers.append(
            Talker(
                f"talker {number}",
                _sockets(servers, number, user),
                user.token,
                random,
                Chatter(random, own).speak,
                pace_s,
            )
        )
    wandering = Wanderer(random, squares)
    here, there = (_sockets(servers, first, wanderer) for first in (0, 1))
    wanderers = [
        Talker("wanderer", here, wanderer.token, random, wandering.wander, pace_s),
        Talker("wanderer's other device", there, wanderer.token, random, wandering.write, pace_s / 5),
    ]
    return Town(server, random, users, readers, talkers, wanderers)


async def _made(http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any], owner: User) -> str:
    """The id of a chat, once the views have it."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            answer = await http.request(method, path, json=body or None, headers=owner.headers)
            assert answer.status_code in (200, 201, 202), answer.text
            if answer.status_code != 202:
                chat_id: str = answer.json()["chat"]["chat_id"]
                return chat_id


def _sockets(servers: list[Served], first: int, user: User) -> list[str]:
    """The addresses of a user's sockets, with the hint for a load balancer, begun at one of the servers."""
    start = first % len(servers)
    return [f"{server.ws_url}?u={user.user_id}" for server in servers[start:] + servers[:start]]


@dataclass
class Chatter:
    """Sends to its chats, now and then several at once, and now and then one that was answered long ago."""

    random: Random
    chats: list[str]

    def speak(self, talker: Talker) -> None:
        for _ in range(self.random.choice((1, 1, 1, 5))):
            talker.send(self.random.choice(self.chats))
        if talker.books.acked and self.random.random() < 0.1:
            talker.repeat(self.random.choice(list(talker.books.acked)))


@dataclass
class Wanderer:
    """Comes and goes on one device and writes on the other just then, so that some of what is accepted is void."""

    random: Random
    squares: list[str]
    leaving: set[str] = field(default_factory=set)

    def wander(self, talker: Talker) -> None:
        chat_id = self.random.choice(self.squares)
        if chat_id in talker.cursors:
            self.leaving.add(chat_id)
            talker.move("leave", chat_id)
        else:
            self.leaving.discard(chat_id)
            talker.move("join", chat_id)

    def write(self, talker: Talker) -> None:
        for chat_id in self.squares:
            if chat_id in talker.cursors and (chat_id in self.leaving or self.random.random() < 0.05):
                talker.send(chat_id)


@asynccontextmanager
async def talking(town: Town) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Everybody is connected, or trying to be, while the block runs; gives their tasks, which never end well."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(talker.live()) for talker in town.everybody]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def client(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=15, trust_env=False) as http:
        yield http


async def events_of(http: httpx.AsyncClient, chat_id: str, reader: User, position: str) -> list[Event]:
    """All of a chat's events, once the views have everything up to `position`."""
    events: list[Event] = []
    has_more = True
    while has_more:
        after = events[-1]["seq"] if events else 0
        async with asyncio.timeout(SETTLE_S):
            while True:
                answer = await http.get(
                    f"/v1/chats/{chat_id}/events?after_seq={after}&limit=200",
                    headers={**reader.headers, **({"Tidings-Min-Position": position} if position else {})},
                )
                if answer.status_code != 503 or answer.json()["code"] != "not_yet":
                    break
        assert answer.status_code == 200, answer.text
        events += answer.json()["items"]
        has_more = answer.json()["has_more"]
    return events


def last_position(talkers: Iterable[Talker]) -> str:
    """The furthest acknowledged place of each partition, as Tidings-Min-Position wants it."""
    furthest: dict[int, int] = {}
    for talker in talkers:
        for position in talker.books.acked.values():
            furthest[position.partition] = max(position.offset, furthest.get(position.partition, 0))
    return ", ".join(f"{partition}:{offset}" for partition, offset in furthest.items())


async def read_back(town: Town, http: httpx.AsyncClient) -> dict[str, list[Event]]:
    """Check that all acknowledged so far is there exactly once, or refused, and every seq dense; gives the events."""
    acked = [(talker, dict(talker.books.acked)) for talker in town.everybody]
    position = last_position(town.everybody)
    chats = {chat_id: await events_of(http, chat_id, reader, position) for chat_id, reader in town.readers.items()}
    for chat_id, events in chats.items():
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), f"seqs of {chat_id}"
        messages = [event for event in events if event["event"]["type"] == "message.sent"]
        assert [event["n"] for event in messages] == list(range(1, len(messages) + 1)), f"n of {chat_id}"
    shown = {
        chat_id: Counter(
            event["event"]["data"]["message_id"] for event in events if event["event"]["type"] == "message.sent"
        )
        for chat_id, events in chats.items()
    }
    texts = {
        event["event"]["data"]["message_id"]: event["event"]["data"]["text"]
        for events in chats.values()
        for event in events
        if event["event"]["type"] == "message.sent"
    }
    for chat_id, counts in shown.items():
        assert [message_id for message_id, count in counts.items() if count > 1] == [], f"twice in {chat_id}"
    for talker, answered in acked:
        for message_id in answered:
            chat_id = talker.books.chat_of[message_id]
            if shown[chat_id][message_id] == 1:
                assert texts[message_id] == talker.books.text_of[message_id], f"first use of {message_id}"
                assert message_id not in talker.books.rejected, f"{message_id} is shown and was rejected"
                continue
            path = f"/v1/chats/{chat_id}/messages/{message_id}"
            answer = await http.get(path, headers=talker.headers)
            assert answer.status_code == 409, f"{talker.name}'s {message_id}: {answer.status_code} {answer.text}"
            assert answer.json()["code"] in REFUSED
            assert talker.books.rejected.get(message_id, answer.json()["code"]) == answer.json()["code"]
    return chats


async def settled(town: Town, http: httpx.AsyncClient) -> dict[str, list[Event]]:
    """Wait until every question is answered and every live client has all; gives the events."""
    await all_answered(town)
    chats = await read_back(town, http)
    for talker in town.talkers:
        for chat_id in talker.first:
            await settle(talker, partial(talker.has_heard, chat_id, len(chats[chat_id])))
    return await read_back(town, http)


async def all_answered(town: Town, patience_s: float = SETTLE_S) -> None:
    """Nobody says anything new, and everything that was said has its answer."""
    town.hush()
    for talker in town.everybody:
        await settle(talker, talker.has_all_answers, patience_s)


async def settle(talker: Talker, condition: Callable[[], bool], patience_s: float = SETTLE_S) -> None:
    """Wait for a talker's condition, and say how it stands if that takes too long."""
    try:
        async with asyncio.timeout(patience_s):
            await talker.until(condition)
    except TimeoutError:
        pytest.fail(f"not settled: {talker}")


def check_heard(town: Town, chats: dict[str, list[Event]], *, may_skip: bool = False) -> None:
    """Each client got every seq exactly once and in order, over all its connections, as the views have them.

    `may_skip`: outages are so long that some were told `limited`, and fetch that part over HTTP.
    """
    truth = {chat_id: {event["seq"]: _what(event) for event in events} for chat_id, events in chats.items()}
    for talker in town.everybody:
        assert talker.faults == []
        for chat_id, heard in talker.heard.items():
            seqs = [seq for seq, _ in heard]
            assert seqs == sorted(set(seqs)), f"{talker.name} in {chat_id}"
            strange = [(seq, what) for seq, what in heard if truth[chat_id].get(seq) != what]
            assert strange == [], f"{talker.name} heard in {chat_id} what is not there"
    for talker in town.talkers:
        assert may_skip or talker.skipped == [], "so little is missed that it comes over the socket"
        for chat_id, first in talker.first.items():
            seqs = [seq for seq, _ in talker.heard.get(chat_id, [])]
            skipped = {seq for chat, low, high in talker.skipped if chat == chat_id for seq in range(low, high + 1)}
            wanted = [seq for seq in range(first + 1, len(chats[chat_id]) + 1) if seq not in skipped]
            assert seqs == wanted, f"{talker.name} in {chat_id}"


def _what(event: dict[str, Any]) -> str:
    kind: str = event["event"]["type"]
    return str(event["event"]["data"]["message_id"]) if kind == "message.sent" else kind
