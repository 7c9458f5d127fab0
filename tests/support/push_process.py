"""A process that only pushes, to be killed at any moment: notes in Kafka or SQLite, views and accounts in a folder.

The folder is made by `prepare`: one person writes to many, each of whom has two devices and is never online.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import uvloop

from commands.devices import Device, Platform
from commands.sealing import Sealer
from commands.sessions import REFRESH_LIFE, Session
from commands.users import Account
from events.codec import encode, make
from events.ids import direct_chat_id, uuid7
from events.log import NOTIFICATIONS_TOPIC, RETRIES_TOPIC, Record
from events.types import ChatCreated, Data, MessageSent
from infra.kafka.dead_letters import KafkaDeadLetters
from infra.kafka.holder import KafkaHolder
from infra.kafka.queues import KafkaQueue
from infra.kafka.sender import Sender
from infra.kafka.topics import Topic
from infra.master_key import MasterKey
from infra.memory.presence import MemoryPresence
from infra.push.role import PushQueues, open_role
from infra.settings import load_settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.sql.sessions import SqlSessions
from infra.sqlite.views import SqliteViews
from streams.batch import BatchFold
from streams.push.backoff import DELAYS_S
from streams.push.queues import Queue
from streams.push.records import Note, encode_note, tag_of
from tests.support.people import MASTER
from tests.support.providers.keys import KEY_ID, TEAM_ID, TOPIC, Keys

ROOT = Path(__file__).resolve().parents[2]
INCARNATION = "prepared"
_AT_ONCE = 500


def utc_now() -> datetime:
    return datetime.now(UTC)


async def prepare(
    folder: Path, people: int, messages: int, platforms: Sequence[Platform] = ("IOS", "IOS")
) -> list[Note]:
    """Write accounts and views; gives the notes of all messages, in the order of the log."""
    database = await Database.open(sqlite_url(folder / "accounts.db"), MasterKey(MASTER))
    store, sessions, devices = SqlAccounts(database, MasterKey(MASTER)), SqlSessions(database), SqlDevices(database)
    now = utc_now()
    ids = [uuid7(now) for _ in range(people + 1)]
    for number, user_id in enumerate(ids):
        account = Account(user_id, f"user-{number}", f"User {number}", "hash", now)
        await store.add(account)
        if number:
            session = Session(uuid7(now), user_id, b"s" * 16, 0, now, now, now + REFRESH_LIFE)
            await sessions.add(session, account)
            for index, platform in enumerate(platforms):
                name = f"device-{number}-{index}"
                await devices.put(Device(user_id, name, platform, name, session.session_id, now))
    sealer = Sealer(SqlKeys(database, MasterKey(MASTER)))
    writer, *readers = ids
    await sealer.warm([writer])
    records: list[Record] = []

    def add(chat_id: str, data: Data) -> None:
        value = encode(make(uuid7(now), chat_id, writer, now, data))
        records.append(Record(0, len(records), 0, chat_id, value))

    chats = [direct_chat_id(writer, reader) for reader in readers]
    for chat_id, reader in zip(chats, readers, strict=True):
        add(chat_id, ChatCreated("direct", None, False, "all", [writer, reader]))
    for number in range(messages):
        chat_id, message_id = chats[number % len(chats)], uuid7(now)
        body = sealer.seal(chat_id, message_id, writer, f"message {number}, and how are you?")
        add(chat_id, MessageSent(message_id, "TEXT", body))
    await database.close()

    views = SqliteViews(folder / "views.db", INCARNATION, {0: len(records)})
    fold, notes, rest = BatchFold(views), [], iter(records)
    while some := list(islice(rest, _AT_ONCE)):
        changes = await fold.fold(some)
        await views.apply(changes)
        notes += [
            Note(entry.chat_id, entry.seq, entry.offset, tag_of(INCARNATION))
            for entry in changes.entries
            if entry.type == "message.sent"
        ]
    views.close()
    return notes


async def put(queue: Queue, partitions: int, notes: Sequence[Note]) -> None:
    """Into the partitions of their chats, in order."""
    by_partition: dict[int, list[tuple[str, bytes]]] = {}
    for note in notes:
        by_partition.setdefault(hash(note.chat_id) % partitions, []).append(encode_note(note))
    await asyncio.gather(*(queue.put(partition, some) for partition, some in by_partition.items()))


@dataclass(frozen=True)
class Plan:
    """What the process is told."""

    folder: str
    bootstrap: str
    topic: str
    retries: str
    partitions: int
    group: str
    keys: str
    apns_url: str
    fcm_url: str | None = None
    member: str = "pusher"

    @property
    def topics(self) -> tuple[Topic, Topic]:
        return Topic(self.topic, self.partitions), Topic(self.retries, len(DELAYS_S))


class Pusher:
    """The process."""

    def __init__(self, plan: Plan, output: Path) -> None:
        self._plan = plan
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        keys = Keys(Path(self._plan.keys))
        about = {
            "TIDINGS_PUSH_APNS_KEY": str(keys.apns_key),
            "TIDINGS_PUSH_APNS_KEY_ID": KEY_ID,
            "TIDINGS_PUSH_APNS_TEAM_ID": TEAM_ID,
            "TIDINGS_PUSH_APNS_TOPIC": TOPIC,
            "TIDINGS_PUSH_APNS_URL": self._plan.apns_url,
            "TIDINGS_PUSH_APNS_CA": str(keys.certificate),
        }
        if self._plan.fcm_url is not None:
            about |= {"TIDINGS_PUSH_FCM_ACCOUNT": str(keys.account), "TIDINGS_PUSH_FCM_URL": self._plan.fcm_url}
        command = [sys.executable, "-m", "tests.support.push_process", json.dumps(asdict(self._plan))]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **about}, stdin=subprocess.PIPE, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    def kill(self) -> None:
        """kill -9. Quiet if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def printed(self) -> str:
        return self._output.read_text()


async def run(plan: Plan) -> None:
    folder = Path(plan.folder)
    async with AsyncExitStack() as stack:
        master_key = MasterKey(MASTER)
        database = await Database.open(sqlite_url(folder / "accounts.db"), master_key)
        stack.push_async_callback(database.close)
        views = SqliteViews(folder / "views.db", INCARNATION, {0: 10**12})
        stack.callback(views.close)
        sender = Sender(plan.bootstrap)
        stack.push_async_callback(sender.close)
        letters = KafkaDeadLetters(sender, 1, topic=f"{plan.topic}-dead")
        retries = await KafkaQueue.open(plan.bootstrap, plan.topics[1])
        stack.push_async_callback(retries.close)
        both = {NOTIFICATIONS_TOPIC: letters, RETRIES_TOPIC: letters}
        holder = KafkaHolder(plan.bootstrap, plan.group, plan.member, session_timeout_s=6.0)
        role = await open_role(
            load_settings(),
            PushQueues(retries, holder, both, tag_of(INCARNATION)),
            views,
            SqlDevices(database),
            SqlAccounts(database, master_key),
            Sealer(SqlKeys(database, master_key)),
            MemoryPresence(utc_now),
            utc_now,
            stack,
        )
        await holder.hold({plan.topic: role.stream.notifications, plan.retries: role.stream.retries})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvloop.run(run(Plan(**json.loads(sys.argv[1]))))
