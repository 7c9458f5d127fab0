"""The parts of the embedded product: SQLite, memory, and a data directory that is this process's alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

from infra import whole
from infra.layout import accounts_file, log_file, push_file, views_file
from infra.memory.fanout import MemoryFanout
from infra.memory.presence import MemoryPresence
from infra.memory.roster import MemoryRoster
from infra.metrics.collectors import EmbeddedLag, FoldMetrics, HeardMetrics, LogMetrics, ServedGeneration, SpokenMetrics
from infra.parts import Parts
from infra.push.any_device import HeardOf
from infra.push.embedded import open_queues
from infra.secrets import load_secrets
from infra.settings import Settings
from infra.sql.database import sqlite_url
from infra.sqlite.database import DirectoryLock
from infra.sqlite.log import SqliteLog
from infra.sqlite.operators import Operators
from infra.sqlite.registry import FileRegistry
from infra.sqlite.views import SqliteViews
from streams.generations import Generations
from streams.progress import FoldProgress

_BUSY_S = 0.2
"""Tools that mend the views hold their lock for some milliseconds; the fold tries again, and meanwhile nobody waits."""


async def embedded(settings: Settings, now: Callable[[], datetime], stack: AsyncExitStack) -> Parts:
    """Raises DataDirectoryInUse, LogMismatch, Corrupt and Unavailable."""
    lock = DirectoryLock(settings.data)
    stack.callback(lock.release)
    elsewhere = settings.accounts_url is not None
    whole.check(settings.data, accounts_elsewhere=elsewhere)
    whole.keep_private(settings.data)
    secrets = load_secrets(
        settings.data,
        master=settings.master_secret,
        jwt=settings.token_secret,
        is_needed=whole.needs_master_key(settings.data, accounts_elsewhere=elsewhere),
    )
    log = SqliteLog(log_file(settings.data), now)
    stack.push_async_callback(log.close)
    fanout = MemoryFanout()

    async def positions() -> Mapping[int, int]:
        return await generations.reached()

    progress = FoldProgress(positions)

    def open_views(generation: int) -> SqliteViews:
        return SqliteViews(views_file(settings.data, generation), log.incarnation, log.ends(), busy_s=_BUSY_S)

    notifier, push, any_device = None, None, HeardOf()
    if settings.push != "off":
        notifier, push, any_device = open_queues(push_file(settings.data), log.incarnation, log.partitions, now, stack)
    registry, operators = FileRegistry(settings.data), Operators(settings.data)
    generations = await Generations.open(log, registry, open_views, fanout, str(os.getpid()), notifier, operators)
    stack.callback(generations.close)
    views = generations.views
    return Parts(
        secrets=secrets,
        accounts_url=settings.accounts_url or sqlite_url(accounts_file(settings.data)),
        log=log,
        collectors=(
            LogMetrics(log.measures, log.ends, lambda: log.waiting, commits=True),
            FoldMetrics(generations.measures),
            EmbeddedLag(log, progress, generations.measures),
            SpokenMetrics(fanout.measures),
            HeardMetrics(fanout.measures),
            ServedGeneration(lambda: generations.served),
        ),
        folding=generations.measures,
        views=views,
        progress=progress,
        fanout=fanout,
        presence=MemoryPresence(now),
        roster=MemoryRoster(now),
        checks={"log": log.ping, "views": generations.ping},
        work={"generations": generations.run, "operators": partial(operators.serve, log)},
        push=push,
        device_named=any_device.note,
        catches_up=True,
        came_without_accounts=whole.comes_without_accounts(log_file(settings.data)),
    )
