"""The composition root: builds an embedded server or a gateway of a cluster from settings, starts it and takes it down
again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from api.chat_services import ChatServices
from api.operations import Process
from api.presence import Acquaintance, PresenceQueries, PresenceTracker
from api.services import DemoCodes, Health, Limits, Services
from api.ws.gateway import Gateway
from commands.accounts import Accounts
from commands.announcements import Newsroom
from commands.chat import MAX_MEMBERS
from commands.devices import Devices
from commands.erasure import Departure
from commands.errors import Unavailable
from commands.files import MAX_FILE_BYTES
from commands.handlers import MAX_TEXT_BYTES, Commands
from commands.ports import EventLog
from commands.receipts import Receipts
from commands.sealing import Sealer
from commands.sessions import EndedSessions, RefreshTokens, Sessions
from events.ids import uuid7
from events.log import Position
from infra.files.opened import open_files
from infra.master_key import MasterKey, derive
from infra.metrics.collectors import GatewayMetrics, PushMetrics, SecurityMetrics
from infra.metrics.process import Heartbeat, ProcessMetrics, tell
from infra.operations.backstage import Backstage
from infra.operations.jobs import Jobs
from infra.operations.overview import LiveOperations
from infra.operations.releasing import Releasing
from infra.operations.telling import tell_of_oneself
from infra.parts import Parts, Work
from infra.passwords import Argon2Passwords
from infra.past import LogTimeMachine
from infra.patience import patiently
from infra.push.erased import ErasedPushes
from infra.push.role import open_role
from infra.settings import Settings
from infra.sql.accounts import SqlAccounts
from infra.sql.database import Database
from infra.sql.devices import SqlDevices
from infra.sql.keys import SqlKeys
from infra.sql.sessions import SqlSessions
from infra.tokens import JwtTokens
from infra.tracing.setup import Untraced, tracing
from projections.ports import ChatViews
from streams.progress import FoldProgress

logger = logging.getLogger(__name__)

ERASURES_EVERY_S = 60.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class App:
    """The running parts that the server, the demo and tests take hold of."""

    settings: Settings
    now: Callable[[], datetime]
    log: EventLog
    views: ChatViews
    progress: FoldProgress
    commands: Commands
    accounts: Accounts
    sealer: Sealer
    gateway: Gateway
    services: Services
    traced: Untraced
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
    """Open everything, and serve until the block ends. An embedded server first folds what its views lack.

    Raises BadSettings, DataDirectoryInUse, LogMismatch, TopicUnsuitable, Corrupt and Unavailable before anything is
    served.
    """
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        parts = await _parts(settings, now, stack)
        views, progress, fanout = parts.views, parts.progress, parts.fanout
        traced = tracing(settings)
        stack.push_async_callback(traced.close)
        traced.follow(parts.folding)
        log = traced.log(parts.log)
        master_key = MasterKey(parts.secrets.master)
        ends = await patiently("Kafka", parts.log.end) if settings.kafka else await parts.log.end()
        open_accounts = partial(
            Database.open,
            parts.accounts_url,
            master_key,
            replica_urls=settings.accounts_replica_urls,
            may_be_new=parts.came_without_accounts or not any(ends.values()),
        )
        database = await patiently("the accounts", open_accounts) if settings.kafka else await open_accounts()
        stack.push_async_callback(database.close)
        passwords = Argon2Passwords(
            time_cost=settings.argon2_time_cost,
            memory_kib=settings.argon2_memory_kib,
            at_once=settings.argon2_at_once,
        )
        stack.callback(passwords.close)

        ended = EndedSessions(now)
        tokens = JwtTokens(parts.secrets.jwt, now, ended)
        refresh_tokens = RefreshTokens(derive(parts.secrets.jwt, "refresh tokens"))
        session_store, keys = SqlSessions(database), SqlKeys(database, master_key)
        sessions = Sessions(session_store, tokens, refresh_tokens, ended, now)
        await sessions.start()
        sealer = Sealer(keys)

        departure: list[Departure] = []
        account_store = SqlAccounts(database, master_key)
        accounts = Accounts(
            account_store,
            sessions,
            passwords,
            now,
            lambda user_id: departure[0].leave_all_chats(user_id),
        )
        accounts.observers.append(sealer.forget)
        hub = traced.hub(views, fanout, sealer, progress, loop, mutes=accounts.mute_until)
        files = await open_files(settings, database, views, parts.secrets.jwt, now, stack)
        if files is not None:
            accounts.observers.append(files.sweeper.wake)
        attachments = None if files is None else files.files
        commands = traced.commands(log, hub, progress, ViewOutcomes(views), sealer, now, attachments)
        departure.append(Departure(commands, log, progress, views))
        receipts = Receipts(commands, hub, log, loop, now)
        presence = PresenceTracker(parts.presence, fanout, loop, gateway_id=uuid7(now()))
        acquaintance = Acquaintance(views, groups=parts.groups)
        limits = Limits.make(
            time.monotonic,
            logins_per_minute=settings.logins_per_minute,
            registrations_per_minute=settings.registrations_per_minute,
            failed_logins_per_minute=settings.failed_logins_per_minute,
            failed_logins_per_hour=settings.failed_logins_per_hour,
            sends_per_second=settings.sends_per_second,
            sends_burst=settings.sends_burst,
            uploads_per_minute=settings.uploads_per_minute,
            marks_per_second=settings.marks_per_second,
            commands_per_second=settings.commands_per_second,
            commands_burst=settings.commands_burst,
            queries_per_second=settings.queries_per_second,
            chats_per_hour=settings.chats_per_hour,
            approaches_per_hour=settings.approaches_per_hour,
        )
        gateway = Gateway(
            hub, commands, receipts, presence, acquaintance, tokens, limits, loop, now, incarnation=log.incarnation
        )
        ended.observers.append(gateway.session_ended)
        chats = ChatServices(
            commands=commands,
            receipts=receipts,
            views=views,
            progress=progress,
            partitions=log.partitions,
            sealer=sealer,
            presence=PresenceQueries(parts.presence, acquaintance),
        )
        device_store = SqlDevices(database)
        devices = Devices(device_store, now)
        devices.observers.append(parts.device_named)
        services = Services(
            now=now,
            accounts=accounts,
            sessions=sessions,
            tokens=tokens,
            limits=limits,
            health=Health(
                {
                    **parts.checks,
                    "accounts": accounts.ping,
                    **({} if files is None else {"files": files.files.blobs.ping}),
                }
            ),
            version=version("tidings"),
            features=(
                *("chats", "devices", "presence", "receipts"),
                *(("files",) if files is not None else ()),
                *(("demo",) if demo else ()),
            ),
            public_limits={
                "text_bytes": MAX_TEXT_BYTES,
                "group_members": MAX_MEMBERS,
                "file_bytes": MAX_FILE_BYTES,
                "file_days": settings.files_days,
            },
            cors_origins=settings.cors_origins,
            demo=DemoCodes(now) if demo else None,
            chats=chats,
            devices=devices,
            time_machine=LogTimeMachine(settings, database, now),
            files=None if files is None else files.services,
        )
        backstage, jobs = Backstage(settings), Jobs(settings, now)
        stack.push_async_callback(backstage.close)
        stack.push_async_callback(jobs.close)
        services.operations = LiveOperations(
            backstage, jobs, parts.roster, Releasing(log, progress, now).retry, time.monotonic
        )
        started = now()

        def oneself() -> Process:
            return Process(
                name=settings.node or "tidings",
                kind="gateway" if settings.kafka else "serve",
                version=services.version,
                since=started,
                sessions=gateway.counters.sessions,
                users=len(hub.users),
                partitions=tuple(range(log.partitions)) if parts.folding is not None else (),
            )

        beat = Heartbeat(services.health)
        process = ProcessMetrics(services.health, beat, settings.node or "")
        tell(
            services.metrics, [GatewayMetrics(gateway), SecurityMetrics(services.security), process, *parts.collectors]
        )
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        work: dict[str, Work] = {
            **parts.work,
            "heartbeat": beat.run,
            "roster": partial(tell_of_oneself, parts.roster, oneself),
            "sealing keys": sealer.run,
            "erasures": partial(_finish_erasures, accounts),
        }
        pushing: dict[str, Work] = {}
        if parts.push is not None:
            queues = parts.push
            if queues.forget is not None:
                erased = ErasedPushes(queues.forget, keys.destroyed)
                accounts.observers.append(erased.hear)
                work["pushes of erased users"] = erased.run
            if demo:
                queues = replace(queues, journal=services.demo_pushes.after(queues.journal))
            role = await open_role(
                settings, queues, views, device_store, account_store, sealer, parts.presence, now, stack
            )
            if await device_store.any():
                await parts.device_named(False)
            pushing["pushes"] = role.run
            tell(services.metrics, [PushMetrics(role.stream.counts)])
        if files is not None:
            work["files"] = files.sweeper.run
        if parts.announcements is not None:
            newsroom = Newsroom(parts.announcements, session_store, keys, ended, sealer, now)
            newsroom.speak_for(sessions, accounts)
            work["announcements"] = newsroom.run
        await parts.listen()
        stack.push_async_callback(parts.unlisten)
        background = [asyncio.create_task(run(), name=name) for name, run in work.items()]
        stack.push_async_callback(_end, background)
        while parts.catches_up and not await progress.reach(await log.end(), timeout_s=1.0):
            _raise_failure(background)
            logger.info("folding what the views lack: %s of %s", progress.position(0), (await log.end())[0])
        # Not before: from views that lack what was read, people would hear of it again.
        background += [asyncio.create_task(run(), name=name) for name, run in pushing.items()]
        yield App(
            settings, now, log, views, progress, commands, accounts, sealer, gateway, services, traced, background
        )


async def _parts(settings: Settings, now: Callable[[], datetime], stack: AsyncExitStack) -> Parts:
    """Those of a cluster where the settings name one. The drivers of the other kind are not even imported."""
    if settings.kafka:
        from infra.clustered import clustered

        return await clustered(settings, now, stack)
    from infra.embedded import embedded

    return await embedded(settings, now, stack)


async def _finish_erasures(accounts: Accounts) -> None:
    """Now and then complete erasures that a crash or an outage cut short."""
    while True:
        try:
            finished = await accounts.finish_erasures()
            if finished:
                logger.info("%d erasures completed", finished)
            await accounts.look_again()
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
