"""The composition root: builds the embedded product from settings, starts it and takes it down again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from api.chat_services import ChatServices
from api.presence import Acquaintance, PresenceQueries, PresenceTracker
from api.services import DemoCodes, Health, Limits, Services
from api.ws.gateway import Gateway
from api.ws.hub import Hub
from commands.accounts import Accounts
from commands.chat import MAX_MEMBERS
from commands.devices import Devices
from commands.erasure import Departure
from commands.errors import Unavailable
from commands.handlers import MAX_TEXT_BYTES, Commands
from commands.receipts import Receipts
from commands.sealing import Sealer
from commands.sessions import EndedSessions, RefreshTokens, Sessions
from events.ids import uuid7
from events.log import Position
from infra.layout import accounts_file, log_file, views_file
from infra.master_key import MasterKey, derive
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from infra.metrics import ServerMetrics
from infra.passwords import Argon2Passwords
from infra.secrets import load_secrets
from infra.settings import Settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database, sqlite_url
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.sql.sessions import SqlSessions
from infra.sqlite.database import DirectoryLock
from infra.sqlite.log import SqliteLog
from infra.sqlite.views import SqliteViews
from infra.tokens import JwtTokens
from projections.ports import ChatViews
from streams.progress import FoldProgress
from streams.runner import Runner

logger = logging.getLogger(__name__)

ERASURES_EVERY_S = 60.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class App:
    """The running parts that the server, the demo and tests take hold of."""

    settings: Settings
    now: Callable[[], datetime]
    log: SqliteLog
    views: SqliteViews
    progress: FoldProgress
    commands: Commands
    accounts: Accounts
    sealer: Sealer
    gateway: Gateway
    services: Services
    background: list[asyncio.Task[None]]
    """Work that never ends by itself: a task that is done has failed, and the process must not go on without it."""


class ViewOutcomes:
    """What became of a record, as the views tell it."""

    def __init__(self, views: ChatViews) -> None:
        self._views = views

    async def refusal_at(self, chat_id: str, position: Position) -> str | None:
        refused = await self._views.refused_at(chat_id, position.offset)
        return None if refused is None else refused.code


@asynccontextmanager
async def running(
    settings: Settings, *, demo: bool = False, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[App]:
    """Open everything, fold what the views lack, and serve until the block ends.

    Raises DataDirectoryInUse, LogMismatch, Corrupt and Unavailable before anything is served.
    """
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        lock = DirectoryLock(settings.data)
        stack.callback(lock.release)
        secrets = load_secrets(settings.data, master=settings.master_secret, jwt=settings.token_secret)
        master_key = MasterKey(secrets.master)

        log = SqliteLog(log_file(settings.data), now)
        stack.push_async_callback(log.close)
        views = SqliteViews(views_file(settings.data), log.incarnation, await log.end())
        stack.callback(views.close)
        accounts_url = settings.accounts_url or sqlite_url(accounts_file(settings.data))
        database = await Database.open(accounts_url, master_key, replica_urls=settings.accounts_replica_urls)
        stack.push_async_callback(database.close)
        passwords = Argon2Passwords(
            time_cost=settings.argon2_time_cost,
            memory_kib=settings.argon2_memory_kib,
            at_once=settings.argon2_at_once,
        )
        stack.callback(passwords.close)

        ended = EndedSessions(now)
        tokens = JwtTokens(secrets.jwt, now, ended)
        refresh_tokens = RefreshTokens(derive(secrets.jwt, "refresh tokens"))
        sessions = Sessions(SqlSessions(database), tokens, refresh_tokens, ended, now)
        await sessions.start()
        sealer = Sealer(SqlKeys(database, master_key))

        progress = FoldProgress()
        fanout = MemoryFanout()
        presence_store = MemoryPresence(now)
        departure: list[Departure] = []
        accounts = Accounts(
            SqlAccounts(database, master_key),
            sessions,
            passwords,
            now,
            lambda user_id: departure[0].leave_all_chats(user_id),
        )
        accounts.observers.append(sealer.forget)
        hub = Hub(views, fanout, sealer, progress, loop, mutes=accounts.mute_until)
        commands = Commands(log, hub, progress, ViewOutcomes(views), sealer, now)
        departure.append(Departure(commands, log, progress, views))
        receipts = Receipts(commands, hub, log, loop, now)
        presence = PresenceTracker(presence_store, fanout, loop, gateway_id=uuid7(now()))
        acquaintance = Acquaintance(views)
        limits = Limits.make(
            time.monotonic,
            logins_per_minute=settings.logins_per_minute,
            registrations_per_minute=settings.registrations_per_minute,
            sends_per_second=settings.sends_per_second,
            sends_burst=settings.sends_burst,
        )
        gateway = Gateway(hub, commands, receipts, presence, acquaintance, tokens, limits.sends, loop, now)
        ended.observers.append(gateway.session_ended)
        chats = ChatServices(
            commands=commands,
            receipts=receipts,
            views=views,
            progress=progress,
            partitions=log.partitions,
            sealer=sealer,
            presence=PresenceQueries(presence_store, acquaintance),
        )
        services = Services(
            now=now,
            accounts=accounts,
            sessions=sessions,
            tokens=tokens,
            limits=limits,
            health=Health({"log": log.ping, "views": views.ping, "accounts": accounts.ping}),
            version=version("tidings"),
            features=("chats", "devices", "presence", "receipts", *(("demo",) if demo else ())),
            public_limits={"text_bytes": MAX_TEXT_BYTES, "group_members": MAX_MEMBERS},
            cors_origins=settings.cors_origins,
            demo=DemoCodes(now) if demo else None,
            chats=chats,
            devices=Devices(SqlDevices(database), now),
        )
        services.metrics.register(ServerMetrics(hub.shared.counters, log.ends, progress))
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        background = [
            asyncio.create_task(Runner(log, views, fanout).run(), name="runner"),
            asyncio.create_task(sealer.run(), name="sealing keys"),
            asyncio.create_task(_finish_erasures(accounts), name="erasures"),
        ]
        stack.push_async_callback(_end, background)
        while not await progress.reach(await log.end(), timeout_s=1.0):
            _raise_failure(background)
            logger.info("folding what the views lack: %s of %s", progress.position(0), (await log.end())[0])
        yield App(settings, now, log, views, progress, commands, accounts, sealer, gateway, services, background)


async def _finish_erasures(accounts: Accounts) -> None:
    """Now and then complete erasures that a crash or an outage cut short."""
    while True:
        try:
            finished = await accounts.finish_erasures()
            if finished:
                logger.info("%d erasures completed", finished)
        except Unavailable as error:
            logger.warning("erasures wait: %s", error)
        await asyncio.sleep(ERASURES_EVERY_S)


def _raise_failure(background: list[asyncio.Task[None]]) -> None:
    for task in background:
        if task.done():
            task.result()


async def _end(background: list[asyncio.Task[None]]) -> None:
    """Cancel the background work and wait for its end. The server looks at what failed."""
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
