"""One fault: load, the fault, its mend, and then the whole loss check."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from infra.cluster.local import LocalCluster
from tests.faults.cases import Case
from tests.faults.views import Behind, Truth
from tests.support.talkers import Talker
from tests.support.town import Town, all_answered, check_heard, client, settle_town, settled, talking

PATIENCE_S = 150.0
"""For everything to be as before the fault: a worker that was killed is missed only after its session's time-out."""
BEFORE_S = 1.0
"""Of load before the fault, and again after its mend."""
PACE_S = 0.2
"""Mean pause of a client."""
_FAILURES = (AssertionError, Behind, TimeoutError, pytest.fail.Exception)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it. Times in seconds since the fault; `failure`: what the loss check found, or did not come."""

    case: str
    acked: int = 0
    acked_meanwhile: int = 0
    """Accepted between the fault and its mend."""
    mended_s: float = 0.0
    """Until the services were back."""
    resumed_s: float = 0.0
    """Until everybody had got a message that was sent after the fault: at once where nothing stood still."""
    failure: str | None = None


class Served:
    """A cluster, as clients see it."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.url = cluster.url
        self.ws_url = cluster.url.replace("http", "ws", 1) + "/v1/ws"


async def run_case(cluster: LocalCluster, case: Case, truth: Truth, say: Callable[[str], None]) -> Result:
    """Put a running cluster to one fault, and leave it running."""
    result = Result(case.name)
    try:
        town = await settle_town(Served(cluster), Random(case.name), PACE_S)
        async with client(town.server) as http, talking(town) as talkers:
            await asyncio.wait_for(town.speak_up(), PATIENCE_S)
            await _load(talkers, BEFORE_S)
            result = await _strike(cluster, case, town, talkers, say)
            await _load(talkers, BEFORE_S)
            say("checking")
            await all_answered(town, PATIENCE_S)
            await truth.caught_up(PATIENCE_S)
            check_heard(town, await settled(town, http), may_skip=True)
        difference = await truth.difference(PATIENCE_S)
    except _FAILURES as error:
        return _failed(result, _told(error))
    except BaseExceptionGroup as group:  # what happens among the talkers
        found, others = group.split(_FAILURES)
        if others is not None or found is None:
            raise
        return _failed(result, _told(_first(found)))
    if difference is not None:
        return _failed(result, f"the views are not what a rebuild gives: {difference}")
    if case.accepts and not result.acked_meanwhile:
        return _failed(result, "nothing was accepted meanwhile")
    return _with(result, acked=_acked(town))


async def _strike(
    cluster: LocalCluster, case: Case, town: Town, talkers: list[asyncio.Task[None]], say: Callable[[str], None]
) -> Result:
    say("the fault")
    await case.hit(cluster)
    # From here on: what was sent before, or while processes were dying, may have come through.
    fault, fault_ms, before = time.monotonic(), time.time_ns() // 1_000_000, _acked(town)
    resuming = asyncio.create_task(_resumed(town, fault_ms))
    try:
        await _unless_failed(talkers, case.meanwhile(cluster))
        meanwhile = _acked(town) - before
        say("the mend")
        await case.mend(cluster)
        mended = time.monotonic()
        say("until deliveries resume")
        resumed = await asyncio.wait_for(resuming, PATIENCE_S)
    finally:
        resuming.cancel()
    return Result(case.name, acked_meanwhile=meanwhile, mended_s=mended - fault, resumed_s=resumed - fault)


async def _resumed(town: Town, since_ms: int) -> float:
    """When everybody who talks has got a message that was sent after `since_ms`."""
    for talker in town.talkers:
        await talker.until(partial(_has_news, talker, since_ms))
    return time.monotonic()


def _has_news(talker: Talker, since_ms: int) -> bool:
    return talker.newest_ms > since_ms


async def _load(talkers: list[asyncio.Task[None]], seconds: float) -> None:
    await _unless_failed(talkers, asyncio.sleep(seconds))


async def _unless_failed(talkers: list[asyncio.Task[None]], work: Awaitable[None]) -> None:
    """Do it while the load runs, unless a client fails."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([*talkers, working], return_when=asyncio.FIRST_COMPLETED)
        for task in talkers:
            if task.done():
                task.result()
        await working
    finally:
        working.cancel()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _acked(town: Town) -> int:
    return sum(len(talker.books.acked) for talker in town.everybody)


def _failed(result: Result, failure: str) -> Result:
    return Result(result.case, result.acked, result.acked_meanwhile, result.mended_s, result.resumed_s, failure.strip())


def _with(result: Result, *, acked: int) -> Result:
    return Result(result.case, acked, result.acked_meanwhile, result.mended_s, result.resumed_s)
