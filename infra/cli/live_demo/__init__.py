"""`tidings demo`: scripted users who chat on a running server over its public API, so that there is movement."""

from __future__ import annotations

import asyncio
import signal
from statistics import median

from rich.console import Console

from infra.cli.console import remarks
from infra.cli.faults import Fault
from infra.cli.live_demo.http import Http, Refused
from infra.cli.live_demo.stage import Stage

REFRESH_S = 0.5


def run(url: str, count: int, rate: float, company: list[str] | None, messages: int) -> None:
    """Chat until Ctrl-C, or until so many messages were sent. Raises Fault."""
    try:
        asyncio.run(_run(Http(url), count, rate, company, messages))
    except Refused as error:
        raise Fault(
            f"the server refuses: {error}", "try again later" if error.code == "rate_limited" else ""
        ) from error


async def _run(http: Http, count: int, rate: float, company: list[str] | None, messages: int) -> None:
    out = remarks()
    stage = Stage(http, count, rate)
    with out.status(f"Registering {count} users"):
        found = await stage.cast(company)
    besides = f", with {' and '.join(found)}" if found else ""
    out.print(f"{count} users chat in {len(stage.chats)} chats on {http.url}{besides}. Ctrl-C ends it.")
    playing = asyncio.create_task(stage.play(messages))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, playing.cancel)
    loop.add_signal_handler(signal.SIGTERM, playing.cancel)
    watching = asyncio.create_task(_watch(stage, out))
    try:
        await playing
    except asyncio.CancelledError:
        if not playing.cancelled():
            raise
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    out.print(f"{_figures(stage)}.")


async def _watch(stage: Stage, out: Console) -> None:
    """A line that moves, on a terminal."""
    with out.status("Connecting") as status:
        while True:
            await asyncio.sleep(REFRESH_S)
            away = sum(not actor.connected.is_set() for actor in stage.actors)
            status.update(_figures(stage) + (f"; {away} users are reconnecting" if away else ""))


def _figures(stage: Stage) -> str:
    figures = stage.figures
    told = f"{figures.sent} messages in {len(stage.chats)} chats"
    if figures.acked:
        told += f"; durable after {_ms(median(figures.acked))}"
    if figures.delivered:
        told += f", delivered after {_ms(median(figures.delivered))} in the median"
    return told + (f"; {figures.refused} refused" if figures.refused else "")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
